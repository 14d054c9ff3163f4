// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

package pax

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"runtime/metrics"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// headers reads all headers without content, and returns the final error.
func headers(r *Reader) (members []Member, globals [][]Record, t Trailer, why string) {
	var last *Member
	for {
		m, err := r.Next()
		if last != nil && (err == nil || err == io.EOF) { //nolint:errorlint // Next promises io.EOF itself
			members = append(members, *last) // its hidden bytes are complete now
		}
		if err != nil {
			if err != io.EOF { //nolint:errorlint // Next promises io.EOF itself
				return members, globals, t, err.Error()
			}
			return members, globals, r.Trailer(), ""
		}
		last, globals = m, append(globals, r.Globals())
	}
}

// odd are unusual archives.
func odd() []byte {
	padded := join(header(func(b []byte) { copy(b[124:], "00000000001") }), []byte("x"), make([]byte, 511))
	padded[512+100] = 'h'
	return join(plain(), extendedHeader('g', "12 g=global\n"), padded, extendedHeader('x', "8 a=hid\n6 a=b\n"), plain(),
		extendedHeader('g', "12 g=second\n10 h=more\n"), extendedHeader('L', "name\x00hid"), padded,
		header(func(b []byte) { copy(b[124:], "00000100000") }), make([]byte, 32768), plain(), end(), []byte("behind"), make([]byte, 5000))
}

// agreesInPlace checks that reading in place gives the same result as reading a
// stream, and that each member can be read again.
func agreesInPlace(t *testing.T, b []byte) {
	t.Helper()
	members, globals, trailer, why := headers(NewReader(bytes.NewReader(b)))
	r := NewReaderAt(bytes.NewReader(b), int64(len(b)), Limits{})
	inPlace, _, trailerInPlace, whyInPlace := headers(r)
	if why != whyInPlace || trailer != trailerInPlace {
		t.Fatalf("as a stream %q, %+v; in place %q, %+v", why, trailer, whyInPlace, trailerInPlace)
	}
	if d := cmp.Diff(members, inPlace); d != "" {
		t.Fatalf("-stream +in place:\n%s", d)
	}
	for _, i := range rand.New(rand.NewPCG(1, 1)).Perm(min(len(members), 50)) {
		var before []Record
		if i > 0 {
			before = globals[i-1]
		}
		r.GoTo(members[i].Header, before)
		m, err := r.Next()
		if err == nil {
			err = r.Settle()
		}
		if err != nil {
			t.Fatalf("reading member %d again: %v", i, err)
		}
		if d := cmp.Diff(members[i], *m); d != "" {
			t.Fatalf("member %d, -first +again:\n%s", i, d)
		}
	}
}

func TestInPlaceAgrees(t *testing.T) {
	var many []file
	r := rand.New(rand.NewPCG(2, 2))
	for i := range 300 {
		many = append(many, file{Member{Name: fmt.Sprint("f", i), Type: Regular, Mode: 0o644, ModTime: when()}, strings.Repeat("x", r.IntN(1+r.IntN(200_000)))})
	}
	for name, b := range map[string][]byte{"samples": write(t, samples()), "odd": odd(), "many": write(t, many)} {
		t.Run(name, func(t *testing.T) { agreesInPlace(t, b) })
	}
	for _, b := range [][]byte{write(t, samples()[:5]), odd()} {
		for n := 0; n < len(b); n += 37 {
			agreesInPlace(t, b[:n])
		}
	}
}

// TestFileThatShrinks checks that this is not reported as an error of the archive.
func TestFileThatShrinks(t *testing.T) {
	b := write(t, samples())
	_, _, _, why := headers(NewReaderAt(bytes.NewReader(b[:1000]), int64(len(b)), Limits{}))
	if !strings.Contains(why, errShrunk.Error()) {
		t.Errorf("it ended with %q", why)
	}
}

func TestGlobalsAreBounded(t *testing.T) {
	var body strings.Builder
	for i := range maxGlobals + 1 {
		fmt.Fprintf(&body, "12 k%03d=abc\n", i)
	}
	large := strings.Repeat("v", 60_000)
	large = fmt.Sprintf("%d k=%s\n", len(large)+9, large)
	var changing [][]byte
	for i := range 300 {
		changing = append(changing, extendedHeader('g', strings.Replace(large, "k=v", fmt.Sprintf("k=%c", 'a'+i%20), 1)), plain())
	}
	for name, c := range map[string]struct {
		in   []byte
		want string
	}{
		"many":     {join(extendedHeader('g', body.String()), plain(), end()), "more than 256 global records"},
		"changing": {join(append(changing, end())...), "changed too often"},
	} {
		if _, _, err := read(bytes.NewReader(c.in), Limits{}); !errors.Is(err, ErrFormat) || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// allocated returns the total bytes allocated by this process.
func allocated() uint64 {
	s := []metrics.Sample{{Name: "/gc/heap/allocs:bytes"}}
	metrics.Read(s)
	return s[0].Value.Uint64()
}

// mostAllocated bounds the allocations of a Reader for a small hostile archive.
const mostAllocated = 64 << 20

// TestHostileHeadersCostLittle checks that a declared size allocates nothing before
// the bytes are there.
func TestHostileHeadersCostLittle(t *testing.T) {
	size := func(flag byte, text string) []byte {
		return header(func(b []byte) { b[156] = flag; copy(b[124:136], text) })
	}
	exabytes := string([]byte{0x80, 0, 0, 0, 0x6f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff})
	sparse := "22 GNU.sparse.major=1\n22 GNU.sparse.minor=0\n43 GNU.sparse.realsize=9000000000000000000\n"
	name := strings.Repeat("n", 1<<20)
	named := fmt.Sprintf("%d path=%s\n", len(name)+14, name)
	for what, c := range map[string]struct {
		in   []byte
		want string
	}{
		"extended header of 4 GiB":   {size('x', string([]byte{0x80, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0})), "at most 1048576 are read; raise the limit"},
		"extended header of 1 MiB":   {size('x', "00004000000"), "ends within an extended header"},
		"content of exabytes":        {size('0', exabytes), "ends within the content"},
		"sparse file of exabytes":    {join(extendedHeader('x', sparse), plain(), end()), "sparse; pack it without --sparse"},
		"old GNU sparse of exabytes": {size('S', exabytes), "sparse; pack it without --sparse"},
		"name of 1 MiB":              {join(extendedHeader('x', named), plain(), end()), "at most 1048576 are read; raise the limit"},
		"name of 1 MiB, as GNU does": {join(extendedHeader('L', name), plain(), end()), "at most 65537 are read; raise the limit"},
		"name of 100 KiB":            {join(extendedHeader('x', fmt.Sprintf("%d path=%s\n", 102413, name[:102400])), plain(), end()), "more than 65536 bytes; raise the limit"},
		"records by the 100,000":     {join(extendedHeader('x', strings.Repeat("5 a=\n", 209_000)), plain(), end()), ""},
		"different records":          {join(extendedHeader('x', distinctRecords(80_000)), plain(), end()), ""},
	} {
		t.Run(what, func(t *testing.T) {
			before := allocated()
			_, _, _, why := headers(NewReaderAt(bytes.NewReader(c.in), int64(len(c.in)), Limits{}))
			if c.want == "" && why != "" || !strings.Contains(why, c.want) {
				t.Errorf("it ended with %q, want %q", why, c.want)
			}
			if got := allocated() - before; got > mostAllocated {
				t.Errorf("it asked for %d MiB", got>>20)
			}
		})
	}
}

func distinctRecords(n int) string {
	var out strings.Builder
	for i := range n {
		fmt.Fprintf(&out, "13 k%05x=ab\n", i)
	}
	return out.String()
}
