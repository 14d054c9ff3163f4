// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

package compress

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os/exec"
	"runtime/metrics"
	"strings"
	"testing"
	"testing/iotest"
	"time"
)

// sample returns bytes of a given kind, the same for the same seed.
func sample(kind string, size int, seed uint64) []byte {
	r := rand.New(rand.NewPCG(seed, uint64(size)))
	b := make([]byte, size)
	words := strings.Fields("static int const char return if the of for struct include define void while \n\t ( ) { } ; = 0x00")
	switch kind {
	case "random":
		for i := range b {
			b[i] = byte(r.Uint32())
		}
	case "constant":
		for i := range b {
			b[i] = 'a'
		}
	case "text":
		for i := 0; i < size; {
			i += copy(b[i:], words[r.IntN(len(words))]+" ")
		}
	case "skewed":
		for i := range b {
			b[i] = byte(r.IntN(4) * r.IntN(7))
		}
	case "changing": // the table fits the input worse and worse
		for i := range b {
			b[i] = byte(r.IntN(8) + i/20000*8)
		}
	}
	return b
}

func kinds() []string { return []string{"random", "constant", "text", "skewed", "changing"} }

func pack(t testing.TB, b []byte) []byte {
	t.Helper()
	var out bytes.Buffer
	w := NewWriter(&out)
	if _, err := w.Write(b); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func unpack(b []byte) ([]byte, error) {
	z, err := NewReader(bytes.NewReader(b))
	if err != nil {
		return nil, err
	}
	return io.ReadAll(z)
}

func tool(t testing.TB, name string) string {
	t.Helper()
	p, err := exec.LookPath(name)
	if err != nil {
		t.Skipf("no %s here: install ncompress and gzip to compare with them", name)
	}
	return p
}

func filter(in []byte, name string, args ...string) ([]byte, error) {
	cmd := exec.Command(name, args...)
	cmd.Stdin = bytes.NewReader(in)
	return cmd.Output()
}

func sizes() []int {
	return []int{0, 1, 2, 7, 8, 9, 255, 257, 511, 600, 2047, 10000, 70000, 300000}
}

func TestRoundTrip(t *testing.T) {
	for _, kind := range kinds() {
		for _, size := range append(sizes(), 1_500_000) {
			want := sample(kind, size, 1)
			got, err := unpack(pack(t, want))
			if err != nil {
				t.Fatalf("%s of %d: %v", kind, size, err)
			}
			if !bytes.Equal(got, want) {
				t.Fatalf("%s of %d: other bytes came back", kind, size)
			}
		}
	}
}

func TestWriterIgnoresHowInputIsCut(t *testing.T) {
	in := sample("changing", 700_000, 3)
	want := pack(t, in)
	r := rand.New(rand.NewPCG(1, 2))
	var out bytes.Buffer
	w := NewWriter(&out)
	for rest := in; len(rest) > 0; {
		n := min(len(rest), r.IntN(30000))
		if _, err := w.Write(rest[:n]); err != nil {
			t.Fatal(err)
		}
		rest = rest[n:]
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(out.Bytes(), want) {
		t.Error("the output depends on how the input was cut into writes")
	}
}

func TestReaderOfSlowSource(t *testing.T) {
	want := sample("text", 200_000, 9)
	z, err := NewReader(iotest.OneByteReader(bytes.NewReader(pack(t, want))))
	if err != nil {
		t.Fatal(err)
	}
	got, err := io.ReadAll(iotest.HalfReader(z))
	if err != nil || !bytes.Equal(got, want) {
		t.Errorf("one byte at a time: %d bytes, %v; want %d", len(got), err, len(want))
	}
}

// onePair is text in which no pair of adjacent bytes occurs twice, so that every
// byte becomes one code.
func onePair() []byte {
	var b []byte
	for i := range 256 {
		b = append(b, byte(i))
		for j := i + 1; j < 256; j++ {
			b = append(b, byte(i), byte(j))
		}
	}
	return b
}

// file is a sample with a name.
type file struct {
	name string
	body []byte
}

// files are samples of all kinds and sizes, some of which end exactly where codes
// become wider or the table is full.
func files(seed uint64) []file {
	var all []file
	for _, kind := range kinds() {
		for i, size := range sizes() {
			all = append(all, file{fmt.Sprintf("%s of %d", kind, size), sample(kind, size, seed+uint64(i))})
		}
	}
	for width := minBits; width <= maxBits; width++ {
		for odd := -2; odd <= 3; odd++ {
			size := 1<<width - clearCode + odd
			all = append(all, file{fmt.Sprintf("one pair of %d", size), onePair()[:size]})
		}
	}
	return all
}

// TestReadsCompress decodes what ncompress wrote at every width: the same bytes as
// ncompress itself and gzip make of it. At -b 9 ncompress uses code 512, which its
// 9 bits cannot carry, so some of its own outputs are damaged, and gzip refuses
// more of them; those, and only those, may be refused or differ here.
func TestReadsCompress(t *testing.T) {
	program, gzip := tool(t, "compress"), tool(t, "gzip")
	count, damaged := 0, 0
	for bits := minBits; bits <= maxBits; bits++ {
		for _, f := range files(uint64(bits)) {
			z, err := filter(f.body, program, "-f", "-c", "-b", fmt.Sprint(bits))
			if len(z) < 3 {
				t.Fatalf("compress -b %d: %v", bits, err)
			}
			count++
			got, err := unpack(z)
			if err == nil && bytes.Equal(got, f.body) {
				if back, err := filter(z, gzip, "-dc"); bits > minBits && (err != nil || !bytes.Equal(back, got)) {
					t.Errorf("-b %d, %s: gzip makes %d bytes of it, %v", bits, f.name, len(back), err)
				}
				continue
			}
			if back, backErr := filter(z, program, "-d", "-c"); bits == minBits && (backErr != nil || !bytes.Equal(back, f.body)) {
				damaged++
				continue
			}
			t.Errorf("-b %d, %s: %d bytes, %v", bits, f.name, len(got), err)
		}
	}
	t.Logf("%d files, of which ncompress cannot read %d back", count, damaged)
	if count < 600 {
		t.Errorf("only %d files", count)
	}
}

func TestReadByOthers(t *testing.T) {
	for _, program := range []string{"uncompress", "gzip"} {
		t.Run(program, func(t *testing.T) {
			p := tool(t, program)
			all := files(5)
			for _, kind := range kinds() {
				all = append(all, file{kind + ", large", sample(kind, 1_500_000, 5)})
			}
			for _, f := range all {
				got, err := filter(pack(t, f.body), p, "-dc")
				if err != nil || !bytes.Equal(got, f.body) {
					t.Errorf("%s: %d bytes, %v", f.name, len(got), err)
				}
			}
		})
	}
}

func TestRatioIsThatOfCompress(t *testing.T) {
	program := tool(t, "compress")
	for _, kind := range kinds() {
		in := sample(kind, 1_500_000, 11)
		theirs, err := filter(in, program, "-f", "-c")
		if len(theirs) == 0 {
			t.Fatal(err)
		}
		if ours := len(pack(t, in)); ours > len(theirs)*102/100+16 {
			t.Errorf("%s: %d bytes, compress makes %d", kind, ours, len(theirs))
		}
	}
}

func TestFaults(t *testing.T) {
	whole := pack(t, sample("text", 5000, 1))
	bad := bytes.Clone(whole)
	bad[3], bad[4], bad[5] = 0xff, 0xff, 0xff
	for _, c := range []struct {
		name string
		in   []byte
		want string
	}{
		{"empty", nil, "within the header"},
		{"header cut", whole[:2], "within the header"},
		{"gzip", []byte("\x1f\x8b\x08\x00"), "begins with 1f8b"},
		{"17 bits", []byte("\x1f\x9d\x91"), "codes of up to 17 bits"},
		{"8 bits", []byte("\x1f\x9d\x88"), "codes of up to 8 bits"},
		{"reserved flags", []byte("\x1f\x9d\xd0"), "unknown flags 0x40"},
		{"first code no byte", bad, "was never made"},
		{"code from nowhere", []byte("\x1f\x9d\x90\x61\xfe\x03"), "was never made"},
		{"one byte of a code", []byte("\x1f\x9d\x90\x61"), "ends within a code"},
		{"bits left over", []byte("\x1f\x9d\x90\x61\x80"), "bits behind the last code"},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := unpack(c.in)
			if !errors.Is(err, ErrFormat) || !strings.Contains(err.Error(), c.want) {
				t.Errorf("error %v; want ErrFormat with %q", err, c.want)
			}
		})
	}
}

func TestSourceErrorIsHandedOn(t *testing.T) {
	whole := pack(t, sample("random", 300_000, 1))
	lost := errors.New("lost")
	for _, n := range []int{1, 3, 100, 100_000} {
		z, err := NewReader(io.MultiReader(bytes.NewReader(whole[:n]), iotest.ErrReader(lost)))
		if err == nil {
			_, err = io.Copy(io.Discard, z)
		}
		if !errors.Is(err, lost) || errors.Is(err, ErrFormat) {
			t.Errorf("after %d bytes: %v; want the error of the source", n, err)
		}
	}
}

func TestClosedWriterRefuses(t *testing.T) {
	w := NewWriter(io.Discard)
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write([]byte("x")); err == nil {
		t.Error("a closed writer took bytes")
	}
	if err := w.Close(); err != nil {
		t.Errorf("closing again: %v", err)
	}
}

// allocated returns the total bytes allocated by this process.
func allocated() uint64 {
	s := []metrics.Sample{{Name: "/gc/heap/allocs:bytes"}}
	metrics.Read(s)
	return s[0].Value.Uint64()
}

// mostAllocated bounds the allocations of a Reader for any stream.
const mostAllocated = 64 << 20

// TestBombCostsLittle checks that memory does not grow with the unpacked content.
func TestBombCostsLittle(t *testing.T) {
	var z bytes.Buffer
	w := NewWriter(&z)
	zeros := make([]byte, 1<<20)
	for range 128 {
		if _, err := w.Write(zeros); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	before := allocated()
	r, err := NewReader(&z)
	if err != nil {
		t.Fatal(err)
	}
	packed := z.Len()
	n, err := io.Copy(io.Discard, r)
	if err != nil || n != 128<<20 || n < 1000*int64(packed) {
		t.Errorf("%d bytes of %d, %v", n, packed, err)
	}
	if got := allocated() - before; got > mostAllocated {
		t.Errorf("it asked for %d MiB", got>>20)
	}
}

func FuzzReader(f *testing.F) {
	f.Add([]byte("\x1f\x9d\x90"))
	f.Add([]byte("\x1f\x9d\x10\x61\x00\x00"))
	for _, kind := range kinds() {
		f.Add(pack(f, sample(kind, 3000, 2)))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		before := allocated()
		z, err := NewReader(bytes.NewReader(b))
		if err != nil {
			return
		}
		_, err = io.Copy(io.Discard, io.LimitReader(z, 64<<20))
		if got := allocated() - before; got > mostAllocated {
			t.Errorf("%d bytes made it ask for %d MiB", len(b), got>>20)
		}
		if err != nil && !errors.Is(err, ErrFormat) {
			t.Errorf("error %v does not wrap ErrFormat", err)
		}
	})
}

func FuzzRoundTrip(f *testing.F) {
	for _, kind := range kinds() {
		f.Add(sample(kind, 2000, 2))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		got, err := unpack(pack(t, b))
		if err != nil || !bytes.Equal(got, b) {
			t.Errorf("%d bytes became %d: %v", len(b), len(got), err)
		}
	})
}

// benchSample is 48 MiB, half text, half hardly compressible.
func benchSample() []byte {
	var b []byte
	for i := range uint64(24) {
		b = append(b, sample("text", 1<<20, i)...)
		b = append(b, sample("skewed", 1<<20, i)...)
	}
	return b
}

// peer returns the shortest of three runs of a program, in seconds.
func peer(b *testing.B, in []byte, name string, args ...string) float64 {
	b.Helper()
	p, err := exec.LookPath(name)
	if err != nil {
		return 0
	}
	best := time.Hour
	for range 3 {
		cmd := exec.Command(p, args...)
		cmd.Stdin, cmd.Stdout = bytes.NewReader(in), nil
		began := time.Now()
		if err := cmd.Run(); err != nil {
			b.Fatal(err)
		}
		best = min(best, time.Since(began))
	}
	return best.Seconds()
}

func BenchmarkReader(b *testing.B) {
	in := benchSample()
	z := pack(b, in)
	theirs := peer(b, z, "uncompress", "-c")
	b.SetBytes(int64(len(in)))
	for b.Loop() {
		r, err := NewReader(bytes.NewReader(z))
		if err != nil {
			b.Fatal(err)
		}
		if _, err := io.Copy(io.Discard, r); err != nil {
			b.Fatal(err)
		}
	}
	if theirs > 0 {
		b.ReportMetric(b.Elapsed().Seconds()/float64(b.N)/theirs, "x-uncompress")
	}
}

func BenchmarkWriter(b *testing.B) {
	in := benchSample()
	theirs := peer(b, in, "compress", "-c")
	b.SetBytes(int64(len(in)))
	for b.Loop() {
		w := NewWriter(io.Discard)
		if _, err := w.Write(in); err != nil {
			b.Fatal(err)
		}
		if err := w.Close(); err != nil {
			b.Fatal(err)
		}
	}
	if theirs > 0 {
		b.ReportMetric(b.Elapsed().Seconds()/float64(b.N)/theirs, "x-compress")
	}
}
