// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

package ssh

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"time"

	"github.com/pkg/sftp"
	"golang.org/x/crypto/ssh"

	"github.com/zfarm/zfarm/workers"
)

// maxExecs is how many commands may run on one connection at a time. sshd allows ten
// sessions by default, sftp holds one of them, and a session counts until it is reaped:
// with four none is refused.
const maxExecs = 4

// packets is how many sftp packets of 32 KiB one transfer keeps in flight. Servers need
// not accept more than 32 KiB; with larger packets a transfer may be truncated without
// an error.
const packets = 64

// conn is one connection. It is used until it fails and never repaired.
type conn struct {
	address string
	raw     net.Conn
	client  *ssh.Client
	sftp    *sftp.Client
	execs   chan struct{}
	listing listing

	renaming sync.Mutex

	mu   sync.Mutex
	done chan struct{} // closed when the connection failed
	err  error         // why
}

// connect makes a connection that is ready for use.
func connect(ctx context.Context, s settings) (*conn, error) {
	dialing, cancel := context.WithTimeoutCause(ctx, s.timeout, fmt.Errorf("no answer within %v", s.timeout))
	defer cancel()
	raw, err := (&net.Dialer{}).DialContext(dialing, "tcp", s.address)
	if err != nil {
		return nil, unreachable(ctx, s, err)
	}
	// One deadline for everything up to a working sftp; only closing the socket gets
	// x/crypto out of a wait.
	stop := context.AfterFunc(dialing, func() { raw.Close() })
	c, err := handshake(dialing, s, raw)
	if err == nil {
		err = c.openSFTP(dialing)
	}
	if !stop() && err == nil {
		err = context.Cause(dialing)
	}
	if err != nil {
		raw.Close()
		if errors.Is(err, workers.ErrHostKey) || errors.Is(err, workers.ErrAuth) || errors.Is(err, workers.ErrUnfit) {
			return nil, err
		}
		if dialing.Err() != nil {
			err = context.Cause(dialing)
		}
		return nil, unreachable(ctx, s, err)
	}
	go c.watch(s.probe, s.dead)
	go func() { _ = c.fail(fmt.Errorf("connection ended: %w", c.client.Wait())) }()
	return c, nil
}

func unreachable(ctx context.Context, s settings, err error) error {
	if errors.Is(ctx.Err(), context.Canceled) {
		return fmt.Errorf("connecting to %s: %w", s.address, context.Cause(ctx))
	}
	return &failure{fmt.Sprintf("connecting to %s: worker unreachable: %s", s.address, clean(err)), []error{workers.ErrUnreachable, workers.ErrLost, err}}
}

func handshake(ctx context.Context, s settings, raw net.Conn) (*conn, error) {
	offer, methods, err := s.credentials.attempt(ctx)
	if err != nil {
		return nil, err
	}
	defer offer.close()
	known := false // the host key was accepted, so a later failure is the login's
	config := &ssh.ClientConfig{
		Config:            ssh.Config{Ciphers: s.ciphers},
		User:              s.user,
		Auth:              methods,
		HostKeyAlgorithms: s.pinned.algorithms,
		HostKeyCallback: func(host string, remote net.Addr, key ssh.PublicKey) error {
			err := s.pinned.check(host, remote, key)
			known = err == nil
			return err
		},
	}
	under, channels, requests, err := ssh.NewClientConn(raw, s.address, config)
	if err == nil {
		return &conn{
			address: s.address, raw: raw, client: ssh.NewClient(under, channels, requests),
			execs: make(chan struct{}, maxExecs), done: make(chan struct{}),
		}, nil
	}
	if wrong := s.pinned.explain(s.address, err); wrong != nil {
		return nil, wrong
	}
	var network net.Error
	if known && ctx.Err() == nil && !errors.Is(err, io.EOF) && !errors.As(err, &network) {
		return nil, offer.refused(s.user, s.address, err)
	}
	return nil, err
}

// openSFTP starts the subsystem. The connection is not watched yet.
func (c *conn) openSFTP(ctx context.Context) error {
	session, err := c.session(ctx)
	if err != nil {
		return err
	}
	in, err := session.StdinPipe()
	if err != nil {
		return err
	}
	out, err := session.StdoutPipe()
	if err != nil {
		return err
	}
	if err := session.RequestSubsystem("sftp"); err != nil {
		if ctx.Err() != nil || errors.Is(err, io.EOF) {
			return err
		}
		return unfit(err, "%s: sshd offers no sftp (%s); configure \"Subsystem sftp internal-sftp\" there", c.address, clean(err))
	}
	c.sftp, err = sftp.NewClientPipe(c.listing.meter(out, c.fail), in,
		sftp.UseConcurrentWrites(true), sftp.MaxPacketChecked(32<<10), sftp.MaxConcurrentRequestsPerFile(packets))
	if err != nil && ctx.Err() == nil {
		return unfit(err, "%s: sftp does not answer as it should (%s); something may print text at login there", c.address, clean(err))
	}
	return err
}

// watch probes the connection and ends it when a probe gets no answer. There is one
// probe at a time: x/crypto holds a lock while it waits for the answer.
func (c *conn) watch(every, dead time.Duration) {
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		select {
		case <-c.done:
			return
		case <-tick.C:
		}
		answered := make(chan error, 1)
		go func() {
			_, _, err := c.client.SendRequest("keepalive@openssh.com", true, nil)
			answered <- err
		}()
		patience := time.NewTimer(dead)
		select {
		case err := <-answered:
			patience.Stop()
			if err != nil {
				_ = c.fail(fmt.Errorf("connection ended: %w", err))
				return
			}
		case <-patience.C:
			_ = c.fail(fmt.Errorf("no answer for %v", dead))
			return
		case <-c.done:
			patience.Stop()
			return
		}
	}
}

// fail ends the connection with that error and returns the error that it first ended
// with.
func (c *conn) fail(err error) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.err == nil {
		c.err = err
		close(c.done)
		c.raw.Close() // at once, without a message to a peer that may not listen
	}
	return c.err
}

func (c *conn) alive() bool {
	select {
	case <-c.done:
		return false
	default:
		return true
	}
}

// The pauses between requests for a refused session, and the bound on requests.
const (
	minBackoff = 5 * time.Millisecond
	maxBackoff = 200 * time.Millisecond
	maxRefused = 100
)

// session opens a session channel. A server at its limit refuses; nothing has begun by
// then, so a retry is safe.
func (c *conn) session(ctx context.Context) (*ssh.Session, error) {
	pause := minBackoff
	for range maxRefused {
		s, err := c.client.NewSession()
		if err == nil {
			return s, nil
		}
		var refused *ssh.OpenChannelError
		if !errors.As(err, &refused) {
			return nil, &failure{"opening a session on " + c.address + ": worker lost: " + clean(c.fail(err)), []error{workers.ErrLost, errUnbegun, err}}
		}
		if refused.Reason == ssh.Prohibited || refused.Reason == ssh.UnknownChannelType {
			return nil, unfit(err, "%s: sshd allows no sessions (%s)", c.address, clean(err))
		}
		if !sleep(ctx, pause) {
			return nil, context.Cause(ctx)
		}
		pause = min(2*pause, maxBackoff)
	}
	// Hanging commands may occupy every session; another connection has sessions of its
	// own.
	return nil, lost(c.fail(fmt.Errorf("it refused a session %d times; raise MaxSessions of its sshd or use fewer slots", maxRefused)), "opening a session on %s", c.address)
}
