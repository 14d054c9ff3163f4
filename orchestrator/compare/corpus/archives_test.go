// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

package corpus

import (
	"archive/tar"
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/zfarm/zfarm/orchestrator/compare"
	"github.com/zfarm/zfarm/orchestrator/compare/format/compress"
	"github.com/zfarm/zfarm/orchestrator/compare/format/pax"
)

// tarred packs a folder of three files with GNU tar on each side.
func tarred(a, b string) func(w *workshop) (x, y compare.Input) {
	return each(func(s *side) []byte {
		for _, n := range []string{"one", "two", "three"} {
			s.write("port/"+n, "the same in "+n+"\n")
		}
		const always = "tar --format=posix --pax-option=delete=atime,delete=ctime -cf x.tar "
		s.sh(always + pick(s, a, b))
		return []byte(s.read("x.tar"))
	})
}

// long is a text long enough for compressors to differ.
func long() string {
	var out strings.Builder
	for i := range 4000 {
		out.WriteString("line " + itoa(int64(i*i%977)) + " of a text that can be compressed\n")
	}
	return out.String()
}

// squeezed compresses a text with a different command line on each side.
func squeezed(name, a, b string) func(w *workshop) (x, y compare.Input) {
	return both(func(s *side) []file {
		s.write("data", long())
		s.sh(pick(s, a, b) + " >" + name)
		return s.took(name)
	})
}

// containers are pairs of archives and compressed files.
func containers() []pair {
	const owner = "--owner=0 --group=0 --numeric-owner --mtime=@1795359600 "
	name := func(source []int, text string, tools []string, plant func(w *workshop) (a, b compare.Input), w want) pair {
		return pair{name: text, sources: source, tools: tools, plant: plant, want: w}
	}
	gnu := []string{"tar"}
	return []pair{
		name([]int{12}, "pax: times of files", gnu, tarred("--owner=0 --group=0 --sort=name port", "--owner=0 --group=0 --sort=name port"),
			masked(compare.Header, named("mtime", "").in("port/one").reads("2026-11-22T15:03:00Z", "2026-11-23T16:04:00Z"))),
		name([]int{12}, "pax: owner and group", gnu, tarred(owner+"--sort=name port", "--owner=builder:1001 --group=staff:20 --mtime=@1795359600 --sort=name port"),
			masked(compare.Header, named("uid", "").reads("0", "1001"))),
		name([]int{12}, "pax: the name of the owner", gnu, tarred("--owner=alice:7 --group=0 --mtime=@1795359600 --sort=name port", "--owner=bob:7 --group=0 --mtime=@1795359600 --sort=name port"),
			masked(compare.Header, named("uname", "").reads("alice", "bob"))),
		name([]int{12, 19}, "pax: members in another order", gnu, tarred(owner+"port/one port/two port/three", owner+"port/three port/two port/one"),
			masked(compare.Container, named("order", "another order"))),
		name([]int{12}, "pax: times of reading and changing", gnu, each(func(s *side) []byte {
			s.write("port/one", "the same\n")
			s.sh("tar --format=posix --pax-option=atime:=" + pick(s, "1795359780.5", "1795449840.25") + ",delete=ctime " + owner + "-cf x.tar port/one")
			return []byte(s.read("x.tar"))
		}), masked(compare.Header, named("atime", ""))),
		name([]int{12}, "pax: another form of headers", gnu, each(func(s *side) []byte {
			s.write("port/one", "the same\n")
			s.sh("tar --format=" + pick(s, "ustar", "gnu") + " " + owner + "-cf x.tar port/one")
			return []byte(s.read("x.tar"))
		}), masked(compare.Container, named("format", "another form"))),
		name([]int{12}, "pax: audit flags", nil, both(func(s *side) []file {
			return []file{reg("bin/tool", "x").record(pax.ZOSAudit, pick(s, "fff", "fsf"))}
		}), told(named("zos.useraudit", ""))),
		name([]int{12}, "pax: modes by umask", gnu, each(func(s *side) []byte {
			s.sh("umask " + pick(s, "022", "002") + "; mkdir port; echo text >port/one; tar --format=ustar " + owner + "-cf x.tar port/one")
			return []byte(s.read("x.tar"))
		}), told(named("mode", "").in("port/one").reads("0644", "0664"))),
		{name: "folders: times of files", sources: []int{12}, plant: folders(func(s *side) { s.write("bin/tool", "x") }),
			want: masked(compare.Header, named("mtime", "").in("bin/tool"))},
		name([]int{13}, ".Z: packed with codes of other lengths", []string{"compress"}, squeezed("data.Z", "compress -c -b 12 data", "compress -c -b 16 data"),
			masked(compare.Container, named("compression", "packed in another way"))),
		name([]int{13}, ".pax.Z: packed with codes of other lengths", []string{"compress"}, each(func(s *side) []byte {
			s.write("x.pax", string(packed(s.t, reg("port/data", long()))))
			return []byte(s.sh("compress -c -b " + pick(s, "12", "16") + " x.pax"))
		}), masked(compare.Container, named("compression", "compressed in another way"))),
		name([]int{13, 12}, ".pax.Z: times of files", []string{"compress"}, each(func(s *side) []byte {
			f := reg("port/data", long())
			f.ModTime = s.at
			s.write("x.pax", string(packed(s.t, f)))
			return []byte(s.run("compress", "-c", "x.pax"))
		}), masked(compare.Header, named("mtime", "").in("port/data"))),
		name([]int{13, 7}, ".pax.Z in a .pax: a stamp in a file", []string{"compress"}, both(func(s *side) []file {
			s.write("x.pax", string(packed(s.t, reg("bin/tool", "Built "+s.at.Format(time.RFC3339)))))
			return []file{reg("inner.pax.Z", s.run("compress", "-c", "x.pax"))}
		}), masked(compare.Stamp, named("stamp.datetime", stampCause).in("inner.pax.Z!/bin/tool"))),
		name([]int{14}, "gzip: time and name of the file", []string{"gzip"}, both(func(s *side) []file {
			data := s.write(pick(s, "data", "file"), long())
			return []file{reg("data.gz", s.run("gzip", "-c", data))}
		}), masked(compare.Header, named("gzip.time", "").in("data.gz!").reads("2026-11-22T15:03:00Z", "2026-11-23T16:04:00Z"))),
		name([]int{14}, "gzip: another level", []string{"gzip"}, squeezed("data.gz", "gzip -n1c data", "gzip -n9c data"), masked(compare.Container, named("gzip.level|gzip.compression", ""))),
		name([]int{14}, ".tar.gz: the time in its header", []string{"gzip"}, each(func(s *side) []byte {
			s.write("x.tar", string(packed(s.t, reg("port/data", "the same"))))
			return []byte(s.run("gzip", "-c", "x.tar"))
		}), masked(compare.Header, named("gzip.time", ""))),
		name([]int{14}, "bzip2: another size of blocks", []string{"bzip2"}, squeezed("data.bz2", "bzip2 -1c data", "bzip2 -9c data"), masked(compare.Container, named("bzip2.level", ""))),
		name([]int{14}, "xz: another level", []string{"xz"}, squeezed("data.xz", "xz -T1 -0c data", "xz -T1 -9c data"), masked(compare.Container, named("xz.compression|xz.dictionary|xz.headers", ""))),
		name([]int{14, 21}, "xz: more processors", []string{"xz"}, squeezed("data.xz", "xz -T1 -0c data", "xz -T2 -0 --block-size=65536 -c data"), masked(compare.Container, named("xz.blocks", ""))),
		name([]int{14}, "zstd: another level", []string{"zstd"}, squeezed("data.zst", "zstd -q -1 -c data", "zstd -q -19 -c data"), masked(compare.Container, named("zstd.compression|zstd.window", ""))),
		name([]int{14}, "zip: times", []string{"zip"}, zipped("-X -D", "one two", "one two", true), masked(compare.Header, named("zip.time", "").in("x.zip/one"))),
		name([]int{14, 19}, "zip: members in another order", []string{"zip"}, zipped("-X -D", "one two", "two one", false), masked(compare.Container, named("order", "another order").in("x.zip"))),
		name([]int{14, 20}, "zip: the same times in other zones", []string{"zip"}, zipped("-X -D", "one two", "one two", false, "TZ=UTC0", "TZ=ZFB-14"), masked(compare.Header, named("zip.time", ""))),
		name([]int{14}, "wheel: times of members", []string{"python3"}, wheel(false), masked(compare.Header, named("zip.time", "").in("dist-info/RECORD"))),
		name([]int{14, 19}, "wheel: RECORD and members in the order of the folder", []string{"python3"}, wheel(true), told(named("content", "same lines in another order").in("dist-info/RECORD"))),
	}
}

// folders compares two folders as they are.
func folders(build func(s *side)) func(w *workshop) (a, b compare.Input) {
	return func(w *workshop) (compare.Input, compare.Input) {
		a, b := w.sides()
		for _, s := range []*side{a, b} {
			build(s)
			err := filepath.WalkDir(s.dir, func(name string, e os.DirEntry, err error) error {
				if err == nil && e.IsDir() {
					err = os.Chtimes(name, dayA(), dayA())
				}
				return err
			})
			if err != nil {
				w.t.Fatal(err)
			}
		}
		return compare.Folder("a", os.DirFS(a.dir)), compare.Folder("b", os.DirFS(b.dir))
	}
}

// zipped makes a zip archive on each side, with files dated at the time of the
// build or at a fixed time.
func zipped(options, a, b string, ofBuild bool, env ...string) func(w *workshop) (x, y compare.Input) {
	return both(func(s *side) []file {
		for _, n := range []string{"one", "two"} {
			s.write(n, "the same in "+n+"\n")
			if !ofBuild {
				s.touch(n, dayA())
			}
		}
		zone := "TZ=UTC0"
		if len(env) > 0 {
			zone = pick(s, env[0], env[1])
		}
		s.sh(zone + " zip -q " + options + " x.zip " + pick(s, a, b))
		return s.took("x.zip")
	})
}

// wheel makes a wheel: a zip archive with a list of its files.
func wheel(shuffled bool) func(w *workshop) (x, y compare.Input) {
	return both(func(s *side) []file {
		order := "a,b,c"
		at := "time.gmtime(int(os.environ['NOW']))[:6]"
		if shuffled {
			order, at = pick(s, "a,b,c", "c,a,b"), "(2026, 11, 22, 15, 0, 0)"
		}
		s.write("wheel.py", `import hashlib, os, time, zipfile
w = zipfile.ZipFile('pkg-1.0-py3-none-any.whl', 'w')
record = ''
def add(name, text):
    i = zipfile.ZipInfo(name, `+at+`)
    i.external_attr = 0o100644 << 16
    w.writestr(i, text)
for n in '`+order+`'.split(','):
    text = 'name = "%s"\n' % n
    add('pkg/%s.py' % n, text)
    record += 'pkg/%s.py,sha256=%s,%d\n' % (n, hashlib.sha256(text.encode()).hexdigest(), len(text))
add('pkg-1.0.dist-info/RECORD', record)
w.close()
`)
		s.run("python3", "wheel.py")
		return s.took("pkg-1.0-py3-none-any.whl")
	})
}

// tamperedArchives are archives with additions that must be reported.
func tamperedArchives() []pair {
	p := func(tampering rune, name string, l label, a, b []file) pair {
		return pair{name: name, tampering: tampering, want: told(l), plant: both(func(s *side) []file { return pick(s, a, b) })}
	}
	tool := reg("bin/tool", "x").mode(0o755)
	out := append(append(append([]pair{
		p(setuid, "pax: setuid", named("mode", "setuid").in("bin/tool").reads("0755", "4755"), []file{tool}, []file{tool.mode(0o4755)}),
		p(setuid, "pax: setgid", named("mode", "setgid").reads("0755", "2755"), []file{tool}, []file{tool.mode(0o2755)}),
		p(setuid, "pax: sticky", named("mode", "sticky"), []file{tool}, []file{tool.mode(0o1755)}),
		p(setuid, "pax: writable by everyone", named("mode", "writable by everyone"), []file{tool}, []file{tool.mode(0o757)}),
		p(authorised, "pax: APF authorised", named("zos.extattr", "APF").in("bin/tool"), []file{tool.record(pax.ZOSExtattr, "--s-")}, []file{tool.record(pax.ZOSExtattr, "a-s-")}),
		p(authorised, "pax: program controlled", named("zos.extattr", "program controlled"), []file{tool.record(pax.ZOSExtattr, "--s-")}, []file{tool.record(pax.ZOSExtattr, "-ps-")}),
		p(authorised, "pax: attributes where none were", named("zos.extattr", "APF").reads("", "APF"), []file{tool}, []file{tool.record(pax.ZOSExtattr, "a---")}),
		p(fileTag, "pax: another file tag", named("zos.taginfo", "tag").reads("819", "1047"), []file{tool.tagged("819")}, []file{tool.tagged("1047")}),
		p(fileTag, "pax: tagged as binary", named("zos.taginfo", "tag").reads("text", "binary"), []file{tool.tagged("819")}, []file{tool.record(pax.ZOSTag, "0 819")}),
		p(linkTarget, "pax: the target of a symbolic link", named("link", "elsewhere").in("bin/sh").reads("tool", "/tmp/evil"), []file{symlink("bin/sh", "tool")}, []file{symlink("bin/sh", "/tmp/evil")}),
		p(linkTarget, "pax: the target of a hard link", named("link", "elsewhere").reads("bin/tool", "bin/two"), []file{tool, reg("bin/two", "y"), hardlink("bin/x", "bin/tool")}, []file{tool, reg("bin/two", "y"), hardlink("bin/x", "bin/two")}),
		p(linkTarget, "pax: a link where a file was", named("type", "").reads("file", "symbolic link"), []file{reg("bin/x", "")}, []file{symlink("bin/x", "tool")}),
		p(memberSet, "pax: a member added", named("member", "only").in("bin/evil").reads("", "file"), []file{tool}, []file{tool, reg("bin/evil", "y")}),
		p(memberSet, "pax: a member renamed", named("member", "only"), []file{tool}, []file{reg("bin/t00l", "x").mode(0o755)}),
		p(twice, "pax: a member twice", named("duplicate", "more than once").in("bin/tool"), []file{tool}, []file{tool, reg("bin/tool", "evil").mode(0o755)}),
		p(twice, "pax: the same member twice", named("duplicate", "more than once"), []file{tool}, []file{tool, tool}),
		p(twice, "pax: a member twice, under another spelling", named("duplicate", "more than once"), []file{tool}, []file{tool, reg("bin/./tool", "evil").mode(0o755)}),
	}, tamperedBytes()...), tamperedLibraries()...), tamperedZips()...)
	return append(out, tamperedInside()...)
}

// tamperedBytes are pax archives with bytes in places that must be zero.
func tamperedBytes() []pair {
	raw := func(tampering rune, name string, l label, edit func(t testing.TB, b []byte) []byte) pair {
		return pair{name: name, tampering: tampering, want: told(l), plant: each(func(s *side) []byte {
			b := packed(s.t, reg("bin/tool", "some text"), reg("bin/two", "more"))
			if s.b {
				b = edit(s.t, b)
			}
			return b
		})}
	}
	return []pair{
		raw(behindEnd, "pax: data behind the end", named("trailing data", "follow the end"), func(_ testing.TB, b []byte) []byte { return append(b, "hidden"...) }),
		raw(behindEnd, "pax: data in the zeros behind the end", named("trailing data", "follow the end"), func(_ testing.TB, b []byte) []byte {
			copy(b[len(b)-100:], "hidden")
			return b
		}),
		raw(inPadding, "pax: bytes in the padding of a member", named("padding", "readers ignore").in("bin/tool"), func(_ testing.TB, b []byte) []byte {
			copy(b[512+100:], "hidden")
			return b
		}),
		raw(inPadding, "pax: bytes in the padding of a header", named("padding", "readers ignore").in("bin/tool"), func(_ testing.TB, b []byte) []byte {
			copy(b[501:], "hidden")
			return sumHeader(b)
		}),
		raw(inPadding, "pax: bytes behind the name in a header", named("padding", "readers ignore").in("bin/tool"), func(_ testing.TB, b []byte) []byte {
			copy(b[40:], "hidden")
			return sumHeader(b)
		}),
		{name: "pax: global records at the end", tampering: behindEnd, want: told(named("global records", "")), plant: each(func(s *side) []byte {
			var out bytes.Buffer
			w := tar.NewWriter(&out)
			headers := []*tar.Header{{Name: "bin/tool", Typeflag: tar.TypeReg, Mode: 0o755, ModTime: dayA(), Format: tar.FormatPAX},
				{Typeflag: tar.TypeXGlobalHeader, Name: "pax_global_header", PAXRecords: map[string]string{"comment": "hidden"}, Format: tar.FormatPAX}}
			for _, h := range headers[:pick(s, 1, 2)] {
				if err := w.WriteHeader(h); err != nil {
					s.t.Fatal(err)
				}
			}
			if err := w.Close(); err != nil {
				s.t.Fatal(err)
			}
			return out.Bytes()
		})},
	}
}

// sumHeader corrects the checksum of the first header.
func sumHeader(b []byte) []byte {
	copy(b[148:156], "        ")
	var sum int64
	for _, c := range b[:512] {
		sum += int64(c)
	}
	copy(b[148:156], octal(sum)+"\x00 ")
	return b
}

// tamperedLibraries are ar archives.
func tamperedLibraries() []pair {
	p := func(tampering rune, name string, l label, edit func(s *side, lib string) string) pair {
		return pair{name: name, tampering: tampering, want: told(l), plant: both(func(s *side) []file {
			at := &side{at: dayA()}
			lib := zosLibrary(at, "101   ", "one.o", "three.o")
			if s.b {
				lib = edit(at, lib)
			}
			return []file{reg("lib/libx.a", lib)}
		})}
	}
	return []pair{
		p(memberSet, "z/OS ar: a member added", named("member", "only").in("libx.a/evil.o"), func(s *side, lib string) string { return lib + zosMember(s, "101   ", "evil.o", "y") }),
		p(twice, "z/OS ar: a member of a name that there is", named("member|duplicate", "").in("libx.a/one.o"), func(s *side, lib string) string { return lib + zosMember(s, "101   ", "one.o", "y") }),
		p(behindEnd, "z/OS ar: data behind the end", named("hidden|content", ""), func(_ *side, lib string) string { return lib + "hidden" }),
		p(instruction, "z/OS ar: an object changed beside its time", named("content", "").in("libx.a/one.o"), func(_ *side, _ string) string {
			later := &side{at: dayB()}
			return ebcdicMagic + zosMember(later, "101   ", "one.o", "Object one.o") + zosMember(later, "101   ", "three.o", "object three.o")
		}),
		{name: "side-deck: a symbol of another name", tampering: memberSet, want: told(named("sidedeck.import", "only").reads("", "")),
			plant: alike("lib/libx.x", imports("first", "second"), imports("first", "evil"))},
		{name: "side-deck in EBCDIC: another library", tampering: linkTarget, want: told(named("sidedeck.import", "only").reads("", "")),
			plant: alike("lib/libx.x", ebcdic(imports("first")), ebcdic(strings.ReplaceAll(imports("first"), "libx.so", "evil.so")))},
	}
}

// tamperedZips are tampered zip archives and compressed streams.
func tamperedZips() []pair {
	zip := func(tampering rune, name string, l label, edit func(t testing.TB, b []byte) []byte) pair {
		return pair{name: name, tampering: tampering, tools: []string{"zip"}, want: told(l), plant: both(func(s *side) []file {
			s.write("one", "the same in one\n")
			s.write("two", "the same in two\n")
			s.touch("one", dayA())
			s.touch("two", dayA())
			s.sh("TZ=UTC0 zip -q -X -D -0 x.zip one two")
			b := []byte(s.read("x.zip"))
			if s.b {
				b = edit(s.t, b)
			}
			return []file{reg("x.zip", string(b))}
		})}
	}
	stream := func(tool, name string, l label) pair {
		return pair{name: name + ": data behind the end", tampering: behindEnd, tools: []string{tool}, want: told(l), plant: both(func(s *side) []file {
			s.write("data", long())
			s.touch("data", dayA())
			return []file{reg("x."+name, s.run(tool, "-c", "data")+pick(s, "", "hidden"))}
		})}
	}
	return []pair{
		zip(setuid, "zip: setuid", named("zip.mode", "").in("x.zip/one"), func(_ testing.TB, b []byte) []byte {
			at := bytes.Index(b, []byte("PK\x01\x02"))
			b[at+38+3] |= 0x08 // of the mode, in the upper half of the attributes
			return b
		}),
		zip(behindEnd, "zip: data behind the end", named("hidden|content", ""), func(_ testing.TB, b []byte) []byte { return append(b, "hidden"...) }),
		zip(behindEnd, "zip: a comment", named("zip.comment", ""), func(_ testing.TB, b []byte) []byte {
			b[len(b)-2] = 6
			return append(b, "hidden"...)
		}),
		zip(inPadding, "zip: bytes before the first member", named("hidden|content", ""), func(_ testing.TB, b []byte) []byte { return shifted(b, "hidden") }),
		{name: "zip: two members of one name", tampering: twice, want: told(named("member|duplicate|content", "").in("x.zip/one")), plant: both(func(s *side) []file {
			return []file{reg("x.zip", zipOf(s.t, pick(s, []string{"one", "two"}, []string{"one", "two", "one"})...))}
		})},
		{name: "zip: a member less", tampering: memberSet, want: told(named("member", "only").in("x.zip/two")), plant: both(func(s *side) []file {
			return []file{reg("x.zip", zipOf(s.t, pick(s, []string{"one", "two"}, []string{"one"})...))}
		})},
		stream("gzip", "gz", named("hidden|content", "")),
		stream("xz", "xz", named("hidden|content", "")),
		stream("bzip2", "bz2", named("hidden|content", "")),
		stream("zstd", "zst", named("hidden|content", "")),
		{name: "zstd: a frame that readers skip", tampering: behindEnd, tools: []string{"zstd"}, want: told(named("zstd.skippable|hidden", "")), plant: both(func(s *side) []file {
			s.write("data", "the same")
			return []file{reg("x.zst", s.run("zstd", "-q", "-c", "data")+pick(s, "", "\x50\x2a\x4d\x18\x06\x00\x00\x00hidden"))}
		})},
		{name: "gzip: a comment", tampering: inPadding, want: told(named("gzip.comment", "")), plant: both(func(s *side) []file {
			return []file{reg("x.gz", gzipWith(s.t, pick(s, "", "hidden")))}
		})},
	}
}

// tamperedInside are changes deep within nested containers.
func tamperedInside() []pair {
	squeeze := func(t testing.TB, b []byte) []byte {
		var out bytes.Buffer
		w := compress.NewWriter(&out)
		if _, err := w.Write(b); err != nil {
			t.Fatal(err)
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		return out.Bytes()
	}
	deep := func(tampering rune, name string, l label, a, b file) pair {
		return pair{name: name, tampering: tampering, want: told(l.in("inner.pax.Z!/bin/tool")), plant: each(func(s *side) []byte {
			inner := squeeze(s.t, packed(s.t, pick(s, a, b)))
			return squeeze(s.t, packed(s.t, reg("port/inner.pax.Z", string(inner))))
		})}
	}
	tool := reg("bin/tool", "Built 2026-11-22T15:03:00Z, version 1").mode(0o755)
	return []pair{
		deep(setuid, ".pax.Z in .pax.Z: setuid", named("mode", "setuid"), tool, tool.mode(0o4755)),
		deep(authorised, ".pax.Z in .pax.Z: APF authorised", named("zos.extattr", "APF"), tool, tool.record(pax.ZOSExtattr, "a---")),
		deep(instruction, ".pax.Z in .pax.Z: a byte beside a stamp", named("content", ""), tool, reg("bin/tool", "Built 2026-11-23T16:04:00Z, version 2").mode(0o755)),
		{name: ".pax.Z: setuid", tampering: setuid, tools: []string{"compress"}, want: told(named("mode", "setuid").in("bin/tool")), plant: each(func(s *side) []byte {
			s.write("x.pax", string(packed(s.t, tool.mode(pick[uint32](s, 0o755, 0o4755)), reg("data", long()))))
			return []byte(s.run("compress", "-c", "x.pax"))
		})},
		{name: "folders: setuid", tampering: setuid, want: told(named("mode", "setuid").in("bin/tool")), plant: folders(func(s *side) {
			s.write("bin/tool", "x")
			mode := os.FileMode(0o755)
			if s.b {
				mode |= os.ModeSetuid
			}
			if err := os.Chmod(filepath.Join(s.dir, "bin/tool"), mode); err != nil {
				s.t.Fatal(err)
			}
			s.touch("bin/tool", dayA())
		})},
		{name: "folders: the target of a link", tampering: linkTarget, want: told(named("link", "elsewhere").in("bin/x").reads("tool", "evil")), plant: folders(func(s *side) {
			s.write("bin/tool", "x")
			s.touch("bin/tool", dayA())
			if err := os.Symlink(pick(s, "tool", "evil"), filepath.Join(s.dir, "bin/x")); err != nil {
				s.t.Fatal(err)
			}
		})},
		{name: "folders: a file less", tampering: memberSet, want: told(named("member", "only").in("bin/two")), plant: folders(func(s *side) {
			for _, n := range pick(s, []string{"one", "two"}, []string{"one"}) {
				s.write("bin/"+n, "x")
				s.touch("bin/"+n, dayA())
			}
		})},
	}
}
