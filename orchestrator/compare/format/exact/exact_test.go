// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

package exact

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"

	"github.com/zfarm/zfarm/orchestrator/compare/format/container"
)

func file(s string) File { return File{strings.NewReader(s), int64(len(s))} }

func TestRead(t *testing.T) {
	f := file("0123456789")
	p := make([]byte, 4)
	if err := f.Read(p, 6); err != nil || string(p) != "6789" {
		t.Errorf("%q, %v", p, err)
	}
	lying := File{strings.NewReader("012"), 10} // a file that became shorter
	for _, c := range []struct {
		f    File
		at   int64
		want string
	}{{f, 7, "at byte 7: 4 bytes should be here"}, {f, -1, "at byte -1"}, {f, 1 << 62, "should be here"}, {lying, 2, "at byte 3: the file ends"}} {
		if err := c.f.Read(p, c.at); !errors.Is(err, container.ErrFormat) || !strings.Contains(err.Error(), c.want) {
			t.Errorf("error %v; want %q", err, c.want)
		}
	}
}

type broken struct{ err error }

func (b broken) ReadAt([]byte, int64) (int, error) { return 0, b.err }

func TestFaultsOfTheFileAreNoFormat(t *testing.T) {
	want := errors.New("no disk")
	f := File{broken{want}, 100}
	s := f.RangeReader(0, 100)
	_, err := s.Read(make([]byte, 1))
	for name, err := range map[string]error{"read": f.Read(make([]byte, 1), 0), "sum": f.Sum(sha256.New(), 0, 5), "stretch": err, "fault": s.Fault(io.ErrUnexpectedEOF, 0, "decoding")} {
		if !errors.Is(err, want) || errors.Is(err, container.ErrFormat) {
			t.Errorf("%s: error %v", name, err)
		}
	}
}

func TestFault(t *testing.T) {
	s := file("abc").RangeReader(1, 2)
	if b, err := io.ReadAll(s); string(b) != "bc" || err != nil || s.Count() != 2 {
		t.Errorf("%q, %v", b, err)
	}
	if s.Fault(nil, 0, "x") != nil || s.Fault(io.EOF, 0, "x") != nil {
		t.Error("an end is a fault")
	}
	err := s.Fault(errors.New("bad code"), 5, "inflating")
	if !errors.Is(err, container.ErrFormat) || !strings.HasSuffix(err.Error(), "at byte 5: inflating: bad code") {
		t.Errorf("error %v", err)
	}
	if again := s.Fault(err, 6, "inflating"); again != err { //nolint:errorlint // it must return the same error
		t.Errorf("error %v", again)
	}
}

func TestWindow(t *testing.T) {
	w := file("0123456789").Window(4)
	for _, c := range []struct {
		at     int64
		length int
		want   string
	}{{0, 2, "01"}, {2, 2, "23"}, {3, 4, "3456"}, {3, 0, ""}, {8, 2, "89"}, {10, 0, ""}, {0, 10, "0123456789"}, {1, 9, "123456789"}} {
		if b, err := w.Bytes(c.at, c.length); err != nil || string(b) != c.want {
			t.Errorf("%d bytes at %d are %q, %v", c.length, c.at, b, err)
		}
	}
	for _, at := range []int64{9, -1, 1 << 62} {
		if _, err := w.Bytes(at, 2); !errors.Is(err, container.ErrFormat) {
			t.Errorf("at %d: error %v", at, err)
		}
	}
}

func TestHidden(t *testing.T) {
	sum := func(parts ...string) container.Hidden {
		var h Hidden
		at := int64(0)
		f := file(strings.Join(parts, ""))
		for _, p := range parts {
			if err := h.Add(f, at, int64(len(p))); err != nil {
				t.Fatal(err)
			}
			at += int64(len(p))
		}
		return h.Value()
	}
	if sum() != (container.Hidden{}) || sum("") != (container.Hidden{}) {
		t.Error("nothing is hidden, and something is told")
	}
	want := container.Hidden{Count: 3, Sum: sha256.Sum256([]byte("abc\x00\x00\x00\x00\x00\x00\x00\x03"))}
	if have := sum("abc"); have != want || have != sum("abc", "") {
		t.Errorf("%+v", have)
	}
	if sum("ab", "c") == sum("a", "bc") {
		t.Error("bytes can move from one stretch to another")
	}
	var h Hidden
	if err := h.Add(file("abc"), 1, 5); !errors.Is(err, container.ErrFormat) {
		t.Errorf("error %v", err)
	}
}

func TestBudget(t *testing.T) {
	b := NewBudget(container.Limits{Members: 2, Names: 100, Content: 10})
	if err := errors.Join(b.Members(0, 2), b.Names(0, 10), b.Content(0, 10), b.Fields(0, []container.Field{{Value: "ab"}})); err != nil || b.ContentLeft() != 0 {
		t.Error(err)
	}
	for want, err := range map[string]error{
		"at byte 7: it has more than 2 members":            b.Members(7, 1),
		"at byte 8: names and fields need more than 100 ":  b.Fields(8, make([]container.Field, 2)),
		"at byte 9: more than 10 bytes lie inside; raise ": b.Content(9, 1<<63),
	} {
		if !errors.Is(err, container.ErrFormat) || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v; want %q", err, want)
		}
	}
}

func BenchmarkSum(b *testing.B) {
	f := File{bytes.NewReader(make([]byte, 1<<20)), 1 << 20}
	b.SetBytes(f.Size)
	for b.Loop() {
		if err := f.Sum(sha256.New(), 0, f.Size); err != nil {
			b.Fatal(err)
		}
	}
}

// TestEveryFieldIsCounted checks that values are shared with those of the previous
// member, but only for a limited number of fields; others take memory from the
// budget.
func TestEveryFieldIsCounted(t *testing.T) {
	value := strings.Repeat("v", 100)
	one := func(i int) []container.Field {
		return []container.Field{{Name: fmt.Sprint("field.", i), Value: value + fmt.Sprint(i)}}
	}
	for _, names := range []int{1, maxLast - 1, maxLast, maxLast + 1, 2 * maxLast} {
		b := NewBudget(container.Limits{Names: 1 << 20})
		left := b.left.Names
		for i := range names {
			if err := b.Fields(0, one(i)); err != nil {
				t.Fatal(err)
			}
			cost := int64(fieldSize + textSize + len(one(i)[0].Value))
			if left -= cost; b.left.Names != left {
				t.Fatalf("field %d of %d cost %d bytes; want %d", i, names, left+cost-b.left.Names, cost)
			}
		}
		// Repeated fields that are remembered take no memory for their values.
		for i := range names {
			before := b.left.Names
			if err := b.Fields(0, one(i)); err != nil {
				t.Fatal(err)
			}
			want := int64(fieldSize)
			if i >= maxLast {
				want += int64(textSize + len(one(i)[0].Value))
			}
			if cost := before - b.left.Names; cost != want {
				t.Fatalf("field %d of %d, said again, cost %d bytes; want %d", i, names, cost, want)
			}
		}
	}
	b := NewBudget(container.Limits{Names: 100 * (fieldSize + textSize)})
	for i := range 1000 {
		if err := b.Fields(7, one(i)); err != nil {
			if !errors.Is(err, container.ErrFormat) {
				t.Error(err)
			}
			return
		}
	}
	t.Error("a thousand fields cost nothing")
}
