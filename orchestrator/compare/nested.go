// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

package compare

import (
	"cmp"
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/zfarm/zfarm/orchestrator/compare/format/ar"
	"github.com/zfarm/zfarm/orchestrator/compare/format/compress"
	"github.com/zfarm/zfarm/orchestrator/compare/format/container"
	"github.com/zfarm/zfarm/orchestrator/compare/format/cpio"
	"github.com/zfarm/zfarm/orchestrator/compare/format/pax"
	"github.com/zfarm/zfarm/orchestrator/compare/format/rpm"
	"github.com/zfarm/zfarm/orchestrator/compare/format/stream"
	"github.com/zfarm/zfarm/orchestrator/compare/format/zip"
)

// opener opens files of one kind as containers.
type opener struct {
	is   func(head []byte) bool
	open func(r io.ReaderAt, size int64, l container.Limits) (*container.Container, error)
	// index reads the member that only says where things are, nil if there
	// is none of that kind.
	index func(r io.ReaderAt, size int64, c *container.Container, l container.Limits) (*index, error)
}

// index is a member that says which member has what, in whatever order.
type index struct {
	entry  int
	says   []string // sorted
	hidden container.Hidden
}

// arIndex reads the symbol table of an ar archive.
func arIndex(r io.ReaderAt, size int64, c *container.Container, l container.Limits) (*index, error) {
	t, err := ar.Symbols(r, size, l)
	if err != nil || t == nil {
		return nil, err
	}
	x := &index{entry: t.Entry, hidden: t.Hidden}
	for _, s := range t.Symbols {
		in := "nowhere"
		if s.Member >= 0 && s.Member < len(c.Entries) {
			in = c.Entries[s.Member].Name
		}
		x.says = append(x.says, fmt.Sprintf("%q in %q, %#x", s.Name, in, s.Attributes))
	}
	slices.Sort(x.says)
	return x, nil
}

// openers are the containers that are known inside of others.
func openers() []opener {
	return []opener{
		{is: func(head []byte) bool { return len(head) > 2 && string(head[:2]) == compress.Magic }, open: openCompress},
		{is: ar.Is, open: ar.Open, index: arIndex},
		{is: zip.Is, open: zip.Open},
		{is: cpio.Is, open: cpio.Open},
		{is: rpm.Is, open: rpm.Open},
		{is: stream.Is, open: stream.Open},
	}
}

// openCompress makes a compress stream a container of one member.
func openCompress(r io.ReaderAt, size int64, _ container.Limits) (*container.Container, error) {
	return &container.Container{Kind: "compress stream", Entries: []container.Entry{{Size: -1, Open: func() (io.ReadCloser, error) {
		z, err := compress.NewReader(io.NewSectionReader(r, 0, size))
		if err != nil {
			return nil, err
		}
		return io.NopCloser(z), nil
	}}}}, nil
}

// maxDepth bounds containers within containers.
const maxDepth = 8

// faults are why files of either side are not read as what they look like.
type faults struct{ a, b error }

// says tells them behind what follows from them.
func (f faults) says(what string) string {
	switch {
	case f.a == nil && f.b == nil:
		return ""
	case f.b == nil:
		return fmt.Sprintf("%s: A: %v", what, f.a)
	case f.a == nil:
		return fmt.Sprintf("%s: B: %v", what, f.b)
	case f.a.Error() == f.b.Error():
		return fmt.Sprintf("%s: %v", what, f.a)
	}
	return fmt.Sprintf("%s: A: %v; B: %v", what, f.a, f.b)
}

var errTooDeep = fmt.Errorf("it lies more than %d containers deep", maxDepth)

// nested compares two files that differ as the containers that they are. It
// reports false where they are none of one kind, or cannot be read to their
// end, and why: their bytes are compared then, and nothing of them is explained
// away.
func (c *comparison) nested(ctx context.Context, path string, a, b file) (bool, faults, error) {
	headA, headB := headOf(a, paxHead), headOf(b, paxHead)
	inPax := pax.Is(headA) && pax.Is(headB)
	all := openers()
	i := slices.IndexFunc(all, func(o opener) bool { return o.is(headA) && o.is(headB) })
	switch {
	case !inPax && i < 0:
		return false, faults{}, nil
	case c.depth >= maxDepth:
		return false, faults{errTooDeep, errTooDeep}, nil
	}
	c.depth++
	defer func() { c.depth-- }()
	if inPax {
		return c.nestedPax(ctx, path, a, b)
	}
	limits := container.Limits{Members: c.o.MaxMembers, Content: max(min(c.o.MaxBytes, c.unpackable()), 1)}
	boxA, errA := all[i].box(a, limits)
	boxB, errB := all[i].box(b, limits)
	if errA != nil || errB != nil {
		return false, faults{errA, errB}, c.cut(ctx)
	}
	return c.containers(ctx, path, boxA, boxB)
}

// box reads a container to its end, and its index.
func (o opener) box(f file, l container.Limits) (box, error) {
	in, err := o.open(f.r, f.size, l)
	if err != nil {
		return box{}, err
	}
	if o.index == nil {
		return box{in, nil, f}, nil
	}
	x, err := o.index(f.r, f.size, in, l)
	return box{in, x, f}, err
}

// paxHead is what pax.Is wants to see.
const paxHead = 512

// nestedPax compares two archives that lie in members.
func (c *comparison) nestedPax(ctx context.Context, path string, a, b file) (bool, faults, error) {
	open := func(f file) func() (io.ReadCloser, error) {
		return func() (io.ReadCloser, error) {
			return struct {
				*io.SectionReader
				io.Closer
			}{io.NewSectionReader(f.r, 0, f.size), io.NopCloser(nil)}, nil
		}
	}
	left, right, err := loadBoth(ctx, Input{Name: path, Open: open(a)}, Input{Name: path, Open: open(b)}, c.o)
	defer left.close()
	defer right.close()
	if err != nil {
		return false, faults{}, err
	}
	if left.fault != nil || right.fault != nil {
		return false, faults{left.fault, right.fault}, nil
	}
	before, reformatted := c.found.total(), c.reformatted
	if err := c.trees(ctx, path+"/", left.tree, right.tree); err != nil {
		return false, faults{}, err
	}
	if c.found.total() == before {
		c.add(Finding{Path: path, Field: "format", Offset: -1, Tier: Container, Cause: "the archives say the same in another form"})
	}
	c.reformatted = reformatted
	return true, faults{}, nil
}

// box is a container that was read to its end, and the file it was read from.
type box struct {
	*container.Container
	index *index
	file  file
}

// sameIndex reports whether two members are indexes that say the same.
func sameIndex(a, b box, p decodedTwins) bool {
	return a.index != nil && b.index != nil && a.index.entry == p.a.at && b.index.entry == p.b.at &&
		a.index.hidden.Count == b.index.hidden.Count && a.index.hidden.Sum == b.index.hidden.Sum && slices.Equal(a.index.says, b.index.says)
}

// containers compares two containers that were read to their end. It reports
// false, having told nothing, and why, where the content of a member cannot be decoded.
func (c *comparison) containers(ctx context.Context, path string, a, b box) (bool, faults, error) {
	left, err := c.decode(ctx, a.Container, a.file)
	defer left.close()
	if err != nil {
		return false, faults{a: err}, c.cut(ctx)
	}
	right, err := c.decode(ctx, b.Container, b.file)
	defer right.close()
	if err != nil {
		return false, faults{b: err}, c.cut(ctx)
	}
	before := c.found.total()
	c.fields(path, a.Fields, b.Fields)
	c.hidden(path, a.Hidden, b.Hidden)
	pairs := c.pairDecoded(path, left, right)
	c.members += max(len(left.members), len(right.members))
	for _, p := range pairs {
		if err := ctx.Err(); err != nil {
			return false, faults{}, err
		}
		if err := c.decodedPair(ctx, path, p, sameIndex(a, b, p)); err != nil {
			return false, faults{}, err
		}
	}
	if c.found.total() == before {
		c.add(Finding{Path: path, Field: "compression", Offset: -1, Tier: Container, A: a.Kind, B: b.Kind,
			Cause: "the same content was packed in another way"})
	}
	return true, faults{}, nil
}

// decoded is the content of a container, as files that can be read anywhere.
type decoded struct {
	members []decodedMember
	spool   *spool
}

type decodedMember struct {
	container.Entry
	file
	sum [sha256.Size]byte
	at  int
}

func (d *decoded) close() {
	if d != nil && d.spool != nil {
		d.spool.Close() //nolint:errcheck // to be thrown away
	}
}

// decode sums up the content of all members and keeps what is not stored as it
// is in one file without a name.
func (c *comparison) decode(ctx context.Context, in *container.Container, f file) (*decoded, error) {
	d := &decoded{}
	var kept, all int64
	for i, e := range in.Entries {
		if err := ctx.Err(); err != nil {
			return d, err
		}
		m := decodedMember{Entry: e, at: i}
		if e.Open == nil {
			m.file = file{r: io.NewSectionReader(f.r, e.Offset, e.Size), size: e.Size}
		} else {
			n, err := c.unpack(d, e, kept, min(c.o.MaxBytes-all, c.unpackable()))
			c.unpacked += n
			if err != nil {
				return d, fmt.Errorf("unpacking %s: %w", cmp.Or(e.Name, "it"), err)
			}
			m.file = file{r: io.NewSectionReader(d.spool.f, kept, n), size: n}
			kept += n
		}
		if all += m.size; all > c.o.MaxBytes {
			return d, errTooLarge
		}
		h := sha256.New()
		if _, err := io.Copy(h, io.NewSectionReader(m.r, 0, m.size)); err != nil {
			return d, err
		}
		h.Sum(m.sum[:0])
		d.members = append(d.members, m)
	}
	return d, nil
}

// unpackable is how many bytes may still be unpacked: bombs in many members, or
// in one another, are one bomb.
func (c *comparison) unpackable() int64 { return max(2*c.o.MaxBytes-c.unpacked, 0) }

// unpack appends the content of a member to the spool.
func (c *comparison) unpack(d *decoded, e container.Entry, at, left int64) (int64, error) {
	if d.spool == nil {
		s, err := newSpool(c.o.Workdir)
		if err != nil {
			c.trouble.note(err)
			return 0, err
		}
		d.spool = s
	}
	r, err := e.Open()
	if err != nil {
		return 0, err
	}
	defer r.Close()
	return io.Copy(c.trouble.keep(io.NewOffsetWriter(d.spool.f, at)), limit(r, left))
}

// decodedTwins are two members of one name.
type decodedTwins struct{ a, b decodedMember }

// pairDecoded pairs members by name, the first with the first where a name
// stands more than once, and tells of those without a partner and of another
// order.
func (c *comparison) pairDecoded(path string, a, b *decoded) []decodedTwins {
	inB := map[string][]decodedMember{}
	for _, m := range b.members {
		inB[m.Name] = append(inB[m.Name], m)
	}
	var pairs []decodedTwins
	for _, m := range a.members {
		if len(inB[m.Name]) == 0 {
			c.add(Finding{Path: within(path, m.Name), Field: "member", A: "member", Offset: -1, Tier: Forbidden, Cause: "it is in A only"})
			continue
		}
		pairs = append(pairs, decodedTwins{m, inB[m.Name][0]})
		inB[m.Name] = inB[m.Name][1:]
	}
	for _, m := range b.members {
		if left := inB[m.Name]; len(left) > 0 && left[0].at == m.at {
			inB[m.Name] = left[1:]
			c.add(Finding{Path: within(path, m.Name), Field: "member", B: "member", Offset: -1, Tier: Forbidden, Cause: "it is in B only"})
		}
	}
	for i := 1; i < len(pairs); i++ {
		if pairs[i].b.at < pairs[i-1].b.at {
			c.add(Finding{Path: path, Field: "order", Offset: -1, Tier: Container, Cause: "the members stand in another order",
				Evidence: fmt.Sprintf("B has %s before %s", printable(pairs[i].b.Name, maxValue), printable(pairs[i-1].b.Name, maxValue))})
			break
		}
	}
	return pairs
}

// within names a member of a container; a stream's only member has no name.
func within(path, name string) string {
	if name == "" {
		return path + "!"
	}
	return path + "/" + name
}

func (c *comparison) decodedPair(ctx context.Context, path string, p decodedTwins, sameIndex bool) error {
	at := within(path, p.a.Name)
	same := p.a.sum == p.b.sum && p.a.size == p.b.size
	c.fields(at, packedAs(p.a.Fields, same), packedAs(p.b.Fields, same))
	c.hidden(at, p.a.Hidden, p.b.Hidden)
	switch {
	case same:
		return nil
	case sameIndex:
		c.add(Finding{Path: at, Field: "order", Offset: -1, Tier: Container, Cause: "the same index in another order, or for members in another order"})
		return nil
	}
	return c.content(ctx, at, p.a.file, p.b.file)
}

// packedAs leaves out how a member is compressed where its content differs: it
// follows from that.
func packedAs(fields []container.Field, same bool) []container.Field {
	if same {
		return fields
	}
	return slices.DeleteFunc(slices.Clone(fields), func(f container.Field) bool { return strings.HasSuffix(f.Name, ".compression") })
}

// fields tells of the fields that differ: those of one name by their order.
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
			c.add(Finding{Path: path, Field: f.Name, A: f.Value, B: other.Value, Offset: -1, Tier: weighed(max(f.Weight, other.Weight))})
		}
	}
	for _, f := range left {
		c.add(Finding{Path: path, Field: f.Name, B: f.Value, Offset: -1, Tier: weighed(f.Weight)})
	}
}

func weighed(w container.Weight) Tier {
	switch w {
	case container.Form:
		return Container
	case container.Header:
		return Header
	case container.Stamp:
		return Stamp
	default:
		return Forbidden
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
		return fmt.Sprintf("%s from byte %d", plural(int(h.Count), "byte"), h.First)
	}
	c.add(Finding{Path: path, Field: "hidden", A: text(a), B: text(b), Offset: -1, Tier: Forbidden,
		Cause: "bytes stand where no reader looks"})
}

// headOf returns the first bytes of a file.
func headOf(f file, n int64) []byte {
	buf := make([]byte, min(n, f.size))
	got, _ := f.r.ReadAt(buf, 0) // what cannot be read fails again where it is compared
	return buf[:got]
}
