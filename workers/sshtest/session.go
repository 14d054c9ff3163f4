// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

package sshtest

import (
	"errors"
	"io"
	"os/exec"
	"sync"
	"syscall"

	"github.com/pkg/sftp"
	xssh "golang.org/x/crypto/ssh"
)

// session is one channel of the embedded server. It becomes a command or sftp.
type session struct {
	server  *EmbeddedServer
	channel xssh.Channel
	work    sync.WaitGroup
	begun   bool
	then    func() // what the session is for

	mu    sync.Mutex
	group int // process group of the command while it lives
}

func (s *session) serve(requests <-chan *xssh.Request) {
	for r := range requests {
		ok := s.handle(r)
		if r.WantReply {
			_ = r.Reply(ok, nil) // the client may be gone
		}
		if s.then != nil { // not before the reply: it may close the channel
			s.work.Go(s.then)
			s.then = nil
		}
	}
	// The client closed the channel or the connection ended. A command goes on as under
	// sshd, so do not wait for its output; sftp ends.
	s.work.Wait()
}

func (s *session) handle(r *xssh.Request) bool {
	f := s.server.now()
	var text struct{ Value string }
	switch r.Type {
	case "exec":
		if f.NoExec || s.begun || xssh.Unmarshal(r.Payload, &text) != nil {
			return false
		}
		s.begun = s.start(text.Value, f) == nil
		return s.begun
	case "subsystem":
		if f.NoSFTP || s.begun || xssh.Unmarshal(r.Payload, &text) != nil || text.Value != "sftp" {
			return false
		}
		s.begun = true
		s.then = func() { s.files(f) }
		return true
	case "signal":
		if !f.NoSignals && xssh.Unmarshal(r.Payload, &text) == nil {
			s.signal(text.Value)
		}
	}
	return false
}

// start begins a command. The session is over when the command has ended and its output
// was sent.
func (s *session) start(command string, f Faults) error {
	c := exec.Command("/bin/sh", "-c", command)
	c.Dir = s.server.dir
	c.Env = s.server.environment(f)
	c.SysProcAttr = ownSession()
	c.Stdout, c.Stderr = convert(s.channel, f), convert(s.channel.Stderr(), f)
	stdin, err := c.StdinPipe()
	if err != nil {
		return err
	}
	if err := s.begin(c); err != nil {
		return err
	}
	go func() {
		_, _ = io.Copy(stdin, s.channel) // ends with the command or the channel
		_ = stdin.Close()                // closed already when the command ended first
	}()
	s.then = func() {
		err := c.Wait()
		s.end()
		if !f.NoExitStatus {
			s.reportExit(c, err)
		}
		s.channel.Close()
	}
	return nil
}

func (s *session) begin(c *exec.Cmd) error {
	s.server.mu.Lock()
	defer s.server.mu.Unlock()
	if s.server.closed {
		return errors.New("server closed")
	}
	if err := c.Start(); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.group = c.Process.Pid
	s.server.groups[s.group] = true
	return nil
}

func (s *session) end() {
	s.server.mu.Lock()
	defer s.server.mu.Unlock()
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.server.groups, s.group)
	s.group = 0
}

// reportExit reports how a command ended (RFC 4254, 6.10).
func (s *session) reportExit(c *exec.Cmd, err error) {
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		return
	}
	if status, ok := c.ProcessState.Sys().(syscall.WaitStatus); ok && status.Signaled() {
		for name, number := range signals() {
			if number == status.Signal() {
				payload := xssh.Marshal(struct {
					Signal  string
					Dumped  bool
					Message string
					Tag     string
				}{Signal: name})
				_, _ = s.channel.SendRequest("exit-signal", false, payload) // the client may be gone
				return
			}
		}
		return
	}
	payload := xssh.Marshal(struct{ Status uint32 }{uint32(c.ProcessState.ExitCode())})
	_, _ = s.channel.SendRequest("exit-status", false, payload)
}

func signals() map[string]syscall.Signal {
	return map[string]syscall.Signal{
		"TERM": syscall.SIGTERM, "KILL": syscall.SIGKILL, "INT": syscall.SIGINT,
		"HUP": syscall.SIGHUP, "QUIT": syscall.SIGQUIT, "PIPE": syscall.SIGPIPE,
	}
}

func (s *session) signal(name string) {
	number, ok := signals()[name]
	s.mu.Lock()
	defer s.mu.Unlock()
	if ok && s.group > 0 {
		_ = syscall.Kill(-s.group, number) // it may just have ended
	}
}

func kill(group int) {
	_ = syscall.Kill(-group, syscall.SIGKILL) // it may just have ended
}

// files serves sftp until the client closes.
func (s *session) files(f Faults) {
	h := &files{server: s.server}
	var under io.ReadWriteCloser = s.channel
	if f.NoPosixRename {
		under = &plainSFTP{ReadWriteCloser: s.channel}
	}
	server := sftp.NewRequestServer(under, sftp.Handlers{FileGet: h, FilePut: h, FileCmd: h, FileList: h})
	_ = server.Serve() // io.EOF, or the connection's end
	_ = server.Close()
	s.channel.Close()
}

// plainSFTP removes the extensions from the server's first packet.
type plainSFTP struct {
	io.ReadWriteCloser
	first  []byte
	passed bool
}

func (p *plainSFTP) Write(b []byte) (int, error) {
	if p.passed {
		return p.ReadWriteCloser.Write(b)
	}
	// Length (4), type (1), version (4), then the extensions to leave out.
	p.first = append(p.first, b...)
	if len(p.first) < 9 {
		return len(b), nil
	}
	p.passed = true
	if _, err := p.ReadWriteCloser.Write([]byte{0, 0, 0, 5, p.first[4], 0, 0, 0, 3}); err != nil {
		return 0, err
	}
	return len(b), nil
}
