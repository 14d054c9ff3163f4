// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

package ssh

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"sync"

	"golang.org/x/crypto/ssh"

	"github.com/zfarm/zfarm/workers"
	"github.com/zfarm/zfarm/workers/runner"
)

// maxOutput bounds the bytes kept of each stream of a command.
const maxOutput = 1 << 20

// Exec runs a command line of printable ASCII, tabs and newlines under /bin/sh,
// whatever the login shell of the account is. A command that does not end with an exit
// status, or with a signal that stands for one, is workers.ErrLost. If ctx ends first,
// Exec sends TERM to the command and closes its channel. The signal arrives only if the
// server supports signals, and the command may survive it.
func (h *Host) Exec(ctx context.Context, command string) (runner.Output, error) {
	for _, b := range []byte(command) {
		if (b < ' ' || b > '~') && b != '\n' && b != '\t' {
			return runner.Output{}, fmt.Errorf("command with byte 0x%02x in it: %w: a worker may convert anything but ASCII text", b, fs.ErrInvalid)
		}
	}
	unbegun := func(err error) bool { return errors.Is(err, errUnbegun) }
	return withRetry(ctx, h, unbegun, func(c *conn) (runner.Output, error) { return c.exec(ctx, command) })
}

func (c *conn) exec(ctx context.Context, command string) (runner.Output, error) {
	out, err := await(ctx, func() (runner.Output, error) { return c.runCommand(ctx, command) })
	if err != nil && ctx.Err() != nil {
		return runner.Output{}, fmt.Errorf("running a command on %s: %w", c.address, context.Cause(ctx))
	}
	return out, err
}

func (c *conn) runCommand(ctx context.Context, command string) (runner.Output, error) {
	select {
	case c.execs <- struct{}{}:
	case <-ctx.Done():
		return runner.Output{}, context.Cause(ctx)
	}
	leave := sync.OnceFunc(func() { <-c.execs })
	defer leave()
	session, err := c.session(ctx)
	if err != nil {
		return runner.Output{}, err
	}
	defer session.Close()
	// Closing the channel alone leaves the command running, and sshd does not always
	// pass the signal on. A command that stays must not keep its slot here.
	defer context.AfterFunc(ctx, func() {
		leave()
		if session.Signal(ssh.SIGTERM) == nil {
			session.Close()
		}
	})()
	var stdout, stderr head
	session.Stdout, session.Stderr = &stdout, &stderr
	if err := session.Start("exec /bin/sh -c " + workers.Quote(command)); err != nil {
		if c.alive() && !errors.Is(err, io.EOF) {
			return runner.Output{}, unfit(err, "%s: sshd runs no commands for this account; look for ForceCommand or a restricted shell there", c.address)
		}
		return runner.Output{}, lost(err, "starting a command on %s", c.address)
	}
	code := 0
	if err := session.Wait(); err != nil {
		var exit *ssh.ExitError
		if !errors.As(err, &exit) || exit.ExitStatus() < 0 || exit.ExitStatus() > 255 {
			return runner.Output{}, lost(err, "waiting for a command on %s", c.address)
		}
		code = exit.ExitStatus()
	}
	return runner.Output{Stdout: stdout.kept, Stderr: stderr.kept, Code: code}, nil
}

// head keeps the first maxOutput bytes written to it. It embeds no buffer: io.Copy
// would find its ReadFrom and bypass the bound.
type head struct{ kept []byte }

func (h *head) Write(p []byte) (int, error) {
	h.kept = append(h.kept, p[:min(maxOutput-len(h.kept), len(p))]...)
	return len(p), nil
}
