// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

// Package formattest is a conformance test for formats. It runs over all formats of
// orchestrator/compare/format/registry, with the samples in the testdata folder of
// each format's package.
//
// It reads a sample as the comparator does, and then changes it. No change may
// cause a panic, every byte must belong to a part, and every change must be
// detected. orchestrator/compare/format/container/containertest measures the memory
// that readers of containers use.
package formattest

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"io"
	"math"
	"strings"
	"testing"

	"github.com/zfarm/zfarm/orchestrator/compare/format"
	"github.com/zfarm/zfarm/orchestrator/compare/format/container"
	"github.com/zfarm/zfarm/orchestrator/compare/format/jsontext"
	"github.com/zfarm/zfarm/orchestrator/compare/format/pax"
	"github.com/zfarm/zfarm/orchestrator/compare/format/span"
)

const (
	// headSize bounds the head that Is gets, in bytes.
	headSize = 512
	// tries is the maximum number of places at which a sample is changed; smaller
	// samples are changed at each byte.
	tries = 300
	// most bounds the content of samples.
	most = 1 << 30
)

// Check runs all checks of a format over one sample. means reports whether some
// format describes a field, since a container may have fields of another format.
func Check(t *testing.T, f format.Format, sample []byte, means func(field string) bool) {
	t.Helper()
	whole, err := read(f, sample)
	if err != nil {
		t.Fatalf("the sample cannot be read: %v", err)
	}
	t.Run("is detected", func(t *testing.T) { detected(t, f, sample) })
	t.Run("every byte is owned", func(t *testing.T) { owned(t, f, sample) })
	t.Run("every field has a meaning", func(t *testing.T) { meant(t, whole, means) })
	t.Run("is not read beyond its end", func(t *testing.T) { truncated(t, f, sample, whole) })
	t.Run("flips are seen", func(t *testing.T) { flipped(t, f, sample, whole) })
	t.Run("keeps to its limits", func(t *testing.T) { limited(t, f, sample) })
}

// reading is what a format reads from a file. Two readings are equal only if the
// comparator would not distinguish the files.
type reading struct {
	text   string
	fields []string
}

// read reads a file as the comparator does. An error means that the bytes do not
// follow the format to their end.
func read(f format.Format, b []byte) (reading, error) {
	if len(b) == 0 || !f.Is(b[:min(len(b), headSize)]) {
		return reading{}, fmt.Errorf("%q does not begin a %s", b[:min(len(b), 16)], f.Name)
	}
	switch {
	case f.Open != nil:
		return readContainer(f, b, container.Limits{})
	case f.Layout != nil, f.Spans != nil:
		return readSpans(f, b)
	case f.Set != nil:
		return readSet(f, b)
	case f.Document:
		d, err := jsontext.Parse(b)
		return reading{text: string(bytes.TrimSpace(b)) + fmt.Sprint(d != nil)}, err
	}
	return readArchive(b)
}

// writer writes a reading.
type writer struct {
	strings.Builder
	fields []string
}

func (w *writer) write(all []container.Field, hidden container.Hidden) {
	for _, f := range all {
		w.fields = append(w.fields, f.Name)
		w.line("%s=%q", f.Name, f.Value)
	}
	w.line("hidden %d %x", hidden.Count, hidden.Sum)
}

func (w *writer) line(format string, args ...any) {
	fmt.Fprintf(w, format+"\n", args...) //nolint:errcheck // a builder takes everything
}

func readContainer(f format.Format, b []byte, l container.Limits) (reading, error) {
	r, size := bytes.NewReader(b), int64(len(b))
	c, err := f.Open(r, size, l)
	if err != nil {
		return reading{}, err
	}
	var w writer
	w.write(c.Fields, c.Hidden)
	for _, e := range c.Entries {
		w.line("member %q", e.Name)
		w.write(e.Fields, e.Hidden)
		var in io.Reader = io.NewSectionReader(r, e.Offset, e.Size)
		if e.Open == nil && (e.Offset < 0 || e.Size < 0 || e.Offset > size || e.Size > size-e.Offset) {
			return reading{}, fmt.Errorf("member %q lies at %d, %d bytes long, in a file of %d", e.Name, e.Offset, e.Size, size)
		}
		if e.Open != nil {
			rc, err := e.Open()
			if err != nil {
				return reading{}, err
			}
			defer rc.Close()
			in = rc
		}
		h := sha256.New()
		n, err := io.Copy(h, io.LimitReader(in, most))
		if err != nil {
			return reading{}, err
		}
		w.line("content %d %x", n, h.Sum(nil))
	}
	if f.Index != nil {
		x, err := f.Index(r, size, c, l)
		if err != nil {
			return reading{}, err
		}
		if x != nil {
			w.line("index %d %q %d %x", x.Entry, x.Items, x.Hidden.Count, x.Hidden.Sum)
		}
	}
	return reading{w.String(), w.fields}, nil
}

// layout returns the layout of a file, and the first fault in the bytes.
func layout(f format.Format, b []byte) (span.Layout, error) {
	r, size := bytes.NewReader(b), int64(len(b))
	if f.Layout == nil {
		all, err := f.Spans(r, size)
		return span.NewMap(all), err
	}
	l, err := f.Layout(r, size)
	if err != nil {
		return nil, err
	}
	if l, ok := l.(interface{ Fault() error }); ok {
		err = l.Fault()
	}
	return l, err
}

func readSpans(f format.Format, b []byte) (reading, error) {
	l, err := layout(f, b)
	if err != nil {
		return reading{}, err
	}
	var w writer
	for at, size := int64(0), int64(len(b)); at < size; {
		s, _ := l.At(at)
		next := l.End(at, size)
		if next <= at || next > size {
			return reading{}, fmt.Errorf("the part at byte %d ends at %d, in a file of %d", at, next, size)
		}
		if s.Name != "" {
			w.fields = append(w.fields, s.Name)
		}
		w.line("%s %d %x", s.Name, s.Kind, b[at:next])
		if s.Read != nil && s.Offset >= 0 && s.Offset+s.Length <= size {
			w.line("says %q", s.Read(b[s.Offset:s.Offset+s.Length]).Text)
		}
		at = next
	}
	if f.Symbols != nil {
		err = f.Symbols(bytes.NewReader(b), int64(len(b)), func(field string, name []byte) { w.line("symbol %s %x", field, name) })
	}
	return reading{w.String(), w.fields}, err
}

func readSet(f format.Format, b []byte) (reading, error) {
	items, err := f.Set.Read(bytes.NewReader(b), int64(len(b)))
	if err != nil {
		return reading{}, err
	}
	out := reading{fields: []string{f.Set.Field}}
	for _, i := range items {
		if i.Offset < 0 || i.Offset >= int64(len(b)) {
			return out, fmt.Errorf("%q stands at byte %d, in a file of %d", i.Text, i.Offset, len(b))
		}
		out.text += i.Text + "\n"
	}
	return out, nil
}

func readArchive(b []byte) (reading, error) {
	var w writer
	r := pax.NewReaderAt(bytes.NewReader(b), int64(len(b)), pax.Limits{})
	for {
		m, err := r.Next()
		if err == io.EOF { //nolint:errorlint // Next promises io.EOF itself
			w.line("%v %+v", r.Globals(), r.Trailer())
			return reading{text: w.String()}, nil
		}
		if err != nil {
			return reading{}, err
		}
		if err := r.Settle(); err != nil {
			return reading{}, err
		}
		w.line("%+v %x", *m, sha256.Sum256(b[m.Offset:m.Offset+m.Size]))
	}
}

// places returns the offsets at which a sample is changed.
func places(size int) []int {
	step := max(1, int(math.Ceil(float64(size)/tries)))
	var out []int
	for i, from := 0, 0; from < size; i, from = i+1, from+step {
		out = append(out, min(from+i*7%step, size-1)) // not always the same column of a card
	}
	return out
}

func detected(t *testing.T, f format.Format, sample []byte) {
	if !f.Is(sample[:min(len(sample), headSize)]) {
		t.Error("its beginning is not told")
	}
	for n := range min(len(sample), headSize) {
		f.Is(sample[:n]) // must not panic, whatever it says
	}
	if f.Is(nil) || f.Is(make([]byte, headSize)) {
		t.Error("nothing, or zeros, are told to be such a file")
	}
}

// owned walks the spans of a file. Each byte must lie in one span or gap, and all
// bytes of a span must return the same one. Formats with a Layout leave no gaps.
func owned(t *testing.T, f format.Format, sample []byte) {
	if f.Layout == nil && f.Spans == nil {
		return // flipped changes each byte, and each change must be detected
	}
	l, err := layout(f, sample)
	if err != nil {
		t.Fatal(err)
	}
	size := int64(len(sample))
	for at := int64(0); at < size; {
		s, ok := l.At(at)
		end := l.End(at, size)
		if end <= at || end > size {
			t.Fatalf("the part of byte %d ends at %d", at, end)
		}
		if !ok && f.Layout != nil {
			t.Errorf("bytes %d to %d have no name", at, end)
		}
		if ok && (s.Name == "" || at < s.Offset || end > s.Offset+s.Length) {
			t.Errorf("bytes %d to %d lie in %q, which is %d bytes from %d on", at, end, s.Name, s.Length, s.Offset)
		}
		for i := at; i < end; i++ {
			if x, in := l.At(i); in != ok || !x.Same(s) {
				t.Fatalf("byte %d lies in %q, and byte %d of the same part in %q", at, s.Name, i, x.Name)
			}
		}
		at = end
	}
}

// meant checks that all fields of a sample are described.
func meant(t *testing.T, r reading, means func(field string) bool) {
	told := map[string]bool{}
	for _, name := range r.fields {
		if !told[name] && !means(name) {
			t.Errorf("no format has a meaning for the field %q", name)
		}
		told[name] = true
	}
}

// truncated cuts a file at each length. The rest must be no file of the format, or
// have another reading.
func truncated(t *testing.T, f format.Format, sample []byte, whole reading) {
	for _, n := range places(len(sample)) {
		r, err := read(f, sample[:n])
		if err != nil || r.text != whole.text {
			continue
		}
		if (f.Set != nil || f.Document) && len(bytes.Trim(sample[n:], " \n\x40\x15\x25")) == 0 {
			continue // the bytes cut off are blank and have no meaning there
		}
		t.Errorf("cut after %d of %d bytes, it says the same", n, len(sample))
	}
}

// flipped changes single bytes.
func flipped(t *testing.T, f format.Format, sample []byte, whole reading) {
	b := bytes.Clone(sample)
	unseen := 0
	for i, at := range places(len(sample)) {
		b[at] ^= []byte{0x01, 0x80, 0xff}[i%3]
		if r, err := read(f, b); err == nil && r.text == whole.text {
			if unseen++; unseen < 10 {
				t.Errorf("byte %d changed from %#02x to %#02x: nobody sees it", at, sample[at], b[at])
			}
		}
		b[at] = sample[at]
	}
}

// limited reads a container with limits that are too small for it.
func limited(t *testing.T, f format.Format, sample []byte) {
	if f.Open == nil {
		return
	}
	c, err := f.Open(bytes.NewReader(sample), int64(len(sample)), container.Limits{})
	if err != nil {
		t.Fatal(err)
	}
	content := int64(0)
	for _, e := range c.Entries {
		content += max(e.Size, 0)
	}
	if n := len(c.Entries); n > 1 {
		if _, err := readContainer(f, sample, container.Limits{Members: n / 2}); err == nil {
			t.Errorf("%d members were read where %d are allowed", n, n/2)
		}
	}
	if len(c.Fields) > 0 || len(c.Entries) > 1 {
		if _, err := readContainer(f, sample, container.Limits{Names: 1}); err == nil {
			t.Error("its names and fields were read where one byte is allowed")
		}
	}
	if content > 1 {
		if _, err := readContainer(f, sample, container.Limits{Content: 1}); err == nil {
			t.Error("its content was read where one byte is allowed")
		}
	}
}
