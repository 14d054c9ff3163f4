// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

package ssh_test

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/zfarm/zfarm/workers/ssh"
	"github.com/zfarm/zfarm/workers/sshtest"
)

const benchSize = 64 << 20

// BenchmarkPut and BenchmarkGet move 64 MiB and compare, in the same loop, with
// what scp and sftp take for it, connection and all: "x-scp" below 1 means
// faster than scp. The rates of one machine at one time mean little alone.
func BenchmarkPut(b *testing.B) {
	t := newTransfer(b)
	t.measure(b, func() error {
		_, err := t.host.Put(b.Context(), t.remote, 0o600, bytes.NewReader(t.content))
		return err
	}, []string{t.local, t.remote}, "put "+t.local+" "+t.remote)
}

// BenchmarkGet: see BenchmarkPut.
func BenchmarkGet(b *testing.B) {
	t := newTransfer(b)
	if _, err := t.host.Put(b.Context(), t.remote, 0o600, bytes.NewReader(t.content)); err != nil {
		b.Fatal(err)
	}
	t.measure(b, func() error {
		r, err := t.host.Open(b.Context(), t.remote, 0)
		if err != nil {
			return err
		}
		defer r.Close()
		w, err := os.Create(t.local)
		if err != nil {
			return err
		}
		if n, err := io.Copy(w, r); err != nil || n != benchSize {
			return fmt.Errorf("got %d bytes, %w", n, err)
		}
		return w.Close()
	}, []string{t.remote, t.local}, "get "+t.remote+" "+t.local)
}

type transfer struct {
	host          *ssh.Host
	config        ssh.Config
	content       []byte
	local, remote string
	options       []string // for both programs
}

func newTransfer(b *testing.B) *transfer {
	b.Helper()
	s := sshtest.OpenSSH(b, sshtest.Options{})
	t := &transfer{config: s.Direct(), content: random(b, benchSize), local: filepath.Join(b.TempDir(), "local"), remote: s.Dir() + "/remote"}
	t.host = dial(b, t.config)
	if err := os.WriteFile(t.local, t.content, 0o600); err != nil {
		b.Fatal(err)
	}
	host, port, err := net.SplitHostPort(t.config.Address)
	if err != nil {
		b.Fatal(err)
	}
	known := filepath.Join(b.TempDir(), "known_hosts")
	if err := os.WriteFile(known, fmt.Appendf(nil, "[%s]:%s %s\n", host, port, t.config.HostKeys[0]), 0o600); err != nil {
		b.Fatal(err)
	}
	t.options = []string{"-q", "-F", "none", "-i", t.config.IdentityFiles[0], "-P", port,
		"-o", "UserKnownHostsFile=" + known, "-o", "IdentitiesOnly=yes", "-o", "BatchMode=yes"}
	return t
}

// measure runs ours and both programs in turns; endpoints are what scp copies
// from and to, of which the remote one is t.remote; batch is for sftp.
func (t *transfer) measure(b *testing.B, ours func() error, endpoints []string, batch string) {
	b.Helper()
	host, _, err := net.SplitHostPort(t.config.Address)
	if err != nil {
		b.Fatal(err)
	}
	login := t.config.User + "@" + host
	for i, e := range endpoints {
		if e == t.remote {
			endpoints[i] = login + ":" + e
		}
	}
	programs := map[string]func() error{}
	if scp, err := exec.LookPath("scp"); err == nil {
		programs["scp"] = func() error { return command(nil, scp, append(t.options, endpoints...)...) }
	}
	if sftp, err := exec.LookPath("sftp"); err == nil {
		programs["sftp"] = func() error {
			return command([]byte(batch+"\n"), sftp, append(append([]string{"-b", "-"}, t.options...), login)...)
		}
	}
	if len(programs) == 0 {
		b.Skip("no scp and sftp here: install an OpenSSH client (openssh-client) to compare with them")
	}
	took := map[string]time.Duration{}
	b.SetBytes(benchSize)
	for b.Loop() {
		took["ours"] += timed(b, ours)
		b.StopTimer()
		for name, f := range programs {
			took[name] += timed(b, f)
		}
		b.StartTimer()
	}
	for name := range programs {
		b.ReportMetric(took["ours"].Seconds()/took[name].Seconds(), "x-"+name)
	}
}

func timed(b *testing.B, f func() error) time.Duration {
	b.Helper()
	begun := time.Now()
	if err := f(); err != nil {
		b.Fatal(err)
	}
	return time.Since(begun)
}

func command(stdin []byte, program string, arguments ...string) error {
	c := exec.Command(program, arguments...)
	c.Stdin = bytes.NewReader(stdin)
	if out, err := c.CombinedOutput(); err != nil {
		return fmt.Errorf("%s: %w: %s", program, err, out)
	}
	return nil
}

// BenchmarkExec is small commands one after the other; BenchmarkExecWide the
// same from 32 sides. 1,000 of them: go test -bench Exec -benchtime 1000x.
func BenchmarkExec(b *testing.B) {
	h := dial(b, sshtest.OpenSSH(b, sshtest.Options{}).Direct())
	for b.Loop() {
		sh(b, h, "true")
	}
}

// BenchmarkExecWide: see BenchmarkExec.
func BenchmarkExecWide(b *testing.B) {
	h := dial(b, sshtest.OpenSSH(b, sshtest.Options{}).Direct())
	b.SetParallelism(16)
	b.RunParallel(func(p *testing.PB) {
		for p.Next() {
			if _, err := h.Exec(b.Context(), "true"); err != nil {
				b.Error(err)
			}
		}
	})
}

func BenchmarkPutSmall(b *testing.B) {
	s := sshtest.OpenSSH(b, sshtest.Options{})
	h := dial(b, s.Direct())
	content := random(b, 4<<10)
	for b.Loop() {
		if _, err := h.Put(b.Context(), s.Dir()+"/small", 0o600, bytes.NewReader(content)); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkStat(b *testing.B) {
	s := sshtest.OpenSSH(b, sshtest.Options{})
	h := dial(b, s.Direct())
	for b.Loop() {
		if _, err := h.Stat(b.Context(), s.Dir()); err != nil {
			b.Fatal(err)
		}
	}
}
