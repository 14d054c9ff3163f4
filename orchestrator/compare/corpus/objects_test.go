// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

package corpus

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/zfarm/zfarm/orchestrator/compare"
	"github.com/zfarm/zfarm/orchestrator/compare/format/goff"
	"github.com/zfarm/zfarm/orchestrator/compare/format/obj"
)

// pairs returns all pairs, in the order of the table.
func pairs() []pair {
	var all []pair
	for _, group := range [][]pair{objects(), libraries(), programs(), natives(), texts(), configurations(), environments(), containers(), packages(),
		realObjects(), tamperedObjects(), tamperedPrograms(), tamperedArchives(), tamperedTexts(), controls()} {
		all = append(all, group...)
	}
	return all
}

// kept reads an object from the testdata of a package beside this one.
func kept(path ...string) func(t testing.TB) []byte {
	return func(t testing.TB) []byte {
		t.Helper()
		b, err := os.ReadFile(filepath.Join(append([]string{".."}, path...)...))
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
}

// object is an object that clang-22 made for z/OS.
func object(name string) func(t testing.TB) []byte {
	return kept("format", "goff", "testdata", name+".o")
}

// objectTimes are the compile times of the objects in testdata.
func objectTimes(k *compare.Known) {
	at := time.Unix(1_800_000_000, 0) // 2027-01-15 08:00:00 UTC
	k.A.Begun, k.A.Ended = at.Add(-time.Minute), at.Add(time.Second)
	k.B.Begun, k.B.Ended = at.Add(-time.Second), at.Add(time.Minute)
}

// aDayLater are the times of objects where B was made a day after A.
func aDayLater(k *compare.Known) {
	objectTimes(k)
	k.B.Begun, k.B.Ended = k.B.Begun.AddDate(0, 0, 1), k.B.Ended.AddDate(0, 0, 1)
}

// compiled compiles C for z/OS on each side, at its time and in its folder.
func compiled(name, source string, args ...string) func(w *workshop) (a, b compare.Input) {
	return both(func(s *side) []file {
		s.write(name+".c", source)
		s.run("clang-22", append(args, "--target=s390x-ibm-zos", "-O1", "-c", filepath.Join(s.dir, name+".c"), "-o", name+".o")...)
		return s.took(name + ".o")
	})
}

func clang() []string { return []string{"clang-22"} }

// later replaces the stamps of an object.
func later(t testing.TB, b []byte, ppa2, idrl string) []byte {
	b = replaced(t, b, 0, ebcdic("20270115080000221080"), ebcdic(ppa2+"221080"))
	return replaced(t, b, 0, ebcdic("2027011508000000"), ebcdic(idrl+"00"))
}

const (
	madeA = "20270115080000"
	madeB = "20270116080002" // a day later
	mask  = "the time of the build"
)

// objects are pairs of GOFF and OBJ modules.
func objects() []pair {
	assembled := func(k *compare.Known) {
		k.A.Begun, k.A.Ended = time.Date(2026, 11, 22, 0, 0, 0, 0, time.UTC), time.Date(2026, 11, 22, 1, 0, 0, 0, time.UTC)
		k.B.Begun, k.B.Ended = k.A.Begun.AddDate(0, 0, 1), k.A.Ended.AddDate(0, 0, 1)
	}
	const source = "int limit(int n) { return 3 * n + 4; }\n"
	return []pair{
		{name: "GOFF: compiled two seconds later, the stamp of the PPA2", sources: []int{1}, known: objectTimes,
			plant: both(func(s *side) []file {
				return []file{reg("x.o", string(pick(s, object("plain"), object("later"))(s.t)))}
			}),
			want: masked(compare.Stamp, named("ppa2.compiled", mask).reads("08:00:00", "08:00:02"))},
		{name: "GOFF: compiled two seconds later, the record of the translator", sources: []int{2}, known: objectTimes,
			plant: both(func(s *side) []file {
				return []file{reg("x.o", string(pick(s, object("plain"), object("later"))(s.t)))}
			}),
			want: masked(compare.Stamp, named("idrl.translated", mask).reads("08:00:00", "08:00:02"))},
		{name: "GOFF: compiled a day later, in another zone, by clang", sources: []int{1, 2, 20}, tools: clang(),
			plant: compiled("limit", source), want: masked(compare.Stamp, named("ppa2.compiled", mask))},
		{name: "GOFF: __TIME__", sources: []int{7, 1}, known: objectTimes,
			plant: both(func(s *side) []file {
				return []file{reg("x.o", string(pick(s, object("time"), object("time-later"))(s.t)))}
			}),
			want: masked(compare.Stamp, named("stamp.time", "time of the build").reads("08:00:00", "08:00:02"))},
		{name: "GOFF: __DATE__ and __TIME__, compiled a day later", sources: []int{7, 1}, tools: clang(),
			plant: compiled("when", "const char *when(void) { return __DATE__ \" \" __TIME__; }\n"),
			want:  masked(compare.Stamp, named("stamp.datetime", "time of the build"))},
		// A text of this length continues from card to card.
		{name: "GOFF: __FILE__ in two folders, across cards", sources: []int{8}, tools: clang(),
			plant: compiled("where", "const char *where(void) { return __FILE__ __FILE__ __FILE__ __FILE__; }\n"),
			want:  masked(compare.Stamp, named("embedded.build path", "build path"))},
		{name: "GOFF: __FILE__ in two folders, kept objects", sources: []int{8},
			known: func(k *compare.Known) {
				objectTimes(k)
				k.A.Values["build path"], k.B.Values["build path"] = "/tmp/build-a", "/tmp/build-b"
			},
			plant: both(func(s *side) []file {
				return []file{reg("x.o", string(pick(s, object("file-a"), object("file-b"))(s.t)))}
			}),
			want: masked(compare.Stamp, named("embedded.build path", "build path").reads("/tmp/build-a", "/tmp/build-b"))},
		{name: "GOFF: the section has the name of the source", sources: []int{26}, tools: clang(),
			plant: both(func(s *side) []file {
				stem := pick(s, "alpha", "omega")
				s.write(stem+".c", source)
				s.run("clang-22", "--target=s390x-ibm-zos", "-c", stem+".c", "-o", "x.o")
				return s.took("x.o")
			}),
			want: told(named("goff.esd.name", "").reads("", ""))},
		{name: "GOFF: the section has the name of a temporary source", sources: []int{18, 26}, tools: append(clang(), "mktemp"),
			plant: both(func(s *side) []file {
				s.write("x.c", source)
				s.sh(`t=$(mktemp ccXXXXXX.c) && cat x.c >"$t" && clang-22 --target=s390x-ibm-zos -c "$t" -o x.o`)
				return s.took("x.o")
			}),
			want: told(named("goff.esd.name", ""))},
		{name: "GOFF: another machine level", sources: []int{22}, tools: clang(),
			plant: both(func(s *side) []file {
				s.write("x.c", "unsigned long count(unsigned long n) { return (unsigned long)__builtin_popcountl(n); }\n")
				s.run("clang-22", "--target=s390x-ibm-zos", "-O2", "-march="+pick(s, "z10", "z15"), "-c", "x.c", "-o", "x.o")
				return s.took("x.o")
			}),
			want: told(named("content|goff.txt|goff.txt.C_CODE64|goff.esd.length", ""))},
		{name: "OBJ: assembled a day later", sources: []int{2}, known: assembled,
			plant: both(func(s *side) []file {
				return []file{reg("x.obj", deck(s.t, pick(s, "26326", "26327"), "569623400 0106", 7))}
			}),
			want: masked(compare.Stamp, named("obj.end.translated", mask).reads("2026-11-22", "2026-11-23"))},
	}
}

// libraries are objects within archives.
func libraries() []pair {
	return []pair{
		{name: "z/OS ar: times and owners of members", sources: []int{10},
			plant: both(func(s *side) []file {
				return []file{reg("lib/libx.a", zosLibrary(s, pick(s, "101   ", "202   "), "one.o", "two.o"))}
			}),
			want: masked(compare.Header, named("ar.uid", "").in("lib/libx.a/one.o").reads("101", "202"))},
		{name: "z/OS ar: members in another order", sources: []int{10, 19},
			plant: both(func(s *side) []file {
				order := pick(s, []string{"one.o", "two.o"}, []string{"two.o", "one.o"})
				return []file{reg("lib/libx.a", zosLibrary(&side{at: dayA()}, "101   ", order...))}
			}),
			want: masked(compare.Container, named("order", "another order"))},
		{name: "z/OS ar: an object that was compiled later", sources: []int{1, 10}, known: objectTimes,
			plant: both(func(s *side) []file {
				body := string(pick(s, object("plain"), object("later"))(s.t))
				return []file{reg("lib/libx.a", ebcdicMagic+zosMember(s, "101   ", "x.o", body))}
			}),
			want: masked(compare.Stamp, named("ppa2.compiled", mask).in("libx.a/x.o"))},
		{name: "GNU ar: times of members", sources: []int{10}, tools: []string{"ar"},
			plant: both(func(s *side) []file {
				s.write("one.o", "the first")
				s.run("ar", "rcU", "libx.a", "one.o")
				return s.took("libx.a")
			}),
			want: masked(compare.Header, named("ar.mtime", "").in("libx.a/one.o").reads("2026-11-22T15:03:00Z", "2026-11-23T16:04:00Z"))},
		{name: "GNU ar: modes of members by umask", sources: []int{10}, tools: []string{"ar"},
			plant: both(func(s *side) []file {
				s.sh(`umask ` + pick(s, "022", "002") + `; echo text >one.o; ar rcU libx.a one.o`)
				return s.took("libx.a")
			}),
			want: masked(compare.Header, named("ar.mode", "").reads("100644", "100664"))},
		{name: "GNU ar: members and symbols in another order", sources: []int{10, 19}, tools: []string{"ar", "gcc"},
			plant: both(func(s *side) []file {
				for _, n := range []string{"one", "two"} {
					s.write(n+".c", "int "+n+"(void) { return 1; }\n")
					s.run("gcc", "-c", n+".c")
				}
				s.run("ar", append([]string{"rcD", "libx.a"}, pick(s, []string{"one.o", "two.o"}, []string{"two.o", "one.o"})...)...)
				return s.took("libx.a")
			}),
			want: masked(compare.Container, named("order", "another order").in("libx.a"))},
		{name: "side-deck: imports in another order", sources: []int{11, 19},
			plant: both(func(s *side) []file {
				return []file{reg("lib/libx.x", pick(s, imports("first", "second"), imports("second", "first")))}
			}),
			want: masked(compare.Container, named("order", "another order"))},
		{name: "side-deck in EBCDIC: imports in another order", sources: []int{11, 24},
			plant: both(func(s *side) []file {
				return []file{reg("lib/libx.x", ebcdic(pick(s, imports("first", "second"), imports("second", "first"))))}
			}),
			want: masked(compare.Container, named("order", "another order"))},
		{name: "side-deck: the DLL has the path of the build", sources: []int{11, 8},
			plant: both(func(s *side) []file {
				return []file{reg("lib/libx.x", strings.ReplaceAll(imports("first"), "libx.so", pick(s, "/w/a/libx.so", "/w/b/libx.so")))}
			}),
			want: told(named("sidedeck.import", "only").reads("", ""))},
	}
}

// imports is a side-deck.
func imports(names ...string) string {
	var out strings.Builder
	for _, n := range names {
		out.WriteString(" IMPORT CODE64,'libx.so','" + n + "'\n")
	}
	return out.String()
}

const ebcdicMagic = "\x5a\x4c\x81\x99\x83\x88\x6e\x15"

// zosMember is an archive member as ar on z/OS writes it.
func zosMember(s *side, uid, name, body string) string {
	head := pad(name, 16) + pad(itoa(s.at.Unix()), 12) + uid + uid + pad("100644", 8) + pad(itoa(int64(len(body))), 10)
	out := ebcdic(head+"`\n") + body
	if len(out)%2 == 1 {
		out += "\x15"
	}
	return out
}

func zosLibrary(s *side, uid string, names ...string) string {
	out := ebcdicMagic
	for _, n := range names {
		out += zosMember(s, uid, n, "object "+n)
	}
	return out
}

// deck is an object module of cards with a date of assembly.
func deck(t testing.TB, day, tool string, code byte) string {
	t.Helper()
	blanks := [8]byte(bytes.Repeat([]byte{0x40}, 8))
	var out []byte
	for _, c := range []obj.Card{
		obj.Symbols{ID: [2]byte{0, 1}, Items: []obj.Symbol{{Name: [8]byte([]byte(ebcdic("MAIN    "))), Length: [3]byte{0, 0, 12}}}},
		obj.Text{ID: [2]byte{0, 1}, Data: []byte{0x41, 0xf0, 0, code, 0x07, 0xfe, 0, 0}},
		obj.End{Entry: [3]byte(blanks[:]), ID: [2]byte(blanks[:]), Name: blanks, Length: [4]byte(blanks[:]), Count: 0xf1,
			Identified: [2]obj.Identification{
				{Product: [10]byte([]byte(ebcdic(tool[:10]))), Version: [4]byte([]byte(ebcdic(tool[10:]))), Date: [5]byte([]byte(ebcdic(day)))},
				{Product: [10]byte(bytes.Repeat([]byte{0x40}, 10)), Version: [4]byte(blanks[:]), Date: [5]byte(blanks[:])}}},
	} {
		var err error
		if out, err = obj.Append(out, c); err != nil {
			t.Fatal(err)
		}
	}
	return string(out)
}

// tamperedObjects are objects with edited bytes.
func tamperedObjects() []pair {
	plain := object("plain")
	edit := func(name string, tampering rune, l label, change func(t testing.TB, b []byte) []byte) pair {
		return pair{name: name, tampering: tampering, known: aDayLater, want: told(l), plant: func(w *workshop) (a, b compare.Input) {
			return edited("port-1.0/lib/x.o", plain, func(b []byte) []byte { return change(w.t, b) })(w)
		}}
	}
	return []pair{
		edit("GOFF: a constant changed, the stamps are those of the build", instruction, named("goff.txt.C_CODE64", "").in("x.o"), func(t testing.TB, b []byte) []byte {
			changed := object("changed")(t)
			for i := range b {
				if b[i] != changed[i] {
					b[i] = changed[i]
				}
			}
			return later(t, b, madeB, madeB)
		}),
		edit("GOFF: one bit of an instruction, the stamps are those of the build", instruction, named("goff.txt.C_CODE64", ""), func(t testing.TB, b []byte) []byte {
			b[1083-2] ^= 0x10 // of the instruction that loads the constant
			return later(t, b, madeB, madeB)
		}),
		edit("GOFF: another product translated it", otherCompiler, named("idrl.product", "made it"), func(t testing.TB, b []byte) []byte {
			return replaced(t, later(t, b, madeB, madeB), 0, ebcdic("Debian cla"), ebcdic("Debian clb"))
		}),
		edit("GOFF: another version translated it", otherCompiler, named("idrl.version", "made it"), func(t testing.TB, b []byte) []byte {
			return replaced(t, later(t, b, madeB, madeB), 0, ebcdic("2210"+madeB+"00"), ebcdic("2110"+madeB+"00"))
		}),
		edit("GOFF: another version in the PPA2", otherCompiler, named("ppa2.version", "made it"), func(t testing.TB, b []byte) []byte {
			return replaced(t, later(t, b, madeB, madeB), 0, ebcdic(madeB+"221080"), ebcdic(madeB+"221081"))
		}),
		edit("GOFF: the date of the PPA2 is none", noDate, named("ppa2.compiled", "no time"), func(t testing.TB, b []byte) []byte {
			return later(t, b, "20270230080002", madeB)
		}),
		edit("GOFF: the date of the PPA2 is letters", noDate, named("ppa2.compiled", ""), func(t testing.TB, b []byte) []byte {
			return later(t, b, "EVIL0116080002", madeB)
		}),
		edit("GOFF: the date of the PPA2 is years ahead", outside, named("ppa2.compiled", "outside"), func(t testing.TB, b []byte) []byte {
			return later(t, b, "20300116080002", madeB)
		}),
		edit("GOFF: the date of the translator is that of the other build", outside, named("idrl.translated", "outside"), func(t testing.TB, b []byte) []byte {
			return later(t, b, madeB, "20270115080002")
		}),
		edit("GOFF: bytes in what the format reserves", inPadding, named("goff.reserved", ""), func(t testing.TB, b []byte) []byte {
			b = later(t, b, madeB, madeB)
			b[70] = 0xd1 // of the header card, behind its properties
			return b
		}),
		edit("GOFF: a card behind the end", behindEnd, named("goff.unknown|content", "").in("x.o"), func(t testing.TB, b []byte) []byte {
			return append(later(t, b, madeB, madeB), bytes.Repeat([]byte{0x03}, 80)...)
		}),
		edit("GOFF: a zap record added", zap, named("idrz.zap", ""), func(t testing.TB, b []byte) []byte { return withZap(t, later(t, b, madeB, madeB)) }),
		{name: "OBJ: another assembler", tampering: otherCompiler, known: aDayLater,
			plant: both(func(s *side) []file {
				return []file{reg("x.obj", deck(s.t, pick(s, "27015", "27016"), pick(s, "569623400 0106", "569623400 0105"), 7))}
			}),
			want: told(named("obj.end.version", "made it").reads("0106", "0105"))},
		{name: "OBJ: a changed instruction, assembled a day later", tampering: instruction, known: aDayLater,
			plant: both(func(s *side) []file {
				return []file{reg("x.obj", deck(s.t, pick(s, "27015", "27016"), "569623400 0106", pick[byte](s, 7, 8)))}
			}),
			want: told(named("obj.txt", "").in("x.obj"))},
		{name: "OBJ: a card behind the end", tampering: behindEnd, known: aDayLater,
			plant: both(func(s *side) []file {
				return []file{reg("x.obj", deck(s.t, "27015", "569623400 0106", 7)+pick(s, "", strings.Repeat("\x02", 80)))}
			}),
			want: told(named("content|obj.unknown", "").in("x.obj"))},
	}
}

// withZap adds the identification record of a zap to an object, as the service aid
// would: an element B_IDRZ with text.
func withZap(t testing.TB, b []byte) []byte {
	t.Helper()
	var out []byte
	add := func(r goff.Record) {
		var err error
		if out, err = goff.Append(out, r); err != nil {
			t.Fatal(err)
		}
	}
	var last goff.Symbol
	for r, err := range goff.Records(bytes.NewReader(b)) {
		if err != nil {
			t.Fatal(err)
		}
		switch x := r.(type) {
		case goff.Symbol:
			if x.Type == 1 && string(x.Name) == ebcdic("B_IDRL") {
				last = x
			}
		case goff.End:
			last.Name, last.ID = []byte(ebcdic("B_IDRZ")), 99
			add(last)
			add(goff.Text{Style: 1, Element: 99, Data: []byte(ebcdic("27016UJ12345"))})
		}
		add(r)
	}
	return out
}
