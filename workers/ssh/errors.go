// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

package ssh

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"path"
	"strings"
	"syscall"

	"github.com/pkg/sftp"

	"github.com/zfarm/zfarm/workers"
	"github.com/zfarm/zfarm/workers/codepage"
	"github.com/zfarm/zfarm/workers/humanize"
)

// failure is an error whose text is for people and whose kinds are for
// errors.Is, so that the text need not repeat "worker lost" for each of them.
type failure struct {
	text  string
	kinds []error
}

func (f *failure) Error() string   { return f.text }
func (f *failure) Unwrap() []error { return f.kinds }

// errUnbegun: the worker never saw the command.
var errUnbegun = errors.New("nothing was begun")

// lost returns an ErrLost: cause interrupted what is described by doing.
func lost(cause error, doing string, args ...any) error {
	return &failure{fmt.Sprintf(doing, args...) + ": worker lost: " + clean(cause), []error{workers.ErrLost, cause}}
}

// unfit returns an ErrUnfit with that text; cause may be nil.
func unfit(cause error, text string, args ...any) error {
	f := &failure{fmt.Sprintf(text, args...), []error{workers.ErrUnfit}}
	if cause != nil {
		f.kinds = append(f.kinds, cause)
	}
	return f
}

// clean returns the text of an error that a worker may have influenced, as one line
// that is safe to show.
func clean(err error) string {
	return codepage.Line(strings.ReplaceAll(err.Error(), "\n", " "), 1000)
}

func isLost(err error) bool { return errors.Is(err, workers.ErrLost) }

// sftpErr classifies an error of the sftp client. A status from the server is an
// answer; anything else is the end of the connection.
func (c *conn) sftpErr(ctx context.Context, err error, doing, name string) error {
	if err == nil {
		return nil
	}
	if ctx.Err() != nil {
		return fmt.Errorf("%s %s: %w", doing, name, context.Cause(ctx))
	}
	var status *sftp.StatusError
	switch {
	case isLost(err), errors.Is(err, workers.ErrUnfit), errors.Is(err, fs.ErrInvalid):
		return err
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, fs.ErrPermission):
		return fmt.Errorf("%s %s: %w", doing, name, err)
	case errors.As(err, &status) && status.FxCode() != sftp.ErrSSHFxConnectionLost && status.FxCode() != sftp.ErrSSHFxNoConnection:
		return c.refusal(ctx, status, doing, name)
	}
	return lost(c.fail(err), "%s %s", doing, name)
}

// minFreeSpace is less than the free space of any file system that still takes files.
const minFreeSpace = 1 << 20

// refusal says why the server answered with a failure. Version 3 of sftp has no code
// for a full disk: OpenSSH answers "Failure" and nothing else. So refusal asks the
// server how much space is free.
func (c *conn) refusal(ctx context.Context, status *sftp.StatusError, doing, name string) error {
	text := clean(status)
	full := strings.Contains(text, "EDC5133I") || strings.Contains(strings.ToLower(text), "no space left")
	room := "the worker did not say how much room is left"
	if vfs, err := await(ctx, func() (*sftp.StatVFS, error) { return c.sftp.StatVFS(path.Dir(name)) }); err == nil {
		free := vfs.Bavail * vfs.Frsize
		full = full || free < minFreeSpace || vfs.Files > 0 && vfs.Favail == 0
		room = fmt.Sprintf("%s and %s are free",
			humanize.Bytes(int64(min(free, math.MaxInt64))), humanize.Count(int(min(vfs.Favail, math.MaxInt)), "file"))
	}
	if full {
		cause := &failure{text, []error{syscall.ENOSPC, status}}
		return unfit(cause, "%s %s: no space left on the worker: %s in the file system of %s; make room there (%s)", doing, name, room, path.Dir(name), text)
	}
	return fmt.Errorf("%s %s: the worker refused it without a reason; look for a quota or a file in the way (%s; %s): %w", doing, name, text, room, status)
}
