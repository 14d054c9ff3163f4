// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

package compare

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

	"github.com/zfarm/zfarm/attest/digest"
	"github.com/zfarm/zfarm/orchestrator/compare/format/pax"
	"github.com/zfarm/zfarm/orchestrator/compare/stamp"
	"golang.org/x/sync/errgroup"
)

// Input is one artifact.
type Input struct {
	// Name is its file name, for people.
	Name string
	// Open opens it from its beginning; it is called more than once. What it
	// returns is read in place if it is an io.ReaderAt, as files are;
	// otherwise, and where it is compressed, what lies inside is written to
	// Options.Workdir for as long as the comparison takes.
	Open func() (io.ReadCloser, error)
	// Digest is that of its bytes where it is known, else zero. Inputs of one
	// digest are identical without being read.
	Digest digest.Digest
}

// Options are the conditions of a comparison.
type Options struct {
	// Allowed are the tiers that an equivalent verdict may have.
	Allowed []Tier
	// Known is what is known of the two repeats.
	Known Known
	// Rules are those of the recipe.
	Rules []Rule
	// MaxFindings bounds the findings of a verdict; default 1000. Those of
	// higher tiers are kept rather than others.
	MaxFindings int
	// MaxBytes bounds what lies inside one artifact, unpacked; default 64 GiB.
	// As much again may lie inside its members: one that holds more is compared as it is.
	MaxBytes int64
	// MaxMembers bounds the members of one artifact; default 2 million.
	MaxMembers int
	// Workdir is a folder with room for what lies inside both artifacts; ""
	// is that of the system for temporary files.
	Workdir string
}

func (o Options) withDefaults() Options {
	if o.MaxFindings <= 0 {
		o.MaxFindings = 1000
	}
	if o.MaxBytes <= 0 {
		o.MaxBytes = 64 << 30
	}
	if o.MaxMembers <= 0 {
		o.MaxMembers = 2_000_000
	}
	return o
}

func (o Options) paxLimits() pax.Limits { return pax.Limits{Members: o.MaxMembers} }

// Archives compares two artifacts: pax or tar archives, possibly compressed
// (.Z, gzip), or single files. Equal bytes are identical without being opened,
// so that the verdict counts no members then; where their digests say that
// they are equal, they are not even read.
//
// Whatever the bytes are, the answer is a verdict; an error means that reading
// or ctx ended it.
func Archives(ctx context.Context, a, b Input, o Options) (Verdict, error) {
	o = o.withDefaults()
	v := Verdict{Allowed: o.Allowed, Findings: []Finding{}}
	if !a.Digest.IsZero() && a.Digest == b.Digest {
		v.Outcome = Identical
		return v, nil
	}
	ha, hb, err := openBoth(a, b)
	defer ha.close()
	defer hb.close()
	if err != nil {
		return Verdict{}, err
	}
	var begin beginning
	if a.Digest.IsZero() || b.Digest.IsZero() {
		if begin, err = sameBytes(ctx, ha, hb); err != nil {
			return Verdict{}, err
		}
	}
	if begin.whole {
		v.Outcome, v.Bytes = Identical, 2*begin.length
		return v, nil
	}
	left, right, err := loadHandles(ctx, ha, hb, o)
	defer left.close()
	defer right.close()
	if err != nil {
		return Verdict{}, err
	}
	v.Bytes = left.read + right.read
	if v.Reason = incomparable(left, right, a, b); v.Reason != "" {
		v.Outcome = Incomparable
		return v, nil
	}
	c := &comparison{o: o, found: newCollector(o.MaxFindings), changed: map[uint64]struct{}{}, seed: maphash.MakeSeed(),
		stamps: stamp.NewFinder(windowOf(o.Known.A), windowOf(o.Known.B))}
	c.known, c.rules = knownValues(o.Known), newRuleSet(o.Rules)
	if left.inPlace() && right.inPlace() {
		c.equal = begin.length
	}
	left.tree.data, right.tree.data = c.trouble.read(left.tree.data), c.trouble.read(right.tree.data)
	if err := cmp.Or(c.artifacts(ctx, left, right), c.trouble.err()); err != nil {
		return Verdict{}, fmt.Errorf("comparing %s with %s: %w", a.Name, b.Name, err)
	}
	v.Members, v.Differing = c.members, len(c.changed)
	v.Findings, v.Omitted = c.found.take()
	v.Fields = c.found.counts()
	v.Outcome, v.Tier = decide(c.found.tiers(), o.Allowed)
	return v, nil
}

func windowOf(c Conditions) stamp.Window { return stamp.NewWindow(c.Begun, c.Ended, c.Zone) }

// openBoth opens two inputs. What was opened is never nil.
func openBoth(a, b Input) (ha, hb *handle, err error) {
	ha, errA := openInput(a)
	hb, errB := openInput(b)
	return ha, hb, errors.Join(errA, errB)
}

// beginning is how many bytes from the first on are the same in both inputs, and
// whether these are all.
type beginning struct {
	length int64
	whole  bool
}

// sameBytes reads both inputs up to their first difference.
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
			return beginning{length: same}, errors.Join(a.again(), b.again())
		}
		if same += int64(na); endA {
			return beginning{same, true}, nil
		}
	}
}

// fill reads until buf is full or r ends.
func fill(r io.Reader, buf []byte) (n int, end bool, err error) {
	n, err = io.ReadFull(r, buf)
	if err == io.EOF || err == io.ErrUnexpectedEOF {
		return n, true, nil
	}
	return n, false, err
}

// loadBoth opens and loads both inputs at once. The artifacts are never nil.
func loadBoth(ctx context.Context, a, b Input, o Options) (left, right *artifact, err error) {
	ha, hb, err := openBoth(a, b)
	if err != nil {
		ha.close()
		hb.close()
		return &artifact{}, &artifact{}, err
	}
	left, right, err = loadHandles(ctx, ha, hb, o)
	left.owns, right.owns = true, true
	return left, right, err
}

// loadHandles loads two inputs that were opened, which the artifacts do not close.
func loadHandles(ctx context.Context, a, b *handle, o Options) (left, right *artifact, err error) {
	left, right = &artifact{}, &artifact{}
	seed := maphash.MakeSeed()
	sum := func(name string) uint64 { return maphash.String(seed, name) }
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return left.load(ctx, a, o, sum) })
	g.Go(func() error { return right.load(ctx, b, o, sum) })
	return left, right, g.Wait()
}

// incomparable says why the two cannot be compared, "" if they can.
func incomparable(left, right *artifact, a, b Input) string {
	var reasons []string
	for _, x := range []struct {
		side string
		in   Input
		art  *artifact
	}{{"A", a, left}, {"B", b, right}} {
		if x.art.fault != nil {
			reasons = append(reasons, fmt.Sprintf("%s (%s) cannot be read: %s",
				x.side, printable(path.Base(x.in.Name), maxValue), printable(x.art.fault.Error(), 4*maxValue)))
		}
	}
	if len(reasons) == 0 && left.tree.kind != right.tree.kind {
		reasons = append(reasons, fmt.Sprintf("unlike inputs: A is a %s, B is a %s", left.tree.kind, right.tree.kind))
	}
	return strings.Join(reasons, "; ")
}

// comparison is one comparison under way.
type comparison struct {
	o       Options
	known   []knownValue
	rules   *ruleSet
	stamps  *stamp.Finder
	found   *collector
	members int
	// changed are sums, by seed, of the paths of members with findings.
	changed map[uint64]struct{}
	seed    maphash.Seed
	// equal is how many bytes both artifacts have in common from the first on.
	equal int64
	// nearA and nearB hold the pair of small members that is being compared.
	nearA, nearB []byte
	// reformatted is the first member of which headers differ although all
	// that they say is the same.
	reformatted string
	depth       int // of containers within containers
	trouble     trouble
	// unpacked is how many bytes were unpacked from members of both artifacts.
	unpacked int64
}

// add adds a finding about a member.
func (c *comparison) add(f Finding) {
	c.changed[maphash.String(c.seed, f.Path)] = struct{}{}
	c.found.add(f)
}

// about adds a finding about a whole archive.
func (c *comparison) about(f Finding) {
	f.Offset = -1
	c.found.add(f)
}

// artifacts compares what was loaded.
func (c *comparison) artifacts(ctx context.Context, a, b *artifact) error {
	c.layers(a, b)
	if err := c.trees(ctx, "", a.tree, b.tree); err != nil {
		return err
	}
	if c.reformatted != "" || a.tree.trailer.Length != b.tree.trailer.Length {
		evidence := "the zeros behind the end have another length"
		if c.reformatted != "" {
			evidence = "first at " + printable(c.reformatted, maxPath)
		}
		c.about(Finding{Field: "format", Tier: Container, Cause: "the archives say the same in another form", Evidence: evidence})
	}
	return c.remainder(ctx, a, b)
}

// layers compares how the artifacts are compressed.
func (c *comparison) layers(a, b *artifact) {
	if la, lb := strings.Join(a.layers, " in "), strings.Join(b.layers, " in "); la != lb {
		c.about(Finding{Field: "compression", A: la, B: lb, Tier: Container})
	}
	for i := range min(len(a.gzip), len(b.gzip)) {
		ga, gb := a.gzip[i], b.gzip[i]
		for _, f := range []struct {
			field, a, b string
			tier        Tier
		}{
			{"gzip.time", timeText(ga.ModTime), timeText(gb.ModTime), Header},
			{"gzip.name", ga.Name, gb.Name, Header},
			{"gzip.comment", ga.Comment, gb.Comment, Forbidden},
			{"gzip.extra", string(ga.Extra), string(gb.Extra), Forbidden},
		} {
			if f.a != f.b {
				c.about(Finding{Field: f.field, A: f.a, B: f.b, Tier: f.tier})
			}
		}
	}
}

// remainder makes sure that bytes which differ are never without a finding.
func (c *comparison) remainder(ctx context.Context, a, b *artifact) error {
	if len(c.found.tiers()) > 0 {
		return nil
	}
	same, err := sameContent(ctx, a.tree, b.tree)
	if err != nil {
		return err
	}
	if same {
		c.about(Finding{Field: "compression", Tier: Container, A: strings.Join(a.layers, " in "), B: strings.Join(b.layers, " in "),
			Cause: "the same content was compressed in another way"})
		return nil
	}
	c.about(Finding{Field: "format", Tier: Container, Cause: "the archives say the same in another form"})
	return nil
}

// tree is the members of a container, or one file by itself.
type tree struct {
	kind    string // for people: "pax archive", "single file"
	name    string // of a single file
	roster  roster
	globals []pax.Record // in force at the end
	trailer pax.Trailer
	data    io.ReaderAt
	size    int64
}

const singleFile = "single file"

// keyOf is the name under which a member lies once unpacked.
func keyOf(m *pax.Member) string { return path.Clean(m.Name) }

// content returns the bytes of a member.
func (t *tree) content(m *pax.Member) file {
	tag, _ := m.Record(pax.ZOSTag)
	return file{r: io.NewSectionReader(t.data, m.Offset, m.Size), size: m.Size, tag: tag}
}

// file is the content of one member.
type file struct {
	r    io.ReaderAt
	size int64
	tag  string // its ZOS.taginfo, "" if it has none
}
