// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

// Package tree compares two artifacts member by member: it loads archives,
// compressed files and folders, pairs their members, and opens containers within
// members.
//
// It compares which members there are and what their headers say;
// orchestrator/compare/judge explains differences in their content. Content larger
// than memory is spooled to a temporary file.
package tree

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"hash/maphash"
	"io"
	"path"
	"strings"

	"golang.org/x/sync/errgroup"

	"github.com/zfarm/zfarm/attest/digest"
	"github.com/zfarm/zfarm/orchestrator/compare/format/pax"
	"github.com/zfarm/zfarm/orchestrator/compare/format/registry"
	"github.com/zfarm/zfarm/orchestrator/compare/judge"
	"github.com/zfarm/zfarm/orchestrator/compare/verdict"
	"github.com/zfarm/zfarm/workers/codepage"
)

// Input is one artifact.
type Input struct {
	// Name is its file name, for messages.
	Name string
	// Open opens it from its beginning; it is called more than once. If the result
	// is an io.ReaderAt, as files are, it is read in place. Otherwise, or if it is
	// compressed, the content is written to Limits.Workdir for the duration of the
	// comparison.
	Open func() (io.ReadCloser, error)
	// Digest is the digest of its bytes if it is known, else zero. Inputs with the
	// same digest are identical without being read.
	Digest digest.Digest
}

// Limits bound what is read.
type Limits struct {
	// Bytes bounds the unpacked content of one artifact. Unpacking the members of
	// an artifact has a further bound of the same size; a member beyond it is
	// compared as bytes.
	Bytes int64
	// Members bounds the members of one artifact.
	Members int
	// Workdir is a folder with room for the unpacked content of both artifacts; ""
	// is the system's folder for temporary files.
	Workdir string
}

func (l Limits) pax() pax.Limits { return pax.Limits{Members: l.Members} }

// Result summarises a comparison.
type Result struct {
	// Identical is set if both artifacts are the same bytes.
	Identical bool
	// Incomparable says why they cannot be compared, "" if they can.
	Incomparable string
	// Members, Differing and Bytes are as in verdict.Verdict.
	Members, Differing int
	Bytes              int64
}

// Compare compares two artifacts and adds its findings to found; j explains
// differences in the content of members. An error means that a read failed or that
// ctx ended.
func Compare(ctx context.Context, a, b Input, l Limits, j *judge.Judge, found *verdict.Collector) (Result, error) {
	ha, hb, err := openBoth(a, b)
	defer ha.close()
	defer hb.close()
	if err != nil {
		return Result{}, err
	}
	var begin beginning
	if a.Digest.IsZero() || b.Digest.IsZero() {
		if begin, err = sameBytes(ctx, ha, hb); err != nil {
			return Result{}, err
		}
	}
	if begin.whole {
		return Result{Identical: true, Bytes: 2 * begin.length}, nil
	}
	left, right, err := loadHandles(ctx, ha, hb, l)
	defer left.close()
	defer right.close()
	if err != nil {
		return Result{}, err
	}
	r := Result{Bytes: left.read + right.read}
	if r.Incomparable = incomparable(left, right, a, b); r.Incomparable != "" {
		return r, nil
	}
	c := &comparison{limits: l, judge: j, formats: registry.New(), found: found, changed: map[uint64]struct{}{}, seed: maphash.MakeSeed()}
	if left.inPlace() && right.inPlace() {
		c.equal = begin.length
	}
	left.tree.data, right.tree.data = c.failure.reader(left.tree.data), c.failure.reader(right.tree.data)
	if err := cmp.Or(c.artifacts(ctx, left, right), c.failure.err()); err != nil {
		return Result{}, fmt.Errorf("comparing %s with %s: %w", a.Name, b.Name, err)
	}
	r.Members, r.Differing = c.members, len(c.changed)
	return r, nil
}

// openBoth opens two inputs. The handles are never nil.
func openBoth(a, b Input) (ha, hb *handle, err error) {
	ha, errA := openInput(a)
	hb, errB := openInput(b)
	return ha, hb, errors.Join(errA, errB)
}

// beginning says how many bytes both inputs have in common from the start, and
// whether that is all of both.
type beginning struct {
	length int64
	whole  bool
}

// sameBytes reads both inputs up to the first difference.
func sameBytes(ctx context.Context, a, b *handle) (beginning, error) {
	if a.at != nil && b.at != nil && a.size != b.size {
		return beginning{}, nil
	}
	bufA, bufB := make([]byte, screenPiece), make([]byte, screenPiece)
	readA, readB := a.reader(), b.reader()
	for same := int64(0); ; {
		if err := ctx.Err(); err != nil {
			return beginning{}, err
		}
		na, endA, err := fill(readA, bufA)
		if err != nil {
			return beginning{}, fmt.Errorf("reading %s: %w", a.in.Name, err)
		}
		nb, endB, err := fill(readB, bufB)
		if err != nil {
			return beginning{}, fmt.Errorf("reading %s: %w", b.in.Name, err)
		}
		if !bytes.Equal(bufA[:na], bufB[:nb]) || endA != endB {
			return beginning{length: same}, errors.Join(a.reopen(), b.reopen())
		}
		if same += int64(na); endA {
			return beginning{same, true}, nil
		}
	}
}

// fill reads until buf is full or r ends; end is set if r ended.
func fill(r io.Reader, buf []byte) (n int, end bool, err error) {
	n, err = io.ReadFull(r, buf)
	if err == io.EOF || err == io.ErrUnexpectedEOF {
		return n, true, nil
	}
	return n, false, err
}

// loadBoth opens and loads both inputs concurrently. The artifacts are never nil.
func loadBoth(ctx context.Context, a, b Input, l Limits) (left, right *artifact, err error) {
	ha, hb, err := openBoth(a, b)
	if err != nil {
		ha.close()
		hb.close()
		return &artifact{}, &artifact{}, err
	}
	left, right, err = loadHandles(ctx, ha, hb, l)
	left.owns, right.owns = true, true
	return left, right, err
}

// loadHandles loads two open inputs. The artifacts do not close them.
func loadHandles(ctx context.Context, a, b *handle, l Limits) (left, right *artifact, err error) {
	left, right = &artifact{}, &artifact{}
	seed := maphash.MakeSeed()
	sum := func(name string) uint64 { return maphash.String(seed, name) }
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return left.load(ctx, a, l, sum) })
	g.Go(func() error { return right.load(ctx, b, l, sum) })
	return left, right, g.Wait()
}

// incomparable returns why the two cannot be compared, "" if they can.
func incomparable(left, right *artifact, a, b Input) string {
	var reasons []string
	for _, x := range []struct {
		side string
		in   Input
		art  *artifact
	}{{"A", a, left}, {"B", b, right}} {
		if x.art.fault != nil {
			reasons = append(reasons, fmt.Sprintf("%s (%s) cannot be read: %s",
				x.side, codepage.Value(path.Base(x.in.Name), verdict.MaxValue), codepage.Value(x.art.fault.Error(), 4*verdict.MaxValue)))
		}
	}
	if len(reasons) == 0 && left.tree.kind != right.tree.kind {
		reasons = append(reasons, fmt.Sprintf("unlike inputs: A is a %s, B is a %s", left.tree.kind, right.tree.kind))
	}
	return strings.Join(reasons, "; ")
}

// comparison is the state of one comparison.
type comparison struct {
	limits  Limits
	judge   *judge.Judge
	formats *registry.Registry
	found   *verdict.Collector
	members int
	// changed holds sums, by seed, of the paths of members with findings.
	changed map[uint64]struct{}
	seed    maphash.Seed
	// equal is how many bytes both artifacts have in common from the start.
	equal int64
	// nearA and nearB buffer the content of the pair of small members being
	// compared.
	nearA, nearB []byte
	// reformatted is the path of the first member whose headers differ in bytes but
	// not in meaning.
	reformatted string
	depth       int // of containers within containers
	failure     ioFailure
	// unpacked counts the bytes unpacked from members of both artifacts.
	unpacked int64
}

// add adds a finding about a member.
func (c *comparison) add(f verdict.Finding) {
	c.changed[maphash.String(c.seed, f.Path)] = struct{}{}
	c.found.Add(f)
}

// findings implements judge.Findings for a comparison.
type findings struct{ c *comparison }

func (f findings) Add(x verdict.Finding)    { f.c.add(x) }
func (f findings) Full(t verdict.Tier) bool { return f.c.found.Full(t) }

// content compares the content of a member that is known to differ.
func (c *comparison) content(ctx context.Context, path string, a, b judge.File) error {
	done, unopened, err := c.nested(ctx, path, a, b)
	if done || err != nil {
		return err
	}
	return c.judge.Content(ctx, path, a, b, unopened.Text("compared as bytes, as it cannot be opened"), findings{c})
}

// about adds a finding about a whole archive.
func (c *comparison) about(f verdict.Finding) {
	f.Offset = -1
	c.found.Add(f)
}

// artifacts compares two loaded artifacts.
func (c *comparison) artifacts(ctx context.Context, a, b *artifact) error {
	c.layers(a, b)
	if err := c.trees(ctx, "", a.tree, b.tree); err != nil {
		return err
	}
	if c.reformatted != "" || a.tree.trailer.Length != b.tree.trailer.Length {
		evidence := "the zeros behind the end have another length"
		if c.reformatted != "" {
			evidence = "first at " + codepage.Value(c.reformatted, verdict.MaxPath)
		}
		c.about(verdict.Finding{Field: "format", Tier: verdict.Container, Cause: "the archives say the same in another form", Evidence: evidence})
	}
	return c.remainder(ctx, a, b)
}

// layers compares the compression of the artifacts.
func (c *comparison) layers(a, b *artifact) {
	if la, lb := strings.Join(a.layers, " in "), strings.Join(b.layers, " in "); la != lb {
		c.about(verdict.Finding{Field: "compression", A: la, B: lb, Tier: verdict.Container})
	}
	for i := range min(len(a.gzip), len(b.gzip)) {
		ga, gb := a.gzip[i], b.gzip[i]
		for _, f := range []struct {
			field, a, b string
			tier        verdict.Tier
		}{
			{"gzip.time", timeText(ga.ModTime), timeText(gb.ModTime), verdict.Header},
			{"gzip.name", ga.Name, gb.Name, verdict.Header},
			{"gzip.comment", ga.Comment, gb.Comment, verdict.Forbidden},
			{"gzip.extra", string(ga.Extra), string(gb.Extra), verdict.Forbidden},
		} {
			if f.a != f.b {
				c.about(verdict.Finding{Field: f.field, A: f.a, B: f.b, Tier: f.tier})
			}
		}
	}
}

// remainder adds a finding if the artifacts differ but have none.
func (c *comparison) remainder(ctx context.Context, a, b *artifact) error {
	if len(c.found.Tiers()) > 0 {
		return nil
	}
	same, err := sameContent(ctx, a.tree, b.tree)
	if err != nil {
		return err
	}
	if same {
		c.about(verdict.Finding{Field: "compression", Tier: verdict.Container, A: strings.Join(a.layers, " in "), B: strings.Join(b.layers, " in "),
			Cause: "the same content was compressed in another way"})
		return nil
	}
	c.about(verdict.Finding{Field: "format", Tier: verdict.Container, Cause: "the archives say the same in another form"})
	return nil
}

// tree is the members of a container, or a single file.
type tree struct {
	kind    string // for messages: "pax archive", "single file"
	name    string // of a single file
	index   memberIndex
	globals []pax.Record // in force at the end of the archive
	trailer pax.Trailer
	data    io.ReaderAt
	size    int64
}

const singleFile = "single file"

// keyOf returns the path of a member once unpacked.
func keyOf(m *pax.Member) string { return path.Clean(m.Name) }

// content returns the content of a member.
func (t *tree) content(m *pax.Member) judge.File {
	tag, _ := m.Record(pax.ZOSTag)
	return judge.File{R: io.NewSectionReader(t.data, m.Offset, m.Size), Size: m.Size, Tag: tag}
}
