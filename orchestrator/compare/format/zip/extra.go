// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

package zip

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/zfarm/zfarm/orchestrator/compare/format/exact"
)

// Known extra fields.
const (
	extraZip64   = 0x0001
	extraNTFS    = 0x000a
	extraTime    = 0x5455 // "UT"
	extraUnix    = 0x5855 // "UX": times, and in local headers an owner
	extraUnix16  = 0x7855 // "Ux": an owner of 16 bits each
	extraUnixIDs = 0x7875 // "ux": an owner of any size
)

// extra is the decoded content of extra fields.
type extra struct {
	zip64 []byte
	count int // of zip64 fields
	times []string
	owner []string
	other []string // unknown fields, as hex
}

// readExtra decodes the extra fields of a directory entry or local header.
// Malformed fields count as unknown.
func readExtra(text string, local bool) extra {
	var x extra
	b := []byte(text)
	for len(b) >= 4 {
		id, length := binary.LittleEndian.Uint16(b), int(binary.LittleEndian.Uint16(b[2:]))
		if length > len(b)-4 {
			break
		}
		if body := b[4 : 4+length]; !x.known(id, body, local) {
			x.other = append(x.other, fmt.Sprintf("%04x:%s", id, hexText(body)))
		}
		b = b[4+length:]
	}
	if len(b) > 0 {
		x.other = append(x.other, "rest:"+hexText(b))
	}
	return x
}

// readZip64 decodes only the zip64 fields, which hold sizes and offsets.
func readZip64(text string) extra {
	var x extra
	for b := []byte(text); len(b) >= 4; {
		id, length := binary.LittleEndian.Uint16(b), int(binary.LittleEndian.Uint16(b[2:]))
		if length > len(b)-4 {
			break
		}
		if id == extraZip64 {
			x.known(id, b[4:4+length], false)
		}
		b = b[4+length:]
	}
	return x
}

func (x *extra) known(id uint16, b []byte, local bool) bool {
	switch id {
	case extraZip64:
		x.zip64 = append([]byte(nil), b...)
		x.count++
		return true
	case extraTime:
		return x.unixTimes(b, local)
	case extraNTFS:
		return x.ntfsTimes(b)
	case extraUnix:
		return x.oldUnix(b)
	case extraUnix16:
		if len(b) == 4 {
			x.own(little(b[:2]), little(b[2:]))
		}
		return len(b) == 4 || len(b) == 0
	case extraUnixIDs:
		return x.unixIDs(b)
	}
	return false
}

func little(b []byte) (n uint64) {
	for i, c := range b {
		n |= uint64(c) << (8 * i)
	}
	return n
}

func (x *extra) own(user, group uint64) {
	x.owner = append(x.owner, fmt.Sprintf("user %d, group %d", user, group))
}

func (x *extra) moment(name string, t time.Time) {
	x.times = append(x.times, name+" "+t.UTC().Format(time.RFC3339Nano))
}

func (x *extra) unixMoment(name string, b []byte) {
	x.moment(name, time.Unix(int64(int32(binary.LittleEndian.Uint32(b))), 0))
}

// unixTimes decodes flags that say which of three times are present. A directory
// entry contains only the first time, but the flags of the local header.
func (x *extra) unixTimes(b []byte, local bool) bool {
	if len(b) < 1 || b[0]&^7 != 0 {
		return false
	}
	flags, b := b[0], b[1:]
	var names []string
	for i, name := range []string{"modified", "accessed", "created"} {
		if flags>>i&1 != 0 && (local || i == 0) {
			names = append(names, name)
		}
	}
	if len(b) != 4*len(names) {
		return false
	}
	for i, name := range names {
		x.unixMoment(name, b[4*i:])
	}
	// In a directory entry, the flags say which times the local header has.
	x.times = append(x.times, fmt.Sprintf("flags %d", flags))
	return true
}

// ntfsTimes decodes three times in units of 100 ns since 1601.
func (x *extra) ntfsTimes(b []byte) bool {
	if len(b) != 32 || little(b[:4]) != 0 || little(b[4:6]) != 1 || little(b[6:8]) != 24 {
		return false
	}
	for i, name := range []string{"modified", "accessed", "created"} {
		ticks := little(b[8+8*i : 16+8*i])
		const second, toUnix = 10_000_000, 11_644_473_600
		x.moment(name, time.Unix(int64(ticks/second)-toUnix, int64(ticks%second)*100))
	}
	return true
}

func (x *extra) oldUnix(b []byte) bool {
	if len(b) != 8 && len(b) != 12 {
		return false
	}
	x.unixMoment("accessed", b)
	x.unixMoment("modified", b[4:])
	if len(b) == 12 {
		x.own(little(b[8:10]), little(b[10:]))
	}
	return true
}

func (x *extra) unixIDs(b []byte) bool {
	if len(b) < 2 || b[0] != 1 {
		return false
	}
	user := int(b[1])
	if user > 8 || len(b) < 3+user {
		return false
	}
	group := int(b[2+user])
	if group > 8 || len(b) != 3+user+group {
		return false
	}
	x.own(little(b[2:2+user]), little(b[3+user:]))
	x.owner[len(x.owner)-1] += fmt.Sprintf(" in %d and %d bytes", user, group)
	return true
}

// widen replaces numbers that 32 bits cannot hold by the numbers of zip64, in this
// order, and reports whether there were any.
func (x *extra) widen(at int64, numbers ...*uint64) (bool, error) {
	if x.count > 1 {
		return false, exact.Errorf(at, "two extra fields of zip64")
	}
	b := x.zip64
	for _, n := range numbers {
		if *n != max32 || x.count == 0 {
			continue
		}
		if len(b) < 8 {
			return false, exact.Errorf(at, "an extra field of zip64 lacks a number")
		}
		*n, b = little(b[:8]), b[8:]
	}
	switch len(b) {
	case 0:
	case 4: // the number of the disk; there is only one
		if little(b) != 0 {
			return false, exact.Errorf(at, "a member lies in another part of an archive of several, which are not read")
		}
	default:
		// Superfluous numbers: some writers always store all of them.
		x.other = append(x.other, "zip64:"+hexText(b))
	}
	return x.count > 0, nil
}

// hexText formats bytes as hex; long values as a digest.
func hexText(b []byte) string {
	if len(b) <= 512 {
		return hex.EncodeToString(b)
	}
	return fmt.Sprintf("%d bytes, sha256 %x", len(b), sha256.Sum256(b))
}

// short formats a value, which is ASCII here; a long one with a digest, because long
// values that differ must not read the same.
func short(s string) string {
	if len(s) <= 2048 {
		return s
	}
	return fmt.Sprintf("%s... %d bytes, sha256 %x", s[:512], len(s), sha256.Sum256([]byte(s)))
}

// quoted returns raw text in quotes, "" if it is empty. Long text becomes its length and
// digest and is not cut: long texts that differ must not read the same.
func quoted(s string) string {
	switch {
	case s == "":
		return ""
	case len(s) > 1024:
		return fmt.Sprintf("%d bytes, sha256 %x", len(s), sha256.Sum256([]byte(s)))
	}
	return strconv.Quote(s)
}

// dosTime formats a time without a zone, in steps of two seconds. Numbers that are
// not a valid time are shown as they are.
func dosTime(date, clock uint16) string {
	year, month, day := 1980+int(date>>9), int(date>>5&15), int(date&31)
	hour, minute, second := int(clock>>11), int(clock>>5&63), int(clock&31)*2
	t := time.Date(year, time.Month(month), day, hour, minute, second, 0, time.UTC)
	if int(t.Month()) != month || t.Day() != day || t.Hour() != hour || t.Minute() != minute || t.Second() != second {
		return fmt.Sprintf("no time %04x %04x", date, clock)
	}
	return t.Format("2006-01-02T15:04:05")
}

func join(parts ...string) string {
	var kept []string
	for _, p := range parts {
		if p != "" {
			kept = append(kept, p)
		}
	}
	return strings.Join(kept, ", ")
}
