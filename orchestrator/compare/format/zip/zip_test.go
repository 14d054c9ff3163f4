// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

package zip

import (
	stdzip "archive/zip"
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/klauspost/compress/flate"
	"github.com/zfarm/zfarm/orchestrator/compare/format/container"
	"github.com/zfarm/zfarm/orchestrator/compare/format/container/containertest"
)

// part is a member as the tests write it. Every number can be changed in the local
// header, in the directory entry, or in both.
type part struct {
	name, content, comment string
	flags, method          uint16
	made                   uint16
	external               uint32
	internal               uint16
	clock, date            uint16
	extra, localExtra      string
	level                  int
	before, behind         string // around the member
	within                 string // behind the end of compressed data
	descriptor             string
	local, line            func(header []byte) // last changes
	zeroLocal              bool                // without sums and sizes
}

func u16(n ...uint16) string {
	var b []byte
	for _, x := range n {
		b = binary.LittleEndian.AppendUint16(b, x)
	}
	return string(b)
}

func u32(n ...uint32) string {
	var b []byte
	for _, x := range n {
		b = binary.LittleEndian.AppendUint32(b, x)
	}
	return string(b)
}

func u64(n ...uint64) string {
	var b []byte
	for _, x := range n {
		b = binary.LittleEndian.AppendUint64(b, x)
	}
	return string(b)
}

func (p part) data() string {
	if p.method != deflated {
		return p.content
	}
	var b bytes.Buffer
	w, err := flate.NewWriter(&b, max(p.level, 1))
	if err != nil {
		panic(err)
	}
	if _, err := w.Write([]byte(p.content)); err != nil {
		panic(err)
	}
	if err := w.Close(); err != nil {
		panic(err)
	}
	return b.String() + p.within
}

// common is the part that both headers share, from the version needed on.
func (p part) common(zero bool, extra string) string {
	data, sum := p.data(), crc32.ChecksumIEEE([]byte(p.content))
	if zero {
		return u16(20, p.flags, p.method, p.clock, p.date) + u32(0, 0, 0) + u16(uint16(len(p.name)), uint16(len(extra)))
	}
	return u16(20, p.flags, p.method, p.clock, p.date) + u32(sum, uint32(len(data)), uint32(len(p.content))) + u16(uint16(len(p.name)), uint16(len(extra)))
}

func changed(s string, by func([]byte)) string {
	b := []byte(s)
	if by != nil {
		by(b)
	}
	return string(b)
}

// archiveOf writes an archive whose directory has the parts in this order.
func archiveOf(parts ...part) []byte { return ordered(nil, "", parts...) }

// ordered writes local headers in another order.
func ordered(order []int, comment string, parts ...part) []byte {
	var b bytes.Buffer
	at := make([]int, len(parts))
	if order == nil {
		for i := range parts {
			order = append(order, i)
		}
	}
	for _, i := range order {
		p := parts[i]
		b.WriteString(p.before)
		at[i] = b.Len()
		b.WriteString(changed(localMagic+p.common(p.zeroLocal, p.localExtra), p.local) + p.name + p.localExtra + p.data() + p.descriptor + p.behind)
	}
	directory := b.Len()
	for i, p := range parts {
		b.WriteString(changed(centralMagic+u16(p.made)+p.common(false, p.extra)+u16(uint16(len(p.comment)), 0, p.internal)+u32(p.external, uint32(at[i])), p.line) +
			p.name + p.extra + p.comment)
	}
	b.WriteString(endMagic + u16(0, 0, uint16(len(parts)), uint16(len(parts))) + u32(uint32(b.Len()-directory), uint32(directory)) + u16(uint16(len(comment))) + comment)
	return b.Bytes()
}

func open(t testing.TB, b []byte) *container.Container {
	t.Helper()
	c, err := Open(bytes.NewReader(b), int64(len(b)), container.Limits{})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func contentOf(t testing.TB, b []byte, e container.Entry) string {
	t.Helper()
	if e.Open == nil {
		return string(b[e.Offset : e.Offset+e.Size])
	}
	r, err := e.Open()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	content, err := io.ReadAll(r)
	if err != nil || int64(len(content)) != e.Size {
		t.Fatalf("%d bytes of %d: %v", len(content), e.Size, err)
	}
	return string(content)
}

// said returns the fields of an entry that are not empty, without the one for
// compression.
func said(fields []container.Field) string {
	var s []string
	for _, f := range fields {
		if f.Value != "" && f.Name != "zip.compression" {
			s = append(s, fmt.Sprintf("%s=%s(%d)", strings.TrimPrefix(f.Name, "zip."), f.Value, f.Weight))
		}
	}
	return strings.Join(s, " ")
}

func list(t testing.TB, b []byte, c *container.Container) string {
	var s strings.Builder
	for _, e := range c.Entries {
		fmt.Fprintf(&s, "%s|%s|%d hidden|%s\n", e.Name, contentOf(t, b, e), e.Hidden.Count, said(e.Fields))
	}
	fmt.Fprintf(&s, "%d hidden at %d|%s\n", c.Hidden.Count, c.Hidden.First, said(c.Fields))
	return s.String()
}

const (
	noon   = 12 << 11
	newDay = 44<<9 | 3<<5 | 4
	unix   = madeUnix<<8 | 30
)

var base = part{name: "a", content: "hello hello hello", method: deflated, made: unix, external: 0o100644 << 16, clock: noon, date: newDay, level: 6}

func with(change func(*part)) part {
	p := base
	change(&p)
	return p
}

func TestOpen(t *testing.T) {
	const (
		mode  = "mode=100644 -rw-r--r--(9) attributes=0000(9)"
		rest  = "utf8=false(0) flags=0000(0) method=deflated(0) version=made by 30, needs 20(0)"
		plain = "time=2024-03-04T12:00:00(1) " + mode + " " + rest
		whole = "0 hidden at 0|zip64=false(0) order=as in the directory(0)\n"
	)
	sum := crc32.ChecksumIEEE([]byte(base.content))
	sizes := []uint64{uint64(len(base.data())), uint64(len(base.content))}
	later := func(d string, zip64 bool) part {
		return with(func(p *part) {
			p.flags, p.zeroLocal, p.descriptor = flagDescriptor, true, d
			if zip64 {
				p.localExtra = u16(extraZip64, 16) + u64(0, 0)
				p.local = func(b []byte) { copy(b[18:], u32(max32, max32)) }
			}
		})
	}
	for _, c := range []struct {
		name string
		in   []byte
		want string
	}{
		{"empty", archiveOf(), whole},
		{"deflated", archiveOf(base), "a|hello hello hello|0 hidden|" + plain + "\n" + whole},
		{"stored, of no system", archiveOf(part{name: "b", content: "x"}),
			"b|x|0 hidden|time=no time 0000 0000(1) mode=system 0, 00000000(9) attributes=0000(9) utf8=false(0) flags=0000(0) method=stored(0) version=made by 0, needs 20(0)\n" + whole},
		{"hidden bytes", append(ordered([]int{1, 0}, "note", with(func(p *part) { p.within = "in" }), with(func(p *part) { p.name, p.before, p.behind = "b", "before", "gap" })), "end"...),
			"a|hello hello hello|2 hidden|" + plain + "\nb|hello hello hello|0 hidden|" + plain + "\n12 hidden at 0|zip64=false(0) comment=\"note\"(9) " +
				"order=another than in the directory, sha256 ORDER(0)\n"},
		{"equal names", archiveOf(base, base), strings.Repeat("a|hello hello hello|0 hidden|"+plain+"\n", 2) + whole},
		{"times", archiveOf(with(func(p *part) {
			p.extra = u16(extraTime, 5) + "\x03" + u32(1700000000)
			p.localExtra = u16(extraTime, 9) + "\x03" + u32(1700000000, 1700000001)
		})), "a|hello hello hello|0 hidden|time=2024-03-04T12:00:00, modified 2023-11-14T22:13:20Z, flags 3; local modified 2023-11-14T22:13:20Z, accessed 2023-11-14T22:13:21Z, flags 3(1) " +
			mode + " " + rest + "\n" + whole},
		{"times of NTFS", archiveOf(with(func(p *part) {
			p.extra = u16(extraNTFS, 32) + u32(0) + u16(1, 24) + u64(133444736000000001, 116444736000000000, 0)
		})), "a|hello hello hello|0 hidden|time=2024-03-04T12:00:00, modified 2023-11-14T22:13:20.0000001Z, accessed 1970-01-01T00:00:00Z, created 1601-01-01T00:00:00Z(1) " +
			mode + " " + rest + "\n" + whole},
		{"owners", archiveOf(with(func(p *part) { p.localExtra = u16(extraUnixIDs, 11) + "\x01\x04" + u32(1000) + "\x04" + u32(100) })),
			"a|hello hello hello|0 hidden|time=2024-03-04T12:00:00(1) owner=local user 1000, group 100 in 4 and 4 bytes(1) " + mode + " " + rest + "\n" + whole},
		{"unknown extra fields", archiveOf(with(func(p *part) { p.extra, p.localExtra = "\xfe\xca\x00\x00\x01", u16(7, 2)+"ab" })),
			"a|hello hello hello|0 hidden|time=2024-03-04T12:00:00(1) " + mode + " extra=cafe:, rest:01(9) extra.local=0007:6162(9) " + rest + "\n" + whole},
		{"descriptor", archiveOf(later(descriptorMagic+u32(sum, uint32(sizes[0]), uint32(sizes[1])), false)),
			"a|hello hello hello|0 hidden|" + strings.Replace(plain, "0000(0)", "0008(0)", 1) + " descriptor=16 bytes(0)\n" + whole},
		{"descriptor without magic", archiveOf(later(u32(sum, uint32(sizes[0]), uint32(sizes[1])), false)),
			"a|hello hello hello|0 hidden|" + strings.Replace(plain, "0000(0)", "0008(0)", 1) + " descriptor=12 bytes(0)\n" + whole},
		{"descriptor of zip64", archiveOf(later(descriptorMagic+u32(sum)+u64(sizes...), true)),
			"a|hello hello hello|0 hidden|" + strings.Replace(plain, "0000(0)", "0008(0)", 1) + " zip64=directory false, local true(0) descriptor=24 bytes(0)\n" + whole},
		{"names in UTF-8", archiveOf(with(func(p *part) { p.name, p.flags, p.comment = "ä", flagUTF8, "c\x1b" })),
			"ä|hello hello hello|0 hidden|time=2024-03-04T12:00:00(1) " + mode + " comment=\"c\\x1b\"(9) " + strings.Replace(rest, "utf8=false(0)", "utf8=true(9)", 1) + "\n" + whole},
		{"flags that nobody defined", archiveOf(with(func(p *part) { p.flags = 1 << 15 })),
			"a|hello hello hello|0 hidden|time=2024-03-04T12:00:00(1) " + mode + " " + strings.Replace(rest, "flags=0000(0)", "flags=8000(9)", 1) + "\n" + whole},
	} {
		t.Run(c.name, func(t *testing.T) {
			have := list(t, c.in, open(t, c.in))
			if i := strings.Index(have, "sha256 "); i >= 0 {
				have = have[:i+7] + "ORDER" + have[i+7+64:]
			}
			if diff := cmp.Diff(c.want, have); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// ended replaces the end record of an archive with one member by zip64 records.
func ended(in []byte, change func(rec, loc []byte), sentinel bool) []byte {
	at := bytes.LastIndex(in, []byte(endMagic))
	size, offset := uint64(binary.LittleEndian.Uint32(in[at+12:])), uint64(binary.LittleEndian.Uint32(in[at+16:]))
	rec := []byte(end64Magic + u64(end64Size-12+2) + u16(45, 45) + u32(0, 0) + u64(1, 1, size, offset) + "xy")
	loc := []byte(locatorMagic + u32(0) + u64(uint64(at)) + u32(1))
	if change != nil {
		change(rec, loc)
	}
	end := bytes.Clone(in[at:])
	if sentinel {
		copy(end[8:], u16(max16, max16)+u32(max32, max32))
	}
	return bytes.Join([][]byte{in[:at], rec, loc, end}, nil)
}

func TestZip64(t *testing.T) {
	wide := with(func(p *part) {
		n := []uint64{uint64(len(p.content)), uint64(len(p.data()))}
		p.extra, p.localExtra = u16(extraZip64, 24)+u64(n[0], n[1], 0), u16(extraZip64, 16)+u64(n...)
		p.local = func(b []byte) { copy(b[18:], u32(max32, max32)) }
		p.line = func(b []byte) { copy(b[20:], u32(max32, max32)); copy(b[42:], u32(max32)) }
	})
	for _, sentinel := range []bool{true, false} {
		in := ended(archiveOf(wide), nil, sentinel)
		c := open(t, in)
		if s := said(c.Fields); !strings.Contains(s, "zip64.extra=7879(9)") || !strings.Contains(s, "zip64=true(0)") || c.Hidden.Count != 0 {
			t.Errorf("%s, %+v", s, c.Hidden)
		}
		if e := c.Entries[0]; contentOf(t, in, e) != base.content || !strings.Contains(said(e.Fields), "zip64=directory true, local true") {
			t.Errorf("%+v", e)
		}
	}
}

func TestArchiveBehindSomething(t *testing.T) {
	in := append([]byte("#!/bin/sh\n"), archiveOf(base)...)
	c := open(t, in)
	if c.Hidden.Count != 10 || contentOf(t, in, c.Entries[0]) != base.content {
		t.Errorf("%+v", c)
	}
}

func TestFaults(t *testing.T) {
	good := archiveOf(base)
	local := func(at int, s string) []byte {
		return archiveOf(with(func(p *part) { p.local = func(b []byte) { copy(b[at:], s) } }))
	}
	line := func(at int, s string) []byte {
		return archiveOf(with(func(p *part) { p.line = func(b []byte) { copy(b[at:], s) } }))
	}
	both := func(at int, s string) []byte {
		return archiveOf(with(func(p *part) {
			p.local = func(b []byte) { copy(b[at:], s) }
			p.line = func(b []byte) { copy(b[at+2:], s) }
		}))
	}
	end := func(at int, s string) []byte {
		b := bytes.Clone(good)
		copy(b[len(b)-endSize+at:], s)
		return b
	}
	twice := archiveOf(base, with(func(p *part) { p.name, p.line = "b", func(b []byte) { copy(b[42:], u32(0)) } }))
	into := archiveOf(with(func(p *part) {
		p.method = stored
		p.content = "0123456789" + string(good[:len(good)-100])
	}))
	for _, c := range []struct {
		name, want string
		in         []byte
		limits     container.Limits
	}{
		{"nothing", "without the record of its end", nil, container.Limits{}},
		{"cut off", "without the record of its end", good[:len(good)-1], container.Limits{}},
		{"comment cut off", "comment of a zip archive is cut off", end(20, u16(5)), container.Limits{}},
		{"two ends", "two records of the end", ordered(nil, string(archiveOf()), base), container.Limits{}},
		{"several parts", "one part of an archive of several", end(4, u16(1)), container.Limits{}},
		{"number of members", "does not fit in", end(8, u16(9, 9)), container.Limits{}},
		{"fewer members than lines", "bytes are left of the directory", archiveAs(1, base, base), container.Limits{}},
		{"no members but a line", "another line of the directory behind its 0 members",
			[]byte(centralMagic + strings.Repeat("0", 20) + endMagic + strings.Repeat("\x00", 18)), container.Limits{}},
		{"directory outside", "does not fit before its end", end(12, u32(1<<30)), container.Limits{}},
		{"no zip64", "records of zip64 are missing", end(12, u32(max32)), container.Limits{}},
		{"no line", "does not begin with its magic", line(0, "XX"), container.Limits{}},
		{"unlike names", `disagree about the name of "a": "b" and "a"`, local(30, ""), container.Limits{}},
		{"unlike flags", "disagree about the flags", local(6, u16(2)), container.Limits{}},
		{"unlike methods", "disagree about the method", local(8, u16(stored)), container.Limits{}},
		{"unlike times", "disagree about the time", local(10, u16(noon+1)), container.Limits{}},
		{"unlike sums", "disagree about the sum", local(14, u32(1)), container.Limits{}},
		{"unlike packed sizes", "disagree about the packed size", local(18, u32(1)), container.Limits{}},
		{"unlike sizes", "disagree about the size", local(22, u32(1)), container.Limits{}},
		{"sum", "should be 00000001", both(14, u32(1)), container.Limits{}},
		{"less than said", "less than the 40 that are said", both(22, u32(40)), container.Limits{}},
		{"more than said", "more than the 4 bytes", both(22, u32(4)), container.Limits{}},
		{"cannot inflate to that", "which deflate cannot", both(22, u32(1<<30)), container.Limits{}},
		{"encrypted", "is encrypted", both(6, u16(1)), container.Limits{}},
		{"a patch", "is a patch", both(6, u16(flagPatch)), container.Limits{}},
		{"bzip2", "compressed by method 12", both(8, u16(12)), container.Limits{}},
		{"stored of another size", "is stored, and of", both(8, u16(stored)), container.Limits{}},
		{"data", "inflating", corrupt(good), container.Limits{}},
		{"descriptor", "the descriptor of", archiveOf(with(func(p *part) { p.flags, p.descriptor = flagDescriptor, u32(1, 2, 3) })), container.Limits{}},
		{"member behind directory", "in or behind the directory", line(42, u32(1<<20)), container.Limits{}},
		{"no local header", "no local header is", line(42, u32(1)), container.Limits{}},
		{"one member twice", "overlap", twice, container.Limits{}},
		{"member within member", "overlap", overlapping(into), container.Limits{}},
		{"zip64 twice", "two extra fields of zip64", archiveOf(with(func(p *part) { p.extra = strings.Repeat(u16(extraZip64, 0), 2) })), container.Limits{}},
		{"zip64 lacks", "lacks a number", archiveOf(with(func(p *part) {
			p.extra = u16(extraZip64, 0)
			p.line = func(b []byte) { copy(b[24:], u32(max32)) }
		})), container.Limits{}},
		{"zip64 of another place", "record of zip64 is said to be", ended(good, func(_, loc []byte) { copy(loc[8:], u64(1<<40)) }, true), container.Limits{}},
		{"zip64 is none", "record of zip64 is not readable", ended(good, func(rec, _ []byte) { rec[0] = 'X' }, true), container.Limits{}},
		{"unlike ends", "say unlike things", ended(good, func(rec, _ []byte) { copy(rec[48:], u64(1)) }, false), container.Limits{}},
		{"18 quintillion members", "more than 2000000 members", ended(good, func(rec, _ []byte) { copy(rec[24:], u64(1<<62, 1<<62)) }, true), container.Limits{}},
		{"members", "more than 1 members", archiveOf(base, base), container.Limits{Members: 1}},
		{"names", "names and fields", good, container.Limits{Names: 100}},
		{"content", "more than 16 bytes lie inside", good, container.Limits{Content: 16}},
	} {
		t.Run(c.name, func(t *testing.T) {
			if c.name == "unlike names" {
				c.in[localSize] = 'b'
			}
			_, err := Open(bytes.NewReader(c.in), int64(len(c.in)), c.limits)
			if err == nil || !errors.Is(err, container.ErrFormat) || !strings.Contains(err.Error(), c.want) {
				t.Errorf("error %v; want %q", err, c.want)
			}
		})
	}
}

// archiveAs declares another number of members.
func archiveAs(n uint16, parts ...part) []byte {
	b := archiveOf(parts...)
	copy(b[len(b)-endSize+8:], u16(n, n))
	return b
}

// corrupt changes compressed data.
func corrupt(good []byte) []byte {
	b := bytes.Clone(good)
	b[localSize+1] = 7
	return b
}

// overlapping adds a directory entry for a member that lies within the content of
// the first, like archives that store one content under many names.
func overlapping(in []byte) []byte {
	end := bytes.LastIndex(in, []byte(endMagic))
	at := bytes.LastIndex(in[:end], []byte(centralMagic))
	line := bytes.Clone(in[at:end])
	copy(line[42:], u32(uint32(localSize+1+10)))
	out := bytes.Join([][]byte{in[:end], line, in[end:]}, nil)
	copy(out[len(out)-endSize+8:], u16(2, 2)+u32(uint32(2*len(line))))
	return out
}

func TestTwoDirectories(t *testing.T) {
	a := archiveOf(base)
	at := bytes.LastIndex(a, []byte(centralMagic))
	end := bytes.LastIndex(a, []byte(endMagic))
	// The first is at the offset in the end record, the second ends where that
	// record begins.
	in := bytes.Join([][]byte{a[:end], a[at:end], a[end:]}, nil)
	if _, err := Open(bytes.NewReader(in), int64(len(in)), container.Limits{}); err == nil || !strings.Contains(err.Error(), "two directories") {
		t.Errorf("error %v", err)
	}
}

func TestBombs(t *testing.T) {
	big := with(func(p *part) { p.content = strings.Repeat("\x00", 8<<20) })
	in := archiveOf(big, big)
	_, err := Open(bytes.NewReader(in), int64(len(in)), container.Limits{Content: 10 << 20})
	if err == nil || !strings.Contains(err.Error(), "more than 10485760 bytes lie inside") {
		t.Errorf("error %v", err)
	}
}

type broken struct{ err error }

func (b broken) ReadAt([]byte, int64) (int, error) { return 0, b.err }

func TestFileThatCannotBeRead(t *testing.T) {
	want := errors.New("no disk")
	if _, err := Open(broken{want}, 1<<20, container.Limits{}); !errors.Is(err, want) || errors.Is(err, container.ErrFormat) {
		t.Errorf("error %v", err)
	}
}

func TestPlantedDifferences(t *testing.T) {
	var lines strings.Builder
	for i := range 400 {
		fmt.Fprintf(&lines, "line %d of many lines, %x\n", i, i*i*7919)
	}
	long := lines.String()
	first := open(t, archiveOf(with(func(p *part) { p.content, p.level = long, 9 }))).Entries[0]
	for _, c := range []struct {
		want   string
		change func(*part)
	}{
		{"zip.time", func(p *part) { p.clock++ }},
		{"zip.time", func(p *part) { p.localExtra = u16(extraTime, 5) + "\x01" + u32(5) }},
		{"zip.owner", func(p *part) { p.extra = u16(extraUnix16, 4) + u16(1, 2) }},
		{"zip.mode", func(p *part) { p.external |= 0o111 << 16 }},
		{"zip.attributes", func(p *part) { p.internal = 1 }},
		{"zip.comment", func(p *part) { p.comment = "c" }},
		{"zip.extra zip.extra.local", func(p *part) { p.extra = u16(0x7075, 1) + "x" }},
		{"zip.extra.local", func(p *part) { p.localExtra = u16(0xcafe, 0) }},
		{"zip.utf8", func(p *part) { p.flags = flagUTF8 }},
		{"zip.flags", func(p *part) { p.flags = 2 }},
		{"zip.method zip.compression", func(p *part) { p.method = stored }},
		{"zip.version", func(p *part) { p.made++ }},
		{"zip.compression", func(p *part) { p.level = 1 }},
	} {
		in := archiveOf(with(func(p *part) { p.content, p.level = long, 9; c.change(p) }))
		second := open(t, in).Entries[0]
		var differ []string
		for _, name := range fieldNames() {
			if whole(first, name) != whole(second, name) {
				differ = append(differ, name)
			}
		}
		if have := strings.Join(differ, " "); have != c.want || contentOf(t, in, second) != long {
			t.Errorf("%q differ; want %q", have, c.want)
		}
	}
}

// fieldNames are the possible fields of an entry, in order.
func fieldNames() []string {
	return strings.Fields("zip.time zip.owner zip.mode zip.attributes zip.comment zip.extra zip.extra.local zip.utf8 zip.flags " +
		"zip.method zip.version zip.zip64 zip.descriptor zip.compression")
}

// whole returns a field, without a value if it was left out.
func whole(e container.Entry, name string) container.Field {
	for _, f := range e.Fields {
		if f.Name == name {
			return f
		}
	}
	return container.Field{Name: name}
}

func TestWhatTheStandardLibraryWrites(t *testing.T) {
	var b bytes.Buffer
	w := stdzip.NewWriter(&b)
	for i, name := range []string{"x/", "x/one", "x/two"} {
		h := &stdzip.FileHeader{Name: name, Modified: time.Unix(1700000000, 0), Method: stdzip.Deflate}
		h.SetMode(0o644)
		f, err := w.CreateHeader(h)
		if err != nil {
			t.Fatal(err)
		}
		if i > 0 {
			if _, err := f.Write([]byte(strings.Repeat(name, 100))); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	c := open(t, b.Bytes())
	if len(c.Entries) != 3 || c.Hidden.Count != 0 || contentOf(t, b.Bytes(), c.Entries[2]) != strings.Repeat("x/two", 100) ||
		!strings.Contains(said(c.Entries[2].Fields), "modified 2023-11-14T22:13:20Z") || !strings.Contains(said(c.Entries[2].Fields), "descriptor=16 bytes") {
		t.Error(list(t, b.Bytes(), c))
	}
}

// programs write archives of two files, a folder and a link.
func TestWhatProgramsWrite(t *testing.T) {
	for _, args := range [][]string{
		{"zip", "-r", "out.zip", "."}, {"zip", "-rX0", "out.zip", "."}, {"zip", "-ry", "-fz", "out.zip", "."},
		{"sh", "-c", "tar -cf - one | zip -q - - | cat > out.zip"},
		{"sh", "-c", "zip -qr - one long name | cat > out.zip"},
		{"jar", "cf", "out.zip", "one", "long name"}, {"7z", "a", "-tzip", "out.zip", "."}, {"bsdtar", "--format=zip", "-cf", "out.zip", "one"},
		{"python3", "-c", "import shutil; shutil.make_archive('../out', 'zip', '.')"},
	} {
		t.Run(strings.Join(args, " "), func(t *testing.T) {
			dir := t.TempDir()
			in := writtenBy(t, dir, args)
			c := open(t, in)
			if len(c.Entries) == 0 || c.Hidden.Count != 0 {
				t.Error(list(t, in, c))
			}
			std, err := stdzip.NewReader(bytes.NewReader(in), int64(len(in)))
			if err != nil {
				t.Fatal(err)
			}
			for i, f := range std.File {
				r, err := f.Open()
				if err != nil {
					t.Fatal(err)
				}
				want, err := io.ReadAll(r)
				if err != nil {
					t.Fatal(err)
				}
				if e := c.Entries[i]; e.Name != f.Name || contentOf(t, in, e) != string(want) || e.Hidden.Count != 0 {
					t.Errorf("%s: %+v", f.Name, e)
				}
			}
		})
	}
}

func writtenBy(t *testing.T, top string, args []string) []byte {
	t.Helper()
	if _, err := exec.LookPath(args[0]); err != nil {
		t.Skipf("no %s here: install it to read what it writes", args[0])
	}
	dir := filepath.Join(top, "in")
	if err := os.MkdirAll(filepath.Join(dir, "folder"), 0o755); err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{"one": strings.Repeat("one\n", 1000), "long name": "", "folder/two": "two\n"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink("one", filepath.Join(dir, "link")); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(args[0], args[1:]...)
	cmd.Dir = dir
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Skipf("%s does not make this here: %s", args[0], out)
	}
	b, err := os.ReadFile(filepath.Join(dir, "out.zip"))
	if err != nil {
		b, err = os.ReadFile(filepath.Join(top, "out.zip"))
	}
	if err != nil {
		t.Skipf("%s does not make this here: %v", args[0], err)
	}
	return b
}

func FuzzOpen(f *testing.F) {
	f.Add(archiveOf(base, with(func(p *part) {
		p.name, p.extra, p.localExtra = "b", u16(extraTime, 5)+"\x01"+u32(5), u16(extraUnix16, 4)+u16(1, 2)
	})))
	f.Add(ordered([]int{1, 0}, "note", part{name: "x", content: "y", before: "gap"}, base))
	f.Add(ended(archiveOf(base), nil, true))
	f.Add(archiveOf(with(func(p *part) {
		p.flags, p.descriptor = flagDescriptor, u32(crc32.ChecksumIEEE([]byte(p.content)), uint32(len(p.data())), uint32(len(p.content)))
	})))
	f.Fuzz(func(t *testing.T, b []byte) {
		var c *container.Container
		var err error
		containertest.Little(t, containertest.All, func() {
			c, err = Open(bytes.NewReader(b), int64(len(b)), container.Limits{Content: 1 << 20})
		})
		if err != nil {
			if !errors.Is(err, container.ErrFormat) {
				t.Errorf("error %v", err)
			}
			return
		}
		// The standard library must accept every accepted archive, and read the
		// same.
		std, err := stdzip.NewReader(bytes.NewReader(b), int64(len(b)))
		if err != nil || len(std.File) != len(c.Entries) {
			t.Fatalf("the standard library sees something else: %v", err)
		}
		for i, e := range c.Entries {
			if std.File[i].Name != e.Name || std.File[i].UncompressedSize64 != uint64(e.Size) || std.File[i].Comment == "" && fieldOf(e, "zip.comment") != "" {
				t.Errorf("%+v and %+v", e, std.File[i].FileHeader)
			}
			contentOf(t, b, e)
		}
	})
}

func fieldOf(e container.Entry, name string) string {
	for _, f := range e.Fields {
		if f.Name == name {
			return f.Value
		}
	}
	return ""
}

func BenchmarkOpen(b *testing.B) {
	var text bytes.Buffer
	for i := 0; text.Len() < 100_000; i++ {
		fmt.Fprintf(&text, "line %d of many lines, %x\n", i, i*i*7919)
	}
	for _, method := range []uint16{stored, deflated} {
		var parts []part
		for range 100 {
			parts = append(parts, with(func(p *part) { p.content, p.method = text.String(), method }))
		}
		in := archiveOf(parts...)
		b.Run((&member{header: header{method: method}}).methodName(), func(b *testing.B) {
			b.SetBytes(int64(100 * text.Len()))
			for b.Loop() {
				if _, err := Open(bytes.NewReader(in), int64(len(in)), container.Limits{}); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
