// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

// Package artifactstest is the contract of an artifact store as a test.
//
// Only tests import it. orchestrator/artifacts has the stores; each store's own tests
// check that it survives a power cut, since each does so in its own way.
package artifactstest

import (
	"bytes"
	"context"
	"errors"
	"io"
	"io/fs"
	"strings"
	"sync"
	"testing"
	"testing/iotest"
	"time"

	"github.com/zfarm/zfarm/attest/digest"
)

// Store has every method that the farm calls on an artifact store.
type Store interface {
	// Put stores everything the reader yields and returns its digest.
	Put(context.Context, io.Reader) (digest.Digest, error)
	// Fill stores what the function writes and returns its digest.
	Fill(context.Context, func(io.Writer) error) (digest.Digest, error)
	// Open, Size and Verify return fs.ErrNotExist for an unknown digest.
	Open(context.Context, digest.Digest) (io.ReadCloser, error)
	Size(context.Context, digest.Digest) (int64, error)
	Verify(context.Context, digest.Digest) error
	// Sweep removes what was last stored before a time and is not kept, and returns the
	// number of bytes freed.
	Sweep(ctx context.Context, before time.Time, keep func(digest.Digest) (bool, error)) (int64, error)
}

// Kind makes stores of one kind.
type Kind struct {
	// Open returns an empty store.
	Open func(testing.TB) Store
	// Age makes an artifact look as if it had been stored that much earlier.
	Age func(t testing.TB, s Store, d digest.Digest, by time.Duration)
	// Damage replaces the bytes of an artifact.
	Damage func(t testing.TB, s Store, d digest.Digest, b []byte)
}

// Test runs the whole suite.
func Test(t *testing.T, k Kind) {
	for name, test := range map[string]func(*testing.T, Kind){
		"put and open":         putAndOpen,
		"fill":                 fill,
		"unknown digest":       unknownDigest,
		"same bytes twice":     sameBytesTwice,
		"writers at once":      writersAtOnce,
		"incomplete":           incomplete,
		"not visible early":    notVisibleEarly,
		"cancelled":            cancelled,
		"verify finds damage":  verify,
		"sweep":                sweep,
		"sweep without answer": sweepWithoutAnswer,
		"sweep cancelled":      sweepCancelled,
		"sweep against put":    sweepAgainstPut,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(t, k)
		})
	}
}

func put(t testing.TB, s Store, content string) digest.Digest {
	t.Helper()
	d, err := s.Put(t.Context(), strings.NewReader(content))
	if err != nil {
		t.Fatal(err)
	}
	if d != digest.Of([]byte(content)) {
		t.Fatalf("stored %d bytes as %s, want %s", len(content), d, digest.Of([]byte(content)))
	}
	return d
}

// holds reports an error unless the store has exactly these bytes.
func holds(t testing.TB, s Store, content string) {
	t.Helper()
	d := digest.Of([]byte(content))
	r, err := s.Open(t.Context(), d)
	if err != nil {
		t.Error(err)
		return
	}
	have, err := io.ReadAll(r)
	if err = errors.Join(err, r.Close()); err != nil || string(have) != content {
		t.Errorf("read %d bytes, %v; want the %d that were stored", len(have), err, len(content))
	}
	if n, err := s.Size(t.Context(), d); err != nil || n != int64(len(content)) {
		t.Errorf("size %d, %v; want %d", n, err, len(content))
	}
	if err := s.Verify(t.Context(), d); err != nil {
		t.Errorf("verifying: %v", err)
	}
}

// lacks reports an error if the store has these bytes.
func lacks(t testing.TB, s Store, content string) {
	t.Helper()
	d := digest.Of([]byte(content))
	r, err := s.Open(t.Context(), d)
	if err == nil {
		r.Close()
	}
	_, sizeErr := s.Size(t.Context(), d)
	for what, err := range map[string]error{"Open": err, "Size": sizeErr, "Verify": s.Verify(t.Context(), d)} {
		if !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s = %v; want fs.ErrNotExist", what, err)
		}
	}
}

func putAndOpen(t *testing.T, k Kind) {
	s := k.Open(t)
	for _, content := range []string{"", "x", "text\n", "\x00\xff\r\n", strings.Repeat("zfarm", 500_000)} {
		put(t, s, content)
		holds(t, s, content)
	}
	// An empty read is not the end, and bytes that come with io.EOF count.
	content := strings.Repeat("slow", 1000)
	for _, r := range []io.Reader{iotest.OneByteReader(strings.NewReader(content)), iotest.DataErrReader(strings.NewReader(content))} {
		if d, err := s.Put(t.Context(), r); err != nil || d != digest.Of([]byte(content)) {
			t.Errorf("stored as %s, %v", d, err)
		}
		holds(t, s, content)
	}
}

func fill(t *testing.T, k Kind) {
	s := k.Open(t)
	d, err := s.Fill(t.Context(), func(w io.Writer) error {
		for _, part := range []string{"in ", "", "three ", "parts"} {
			if n, err := io.WriteString(w, part); err != nil || n != len(part) {
				t.Errorf("wrote %d of %d bytes, %v", n, len(part), err)
			}
		}
		return nil
	})
	if err != nil || d != digest.Of([]byte("in three parts")) {
		t.Errorf("stored as %s, %v", d, err)
	}
	holds(t, s, "in three parts")
}

func unknownDigest(t *testing.T, k Kind) {
	s := k.Open(t)
	put(t, s, "known")
	lacks(t, s, "unknown")
	if _, err := s.Open(t.Context(), digest.Digest{}); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("opening the zero digest: %v; want fs.ErrNotExist", err)
	}
}

func sameBytesTwice(t *testing.T, k Kind) {
	s := k.Open(t)
	first := put(t, s, "same")
	r, err := s.Open(t.Context(), first)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if second := put(t, s, "same"); second != first {
		t.Errorf("stored again as %s, before as %s", second, first)
	}
	if have, err := io.ReadAll(r); err != nil || string(have) != "same" {
		t.Errorf("a reader opened before reads %q, %v", have, err)
	}
	holds(t, s, "same")
	// Counted once, not twice: that is what a sweep frees.
	if n, err := s.Sweep(t.Context(), time.Now().Add(time.Hour), keepNothing); err != nil || n != int64(len("same")) {
		t.Errorf("a sweep freed %d bytes, %v; want %d", n, err, len("same"))
	}
}

func keepNothing(digest.Digest) (bool, error) { return false, nil }

func writersAtOnce(t *testing.T, k Kind) {
	s := k.Open(t)
	contents := []string{strings.Repeat("a", 1<<20), strings.Repeat("b", 1<<20)}
	var all sync.WaitGroup
	for i := range 8 { // four writers of each
		all.Go(func() {
			want := contents[i%2]
			d, err := s.Put(t.Context(), strings.NewReader(want))
			if err != nil || d != digest.Of([]byte(want)) {
				t.Errorf("stored as %s, %v", d, err)
			}
			holds(t, s, want) // at once, whatever the others do
		})
	}
	all.Wait()
}

func incomplete(t *testing.T, k Kind) {
	s := k.Open(t)
	cut := errors.New("cut")
	broken := io.MultiReader(strings.NewReader("half"), iotest.ErrReader(cut))
	if d, err := s.Put(t.Context(), broken); !errors.Is(err, cut) || !d.IsZero() {
		t.Errorf("storing half = %s, %v; want no digest and the reader's error", d, err)
	}
	lacks(t, s, "half")
	// An error after the last byte is an error, too.
	d, err := s.Fill(t.Context(), func(w io.Writer) error {
		_, err := io.WriteString(w, "all of it")
		return errors.Join(err, cut)
	})
	if !errors.Is(err, cut) || !d.IsZero() {
		t.Errorf("storing what failed at its end = %s, %v; want no digest and the error", d, err)
	}
	lacks(t, s, "all of it")
}

// notVisibleEarly: neither a part nor the whole can be read before Fill has returned,
// and a failed attempt does not harm a stored artifact.
func notVisibleEarly(t *testing.T, k Kind) {
	s := k.Open(t)
	put(t, s, "there already")
	stop := errors.New("stop")
	for _, content := range []string{"new", "there already"} {
		half := content[:len(content)/2]
		for _, end := range []error{stop, nil} {
			_, err := s.Fill(t.Context(), func(w io.Writer) error {
				for _, part := range []string{half, content[len(half):]} {
					if _, err := io.WriteString(w, part); err != nil {
						return err
					}
					lacks(t, s, half)
					if content == "new" {
						lacks(t, s, content)
					} else {
						holds(t, s, content)
					}
				}
				return end
			})
			if !errors.Is(err, end) {
				t.Errorf("Fill = %v; want %v", err, end)
			}
		}
		holds(t, s, content)
	}
}

func cancelled(t *testing.T, k Kind) {
	s := k.Open(t)
	ctx, cancel := context.WithCancel(t.Context())
	endless := &counting{at: 1 << 20, then: cancel}
	if d, err := s.Put(ctx, endless); !errors.Is(err, context.Canceled) || !d.IsZero() {
		t.Errorf("cancelled Put = %s, %v; want context.Canceled", d, err)
	}
	if _, err := s.Put(ctx, strings.NewReader("late")); !errors.Is(err, context.Canceled) {
		t.Errorf("Put with a context that has ended = %v; want context.Canceled", err)
	}
	lacks(t, s, "late")
	// A Fill that was cancelled fails, however late.
	last, cancelLast := context.WithCancel(t.Context())
	_, err := s.Fill(last, func(w io.Writer) error {
		_, err := io.WriteString(w, "written before the end")
		cancelLast()
		return err
	})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("Fill cancelled after its last byte = %v; want context.Canceled", err)
	}
	lacks(t, s, "written before the end")
}

// counting is an endless reader that calls a function once it has returned that many
// bytes.
type counting struct {
	at   int
	then func()
}

// Read returns zeros.
func (c *counting) Read(p []byte) (int, error) {
	clear(p)
	if c.at -= len(p); c.at <= 0 {
		c.then()
	}
	return len(p), nil
}

func verify(t *testing.T, k Kind) {
	s := k.Open(t)
	d := put(t, s, "good")
	k.Damage(t, s, d, []byte("evil"))
	if err := s.Verify(t.Context(), d); err == nil || errors.Is(err, fs.ErrNotExist) {
		t.Errorf("verifying damaged bytes = %v; want an error that says so", err)
	}
	// Storing the right bytes again repairs it.
	put(t, s, "good")
	holds(t, s, "good")
}

func sweep(t *testing.T, k Kind) {
	s := k.Open(t)
	for _, content := range []string{"kept", "old", "stored again", "new"} {
		if d := put(t, s, content); content != "new" {
			k.Age(t, s, d, 2*time.Hour)
		}
	}
	put(t, s, "stored again")
	asked := map[digest.Digest]bool{}
	freed, err := s.Sweep(t.Context(), time.Now().Add(-time.Hour), func(d digest.Digest) (bool, error) {
		asked[d] = true
		return d == digest.Of([]byte("kept")), nil
	})
	if err != nil || freed != int64(len("old")) {
		t.Errorf("freed %d bytes, %v; want %d", freed, err, len("old"))
	}
	if len(asked) != 2 {
		t.Errorf("asked about %d artifacts; want the two old ones", len(asked))
	}
	lacks(t, s, "old")
	for _, content := range []string{"kept", "stored again", "new"} {
		holds(t, s, content)
	}
	put(t, s, "old")
	holds(t, s, "old")
}

func sweepWithoutAnswer(t *testing.T, k Kind) {
	s := k.Open(t)
	put(t, s, "undecided")
	unanswered := errors.New("no answer")
	freed, err := s.Sweep(t.Context(), time.Now().Add(time.Hour), func(digest.Digest) (bool, error) { return false, unanswered })
	if !errors.Is(err, unanswered) || freed != 0 {
		t.Errorf("freed %d bytes, %v; what nobody decided about must be kept", freed, err)
	}
	holds(t, s, "undecided")
}

func sweepCancelled(t *testing.T, k Kind) {
	s := k.Open(t)
	put(t, s, "there")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := s.Sweep(ctx, time.Now().Add(time.Hour), keepNothing); !errors.Is(err, context.Canceled) {
		t.Errorf("Sweep with a context that has ended = %v; want context.Canceled", err)
	}
	holds(t, s, "there")
}

// sweepAgainstPut: an artifact stored again while a sweep finds it old stays.
func sweepAgainstPut(t *testing.T, k Kind) {
	s := k.Open(t)
	content := strings.Repeat("wanted again", 100)
	for range 50 {
		k.Age(t, s, put(t, s, content), 2*time.Hour)
		var both sync.WaitGroup
		both.Go(func() {
			if _, err := s.Sweep(t.Context(), time.Now().Add(-time.Hour), keepNothing); err != nil {
				t.Error(err)
			}
		})
		both.Go(func() {
			if _, err := s.Put(t.Context(), bytes.NewReader([]byte(content))); err != nil {
				t.Error(err)
			}
		})
		both.Wait()
		holds(t, s, content)
	}
}
