// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

package sshtest

import (
	"bytes"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/zfarm/zfarm/workers/ssh"
)

// Options configure a real sshd.
type Options struct {
	// KeyTypes are the host keys it has: ed25519, ecdsa, rsa. Nil is ed25519.
	KeyTypes []string
	// MaxSessions is the number of sessions on one connection; 0 means 10.
	MaxSessions int
}

// OpenSSH starts a real sshd as a child in the foreground with its own configuration
// and keys. It skips the test if there is no sshd.
func OpenSSH(t testing.TB, o Options) *Server {
	t.Helper()
	d := &Daemons{}
	t.Cleanup(d.Close)
	return d.OpenSSH(t, o)
}

// Daemons are the sshds of a whole test binary, one for each set of options; each
// starts when the first test needs it. The zero value is ready to use.
type Daemons struct {
	mu      sync.Mutex
	running map[string]*daemon
}

// daemon is a real sshd.
type daemon struct {
	folder, identity string
	address          string
	hostKeys         []string
	log              *lockedBuffer
	end              func() // the process
}

// OpenSSH is like the function of that name, but the tests share the process. Line and
// folder are the test's own.
func (d *Daemons) OpenSSH(t testing.TB, o Options) *Server {
	t.Helper()
	if o.KeyTypes == nil {
		o.KeyTypes = []string{"ed25519"}
	}
	if o.MaxSessions == 0 {
		o.MaxSessions = 10
	}
	one := d.get(t, o)
	s := &Server{user: userName(t), identity: one.identity, dir: t.TempDir(), address: one.address, hostKeys: one.hostKeys}
	s.Line = newLine(t, one.address)
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("log of sshd:\n%s", one.log.tail())
		}
	})
	return s
}

func (d *daemon) stop() {
	d.end()
	_ = os.RemoveAll(d.folder) // a folder for temporary files
}

// Close ends every sshd.
func (d *Daemons) Close() {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, one := range d.running {
		one.stop()
	}
	d.running = nil
}

// get returns the sshd with those options, and starts it if it does not run yet.
func (d *Daemons) get(t testing.TB, o Options) *daemon {
	t.Helper()
	d.mu.Lock()
	defer d.mu.Unlock()
	name := fmt.Sprint(o)
	if one := d.running[name]; one != nil {
		return one
	}
	sshd := findSSHD(t)
	folder, err := os.MkdirTemp("", "zfarm-sshd-")
	if err != nil {
		t.Fatal(err)
	}
	one := startDaemon(t, sshd, folder, o)
	if d.running == nil {
		d.running = map[string]*daemon{}
	}
	d.running[name] = one
	return one
}

func startDaemon(t testing.TB, sshd, folder string, o Options) *daemon {
	t.Helper()
	one := &daemon{folder: folder, identity: filepath.Join(folder, "id_ed25519"), log: &lockedBuffer{}, end: func() {}}
	kept := false
	defer func() {
		if !kept { // the test was skipped or has failed
			one.stop()
		}
	}()
	allowed := WriteKey(t, one.identity, "ed25519").PublicKey()
	var config strings.Builder
	for _, kind := range o.KeyTypes {
		file := filepath.Join(folder, "host_"+kind)
		one.hostKeys = append(one.hostKeys, KeyLine(WriteKey(t, file, kind).PublicKey()))
		fmt.Fprintf(&config, "HostKey %s\n", file)
	}
	keys := filepath.Join(folder, "authorized_keys")
	writeFile(t, keys, KeyLine(allowed)+"\n")
	fmt.Fprintf(&config, "AuthorizedKeysFile %s\nMaxSessions %d\n", keys, o.MaxSessions)
	config.WriteString("UsePAM no\nStrictModes no\nPidFile none\nSubsystem sftp internal-sftp\n" +
		"PasswordAuthentication no\nKbdInteractiveAuthentication no\nPermitRootLogin prohibit-password\n" +
		"MaxStartups 1000\nLoginGraceTime 0\nUseDNS no\nPrintMotd no\nLogLevel INFO\n" +
		"SetEnv SHLVL=2\n") // or bash would read the ~/.bashrc of whoever tests
	var err error
	for range 5 { // another process may take the port that was found free
		if err = one.start(t, sshd, config.String()); err == nil {
			one.mayLogIn(t)
			kept = true
			return one
		}
	}
	t.Fatalf("starting sshd: %v", err)
	return nil
}

// findSSHD returns the path of sshd, which must be absolute for sshd to start.
func findSSHD(t testing.TB) string {
	t.Helper()
	for _, name := range []string{"sshd", "/usr/sbin/sshd", "/usr/local/sbin/sshd"} {
		if found, err := exec.LookPath(name); err == nil {
			if found, err = filepath.Abs(found); err == nil {
				if os.Geteuid() == 0 {
					// The folder for privilege separation, which a service
					// manager would have made.
					if err := os.MkdirAll("/run/sshd", 0o755); err != nil {
						t.Skipf("sshd run by root needs the folder /run/sshd: %v", err)
					}
				}
				return found
			}
		}
	}
	t.Skip("no sshd here: install an OpenSSH server (openssh-server) to run this test")
	return ""
}

// mayLogIn skips the test if sshd refuses this account, such as that of a service.
func (d *daemon) mayLogIn(t testing.TB) {
	t.Helper()
	user := userName(t)
	h, err := ssh.Dial(t.Context(), ssh.Config{User: user, Address: d.address, HostKeys: d.hostKeys, IdentityFiles: []string{d.identity}})
	if err != nil {
		if strings.Contains(d.log.tail(), "not allowed because") {
			t.Skipf("sshd does not let %s in, see the log; run this test as a user who may log in:\n%s", user, d.log.tail())
		}
		t.Fatalf("logging in to sshd: %v\n%s", err, d.log.tail())
	}
	defer h.Close() //nolint:errcheck // the connection ends either way
	if out, err := h.Exec(t.Context(), "echo in"); err != nil || string(out.Stdout) != "in\n" {
		t.Skipf("the login shell of %s runs no commands (%q, %v); run this test as a user who may log in", user, out.Stdout, err)
	}
}

// start starts the process on a free port and waits until it answers.
func (d *daemon) start(t testing.TB, sshd, config string) error {
	t.Helper()
	address, port := freePort(t)
	file := filepath.Join(d.folder, "sshd_config")
	writeFile(t, file, fmt.Sprintf("ListenAddress 127.0.0.1\nPort %d\n%s", port, config))
	arguments := []string{"-D", "-e", "-f", file}
	// Since 9.8, sshd locks out clients that break off for a while; tests break off on
	// purpose. Older versions do not know the option.
	if exec.Command(sshd, "-t", "-f", file, "-o", "PerSourcePenalties=no").Run() == nil {
		arguments = append(arguments, "-o", "PerSourcePenalties=no")
	}
	child := exec.Command(sshd, arguments...)
	child.Stderr = d.log
	child.WaitDelay = 5 * time.Second // what it started may hold its stderr
	child.SysProcAttr = ownGroup()
	if err := child.Start(); err != nil {
		return err
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = child.Wait() // it is killed, or its log says what was wrong
	}()
	end := func() {
		// The group has the processes of its connections in it, too.
		_ = syscall.Kill(-child.Process.Pid, syscall.SIGKILL) // it may have ended
		<-ended
	}
	if err := awaitBanner(address, ended, d.log); err != nil {
		end()
		return err
	}
	d.address, d.end = address, end
	return nil
}

// awaitBanner waits until the server sends its banner.
func awaitBanner(address string, ended <-chan struct{}, log *lockedBuffer) error {
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for range 2000 {
		if conn, err := net.Dial("tcp", address); err == nil {
			b := make([]byte, 4)
			_ = conn.SetDeadline(time.Now().Add(10 * time.Second)) // reading tells
			_, err := conn.Read(b)
			conn.Close()
			if err == nil && bytes.Equal(b, []byte("SSH-")) {
				return nil
			}
		}
		select {
		case <-ended:
			return fmt.Errorf("sshd ended: %s", log.tail())
		case <-tick.C:
		}
	}
	return fmt.Errorf("sshd does not answer on %s: %s", address, log.tail())
}

func freePort(t testing.TB) (string, int) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String(), l.Addr().(*net.TCPAddr).Port
}

// ClosedAddress returns an address of this machine that no process listens on.
func ClosedAddress(t testing.TB) string {
	t.Helper()
	address, _ := freePort(t)
	return address
}

func writeFile(t testing.TB, file, text string) {
	t.Helper()
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) tail() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	b := l.b.Bytes()
	return string(b[max(0, len(b)-4000):])
}
