// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

package stream

import (
	"bytes"
	"compress/gzip"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"os/exec"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/klauspost/compress/zstd"
	"github.com/ulikunitz/xz"
	"github.com/zfarm/zfarm/orchestrator/compare/format/container"
	"github.com/zfarm/zfarm/orchestrator/compare/format/container/containertest"
	"github.com/zfarm/zfarm/orchestrator/compare/format/exact"
)

var (
	small = container.Limits{Members: 1000, Names: 1 << 20, Content: 1 << 20}
	// empty is the output of bzip2 for no input; hello that for "hello\n".
	empty = []byte("BZh9\x17\x72\x45\x38\x50\x90\x00\x00\x00\x00")
	hello = []byte("BZh91AY&SY\xc1\xc0\x80\xe2\x00\x00\x01\x41\x00\x00\x10\x02\x44\xa0\x00\x30\xcd\x00\xc3\x46\x29\x97\x17\x72\x45\x38\x50\x90\xc1\xc0\x80\xe2")
)

func text(n int) []byte {
	var b bytes.Buffer
	for i := 0; b.Len() < n; i++ {
		fmt.Fprintf(&b, "line %d of many lines, %x\n", i, i*i*7919)
	}
	return b.Bytes()[:n]
}

func gz(t testing.TB, h gzip.Header, level int, content []byte) []byte {
	t.Helper()
	var b bytes.Buffer
	w, err := gzip.NewWriterLevel(&b, level)
	if err != nil {
		t.Fatal(err)
	}
	w.Header = h
	closed(t, w, content)
	return b.Bytes()
}

func closed(t testing.TB, w io.WriteCloser, content []byte) {
	t.Helper()
	if _, err := w.Write(content); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
}

func xzOf(t testing.TB, c xz.WriterConfig, content []byte) []byte {
	t.Helper()
	var b bytes.Buffer
	w, err := c.NewWriter(&b)
	if err != nil {
		t.Fatal(err)
	}
	closed(t, w, content)
	return b.Bytes()
}

func zst(t testing.TB, content []byte, o ...zstd.EOption) []byte {
	t.Helper()
	var b bytes.Buffer
	w, err := zstd.NewWriter(&b, append(o, zstd.WithEncoderConcurrency(1))...)
	if err != nil {
		t.Fatal(err)
	}
	closed(t, w, content)
	return b.Bytes()
}

// opened reads a stream and its content, the content twice.
func opened(t testing.TB, in []byte) (*container.Container, []byte) {
	t.Helper()
	if !Is(in) {
		t.Error("it is not recognised")
	}
	c, err := Open(bytes.NewReader(in), int64(len(in)), container.Limits{})
	if err != nil {
		t.Fatal(err)
	}
	var content []byte
	for range 2 {
		r, err := c.Entries[0].Open()
		if err != nil {
			t.Fatal(err)
		}
		if content, err = io.ReadAll(r); err != nil {
			t.Fatal(err)
		}
		if err := r.Close(); err != nil {
			t.Fatal(err)
		}
		if c.Entries[0].Size != int64(len(content)) {
			t.Errorf("it holds %d bytes and is said to hold %d", len(content), c.Entries[0].Size)
		}
	}
	return c, content
}

// values returns the fields without the one for compression.
func values(c *container.Container) string {
	var s []string
	for _, f := range c.Entries[0].Fields[:len(c.Entries[0].Fields)-1] {
		_, name, _ := strings.Cut(f.Name, ".")
		s = append(s, fmt.Sprintf("%s=%s(%d)", name, f.Value, f.Weight))
	}
	return fmt.Sprintf("%s, %d hidden at %d: %s", c.Kind, c.Hidden.Count, c.Hidden.First, strings.Join(s, " "))
}

func TestOpen(t *testing.T) {
	when := time.Date(2024, 3, 4, 5, 6, 7, 0, time.UTC)
	named := gz(t, gzip.Header{Name: "a.txt", Comment: "why", Extra: []byte{1, 2}, ModTime: when, OS: 3}, 9, []byte("abc"))
	plain := gz(t, gzip.Header{OS: 255}, 1, []byte("defg"))
	x := xzOf(t, xz.WriterConfig{BlockSize: 4, DictCap: 1 << 20}, []byte("hello xz"))
	z := zst(t, []byte("hello zstd"))
	skip := []byte("\x53\x2a\x4d\x18\x04\x00\x00\x00note")
	for _, c := range []struct {
		name, want, content string
		in                  [][]byte
	}{
		{"gzip", `gzip stream, 0 hidden at 0: members=1(0) time=2024-03-04T05:06:07Z(1) name="a.txt"(1) comment="why"(9) extra=0102(9) os=3(0) level=2(0) flags=1c(0)`,
			"abc", [][]byte{named}},
		{"gzip of three members and more", `gzip stream, 5 hidden at END: members=3(0) time=2024-03-04T05:06:07Z; none, 2 times(1) name="a.txt"; , 2 times(1) comment="why"; , 2 times(9) ` +
			`extra=0102; , 2 times(9) os=3; 255, 2 times(0) level=2; 4, 2 times(0) flags=1c; 00, 2 times(0)`, "abcdefgdefg", [][]byte{named, plain, plain, []byte("\x1f\x8b\x08\xffx")}},
		{"bzip2", "bzip2 stream, 0 hidden at 0: streams=1(0) level=9(0)", "hello\n", [][]byte{hello}},
		{"bzip2 of three streams and more", "bzip2 stream, 4 hidden at END: streams=3(0) level=9, 3 times(0)", "hello\nhello\n", [][]byte{hello, empty, hello, []byte("BZh9")}},
		{"xz", "xz stream, 0 hidden at 0: streams=1(0) check=crc64(0) blocks=2(0) dictionary=1048576, 2 times(0) headers=12 bytes, says , 2 times(0) sizes=4, 2 times(0) padding=0(0)",
			"hello xz", [][]byte{x}},
		{"xz of two streams and more", "xz stream, 3 hidden at END: streams=2(0) check=crc64, 2 times(0) blocks=2, 2 times(0) dictionary=1048576, 4 times(0) headers=12 bytes, says , 4 times(0) " +
			"sizes=4, 4 times(0) padding=12(0)", "hello xzhello xz", [][]byte{x, make([]byte, 8), x, make([]byte, 4), []byte("end")}},
		{"zstd", "zstd stream, 0 hidden at 0: frames=1(0) window=1024(0) contentsize=not said(0) check=xxh64(0) blocks=1(0) dictionary=0 bytes(0) flags=00(0) skippable=(9)",
			"hello zstd", [][]byte{z}},
		{"zstd of two frames and more", "zstd stream, 9 hidden at 8: frames=2(0) window=1024, 2 times(0) contentsize=not said, 2 times(0) check=xxh64, 2 times(0) blocks=1, 2 times(0) " +
			"dictionary=0 bytes, 2 times(0) flags=00, 2 times(0) skippable=184d2a53 of 4 bytes(9)", "hello zstdhello zstd", [][]byte{skip, z, z, []byte("after")}},
	} {
		t.Run(c.name, func(t *testing.T) {
			in := bytes.Join(c.in, nil)
			have, content := opened(t, in)
			end := fmt.Sprint(len(in) - len(c.in[len(c.in)-1]))
			if diff := cmp.Diff(strings.ReplaceAll(c.want, "END", end), values(have)); diff != "" {
				t.Error(diff)
			}
			if string(content) != c.content {
				t.Errorf("it holds %q", content)
			}
		})
	}
}

func TestSeries(t *testing.T) {
	var s, other series
	for i := range 40 {
		s.add(fmt.Sprint(i))
		other.add(fmt.Sprint(min(i, 38)))
	}
	if s.String() == other.String() || !strings.Contains(s.String(), "24 more, sha256 ") {
		t.Errorf("%s and %s", s.String(), other.String())
	}
	var long series
	long.add(strings.Repeat("x", 5000))
	if !strings.HasPrefix(long.String(), "5000 bytes, sha256 ") {
		t.Error(long.String())
	}
}

// put returns b with other bytes at an offset.
func put(b []byte, at int, with ...byte) []byte {
	b = bytes.Clone(b)
	copy(b[at:], with)
	return b
}

// sealed corrects the checksum of the first block header of an xz stream.
func sealed(b []byte) []byte {
	length := (int(b[12]) + 1) * 4
	binary.LittleEndian.PutUint32(b[12+length-4:], crc32.ChecksumIEEE(b[12:12+length-4]))
	return b
}

func TestFaults(t *testing.T) {
	g := gz(t, gzip.Header{Name: "a"}, 9, []byte("abcabcabc"))
	x := xzOf(t, xz.WriterConfig{DictCap: 1 << 20, CheckSum: xz.SHA256}, []byte("hello xz"))
	z := zst(t, text(1000))
	crcOfHeader := put(g, 3, 8|2)
	for _, c := range []struct {
		name, want string
		in         []byte
	}{
		{"nothing", "does not begin", nil},
		{"text", "does not begin", []byte("hello")},
		{"gzip cut off", "unexpected EOF", g[:len(g)-9]},
		{"gzip trailer cut off", "unexpected EOF", g[:len(g)-1]},
		{"gzip header cut off", "unexpected EOF", g[:11]},
		{"gzip sum", "sum of the content", put(g, len(g)-8, 0, 0, 0, 0)},
		{"gzip size", "size of the content", put(g, len(g)-4, 0xff)},
		{"gzip sum of header", "sum of a gzip header", crcOfHeader},
		{"gzip name without end", "more than 65536 bytes", append(put(g[:10], 3, 8), bytes.Repeat([]byte("n"), 1<<17)...)},
		{"gzip data", "inflating", put(g, 12, 7)},
		{"bzip2 cut off", "unexpected EOF", hello[:len(hello)-1]},
		{"bzip2 sum", "checksum", put(hello, len(hello)-1, 0)},
		{"bzip2 data", "bzip2", put(hello, 20, 0xff, 0xff, 0xff, 0xff)},
		{"xz header", "header of an xz stream is damaged", put(x, 8, 0)},
		{"xz cut off", "the file ends", x[:len(x)-1]},
		{"xz block header", "header of an xz block is damaged", put(x, 14, 0)},
		{"xz other filter", "other filters", sealed(put(x, 14, 4))},
		{"xz two filters", "other filters", sealed(put(x, 13, 1))},
		{"xz unknown flags", "unknown flags", sealed(put(x, 13, 0x10))},
		{"xz dictionary of 4 GiB", "dictionary of more than", sealed(put(x, 16, 40))},
		{"xz unknown dictionary", "unknown dictionary", sealed(put(x, 16, 41))},
		{"xz padding of header", "padding of the header", sealed(put(x, 19, 1))},
		{"xz chunk", "unknown control", put(x, 24, 0x30)},
		{"xz content", "sha256 of the content", put(x, 28, 'H')},
		{"xz index of more blocks", "lists 9 blocks, and there are 1", put(x, len(x)-19, 9)},
		{"xz index of other blocks", "other blocks", put(x, len(x)-17, 7)},
		{"xz index damaged", "index of an xz stream is damaged", put(x, len(x)-16, x[len(x)-16]^1)},
		{"xz footer", "footer", put(x, len(x)-1, 'z')},
		{"zstd cut off", "the file ends", z[:len(z)-1]},
		{"zstd window", "needs a window of 2199023255552 bytes", put(z, 5, 31<<3)},
		{"zstd flags", "unknown flags", put(z, 4, z[4]|8)},
		{"zstd block type", "unknown type", []byte("\x28\xb5\x2f\xfd\x00\x00\x07\x00\x00")},
		{"zstd dictionary", "needs the dictionary 5", []byte("\x28\xb5\x2f\xfd\x01\x00\x05\x01\x00\x00")},
		{"zstd sum", "decoding zstd", put(z, len(z)-1, z[len(z)-1]^1)},
		{"zstd skippable", "does not fit", []byte("\x53\x2a\x4d\x18\xff\x00\x00\x00note")},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := Open(bytes.NewReader(c.in), int64(len(c.in)), container.Limits{})
			if err == nil || !errors.Is(err, container.ErrFormat) || !strings.Contains(err.Error(), c.want) {
				t.Errorf("error %v; want %q", err, c.want)
			}
		})
	}
}

// TestExplosiveStreams opens streams with 16 MiB of content where 1 MiB is allowed.
func TestExplosiveStreams(t *testing.T) {
	bomb := make([]byte, 16<<20)
	ins := map[string][]byte{
		"gzip": gz(t, gzip.Header{}, 9, bomb),
		"xz":   xzOf(t, xz.WriterConfig{}, bomb),
		"zstd": zst(t, bomb),
		"many": bytes.Repeat(gz(t, gzip.Header{}, 9, nil), 1001),
	}
	if in, err := packed("bzip2", bomb); err == nil {
		ins["bzip2"] = in
	}
	for name, in := range ins {
		t.Run(name, func(t *testing.T) {
			if _, err := Open(bytes.NewReader(in), int64(len(in)), small); !errors.Is(err, container.ErrFormat) || !strings.Contains(err.Error(), "raise the limit") {
				t.Errorf("error %v", err)
			}
		})
	}
}

// TestSmallBlocksNeedNoLargeDictionary decodes blocks of one byte that each request
// a dictionary of 64 MiB.
func TestSmallBlocksNeedNoLargeDictionary(t *testing.T) {
	in := xzOf(t, xz.WriterConfig{DictCap: 4096, BlockSize: 1}, text(300))
	header, blocks := []byte{2, 0, 0x21, 1, 0}, 0
	for at := bytes.Index(in, header); at >= 0; blocks++ {
		in[at+4] = 28 // 64 MiB
		binary.LittleEndian.PutUint32(in[at+8:], crc32.ChecksumIEEE(in[at:at+8]))
		at = bytes.Index(in, header)
	}
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	c, _ := opened(t, in)
	runtime.ReadMemStats(&after)
	if took := after.TotalAlloc - before.TotalAlloc; took > 128<<20 || blocks != 300 || !strings.Contains(values(c), "dictionary=67108864, 300 times") {
		t.Errorf("it took %d bytes to decode %d blocks of one byte: %s", took, blocks, values(c))
	}
}

// TestEndOfBzip2ThatIsNone plants the bits of a stream's end where there is no end.
func TestEndOfBzip2ThatIsNone(t *testing.T) {
	x := newFinder(fileOf(hello), 0, map[int64]bool{}, lowest)
	n, err := io.Copy(io.Discard, x)
	if err != nil || n != int64(len(hello)) || x.stop != int64(len(hello)) {
		t.Errorf("the end is found at %d after %d bytes: %v", x.stop, n, err)
	}
	for shift := range 8 {
		// 4 bytes before, the bits shifted, the sum, and more.
		in := make([]byte, 40)
		for bit := range 48 {
			if bzip2Final>>(47-bit)&1 != 0 {
				at := 32 + shift + bit
				in[at/8] |= 0x80 >> (at % 8)
			}
		}
		end := int64(4+6+4) + int64((shift+7)/8)
		if x := newFinder(fileOf(in), 0, map[int64]bool{}, lowest); drained(x) != end {
			t.Errorf("shifted by %d bits, the end is at %d; want %d", shift, drained(newFinder(fileOf(in), 0, nil, lowest)), end)
		}
		if x := newFinder(fileOf(in), 0, map[int64]bool{end: true}, lowest); drained(x) != 40 {
			t.Errorf("shifted by %d bits, an end that is known to be none ends it", shift)
		}
	}
}

// TestContentThatLooksLikeAnEnd compresses bytes chosen so that bzip2's table of
// the bytes in use contains the bits of a stream's end.
func TestContentThatLooksLikeAnEnd(t *testing.T) {
	in := []byte("BZh91AY&SY\x97\x1a\xf7\x42\x00\x00\x00\x70\x00\x0b\xb9\x22\x9c\x28\x48\x20\x00\x31\x4d\x32\x31\x31\x31\x08" +
		"\x13\x13\x20\xd1\x94\x47\x84\x56\xcb\xc6\xb7\xce\xcf\xbf\x56\x2e\xe4\x8a\x70\xa1\x21\x2e\x35\xee\x84")
	c, content := opened(t, slices.Concat(in, hello))
	if string(content) != "\x03\x05\x06\x07\t\n\x0b\x0e\x11\x15\x17\x1a\x1b\x1c!#(+hello\n" || c.Hidden.Count != 0 {
		t.Errorf("%q, %+v", content, c.Hidden)
	}
	if n := drained(newFinder(fileOf(in), 0, nil, lowest)); n >= int64(len(in)) {
		t.Error("it does not look like an end, so that nothing is tested here")
	}
}

func drained(r io.Reader) int64 {
	n, _ := io.Copy(io.Discard, r) // only the count matters
	return n
}

type broken struct{ err error }

func (b broken) ReadAt(p []byte, at int64) (int, error) {
	if at > 0 {
		return 0, b.err
	}
	return copy(p, "\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00"), b.err
}

func TestFileThatCannotBeRead(t *testing.T) {
	want := errors.New("no disk")
	if _, err := Open(broken{want}, 1<<20, container.Limits{}); !errors.Is(err, want) || errors.Is(err, container.ErrFormat) {
		t.Errorf("error %v", err)
	}
}

// packed compresses with an installed program.
func packed(program string, content []byte, args ...string) ([]byte, error) {
	tool, err := exec.LookPath(program)
	if err != nil {
		return nil, err
	}
	cmd := exec.Command(tool, append(args, "-c")...)
	cmd.Stdin = bytes.NewReader(content)
	return cmd.Output()
}

func TestWhatProgramsWrite(t *testing.T) {
	content := text(1 << 20)
	for _, c := range []struct {
		args []string
		want string // of the fields
	}{
		{[]string{"gzip", "-n"}, "members=1(0) time=none(1)"},
		{[]string{"gzip", "-1"}, "level=4(0)"},
		{[]string{"bzip2", "-1"}, "streams=1(0) level=1(0)"},
		{[]string{"bzip2"}, "streams=1(0) level=9(0)"},
		{[]string{"xz", "-1", "-T1"}, "check=crc64(0) blocks=1(0) dictionary=1048576(0) headers=12 bytes, says (0)"},
		{[]string{"xz", "-9", "-C", "sha256", "-T1"}, "check=sha256(0) blocks=1(0) dictionary=67108864(0)"},
		{[]string{"xz", "-0", "-C", "none", "-T2", "--block-size=512KiB"}, "check=none(0) blocks=2(0)"},
		{[]string{"xz", "-C", "crc32"}, "check=crc32(0)"},
		{[]string{"zstd", "-1"}, "frames=1(0)"},
		{[]string{"zstd", "-19", "--no-check"}, "check=none(0)"},
		{[]string{"zstd", "--long=26"}, "window=67108864(0)"},
	} {
		t.Run(strings.Join(c.args, " "), func(t *testing.T) {
			in, err := packed(c.args[0], content, c.args[1:]...)
			if err != nil {
				t.Skipf("no %s here (%v): install it to read what it writes", c.args[0], err)
			}
			have, out := opened(t, in)
			if !bytes.Equal(out, content) {
				t.Error("it holds something else")
			}
			if !strings.Contains(values(have), c.want) || have.Hidden.Count != 0 {
				t.Errorf("%s; want %s", values(have), c.want)
			}
		})
	}
}

func TestWindowsOfPrograms(t *testing.T) {
	in, err := packed("zstd", text(1000), "--long=27")
	if err != nil {
		t.Skipf("no zstd here (%v): install it to read what it writes", err)
	}
	if _, err := Open(bytes.NewReader(in), int64(len(in)), container.Limits{}); err == nil || !strings.Contains(err.Error(), "window of 134217728") {
		t.Errorf("error %v", err)
	}
}

func TestPlantedDifferences(t *testing.T) {
	when := time.Unix(1700000000, 0)
	base := gzip.Header{Name: "a", OS: 3, ModTime: when}
	body := text(5000)
	first, _ := opened(t, gz(t, base, 6, body))
	for _, c := range []struct {
		want string
		in   []byte
	}{
		{"gzip.time", gz(t, gzip.Header{Name: "a", OS: 3, ModTime: when.Add(time.Second)}, 6, body)},
		{"gzip.name", gz(t, gzip.Header{Name: "b", OS: 3, ModTime: when}, 6, body)},
		{"gzip.os", gz(t, gzip.Header{Name: "a", OS: 7, ModTime: when}, 6, body)},
		{"gzip.compression", gz(t, base, 4, body)},
		{"gzip.level gzip.compression", gz(t, base, 1, body)},
	} {
		second, content := opened(t, c.in)
		var differ []string
		for i, f := range first.Entries[0].Fields {
			if f != second.Entries[0].Fields[i] {
				differ = append(differ, f.Name)
			}
		}
		if have := strings.Join(differ, " "); have != c.want || !bytes.Equal(content, body) {
			t.Errorf("%q differ; want %q", have, c.want)
		}
	}
}

// decoderShare is how much the bzip2 decoders allocate in total for each byte of
// the smallest streams.
const decoderShare = 16 << 10

func FuzzOpen(f *testing.F) {
	f.Add(gz(f, gzip.Header{Name: "a", Comment: "b", Extra: []byte("c")}, 9, []byte("abc")))
	f.Add(append(bytes.Clone(hello), empty...))
	f.Add(xzOf(f, xz.WriterConfig{BlockSize: 4}, []byte("hello xz")))
	f.Add(zst(f, []byte("hello zstd")))
	f.Add([]byte("\x53\x2a\x4d\x18\x04\x00\x00\x00note\x28\xb5\x2f\xfd\x20\x02\x11\x00\x00hi"))
	f.Fuzz(func(t *testing.T, b []byte) {
		var c *container.Container
		var err error
		containertest.Little(t, containertest.All+maxWindow+uint64(len(b))*decoderShare, func() {
			c, err = Open(bytes.NewReader(b), int64(len(b)), container.Limits{Content: 1 << 20})
		})
		if err != nil {
			if !errors.Is(err, container.ErrFormat) {
				t.Errorf("error %v", err)
			}
			return
		}
		r, err := c.Entries[0].Open()
		if err != nil {
			t.Fatal(err)
		}
		defer r.Close()
		if n, err := io.Copy(io.Discard, r); err != nil || n != c.Entries[0].Size {
			t.Errorf("%d bytes of %d, then %v", n, c.Entries[0].Size, err)
		}
		if c.Hidden.Count > int64(len(b)) {
			t.Errorf("%d hidden bytes of %d", c.Hidden.Count, len(b))
		}
	})
}

func BenchmarkOpen(b *testing.B) {
	content := text(8 << 20)
	ins := map[string][]byte{
		"gzip": gz(b, gzip.Header{}, 6, content), "xz": xzOf(b, xz.WriterConfig{}, content), "zstd": zst(b, content),
	}
	if in, err := packed("bzip2", content); err == nil {
		ins["bzip2"] = in
	}
	for name, in := range ins {
		b.Run(name, func(b *testing.B) {
			b.SetBytes(int64(len(content)))
			for b.Loop() {
				if _, err := Open(bytes.NewReader(in), int64(len(in)), container.Limits{}); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func fileOf(b []byte) exact.File { return exact.File{R: bytes.NewReader(b), Size: int64(len(b))} }
