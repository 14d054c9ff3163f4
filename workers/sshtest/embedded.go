// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

package sshtest

import (
	"bytes"
	"errors"
	"net"
	"os"
	"path/filepath"
	"sync"
	"testing"

	xssh "golang.org/x/crypto/ssh"
)

// Faults are the ways in which the embedded server misbehaves, besides those of its
// line. The zero value is a server as good as OpenSSH. A change applies to connections,
// sessions, opened files and commands that begin after it.
type Faults struct {
	// Refuse is how many more sessions to refuse.
	Refuse int
	// MaxSessions is the number of sessions on one connection; 0 means 10.
	// One more is refused, as by sshd.
	MaxSessions int
	// NoExitStatus: channels of commands close without an exit status.
	NoExitStatus bool
	// NoSignals: signals for a command are ignored, as by OpenSSH before 7.9.
	NoSignals bool
	// ShortReads: each read of a file returns a third of the requested bytes.
	ShortReads bool
	// LoseWrites: writes to files are acknowledged but not made.
	LoseWrites bool
	// DiskFull: writes to files fail, and the server reports no free space.
	DiskFull bool
	// NoPosixRename: no sftp extensions, and renaming over a file fails.
	NoPosixRename bool
	// NoSFTP and NoExec: such sessions are refused.
	NoSFTP, NoExec bool
	// EndlessList: listing a folder never ends.
	EndlessList bool
	// ExecEBCDIC: the output of commands arrives in IBM-1047, as from a z/OS system
	// whose sshd converts nothing.
	ExecEBCDIC bool
	// ExecDamage: the channel of a command changes whatever is not ASCII text, as an
	// sshd that converts code pages does.
	ExecDamage bool
	// ZOS imitates a z/OS system: ExecDamage and NoSignals, the banner of OpenSSH 7.6,
	// uname and chtag, and conversion of files without a binary tag as they are
	// written.
	ZOS bool
	// NoChtag: on z/OS, tagging a file fails.
	NoChtag bool
	// DeafToTags: on z/OS, files are converted whatever their tag.
	DeafToTags bool
	// Banner is the version that the server claims.
	Banner string
	// OtherHostKey: the server has a different host key than Config says.
	OtherHostKey bool
	// RefuseKeys: every login fails.
	RefuseKeys bool
}

// EmbeddedServer is a [Server] in this process.
type EmbeddedServer struct {
	*Server
	listener  net.Listener
	allowed   []byte
	host      []xssh.Signer
	otherHost xssh.Signer
	bin, tags string // for imitating z/OS
	all       sync.WaitGroup

	mu     sync.Mutex
	faults Faults
	closed bool
	conns  map[net.Conn]bool
	groups map[int]bool // process groups of commands
}

// Embedded starts a server in this process, on files and commands of this
// machine, with those faults. KeyTypes are its host keys as for [OpenSSH].
func Embedded(t testing.TB, f Faults, keyTypes ...string) *EmbeddedServer {
	t.Helper()
	base, allowed := newServer(t)
	e := &EmbeddedServer{Server: base, allowed: allowed.Marshal(), faults: f, conns: map[net.Conn]bool{}, groups: map[int]bool{}}
	if len(keyTypes) == 0 {
		keyTypes = []string{"ed25519"}
	}
	folder := t.TempDir()
	for _, kind := range keyTypes {
		signer := WriteKey(t, filepath.Join(folder, kind), kind)
		e.host = append(e.host, signer)
		e.hostKeys = append(e.hostKeys, KeyLine(signer.PublicKey()))
	}
	e.otherHost = WriteKey(t, filepath.Join(folder, "other"), "ed25519")
	e.bin, e.tags = writeZOS(t, folder)
	var err error
	if e.listener, err = net.Listen("tcp", "127.0.0.1:0"); err != nil {
		t.Fatal(err)
	}
	e.address = e.listener.Addr().String()
	e.all.Go(e.accept)
	t.Cleanup(e.close)
	e.Line = newLine(t, e.address)
	return e
}

// Set changes the faults.
func (e *EmbeddedServer) Set(change func(*Faults)) {
	e.mu.Lock()
	defer e.mu.Unlock()
	change(&e.faults)
}

// Commands returns the number of running commands.
func (e *EmbeddedServer) Commands() int {
	e.mu.Lock()
	defer e.mu.Unlock()
	return len(e.groups)
}

func (e *EmbeddedServer) now() Faults {
	e.mu.Lock()
	defer e.mu.Unlock()
	f := e.faults
	if f.ZOS {
		f.ExecDamage, f.NoSignals = true, true
		if f.Banner == "" {
			f.Banner = "SSH-2.0-OpenSSH_7.6"
		}
	}
	if f.MaxSessions == 0 {
		f.MaxSessions = 10
	}
	return f
}

// refuses uses up one of the refusals.
func (e *EmbeddedServer) refuses() bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.faults.Refuse <= 0 {
		return false
	}
	e.faults.Refuse--
	return true
}

func (e *EmbeddedServer) close() {
	e.mu.Lock()
	e.closed = true
	for c := range e.conns {
		c.Close()
	}
	for group := range e.groups {
		kill(group)
	}
	e.mu.Unlock()
	e.listener.Close()
	e.all.Wait()
}

func (e *EmbeddedServer) accept() {
	for {
		raw, err := e.listener.Accept()
		if err != nil {
			return
		}
		e.mu.Lock()
		e.conns[raw] = true
		if e.closed {
			raw.Close()
		}
		e.mu.Unlock()
		e.all.Go(func() {
			e.serve(raw)
			raw.Close()
			e.mu.Lock()
			defer e.mu.Unlock()
			delete(e.conns, raw)
		})
	}
}

// serve serves one connection.
func (e *EmbeddedServer) serve(raw net.Conn) {
	f := e.now()
	config := &xssh.ServerConfig{
		ServerVersion: f.Banner,
		PublicKeyCallback: func(_ xssh.ConnMetadata, key xssh.PublicKey) (*xssh.Permissions, error) {
			if f.RefuseKeys || !bytes.Equal(key.Marshal(), e.allowed) {
				return nil, errors.New("unknown key")
			}
			return &xssh.Permissions{}, nil
		},
	}
	if f.OtherHostKey {
		config.AddHostKey(e.otherHost)
	} else {
		for _, key := range e.host {
			config.AddHostKey(key)
		}
	}
	conn, channels, requests, err := xssh.NewServerConn(raw, config)
	if err != nil {
		return
	}
	var open sync.WaitGroup
	open.Go(func() { xssh.DiscardRequests(requests) })
	places := make(chan struct{}, f.MaxSessions)
	for offered := range channels {
		if offered.ChannelType() != "session" {
			_ = offered.Reject(xssh.UnknownChannelType, "sessions only") // the client may be gone
			continue
		}
		if e.refuses() || !take(places) {
			_ = offered.Reject(xssh.ConnectionFailed, "open failed")
			continue
		}
		channel, asked, err := offered.Accept()
		if err != nil {
			<-places
			continue
		}
		open.Go(func() {
			defer func() { <-places }()
			(&session{server: e, channel: channel}).serve(asked)
		})
	}
	_ = conn.Close() // it has ended
	open.Wait()
}

func take(places chan struct{}) bool {
	select {
	case places <- struct{}{}:
		return true
	default:
		return false
	}
}

// environment returns the small environment that sshd gives a command.
func (e *EmbeddedServer) environment(f Faults) []string {
	path := os.Getenv("PATH")
	if f.ZOS {
		path = e.bin + ":" + path
	}
	env := []string{"PATH=" + path, "HOME=" + e.dir, "USER=" + e.user, "LOGNAME=" + e.user, "SHELL=/bin/sh", "ZFARM_TAGS=" + e.tags}
	if f.NoChtag {
		env = append(env, "ZFARM_NO_CHTAG=1")
	}
	return env
}
