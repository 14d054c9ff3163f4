// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

package pool

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/zfarm/zfarm/workers"
	"github.com/zfarm/zfarm/workers/codepage"
	"github.com/zfarm/zfarm/workers/humanize"
)

// Limits are the requirements for a worker to get work. Zero fields are defaults.
type Limits struct {
	// FreeBytes is the least free space for workspaces; 0 means 1 GiB.
	FreeBytes int64
	// Clock is the largest error of a worker's clock; 0 means 5 minutes.
	Clock time.Duration
}

// maxCause bounds the foreign part of a sentence, in bytes.
const maxCause = 600

// Health returns the reason why a worker must be quarantined, with a sentence that says
// what to do about it; nil if it may get work. was are the facts of the previous probe,
// now those of the last one, err is its error; facts may be nil. The caller sets Since
// and Who.
//
// A worker that fell below the limit of free space must exceed it by a quarter before
// it is accepted again, so that it does not come and go with each build.
func Health(was, now *workers.Facts, err error, p Limits) *workers.Quarantine {
	if p.FreeBytes <= 0 {
		p.FreeBytes = 1 << 30
	}
	if p.Clock <= 0 {
		p.Clock = 5 * time.Minute
	}
	switch {
	case err != nil:
		return probeFailed(err)
	case now == nil:
		return quarantine(workers.QuarantineNotProbed, "It has not been probed yet; the farm does that by itself.")
	case now.Archiver == "":
		return missingArchiver(was)
	}
	if q := nearlyFull(was, now, p.FreeBytes); q != nil {
		return q
	}
	if off := now.ClockOffset.Abs(); off > p.Clock {
		direction := "ahead"
		if now.ClockOffset < 0 {
			direction = "behind"
		}
		return quarantine(workers.QuarantineClock, "Its clock is %s %s, and %s is allowed: make compares times of files. Set the clock there, best by NTP.",
			off.Round(time.Second), direction, p.Clock)
	}
	return nil
}

func quarantine(code workers.QuarantineCode, format string, args ...any) *workers.Quarantine {
	return &workers.Quarantine{Code: code, Detail: fmt.Sprintf(format, args...)}
}

// probeFailed returns the reason for a failed probe. The order of its cases matters:
// the pool calls a worker that refused the credentials unreachable as well.
func probeFailed(err error) *workers.Quarantine {
	cause := clean(err)
	switch {
	case errors.Is(err, workers.ErrHostKey):
		return quarantine(workers.QuarantineHostKey, "Its host key is not pinned, or is not the pinned one. Ask its administrator for the fingerprint, and pin the new key only if it is that: %s", cause)
	case errors.Is(err, workers.ErrAuth):
		return quarantine(workers.QuarantineCredentials, "It refused the farm's credentials. Put the farm's public key into the authorized_keys of the account there, or name the right identity: %s", cause)
	case errors.Is(err, workers.ErrUnfit):
		return quarantine(workers.QuarantineUnfit, "It lacks what the farm cannot do without. Mend that there: %s", cause)
	case errors.Is(err, workers.ErrUnreachable):
		return quarantine(workers.QuarantineUnreachable, "It cannot be reached. See that it is up and that its address is right; the farm tries again by itself: %s", cause)
	case errors.Is(err, workers.ErrLost):
		return quarantine(workers.QuarantineProbeLost, "The connection was lost during the probe. The farm tries again by itself; check the network if this stays: %s", cause)
	}
	return quarantine(workers.QuarantineProbeFailed, "The probe failed. Mend what this says; the farm tries again by itself: %s", cause)
}

func missingArchiver(was *workers.Facts) *workers.Quarantine {
	before := ""
	if was != nil && was.Archiver != "" {
		before = fmt.Sprintf(" It had %s before.", was.Archiver)
	}
	return quarantine(workers.QuarantineNoArchiver, "It has no archiver that the farm can use.%s"+
		" Install GNU tar or bsdtar under the name tar (on z/OS, pax), or add its folder to the worker's path.", before)
}

// nearlyFull ignores a worker that did not report its free space.
func nearlyFull(was, now *workers.Facts, least int64) *workers.Quarantine {
	if now.FreeBytes <= 0 {
		return nil
	}
	wanted := least
	if was != nil && was.FreeBytes > 0 && was.FreeBytes < least {
		wanted += least / 4
	}
	if now.FreeBytes >= wanted {
		return nil
	}
	return quarantine(workers.QuarantineDiskFull, "Its disk is nearly full: %s free for workspaces, %s wanted. Remove what is not needed there, or enlarge the file system.",
		humanize.Bytes(now.FreeBytes), humanize.Bytes(wanted))
}

// clean returns the text of an error that a worker may have influenced, as one line of
// bounded length.
func clean(err error) string {
	text := codepage.Line(strings.Join(strings.Fields(err.Error()), " "), maxCause)
	if strings.HasSuffix(text, "...") {
		return text
	}
	return strings.TrimRight(text, ".") + "."
}
