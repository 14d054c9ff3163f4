// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

package cpio

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/zfarm/zfarm/orchestrator/compare/format/container"
	"github.com/zfarm/zfarm/orchestrator/compare/format/container/containertest"
)

// part is a member as the tests write it.
type part struct {
	name, content          string
	mode                   uint32 // 0 means a file of 0644
	uid, gid, links, mtime uint32
	inode, device, special uint32
	check                  uint32
	behindName, pad1, pad2 string // "" means zeros
	size                   int64  // 0 means that of content
	upper                  bool
	nameSize               int // 0 means that of the name
	trailer                bool
}

func (p part) withDefaults() part {
	if p.mode == 0 && !p.trailer {
		p.mode = 0o100644
	}
	if p.size == 0 {
		p.size = int64(len(p.content))
	}
	if p.nameSize == 0 {
		p.nameSize = len(p.name) + 1 + len(p.behindName)
	}
	return p
}

// newc writes members in the new format.
func newc(magic string, parts ...part) []byte {
	var b bytes.Buffer
	pad := func(with string) {
		zeros := make([]byte, -b.Len()&3)
		copy(zeros, with)
		b.Write(zeros)
	}
	for _, p := range append(slices.Clone(parts), part{name: trailer, trailer: true, links: 1}) {
		p = p.withDefaults()
		if magic == sumMagic && p.check == 0 {
			for _, c := range []byte(p.content) {
				p.check += uint32(c)
			}
		}
		h := fmt.Sprintf("%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x", p.inode, p.mode, p.uid, p.gid, p.links, p.mtime,
			p.size, p.device, 0, p.special>>8, p.special&0xff, p.nameSize, p.check)
		if p.upper {
			h = strings.ToUpper(h)
		}
		b.WriteString(magic + h + p.name + "\x00" + p.behindName)
		pad(p.pad1)
		b.WriteString(p.content)
		pad(p.pad2)
	}
	return b.Bytes()
}

// odc writes members in the portable format.
func odc(parts ...part) []byte {
	var b bytes.Buffer
	for _, p := range append(slices.Clone(parts), part{name: trailer, trailer: true, links: 1}) {
		p = p.withDefaults()
		fmt.Fprintf(&b, "%s%06o%06o%06o%06o%06o%06o%06o%011o%06o%011o%s\x00%s%s", odcMagic, p.device, p.inode, p.mode, p.uid, p.gid, p.links,
			p.special, p.mtime, p.nameSize, p.size, p.name, p.behindName, p.content)
	}
	return b.Bytes()
}

func open(t testing.TB, b []byte) *container.Container {
	t.Helper()
	c, err := Open(bytes.NewReader(b), int64(len(b)), container.Limits{})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// list shows what was read.
func list(b []byte, c *container.Container) []string {
	var out []string
	for _, e := range c.Entries {
		s := fmt.Sprintf("%s|%s|%d hidden", e.Name, b[e.Offset:e.Offset+e.Size], e.Hidden.Count)
		for _, f := range e.Fields {
			s += "|" + strings.TrimPrefix(f.Name, "cpio.") + "=" + f.Value
		}
		out = append(out, s)
	}
	for _, f := range c.Fields {
		out = append(out, f.Name+"="+f.Value)
	}
	return append(out, fmt.Sprintf("%s, %d hidden", c.Kind, c.Hidden.Count))
}

func TestOpen(t *testing.T) {
	file := part{name: "bin/tool", content: "hello", mode: 0o104755, uid: 1000, gid: 100, links: 1, mtime: 1700000000, inode: 7, device: 8}
	link := part{name: "bin/alias", content: "tool", mode: 0o120777, links: 1}
	node := part{name: "dev/null", mode: 0o020666, special: 1<<8 | 3, links: 1}
	for _, c := range []struct {
		name string
		in   []byte
		want []string
	}{
		{"new", newc(newMagic, file, link, node), []string{
			"bin/tool|hello|0 hidden|mode=104755 -rwxr-xr-x file|uid=1000|gid=100|mtime=2023-11-14T22:13:20Z|nlink=1|inode=7 on 8,0",
			`bin/alias||0 hidden|mode=120777 -rwxrwxrwx symbolic link|target="tool"|uid=0|gid=0|mtime=1970-01-01T00:00:00Z|nlink=1|inode=0 on 0,0`,
			"dev/null||0 hidden|mode=020666 -rw-rw-rw- character device|uid=0|gid=0|mtime=1970-01-01T00:00:00Z|nlink=1|inode=0 on 0,0|device=1,3",
			"cpio.format=070701", "cpio.digits=lower case", "cpio.padding=0 zeros", "cpio.trailer=", "cpio archive (new, 070701), 0 hidden"}},
		{"sums", newc(sumMagic, file), []string{
			"bin/tool|hello|0 hidden|mode=104755 -rwxr-xr-x file|uid=1000|gid=100|mtime=2023-11-14T22:13:20Z|nlink=1|inode=7 on 8,0",
			"cpio.format=070702", "cpio.digits=lower case", "cpio.padding=0 zeros", "cpio.trailer=", "cpio archive (new with sums, 070702), 0 hidden"}},
		{"odc", append(odc(file, node), 0, 0, 0), []string{
			"bin/tool|hello|0 hidden|mode=104755 -rwxr-xr-x file|uid=1000|gid=100|mtime=2023-11-14T22:13:20Z|nlink=1|inode=7 on 10",
			"dev/null||0 hidden|mode=020666 -rw-rw-rw- character device|uid=0|gid=0|mtime=1970-01-01T00:00:00Z|nlink=1|inode=0 on 0|device=403",
			"cpio.format=070707", "cpio.digits=", "cpio.padding=3 zeros", "cpio.trailer=", "cpio archive (odc, 070707), 0 hidden"}},
		{"empty", newc(newMagic), []string{"cpio.format=070701", "cpio.digits=lower case", "cpio.padding=0 zeros", "cpio.trailer=", "cpio archive (new, 070701), 0 hidden"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			if !Is(c.in[:min(len(c.in), 512)]) {
				t.Error("not recognised")
			}
			if diff := cmp.Diff(c.want, list(c.in, open(t, c.in))); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// weights returns the fields that differ, with their weights.
func weights(a, b *container.Container) map[string]container.Weight {
	out := map[string]container.Weight{}
	note := func(x, y []container.Field) {
		for _, f := range x {
			if i := slices.IndexFunc(y, func(g container.Field) bool { return g.Name == f.Name }); i < 0 || y[i].Value != f.Value {
				out[f.Name] = max(out[f.Name], f.Weight)
			}
		}
	}
	note(a.Fields, b.Fields)
	note(b.Fields, a.Fields)
	for i := range min(len(a.Entries), len(b.Entries)) {
		note(a.Entries[i].Fields, b.Entries[i].Fields)
		note(b.Entries[i].Fields, a.Entries[i].Fields)
		if a.Entries[i].Hidden != b.Entries[i].Hidden {
			out["hidden of member"] = container.Meaning
		}
		if a.Entries[i].Name != b.Entries[i].Name {
			out["name"] = container.Meaning
		}
	}
	if a.Hidden != b.Hidden {
		out["hidden"] = container.Meaning
	}
	return out
}

func TestPlantedDifferences(t *testing.T) {
	base := part{name: "a", content: "aaaaa", links: 1}
	plain := newc(newMagic, base)
	other := func(change func(*part)) []byte {
		p := base
		change(&p)
		return newc(newMagic, p)
	}
	const x = container.Meaning
	for name, c := range map[string]struct {
		in   []byte
		want map[string]container.Weight
	}{
		"setuid":            {other(func(p *part) { p.mode = 0o104644 }), map[string]container.Weight{"cpio.mode": x}},
		"type":              {other(func(p *part) { p.mode = 0o010644 }), map[string]container.Weight{"cpio.mode": x}},
		"owner":             {other(func(p *part) { p.uid, p.gid = 1, 2 }), map[string]container.Weight{"cpio.uid": 1, "cpio.gid": 1}},
		"time":              {other(func(p *part) { p.mtime = 5 }), map[string]container.Weight{"cpio.mtime": 1}},
		"place on the disk": {other(func(p *part) { p.inode, p.device, p.links = 1, 2, 3 }), map[string]container.Weight{"cpio.inode": 0, "cpio.nlink": 0}},
		"device of a file":  {other(func(p *part) { p.special = 5 }), map[string]container.Weight{"cpio.device": 0}},
		"unread sum":        {other(func(p *part) { p.check = 5 }), map[string]container.Weight{"cpio.check": x}},
		"behind the name":   {other(func(p *part) { p.behindName = "hid" }), map[string]container.Weight{"hidden of member": x}},
		"zeros behind the name": {other(func(p *part) { p.behindName = "\x00\x00\x00\x00" }),
			map[string]container.Weight{}},
		"padding of the content": {other(func(p *part) { p.pad2 = "\x00\x01" }), map[string]container.Weight{"hidden of member": x}},
		"behind the end":         {append(slices.Clone(plain), "\x00\x00hidden"...), map[string]container.Weight{"hidden": x, "cpio.padding": 0}},
		"zeros behind the end":   {append(slices.Clone(plain), 0, 0), map[string]container.Weight{"cpio.padding": 0}},
		"case": {other(func(p *part) { p.upper, p.nameSize = true, 2 }),
			map[string]container.Weight{"cpio.digits": 0}},
		"trailer": {bytes.Replace(plain, []byte("00000001000000000000000000000000000000000000000000000000"), []byte("00000001000000070000000000000000000000000000000000000000"), 2),
			map[string]container.Weight{"cpio.trailer": x}},
	} {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(c.want, weights(open(t, plain), open(t, c.in))); diff != "" {
				t.Error(diff)
			}
		})
	}
	a := newc(newMagic, part{name: "l", content: "one", mode: 0o120777})
	b := newc(newMagic, part{name: "l", content: "two", mode: 0o120777})
	if diff := cmp.Diff(map[string]container.Weight{"cpio.target": x}, weights(open(t, a), open(t, b))); diff != "" {
		t.Error(diff)
	}
}

func TestFilesWithSeveralNames(t *testing.T) {
	at := func(name, content string, inode uint32) part {
		return part{name: name, content: content, links: 2, inode: inode}
	}
	in := newc(newMagic, at("b", "", 1), at("c", "one", 1), at("d", "two", 2), at("e", "", 2))
	c := open(t, in)
	var got []string
	for _, e := range c.Entries {
		s := e.Name + " " + string(in[e.Offset:e.Offset+e.Size])
		for _, f := range e.Fields[6:] {
			s += ", " + f.Value
		}
		got = append(got, s)
	}
	want := []string{`b one, the same file as "b", stands with another name`, `c one, the same file as "b"`,
		`d two, the same file as "d"`, `e two, the same file as "d", stands with another name`}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	other := newc(newMagic, at("b", "", 1), at("c", "one", 1), at("d", "two", 2), at("e", "two", 3))
	if w := weights(c, open(t, other)); w["cpio.links"] != container.Meaning {
		t.Errorf("a link that became a copy: %v", w)
	}
	l := container.Limits{Content: 11}
	if _, err := Open(bytes.NewReader(in), int64(len(in)), l); err == nil || !strings.Contains(err.Error(), "more than 11 bytes") {
		t.Errorf("content that is counted twice: error %v", err)
	}
}

func TestFaults(t *testing.T) {
	good := newc(newMagic, part{name: "a", content: "aaaaa"})
	for name, c := range map[string]struct {
		in   []byte
		want string
	}{
		"nothing":         {nil, "does not begin"},
		"binary":          {[]byte("\xc7\x71 and so on"), "does not begin"},
		"no trailer":      {newc(newMagic, part{name: "a"})[:112], "without its trailer"},
		"cut header":      {good[:100], "without its trailer"},
		"cut content":     {good[:115], "without its trailer"},
		"no number":       {bytes.Replace(good, []byte("00000005"), []byte("0000000g"), 1), "at byte 54: a header holds no number"},
		"long name":       {newc(newMagic, part{name: "a", nameSize: maxName + 1}), "1 to 65536 are read"},
		"no name":         {newc(newMagic, part{name: "a", nameSize: -1}), "a header holds no number"},
		"endless name":    {newc(newMagic, part{name: "a", nameSize: 1}), "a name has no end"},
		"huge":            {newc(newMagic, part{name: "a", size: 0xfffffff0}), "without its trailer"},
		"wrong sum":       {newc(sumMagic, part{name: "a", content: "aaaaa", check: 1}), "the sum of a member is 000001e5, and should be 00000001"},
		"long target":     {newc(newMagic, part{name: "a", content: strings.Repeat("x", maxName+1), mode: 0o120777}), "up to 65536 are read"},
		"filled trailer":  {newc(newMagic, part{name: trailer, content: "x"}), "the trailer has content"},
		"another format":  {append(good[:116:116], newc(sumMagic)...), "all of an archive begin with the same"},
		"spaces for zero": {bytes.Replace(good, []byte("00000005"), []byte("       5"), 1), "no number"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := Open(bytes.NewReader(c.in), int64(len(c.in)), container.Limits{})
			if !errors.Is(err, container.ErrFormat) || !strings.Contains(err.Error(), c.want) {
				t.Errorf("error %v; want %q", err, c.want)
			}
		})
	}
	broken := errors.New("disk on fire")
	r := NewReader(io.MultiReader(bytes.NewReader(good[:113]), iotest.ErrReader(broken)), container.Limits{})
	_, err := r.Next()
	if err == nil {
		_, err = r.Next()
	}
	if !errors.Is(err, broken) || errors.Is(err, container.ErrFormat) {
		t.Errorf("a broken source: error %v", err)
	}
}

func TestLimits(t *testing.T) {
	in := newc(newMagic, part{name: "a", content: "aaaaa"}, part{name: "b", links: 2})
	for want, l := range map[string]container.Limits{
		"more than 1 members":   {Members: 1},
		"more than 4 bytes lie": {Content: 4},
		"more than 400 bytes":   {Names: 400},
	} {
		if _, err := Open(bytes.NewReader(in), int64(len(in)), l); !errors.Is(err, container.ErrFormat) || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v; want %q", err, want)
		}
	}
}

func TestWhatIsNone(t *testing.T) {
	for _, s := range []string{"", newMagic, "070701 is a magic" + strings.Repeat(" ", 200), odcMagic + strings.Repeat("9", 100), strings.Repeat("0", 200)} {
		if Is([]byte(s)) {
			t.Errorf("%.20q is taken for an archive", s)
		}
	}
}

func TestReaderGivesContent(t *testing.T) {
	in := newc(sumMagic, part{name: "a", content: "first"}, part{name: "b", content: "second"}, part{name: "c", content: "third"})
	r := NewReader(iotest.OneByteReader(bytes.NewReader(in)), container.Limits{})
	var got []string
	for {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		if h.Name == "b" { // its content is skipped
			continue
		}
		b, err := io.ReadAll(r)
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, h.Name+string(b))
	}
	if diff := cmp.Diff([]string{"afirst", "cthird"}, got); diff != "" {
		t.Error(diff)
	}
}

// tree makes a folder to pack.
func tree(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	when := time.Unix(1700000000, 0)
	for _, err := range []error{
		os.WriteFile(filepath.Join(dir, "tool"), []byte("#!/bin/sh\n"), 0o755),
		os.WriteFile(filepath.Join(dir, "data"), []byte("some data"), 0o644),
		os.Link(filepath.Join(dir, "data"), filepath.Join(dir, "other")),
		os.Symlink("tool", filepath.Join(dir, "alias")),
		os.Chmod(filepath.Join(dir, "tool"), 0o755|os.ModeSetuid),
		os.Chtimes(filepath.Join(dir, "tool"), when, when),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func TestArchivesOfOtherPrograms(t *testing.T) {
	dir := tree(t)
	met := false
	for _, program := range []string{"cpio", "bsdcpio"} {
		if _, err := exec.LookPath(program); err != nil {
			continue
		}
		for _, form := range []string{"newc", "crc", "odc"} {
			if program == "bsdcpio" && form == "crc" {
				continue
			}
			met = true
			t.Run(program+" "+form, func(t *testing.T) {
				cmd := exec.Command(program, "-o", "-H", form)
				cmd.Dir, cmd.Stdin = dir, strings.NewReader("tool\ndata\nother\nalias\n")
				in, err := cmd.Output()
				if err != nil {
					t.Skipf("%s cannot write %s: %v", program, form, err)
				}
				c := open(t, in)
				got := map[string]string{}
				for _, e := range c.Entries {
					got[e.Name] = string(in[e.Offset : e.Offset+e.Size])
					for _, f := range e.Fields {
						switch f.Name {
						case "cpio.mode", "cpio.target", "cpio.links", "cpio.check":
							got[e.Name] += "|" + f.Value
						}
					}
				}
				want := map[string]string{"tool": "#!/bin/sh\n|104755 -rwxr-xr-x file", "data": `some data|100644 -rw-r--r-- file|the same file as "data"`,
					"other": `some data|100644 -rw-r--r-- file|the same file as "data"`, "alias": `|120777 -rwxrwxrwx symbolic link|"tool"`}
				if diff := cmp.Diff(want, got); diff != "" {
					t.Error(diff)
				}
				if last := c.Fields[len(c.Fields)-1]; last.Value != "" || c.Hidden.Count != 0 {
					t.Errorf("%v, %d hidden", last, c.Hidden.Count)
				}
			})
		}
	}
	if !met {
		t.Skip("no cpio here: install GNU cpio or bsdcpio to read what they write")
	}
}

func FuzzOpen(f *testing.F) {
	f.Add(newc(newMagic, part{name: "a", content: "aaaaa"}, part{name: "l", content: "a", mode: 0o120777}))
	f.Add(newc(sumMagic, part{name: "a", content: "aaaaa", links: 2}, part{name: "b", links: 2}))
	f.Add(odc(part{name: "a", content: "aaaaa"}, part{name: "n", mode: 0o020666, special: 5}))
	f.Add(append(newc(newMagic), "\x00\x00behind"...))
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
			if e.Offset < 0 || e.Size < 0 || e.Offset+e.Size > int64(len(b)) {
				t.Errorf("%q lies outside: %+v", e.Name, e)
			}
		}
	})
}

func BenchmarkOpen(b *testing.B) {
	var parts []part
	for range 1000 {
		parts = append(parts, part{name: "usr/share/some/file", content: strings.Repeat("x", 10_000), links: 1})
	}
	in := newc(newMagic, parts...)
	b.SetBytes(int64(len(in)))
	for b.Loop() {
		if _, err := Open(bytes.NewReader(in), int64(len(in)), container.Limits{}); err != nil {
			b.Fatal(err)
		}
	}
}
