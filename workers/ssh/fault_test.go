// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

package ssh_test

import (
	"bytes"
	"context"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	xssh "golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/agent"

	"github.com/zfarm/zfarm/attest/digest"
	"github.com/zfarm/zfarm/workers"
	"github.com/zfarm/zfarm/workers/ssh"
	"github.com/zfarm/zfarm/workers/sshtest"
)

func TestDialErrors(t *testing.T) {
	t.Parallel()
	stranger := sshtest.KeyLine(sshtest.WriteKey(t, filepath.Join(t.TempDir(), "k"), "ed25519").PublicKey())
	rsaKey := sshtest.KeyLine(sshtest.WriteKey(t, filepath.Join(t.TempDir(), "k"), "rsa").PublicKey())
	other := filepath.Join(t.TempDir(), "other")
	otherKey := sshtest.WriteKey(t, other, "ed25519")
	tests := map[string]struct {
		faults sshtest.Faults
		change func(*ssh.Config)
		want   []error
		not    error
		text   []string
	}{
		"wrong host key":   {sshtest.Faults{OtherHostKey: true}, nil, []error{workers.ErrHostKey}, workers.ErrLost, []string{"the machine has ssh-ed25519 SHA256:", "pinned is ssh-ed25519 SHA256:"}},
		"stranger pinned":  {change: func(c *ssh.Config) { c.HostKeys = []string{stranger} }, want: []error{workers.ErrHostKey}, text: []string{fingerprint(t, stranger)}},
		"unknown key type": {change: func(c *ssh.Config) { c.HostKeys = []string{rsaKey} }, want: []error{workers.ErrHostKey}, text: []string{fingerprint(t, rsaKey), "only has keys for ssh-ed25519"}},
		"no host key":      {change: func(c *ssh.Config) { c.HostKeys = nil }, want: []error{workers.ErrHostKey}, text: []string{"ssh-keyscan -p ", "ssh-keygen -lf", "fingerprint"}},
		"auth refused":     {sshtest.Faults{RefuseKeys: true}, nil, []error{workers.ErrAuth}, workers.ErrLost, []string{"id_ed25519", "SHA256:", "authorized_keys"}},
		"wrong identity":   {change: func(c *ssh.Config) { c.IdentityFiles = []string{other} }, want: []error{workers.ErrAuth}, text: []string{xssh.FingerprintSHA256(otherKey.PublicKey()), other}},
		"no credentials":   {change: func(c *ssh.Config) { c.IdentityFiles = nil }, want: []error{workers.ErrAuth}, text: []string{"name an identity file"}},
		"no such identity": {change: func(c *ssh.Config) { c.IdentityFiles = []string{other + "x"} }, want: []error{fs.ErrNotExist}, text: []string{other + "x"}},
		"no agent":         {change: func(c *ssh.Config) { c.AgentSocket = other + ".sock" }, want: []error{workers.ErrAuth}, text: []string{other + ".sock"}},
		"port closed":      {change: func(c *ssh.Config) { c.Address = sshtest.ClosedAddress(t) }, want: []error{workers.ErrUnreachable, workers.ErrLost, syscall.ECONNREFUSED}},
		"no sftp":          {sshtest.Faults{NoSFTP: true}, nil, []error{workers.ErrUnfit}, workers.ErrLost, []string{"Subsystem sftp"}},
		"no commands":      {sshtest.Faults{NoExec: true}, nil, []error{workers.ErrUnfit}, workers.ErrLost, []string{"runs no commands"}},
		"EBCDIC":           {sshtest.Faults{ZOS: true, ExecEBCDIC: true}, nil, []error{workers.ErrUnfit}, workers.ErrLost, []string{"ChannelConvert"}},
		"weak cipher":      {change: func(c *ssh.Config) { c.Ciphers = []string{"3des-cbc"} }, text: []string{"3des-cbc", "aes128-gcm@openssh.com"}},
		"no port":          {change: func(c *ssh.Config) { c.Address = "127.0.0.1" }, text: []string{"host:port"}},
		"no user":          {change: func(c *ssh.Config) { c.User = "" }, text: []string{"no user"}},
		"host certificate": {change: func(c *ssh.Config) { c.HostKeys = []string{"ssh-dss AAAA"} }, text: []string{"ssh-dss"}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := sshtest.Embedded(t, test.faults).Config()
			if test.change != nil {
				test.change(&c)
			}
			h, err := ssh.Dial(t.Context(), c)
			if err == nil {
				t.Fatal("no error", h.Close())
			}
			for _, want := range test.want {
				if !errors.Is(err, want) {
					t.Errorf("error is no %q: %v", want, err)
				}
			}
			if test.not != nil && errors.Is(err, test.not) {
				t.Errorf("error is also %q: %v", test.not, err)
			}
			for _, text := range test.text {
				if !strings.Contains(err.Error(), text) {
					t.Errorf("error does not say %q: %v", text, err)
				}
			}
		})
	}
}

func fingerprint(t *testing.T, line string) string {
	t.Helper()
	key, _, _, _, err := xssh.ParseAuthorizedKey([]byte(line))
	if err != nil {
		t.Fatal(err)
	}
	return xssh.FingerprintSHA256(key)
}

func TestFrozenDial(t *testing.T) {
	t.Parallel()
	s := sshtest.Embedded(t, sshtest.Faults{})
	s.Line.Freeze()
	c := s.Config()
	c.DialTimeout = 200 * time.Millisecond // the only wait on a frozen line
	if _, err := ssh.Dial(t.Context(), c); !errors.Is(err, workers.ErrUnreachable) {
		t.Errorf("Dial over a frozen line = %v; want ErrUnreachable", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	time.AfterFunc(50*time.Millisecond, cancel)
	c.DialTimeout = time.Hour
	if _, err := ssh.Dial(ctx, c); !errors.Is(err, context.Canceled) || errors.Is(err, workers.ErrLost) {
		t.Errorf("cancelled Dial = %v; want context.Canceled", err)
	}
}

// TestHostKeyTypes: a server with several keys must show the one that is
// pinned, whichever it is.
func TestHostKeyTypes(t *testing.T) {
	t.Parallel()
	kinds := []string{"ed25519", "ecdsa", "rsa"}
	test := func(t *testing.T, c ssh.Config) {
		keys := c.HostKeys
		for i, kind := range kinds {
			t.Run(kind, func(t *testing.T) {
				c.HostKeys = keys[i : i+1]
				sh(t, dial(t, c), "true")
			})
		}
	}
	t.Run("openssh", func(t *testing.T) {
		t.Parallel()
		test(t, daemons.OpenSSH(t, sshtest.Options{KeyTypes: kinds}).Config())
	})
	t.Run("embedded", func(t *testing.T) { test(t, sshtest.Embedded(t, sshtest.Faults{}, kinds...).Config()) })
}

func TestCiphers(t *testing.T) {
	t.Parallel()
	for _, cipher := range []string{"aes128-gcm@openssh.com", "aes256-ctr", "chacha20-poly1305@openssh.com"} {
		eachServer(t, func(t *testing.T, s server) {
			s.config.Ciphers = []string{cipher}
			sh(t, dial(t, s.config), "true")
		})
	}
}

func TestCredentials(t *testing.T) {
	t.Parallel()
	s := sshtest.Embedded(t, sshtest.Faults{})
	plain, err := os.ReadFile(s.Config().IdentityFiles[0])
	if err != nil {
		t.Fatal(err)
	}
	key, err := xssh.ParseRawPrivateKey(plain)
	if err != nil {
		t.Fatal(err)
	}
	t.Run("agent", func(t *testing.T) {
		c := s.Config()
		c.IdentityFiles, c.AgentSocket = nil, serveAgent(t, key)
		h := dial(t, c)
		s.Line.Cut() // the agent is asked again
		eventuallyWorks(t, h, s.Dir())
	})
	t.Run("passphrase", func(t *testing.T) {
		file := filepath.Join(t.TempDir(), "locked")
		block, err := xssh.MarshalPrivateKeyWithPassphrase(key, "", []byte("open sesame"))
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
		c := s.Config()
		c.IdentityFiles = []string{file}
		if _, err := ssh.Dial(t.Context(), c); err == nil || !strings.Contains(err.Error(), "encrypted") {
			t.Errorf("Dial without a passphrase = %v", err)
		}
		asked := 0
		c.Passphrase = func(string) ([]byte, error) { asked++; return []byte("open sesame"), nil }
		h := dial(t, c)
		s.Line.Cut()
		eventuallyWorks(t, h, s.Dir())
		if asked != 1 {
			t.Errorf("asked for the passphrase %d times", asked)
		}
	})
}

func eventuallyWorks(t *testing.T, h *ssh.Host, dir string) {
	t.Helper()
	if _, err := h.Stat(t.Context(), dir); err != nil {
		t.Errorf("after a cut: %v", err)
	}
}

func serveAgent(t *testing.T, key any) string {
	t.Helper()
	keyring := agent.NewKeyring()
	if err := keyring.Add(agent.AddedKey{PrivateKey: key}); err != nil {
		t.Fatal(err)
	}
	folder, err := os.MkdirTemp("", "agent") // names of sockets must be short
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(folder); err != nil {
			t.Error(err)
		}
	})
	l, err := net.Listen("unix", filepath.Join(folder, "s"))
	if err != nil {
		t.Fatal(err)
	}
	var all sync.WaitGroup
	all.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			all.Go(func() {
				_ = agent.ServeAgent(keyring, c) // io.EOF at the end
				c.Close()
			})
		}
	})
	t.Cleanup(func() { l.Close(); all.Wait() })
	return l.Addr().String()
}

func TestReconnect(t *testing.T) {
	t.Parallel()
	eachServer(t, func(t *testing.T, s server) {
		h := dial(t, s.config)
		content := random(t, 100<<10)
		name := s.dir + "/file"
		steps := map[string]func() error{
			"put":  func() error { _, err := h.Put(t.Context(), name, 0o600, bytes.NewReader(content)); return err },
			"stat": func() error { _, err := h.Stat(t.Context(), name); return err },
			"list": func() error { _, err := h.List(t.Context(), s.dir); return err },
			"exec": func() error { _, err := h.Exec(t.Context(), "true"); return err },
			"open": func() error {
				got, err := get(t, h, name, 0)
				if err == nil && !bytes.Equal(got, content) {
					err = errors.New("other bytes")
				}
				return err
			},
		}
		for _, step := range []string{"put", "stat", "list", "exec", "open"} {
			s.line.Cut()
			if err := steps[step](); err != nil {
				t.Errorf("%s after a cut: %v", step, err)
			}
		}
	})
}

func TestReconnectFails(t *testing.T) {
	t.Parallel()
	s := sshtest.Embedded(t, sshtest.Faults{})
	h := dial(t, s.Config())
	s.Line.Refuse(true)
	s.Line.Cut()
	for range 3 {
		if _, err := h.Stat(t.Context(), s.Dir()); !errors.Is(err, workers.ErrUnreachable) || !errors.Is(err, workers.ErrLost) {
			t.Errorf("Stat without a server = %v; want ErrUnreachable", err)
		}
	}
	s.Line.Refuse(false)
	if _, err := h.Stat(t.Context(), s.Dir()); err != nil {
		t.Errorf("with the server back: %v", err)
	}
	// A different machine at the same address is detected when it matters.
	s.Set(func(f *sshtest.Faults) { f.OtherHostKey = true })
	s.Line.Cut()
	if _, err := h.Stat(t.Context(), s.Dir()); !errors.Is(err, workers.ErrHostKey) {
		t.Errorf("Stat with another host key = %v; want ErrHostKey", err)
	}
}

func TestCutInTransfer(t *testing.T) {
	t.Parallel()
	eachServer(t, func(t *testing.T, s server) {
		h := dial(t, s.config)
		content := random(t, 8<<20)
		name := s.dir + "/file"
		cut := &hook{r: noise(content), at: 3 << 20, do: s.line.Cut}
		if _, err := h.Put(t.Context(), name, 0o600, cut); !errors.Is(err, workers.ErrLost) {
			t.Errorf("Put of a pipe over a cut line = %v; want ErrLost", err)
		}
		if _, err := os.Stat(name); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("the file is there: %v", err)
		}
		again := &seeker{Reader: bytes.NewReader(content), hook: &hook{at: 3 << 20, do: s.line.Cut}}
		if d, err := h.Put(t.Context(), name, 0o600, again); err != nil || d != digest.Of(content) {
			t.Errorf("Put of a file over a cut line = %v, %v", d, err)
		}
		s.line.CutAfter(1 << 20)
		got, err := get(t, h, name, 0)
		if !errors.Is(err, workers.ErrLost) || !bytes.HasPrefix(content, got) {
			t.Errorf("reading over a cut line: %d bytes, %v; want a prefix and ErrLost", len(got), err)
		}
		if got, err := get(t, h, name, int64(len(got))); err != nil || !bytes.HasSuffix(content, got) {
			t.Errorf("reading on: %v", err)
		}
	})
}

// seeker is a file in whose middle something happens.
type seeker struct {
	*bytes.Reader
	hook *hook
}

func (s *seeker) Read(p []byte) (int, error) {
	s.hook.r = s.Reader
	return s.hook.Read(p)
}

func (s *seeker) WriteTo(io.Writer) (int64, error) { return 0, errors.New("not to be used") }

func TestCutInExec(t *testing.T) {
	t.Parallel()
	eachServer(t, func(t *testing.T, s server) {
		h := dial(t, s.config)
		mark := s.dir + "/mark"
		go func() {
			for t.Context().Err() == nil {
				if _, err := os.Stat(mark); err == nil {
					s.line.Cut()
					return
				}
				pause()
			}
		}()
		out, err := h.Exec(t.Context(), "echo x >>"+mark+"; i=0; while [ -d "+s.dir+" ] && [ ! -f "+s.dir+"/end ] && [ $i -lt 200 ]; do sleep .1; i=$((i+1)); done")
		if !errors.Is(err, workers.ErrLost) {
			t.Errorf("Exec over a cut line: %s, %v; want ErrLost", show(out), err)
		}
		sh(t, h, "echo >"+s.dir+"/end")
		if b, err := os.ReadFile(mark); err != nil || string(b) != "x\n" {
			t.Errorf("the command ran %d times, %v", len(b)/2, err)
		}
	})
}

func TestFrozen(t *testing.T) {
	t.Parallel()
	eachServer(t, func(t *testing.T, s server) {
		patient := dial(t, s.config)
		name := s.dir + "/file"
		content := random(t, 8<<20)
		if _, err := patient.Put(t.Context(), name, 0o600, bytes.NewReader(content)); err != nil {
			t.Fatal(err)
		}
		h := dial(t, quick(s.config))
		var r io.ReadCloser
		eventually(t, "the file is open", func() (ok bool) {
			var err error
			r, err = h.Open(t.Context(), name, 0)
			return worked(t, err)
		})
		defer r.Close()
		s.line.Freeze()
		_, execErr := h.Exec(t.Context(), "true")
		_, readErr := io.Copy(io.Discard, r)
		for what, err := range map[string]error{"Exec": execErr, "Read": readErr} {
			if !errors.Is(err, workers.ErrLost) {
				t.Errorf("%s on a frozen line = %v; want ErrLost", what, err)
			}
		}
		s.line.Thaw()
		eventually(t, "the host works after thawing", func() bool {
			_, err := h.Stat(t.Context(), name)
			return worked(t, err)
		})
		// The end of a context does not wait for the line.
		for what, call := range calls(patient, name) {
			s.line.Freeze()
			ctx, cancel := context.WithCancel(t.Context())
			time.AfterFunc(20*time.Millisecond, cancel)
			if err := call(ctx); !errors.Is(err, context.Canceled) {
				t.Errorf("%s on a frozen line, cancelled = %v; want context.Canceled", what, err)
			}
			s.line.Thaw()
		}
	})
}

// worked reports whether there was no error. The one that is allowed for a
// while is that of a line which a busy machine kept silent for too long.
func worked(t *testing.T, err error) bool {
	t.Helper()
	if err != nil && !errors.Is(err, workers.ErrLost) {
		t.Fatal(err)
	}
	return err == nil
}

func calls(h *ssh.Host, name string) map[string]func(context.Context) error {
	return map[string]func(context.Context) error{
		"Stat": func(ctx context.Context) error { _, err := h.Stat(ctx, name); return err },
		"List": func(ctx context.Context) error { _, err := h.List(ctx, filepath.Dir(name)); return err },
		"Exec": func(ctx context.Context) error { _, err := h.Exec(ctx, "true"); return err },
		"Open": func(ctx context.Context) error { _, err := h.Open(ctx, name, 0); return err },
		"Put": func(ctx context.Context) error {
			_, err := h.Put(ctx, name, 0o600, strings.NewReader("x"))
			return err
		},
	}
}

func TestNoExitStatus(t *testing.T) {
	t.Parallel()
	s := sshtest.Embedded(t, sshtest.Faults{})
	h := dial(t, s.Config())
	s.Set(func(f *sshtest.Faults) { f.NoExitStatus = true })
	if out, err := h.Exec(t.Context(), "echo done"); !errors.Is(err, workers.ErrLost) || out.Code != 0 || out.Stdout != nil {
		t.Errorf("Exec without an exit status: %s, %v; want ErrLost and nothing else", show(out), err)
	}
}

func TestShortReads(t *testing.T) {
	t.Parallel()
	s := sshtest.Embedded(t, sshtest.Faults{ShortReads: true})
	h := dial(t, s.Config())
	content := random(t, 3<<20+5)
	if _, err := h.Put(t.Context(), s.Dir()+"/f", 0o600, noise(content)); err != nil {
		t.Fatal(err)
	}
	if got, err := get(t, h, s.Dir()+"/f", 7); err != nil || !bytes.Equal(got, content[7:]) {
		t.Errorf("short reads gave %d of %d bytes, %v", len(got), len(content)-7, err)
	}
}

func TestShrinkingFile(t *testing.T) {
	t.Parallel()
	s := sshtest.Embedded(t, sshtest.Faults{})
	h := dial(t, s.Config())
	name := s.Dir() + "/f"
	content := random(t, 16<<20)
	if err := os.WriteFile(name, content, 0o600); err != nil {
		t.Fatal(err)
	}
	r, err := h.Open(t.Context(), name, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if err := os.Truncate(name, 1000); err != nil {
		t.Fatal(err)
	}
	if n, err := io.Copy(io.Discard, r); !errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, workers.ErrLost) {
		t.Errorf("read %d bytes of a file that shrank, %v; want io.ErrUnexpectedEOF", n, err)
	}
}

func TestLostWrites(t *testing.T) {
	t.Parallel()
	s := sshtest.Embedded(t, sshtest.Faults{LoseWrites: true})
	h := dial(t, s.Config())
	_, err := h.Put(t.Context(), s.Dir()+"/f", 0o600, strings.NewReader("some bytes"))
	if !errors.Is(err, io.ErrShortWrite) || !errors.Is(err, workers.ErrUnfit) || !strings.Contains(fmt.Sprint(err), "0 of the 10 bytes") {
		t.Errorf("Put = %v; want io.ErrShortWrite", err)
	}
	if entries, err := os.ReadDir(s.Dir()); err != nil || len(entries) > 0 {
		t.Errorf("left behind: %v, %v", entries, err)
	}
}

func TestDiskFull(t *testing.T) {
	t.Parallel()
	s := sshtest.Embedded(t, sshtest.Faults{DiskFull: true})
	h := dial(t, s.Config())
	_, err := h.Put(t.Context(), s.Dir()+"/f", 0o600, bytes.NewReader(random(t, 1<<20)))
	if !errors.Is(err, syscall.ENOSPC) || !errors.Is(err, workers.ErrUnfit) || errors.Is(err, workers.ErrLost) {
		t.Errorf("Put = %v; want ENOSPC and ErrUnfit", err)
	}
	if !strings.Contains(fmt.Sprint(err), "no space left on the worker: 0 bytes") {
		t.Errorf("Put = %v; want it to say that the disk is full", err)
	}
}

func TestRefusedForNoReason(t *testing.T) {
	t.Parallel()
	eachServer(t, func(t *testing.T, s server) {
		h := dial(t, s.config)
		if err := os.Mkdir(s.dir+"/d", 0o755); err != nil {
			t.Fatal(err)
		}
		_, err := h.Put(t.Context(), s.dir+"/d", 0o600, strings.NewReader("x"))
		if err == nil || errors.Is(err, workers.ErrLost) || errors.Is(err, syscall.ENOSPC) || !strings.Contains(err.Error(), "in the way") || !strings.Contains(err.Error(), " files are free") {
			t.Errorf("Put over a folder = %v; want a refusal", err)
		}
	})
}

func TestNoPosixRename(t *testing.T) {
	t.Parallel()
	s := sshtest.Embedded(t, sshtest.Faults{NoPosixRename: true})
	h := dial(t, s.Config())
	for _, text := range []string{"one", "two"} {
		if _, err := h.Put(t.Context(), s.Dir()+"/f", 0o600, strings.NewReader(text)); err != nil {
			t.Fatal(err)
		}
		if got, err := os.ReadFile(s.Dir() + "/f"); err != nil || string(got) != text {
			t.Errorf("file holds %q, %v; want %q", got, err, text)
		}
	}
}

func TestEndlessList(t *testing.T) {
	t.Parallel()
	s := sshtest.Embedded(t, sshtest.Faults{EndlessList: true})
	h := dial(t, s.Config())
	_, err := h.List(t.Context(), s.Dir())
	if !errors.Is(err, workers.ErrLost) || !strings.Contains(err.Error(), "names") {
		t.Errorf("endless List = %v; want ErrLost that says why", err)
	}
}

func TestZOS(t *testing.T) {
	t.Parallel()
	s := sshtest.Embedded(t, sshtest.Faults{ZOS: true})
	h := dial(t, s.Config())
	if h.Banner() != "SSH-2.0-OpenSSH_7.6" {
		t.Errorf("banner %q", h.Banner())
	}
	content := random(t, 1<<20+3)
	name := s.Dir() + "/file"
	d, err := h.Put(t.Context(), name, 0o600, noise(content))
	if err != nil || d != digest.Of(content) {
		t.Fatalf("Put = %v, %v", d, err)
	}
	if got, err := os.ReadFile(name); err != nil || !bytes.Equal(got, content) {
		t.Errorf("the file on the worker is another, %v", err)
	}
	// The output of a command must not be used for bytes.
	if out := sh(t, h, "cat "+name); bytes.Equal(out.Stdout, content) {
		t.Error("the server does not convert the output of commands, so this test shows nothing")
	}
	s.Set(func(f *sshtest.Faults) { f.NoChtag = true })
	if _, err := h.Put(t.Context(), name, 0o600, strings.NewReader("x")); !errors.Is(err, workers.ErrUnfit) || !strings.Contains(err.Error(), "FSUM6806") {
		t.Errorf("Put without chtag = %v; want ErrUnfit and why", err)
	}
}

// TestZOSConverts: a conversion that tagging did not prevent is detected.
func TestZOSConverts(t *testing.T) {
	t.Parallel()
	s := sshtest.Embedded(t, sshtest.Faults{ZOS: true, DeafToTags: true})
	h := dial(t, s.Config())
	_, err := h.Put(t.Context(), s.Dir()+"/f", 0o600, strings.NewReader("text that EBCDIC has"))
	if !errors.Is(err, workers.ErrUnfit) || !strings.Contains(err.Error(), "AUTOCVT") {
		t.Errorf("Put = %v; want ErrUnfit", err)
	}
}
