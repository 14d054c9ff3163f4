// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

package tree

import (
	"cmp"
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/zfarm/zfarm/orchestrator/compare/format"
	"github.com/zfarm/zfarm/orchestrator/compare/format/container"
	"github.com/zfarm/zfarm/orchestrator/compare/judge"
	"github.com/zfarm/zfarm/orchestrator/compare/verdict"
	"github.com/zfarm/zfarm/workers/codepage"
	"github.com/zfarm/zfarm/workers/humanize"
)

// maxDepth bounds containers within containers.
const maxDepth = 8

var errTooDeep = fmt.Errorf("it lies more than %d containers deep", maxDepth)

// nested compares two files as containers. If they are not containers of one kind,
// or cannot be read to their end, it reports false and why. The caller then
// compares their bytes, and no difference in them is explained away.
func (c *comparison) nested(ctx context.Context, path string, a, b judge.File) (bool, judge.Faults, error) {
	headA, headB := judge.Head(a, paxHead), judge.Head(b, paxHead)
	f, ok := c.formats.Find(headA, headB, func(f format.Format) bool { return f.Archive || f.Open != nil })
	switch {
	case !ok:
		return false, judge.Faults{}, nil
	case c.depth >= maxDepth:
		return false, judge.Faults{A: errTooDeep, B: errTooDeep}, nil
	}
	c.depth++
	defer func() { c.depth-- }()
	if f.Archive {
		return c.nestedPax(ctx, path, a, b)
	}
	limits := container.Limits{Members: c.limits.Members, Content: max(min(c.limits.Bytes, c.unpackable()), 1)}
	boxA, errA := open(f, a, limits)
	boxB, errB := open(f, b, limits)
	if errA != nil || errB != nil {
		return false, judge.Faults{A: errA, B: errB}, c.endError(ctx)
	}
	return c.containers(ctx, path, boxA, boxB)
}

// open reads a container to its end, and its index.
func open(f format.Format, x judge.File, l container.Limits) (box, error) {
	in, err := f.Open(x.R, x.Size, l)
	if err != nil {
		return box{}, err
	}
	if f.Index == nil {
		return box{in, nil, x}, nil
	}
	index, err := f.Index(x.R, x.Size, in, l)
	return box{in, index, x}, err
}

// paxHead is how many bytes pax.Is needs.
const paxHead = 512

// nestedPax compares two archives that are members.
func (c *comparison) nestedPax(ctx context.Context, path string, a, b judge.File) (bool, judge.Faults, error) {
	open := func(f judge.File) func() (io.ReadCloser, error) {
		return func() (io.ReadCloser, error) {
			return struct {
				*io.SectionReader
				io.Closer
			}{io.NewSectionReader(f.R, 0, f.Size), io.NopCloser(nil)}, nil
		}
	}
	left, right, err := loadBoth(ctx, Input{Name: path, Open: open(a)}, Input{Name: path, Open: open(b)}, c.limits)
	defer left.close()
	defer right.close()
	if err != nil {
		return false, judge.Faults{}, err
	}
	if left.fault != nil || right.fault != nil {
		return false, judge.Faults{A: left.fault, B: right.fault}, nil
	}
	before, reformatted := c.found.Total(), c.reformatted
	if err := c.trees(ctx, path+"/", left.tree, right.tree); err != nil {
		return false, judge.Faults{}, err
	}
	if c.found.Total() == before {
		c.add(verdict.Finding{Path: path, Field: "format", Offset: -1, Tier: verdict.Container, Cause: "the archives say the same in another form"})
	}
	c.reformatted = reformatted
	return true, judge.Faults{}, nil
}

// box is a container that was read to its end, with its file and index.
type box struct {
	*container.Container
	index *container.Index
	file  judge.File
}

// sameIndex reports whether two members are indexes with the same meaning.
func sameIndex(a, b box, p decodedPair) bool {
	return a.index != nil && b.index != nil && a.index.Entry == p.a.at && b.index.Entry == p.b.at &&
		a.index.Hidden.Count == b.index.Hidden.Count && a.index.Hidden.Sum == b.index.Hidden.Sum && slices.Equal(a.index.Items, b.index.Items)
}

// containers compares two containers that were read to their end. If the content of
// a member cannot be decoded, it reports false and why, and adds no finding.
func (c *comparison) containers(ctx context.Context, path string, a, b box) (bool, judge.Faults, error) {
	left, err := c.decode(ctx, a.Container, a.file)
	defer left.close()
	if err != nil {
		return false, judge.Faults{A: err}, c.endError(ctx)
	}
	right, err := c.decode(ctx, b.Container, b.file)
	defer right.close()
	if err != nil {
		return false, judge.Faults{B: err}, c.endError(ctx)
	}
	before := c.found.Total()
	c.fields(path, a.Fields, b.Fields)
	c.hidden(path, a.Hidden, b.Hidden)
	pairs := c.pairDecoded(path, left, right)
	c.members += max(len(left.members), len(right.members))
	for _, p := range pairs {
		if err := ctx.Err(); err != nil {
			return false, judge.Faults{}, err
		}
		if err := c.compareDecoded(ctx, path, p, sameIndex(a, b, p)); err != nil {
			return false, judge.Faults{}, err
		}
	}
	if c.found.Total() == before {
		c.add(verdict.Finding{Path: path, Field: "compression", Offset: -1, Tier: verdict.Container, A: a.Kind, B: b.Kind,
			Cause: "the same content was packed in another way"})
	}
	return true, judge.Faults{}, nil
}

// decoded is the content of a container, as files with random access.
type decoded struct {
	members []decodedMember
	spool   *spool
}

type decodedMember struct {
	container.Entry
	file judge.File
	sum  [sha256.Size]byte
	at   int
}

func (d *decoded) close() {
	if d != nil && d.spool != nil {
		d.spool.Close() //nolint:errcheck // it is only temporary
	}
}

// decode computes the SHA-256 of the content of each member, and unpacks compressed
// members into one temporary file.
func (c *comparison) decode(ctx context.Context, in *container.Container, f judge.File) (*decoded, error) {
	d := &decoded{}
	var kept, all int64
	for i, e := range in.Entries {
		if err := ctx.Err(); err != nil {
			return d, err
		}
		m := decodedMember{Entry: e, at: i}
		if e.Open == nil {
			m.file = judge.File{R: io.NewSectionReader(f.R, e.Offset, e.Size), Size: e.Size}
		} else {
			n, err := c.unpack(d, e, kept, min(c.limits.Bytes-all, c.unpackable()))
			c.unpacked += n
			if err != nil {
				return d, fmt.Errorf("unpacking %s: %w", cmp.Or(e.Name, "it"), err)
			}
			m.file = judge.File{R: io.NewSectionReader(d.spool.f, kept, n), Size: n}
			kept += n
		}
		if all += m.file.Size; all > c.limits.Bytes {
			return d, errTooLarge
		}
		h := sha256.New()
		if _, err := io.Copy(h, io.NewSectionReader(m.file.R, 0, m.file.Size)); err != nil {
			return d, err
		}
		h.Sum(m.sum[:0])
		d.members = append(d.members, m)
	}
	return d, nil
}

// unpackable returns how many more bytes may be unpacked. The bound is on the sum
// over all members and depths, so that a bomb cannot be split.
func (c *comparison) unpackable() int64 { return max(2*c.limits.Bytes-c.unpacked, 0) }

// unpack appends the content of a member to the spool and returns its size.
func (c *comparison) unpack(d *decoded, e container.Entry, at, left int64) (int64, error) {
	if d.spool == nil {
		s, err := newSpool(c.limits.Workdir)
		if err != nil {
			c.failure.record(err)
			return 0, err
		}
		d.spool = s
	}
	r, err := e.Open()
	if err != nil {
		return 0, err
	}
	defer r.Close()
	return io.Copy(c.failure.writer(io.NewOffsetWriter(d.spool.f, at)), limit(r, left))
}

// decodedPair is two members with the same name.
type decodedPair struct{ a, b decodedMember }

// pairDecoded pairs members by name. Where a name occurs more than once, the first
// is paired with the first. It reports members without a partner and another order.
func (c *comparison) pairDecoded(path string, a, b *decoded) []decodedPair {
	inB := map[string][]decodedMember{}
	for _, m := range b.members {
		inB[m.Name] = append(inB[m.Name], m)
	}
	var pairs []decodedPair
	for _, m := range a.members {
		if len(inB[m.Name]) == 0 {
			c.add(verdict.Finding{Path: within(path, m.Name), Field: "member", A: "member", Offset: -1, Tier: verdict.Forbidden, Cause: "it is in A only"})
			continue
		}
		pairs = append(pairs, decodedPair{m, inB[m.Name][0]})
		inB[m.Name] = inB[m.Name][1:]
	}
	for _, m := range b.members {
		if left := inB[m.Name]; len(left) > 0 && left[0].at == m.at {
			inB[m.Name] = left[1:]
			c.add(verdict.Finding{Path: within(path, m.Name), Field: "member", B: "member", Offset: -1, Tier: verdict.Forbidden, Cause: "it is in B only"})
		}
	}
	for i := 1; i < len(pairs); i++ {
		if pairs[i].b.at < pairs[i-1].b.at {
			c.add(verdict.Finding{Path: path, Field: "order", Offset: -1, Tier: verdict.Container, Cause: "the members stand in another order",
				Evidence: fmt.Sprintf("B has %s before %s", codepage.Value(pairs[i].b.Name, verdict.MaxValue), codepage.Value(pairs[i-1].b.Name, verdict.MaxValue))})
			break
		}
	}
	return pairs
}

// within returns the path of a member of a container. The only member of a stream
// has no name.
func within(path, name string) string {
	if name == "" {
		return path + "!"
	}
	return path + "/" + name
}

func (c *comparison) compareDecoded(ctx context.Context, path string, p decodedPair, sameIndex bool) error {
	at := within(path, p.a.Name)
	same := p.a.sum == p.b.sum && p.a.file.Size == p.b.file.Size
	c.fields(at, packedAs(p.a.Fields, same), packedAs(p.b.Fields, same))
	c.hidden(at, p.a.Hidden, p.b.Hidden)
	switch {
	case same:
		return nil
	case sameIndex:
		c.add(verdict.Finding{Path: at, Field: "order", Offset: -1, Tier: verdict.Container, Cause: "the same index in another order, or for members in another order"})
		return nil
	}
	return c.content(ctx, at, p.a.file, p.b.file)
}

// packedAs drops the fields about compression where the content differs, since they
// follow from the content.
func packedAs(fields []container.Field, same bool) []container.Field {
	if same {
		return fields
	}
	return slices.DeleteFunc(slices.Clone(fields), func(f container.Field) bool { return strings.HasSuffix(f.Name, ".compression") })
}

// fields adds a finding for each field that differs. Fields of the same name are
// paired by their order.
func (c *comparison) fields(path string, a, b []container.Field) {
	left := slices.Clone(b)
	for _, f := range a {
		i := slices.IndexFunc(left, func(g container.Field) bool { return g.Name == f.Name })
		other := container.Field{Weight: f.Weight}
		if i >= 0 {
			other = left[i]
			left = slices.Delete(left, i, i+1)
		}
		if i < 0 || other.Value != f.Value {
			c.add(verdict.Finding{Path: path, Field: f.Name, A: f.Value, B: other.Value, Offset: -1, Tier: weighed(max(f.Weight, other.Weight))})
		}
	}
	for _, f := range left {
		c.add(verdict.Finding{Path: path, Field: f.Name, B: f.Value, Offset: -1, Tier: weighed(f.Weight)})
	}
}

func weighed(w container.Weight) verdict.Tier {
	switch w {
	case container.Form:
		return verdict.Container
	case container.Header:
		return verdict.Header
	case container.Stamp:
		return verdict.Stamp
	default:
		return verdict.Forbidden
	}
}

func (c *comparison) hidden(path string, a, b container.Hidden) {
	if a.Count == b.Count && a.Sum == b.Sum {
		return
	}
	text := func(h container.Hidden) string {
		if h.Count == 0 {
			return ""
		}
		return fmt.Sprintf("%s from byte %d", humanize.Count(int(h.Count), "byte"), h.First)
	}
	c.add(verdict.Finding{Path: path, Field: "hidden", A: text(a), B: text(b), Offset: -1, Tier: verdict.Forbidden,
		Cause: "bytes in a place that readers ignore"})
}
