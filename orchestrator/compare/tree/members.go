// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

package tree

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/zfarm/zfarm/orchestrator/compare/format/pax"
	"github.com/zfarm/zfarm/orchestrator/compare/judge"
	"github.com/zfarm/zfarm/orchestrator/compare/verdict"
	"github.com/zfarm/zfarm/workers/codepage"
)

// trees compares two trees of one kind; prefix is the path that leads to them.
func (c *comparison) trees(ctx context.Context, prefix string, a, b *tree) error {
	if a.kind == singleFile {
		return c.single(ctx, prefix, a, b)
	}
	inA, inB := a.headers(c.limits.pax()), b.headers(c.limits.pax())
	p := pairUp(&a.index, &b.index)
	a.index.dropNames()
	b.index.dropNames()
	c.members += p.names
	if err := c.reportUnpaired(prefix, p, inA, inB); err != nil {
		return err
	}
	extents, err := c.screen(ctx, a, b, p, c.beginning())
	if err != nil {
		return err
	}
	for i, l := range extents {
		if l == extentNone {
			continue
		}
		if err := c.pair(ctx, prefix, p, i, l, inA, inB); err != nil {
			return err
		}
	}
	for _, j := range p.added {
		m, err := inB.at(int(j))
		if err != nil {
			return err
		}
		c.onlyIn(prefix, m, false)
	}
	if err := c.order(prefix, p, inB); err != nil {
		return err
	}
	c.compareTrailers(prefix, a, b)
	return nil
}

// beginning returns how many bytes from the start are known to be the same.
func (c *comparison) beginning() int64 {
	if c.depth > 0 {
		return 0 // c.equal is about the artifacts, not about archives within them
	}
	return c.equal
}

// single compares two artifacts that are single files. Their names are not
// compared.
func (c *comparison) single(ctx context.Context, prefix string, a, b *tree) error {
	c.members++
	same, err := sameContent(ctx, a, b)
	if err != nil || same {
		return err
	}
	return c.content(ctx, prefix+path.Clean(a.name), judge.File{R: a.data, Size: a.size}, judge.File{R: b.data, Size: b.size})
}

// reportUnpaired reports the members that only A has, and names that occur more than
// once.
func (c *comparison) reportUnpaired(prefix string, p *pairing, inA, inB *headers) error {
	for i, j := range p.partners {
		if j != noPartner {
			continue
		}
		m, err := inA.at(p.samePlace + i)
		if err != nil {
			return err
		}
		c.onlyIn(prefix, m, true)
	}
	for _, t := range p.repeated {
		in := inA
		if t.a == 0 {
			in = inB
		}
		m, err := in.at(int(t.first))
		if err != nil {
			return err
		}
		c.duplicate(prefix+keyOf(m), t.a, t.b)
	}
	return nil
}

// onlyIn reports a member that only one side has.
func (c *comparison) onlyIn(prefix string, m *pax.Member, isA bool) {
	f := verdict.Finding{Path: prefix + keyOf(m), Field: "member", Offset: -1, Tier: verdict.Forbidden}
	if isA {
		f.A, f.Cause = m.Type.String(), "it is in A only"
	} else {
		f.B, f.Cause = m.Type.String(), "it is in B only"
	}
	c.add(f)
}

// pair reads the headers of a pair that differs and compares the pair.
func (c *comparison) pair(ctx context.Context, prefix string, p *pairing, i int, l extent, inA, inB *headers) error {
	j, _ := p.partner(i)
	ma, err := inA.at(i)
	if err != nil {
		return err
	}
	mb, err := inB.at(j)
	if err != nil {
		return err
	}
	if l == extentUnpaired {
		c.onlyIn(prefix, ma, true)
		c.onlyIn(prefix, mb, false)
		return nil
	}
	return c.member(ctx, prefix+keyOf(ma), pair{ma, mb, inA.t, inB.t, l == extentAll})
}

// pair is a member of A and the member of B with the same name.
type pair struct {
	a, b     *pax.Member
	inA, inB *tree
	content  bool // the content differs
}

func (c *comparison) duplicate(path string, a, b int) {
	c.add(verdict.Finding{Path: path, Field: "duplicate", A: fmt.Sprint(a, " times"), B: fmt.Sprint(b, " times"), Offset: -1, Tier: verdict.Forbidden,
		Cause: "the name stands more than once, so that what is unpacked depends on who unpacks"})
}

// order reports whether the members are in another order.
func (c *comparison) order(prefix string, p *pairing, inB *headers) error {
	before := p.samePlace - 1
	for i := range p.partners {
		j, ok := p.partner(p.samePlace + i)
		if !ok {
			continue
		}
		if j > before {
			before = j
			continue
		}
		first, err := inB.at(j)
		if err != nil {
			return err
		}
		second, err := inB.at(before)
		if err != nil {
			return err
		}
		c.about(verdict.Finding{Path: strings.TrimSuffix(prefix, "/"), Field: "order", Tier: verdict.Container, Cause: "the members stand in another order",
			Evidence: fmt.Sprintf("B has %s before %s", codepage.Value(first.Name, verdict.MaxValue), codepage.Value(second.Name, verdict.MaxValue))})
		return nil
	}
	return nil
}

// compareTrailers compares what belongs to no member: the global records at the end,
// and the bytes behind the end.
func (c *comparison) compareTrailers(prefix string, a, b *tree) {
	path := strings.TrimSuffix(prefix, "/")
	if !slices.Equal(a.globals, b.globals) {
		c.about(verdict.Finding{Path: path, Field: "global records", A: recordsText(a.globals), B: recordsText(b.globals), Tier: verdict.Forbidden})
	}
	ta, tb := a.trailer, b.trailer
	if ta.NonZero == tb.NonZero && ta.Sum == tb.Sum {
		return
	}
	text := func(t pax.Trailer) string {
		if t.NonZero == 0 {
			return ""
		}
		return fmt.Sprintf("%d bytes from byte %d", t.NonZero, t.First)
	}
	c.about(verdict.Finding{Path: path, Field: "trailing data", A: text(ta), B: text(tb), Tier: verdict.Forbidden,
		Cause: "bytes follow the end of the archive; readers ignore them"})
}

func recordsText(records []pax.Record) string {
	var out strings.Builder
	for _, r := range records {
		if out.Len() > verdict.MaxValue {
			break
		}
		fmt.Fprintf(&out, "%s=%s ", r.Key, r.Value)
	}
	return strings.TrimSuffix(out.String(), " ")
}

// member compares a pair whose bytes differ.
func (c *comparison) member(ctx context.Context, path string, p pair) error {
	before := c.found.Total()
	if p.a.HeaderSum != p.b.HeaderSum || len(p.inA.globals)+len(p.inB.globals) > 0 {
		c.header(path, p.a, p.b)
	}
	if p.a.Hidden != p.b.Hidden || p.a.HiddenSum != p.b.HiddenSum {
		c.meta(path, "padding", fmt.Sprint(p.a.Hidden, " bytes"), fmt.Sprint(p.b.Hidden, " bytes"), verdict.Forbidden,
			"bytes in the header or the padding that readers ignore")
	}
	if p.a.HeaderSum != p.b.HeaderSum && c.found.Total() == before && p.a.Size == p.b.Size && c.reformatted == "" {
		c.reformatted = path
	}
	if !p.content || p.a.Type != p.b.Type {
		return nil
	}
	if c.found.Full(verdict.Forbidden) {
		// The verdict is certain and further findings would not be shown.
		c.add(verdict.Finding{Path: path, Field: "content", Tier: verdict.Forbidden})
		return nil
	}
	a, err := c.buffered(&c.nearA, p.inA.content(p.a))
	if err != nil {
		return err
	}
	b, err := c.buffered(&c.nearB, p.inB.content(p.b))
	if err != nil {
		return err
	}
	return c.content(ctx, path, a, b)
}

// maxBuffered is the largest file, in bytes, that is read into memory at once. Formats
// read the same small pieces of a file repeatedly.
const maxBuffered = 512 << 10

// buffered reads a small file into memory: into buf, or into a buffer of its own within
// a nested container.
func (c *comparison) buffered(buf *[]byte, f judge.File) (judge.File, error) {
	if f.Size > maxBuffered {
		return f, nil
	}
	var own []byte
	if c.depth > 0 {
		buf = &own
	}
	*buf = slices.Grow((*buf)[:0], int(f.Size))[:f.Size]
	if _, err := io.ReadFull(io.NewSectionReader(f.R, 0, f.Size), *buf); err != nil {
		return f, fmt.Errorf("reading %d bytes of content: %w", f.Size, err)
	}
	f.R = bytes.NewReader(*buf)
	return f, nil
}

// meta adds a finding about the header of a member if the values differ.
func (c *comparison) meta(path, field, a, b string, t verdict.Tier, cause string) {
	if a != b {
		c.add(verdict.Finding{Path: path, Field: field, A: a, B: b, Offset: -1, Tier: t, Cause: cause})
	}
}

// header compares two headers field by field.
func (c *comparison) header(path string, a, b *pax.Member) {
	c.meta(path, "name", strings.TrimSuffix(a.Name, "/"), strings.TrimSuffix(b.Name, "/"), verdict.Forbidden, "the same place is named in another way")
	c.meta(path, "type", a.Type.String(), b.Type.String(), verdict.Forbidden, "")
	c.meta(path, "mode", fmt.Sprintf("%04o", a.Mode), fmt.Sprintf("%04o", b.Mode), verdict.Forbidden, modeCause(a.Mode, b.Mode))
	c.meta(path, "link", a.Link, b.Link, verdict.Forbidden, "the link leads elsewhere")
	c.meta(path, "device", fmt.Sprint(a.DevMajor, ",", a.DevMinor), fmt.Sprint(b.DevMajor, ",", b.DevMinor), verdict.Forbidden, "")
	c.meta(path, "uid", fmt.Sprint(a.UID), fmt.Sprint(b.UID), verdict.Header, "")
	c.meta(path, "gid", fmt.Sprint(a.GID), fmt.Sprint(b.GID), verdict.Header, "")
	c.meta(path, "uname", a.Uname, b.Uname, verdict.Header, "")
	c.meta(path, "gname", a.Gname, b.Gname, verdict.Header, "")
	c.meta(path, "mtime", timeText(a.ModTime), timeText(b.ModTime), verdict.Header, "")
	if !slices.Equal(a.Records, b.Records) {
		c.records(path, a, b)
	}
}

// records compares the vendor records of two headers.
func (c *comparison) records(path string, a, b *pax.Member) {
	inB := make(map[string]string, len(b.Records))
	for _, r := range b.Records {
		inB[r.Key] = r.Value
	}
	for _, r := range a.Records {
		vb, ok := inB[r.Key]
		delete(inB, r.Key)
		if !ok || vb != r.Value {
			c.record(path, r.Key, r.Value, vb)
		}
	}
	for _, r := range b.Records {
		if v, left := inB[r.Key]; left {
			c.record(path, r.Key, "", v)
		}
	}
}

// record adds a finding about one record. "" stands for a missing record, since pax
// drops a record without a value.
func (c *comparison) record(path, key, a, b string) {
	switch key {
	case pax.ZOSTag:
		c.meta(path, "zos.taginfo", tagText(a), tagText(b), verdict.Forbidden, "the file tag decides how text is read")
	case pax.ZOSExtattr:
		c.meta(path, "zos.extattr", extattrText(a), extattrText(b), verdict.Forbidden, extattrCause(a, b))
	case "atime", "ctime":
		c.meta(path, key, a, b, verdict.Header, "")
	default:
		field := "record." + key
		if name, ok := strings.CutPrefix(key, "ZOS."); ok {
			field = "zos." + name
		}
		c.meta(path, field, a, b, verdict.Forbidden, "")
	}
}

func timeText(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format(time.RFC3339Nano)
}

// modeCause names the mode bits that matter most.
func modeCause(a, b uint32) string {
	var out []string
	for _, bit := range []struct {
		mask uint32
		name string
	}{{0o4000, "setuid"}, {0o2000, "setgid"}, {0o1000, "sticky"}, {0o002, "writable by everyone"}, {0o111, "executable"}} {
		switch inA, inB := a&bit.mask != 0, b&bit.mask != 0; {
		case inB && !inA:
			out = append(out, bit.name+" set in B")
		case inA && !inB:
			out = append(out, bit.name+" set in A")
		}
	}
	return strings.Join(out, ", ")
}

// tagText describes a value such as "1 819". Different values never get the same
// text.
func tagText(v string) string {
	if v == "" {
		return ""
	}
	flag, page, ok := strings.Cut(v, " ")
	switch {
	case ok && flag == "1":
		return fmt.Sprintf("text, code page %s", page)
	case ok && flag == "0":
		return fmt.Sprintf("binary, code page %s", page)
	}
	return fmt.Sprintf("unknown (%s)", v)
}

// attributes returns the meaning of the letters of ZOS.extattr.
func attributes() map[rune]string {
	return map[rune]string{'a': "APF authorised", 'p': "program controlled", 's': "shared address space", 'l': "shared library"}
}

// extattrText describes a value such as "a-s-".
func extattrText(v string) string {
	if v == "" {
		return ""
	}
	var out []string
	for _, letter := range v {
		if name := attributes()[letter]; name != "" {
			out = append(out, name)
		}
	}
	if len(out) == 0 {
		return v
	}
	return v + " (" + strings.Join(out, ", ") + ")"
}

func extattrCause(a, b string) string {
	var out []string
	for _, letter := range "apsl" {
		inA, inB := strings.ContainsRune(a, letter), strings.ContainsRune(b, letter)
		if inA != inB {
			side := "A"
			if inB {
				side = "B"
			}
			out = append(out, attributes()[letter]+" in "+side)
		}
	}
	return strings.Join(out, ", ")
}
