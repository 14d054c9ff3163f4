// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

package pool

import (
	"errors"
	"fmt"
	"strings"
	"time"
	"unicode"

	"github.com/zfarm/zfarm/workers"
)

// Limits say what a worker must be like to get work. Zero fields are defaults.
type Limits struct {
	// FreeBytes is the least room for workspaces; 0 means 1 GiB.
	FreeBytes int64
	// Clock is the most that a worker's clock may be off; 0 means 5 minutes.
	Clock time.Duration
}

// maxCause bounds the part of a sentence that comes from elsewhere, in bytes.
const maxCause = 600

// Health says why a worker should get nothing, in a sentence that tells what to
// do about it; "" if it may get work. Was are the facts of the probe before,
// now those of the last one, err is its error; facts may be nil.
//
// Room must have grown by a quarter beyond the limit before a worker that fell
// below it is taken again, so that it does not come and go with each build.
func Health(was, now *workers.Facts, err error, p Limits) string {
	if p.FreeBytes <= 0 {
		p.FreeBytes = 1 << 30
	}
	if p.Clock <= 0 {
		p.Clock = 5 * time.Minute
	}
	switch {
	case err != nil:
		return ailing(err)
	case now == nil:
		return "Nobody has looked at it yet; it is probed by itself."
	}
	if now.Archiver == "" {
		return missingArchiver(was)
	}
	if why := nearlyFull(was, now, p.FreeBytes); why != "" {
		return why
	}
	if off := now.ClockOffset.Abs(); off > p.Clock {
		direction := "ahead"
		if now.ClockOffset < 0 {
			direction = "behind"
		}
		return fmt.Sprintf("Its clock is %s %s, and %s is allowed: make compares times of files. Set the clock there, best by NTP.",
			off.Round(time.Second), direction, p.Clock)
	}
	return ""
}

// ailing is the sentence for a probe that failed. What wraps what matters: a
// worker that was refused is also called unreachable by the pool.
func ailing(err error) string {
	cause := clean(err)
	switch {
	case errors.Is(err, workers.ErrHostKey):
		return "Its host key is not the pinned one. Ask its administrator for the fingerprint, and pin the new key only if it is that: " + cause
	case errors.Is(err, workers.ErrAuth):
		return "It refused the farm's credentials. Put the farm's public key into the authorized_keys of the account there, or name the right identity: " + cause
	case errors.Is(err, workers.ErrUnfit):
		return "It lacks what the farm cannot do without. Mend that there: " + cause
	case errors.Is(err, workers.ErrUnreachable):
		return "It cannot be reached. See that it is up and that its address is right; it is tried again by itself: " + cause
	case errors.Is(err, workers.ErrLost):
		return "The connection was lost while it was looked at. It is tried again by itself; see to the network if this stays: " + cause
	}
	return "It could not be looked at. Mend what this says; it is tried again by itself: " + cause
}

func missingArchiver(was *workers.Facts) string {
	before := ""
	if was != nil && was.Archiver != "" {
		before = fmt.Sprintf(" It had %s before.", was.Archiver)
	}
	return "It has no archiver that the farm can use." + before +
		" Install GNU tar or bsdtar under the name tar (on z/OS, pax), or add its folder to the worker's path."
}

// nearlyFull passes over a worker that did not say how much room there is.
func nearlyFull(was, now *workers.Facts, least int64) string {
	if now.FreeBytes <= 0 {
		return ""
	}
	wanted := least
	if was != nil && was.FreeBytes > 0 && was.FreeBytes < least {
		wanted += least / 4
	}
	if now.FreeBytes >= wanted {
		return ""
	}
	return fmt.Sprintf("Its disk is nearly full: %s free for workspaces, %s wanted. Remove what is not needed there, or enlarge the file system.",
		bytesText(now.FreeBytes), bytesText(wanted))
}

func bytesText(n int64) string {
	if n >= 10<<30 {
		return fmt.Sprintf("%d GiB", n>>30)
	}
	return fmt.Sprintf("%d MiB", n>>20)
}

// clean is the text of an error that a worker may have had a hand in, as one
// line of bearable length.
func clean(err error) string {
	text := err.Error()
	if len(text) > maxCause {
		text = text[:maxCause] + " ..."
	}
	text = strings.Map(func(r rune) rune {
		if unicode.IsSpace(r) {
			return ' '
		}
		if !unicode.IsPrint(r) {
			return '?'
		}
		return r
	}, strings.ToValidUTF8(text, "?"))
	return strings.TrimRight(strings.Join(strings.Fields(text), " "), ".") + "."
}
