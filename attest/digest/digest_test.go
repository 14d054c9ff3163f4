// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

package digest_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/google/go-cmp/cmp"

	"github.com/zfarm/zfarm/attest/digest"
)

// abc is the digest of "abc" (FIPS 180-4, the example of appendix B.1).
const abc = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"

func TestOf(t *testing.T) {
	d := digest.Of([]byte("abc"))
	got := []string{d.Hex(), d.String(), d.Short()}
	want := []string{abc, "sha256:" + abc, "ba7816bf8f01"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("forms of the digest (-want +got):\n%s", diff)
	}
	if d.IsZero() || !(digest.Digest{}).IsZero() {
		t.Error("IsZero mixes up the zero value and a digest")
	}
}

func TestParse(t *testing.T) {
	for _, tc := range []struct {
		name, in string
		ok       bool
	}{
		{"prefixed", "sha256:" + abc, true},
		{"bare", abc, true},
		{"upper case", strings.ToUpper(abc), true},
		{"empty", "", false},
		{"prefix alone", "sha256:", false},
		{"short", abc[:62], false},
		{"long", abc + "00", false},
		{"not hexadecimal", "zz" + abc[2:], false},
		{"other algorithm", "sha512:" + abc, false},
		{"two prefixes", "sha256:sha256:" + abc, false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			d, err := digest.Parse(tc.in)
			if (err == nil) != tc.ok {
				t.Fatalf("Parse(%q) = %v, %v", tc.in, d, err)
			}
			if want := digest.Of([]byte("abc")); tc.ok && d != want {
				t.Errorf("Parse(%q) = %v, want %v", tc.in, d, want)
			}
			if !tc.ok && !d.IsZero() {
				t.Errorf("Parse(%q) left %v beside its error", tc.in, d)
			}
		})
	}
}

func TestText(t *testing.T) {
	type record struct {
		A digest.Digest `json:"a"`
		B digest.Digest `json:"b"`
	}
	in := record{A: digest.Of([]byte("abc"))}
	b, err := json.Marshal(in)
	if err != nil {
		t.Fatal(err)
	}
	if want := `{"a":"sha256:` + abc + `","b":""}`; string(b) != want {
		t.Errorf("JSON is %s, want %s", b, want)
	}
	out := record{B: digest.Of([]byte("stale"))}
	if err := json.Unmarshal(b, &out); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(in, out); diff != "" {
		t.Errorf("after a round trip (-want +got):\n%s", diff)
	}
	if err := json.Unmarshal([]byte(`{"a":"sha256:12"}`), &out); err == nil {
		t.Error("a short digest was accepted")
	}
}

func TestReaderAndWriterSumWhatPassed(t *testing.T) {
	text := strings.Repeat("a", 1_000_000) // FIPS 180-4: a million times "a"
	const million = "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0"

	r := digest.NewReader(iotest.HalfReader(strings.NewReader(text)))
	var b bytes.Buffer
	w := digest.NewWriter(&b)
	if _, err := io.Copy(w, r); err != nil {
		t.Fatal(err)
	}
	d, n, err := digest.OfReader(strings.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	for _, got := range []digest.Digest{r.Digest(), w.Digest(), d} {
		if got.Hex() != million {
			t.Errorf("digest is %s, want %s", got.Hex(), million)
		}
	}
	for _, got := range []int64{r.Len(), w.Len(), n, int64(b.Len())} {
		if got != int64(len(text)) {
			t.Errorf("length is %d, want %d", got, len(text))
		}
	}
}

// shortWriter accepts three bytes, then fails.
type shortWriter struct{}

func (shortWriter) Write(p []byte) (int, error) {
	if len(p) > 3 {
		return 3, errors.New("full")
	}
	return len(p), nil
}

func TestWriterSumsOnlyWhatWasAccepted(t *testing.T) {
	w := digest.NewWriter(shortWriter{})
	n, err := w.Write([]byte("abcdef"))
	if n != 3 || err == nil {
		t.Fatalf("Write = %d, %v; want 3 and an error", n, err)
	}
	if w.Digest().Hex() != abc || w.Len() != 3 {
		t.Errorf("digest %s over %d bytes, want that of abc", w.Digest(), w.Len())
	}
}

func TestOfReaderPassesErrorsOn(t *testing.T) {
	want := errors.New("lost")
	_, n, err := digest.OfReader(io.MultiReader(strings.NewReader("abc"), iotest.ErrReader(want)))
	if !errors.Is(err, want) || n != 3 {
		t.Errorf("OfReader = %d, %v; want 3, %v", n, err, want)
	}
}

func FuzzParse(f *testing.F) {
	f.Add(abc)
	f.Add("sha256:" + abc)
	f.Add("sha256:")
	f.Add(strings.Repeat("g", 64))
	f.Fuzz(func(t *testing.T, s string) {
		d, err := digest.Parse(s)
		if err != nil {
			return
		}
		again, err := digest.Parse(d.String())
		if err != nil || again != d {
			t.Errorf("Parse(%q) = %v, parsed again %v, %v", s, d, again, err)
		}
	})
}

func BenchmarkWriter(b *testing.B) {
	block := make([]byte, 1<<20)
	b.SetBytes(int64(len(block)))
	w := digest.NewWriter(io.Discard)
	for b.Loop() {
		if _, err := w.Write(block); err != nil {
			b.Fatal(err)
		}
	}
}
