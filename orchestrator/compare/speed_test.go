// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

package compare

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/zfarm/zfarm/orchestrator/compare/format/compress"
	"github.com/zfarm/zfarm/orchestrator/compare/format/goff"
	"github.com/zfarm/zfarm/orchestrator/compare/format/pax"
	"github.com/zfarm/zfarm/orchestrator/compare/report"
)

// full reports whether benchmarks use the sizes of docs/speed.md, rather than an
// eighth of them.
func full() bool { return os.Getenv("ZFARM_BENCH_FULL") != "" }

func scaled(n int) int {
	if full() {
		return n
	}
	return n / 8
}

// childEnv holds, as JSON, two files and the options with which a child process is
// to compare them.
const childEnv = "ZFARM_TEST_COMPARE"

// childOrder is the job of a child process.
type childOrder struct {
	A, B       string
	MaxBytes   int64
	MaxMembers int
	AsFolders  bool
	// Built is the time of both builds, within a minute, in seconds since 1970; 0
	// means that of known.
	Built       int64
	PrintReport bool
}

// childReport is the result of a child process.
type childReport struct {
	Outcome   Outcome
	Reason    string
	Members   int
	Differing int
	Fields    []string // of the findings
	PeakMiB   float64
}

// TestChild is not a test but the program that inChild runs.
func TestChild(t *testing.T) {
	text := os.Getenv(childEnv)
	if text == "" {
		t.Skip("started by other tests only")
	}
	var o childOrder
	if err := json.Unmarshal([]byte(text), &o); err != nil {
		t.Fatal(err)
	}
	a, b := fileInput(o.A), fileInput(o.B)
	if o.AsFolders {
		a, b = Folder("a", os.DirFS(o.A)), Folder("b", os.DirFS(o.B))
	}
	k := known()
	if o.Built != 0 {
		at := time.Unix(o.Built, 0)
		k.A.Begun, k.A.Ended = at.Add(-time.Minute), at.Add(time.Minute)
		k.B.Begun, k.B.Ended = k.A.Begun, k.A.Ended
	}
	v, err := Archives(t.Context(), a, b, Options{MaxBytes: o.MaxBytes, MaxMembers: o.MaxMembers, Allowed: []Tier{0, 1, 2}, Known: k, Workdir: filepath.Dir(o.A)})
	if err != nil {
		t.Fatal(err)
	}
	if o.PrintReport {
		if err := report.Text(io.Discard, v, report.Options{Hunks: true, MaxMembers: 100}); err != nil {
			t.Fatal(err)
		}
	}
	r := childReport{Outcome: v.Outcome, Reason: v.Reason, Members: v.Members, Differing: v.Differing, PeakMiB: peakMiB(t)}
	for _, f := range v.Findings {
		if !slices.Contains(r.Fields, f.Field) {
			r.Fields = append(r.Fields, f.Field)
		}
	}
	out, err := json.Marshal(r)
	if err != nil {
		t.Fatal(err)
	}
	fmt.Printf("\nREPORT %s\n", out)
}

// peakMiB returns the peak memory of this process in MiB, 0 if the system does not
// report it.
func peakMiB(t testing.TB) float64 {
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return 0
	}
	for line := range strings.Lines(string(status)) {
		if rest, ok := strings.CutPrefix(line, "VmHWM:"); ok {
			kib, err := strconv.Atoi(strings.Fields(rest)[0])
			if err != nil {
				t.Fatal(err)
			}
			return float64(kib) / 1024
		}
	}
	return 0
}

// cost is the wall time and processor time of a process, in seconds.
type cost struct{ wall, cpu float64 }

func costOf(cmd *exec.Cmd, began time.Time) cost {
	return cost{time.Since(began).Seconds(), (cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()).Seconds()}
}

// inChild compares in a process of its own, to measure the time and memory of one
// comparison.
func inChild(t testing.TB, o childOrder) (childReport, cost) {
	t.Helper()
	text, err := json.Marshal(o)
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestChild$", "-test.timeout=20m")
	cmd.Env = append(os.Environ(), childEnv+"="+string(text))
	began := time.Now()
	out, err := cmd.CombinedOutput()
	took := costOf(cmd, began)
	_, line, ok := strings.Cut(string(out), "\nREPORT ")
	if err != nil || !ok {
		t.Fatalf("the other process: %v\n%s", err, out)
	}
	line, _, _ = strings.Cut(line, "\n")
	var r childReport
	if err := json.Unmarshal([]byte(line), &r); err != nil {
		t.Fatal(err)
	}
	return r, took
}

func fileInput(name string) Input {
	return Input{Name: name, Open: func() (io.ReadCloser, error) { return os.Open(name) }}
}

// change modifies member n for B; body is its content, to modify in place.
type change func(n int, m *pax.Member, body []byte)

// onePercent changes the content and time of every 200th member, and only the time
// of as many.
func onePercent(n int, m *pax.Member, body []byte) {
	if n%100 == 50 {
		m.ModTime = m.ModTime.Add(time.Hour)
	}
	if n%200 == 50 {
		copy(body[len(body)/2:], "changed")
	}
}

// writePair writes two archives of members of size bytes each, half text and half
// binary, or all with the content given.
func writePair(t testing.TB, dir string, members, size int, different change, content ...byte) (a, b string) {
	t.Helper()
	a, b = filepath.Join(dir, "a.pax"), filepath.Join(dir, "b.pax")
	var writers [2]*pax.Writer
	var files [2]*os.File
	for i, name := range []string{a, b} {
		f, err := os.Create(name)
		if err != nil {
			t.Fatal(err)
		}
		files[i], writers[i] = f, pax.NewWriter(f)
	}
	body := make([]byte, size)
	for n := range members {
		if copy(body, content) == 0 {
			fillBody(n, body)
		}
		m := &pax.Member{Name: fmt.Sprintf("p/folder%03d/file%07d", n/100, n), Type: pax.Regular, Mode: 0o644, ModTime: begun().Add(time.Minute),
			Size: int64(size), Records: []pax.Record{{Key: pax.ZOSTag, Value: "1 819"}}}
		for i, w := range writers {
			if i == 1 {
				different(n, m, body)
			}
			if err := w.WriteHeader(m); err != nil {
				t.Fatal(err)
			}
			if _, err := w.Write(body); err != nil {
				t.Fatal(err)
			}
		}
	}
	for i := range files {
		if err := errors.Join(writers[i].Close(), files[i].Close()); err != nil {
			t.Fatal(err)
		}
	}
	return a, b
}

// fillBody makes the content of member n.
func fillBody(n int, body []byte) {
	if n%2 == 0 {
		_, _ = rand.NewChaCha8([32]byte{byte(n), byte(n >> 8), byte(n >> 16)}).Read(body) // never fails
		return
	}
	r := rand.New(rand.NewPCG(uint64(n), 1))
	words := strings.Fields("static int const char return if the of for struct include define void while else unsigned size_t buffer length error")
	for at := 0; at < len(body); {
		end := " "
		if r.IntN(9) == 0 {
			end = ";\n"
		}
		at += copy(body[at:], words[r.IntN(len(words))]+fmt.Sprint(r.IntN(1000))+end)
	}
}

// compressFile writes a .Z of the file beside it.
func compressFile(t testing.TB, name string) string {
	t.Helper()
	in, err := os.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close() //nolint:errcheck // read only
	out, err := os.Create(name + ".Z")
	if err != nil {
		t.Fatal(err)
	}
	z := compress.NewWriter(out)
	_, err = io.Copy(z, in)
	if err := errors.Join(err, z.Close(), out.Close()); err != nil {
		t.Fatal(err)
	}
	return out.Name()
}

// tool is a program that a comparison is measured against.
type tool struct {
	metric string
	args   []string
	// once marks a tool that is so slow that it runs only once.
	once bool
}

func openssl(a, b string) tool {
	return tool{metric: "x-openssl", args: []string{"openssl", "dgst", "-sha256", a, b}}
}

func cmpTool(a, b string) tool {
	return tool{metric: "x-cmp", args: []string{"cmp", a, b}}
}

func diffoscope(a, b string) tool {
	return tool{metric: "x-diffoscope", args: []string{"diffoscope", a, b}, once: true}
}

// measure compares a and b in processes of their own, alternating with the tools so
// that all run under the same load. It reports the ratios of the medians, and
// returns the median of ours.
func measure(b *testing.B, o childOrder, want Outcome, tools ...tool) cost {
	for i := range tools {
		if _, err := exec.LookPath(tools[i].args[0]); err != nil || tools[i].once && !full() {
			tools[i].args = nil
		}
	}
	o.PrintReport = true
	var ours []cost
	theirs := make([][]cost, len(tools))
	peak := 0.0
	for b.Loop() {
		r, took := inChild(b, o)
		if want != "" && r.Outcome != want {
			b.Fatalf("%s; want %s (%s)", r.Outcome, want, r.Reason)
		}
		ours, peak = append(ours, took), max(peak, r.PeakMiB)
		for i, x := range tools {
			if x.args != nil && (!x.once || len(theirs[i]) == 0) {
				cmd := exec.CommandContext(b.Context(), x.args[0], x.args[1:]...)
				began := time.Now()
				_ = cmd.Run() // some exit with 1 if the files differ
				theirs[i] = append(theirs[i], costOf(cmd, began))
			}
		}
	}
	our := median(ours)
	b.ReportMetric(0, "ns/op") // it would be the sum of ours and theirs
	b.ReportMetric(our.wall, "s")
	b.ReportMetric(our.cpu, "cpu-s")
	b.ReportMetric(peak, "MiB")
	for i, x := range tools {
		if len(theirs[i]) > 0 {
			their := median(theirs[i])
			b.ReportMetric(our.wall/their.wall, x.metric)
			b.ReportMetric(our.cpu/their.cpu, x.metric+"-cpu")
		}
	}
	return our
}

// median returns the medians of the wall times and of the processor times.
func median(all []cost) cost {
	var wall, cpu []float64
	for _, c := range all {
		wall, cpu = append(wall, c.wall), append(cpu, c.cpu)
	}
	slices.Sort(wall)
	slices.Sort(cpu)
	return cost{wall[len(wall)/2], cpu[len(cpu)/2]}
}

// BenchmarkPax is of two archives of 1 GiB with 20,000 members.
func BenchmarkPax(b *testing.B) {
	for _, c := range []struct {
		name   string
		change change
		want   Outcome
	}{
		{"one percent differs", onePercent, Different},
		{"all times differ", func(_ int, m *pax.Member, _ []byte) { m.ModTime = m.ModTime.Add(time.Hour) }, Equivalent},
		{"the last member differs", func(n int, _ *pax.Member, body []byte) {
			if n == scaled(20_000)-1 {
				copy(body, "changed")
			}
		}, Different},
		{"identical", func(int, *pax.Member, []byte) {}, Identical},
	} {
		b.Run(c.name, func(b *testing.B) {
			x, y := writePair(b, b.TempDir(), scaled(20_000), 53_000, c.change)
			tools := []tool{openssl(x, y)}
			switch c.want {
			case Identical:
				tools = append(tools, cmpTool(x, y))
			case Different:
				if strings.HasPrefix(c.name, "one") {
					tools = append(tools, diffoscope(x, y))
				}
			}
			measure(b, childOrder{A: x, B: y}, c.want, tools...)
		})
	}
}

// BenchmarkPaxZ is of two .pax.Z with 208 MB inside.
func BenchmarkPaxZ(b *testing.B) {
	x, y := writePair(b, b.TempDir(), scaled(4000), 52_000, onePercent)
	x, y = compressFile(b, x), compressFile(b, y)
	measure(b, childOrder{A: x, B: y}, Different,
		tool{metric: "x-uncompress", args: []string{"uncompress", "-c", x, y}}, diffoscope(x, y))
}

// BenchmarkManyDiffer is of two archives with 10,000 members that all differ.
func BenchmarkManyDiffer(b *testing.B) {
	x, y := writePair(b, b.TempDir(), 10_000, 5_000, func(n int, _ *pax.Member, body []byte) {
		copy(body[n%4000:], "changed")
	})
	measure(b, childOrder{A: x, B: y}, Different, openssl(x, y), diffoscope(x, y))
}

// BenchmarkManyMembers is of two archives with a million empty members, all times
// of which differ.
func BenchmarkManyMembers(b *testing.B) {
	x, y := writePair(b, b.TempDir(), scaled(1_000_000), 0, func(_ int, m *pax.Member, _ []byte) { m.ModTime = m.ModTime.Add(time.Hour) })
	measure(b, childOrder{A: x, B: y}, Equivalent, openssl(x, y))
}

// writeModules writes two archives with n copies of a module that differs.
func writeModules(b *testing.B, copies int, x, y []byte) (string, string) {
	b.Helper()
	return writePair(b, b.TempDir(), copies, len(x), func(_ int, _ *pax.Member, body []byte) { copy(body, y) }, x...)
}

// largeModule adds code to the given object, in records of its own.
func largeModule(b *testing.B, object []byte, size int) []byte {
	b.Helper()
	var out []byte
	var longest goff.Text
	var records []goff.Record
	for r, err := range goff.Records(bytes.NewReader(object)) {
		if err != nil {
			b.Fatal(err)
		}
		records = append(records, r)
		if t, ok := r.(goff.Text); ok && t.Style == 0 && len(t.Data) > len(longest.Data) {
			longest = t
		}
	}
	code := make([]byte, 32<<10)
	for i := range code {
		code[i] = byte(i * 7 >> 3)
	}
	var err error
	for i, r := range records {
		if i == len(records)-1 {
			more := goff.Text{Element: longest.Element, Offset: longest.Offset + uint32(len(longest.Data)), Data: code}
			for ; size > 0; size -= len(code) {
				if out, err = goff.Append(out, more); err != nil {
					b.Fatal(err)
				}
				more.Offset += uint32(len(code))
			}
		}
		if out, err = goff.Append(out, r); err != nil {
			b.Fatal(err)
		}
	}
	return out
}

// BenchmarkModules compares objects and program objects for z/OS that differ in the
// time of the build. MB/s count the bytes of both archives.
func BenchmarkModules(b *testing.B) {
	object := func(name string) []byte {
		body, err := os.ReadFile(filepath.Join("format", "goff", "testdata", name+".o"))
		if err != nil {
			b.Fatal(err)
		}
		return body
	}
	plain, later := object("plain"), object("later")
	type pair struct {
		copies int
		a, b   []byte
		want   Outcome
	}
	cases := map[string]pair{
		"GOFF of 2 kB":  {scaled(100_000), plain, later, Equivalent},
		"GOFF of 64 kB": {scaled(8000), largeModule(b, plain, 64<<10), largeModule(b, later, 64<<10), Equivalent},
		"GOFF of 70 MB": {scaled(16), largeModule(b, plain, 64<<20), largeModule(b, later, 64<<20), Equivalent},
	}
	if dir := os.Getenv("ZFARM_ZOS_BINARIES"); dir != "" {
		program, err := os.ReadFile(filepath.Join(dir, "gencert"))
		if err != nil {
			b.Fatal(err)
		}
		other := bytes.Clone(program)
		// The time in the PMARL; the header of the module gives its offset.
		copy(other[binary.BigEndian.Uint32(other[24+12*2+4:])+30+70:], "\x01\x23\x45\x6f")
		cases["program objects of 150 kB"] = pair{scaled(2000), program, other, Different} // that time lies outside the window of the build
	}
	for name, c := range cases {
		b.Run(name, func(b *testing.B) {
			x, y := writeModules(b, c.copies, c.a, c.b)
			info, err := os.Stat(x)
			if err != nil {
				b.Fatal(err)
			}
			took := measure(b, childOrder{A: x, B: y, Built: 1_800_000_000}, c.want, openssl(x, y))
			b.ReportMetric(2*float64(info.Size())/took.wall/1e6, "MB/s")
			b.ReportMetric(2*float64(info.Size())/took.cpu/1e6, "MB/cpu-s")
		})
	}
}
