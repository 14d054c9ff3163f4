// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

// Package ssh reaches a worker over SSH: short commands by exec, all file contents by
// sftp, over one long-lived connection that it makes again when it is lost.
//
// It is a runner.Host; steps, workspaces and facts belong to workers/runner. z/OS
// shapes it: its sshd converts the text of exec channels between ISO8859-1 and EBCDIC
// but not sftp, so no file ever travels through exec. Host keys are pinned in the
// configuration; there is no trust on first use. workers/sshtest has the servers that
// it is tested against.
package ssh

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/zfarm/zfarm/workers"
	"github.com/zfarm/zfarm/workers/runner"
)

// Host is a machine reached over SSH. Its methods may be called concurrently and
// reconnect by themselves after a lost connection. They then retry once: Open, Stat and
// List always, Put if its reader can seek back, Exec if the worker has not seen the
// command. Every other loss is workers.ErrLost.
type Host struct {
	settings settings
	done     chan struct{} // closed by Close
	close    func()

	banner string
	zos    bool

	turn    chan struct{} // holds one token: its holder may use the fields below
	current *conn
	pause   time.Duration // before the next try to connect
	retryAt time.Time
}

// The pause after a failed connection doubles between these.
const (
	minPause = 100 * time.Millisecond
	maxPause = 5 * time.Second
)

// Dial connects to a worker and finds out its system. The error is
// workers.ErrUnreachable if there is no answer, workers.ErrHostKey if the machine is
// not the pinned one, workers.ErrAuth if it refuses the credentials, and
// workers.ErrUnfit if it offers no sftp or no commands.
func Dial(ctx context.Context, c Config) (*Host, error) {
	s, err := c.settings()
	if err != nil {
		return nil, err
	}
	h := &Host{settings: s, done: make(chan struct{}), turn: make(chan struct{}, 1)}
	h.close = sync.OnceFunc(func() { close(h.done) })
	first, err := h.conn(ctx)
	if err != nil {
		return nil, err
	}
	h.banner = string(first.client.ServerVersion())
	if h.zos, err = first.isZOS(ctx, s.timeout); err != nil {
		_ = first.fail(err)
		return nil, err
	}
	return h, nil
}

// Banner is the identification string of the SSH server, such as
// "SSH-2.0-OpenSSH_9.2p1 Debian-2".
func (h *Host) Banner() string { return h.banner }

// Close closes the connection and prevents any further one.
func (h *Host) Close() error {
	h.close() // ends a connection being made, so that the turn comes soon
	h.turn <- struct{}{}
	defer func() { <-h.turn }()
	if h.current != nil {
		_ = h.current.fail(errClosed)
	}
	return nil
}

// conn returns the live connection, or makes one.
func (h *Host) conn(ctx context.Context) (*conn, error) {
	select {
	case h.turn <- struct{}{}:
		defer func() { <-h.turn }()
	case <-ctx.Done():
		return nil, h.ended(ctx)
	}
	if h.current != nil && h.current.alive() {
		return h.current, nil
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	go func() {
		select {
		case <-h.done:
			cancel()
		case <-ctx.Done():
		}
	}()
	if !sleep(ctx, time.Until(h.retryAt)) {
		return nil, h.ended(ctx)
	}
	c, err := connect(ctx, h.settings)
	if err != nil {
		h.pause = min(max(2*h.pause, minPause), maxPause)
		h.retryAt = time.Now().Add(h.pause)
		return nil, h.closedOr(err)
	}
	h.current, h.pause = c, 0
	return c, nil
}

func (h *Host) ended(ctx context.Context) error {
	return h.closedOr(fmt.Errorf("connecting to %s: %w", h.settings.address, context.Cause(ctx)))
}

func (h *Host) closedOr(err error) error {
	select {
	case <-h.done:
		return lost(errClosed, "using the connection to %s", h.settings.address)
	default:
		return err
	}
}

// withRetry calls f with a live connection. If that fails and may accepts the error, it
// calls f once more, with a new connection if the old one was lost.
func withRetry[T any](ctx context.Context, h *Host, may func(error) bool, f func(*conn) (T, error)) (T, error) {
	c, err := h.conn(ctx)
	if err != nil {
		var zero T
		return zero, err
	}
	v, err := f(c)
	if err == nil || ctx.Err() != nil || !may(err) {
		return v, err
	}
	if c, err = h.conn(ctx); err != nil {
		return v, err
	}
	return f(c)
}

// sleep waits for d and returns false if ctx ended first.
func sleep(ctx context.Context, d time.Duration) bool {
	if d <= 0 {
		return ctx.Err() == nil
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// await returns what f returns, or the error of ctx if that ends first; f then goes on
// by itself until the answer or the end of the connection.
func await[T any](ctx context.Context, f func() (T, error)) (T, error) {
	type answer struct {
		v   T
		err error
	}
	answered := make(chan answer, 1)
	go func() {
		v, err := f()
		answered <- answer{v, err}
	}()
	select {
	case a := <-answered:
		return a.v, a.err
	case <-ctx.Done():
		var zero T
		return zero, context.Cause(ctx)
	}
}

var _ runner.Host = (*Host)(nil)

var errClosed = fmt.Errorf("connection closed by its owner: %w", workers.ErrLost)
