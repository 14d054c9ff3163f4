// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

package zip

import (
	"bufio"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"hash"
	"hash/crc32"
	"io"
	"io/fs"
	"slices"
	"strconv"
	"strings"

	"github.com/klauspost/compress/flate"
	"github.com/zfarm/zfarm/orchestrator/compare/format/container"
	"github.com/zfarm/zfarm/orchestrator/compare/format/exact"
)

const (
	stored   = 0
	deflated = 8
	// maxRatio bounds the compression ratio of deflate from above: 258 bytes in two
	// bits.
	maxRatio   = 1032
	readBuffer = 64 << 10
)

// local reads the local header of a member and its content. It returns the offset
// behind the member.
func (z *archive) local(near *exact.Window, m *member, next int64) (container.Entry, int64, error) {
	u16, u32 := binary.LittleEndian.Uint16, binary.LittleEndian.Uint32
	b, err := near.Bytes(m.local, localSize)
	if err != nil {
		return container.Entry{}, 0, err
	}
	if string(b[:4]) != localMagic {
		return container.Entry{}, 0, exact.Errorf(m.local, "the directory says that %s is here, and no local header is", quoted(m.name()))
	}
	needs := u16(b[4:])
	h := header{u16(b[6:]), u16(b[8:]), u16(b[10:]), u16(b[12:]), u32(b[14:]), uint64(u32(b[18:])), uint64(u32(b[22:]))}
	nameLen, extraLen := int(u16(b[26:])), int(u16(b[28:]))
	rest, err := near.Bytes(m.local+localSize, nameLen+extraLen)
	if err != nil {
		return container.Entry{}, 0, err
	}
	name, x := string(rest[:nameLen]), readExtra(string(rest[nameLen:]), true)
	wide, err := x.widen(m.local, &h.size, &h.packed)
	if err != nil {
		return container.Entry{}, 0, err
	}
	if err := m.agrees(name, h); err != nil {
		return container.Entry{}, 0, err
	}
	data := m.local + localSize + int64(len(rest))
	if data > next || m.packed > uint64(next-data) {
		return container.Entry{}, 0, exact.Errorf(data, "%s of %d bytes reaches into what follows at %d: members overlap", quoted(m.name()), m.packed, next)
	}
	descriptor, end, err := z.descriptor(m, wide, data+int64(m.packed), next)
	if err != nil {
		return container.Entry{}, 0, err
	}
	e, compression, err := z.content(m, data)
	if err != nil {
		return container.Entry{}, 0, err
	}
	e.Fields = m.fields(x, needs, wide, descriptor, compression)
	return e, end, z.budget.Fields(m.local, e.Fields)
}

// agrees checks that a local header agrees with the directory entry. If a
// descriptor follows, sum and sizes may be missing from the local header.
func (m *member) agrees(name string, h header) error {
	later := m.flags&flagDescriptor != 0
	for _, c := range []struct {
		field           string
		local, line     any
		same, may       bool
		at, inDirectory int64
	}{
		{"name", quoted(name), quoted(m.name()), name == m.name(), false, 26, 28},
		{"flags", h.flags, m.flags, h.flags == m.flags, false, 6, 8},
		{"method", h.method, m.method, h.method == m.method, false, 8, 10},
		{"time", dosTime(h.date, h.clock), dosTime(m.date, m.clock), h.date == m.date && h.clock == m.clock, false, 10, 12},
		{"sum", h.crc, m.crc, h.crc == m.crc, later && h.crc == 0, 14, 16},
		{"packed size", h.packed, m.packed, h.packed == m.packed, later && h.packed == 0, 18, 20},
		{"size", h.size, m.size, h.size == m.size, later && h.size == 0, 22, 24},
	} {
		if !c.same && !c.may {
			return exact.Errorf(m.local+c.at, "local header and directory (byte %d) disagree about the %s of %s: %v and %v",
				m.line+c.inDirectory, c.field, quoted(m.name()), c.local, c.line)
		}
	}
	return nil
}

// descriptor finds the sum and sizes behind the data. There are four layouts and no
// mark that tells them apart. It accepts those that match the directory and, of
// these, the one that ends where the next record begins.
func (z *archive) descriptor(m *member, wide bool, at, next int64) (form string, end int64, err error) {
	if m.flags&flagDescriptor == 0 {
		return "", at, nil
	}
	b := make([]byte, min(24, next-at))
	if err := z.f.Read(b, at); err != nil {
		return "", 0, err
	}
	best := -1
	for _, c := range []struct {
		magic string
		width int
	}{{descriptorMagic, 4}, {descriptorMagic, 8}, {"", 4}, {"", 8}} {
		n := len(c.magic) + 4 + 2*c.width
		if len(b) < n || string(b[:len(c.magic)]) != c.magic {
			continue
		}
		d := b[len(c.magic):]
		if little(d[:4]) != uint64(m.crc) || little(d[4:4+c.width]) != m.packed || little(d[4+c.width:4+2*c.width]) != m.size {
			continue
		}
		if best < 0 || at+int64(n) == next || wide && c.width == 8 && at+int64(best) != next {
			best, form = n, fmt.Sprintf("%d bytes", n)
		}
	}
	if best < 0 {
		return "", 0, exact.Errorf(at, "the descriptor of %s is not what the directory says of its sum and sizes", quoted(m.name()))
	}
	return form, at + int64(best), nil
}

// content checks the content of a member, and describes its compression.
func (z *archive) content(m *member, data int64) (container.Entry, string, error) {
	e := container.Entry{Name: m.name(), Offset: data, Size: int64(m.size)}
	if err := z.budget.Content(m.line, m.size); err != nil {
		return e, "", err
	}
	if m.method == stored {
		h := crc32.NewIEEE()
		if err := z.f.Sum(h, data, int64(m.size)); err != nil {
			return e, "", err
		}
		return e, "", m.sum(h)
	}
	f, h, size, packed, name, local := z.f, m.header, int64(m.size), int64(m.packed), m.name(), m.local
	e.Offset, e.Open = 0, func() (io.ReadCloser, error) {
		return newInflater(f, data, packed, &member{header: h, text: name, nameEnd: uint32(len(name)), local: local}, nil), nil
	}
	r := newInflater(f, data, packed, m, z.inflate)
	z.inflate = r.flate
	buf := make([]byte, min(readBuffer, size+1))
	for {
		if _, err := r.Read(buf); err == io.EOF { //nolint:errorlint // wrapped, it is a fault
			break
		} else if err != nil {
			return e, "", err
		}
	}
	var hidden exact.Hidden
	if err := hidden.Add(f, data+r.end, packed-r.end); err != nil {
		return e, "", err
	}
	e.Hidden = hidden.Value()
	sum := sha256.New()
	if err := f.Sum(sum, data, r.end); err != nil {
		return e, "", err
	}
	return e, fmt.Sprintf("%d bytes, sha256 %x", r.end, sum.Sum(nil)), nil
}

func (m *member) sum(h hash.Hash32) error {
	if h.Sum32() == m.crc {
		return nil
	}
	return exact.Errorf(m.local, "the sum of %s is %08x, and should be %08x", quoted(m.name()), h.Sum32(), m.crc)
}

// inflater inflates one member and checks size and sum.
type inflater struct {
	m       *member
	input   *exact.RangeReader
	buf     *bufio.Reader
	flate   io.ReadCloser
	crc     hash.Hash32
	left    int64
	at, end int64 // offset of the data, and its length
	done    bool
}

func newInflater(f exact.File, at, packed int64, m *member, used io.ReadCloser) *inflater {
	r := &inflater{m: m, input: f.RangeReader(at, packed), crc: crc32.NewIEEE(), left: int64(m.size), at: at}
	r.buf = bufio.NewReaderSize(r.input, int(max(16, min(readBuffer, packed))))
	if again, ok := used.(flate.Resetter); ok && again.Reset(r.buf, nil) == nil {
		r.flate = used
	} else {
		r.flate = flate.NewReader(r.buf)
	}
	return r
}

func (r *inflater) Read(p []byte) (int, error) {
	if r.done {
		return 0, io.EOF
	}
	n, err := r.flate.Read(p)
	if int64(n) > r.left {
		return 0, exact.Errorf(r.at, "%s inflates to more than the %d bytes that are said", quoted(r.m.name()), r.m.size)
	}
	r.left -= int64(n)
	r.crc.Write(p[:n])
	if err != io.EOF {
		return n, r.input.Fault(err, r.at, "inflating "+quoted(r.m.name()))
	}
	if r.left > 0 {
		return n, exact.Errorf(r.at, "%s inflates to %d bytes less than the %d that are said", quoted(r.m.name()), r.left, r.m.size)
	}
	r.end, r.done = r.input.Count()-int64(r.buf.Buffered()), true
	if err := r.m.sum(r.crc); err != nil {
		return n, err
	}
	return n, io.EOF
}

func (r *inflater) Close() error { return r.flate.Close() }

// fields returns the values of both headers of a member, without empty ones.
func (m *member) fields(local extra, needs uint16, wide bool, descriptor, compression string) []container.Field {
	line := m.extra()
	times := join(append([]string{dosTime(m.date, m.clock)}, line.times...)...)
	if len(local.times) > 0 {
		times += "; local " + join(local.times...)
	}
	owner := join(line.owner...)
	if len(local.owner) > 0 {
		owner = strings.TrimPrefix(owner+"; local "+join(local.owner...), "; ")
	}
	zip64 := ""
	if m.zip64 || wide {
		zip64 = fmt.Sprintf("directory %v, local %v", m.zip64, wide)
	}
	version := fmt.Sprintf("made by %d, needs %d", m.made&0xff, m.needs)
	if needs != m.needs {
		version += fmt.Sprintf(", local header needs %d", needs)
	}
	other := ""
	if !slices.Equal(line.other, local.other) {
		other = join(local.other...)
		if other == "" {
			other = "none"
		}
	}
	return slices.DeleteFunc([]container.Field{
		{Name: "zip.time", Value: short(times), Weight: container.Header},
		{Name: "zip.owner", Value: short(owner), Weight: container.Header},
		{Name: "zip.mode", Value: m.mode(), Weight: container.Meaning},
		{Name: "zip.attributes", Value: fmt.Sprintf("%04x", m.internal), Weight: container.Meaning},
		{Name: "zip.comment", Value: quoted(m.comment()), Weight: container.Meaning},
		{Name: "zip.extra", Value: short(join(line.other...)), Weight: container.Meaning},
		{Name: "zip.extra.local", Value: short(other), Weight: container.Meaning},
		m.utf8(),
		m.flagsField(),
		{Name: "zip.method", Value: m.methodName()},
		{Name: "zip.version", Value: version},
		{Name: "zip.zip64", Value: zip64},
		{Name: "zip.descriptor", Value: descriptor},
		{Name: "zip.compression", Value: compression},
	}, func(f container.Field) bool { return f.Value == "" })
}

// extra decodes the directory entry's extra fields again; keeping them would take
// more memory than everything else.
func (m *member) extra() extra {
	x := readExtra(m.more(), false)
	var numbers [3]uint64
	for i, asked := range m.asked {
		if asked {
			numbers[i] = max32
		}
	}
	// The first decoding had no error.
	_, _ = x.widen(m.line, &numbers[0], &numbers[1], &numbers[2])
	return x
}

func (m *member) methodName() string {
	if m.method == stored {
		return "stored"
	}
	return "deflated"
}

// utf8 says whether name and comment are marked as UTF-8, which makes no difference
// if they are ASCII.
func (m *member) utf8() container.Field {
	f := container.Field{Name: "zip.utf8", Value: strconv.FormatBool(m.flags&flagUTF8 != 0)}
	if strings.IndexFunc(m.name()+m.comment(), func(r rune) bool { return r >= 0x80 }) >= 0 {
		f.Weight = container.Meaning
	}
	return f
}

// flagsField describes the other flags: the compression level, and that a
// descriptor follows. Undefined bits may have any meaning.
func (m *member) flagsField() container.Field {
	flags := m.flags &^ flagUTF8
	f := container.Field{Name: "zip.flags", Value: fmt.Sprintf("%04x", flags)}
	if flags&^flagsKnown != 0 {
		f.Weight = container.Meaning
	}
	return f
}

// Systems that write UNIX modes into the upper half of the attributes.
const (
	madeUnix  = 3
	madeMacOS = 19
)

// mode describes the external attributes, whose layout depends on the system that
// made the archive.
func (m *member) mode() string {
	system := m.made >> 8
	if system != madeUnix && system != madeMacOS {
		return fmt.Sprintf("system %d, %08x", system, m.external)
	}
	mode := m.external >> 16
	text := fmt.Sprintf("%06o %s", mode, fs.FileMode(mode&0o777))
	if rest := m.external & max16; rest != 0 {
		text += fmt.Sprintf(", dos %04x", rest)
	}
	if system != madeUnix {
		text += fmt.Sprintf(", system %d", system)
	}
	return text
}
