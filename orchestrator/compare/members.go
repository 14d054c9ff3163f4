// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

package compare

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/zfarm/zfarm/orchestrator/compare/pax"
)

// trees compares two trees; prefix leads to them.
func (c *comparison) trees(ctx context.Context, prefix string, a, b *tree) error {
	if a.kind == b.kind && len(a.entries) == 1 && a.kind == "single file" {
		b.entries[0].Name = a.entries[0].Name // names of whole artifacts are not compared
	}
	pairs, added := c.pair(prefix, a, b)
	for _, p := range pairs {
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := c.member(ctx, prefix+p.a.key(), a, b, p); err != nil {
			return err
		}
	}
	for _, e := range added {
		c.add(Finding{Path: prefix + e.key(), Field: "member", B: e.Type.String(), Offset: -1, Tier: Forbidden, Cause: "it is in B only"})
	}
	c.order(prefix, pairs)
	c.around(prefix, a, b)
	return nil
}

// pair is a member of A and the one of the same name in B.
type pair struct {
	a, b entry
	atB  int
}

// pair pairs members by name, the first with the first where a name stands
// more than once, and tells of those without a partner in B; it returns those
// without one in A.
func (c *comparison) pair(prefix string, a, b *tree) ([]pair, []entry) {
	inB := make(map[string][]int, len(b.entries))
	for i, e := range b.entries {
		inB[e.key()] = append(inB[e.key()], i)
	}
	inA := make(map[string]int, len(a.entries))
	pairs := make([]pair, 0, len(a.entries))
	for _, e := range a.entries {
		key := e.key()
		n := inA[key]
		inA[key]++
		if n >= len(inB[key]) {
			c.add(Finding{Path: prefix + key, Field: "member", A: e.Type.String(), Offset: -1, Tier: Forbidden, Cause: "it is in A only"})
			continue
		}
		at := inB[key][n]
		pairs = append(pairs, pair{e, b.entries[at], at})
	}
	c.members += len(inA)
	var added []entry
	seen := map[string]int{}
	for _, e := range b.entries {
		key := e.key()
		if inA[key] == 0 && seen[key] == 0 {
			c.members++
		}
		if seen[key]++; seen[key] > inA[key] {
			added = append(added, e)
		}
		if n := max(inA[key], len(inB[key])); n > 1 && seen[key] == 1 {
			c.duplicate(prefix+key, inA[key], len(inB[key]))
		}
	}
	for key, n := range inA {
		if n > 1 && len(inB[key]) == 0 {
			c.duplicate(prefix+key, n, 0)
		}
	}
	return pairs, added
}

func (c *comparison) duplicate(path string, a, b int) {
	c.add(Finding{Path: path, Field: "duplicate", A: fmt.Sprint(a, " times"), B: fmt.Sprint(b, " times"), Offset: -1, Tier: Forbidden,
		Cause: "the name stands more than once, so that what is unpacked depends on who unpacks"})
}

// order tells whether the members of both stand in another order.
func (c *comparison) order(prefix string, pairs []pair) {
	for i := 1; i < len(pairs); i++ {
		if pairs[i].atB < pairs[i-1].atB {
			c.about(Finding{Path: strings.TrimSuffix(prefix, "/"), Field: "order", Tier: Container, Cause: "the members stand in another order",
				Evidence: fmt.Sprintf("B has %s before %s", printable(pairs[i].b.Name, maxValue), printable(pairs[i-1].b.Name, maxValue))})
			return
		}
	}
}

// around compares what belongs to no member: global records at the end, and
// what follows the end.
func (c *comparison) around(prefix string, a, b *tree) {
	path := strings.TrimSuffix(prefix, "/")
	if !slices.Equal(a.globals, b.globals) {
		c.about(Finding{Path: path, Field: "global records", A: recordsText(a.globals), B: recordsText(b.globals), Tier: Forbidden})
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
	c.about(Finding{Path: path, Field: "trailing data", A: text(ta), B: text(tb), Tier: Forbidden,
		Cause: "bytes follow the end of the archive; no reader looks at them"})
}

func recordsText(records []pax.Record) string {
	var out strings.Builder
	for _, r := range records {
		if out.Len() > maxValue {
			break
		}
		fmt.Fprintf(&out, "%s=%s ", r.Key, r.Value)
	}
	return strings.TrimSuffix(out.String(), " ")
}

// member compares a pair.
func (c *comparison) member(ctx context.Context, path string, a, b *tree, p pair) error {
	before := c.found.total()
	if p.a.HeaderSum != p.b.HeaderSum || len(a.globals)+len(b.globals) > 0 {
		c.header(path, p.a.Member, p.b.Member)
	}
	if p.a.Hidden != p.b.Hidden || p.a.HiddenSum != p.b.HiddenSum {
		c.meta(path, "padding", fmt.Sprint(p.a.Hidden, " bytes"), fmt.Sprint(p.b.Hidden, " bytes"), Forbidden,
			"bytes stand in the header or the padding where no reader looks")
	}
	if p.a.HeaderSum != p.b.HeaderSum && c.found.total() == before && p.a.Size == p.b.Size && c.reformatted == "" {
		c.reformatted = path
	}
	if p.a.sum == p.b.sum || p.a.Type != p.b.Type {
		return nil
	}
	if c.found.full(Forbidden) {
		// The verdict is clear and nothing more would be shown.
		c.add(Finding{Path: path, Field: "content", Tier: Forbidden})
		return nil
	}
	return c.content(ctx, path, a.content(p.a), b.content(p.b))
}

// meta adds a finding about the header of a member, if the values differ.
func (c *comparison) meta(path, field, a, b string, t Tier, cause string) {
	if a != b {
		c.add(Finding{Path: path, Field: field, A: a, B: b, Offset: -1, Tier: t, Cause: cause})
	}
}

// header compares what two headers say, field by field.
func (c *comparison) header(path string, a, b *pax.Member) {
	c.meta(path, "name", strings.TrimSuffix(a.Name, "/"), strings.TrimSuffix(b.Name, "/"), Forbidden, "the same place is named in another way")
	c.meta(path, "type", a.Type.String(), b.Type.String(), Forbidden, "")
	c.meta(path, "mode", fmt.Sprintf("%04o", a.Mode), fmt.Sprintf("%04o", b.Mode), Forbidden, modeCause(a.Mode, b.Mode))
	c.meta(path, "link", a.Link, b.Link, Forbidden, "the link leads elsewhere")
	c.meta(path, "device", fmt.Sprint(a.DevMajor, ",", a.DevMinor), fmt.Sprint(b.DevMajor, ",", b.DevMinor), Forbidden, "")
	c.meta(path, "uid", fmt.Sprint(a.UID), fmt.Sprint(b.UID), Header, "")
	c.meta(path, "gid", fmt.Sprint(a.GID), fmt.Sprint(b.GID), Header, "")
	c.meta(path, "uname", a.Uname, b.Uname, Header, "")
	c.meta(path, "gname", a.Gname, b.Gname, Header, "")
	c.meta(path, "mtime", timeText(a.ModTime), timeText(b.ModTime), Header, "")
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

// record adds a finding about one record; "" stands for none, since a record
// without a value is none.
func (c *comparison) record(path, key, a, b string) {
	switch key {
	case pax.ZOSTag:
		c.meta(path, "zos.taginfo", tagText(a), tagText(b), Forbidden, "the file tag decides how text is read")
	case pax.ZOSExtattr:
		c.meta(path, "zos.extattr", extattrText(a), extattrText(b), Forbidden, extattrCause(a, b))
	case "atime", "ctime":
		c.meta(path, key, a, b, Header, "")
	default:
		field := "record." + key
		if name, ok := strings.CutPrefix(key, "ZOS."); ok {
			field = "zos." + name
		}
		c.meta(path, field, a, b, Forbidden, "")
	}
}

func timeText(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format(time.RFC3339Nano)
}

// modeCause names the bits that matter most.
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

// tagText makes "1 819" readable; unlike values never read the same.
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

// attributes are the letters of ZOS.extattr.
func attributes() map[rune]string {
	return map[rune]string{'a': "APF authorised", 'p': "program controlled", 's': "shared address space", 'l': "shared library"}
}

// extattrText makes "a-s-" readable.
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
