// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

package corpus

import (
	"archive/zip"
	"bytes"
	"compress/gzip"
	"encoding/binary"
	"fmt"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/zfarm/zfarm/attest/digest"
	"github.com/zfarm/zfarm/orchestrator/compare"
)

func octal(n int64) string {
	s := strconv.FormatInt(n, 8)
	return strings.Repeat("0", 6-len(s)) + s
}

// gzipWith compresses a text with a comment in the header.
func gzipWith(t testing.TB, comment string) string {
	t.Helper()
	var out bytes.Buffer
	w := gzip.NewWriter(&out)
	w.Comment = comment
	if _, err := w.Write([]byte("the same")); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.String()
}

// shifted puts bytes before a zip archive, and adjusts the offsets in its records.
func shifted(b []byte, before string) []byte {
	n := uint32(len(before))
	at := bytes.Index(b, []byte("PK\x01\x02"))
	for at >= 0 && string(b[at:at+4]) == "PK\x01\x02" {
		binary.LittleEndian.PutUint32(b[at+42:], binary.LittleEndian.Uint32(b[at+42:])+n)
		le := binary.LittleEndian.Uint16
		at += 46 + int(le(b[at+28:])) + int(le(b[at+30:])) + int(le(b[at+32:]))
	}
	binary.LittleEndian.PutUint32(b[at+16:], binary.LittleEndian.Uint32(b[at+16:])+n)
	return append([]byte(before), b...)
}

// zipOf is a zip archive of members of those names.
func zipOf(t testing.TB, names ...string) string {
	t.Helper()
	var out bytes.Buffer
	w := zip.NewWriter(&out)
	for i, n := range names {
		f, err := w.Create(n)
		if err == nil {
			_, err = fmt.Fprintf(f, "member %d\n", i)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.String()
}

// spec is a package of one file and a script.
const spec = `Name: hello
Version: 1.0
Release: 1
Summary: says hello
License: Apache-2.0
BuildArch: noarch
%description
It says hello.
%install
mkdir -p %{buildroot}/usr/bin
printf '#!/bin/sh\necho WORD\n' >%{buildroot}/usr/bin/hello
chmod MODE %{buildroot}/usr/bin/hello
touch -d @1795359600 %{buildroot}/usr/bin/hello
%post
echo SCRIPT
%files
/usr/bin/hello
`

// packaged builds an RPM on each side. Each change is a word of the spec with its
// replacements in A and in B.
func packaged(build bool, changes ...[3]string) func(w *workshop) (a, b compare.Input) {
	return both(func(s *side) []file {
		text := spec
		for _, c := range append(changes, [3]string{"WORD", "hello", "hello"}, [3]string{"MODE", "0755", "0755"}, [3]string{"SCRIPT", "welcome", "welcome"}) {
			text = strings.ReplaceAll(text, c[0], pick(s, c[1], c[2]))
		}
		s.write("hello.spec", text)
		host, epoch := s.cond.Values["host"], s.at
		if !build {
			host, epoch = "LPARONE", dayA()
		}
		s.run("env", "SOURCE_DATE_EPOCH="+itoa(epoch.Unix()), "rpmbuild", "-bb", "--define", "_topdir "+s.dir, "--define", "_buildhost "+host, "--define", "use_source_date_epoch_as_buildtime 1",
			"--define", "clamp_mtime_to_source_date_epoch 0", "--define", "_build_name_fmt hello.rpm", "--define", "_buildrootdir "+filepath.Dir(s.dir)+"/root", "--nodebuginfo", "hello.spec")
		return []file{reg("hello.rpm", s.read("RPMS/hello.rpm"))}
	})
}

// module compiles a Python module on each side.
func module(source, invalidation, shown string, mtime func(s *side) time.Time) func(w *workshop) (a, b compare.Input) {
	return both(func(s *side) []file {
		s.write("mod.py", source)
		s.touch("mod.py", mtime(s))
		s.run("env", "-u", "SOURCE_DATE_EPOCH", "python3", "-c", `import py_compile, os, sys
py_compile.compile('mod.py', cfile='mod.pyc', dfile=sys.argv[1].replace('BUILD', os.environ['BUILD']), invalidation_mode=py_compile.PycInvalidationMode[sys.argv[2]], doraise=True)`, shown, invalidation)
		return s.took("mod.pyc")
	})
}

func ofBuild(s *side) time.Time { return s.at }
func ofOneDay(*side) time.Time  { return dayA() }

// packages are modules of Python and packages of RPM.
func packages() []pair {
	const source = "LIMIT = 3\ndef limit():\n    return LIMIT\n"
	python, rpm := []string{"python3"}, []string{"rpmbuild"}
	pyc := func(tampering rune, name string, l label, edit func(t testing.TB, b []byte) []byte) pair {
		return pair{name: name, tampering: tampering, tools: python, want: told(l), plant: both(func(s *side) []file {
			s.write("mod.py", source)
			s.run("env", "-u", "SOURCE_DATE_EPOCH", "python3", "-c", "import py_compile; py_compile.compile('mod.py', cfile='mod.pyc', doraise=True)")
			b := []byte(s.read("mod.pyc"))
			if s.b {
				b = edit(s.t, b)
			}
			return []file{reg("lib/mod.pyc", string(b))}
		})}
	}
	return []pair{
		{name: "pyc: the time of the source, which the build wrote", sources: []int{15}, tools: python, plant: module(source, "TIMESTAMP", "mod.py", ofBuild),
			want: masked(compare.Stamp, named("pyc.source.time", mask).reads("2026-11-22", "2026-11-23"))},
		{name: "pyc: the path of the build in its code", sources: []int{15, 8}, tools: python, plant: module(source, "UNCHECKED_HASH", "BUILD/mod.py", ofBuild),
			want: masked(compare.Stamp, named("embedded.build path", "build path is embedded"))},
		{name: "pyc: the time of a source that is older than the build", sources: []int{15}, tools: python,
			plant: module(source, "TIMESTAMP", "mod.py", func(s *side) time.Time { return s.at.AddDate(-1, 0, 0) }), want: told(named("pyc.source.time", "outside"))},
		{name: "pyc: one kept by its time, one by its hash", sources: []int{15}, tools: python,
			plant: both(func(s *side) []file {
				s.write("mod.py", source)
				s.run("env", "-u", "SOURCE_DATE_EPOCH", "python3", "-c", "import py_compile, sys; py_compile.compile('mod.py', cfile='mod.pyc', invalidation_mode=py_compile.PycInvalidationMode[sys.argv[1]], doraise=True)",
					pick(s, "TIMESTAMP", "CHECKED_HASH"))
				return s.took("mod.pyc")
			}),
			want: told(named("pyc.flags", ""))},
		pyc(instruction, "pyc: a constant of the code, beside the time of the source", named("pyc.code", "").in("mod.pyc"), func(t testing.TB, b []byte) []byte {
			return replaced(t, b, 0, "LIMIT", "LIMOT")
		}),
		pyc(otherCompiler, "pyc: another interpreter", named("pyc.magic|content", ""), func(_ testing.TB, b []byte) []byte {
			b[0]++
			return b
		}),
		{name: "RPM: built at another time on another host", sources: []int{16}, tools: rpm, plant: packaged(true),
			want: masked(compare.Header, named("rpm.buildtime", "").in("hello.rpm").reads("2026-11-22", "2026-11-23"))},
		{name: "RPM: the host", sources: []int{16}, tools: rpm, plant: packaged(true), want: masked(compare.Header, named("rpm.buildhost", "").reads("LPARONE", "LPARTWO"))},
		{name: "RPM: a file of the payload changed", tampering: instruction, tools: rpm, plant: packaged(true, [3]string{"WORD", "hello", "hallo"}), want: told(named("content", "").in("/usr/bin/hello"))},
		{name: "RPM: setuid in the payload", tampering: setuid, tools: rpm, plant: packaged(false, [3]string{"MODE", "0755", "4755"}), want: told(named("rpm.filemodes|cpio.mode", ""))},
		{name: "RPM: a script that runs when it is installed", tampering: instruction, tools: rpm, plant: packaged(true, [3]string{"SCRIPT", "welcome", "getroot"}),
			want: told(named("rpm.postin", "").reads("welcome", "getroot"))},
		{name: "RPM: data behind the end", tampering: behindEnd, tools: rpm, want: told(named("hidden|content", "")), plant: func(w *workshop) (a, b compare.Input) {
			return both(func(s *side) []file {
				one, _ := w.sides() // the same package
				f := packagedOnce(one)
				f.body += pick(s, "", "hidden")
				return []file{reg("hello.rpm", f.body)}
			})(w)
		}},
	}
}

// packagedOnce builds the package of one side.
func packagedOnce(s *side) file {
	s.write("hello.spec", strings.NewReplacer("WORD", "hello", "MODE", "0755", "SCRIPT", "welcome").Replace(spec))
	s.run("env", "SOURCE_DATE_EPOCH="+itoa(dayA().Unix()), "rpmbuild", "-bb", "--define", "_topdir "+s.dir, "--define", "_buildhost LPARONE", "--define", "use_source_date_epoch_as_buildtime 1",
		"--define", "_build_name_fmt hello.rpm", "--define", "_buildrootdir "+filepath.Dir(s.dir)+"/root", "hello.spec")
	return file{body: s.read("RPMS/hello.rpm")}
}

// controls are pairs with nothing wrong, and pairs that cannot be compared.
func controls() []pair {
	clean := func(name string, tools []string, plant func(w *workshop) (a, b compare.Input)) pair {
		return pair{name: name, tools: tools, plant: plant, want: same()}
	}
	cut := func(name string, a, b func(s *side) []byte) pair {
		return pair{name: name, plant: each(func(s *side) []byte { return pick(s, a, b)(s) }), want: want{outcome: compare.Incomparable}}
	}
	archive := func(s *side) []byte { return packed(s.t, reg("bin/tool", "some text")) }
	return []pair{
		clean("nothing: the same package twice", nil, both(func(*side) []file { return []file{reg("bin/tool", "x"), symlink("bin/t", "tool")} })),
		clean("nothing: inputs of one digest, which are not read", nil, func(w *workshop) (a, b compare.Input) {
			a = input("a", packed(w.t, reg("x", "y")))
			a.Digest = digest.Of([]byte("the digest that both have"))
			a.Open = nil
			return a, a
		}),
		clean("nothing: GOFF compiled in two folders, paths mapped", nil, both(func(s *side) []file {
			return []file{reg("x.o", string(pick(s, object("mapped-a"), object("mapped-b"))(s.t)))}
		})),
		clean("nothing: GOFF compiled in two zones at one SOURCE_DATE_EPOCH", clang(), both(func(s *side) []file {
			s.write("x.c", "const char *when(void) { return __DATE__ __TIME__; }\n")
			s.run("env", "SOURCE_DATE_EPOCH=1795359600", "clang-22", "--target=s390x-ibm-zos", "-c", "x.c", "-o", "x.o")
			return s.took("x.o")
		})),
		clean("nothing: ELF linked in two folders, paths mapped", gcc(), both(func(s *side) []file {
			return linked(strings.ReplaceAll(hello, "WHAT", "__FILE__"), "-g", "-ffile-prefix-map="+s.dir+"=.")(s)
		})),
		clean("nothing: ar without dates", []string{"ar"}, both(func(s *side) []file {
			s.write("one.o", "the first")
			s.run("ar", "rcD", "libx.a", "one.o")
			return s.took("libx.a")
		})),
		clean("nothing: gzip without name and time", []string{"gzip"}, both(func(s *side) []file {
			return []file{reg("x.gz", s.run("gzip", "-nc", s.write(pick(s, "data", "file"), long())))}
		})),
		clean("nothing: tar with sorted names, one time and one owner", []string{"tar"}, tarred("--owner=0 --group=0 --mtime=@1795359600 --sort=name port", "--owner=0 --group=0 --mtime=@1795359600 --sort=name port")),
		clean("nothing: a module of Python known by its hash", []string{"python3"}, module("LIMIT = 3\n", "CHECKED_HASH", "mod.py", ofBuild)),
		clean("nothing: a module of Python of a source of one time", []string{"python3"}, module("LIMIT = 3\n", "TIMESTAMP", "mod.py", ofOneDay)),
		clean("nothing: compress run twice", []string{"compress"}, each(func(s *side) []byte {
			s.write("data", long())
			return []byte(s.run("compress", "-c", "data"))
		})),
		clean("nothing: RPM of one time, host and folder of building", []string{"rpmbuild"}, packaged(false)),
		clean("nothing: a list sorted under LC_ALL=C", []string{"sort"}, script("names", `printf 'Zebra\napple\nMango\nberry\n' | LC_ALL=C sort`)),
		cut("cannot be compared: an archive cut off", archive, func(s *side) []byte { return archive(s)[:700] }),
		cut("cannot be compared: an archive and a single file", archive, func(*side) []byte { return []byte("some text") }),
	}
}
