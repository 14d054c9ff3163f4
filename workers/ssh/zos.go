// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

package ssh

import (
	"context"
	"fmt"
	"hash"
	"io"
	"strconv"
	"strings"
	"time"

	"github.com/zfarm/zfarm/workers"
	"github.com/zfarm/zfarm/workers/codepage"
)

// zosSystem is the output of "uname -s" on z/OS, whatever its release.
const zosSystem = "OS/390"

// isZOS asks the system for its name. It searches for a whole line, since text printed
// at login may come first.
func (c *conn) isZOS(ctx context.Context, patience time.Duration) (bool, error) {
	asking, cancel := context.WithTimeoutCause(ctx, patience, fmt.Errorf("no answer within %v", patience))
	defer cancel()
	out, err := c.exec(asking, "uname -s")
	if err != nil && asking.Err() != nil && ctx.Err() == nil {
		return false, lost(context.Cause(asking), "asking %s for its system (uname -s)", c.address)
	}
	if err != nil {
		return false, err
	}
	if hasLine(out.Stdout, zosSystem) {
		return true, nil
	}
	ebcdic, err := codepage.ForTag(codepage.IBM1047)
	if err != nil {
		return false, err
	}
	text, err := ebcdic.NewDecoder().Bytes(out.Stdout)
	if err != nil {
		return false, err
	}
	if hasLine(text, zosSystem) {
		return false, unfit(nil, "%s: output of commands arrives in EBCDIC; set \"ChannelConvert shell,exec\" in zos_sshd_config there", c.address)
	}
	return false, nil
}

func hasLine(text []byte, want string) bool {
	for line := range strings.Lines(string(text)) {
		if strings.TrimSpace(line) == want {
			return true
		}
	}
	return false
}

// tagBinary keeps automatic conversion from changing a file.
func (c *conn) tagBinary(ctx context.Context, file string) error {
	out, err := c.exec(ctx, "chtag -b "+workers.Quote(file))
	if err != nil {
		return err
	}
	if out.Code != 0 {
		return unfit(nil, "tagging %s as binary: chtag exited with %d: %s", file, out.Code, firstLine(out.Stderr))
	}
	return nil
}

// verify compares the file on the worker with what was sent, using a program there:
// reading it back by sftp would undo what a conversion did.
func (c *conn) verify(ctx context.Context, file string, sum hash.Hash32, size int64) error {
	out, err := c.exec(ctx, "cksum < "+workers.Quote(file))
	if err != nil {
		return err
	}
	fields := strings.Fields(string(out.Stdout))
	if out.Code != 0 || len(fields) < 2 {
		return unfit(nil, "verifying %s: cksum exited with %d: %s", file, out.Code, firstLine(out.Stderr))
	}
	if fields[0] != strconv.FormatUint(uint64(sum.Sum32()), 10) || fields[1] != strconv.FormatInt(size, 10) {
		return unfit(io.ErrShortWrite, "verifying %s: the bytes on the worker are others than those sent; "+
			"look at _BPXK_AUTOCVT in the environment of sshd there, it must not be ON for sftp", file)
	}
	return nil
}

func firstLine(b []byte) string {
	line, _, _ := strings.Cut(string(b[:min(len(b), 500)]), "\n")
	return clean(fmt.Errorf("%s", line))
}
