// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

package compare

import (
	"archive/tar"
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// inPlace is an input with random access, like a file.
func inPlace(name string, b []byte) Input {
	return Input{Name: name, Open: func() (io.ReadCloser, error) {
		return struct {
			*io.SectionReader
			io.Closer
		}{io.NewSectionReader(bytes.NewReader(b), 0, int64(len(b))), io.NopCloser(nil)}, nil
	}}
}

// TestInPlaceSaysTheSame compares random pairs as files, as streams and compressed:
// all give the same verdict.
func TestInPlaceSaysTheSame(t *testing.T) {
	r := rand.New(rand.NewPCG(8, 8))
	for range 60 {
		var a, b []member
		for i := range 1 + r.IntN(30) {
			m := reg(fmt.Sprintf("p/%03d", i), strings.Repeat(fmt.Sprint(i, " "), r.IntN(2000)))
			n := m
			switch r.IntN(12) {
			case 0:
				n = n.bodied(m.body + "x")
			case 1:
				n = n.with(func(h *tar.Header) { h.ModTime = begun().Add(time.Hour) })
			case 2:
				n = n.record("ZOS.taginfo", "1 1047")
			case 3:
				if len(m.body) > 0 {
					n = n.bodied(m.body[:len(m.body)-1] + "!")
				}
			case 4:
				a = append(a, m)
				continue
			}
			a, b = append(a, m), append(b, n)
		}
		if r.IntN(3) == 0 {
			r.Shuffle(len(b), func(i, j int) { b[i], b[j] = b[j], b[i] })
		}
		x, y := archive(t, a...), archive(t, b...)
		if r.IntN(2) == 0 {
			y = append(y, make([]byte, r.IntN(3)*512)...)
		}
		want := compared(t, input("a", x), input("b", y))
		if d := cmp.Diff(want, compared(t, inPlace("a", x), inPlace("b", y))); d != "" {
			t.Fatalf("-stream +in place:\n%s", d)
		}
		if want.Outcome == Identical {
			continue
		}
		want.Bytes = 0
		packed := compared(t, inPlace("a", dotZ(t, x)), inPlace("b", dotZ(t, y)))
		if packed.Bytes = 0; cmp.Diff(want, packed) != "" {
			t.Fatalf("-stream +compressed:\n%s", cmp.Diff(want, packed))
		}
	}
}

func compared(t *testing.T, a, b Input) Verdict {
	t.Helper()
	v, err := Archives(t.Context(), a, b, Options{Known: known(), Workdir: t.TempDir(), Allowed: []Tier{0, 1, 2}})
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// TestGlobalRecordsReachTheirMembers changes global records within an archive.
func TestGlobalRecordsReachTheirMembers(t *testing.T) {
	global := func(value string) member {
		return member{Header: tar.Header{Typeflag: tar.TypeXGlobalHeader, Name: "g", PAXRecords: map[string]string{"comment": value}}}
	}
	a := archive(t, reg("1", "x"), global("one"), reg("2", "x"), global("two"), reg("3", "x"), reg("4", "x"))
	b := archive(t, reg("1", "x"), global("one"), reg("2", "x"), global("TWO"), reg("3", "x"), reg("4", "x"))
	var got []string
	for _, f := range compared(t, inPlace("a", a), inPlace("b", b)).Findings {
		got = append(got, f.Path+" "+f.Field+" "+f.A+" "+f.B)
	}
	want := []string{" global records comment=two comment=TWO", "3 record.comment two TWO", "4 record.comment two TWO"}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("-want +got:\n%s", d)
	}
}

// TestFaultsOfFilesAreErrors checks that a read error is not reported as a broken
// archive.
func TestFaultsOfFilesAreErrors(t *testing.T) {
	lost := errors.New("disk lost")
	whole := archive(t, reg("a", strings.Repeat("x", 100_000)), reg("b", strings.Repeat("y", 100_000)))
	other := archive(t, reg("a", strings.Repeat("x", 100_000)), reg("b", strings.Repeat("z", 100_000)))
	for good := range int64(len(whole)) / 5000 {
		broken := Input{Name: "broken", Open: func() (io.ReadCloser, error) {
			return struct {
				*io.SectionReader
				io.Closer
			}{io.NewSectionReader(brokenAt{bytes.NewReader(whole), good * 5000, lost}, 0, int64(len(whole))), io.NopCloser(nil)}, nil
		}}
		if _, err := Archives(t.Context(), broken, inPlace("b", other), Options{}); !errors.Is(err, lost) {
			t.Fatalf("broken from byte %d: %v", good*5000, err)
		}
	}
}

// brokenAt fails to read from a certain byte on.
type brokenAt struct {
	r    io.ReaderAt
	from int64
	err  error
}

func (b brokenAt) ReadAt(p []byte, at int64) (int, error) {
	if at+int64(len(p)) > b.from {
		return 0, b.err
	}
	return b.r.ReadAt(p, at)
}
