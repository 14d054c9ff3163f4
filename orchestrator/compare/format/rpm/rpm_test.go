// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

package rpm

import (
	"bytes"
	"compress/gzip"
	"crypto/md5" //nolint:gosec // packages have such sums
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/zfarm/zfarm/orchestrator/compare/format/container"
	"github.com/zfarm/zfarm/orchestrator/compare/format/container/containertest"
	"github.com/zfarm/zfarm/orchestrator/compare/format/cpio"
	"github.com/zfarm/zfarm/orchestrator/compare/format/exact"
)

// line is a tag as the tests write it.
type line struct {
	id    uint32
	kind  kind
	count int
	value string // bytes of the store
}

func text(id uint32, k kind, values ...string) line {
	return line{id, k, len(values), strings.Join(values, "\x00") + "\x00"}
}

func int32s(id uint32, values ...uint32) line {
	var b []byte
	for _, v := range values {
		b = binary.BigEndian.AppendUint32(b, v)
	}
	return line{id, kindInt32, len(values), string(b)}
}

func int16s(id uint32, values ...uint16) line {
	var b []byte
	for _, v := range values {
		b = binary.BigEndian.AppendUint16(b, v)
	}
	return line{id, kindInt16, len(values), string(b)}
}

// headerOf writes a header with a region over all of it.
func headerOf(region uint32, lines ...line) []byte {
	var index, store []byte
	u32 := binary.BigEndian.AppendUint32
	for _, l := range lines {
		for w := max(l.kind.width(), 1); len(store)%w != 0; {
			store = append(store, 0)
		}
		index = u32(u32(u32(u32(index, l.id), uint32(l.kind)), uint32(len(store))), uint32(l.count))
		store = append(store, l.value...)
	}
	first := u32(u32(u32(u32(nil, region), uint32(kindBinary)), uint32(len(store))), trailerSize)
	store = u32(u32(u32(u32(store, region), uint32(kindBinary)), uint32(-int32(len(index)+indexSize))), trailerSize)
	out := append([]byte(headerMagic), 0, 0, 0, 0)
	out = u32(u32(out, uint32(len(lines)+1)), uint32(len(store)))
	return slices.Concat(out, first, index, store)
}

// sample is a package as the tests write it.
type sample struct {
	tags   []line // in addition to those of files
	signed []line // in addition to digests
	files  []string
	// contents, modes and times are the values of the files.
	contents []string
	modes    []uint16
	times    []uint32
	digests  []string // "" means the correct one
	behind   string   // the payload
	raw      bool     // the payload is not compressed
}

func base() sample {
	return sample{tags: []line{text(1000, kindString, "sample"), text(1005, kindLocalized, "one\ntwo\n"), int32s(tagBuildTime, 1700000000),
		text(tagBuildHost, kindString, "builder"), text(1023, kindString, "echo ready\nexit 0"), text(1049, kindStrings, "libc", "libm")},
		files: []string{"/bin/tool", "/etc/conf"}, contents: []string{"#!/bin/sh\n", "key=value\n"}, modes: []uint16{0o100755, 0o100644},
		times: []uint32{1700000000, 1700000001}, digests: []string{"", ""}}
}

// payload writes the files in cpio format.
func (s sample) payload() (packed, unpacked []byte) {
	var b bytes.Buffer
	put := func(name, content string, mode uint16, time uint32) {
		fmt.Fprintf(&b, "070701%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%s\x00", 0, mode, 0, 0, 1, time, len(content), 0, 0, 0, 0, len(name)+1, 0, name)
		b.Write(make([]byte, -b.Len()&3))
		b.WriteString(content)
		b.Write(make([]byte, -b.Len()&3))
	}
	for i, name := range s.files {
		put("./"+strings.TrimPrefix(name, "/"), s.contents[i], s.modes[i], s.times[i])
	}
	put("TRAILER!!!", "", 0, 0)
	if s.raw {
		return b.Bytes(), b.Bytes()
	}
	var z bytes.Buffer
	w := gzip.NewWriter(&z)
	w.Write(b.Bytes()) //nolint:errcheck // to memory
	w.Close()          //nolint:errcheck // to memory
	return z.Bytes(), b.Bytes()
}

func sum(b []byte) string { return fmt.Sprintf("%x", sha256.Sum256(b)) }

// bytes writes the package with correct digests.
func (s sample) bytes() []byte {
	packed, unpacked := s.payload()
	folders, places, names, digests := []string{}, []uint32{}, []string{}, []string{}
	for i, f := range s.files {
		dir, name := filepath.Split(f)
		at := slices.Index(folders, dir)
		if at < 0 {
			at, folders = len(folders), append(folders, dir)
		}
		places, names = append(places, uint32(at)), append(names, name)
		if digests = append(digests, s.digests[i]); s.digests[i] == "" {
			digests[i] = sum([]byte(s.contents[i]))
		}
	}
	tags := append(slices.Clone(s.tags), int16s(tagFileModes, s.modes...), int32s(tagFileTimes, s.times...), text(tagFileDigests, kindStrings, digests...),
		int32s(tagDirIndexes, places...), text(tagBaseNames, kindStrings, names...), text(tagDirNames, kindStrings, folders...),
		text(1124, kindString, "cpio"), int32s(tagFileDigestKind, 8), text(tagPayloadDigest, kindStrings, sum(packed)), int32s(tagPayloadDigestOf, 8),
		text(tagPayloadDigestAlt, kindStrings, sum(unpacked)))
	slices.SortStableFunc(tags, func(a, b line) int { return int(a.id) - int(b.id) })
	main := headerOf(63, tags...)
	all := md5.Sum(slices.Concat(main, packed)) //nolint:gosec // as in packages
	signed := append(slices.Clone(s.signed), text(signedSHA256, kindString, sum(main)), int32s(signedSize, uint32(len(main)+len(packed))),
		line{signedMD5, kindBinary, len(all), string(all[:])}, int32s(signedArchive, uint32(len(unpacked))))
	slices.SortStableFunc(signed, func(a, b line) int { return int(a.id) - int(b.id) })
	lead := make([]byte, leadSize)
	copy(lead, leadMagic+"\x03\x00\x00\x00\x00\x01sample-1.0-1")
	lead[77], lead[79] = 1, 5
	out := slices.Concat(lead, headerOf(62, signed...))
	out = append(out, make([]byte, -len(out)&7)...)
	return slices.Concat(out, main, packed, []byte(s.behind))
}

func open(t testing.TB, b []byte) *container.Container {
	t.Helper()
	c, err := Open(bytes.NewReader(b), int64(len(b)), container.Limits{})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// list shows what was read of the package and its files.
func list(c *container.Container) []string {
	var out []string
	for _, f := range c.Fields {
		out = append(out, fmt.Sprintf("%s=%s (%d)", f.Name, f.Value, f.Weight))
	}
	for _, e := range c.Entries[1:] {
		s := e.Name
		for _, f := range e.Fields {
			s += fmt.Sprintf("|%s=%s (%d)", strings.TrimPrefix(f.Name, "rpm."), f.Value, f.Weight)
		}
		out = append(out, s)
	}
	return out
}

// payloadOf returns the payload as it is read.
func payloadOf(t testing.TB, b []byte, c *container.Container) []byte {
	t.Helper()
	e := c.Entries[0]
	if e.Open == nil {
		return b[e.Offset : e.Offset+e.Size]
	}
	r, err := e.Open()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	out, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func TestOpen(t *testing.T) {
	in := base().bytes()
	if !Is(in[:64]) || Is(in[1:64]) || Is(nil) {
		t.Error("not recognised, or too much is")
	}
	c := open(t, in)
	want := []string{"rpm.lead.version=3.0 (9)", "rpm.lead.type=binary (9)", "rpm.lead.arch=1 (9)", `rpm.lead.name="sample-1.0-1" (9)`, "rpm.lead.os=1 (9)",
		"rpm.lead.signature=5 (9)", "rpm.signed= (9)", "rpm.signature.types=62:7 273:6 1000:4 1004:7 1007:4 (9)", "rpm.signature.layout=in the order of tags (0)",
		"rpm.signature.region=62, all tags (9)", `rpm.NAME="sample" (9)`, `rpm.DESCRIPTION="one\n" (9)`, `rpm.DESCRIPTION=... "two\n" (9)`,
		"rpm.BUILDTIME=2023-11-14T22:13:20Z (1)", `rpm.BUILDHOST="builder" (1)`, `rpm.PREIN="echo ready\n" (9)`, `rpm.PREIN=... "exit 0" (9)`,
		`rpm.REQUIRENAME="libc" (9)`, `rpm.REQUIRENAME="libm" (9)`, `rpm.PAYLOADFORMAT="cpio" (9)`, "rpm.FILEDIGESTALGO=8 (9)", "rpm.PAYLOADDIGESTALGO=8 (9)",
		"rpm.types=63:7 1000:6 1005:9 1006:4 1007:6 1023:6 1030:3 1034:4 1035:8 1049:8 1116:4 1117:8 1118:8 1124:6 5011:4 5092:8 5093:4 5097:8 (9)",
		"rpm.layout=in the order of tags (0)", "rpm.region=63, all tags (9)",
		"bin/tool|FILEMODES=100755 (9)|FILEMTIMES=2023-11-14T22:13:20Z (1)", "etc/conf|FILEMODES=100644 (9)|FILEMTIMES=2023-11-14T22:13:21Z (1)"}
	if diff := cmp.Diff(want, list(c)); diff != "" {
		t.Error(diff)
	}
	if e := c.Entries[0]; e.Name != "" || c.Hidden.Count != 0 || e.Hidden.Count != 0 || !cpio.Is(payloadOf(t, in, c)) {
		t.Errorf("payload %+v", e)
	}
}

// differing returns the fields that differ, with their weights.
func differing(a, b *container.Container) map[string]container.Weight {
	out := map[string]container.Weight{}
	note := func(x, y []container.Field, where string) {
		left := slices.Clone(y)
		for _, f := range x {
			i := slices.IndexFunc(left, func(g container.Field) bool { return g.Name == f.Name })
			if i < 0 || left[i].Value != f.Value {
				out[where+f.Name] = max(out[where+f.Name], f.Weight)
			}
			if i >= 0 {
				left = slices.Delete(left, i, i+1)
			}
		}
	}
	note(a.Fields, b.Fields, "")
	note(b.Fields, a.Fields, "")
	for i := range min(len(a.Entries), len(b.Entries)) {
		x, y := a.Entries[i], b.Entries[i]
		if x.Name != y.Name {
			out["name "+x.Name] = container.Meaning
		}
		if x.Hidden.Count != y.Hidden.Count || x.Hidden.Sum != y.Hidden.Sum {
			out["hidden of payload"+x.Name] = container.Meaning
		}
		where := strings.TrimPrefix(x.Name+" ", " ")
		note(x.Fields, y.Fields, where)
		note(y.Fields, x.Fields, where)
	}
	if len(a.Entries) != len(b.Entries) {
		out["entries"] = container.Meaning
	}
	if a.Hidden.Count != b.Hidden.Count || a.Hidden.Sum != b.Hidden.Sum {
		out["hidden"] = container.Meaning
	}
	return out
}

func TestPlantedDifferences(t *testing.T) {
	plain := base().bytes()
	other := func(change func(*sample)) []byte {
		s := base()
		change(&s)
		return s.bytes()
	}
	patched := func(from, to string) []byte { return bytes.Replace(plain, []byte(from), []byte(to), 1) }
	const x = container.Meaning
	type weights = map[string]container.Weight
	for name, c := range map[string]struct {
		in   []byte
		want weights
	}{
		"built at another time": {other(func(s *sample) { s.tags[2] = int32s(tagBuildTime, 1700000009) }), weights{"rpm.BUILDTIME": 1}},
		"on another host":       {other(func(s *sample) { s.tags[3] = text(tagBuildHost, kindString, "another") }), weights{"rpm.BUILDHOST": 1}},
		"another script":        {other(func(s *sample) { s.tags[4] = text(1023, kindString, "echo ready\nexit 1") }), weights{"rpm.PREIN": x}},
		"another need":          {other(func(s *sample) { s.tags[5] = text(1049, kindStrings, "libc", "libz") }), weights{"rpm.REQUIRENAME": x}},
		"lines that move between values": {other(func(s *sample) { s.tags[5] = text(1049, kindStrings, "libc\nlibm") }),
			weights{"rpm.REQUIRENAME": x}},
		"an unknown tag": {other(func(s *sample) { s.tags = append(s.tags, int32s(4999, 7)) }), weights{"rpm.tag.4999": x, "rpm.types": x}},
		"setuid in the header": {other(func(s *sample) { s.modes[0] = 0o104755 }),
			weights{"bin/tool rpm.FILEMODES": x, "gzip.compression": 0}},
		"names without a root": {other(func(s *sample) { s.files = []string{"bin/tool", "/etc/conf"} }),
			weights{"bin/tool rpm.relative": x}},
		"a file's time": {other(func(s *sample) { s.times[0]++ }), weights{"bin/tool rpm.FILEMTIMES": 1, "gzip.compression": 0}},
		"content":       {other(func(s *sample) { s.contents[0] = "#!/bin/ksh" }), weights{"gzip.compression": 0}},
		"a digest that is wrong": {other(func(s *sample) { s.digests[0] = strings.Repeat("0", 64) }),
			weights{"bin/tool rpm.FILEDIGESTS": x}},
		"a file more": {other(func(s *sample) {
			s.files, s.contents, s.modes = append(s.files, "/etc/more"), append(s.contents, ""), append(s.modes, 0o100644)
			s.times, s.digests = append(s.times, 0), append(s.digests, "")
		}), weights{"entries": x, "gzip.compression": 0}},
		"a signature": {other(func(s *sample) { s.signed = []line{{signedRSA, kindBinary, 3, "sig"}} }),
			weights{"rpm.signed": x, "rpm.signature.RSA": 1, "rpm.signature.types": x}},
		"room":                 {other(func(s *sample) { s.signed = []line{{signedReserved, kindBinary, 4, "\x00\x00\x00\x00"}} }), weights{"rpm.signature.RESERVEDSPACE": 0, "rpm.signature.types": x}},
		"something in room":    {other(func(s *sample) { s.signed = []line{{signedReserved, kindBinary, 2, "\x12\x34"}} }), weights{"rpm.signature.RESERVEDSPACE": x, "rpm.signature.types": x}},
		"behind the payload":   {append(slices.Clone(plain), "more"...), weights{"hidden of payload": x, "rpm.PAYLOADDIGEST": x, "rpm.signature.MD5": x, "rpm.signature.SIZE": x}},
		"in the lead":          {patched("sample-1.0-1\x00\x00", "sample-1.0-1\x00h"), weights{"hidden": x}},
		"reserved of the lead": {slices.Concat(plain[:85], []byte("h"), plain[86:]), weights{"hidden": x}},
		"reserved of a header": {slices.Concat(plain[:101], []byte("h"), plain[102:]), weights{"hidden": x}},
		"name in the lead":     {patched("sample-1.0-1", "sample-1.0-2"), weights{"rpm.lead.name": x}},
		"a header that its digest is not of": {patched("echo ready", "echo rEady"),
			weights{"rpm.PREIN": x, "rpm.signature.SHA256": x, "rpm.signature.MD5": x}},
		"not compressed": {other(func(s *sample) { s.raw = true }), weights{"rpm.compression": 0, "gzip.compression": 0, "gzip.members": 0, "gzip.time": 1,
			"gzip.name": 1, "gzip.comment": x, "gzip.extra": x, "gzip.os": 0, "gzip.level": 0, "gzip.flags": 0}},
	} {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(c.want, differing(open(t, plain), open(t, c.in))); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// TestStores has bytes between values, another order, and a region over a part.
func TestStores(t *testing.T) {
	lines := []line{text(1000, kindString, "sample"), int32s(1006, 5)}
	plain := headerOf(63, lines...)
	read := func(b []byte) (*pack, *header, error) {
		p := &pack{f: exact.File{R: bytes.NewReader(b), Size: int64(len(b))}, budget: exact.NewBudget(container.Limits{}), c: &container.Container{}}
		h, err := p.header(0)
		return p, h, err
	}
	at := introSize + 3*indexSize // of the store; byte 7 of it is padding
	hidden := slices.Clone(plain)
	hidden[at+7] = 'h'
	p, h, err := read(hidden)
	if err != nil || p.hidden.Value().Count != 1 || h.layout != "in the order of tags" {
		t.Errorf("padding: %v, %d hidden, %s", err, p.hidden.Value().Count, h.layout)
	}
	if p, h, err = read(headerOf(63, lines[1], lines[0])); err != nil || p.hidden.Value().Count != 0 || !strings.HasPrefix(h.layout, "another, sha256") {
		t.Errorf("another order: %v, %s", err, h.layout)
	}
	part := slices.Clone(plain)
	part[len(part)-5] -= 16
	if _, h, err = read(part); err != nil || h.whole || !strings.HasPrefix(h.region, "63 of 3 tags") {
		t.Errorf("a region over a part: %v, %s", err, h.region)
	}
	for name, c := range map[string]struct {
		at   int
		with uint32
		want string
	}{
		"shared bytes": {introSize + 2*indexSize + 8, 4, "shares bytes with another"},
		"outside":      {introSize + 2*indexSize + 8, 999, "has 1 values at 999"},
		"no values":    {introSize + 2*indexSize + 12, 0, "has 0 values"},
		"many values":  {introSize + 2*indexSize + 12, 1 << 30, "has 1073741824 values"},
		"unknown type": {introSize + 2*indexSize + 4, 10, "of type 10"},
		"two texts":    {introSize + indexSize + 12, 2, "has 2 values"},
		"no end":       {introSize + 2*indexSize + 12, 20, "have no end"},
		"many tags":    {8, 1 << 20, "up to 65536 and"},
		"large":        {12, maxStore + 1, "are read"},
		"cut off":      {12, 4096, "the file ends"},
		"no magic":     {0, 5, "does not begin with its magic"},
	} {
		b := slices.Clone(plain)
		binary.BigEndian.PutUint32(b[c.at:], c.with)
		if _, _, err := read(b); !errors.Is(err, container.ErrFormat) || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: error %v; want %q", name, err, c.want)
		}
	}
}

func TestFaults(t *testing.T) {
	good := base().bytes()
	lzma := append(slices.Clone(good[:bytes.LastIndex(good, []byte("\x1f\x8b\x08"))]), "\x5d\x00\x00\x80\x00 and so on"...)
	for name, c := range map[string]struct {
		in   []byte
		want string
	}{
		"empty":         {nil, "the file ends"},
		"cut in half":   {good[:len(good)/2], "the file ends"},
		"cut payload":   {good[:len(good)-9], "reading payload"},
		"form 5":        {slices.Concat(good[:4], []byte{5}, good[5:]), "3 and 4 are read"},
		"lzma":          {lzma, "none that is read"},
		"no cpio":       {append(slices.Clone(good[:bytes.LastIndex(good, []byte("\x1f\x8b\x08"))]), gzipped("no cpio")...), "does not begin as a cpio archive"},
		"endless name":  {slices.Concat(good[:10], bytes.Repeat([]byte("x"), 66), good[76:]), "has no end"},
		"many at once":  {good, "more than 1 members"},
		"names too big": {good, "more than 1000 bytes"},
	} {
		l := container.Limits{}
		switch name {
		case "many at once":
			l.Members = 1
		case "names too big":
			l.Names = 1000
		}
		if _, err := Open(bytes.NewReader(c.in), int64(len(c.in)), l); !errors.Is(err, container.ErrFormat) || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: error %v; want %q", name, err, c.want)
		}
	}
}

func gzipped(s string) []byte {
	var z bytes.Buffer
	w := gzip.NewWriter(&z)
	w.Write([]byte(s)) //nolint:errcheck // to memory
	w.Close()          //nolint:errcheck // to memory
	return z.Bytes()
}

// contents are the files of testdata/sample.spec, by name.
func contents(t *testing.T, in []byte, c *container.Container) map[string]string {
	t.Helper()
	out := map[string]string{}
	for _, e := range c.Entries[1:] {
		for _, f := range e.Fields {
			if f.Name == "rpm.FILEMODES" || f.Name == "rpm.links" || f.Name == "rpm.FILEDIGESTS" {
				out["/"+e.Name] += f.Value + " "
			}
		}
	}
	payload := payloadOf(t, in, c)
	archive, err := cpio.Open(bytes.NewReader(payload), int64(len(payload)), container.Limits{})
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range archive.Entries {
		out[strings.TrimPrefix(e.Name, ".")] += string(payload[e.Offset : e.Offset+e.Size])
	}
	return out
}

func wantContents() map[string]string {
	const links = `100644 the same file as "/usr/share/sample/a" data` + "\n"
	return map[string]string{"/etc/sample.conf": "100644 key=value\n", "/usr/bin/alias": "120777 ", "/usr/bin/tool": "100755 #!/bin/sh\n",
		"/usr/share/sample": "040755 ", "/usr/share/sample/a": links, "/usr/share/sample/b": links}
}

func TestAPackageOfRPM(t *testing.T) {
	in, err := os.ReadFile("testdata/sample.rpm")
	if err != nil {
		t.Fatal(err)
	}
	c := open(t, in)
	if diff := cmp.Diff(wantContents(), contents(t, in, c)); diff != "" {
		t.Error(diff)
	}
	for _, want := range []string{"rpm.BUILDTIME=2023-11-14T22:13:20Z (1)", `rpm.BUILDHOST="builder" (1)`, `rpm.RPMVERSION="4.18.0" (9)`,
		"rpm.layout=in the order of tags (0)", "rpm.signature.layout=in the order of tags (0)", "rpm.region=63, all tags (9)"} {
		if !slices.Contains(list(c), want) {
			t.Errorf("no %s in %q", want, list(c))
		}
	}
	for _, f := range c.Fields {
		if strings.Contains(f.Name, "SHA") || strings.HasSuffix(f.Name, "DIGEST") || strings.HasSuffix(f.Name, "MD5") || strings.Contains(f.Name, ".tag.") {
			t.Errorf("%s is told, though it is right or known", f.Name)
		}
	}
	if c.Hidden.Count != 0 {
		t.Errorf("%d bytes hidden", c.Hidden.Count)
	}
}

// built makes a package of testdata/sample.spec with rpmbuild.
func built(t *testing.T, defines ...string) []byte {
	t.Helper()
	if _, err := exec.LookPath("rpmbuild"); err != nil {
		t.Skip("no rpmbuild here: install rpm to read what it builds")
	}
	spec, err := filepath.Abs("testdata/sample.spec")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	args := []string{"-bb", "--define", "_topdir " + dir, "--define", "_rpmdir " + dir, "--define", "_buildhost builder"}
	for _, d := range defines {
		args = append(args, "--define", d)
	}
	cmd := exec.Command("rpmbuild", append(args, spec)...)
	cmd.Env = append(os.Environ(), "HOME="+dir)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("rpmbuild: %v\n%s", err, out)
	}
	in, err := os.ReadFile(filepath.Join(dir, "noarch", "zfarm-sample-1.0-1.noarch.rpm"))
	if err != nil {
		t.Fatal(err)
	}
	return in
}

func TestPackagesOfTheRPMHere(t *testing.T) {
	for _, payload := range []string{"w9.gzdio", "w9.bzdio", "w6.xzdio", "w3.zstdio", "w.ufdio"} {
		t.Run(payload, func(t *testing.T) {
			in := built(t, "_binary_payload "+payload)
			if diff := cmp.Diff(wantContents(), contents(t, in, open(t, in))); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestPlantedDifferencesOfTheRPMHere(t *testing.T) {
	a := open(t, built(t))
	for _, c := range []struct {
		define, want string
		weight       container.Weight
	}{
		{"_buildhost another", "rpm.BUILDHOST", container.Header},
		{"planted rm", "rpm.POSTIN", container.Meaning},
		{"mode %%attr(4755,root,root)", "usr/bin/tool rpm.FILEMODES", container.Meaning},
		{"_binary_payload w1.gzdio", "rpm.PAYLOADFLAGS", container.Form},
	} {
		got := differing(a, open(t, built(t, c.define)))
		if w, ok := got[c.want]; !ok || w != c.weight {
			t.Errorf("%s: %v; want %s", c.define, got, c.want)
		}
		delete(got, c.want)
		for name, w := range got {
			if w == container.Meaning {
				t.Errorf("%s: %s differs as well", c.define, name)
			}
		}
	}
}

func FuzzOpen(f *testing.F) {
	s := base()
	f.Add(s.bytes())
	s.raw, s.signed = true, []line{{signedRSA, kindBinary, 3, "sig"}, {signedReserved, kindBinary, 4, "\x00\x00\x00\x00"}}
	f.Add(s.bytes())
	if in, err := os.ReadFile("testdata/sample.rpm"); err == nil {
		f.Add(in)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		var c *container.Container
		var err error
		containertest.Little(t, containertest.All, func() {
			c, err = Open(bytes.NewReader(b), int64(len(b)), container.Limits{Content: 1 << 20})
		})
		if err != nil {
			if !errors.Is(err, container.ErrFormat) {
				t.Errorf("error %v", err)
			}
			return
		}
		for _, e := range c.Entries {
			if e.Open == nil && (e.Offset < 0 || e.Size < 0 || e.Offset+e.Size > int64(len(b))) {
				t.Errorf("%q lies outside: %+v", e.Name, e)
			}
		}
	})
}

func TestHexOfDigests(t *testing.T) {
	if got := binaryText(bytes.Repeat([]byte{0xab}, 300)); !strings.HasPrefix(got, strings.Repeat("ab", 64)+"... 300 bytes, sha256 ") {
		t.Error(got)
	}
	if got := binaryText([]byte{0, 1}); got != hex.EncodeToString([]byte{0, 1}) {
		t.Error(got)
	}
}
