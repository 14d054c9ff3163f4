// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

package packaging

import (
	"archive/tar"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/zfarm/zfarm/attest/digest"
	"github.com/zfarm/zfarm/orchestrator/compare/format/compress"
	"github.com/zfarm/zfarm/orchestrator/compare/format/pax"
)

// update rewrites the golden files.
func update() bool { return flag.Lookup("update").Value.String() == "true" }

func TestMain(m *testing.M) {
	flag.Bool("update", false, "write the golden files anew")
	flag.Parse()
	os.Exit(m.Run())
}

func spec(t testing.TB) Spec {
	return Spec{
		Port: "gzip", Version: "1.12", Summary: "Compress files", Licence: "GPL-3.0-or-later", Homepage: "https://www.gnu.org/software/gzip/",
		Categories: []string{"compression", "core"}, Prefix: "/opt/zfarm/gzip/1.12", Epoch: time.Unix(1649376000, 0), Recipe: digest.Of([]byte("recipe")),
		Sources:    []Source{{"https://ftp.gnu.org/gnu/gzip/gzip-1.12.tar.xz", digest.Of([]byte("source"))}},
		BuildNeeds: []Need{{"make", "4.4", digest.Of([]byte("make"))}, {"coreutils", "9.1", digest.Of([]byte("coreutils"))}},
		System:     "OS/390", Temp: t.TempDir(),
	}
}

// item is one member of a staged folder.
type item struct {
	tar.Header
	body string
}

const below = "./opt/zfarm/gzip/1.12/"

func file(name, body string) item {
	return item{tar.Header{Name: name, Typeflag: tar.TypeReg, Mode: 0o644, Format: tar.FormatPAX}, body}
}

func dir(name string) item {
	return item{Header: tar.Header{Name: name, Typeflag: tar.TypeDir, Mode: 0o755, Format: tar.FormatPAX}}
}

func (i item) with(change func(h *tar.Header)) item {
	change(&i.Header)
	return i
}

func (i item) records(kv ...string) item {
	i.PAXRecords = map[string]string{}
	for n := 0; n < len(kv); n += 2 {
		i.PAXRecords[kv[n]] = kv[n+1]
	}
	return i
}

func link(name, target string, kind byte) item {
	return item{Header: tar.Header{Name: name, Typeflag: kind, Linkname: target, Mode: 0o777, Format: tar.FormatPAX}}
}

// parents are the folders above the prefix, and the prefix.
func parents() []item {
	return []item{dir("./"), dir("./opt/"), dir("./opt/zfarm/"), dir("./opt/zfarm/gzip/"), dir(below)}
}

// sample is a staged folder with a member of every kind.
func sample() []item {
	return append(parents(),
		dir(below+"bin/"),
		file(below+"bin/gzip", "\x00ELF /opt/zfarm/gzip/1.12/lib").with(func(h *tar.Header) { h.Mode = 0o4755 }).records("ZOS.extattr", "a-s-", "ZOS.useraudit", "fff"),
		file(below+"bin/zcat", "#!/bin/sh\nexec /opt/zfarm/gzip/1.12/bin/gzip -dc\n").with(func(h *tar.Header) { h.Mode = 0o755 }).records("ZOS.taginfo", "1 819"),
		link(below+"bin/gunzip", below+"bin/gzip", tar.TypeLink),
		link(below+"bin/uncompress", "gunzip", tar.TypeSymlink),
		link(below+"bin/absolute", "/opt/zfarm/gzip/1.12/bin/gzip", tar.TypeSymlink),
		link(below+"bin/sh", "../../../../../bin/sh", tar.TypeSymlink),
		dir(below+"share/"), dir(below+"share/man/"), dir(below+"share/man/man1/"),
		file(below+"share/man/man1/gzip.1", "manual\n"),
		file(below+"share/info.txt", "about\n"),
	)
}

func raw(t testing.TB, items ...item) []byte {
	t.Helper()
	var out bytes.Buffer
	w := tar.NewWriter(&out)
	for _, i := range items {
		h := i.Header
		h.Size = int64(len(i.body))
		if err := w.WriteHeader(&h); err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(w, i.body); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func packed(t testing.TB, s Spec, in []byte) ([]byte, Info) {
	t.Helper()
	var out bytes.Buffer
	info, err := Write(t.Context(), bytes.NewReader(in), &out, s)
	if err != nil {
		t.Fatal(err)
	}
	return out.Bytes(), info
}

// listing reads a package: it returns one line for each member, and the contents by
// name.
func listing(t testing.TB, b []byte) ([]string, map[string]string) {
	t.Helper()
	z, err := compress.NewReader(bytes.NewReader(b))
	if err != nil {
		t.Fatal(err)
	}
	r := pax.NewReader(z)
	var lines []string
	contents := map[string]string{}
	for {
		m, err := r.Next()
		if errors.Is(err, io.EOF) {
			return lines, contents
		}
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(r)
		if err != nil {
			t.Fatal(err)
		}
		contents[m.Name] = string(body)
		if m.UID != 0 || m.GID != 0 || m.Uname+m.Gname != "" || m.ModTime.Unix() != 1649376000 {
			t.Errorf("%s belongs to %d %d %q %q and is of %s", m.Name, m.UID, m.GID, m.Uname, m.Gname, m.ModTime)
		}
		line := fmt.Sprintf("%s %04o %s", m.Type, m.Mode, m.Name)
		if m.Link != "" {
			line += " -> " + m.Link
		}
		for _, r := range m.Records {
			line += " " + r.Key + "=" + r.Value
		}
		lines = append(lines, line)
	}
}

func TestPackage(t *testing.T) {
	b, info := packed(t, spec(t), raw(t, sample()...))
	lines, contents := listing(t, b)
	golden(t, "members.txt", strings.Join(lines, "\n")+"\n")
	golden(t, "metadata.json", contents["gzip-1.12/metadata.json"])
	golden(t, "env", contents["gzip-1.12/.env"])
	golden(t, "setup.sh", contents["gzip-1.12/setup.sh"])
	if info.Digest != digest.Of(b) || info.Bytes != int64(len(b)) || info.Members != len(lines) {
		t.Errorf("info %+v of %d bytes and %d members", info, len(b), len(lines))
	}
	z, err := compress.NewReader(bytes.NewReader(b))
	if err != nil {
		t.Fatal(err)
	}
	if d, n, err := digest.OfReader(z); err != nil || d != info.PaxDigest || n != info.PaxBytes {
		t.Errorf("the archive is %s of %d bytes, %v; info says %s of %d", d.Short(), n, err, info.PaxDigest.Short(), info.PaxBytes)
	}
	if d := cmp.Diff([]string{"ZOS.useraudit of 2 members"}, info.Dropped); d != "" {
		t.Errorf("dropped: -want +got:\n%s", d)
	}
	if d := cmp.Diff([]Link{{"bin/sh", "../../../../../bin/sh"}}, info.Outside); d != "" {
		t.Errorf("outside: -want +got:\n%s", d)
	}
	outer, err := Metadata(spec(t), info, Tests{Total: 20, Passed: 19})
	if err != nil {
		t.Fatal(err)
	}
	golden(t, "outer.json", string(outer))
}

func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if update() {
		if err := errors.Join(os.MkdirAll("testdata", 0o755), os.WriteFile(path, []byte(got), 0o644)); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatalf("%v; write it with -update", err)
	}
	if d := cmp.Diff(string(want), got); d != "" {
		t.Errorf("%s: -want +got:\n%s", name, d)
	}
}

// TestSameTreeSamePackage changes what must not matter: order (a hard link moves
// with its file), times, owners.
func TestSameTreeSamePackage(t *testing.T) {
	want, _ := packed(t, spec(t), raw(t, sample()...))
	r := rand.New(rand.NewPCG(4, 4))
	for range 50 {
		items := sample()
		r.Shuffle(len(items), func(i, j int) { items[i], items[j] = items[j], items[i] })
		at := slices.IndexFunc(items, func(i item) bool { return i.Name == below+"bin/gzip" })
		to := slices.IndexFunc(items, func(i item) bool { return i.Name == below+"bin/gunzip" })
		if to < at {
			// The first name is the file, later ones are links.
			items[to], items[at] = items[at].with(func(h *tar.Header) { h.Name = below + "bin/gunzip" }),
				link(below+"bin/gzip", below+"bin/gunzip", tar.TypeLink)
		}
		for i := range items {
			items[i].ModTime = time.Unix(r.Int64N(2e9), r.Int64N(1e9))
			items[i].Uid, items[i].Gname = r.IntN(5000), "GROUP"
		}
		if got, _ := packed(t, spec(t), raw(t, items...)); !bytes.Equal(got, want) {
			t.Fatal("the package depends on order, times or owners")
		}
	}
}

// TestSameTreeFromTar packs one tree on disk with GNU tar in several ways.
func TestSameTreeFromTar(t *testing.T) {
	program, err := exec.LookPath("tar")
	if err != nil {
		t.Skip("no tar here: install GNU tar to pack trees with it")
	}
	root := t.TempDir()
	prefix := filepath.Join(root, "opt/zfarm/gzip/1.12")
	for _, name := range []string{"bin/b", "bin/a", "lib/c", "share/deep/er/d", "z"} {
		p := filepath.Join(prefix, name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(p), 0o755), os.WriteFile(p, []byte(name), 0o644)); err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(os.Link(filepath.Join(prefix, "z"), filepath.Join(prefix, "bin/hard")), os.Symlink("a", filepath.Join(prefix, "bin/soft")),
		os.Chmod(filepath.Join(prefix, "bin/a"), 0o755|os.ModeSetuid)); err != nil {
		t.Fatal(err)
	}
	var want []byte
	for i, args := range [][]string{
		{"--sort=name", "."}, {"--sort=none", "."}, {"--sort=name", "--format=gnu", "."}, {"--mtime=@5", "--owner=x:7", "."},
		{"./opt/zfarm/gzip/1.12/z", "./opt/zfarm/gzip/1.12/share", "./opt/zfarm/gzip/1.12/lib", "./opt/zfarm/gzip/1.12/bin"},
	} {
		b, err := exec.Command(program, append([]string{"--format=pax", "-C", root, "-cf", "-"}, args...)...).Output()
		if err != nil {
			t.Skipf("tar %s: %v: GNU tar is needed", strings.Join(args, " "), err)
		}
		got, _ := packed(t, spec(t), b)
		if i == 0 {
			want = got
		}
		if !bytes.Equal(got, want) {
			t.Errorf("tar %s makes another package", strings.Join(args, " "))
		}
	}
}

func TestOthersUnpack(t *testing.T) {
	for _, name := range []string{"uncompress", "tar", "sh"} {
		if _, err := exec.LookPath(name); err != nil {
			t.Skipf("no %s here: install ncompress, tar and a shell to unpack with", name)
		}
	}
	b, _ := packed(t, spec(t), raw(t, sample()...))
	into := t.TempDir()
	cmd := exec.Command("sh", "-c", "uncompress -c | tar -xf -")
	cmd.Dir, cmd.Stdin = into, bytes.NewReader(b)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	home := filepath.Join(into, "gzip-1.12")
	shell := func(script string) string {
		cmd := exec.Command("sh", "-euc", script)
		cmd.Dir = home
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("%s: %v: %s", script, err, out)
		}
		return string(out)
	}
	if got := shell(". ./.env; printf %s \"$PATH\""); !strings.HasPrefix(got, home+"/bin:") {
		t.Errorf("PATH is %s", got)
	}
	for range 2 { // a second run must change nothing more
		shell("./setup.sh")
		if got, err := os.ReadFile(filepath.Join(home, "bin/zcat")); err != nil || string(got) != "#!/bin/sh\nexec "+home+"/bin/gzip -dc\n" {
			t.Errorf("bin/zcat is %q, %v", got, err)
		}
	}
	if got, err := os.ReadFile(filepath.Join(home, "bin/gzip")); err != nil || !strings.Contains(string(got), "/opt/zfarm/gzip/1.12/lib") {
		t.Errorf("the binary was changed: %q, %v", got, err)
	}
}

// TestSetupScript runs setup.sh with prefixes and folders that are difficult for
// sed.
func TestSetupScript(t *testing.T) {
	if _, err := exec.LookPath("sh"); err != nil {
		t.Skip("no sh here: install a POSIX shell")
	}
	for _, prefix := range []string{"/opt/a.b/[x]*", "/opt/it's $HOME|&"} {
		home := filepath.Join(t.TempDir(), `with & | \ and space`)
		text := "use " + prefix + "/bin\n" + prefix + "\n" + prefix + "2/bin " + prefix + ":" + prefix + "\n"
		s := spec(t)
		s.Prefix = prefix
		if err := errors.Join(os.MkdirAll(home, 0o755), os.WriteFile(filepath.Join(home, "a file"), []byte(text), 0o444),
			os.WriteFile(filepath.Join(home, "setup.sh"), setupScript(&s, []string{"END", "a file"}), 0o755),
			os.WriteFile(filepath.Join(home, "END"), nil, 0o644)); err != nil {
			t.Fatal(err)
		}
		if out, err := exec.Command("sh", filepath.Join(home, "setup.sh")).CombinedOutput(); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		want := "use " + home + "/bin\n" + home + "\n" + prefix + "2/bin " + home + ":" + home + "\n"
		got, err := os.ReadFile(filepath.Join(home, "a file"))
		if d := cmp.Diff(want, string(got)); d != "" || err != nil {
			t.Errorf("%s: %v -want +got:\n%s", prefix, err, d)
		}
		if left, err := os.ReadDir(home); len(left) != 3 {
			t.Errorf("left behind: %v, %v", left, err)
		}
	}
}

func TestScriptsPassShellcheck(t *testing.T) {
	program, err := exec.LookPath("shellcheck")
	if err != nil {
		t.Skip("no shellcheck here: install it to check the scripts of packages")
	}
	s := spec(t)
	for name, text := range map[string][]byte{"env": envScript(&s), "setup": setupScript(&s, []string{"a"}), "empty setup": setupScript(&s, nil)} {
		cmd := exec.Command(program, "-s", "sh", "-")
		cmd.Stdin = bytes.NewReader(text)
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Errorf("%s: %s", name, out)
		}
	}
}

func TestOwnFilesOfThePort(t *testing.T) {
	b, _ := packed(t, spec(t), raw(t, file(below+".env", "mine\n"), file(below+"setup.sh", "also mine\n")))
	_, contents := listing(t, b)
	if contents["gzip-1.12/.env"] != "mine\n" || contents["gzip-1.12/setup.sh"] != "also mine\n" {
		t.Errorf("the port's own files are gone: %q", contents)
	}
}

func TestGlobs(t *testing.T) {
	for _, c := range []struct {
		include, exclude []string
		want             []string
	}{
		{nil, nil, []string{"bin", "bin/absolute", "bin/gunzip", "bin/gzip", "bin/sh", "bin/uncompress", "bin/zcat", "share", "share/info.txt", "share/man", "share/man/man1", "share/man/man1/gzip.1"}},
		{[]string{"bin/g*"}, nil, []string{"bin", "bin/gunzip", "bin/gzip"}},
		{[]string{"bin/gzip"}, nil, []string{"bin", "bin/gzip"}},
		{[]string{"**"}, []string{"share/man/**", "bin/**"}, []string{"share", "share/info.txt"}},
		{[]string{"**/*.1"}, nil, []string{"share", "share/man", "share/man/man1", "share/man/man1/gzip.1"}},
	} {
		s := spec(t)
		s.Include, s.Exclude = c.include, c.exclude
		b, _ := packed(t, s, raw(t, sample()...))
		lines, _ := listing(t, b)
		var got []string
		for _, line := range lines {
			_, name, found := strings.Cut(line, "gzip-1.12")
			if !found {
				t.Fatalf("%q is not below gzip-1.12", line)
			}
			name, _, _ = strings.Cut(name, " ")
			name = strings.Trim(name, "/")
			if name != "" && name != ".env" && name != "setup.sh" && name != "metadata.json" {
				got = append(got, name)
			}
		}
		if d := cmp.Diff(c.want, got); d != "" {
			t.Errorf("%v without %v: -want +got:\n%s", c.include, c.exclude, d)
		}
	}
}

func TestMatches(t *testing.T) {
	for _, c := range []struct {
		glob, name string
		want       bool
	}{
		{"**", "a", true}, {"**", "a/b/c", true}, {"a/**", "a", true}, {"a/**", "a/b", true}, {"a/**", "ab", false}, {"**/c", "c", true},
		{"**/c", "a/b/c", true}, {"a/**/c", "a/c", true}, {"a/**/c", "a/x/y/c", true}, {"a/*/c", "a/x/y/c", false}, {"*", "a/b", false}, {"a?", "ab", true},
	} {
		if got := matchesAny([]string{c.glob}, c.name); got != c.want {
			t.Errorf("%q on %q: %v", c.glob, c.name, got)
		}
	}
}

func TestRefused(t *testing.T) {
	fine := file(below+"bin/x", "x")
	for _, c := range []struct {
		name  string
		items []item
		want  string
	}{
		{"..", []item{file("../etc/passwd", "x")}, "leaves the staged folder"},
		{".. within", []item{file("./opt/../../etc", "x")}, "leaves the staged folder"},
		{"absolute", []item{file("/etc/passwd", "x")}, "leaves the staged folder"},
		{"not clean", []item{file("./opt//x", "x")}, "not clean"},
		{"newline", []item{file(below+"a\nb", "x")}, "not plain"},
		{"escape", []item{file(below+"a\x1b[2J", "x")}, "not plain"},
		{"outside", []item{fine, file("./etc/conf", "x"), dir("./var/"), file("./opt/zfarm/gzip/1.120", "x")}, `3 staged outside of the prefix /opt/zfarm/gzip/1.12: "/etc/conf", "/opt/zfarm/gzip/1.120", "/var"`},
		{"prefix is a link", []item{link("./opt/zfarm/gzip/1.12", "/", tar.TypeSymlink)}, "outside of the prefix"},
		{"above the prefix is a link", []item{link("./opt", "/tmp", tar.TypeSymlink), fine}, "lies below"},
		{"below a link", []item{link(below+"d", "/etc", tar.TypeSymlink), file(below+"d/passwd", "x")}, "symbolic link"},
		{"below a link that comes later", []item{file(below+"d/passwd", "x"), link(below+"d", "/etc", tar.TypeSymlink)}, "symbolic link"},
		{"below a file", []item{file(below+"d", "x"), file(below+"d/e", "x")}, "which is a file"},
		{"twice", []item{fine, fine}, "staged twice"},
		{"twice in two spellings", []item{fine, file(below[2:]+"bin/x", "y")}, "staged twice"},
		{"device", []item{{Header: tar.Header{Name: below + "null", Typeflag: tar.TypeChar, Devmajor: 1, Devminor: 3}}}, "character device"},
		{"pipe", []item{{Header: tar.Header{Name: below + "p", Typeflag: tar.TypeFifo}}}, "named pipe"},
		{"hard link to nothing", []item{link(below+"l", below+"gone", tar.TypeLink)}, "not a file staged before it"},
		{"hard link to itself", []item{link(below+"l", below+"l", tar.TypeLink)}, "not a file staged before it"},
		{"hard link out", []item{link(below+"l", "/etc/passwd", tar.TypeLink)}, "leaves the staged folder"},
		{"hard link to a link", []item{link(below+"s", "/etc/passwd", tar.TypeSymlink), link(below+"l", below+"s", tar.TypeLink)}, "not a file staged before it"},
		{"nothing", parents(), "nothing is staged"},
		{"own metadata", []item{fine, file(below+"metadata.json", "{}")}, "belongs to the farm"},
		{"own work file", []item{fine, link(below+".zfarm-setup", "/etc/passwd", tar.TypeSymlink)}, "belongs to the farm"},
		{"own metadata as a folder", []item{fine, file(below+"metadata.json/x", "{}")}, "belongs to the farm"},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := Write(t.Context(), bytes.NewReader(raw(t, c.items...)), io.Discard, spec(t))
			if !errors.Is(err, ErrRefused) || !strings.Contains(err.Error(), c.want) {
				t.Errorf("error %v; want ErrRefused with %q", err, c.want)
			}
		})
	}
}

func TestOutsideIsListedUpToTen(t *testing.T) {
	var items []item
	for i := range 30 {
		items = append(items, file(fmt.Sprintf("./etc/%02d", i), "x"))
	}
	_, err := Write(t.Context(), bytes.NewReader(raw(t, items...)), io.Discard, spec(t))
	if err == nil || !strings.Contains(err.Error(), "30 staged outside") || strings.Count(err.Error(), "/etc/") != 10 {
		t.Errorf("error %v", err)
	}
}

func TestDamagedArchiveIsRefused(t *testing.T) {
	b := raw(t, sample()...)
	for _, n := range []int{0, 100, len(b) / 2} {
		if _, err := Write(t.Context(), bytes.NewReader(b[:n]), io.Discard, spec(t)); !errors.Is(err, ErrRefused) {
			t.Errorf("cut to %d bytes: %v", n, err)
		}
	}
}

func TestBounds(t *testing.T) {
	b := raw(t, sample()...)
	for _, change := range []func(*Spec){func(s *Spec) { s.MaxMembers = 3 }, func(s *Spec) { s.MaxBytes = 20 }} {
		s := spec(t)
		change(&s)
		if _, err := Write(t.Context(), bytes.NewReader(b), io.Discard, s); !errors.Is(err, ErrRefused) {
			t.Errorf("error %v", err)
		}
	}
}

func TestErrorsOfOthersAreNotRefusals(t *testing.T) {
	lost := errors.New("lost")
	b := raw(t, sample()...)
	for name, write := range map[string]func() error{
		"reading": func() error {
			_, err := Write(t.Context(), io.MultiReader(bytes.NewReader(b[:3000]), iotest.ErrReader(lost)), io.Discard, spec(t))
			return err
		},
		"writing": func() error {
			_, err := Write(t.Context(), bytes.NewReader(b), failing{lost}, spec(t))
			return err
		},
	} {
		if err := write(); !errors.Is(err, lost) || errors.Is(err, ErrRefused) {
			t.Errorf("%s: %v", name, err)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := Write(ctx, bytes.NewReader(b), io.Discard, spec(t)); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
}

type failing struct{ err error }

func (f failing) Write([]byte) (int, error) { return 0, f.err }

func TestSpecIsChecked(t *testing.T) {
	for name, change := range map[string]func(*Spec){
		"port":          func(s *Spec) { s.Port = "../x" },
		"version":       func(s *Spec) { s.Version = "" },
		"prefix":        func(s *Spec) { s.Prefix = "/" },
		"prefix clean":  func(s *Spec) { s.Prefix = "/opt/" },
		"epoch":         func(s *Spec) { s.Epoch = time.Time{} },
		"glob":          func(s *Spec) { s.Include = []string{"../x"} },
		"glob stars":    func(s *Spec) { s.Exclude = []string{"a**"} },
		"glob brackets": func(s *Spec) { s.Exclude = []string{"[a"} },
		"many stars":    func(s *Spec) { s.Exclude = []string{"**/**/**/**/**"} },
	} {
		s := spec(t)
		change(&s)
		if _, err := Write(t.Context(), bytes.NewReader(raw(t, sample()...)), io.Discard, s); err == nil {
			t.Errorf("%s was taken", name)
		}
	}
}

func TestNothingIsLeftInTemp(t *testing.T) {
	s := spec(t)
	packed(t, s, raw(t, sample()...))
	left, err := os.ReadDir(s.Temp)
	if err != nil || len(left) > 0 {
		t.Errorf("%d files left, %v", len(left), err)
	}
}

func TestHiddenBytesAreToldAsDropped(t *testing.T) {
	b := append(raw(t, file(below+"x", "x")), []byte("hidden")...)
	b[512+100] = 'h'
	out, info := packed(t, spec(t), b)
	if d := cmp.Diff([]string{"bytes behind the end of the archive of 1 member", "bytes in headers or padding of 1 member"}, info.Dropped); d != "" {
		t.Errorf("-want +got:\n%s", d)
	}
	if clean, _ := packed(t, spec(t), raw(t, file(below+"x", "x"))); !bytes.Equal(clean, out) {
		t.Error("hidden bytes found their way into the package")
	}
}

func TestProbeFindsAcrossWrites(t *testing.T) {
	const prefix = "/opt/zfarm/gzip"
	text := "before " + prefix + " after"
	for size := 1; size < len(text); size++ {
		p := newProbe(prefix, "")
		for at := 0; at < len(text); at += size {
			if _, err := p.Write([]byte(text[at:min(at+size, len(text))])); err != nil {
				t.Fatal(err)
			}
		}
		if !p.named() {
			t.Errorf("in pieces of %d bytes: not found", size)
		}
	}
}

func TestFileName(t *testing.T) {
	for system, want := range map[string]string{"OS/390": "gzip-1.12.zos.pax.Z", "Linux": "gzip-1.12.linux.pax.Z", "": "gzip-1.12.unknown.pax.Z", "../x": "gzip-1.12.---x.pax.Z"} {
		if got := FileName("gzip", "1.12", system); got != want {
			t.Errorf("%q: %s; want %s", system, got, want)
		}
	}
}

// FuzzWrite checks for any raw archive that the resulting package can be read, has
// nothing outside its folder, and has no name twice.
func FuzzWrite(f *testing.F) {
	f.Add(raw(f, sample()...))
	f.Add(raw(f, file(below+"a", "x"), link(below+"b", below+"a", tar.TypeLink)))
	f.Fuzz(func(t *testing.T, in []byte) {
		var out bytes.Buffer
		if _, err := Write(t.Context(), bytes.NewReader(in), &out, spec(t)); err != nil {
			if !errors.Is(err, ErrRefused) {
				t.Errorf("error %v does not wrap ErrRefused", err)
			}
			return
		}
		lines, contents := listing(t, out.Bytes())
		if len(lines) != len(contents) {
			t.Errorf("%d members with %d names", len(lines), len(contents))
		}
		for name := range contents {
			if !strings.HasPrefix(name, "gzip-1.12/") || strings.Contains(name, "/../") {
				t.Errorf("member %q", name)
			}
		}
		if !json.Valid([]byte(contents["gzip-1.12/metadata.json"])) {
			t.Error("metadata.json is not JSON")
		}
	})
}

func BenchmarkWrite(b *testing.B) {
	var items []item
	for i := range 500 {
		items = append(items, file(fmt.Sprint(below, "f", i), strings.Repeat(fmt.Sprintf("line %d\n", i), 4000)))
	}
	in := raw(b, items...)
	b.SetBytes(int64(len(in)))
	for b.Loop() {
		if _, err := Write(b.Context(), bytes.NewReader(in), io.Discard, spec(b)); err != nil {
			b.Fatal(err)
		}
	}
}
