// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

package rpm

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"hash"
	"iter"
	"slices"
	"strconv"
	"strings"

	"github.com/zfarm/zfarm/orchestrator/compare/format/exact"
)

const (
	headerMagic = "\x8e\xad\xe8\x01"
	introSize   = 16
	indexSize   = 16
	maxTags     = 1 << 16  // as many as rpm allows
	maxStore    = 16 << 20 // rpm allows 256 MiB; packages of 100,000 files need less than this
	maxText     = 1024     // bytes of a value that is shown whole
	maxBinary   = 256
)

// kind is the type of a tag's values.
type kind uint32

const (
	kindNull kind = iota
	kindChar
	kindInt8
	kindInt16
	kindInt32
	kindInt64
	kindString
	kindBinary
	kindStrings
	kindLocalized
)

// width returns the bytes of a value, 0 for terminated values.
func (k kind) width() int {
	switch k {
	case kindChar, kindInt8, kindBinary:
		return 1
	case kindInt16:
		return 2
	case kindInt32:
		return 4
	case kindInt64:
		return 8
	}
	return 0
}

// tag is one entry of the index of a header.
type tag struct {
	id       uint32
	kind     kind
	count    int
	from, to int  // in the store
	reported bool // checked or shown elsewhere, so not a field of the package
}

// header is one header.
type header struct {
	at, end int64
	tags    []tag // in the order of the index
	store   []byte
	layout  string
	region  string
	whole   bool // the region covers all of the header
}

// find returns the first tag with that number and kind.
func (h *header) find(id uint32, k kind) *tag {
	for i := range h.tags {
		if t := &h.tags[i]; t.id == id && t.kind == k {
			return t
		}
	}
	return nil
}

// header reads the header at offset at.
func (p *pack) header(at int64) (*header, error) {
	intro := make([]byte, introSize)
	if err := p.f.Read(intro, at); err != nil {
		return nil, err
	}
	if string(intro[:4]) != headerMagic {
		return nil, exact.Errorf(at, "a header does not begin with its magic")
	}
	n, size := binary.BigEndian.Uint32(intro[8:]), binary.BigEndian.Uint32(intro[12:])
	if n > maxTags || size > maxStore {
		return nil, exact.Errorf(at+8, "a header of %d tags and %d bytes; up to %d and %d are read", n, size, maxTags, maxStore)
	}
	if err := p.budget.Names(at, int64(n)*indexSize*4+int64(size)); err != nil {
		return nil, err
	}
	if err := p.hide(at+4, 4); err != nil {
		return nil, err
	}
	index := make([]byte, n*indexSize)
	if err := p.f.Read(index, at+introSize); err != nil {
		return nil, err
	}
	h := &header{at: at, end: at + introSize + int64(len(index)) + int64(size), store: make([]byte, size)}
	if err := p.f.Read(h.store, h.end-int64(size)); err != nil {
		return nil, err
	}
	if err := h.index(index); err != nil {
		return nil, err
	}
	h.readRegion()
	return h, p.gaps(h)
}

// index parses the index and finds the end of each tag's values. Tags must not
// share bytes, so that the store is read only once.
func (h *header) index(index []byte) error {
	base := h.end - int64(len(h.store))
	h.tags = make([]tag, len(index)/indexSize)
	for i := range h.tags {
		line := index[i*indexSize:]
		t := tag{id: binary.BigEndian.Uint32(line), kind: kind(binary.BigEndian.Uint32(line[4:]))}
		from, count := binary.BigEndian.Uint32(line[8:]), binary.BigEndian.Uint32(line[12:])
		if t.kind > kindLocalized || int64(from) > int64(len(h.store)) || int64(count) > int64(len(h.store)) ||
			count == 0 || t.kind == kindString && count != 1 {
			return exact.Errorf(h.at+introSize+int64(i)*indexSize, "tag %d of type %d has %d values at %d of %d bytes",
				t.id, t.kind, count, from, len(h.store))
		}
		t.from, t.count = int(from), int(count)
		h.tags[i] = t
	}
	last := 0
	for _, i := range h.inStore() {
		t := &h.tags[i]
		if t.from < last {
			return exact.Errorf(base+int64(t.from), "tag %d shares bytes with another", t.id)
		}
		if !h.measure(t) {
			return exact.Errorf(base+int64(t.from), "the values of tag %d have no end", t.id)
		}
		last = t.to
	}
	return nil
}

// inStore returns the tags in the order of their values in the store.
func (h *header) inStore() []int {
	order := make([]int, len(h.tags))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int { return h.tags[a].from - h.tags[b].from })
	return order
}

// measure finds the end of a tag's values.
func (h *header) measure(t *tag) bool {
	if t.kind == kindNull {
		t.to = t.from
		return true
	}
	if w := t.kind.width(); w > 0 {
		t.to = t.from + w*t.count
		return t.to <= len(h.store)
	}
	t.to = t.from
	for range t.count {
		end := bytes.IndexByte(h.store[t.to:], 0)
		if end < 0 {
			return false
		}
		t.to += end + 1
	}
	return true
}

// Tags that mark the signed region of a header.
const (
	tagRegionFirst = 61
	tagRegionLast  = 63
	trailerSize    = 16
)

// readRegion finds which tags are in the region that digests and signatures cover.
// In packages of rpm that is all tags.
func (h *header) readRegion() {
	if len(h.tags) == 0 {
		return
	}
	t := &h.tags[0]
	if t.id < tagRegionFirst || t.id > tagRegionLast || t.kind != kindBinary || t.count != trailerSize {
		return
	}
	t.reported = true
	b := h.store[t.from:t.to]
	lines := -int64(int32(binary.BigEndian.Uint32(b[8:])))
	same := binary.BigEndian.Uint32(b) == t.id && kind(binary.BigEndian.Uint32(b[4:])) == kindBinary &&
		binary.BigEndian.Uint32(b[12:]) == trailerSize
	h.whole = same && lines == int64(len(h.tags))*indexSize && t.to == len(h.store)
	if h.region = fmt.Sprintf("%d, all tags", t.id); !h.whole {
		h.region = fmt.Sprintf("%d of %d tags, its end %x at %d", t.id, len(h.tags), b, t.from)
	}
}

// gaps hides bytes between values, and adds a field for the order of the values.
func (p *pack) gaps(h *header) error {
	base, last := h.end-int64(len(h.store)), 0
	usual, before := true, uint32(0)
	sum := sha256.New()
	for n, i := range h.inStore() {
		t := h.tags[i]
		if err := p.gap(h, base, last, t.from); err != nil {
			return err
		}
		region := i == 0 && h.region != ""
		switch w := max(t.kind.width(), 1); {
		case region:
			usual = usual && n == len(h.tags)-1
		case t.from != (last+w-1)/w*w, t.id <= before, h.region == "" && i != n, h.region != "" && i != n+1:
			usual = false
		default:
			before = t.id
		}
		note(sum, uint32(i), t.id, uint32(t.from-last))
		last = t.to
	}
	if last != len(h.store) {
		usual = false
	}
	note(sum, uint32(len(h.store)-last))
	if h.layout = "in the order of tags"; !usual {
		h.layout = fmt.Sprintf("another, sha256 %x", sum.Sum(nil))
	}
	return p.gap(h, base, last, len(h.store))
}

func note(h hash.Hash, numbers ...uint32) {
	for _, n := range numbers {
		h.Write(binary.BigEndian.AppendUint32(nil, n))
	}
}

func (p *pack) gap(h *header, base int64, from, to int) error {
	if len(bytes.Trim(h.store[from:to], "\x00")) == 0 {
		return nil
	}
	return p.hidden.Add(p.f, base+int64(from), int64(to-from))
}

// values yields the values of a tag one by one, text line by line. A tag may have
// millions.
func (h *header) values(t *tag, m meaning) iter.Seq[string] {
	b := h.store[t.from:t.to]
	return func(yield func(string) bool) {
		switch w := t.kind.width(); {
		case t.kind == kindNull:
			yield(fmt.Sprintf("null, %d at %d", t.count, t.from))
		case t.kind == kindBinary:
			yield(binaryText(b))
		case w > 0:
			for i := 0; i < t.count && yield(m.number(big(b[i*w:(i+1)*w]))); i++ {
			}
		default:
			for text := range h.texts(t) {
				if !linesOf(text, yield) {
					return
				}
			}
		}
	}
}

// linesOf yields the lines of a text. Lines after the first are marked, so that
// different texts never give the same lines.
func linesOf(text []byte, yield func(string) bool) bool {
	if len(text) == 0 {
		return yield(`""`)
	}
	mark := ""
	for line := range bytes.Lines(text) {
		if !yield(mark + quoted(line)) {
			return false
		}
		mark = "... "
	}
	return true
}

// types lists the tags with their kinds.
func (h *header) types() string {
	var s strings.Builder
	for _, t := range h.tags {
		fmt.Fprintf(&s, "%d:%d ", t.id, t.kind)
	}
	if text := strings.TrimSuffix(s.String(), " "); len(text) <= maxText {
		return text
	}
	return fmt.Sprintf("%d tags, sha256 %x", len(h.tags), sha256.Sum256([]byte(s.String())))
}

// big decodes a big-endian number of any width.
func big(b []byte) (n uint64) {
	for _, c := range b {
		n = n<<8 | uint64(c)
	}
	return n
}

// texts yields the texts of a tag, which are parts of the store.
func (h *header) texts(t *tag) iter.Seq[[]byte] {
	return func(yield func([]byte) bool) {
		b := h.store[t.from:t.to]
		for range t.count {
			text, rest, _ := bytes.Cut(b, []byte{0})
			if !yield(text) {
				return
			}
			b = rest
		}
	}
}

// stringSize is an upper bound on the memory of a text without its bytes.
const stringSize = 32

// strings returns the texts of a tag and takes their memory from the budget.
func (p *pack) strings(h *header, t *tag) ([]string, error) {
	if err := p.budget.Names(h.at, int64(stringSize*t.count+t.to-t.from)); err != nil {
		return nil, err
	}
	out := make([]string, 0, t.count)
	for text := range h.texts(t) {
		out = append(out, string(text))
	}
	return out, nil
}

// binaryText formats bytes as hex; if there are many, the first ones and a digest
// of all.
func binaryText(b []byte) string {
	if len(b) <= maxBinary {
		return hex.EncodeToString(b)
	}
	if len(bytes.Trim(b, "\x00")) == 0 {
		return fmt.Sprintf("%d zeros", len(b))
	}
	return fmt.Sprintf("%x... %d bytes, sha256 %x", b[:maxBinary/4], len(b), sha256.Sum256(b))
}

// quoted formats text in quotes; if it is long, its beginning and a digest of all,
// because long texts that differ must not read the same. A character that is cut is
// shown as the bytes that are left of it.
func quoted(b []byte) string {
	if len(b) <= maxText {
		return strconv.Quote(string(b))
	}
	return fmt.Sprintf("%q... %d bytes, sha256 %x", b[:maxText/4], len(b), sha256.Sum256(b))
}
