// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

package codepage_test

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"
	"testing/iotest"
	"unicode"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/text/encoding"
	"golang.org/x/text/transform"

	"github.com/zfarm/zfarm/workers/codepage"
)

func page(t testing.TB, ccsid int) encoding.Encoding {
	t.Helper()
	p, err := codepage.ForTag(ccsid)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func all() []byte {
	b := make([]byte, 256)
	for i := range b {
		b[i] = byte(i)
	}
	return b
}

func TestKnownText(t *testing.T) {
	// "echo 'Hi [x]{y}|^~\' # 100%\n" as IBM-1047 and IBM-037 write it; the
	// pages differ in square brackets and the caret.
	const text = "Hi [x]{y}|^~\\ #100%!$@`\n"
	tests := map[string]struct {
		ccsid int
		want  []byte
	}{
		"IBM-1047": {1047, []byte("\xc8\x89\x40\xad\xa7\xbd\xc0\xa8\xd0\x4f\x5f\xa1\xe0\x40\x7b\xf1\xf0\xf0\x6c\x5a\x5b\x7c\x79\x15")},
		"IBM-037":  {37, []byte("\xc8\x89\x40\xba\xa7\xbb\xc0\xa8\xd0\x4f\xb0\xa1\xe0\x40\x7b\xf1\xf0\xf0\x6c\x5a\x5b\x7c\x79\x15")},
		"ISO":      {819, []byte(text)},
		"UTF-8":    {1208, []byte(text)},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			got, err := page(t, test.ccsid).NewEncoder().Bytes([]byte(text))
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("encoded (-want +got):\n%s", diff)
			}
			back, err := page(t, test.ccsid).NewDecoder().Bytes(test.want)
			if err != nil || string(back) != text {
				t.Errorf("decoded %q, %v; want %q", back, err, text)
			}
		})
	}
}

func TestNewlineSwap(t *testing.T) {
	got, err := page(t, codepage.IBM1047).NewDecoder().Bytes([]byte{0x15, 0x25})
	if err != nil || string(got) != "\n\u0085" {
		t.Errorf("0x15 0x25 decoded as %q, %v", got, err)
	}
}

func TestBijection(t *testing.T) {
	for _, ccsid := range []int{1047, 37, 819} {
		text, err := page(t, ccsid).NewDecoder().Bytes(all())
		if err != nil {
			t.Fatal(err)
		}
		seen := map[rune]bool{}
		for _, r := range string(text) {
			if r > 0xFF {
				t.Errorf("CCSID %d: %U is above U+00FF", ccsid, r)
			}
			seen[r] = true
		}
		if len(seen) != 256 {
			t.Errorf("CCSID %d: 256 bytes gave %d characters", ccsid, len(seen))
		}
		back, err := page(t, ccsid).NewEncoder().Bytes(text)
		if err != nil || !bytes.Equal(back, all()) {
			t.Errorf("CCSID %d: there and back changed bytes, %v", ccsid, err)
		}
	}
}

func TestStreaming(t *testing.T) {
	p := page(t, codepage.IBM1047)
	long := bytes.Repeat(all(), 100)
	r := transform.NewReader(iotest.OneByteReader(bytes.NewReader(long)), p.NewDecoder())
	var back bytes.Buffer
	w := transform.NewWriter(&back, p.NewEncoder())
	if _, err := io.Copy(w, iotest.OneByteReader(r)); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(back.Bytes(), long) {
		t.Error("streaming in single bytes changed the bytes")
	}
}

func TestEncoderErrors(t *testing.T) {
	for _, text := range []string{"price: 5 €", "cut \xe2\x82", "\xff"} {
		if got, err := page(t, codepage.IBM1047).NewEncoder().String(text); err == nil {
			t.Errorf("%q encoded as %q; want an error", text, got)
		}
	}
	got, err := encoding.ReplaceUnsupported(page(t, codepage.IBM1047).NewEncoder()).String("5 €")
	if err != nil || got != "\xf5\x40\x3f" {
		t.Errorf("with replacement: %q, %v; want SUB for the euro sign", got, err)
	}
}

func TestUnknown(t *testing.T) {
	if _, err := codepage.ForTag(codepage.Binary); !errors.Is(err, codepage.ErrUnknown) {
		t.Errorf("ForTag(65535) = %v; want ErrUnknown", err)
	}
	if _, err := codepage.ForName("IBM-420"); !errors.Is(err, codepage.ErrUnknown) {
		t.Errorf("ForName(IBM-420) = %v; want ErrUnknown", err)
	}
	for _, name := range []string{"IBM-1047", "IBM-037", "ISO8859-1", "UTF-8"} {
		if _, err := codepage.ForName(name); err != nil {
			t.Errorf("ForName(%s): %v", name, err)
		}
	}
}

func TestPrintable(t *testing.T) {
	tests := map[string]struct{ in, want string }{
		"plain":       {"make: *** [all] Error 2\n\tat x\\y", "make: *** [all] Error 2\n\tat x\\y"},
		"letters":     {"größer 漢字 😀", "größer 漢字 😀"},
		"colour":      {"\x1b[31mred\x1b[0m", `\x1b[31mred\x1b[0m`},
		"title":       {"\x1b]0;owned\a", `\x1b]0;owned\x07`},
		"return":      {"10%\r20%\r\n", `10%\r20%\r` + "\n"},
		"nul, delete": {"a\x00b\x7f", `a\x00b\x7f`},
		"C1":          {"\u009b31m", `\u009b31m`},
		"C1 raw":      {"\x9b31m", `\x9b31m`},
		"override":    {"a\u202eb\u2066", `a\u202eb\u2066`},
		"separators":  {"a\u2028b\u2029", `a\u2028b\u2029`},
		"tag":         {"x\U000e0041", `x\U000e0041`},
		"private use": {"\ue000", `\ue000`},
		"cut":         {"x\xe2\x82", `x\xe2\x82`},
		"surrogate":   {"\xed\xa0\x80", `\xed\xa0\x80`},
		"replacement": {"\ufffd", "\ufffd"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			got, _, err := transform.String(codepage.Printable(), test.in)
			if err != nil || got != test.want {
				t.Errorf("got %q, %v; want %q", got, err, test.want)
			}
		})
	}
}

func FuzzPages(f *testing.F) {
	f.Add(all(), 1047)
	f.Add([]byte("text\n"), 37)
	f.Add([]byte("\xc2"), 819)
	f.Fuzz(func(t *testing.T, b []byte, ccsid int) {
		p, err := codepage.ForTag(ccsid)
		if err != nil || ccsid == codepage.UTF8 {
			return
		}
		text, err := p.NewDecoder().Bytes(b)
		if err != nil || !utf8.Valid(text) {
			t.Fatalf("decoding %x: %q, %v", b, text, err)
		}
		back, err := p.NewEncoder().Bytes(text)
		if err != nil || !bytes.Equal(back, b) {
			t.Fatalf("%x there and back: %x, %v", b, back, err)
		}
		// Encoding foreign bytes may fail, and must not do worse.
		if _, err := p.NewEncoder().Bytes(b); err == nil && !utf8.Valid(b) {
			t.Fatalf("%x was encoded though it is no UTF-8", b)
		}
	})
}

func FuzzPrintable(f *testing.F) {
	f.Add([]byte("\x1b[2J\x9b\u202e\r\n"))
	f.Add([]byte("a\xe2\x82"))
	f.Fuzz(func(t *testing.T, b []byte) {
		whole, _, err := transform.Bytes(codepage.Printable(), b)
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range string(whole) {
			if r != '\n' && r != '\t' && !unicode.IsGraphic(r) {
				t.Fatalf("%q let %U through", b, r)
			}
		}
		slow, err := io.ReadAll(transform.NewReader(iotest.OneByteReader(bytes.NewReader(b)), codepage.Printable()))
		if err != nil || !bytes.Equal(slow, whole) {
			t.Fatalf("in single bytes %q, %v; in one piece %q", slow, err, whole)
		}
	})
}

func BenchmarkDecode(b *testing.B) {
	line, err := page(b, codepage.IBM1047).NewEncoder().String(strings.Repeat("gcc -O2 -c -o x.o x.c\n", 50000))
	if err != nil {
		b.Fatal(err)
	}
	b.SetBytes(int64(len(line)))
	for b.Loop() {
		r := transform.NewReader(strings.NewReader(line), page(b, codepage.IBM1047).NewDecoder())
		if _, err := io.Copy(io.Discard, r); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkPrintable(b *testing.B) {
	text := strings.Repeat("gcc -O2 -c -o x.o x.c\n", 50000)
	b.SetBytes(int64(len(text)))
	for b.Loop() {
		r := transform.NewReader(strings.NewReader(text), codepage.Printable())
		if _, err := io.Copy(io.Discard, r); err != nil {
			b.Fatal(err)
		}
	}
}
