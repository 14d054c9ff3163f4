// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

package sshtest

import (
	"bytes"
	"errors"
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

// Options are what tests want different of a real sshd.
type Options struct {
	// KeyTypes are the host keys it has: ed25519, ecdsa, rsa. Nil is ed25519.
	KeyTypes []string
	// MaxSessions is the number of sessions on one connection; 0 means 10.
	MaxSessions int
}

// OpenSSH starts a real sshd as a child in the foreground with a configuration
// and keys of its own. It skips the test where there is no sshd.
func OpenSSH(t testing.TB, o Options) *Server {
	t.Helper()
	sshd := findSSHD(t)
	s, allowed := newServer(t)
	folder := t.TempDir()
	if o.KeyTypes == nil {
		o.KeyTypes = []string{"ed25519"}
	}
	if o.MaxSessions == 0 {
		o.MaxSessions = 10
	}
	var config strings.Builder
	for _, kind := range o.KeyTypes {
		file := filepath.Join(folder, "host_"+kind)
		s.hostKeys = append(s.hostKeys, KeyLine(WriteKey(t, file, kind).PublicKey()))
		fmt.Fprintf(&config, "HostKey %s\n", file)
	}
	keys := filepath.Join(folder, "authorized_keys")
	writeFile(t, keys, KeyLine(allowed)+"\n")
	fmt.Fprintf(&config, "AuthorizedKeysFile %s\nMaxSessions %d\n", keys, o.MaxSessions)
	config.WriteString("UsePAM no\nStrictModes no\nPidFile none\nSubsystem sftp internal-sftp\n" +
		"PasswordAuthentication no\nKbdInteractiveAuthentication no\nPermitRootLogin prohibit-password\n" +
		"MaxStartups 100\nUseDNS no\nPrintMotd no\nLogLevel INFO\n" +
		"SetEnv SHLVL=2\n") // or bash would read the ~/.bashrc of whoever tests
	var err error
	for range 5 { // another process may take the port that was found free
		log := &lockedBuffer{}
		if s.address, err = startSSHD(t, sshd, folder, config.String(), log); err == nil {
			s.Line = newLine(t, s.address)
			mayLogIn(t, s, log)
			return s
		}
	}
	t.Fatalf("starting sshd: %v", err)
	return nil
}

// findSSHD returns the absolute path of sshd, without which it does not start.
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

// mayLogIn skips the test for an account that no sshd lets in, such as one of
// a service.
func mayLogIn(t testing.TB, s *Server, log *lockedBuffer) {
	t.Helper()
	h, err := ssh.Dial(t.Context(), s.Direct())
	if err != nil {
		if strings.Contains(log.tail(), "not allowed because") {
			t.Skipf("sshd does not let %s in, see the log; run this test as a user who may log in:\n%s", s.user, log.tail())
		}
		t.Fatalf("logging in to sshd: %v\n%s", err, log.tail())
	}
	defer h.Close() //nolint:errcheck // the connection ends either way
	if out, err := h.Exec(t.Context(), "echo in"); err != nil || string(out.Stdout) != "in\n" {
		t.Skipf("the login shell of %s runs no commands (%q, %v); run this test as a user who may log in", s.user, out.Stdout, err)
	}
}

func startSSHD(t testing.TB, sshd, folder, config string, log *lockedBuffer) (string, error) {
	t.Helper()
	address, port := freePort(t)
	file := filepath.Join(folder, "sshd_config")
	writeFile(t, file, fmt.Sprintf("ListenAddress 127.0.0.1\nPort %d\n%s", port, config))
	child := exec.Command(sshd, "-D", "-e", "-f", file)
	child.Stderr = log
	child.WaitDelay = 5 * time.Second // what it started may hold its stderr
	child.SysProcAttr = ownGroup()
	if err := child.Start(); err != nil {
		return "", err
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = child.Wait() // it is killed, or its log says what was wrong
	}()
	t.Cleanup(func() {
		// The group has the processes of its connections in it, too.
		if err := syscall.Kill(-child.Process.Pid, syscall.SIGKILL); err != nil && !errors.Is(err, syscall.ESRCH) {
			t.Errorf("ending sshd: %v", err)
		}
		<-ended
		if t.Failed() {
			t.Logf("log of sshd:\n%s", log.tail())
		}
	})
	return address, awaitBanner(address, ended, log)
}

// awaitBanner waits until the server says what it is.
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

// ClosedAddress is an address of this machine that nobody listens on.
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
