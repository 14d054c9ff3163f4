// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

package corpus

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/zfarm/zfarm/orchestrator/compare"
)

// Offsets in the small program object of the package progobj, and the values of its
// records: it was compiled, bound and saved by BUILDER on day 41 of 2025, at
// 12:34:56.
const (
	programPMAR  = 148
	programSaved = programPMAR + 30 + 66
	programUser  = programPMAR + 30 + 74
	programPages = 320 // IEWPRDT
	programText  = 4096
	programStamp = programText + 96
	programLevel = programText + 4096 + 16 // a stamp with a service level
	programZap   = 13000
	programFixer = 13100 // IDRU
	programIDRL  = 13300
	programIDRB  = 13400
)

func program(t testing.TB) []byte { return kept("format", "progobj", "testdata", "small.po")(t) }

// programTimes are the times of a program where B was bound a day after A.
func programTimes(k *compare.Known) {
	k.A.Begun = time.Date(2025, 2, 10, 12, 30, 0, 0, time.UTC)
	k.A.Ended = k.A.Begun.Add(10 * time.Minute)
	k.B.Begun, k.B.Ended = k.A.Begun.AddDate(0, 0, 1), k.A.Ended.AddDate(0, 0, 1)
}

// change is new bytes at an offset.
type change struct {
	at   int
	text string
}

// The same values a day later.
const nextDay, nextTime = "\x20\x25\x04\x2f", "\x01\x23\x50\x0f"

func savedLater() change    { return change{programSaved, nextDay + nextTime} }
func boundLater() change    { return change{programIDRB + 12, nextDay + nextTime} }
func compiledLater() change { return change{programStamp, ebcdic("20250211123458")} }

// rebuilt is every change that a rebuild causes by itself.
func rebuilt() []change { return []change{savedLater(), boundLater(), compiledLater()} }

// editedProgram is the small program and a copy with changes.
func editedProgram(changes ...change) func(w *workshop) (a, b compare.Input) {
	return edited("port-1.0/bin/hello", program, func(b []byte) []byte {
		for _, c := range changes {
			copy(b[c.at:], c.text)
		}
		return b
	})
}

// programs are pairs of program objects.
func programs() []pair {
	page := programText + 4096
	onPage := func(path string) []change {
		text := ebcdic(path)
		return []change{{page, text}, {programPages + 46, text[:4]}}
	}
	paths := func(k *compare.Known) {
		programTimes(k)
		k.A.Values["build path"], k.B.Values["build path"] = "/ua/work/first", "/ub/work/other"
	}
	p := func(source []int, name string, w want, changes ...change) pair {
		return pair{name: "program object: " + name, sources: source, known: programTimes, plant: editedProgram(changes...), want: w}
	}
	return []pair{
		p([]int{4}, "saved a day later", masked(compare.Stamp, named("pmarl.saved", mask).reads("2025-02-10 12:34:56", "2025-02-11 12:35:00")), savedLater()),
		p([]int{4}, "saved by another user", masked(compare.Stamp, named("pmarl.userid", "who built it").reads("BUILDER", "ANOTHER")), change{programUser, ebcdic("ANOTHER ")}),
		p([]int{3}, "bound a day later", masked(compare.Stamp, named("idrb.bound", mask).reads("2025-02-10", "2025-02-11")), boundLater()),
		p([]int{2}, "translated a day later", masked(compare.Stamp, named("idrl.translated", mask).reads("2025-02-10", "2025-02-11")), change{programIDRL + 12, nextDay}),
		p([]int{1}, "compiled a day later", masked(compare.Stamp, named("ppa2.compiled", mask).reads("12:34:56", "12:34:58")), compiledLater()),
		p([]int{1}, "compiled a day later, with a service level", masked(compare.Stamp, named("ppa2.compiled", mask)), change{programLevel, ebcdic("20250211123459")}),
		p([]int{1, 3, 4}, "built a day later", masked(compare.Stamp, named("idrb.bound", mask)), rebuilt()...),
		p([]int{5}, "a user record of another day", masked(compare.Stamp, named("idru.created", mask)), change{programFixer, nextDay}),
		{name: "program object: the path of the build at the beginning of a page, and its checksum", sources: []int{6, 8}, known: paths,
			plant: both(func(s *side) []file {
				b := program(s.t)
				for _, c := range onPage(s.cond.Values["build path"]) {
					copy(b[c.at:], c.text)
				}
				return []file{reg("bin/hello", string(b))}
			}),
			want: masked(compare.Stamp, named("prdt.checksum", "digest of the rest"))},
		{name: "program object: the user, in EBCDIC text", sources: []int{8, 17}, known: programTimes,
			plant: both(func(s *side) []file {
				b := program(s.t)
				copy(b[programText+600:], ebcdic("by builder1 at"))
				if s.b {
					copy(b[programText+600:], ebcdic("by another2 at"))
				}
				return []file{reg("bin/hello", string(b))}
			}),
			want: told(named("embedded.user", "user is embedded").reads("builder1", "another2"))},
		p([]int{22}, "another service level of the run-time", told(named("po.text", "")), change{programLevel + 22, ebcdic("HLE77C0")}),
		{name: "zoslib hook in EBCDIC, with a rule", sources: []int{9}, known: programTimes, rules: hookRules(), plant: hooked(ebcdic),
			want: masked(compare.Stamp, named("rule.zopen.buildrev", "hook"))},
		{name: "zoslib hook in ASCII, with a rule", sources: []int{9}, known: programTimes, rules: hookRules(), plant: hooked(func(s string) string { return s }),
			want: masked(compare.Stamp, named("rule.zopen.buildrev", "hook"))},
		{name: "zoslib hook, without a rule", sources: []int{9}, known: programTimes, plant: hooked(ebcdic),
			want: told(named("po.text|content|embedded.time zone", ""))},
	}
}

// hooked are programs with the id string of the zoslib hook.
func hooked(encode func(string) string) func(w *workshop) (a, b compare.Input) {
	return both(func(s *side) []file {
		b := program(s.t)
		copy(b[programText+600:], encode("$Id: Vendor:zopen community BuildRev:1a2b3c4 "+
			pick(s, "2025-02-10 00:34:56 ZFA", "2025-02-12 02:34:56 ZFB")+" $")+"\x00")
		copy(b[programText+700:], encode("/tmp/zoslib_hook."+pick(s, "builder1.83886211.14711", "another2.67109001.30962")+".c")+"\x00")
		return []file{reg("port-1.0/bin/hello", string(b))}
	})
}

// realFile reads a file that was made by tools on z/OS.
func realFile(t testing.TB, name string) []byte {
	t.Helper()
	dir := os.Getenv("ZFARM_ZOS_BINARIES")
	if dir == "" {
		t.Skip("the pair is an edited file of z/OS: set ZFARM_ZOS_BINARIES to a folder with " + name)
	}
	b, err := os.ReadFile(filepath.Join(dir, name))
	if err != nil {
		t.Skip(err)
	}
	return b
}

// realObjects are edited copies of files that were made by tools on z/OS.
func realObjects() []pair {
	day := func(year int, month time.Month, day int) func(k *compare.Known) {
		return func(k *compare.Known) {
			k.A.Begun = time.Date(year, month, day, 0, 0, 0, 0, time.UTC)
			k.A.Ended = k.A.Begun.Add(24 * time.Hour)
			k.B.Begun, k.B.Ended = k.A.Begun.AddDate(0, 0, 1), k.A.Ended.AddDate(0, 0, 1)
		}
	}
	bound, assembled, old := day(2022, 2, 25), day(2014, 5, 28), day(2009, 5, 22)
	p := func(source []int, tampering rune, file, name string, known func(*compare.Known), w want, edit func(t testing.TB, b []byte) []byte) pair {
		return pair{name: file + " of z/OS: " + name, sources: source, tampering: tampering, known: known, want: w,
			plant: func(w *workshop) (a, b compare.Input) {
				return edited("bin/"+file, func(t testing.TB) []byte { return realFile(t, file) }, func(b []byte) []byte { return edit(w.t, b) })(w)
			}}
	}
	put := func(which int, from, to string) func(t testing.TB, b []byte) []byte {
		return func(t testing.TB, b []byte) []byte { return replaced(t, b, which, from, to) }
	}
	saved, user, binder := "\x20\x22\x05\x6f\x02\x02\x94\x6f", ebcdic("WFCHOI4 "), ebcdic("5695PMB01 ")
	return []pair{
		p([]int{4}, 0, "gencert", "saved a day later", bound, masked(compare.Stamp, named("pmarl.saved", mask)), put(0, saved, "\x20\x22\x05\x7f\x02\x02\x94\x6f")),
		p([]int{4}, 0, "gencert", "saved by another user", bound, masked(compare.Stamp, named("pmarl.userid", "who built it").reads("WFCHOI4", "BUILDER")), put(0, user, ebcdic("BUILDER "))),
		p([]int{3}, 0, "gencert", "bound a day later", bound, masked(compare.Stamp, named("idrb.bound", mask)), put(0, binder+"\x02\x04\x20\x22\x05\x6f", binder+"\x02\x04\x20\x22\x05\x7f")),
		p(nil, otherCompiler, "gencert", "another binder", bound, told(named("idrb.binder", "made it")), func(t testing.TB, b []byte) []byte {
			at := bytes.Index(b, []byte(binder))
			if at < 0 {
				t.Fatal("no binder has its name in gencert")
			}
			b[at+10]++
			return b
		}),
		p(nil, instruction, "gencert", "one bit of an instruction, saved a day later", bound, told(named("po.text", "")), func(t testing.TB, b []byte) []byte {
			b[0x1100] ^= 1
			return replaced(t, b, 0, saved, "\x20\x22\x05\x7f\x02\x02\x94\x6f")
		}),
		p(nil, authorised, "gencert", "an authorisation code", bound, told(named("pmar.ac", "")), func(_ testing.TB, b []byte) []byte {
			b[0x9d] = 1
			return b
		}),
		p([]int{2}, 0, "iplstatx.obj", "assembled a day later", assembled, masked(compare.Stamp, named("idrl.translated", mask)), put(0, ebcdic("2014148132317530"), ebcdic("2014149132317530"))),
		p(nil, otherCompiler, "iplstatx.obj", "another assembler", assembled, told(named("idrl.version", "made it")), put(0, ebcdic("569623400 0106"), ebcdic("569623400 0105"))),
		p([]int{2}, 0, "iplmerg4.obj", "assembled a day later", old, masked(compare.Stamp, named("obj.end.translated", mask)), put(0, ebcdic("010609142"), ebcdic("010609143"))),
		p(nil, outside, "iplmerg4.obj", "assembled a year later", old, told(named("obj.end.translated", "outside")), put(0, ebcdic("010609142"), ebcdic("010610142"))),
	}
}

// tamperedPrograms are program objects with edited bytes, bound again.
func tamperedPrograms() []pair {
	p := func(tampering rune, name string, l label, changes ...change) pair {
		return pair{name: "program object: " + name, tampering: tampering, known: programTimes, plant: editedProgram(append(rebuilt(), changes...)...), want: told(l)}
	}
	tail := func(name string, l label, extra string) pair {
		return pair{name: "program object: " + name, tampering: behindEnd, known: programTimes, want: told(l),
			plant: edited("bin/hello", program, func(b []byte) []byte { return append(b, extra...) })}
	}
	page := programText + 4096
	return []pair{
		p(instruction, "one bit of an instruction, all stamps of the build", named("po.text", "").in("bin/hello"), change{programText + 50, "\x47"}),
		p(instruction, "an instruction at the beginning of a page, with its checksum", named("prdt.checksum", "something unexplained"),
			change{page, "\x58\xf1\x30\x00"}, change{programPages + 46, "\x58\xf1\x30\x00"}),
		p(instruction, "a checksum alone", named("prdt|prdt.checksum|content", ""), change{programPages + 46, "\x58\xf1\x30\x00"}),
		p(authorised, "an authorisation code", named("pmar.ac", "").reads("0", "1"), change{programPMAR + 9, "\x01"}),
		p(authorised, "the code is said to be valid for APF", named("pmar.attributes3", "").reads("APF", ""), change{programPMAR + 6, "\x04"}),
		p(otherCompiler, "another binder", named("idrb.binder", "made it").reads("0205", "0204"), change{programIDRB + 10, "\x02\x04"}),
		p(otherCompiler, "another compiler", named("idrl.product", "made it").reads("5650ZOS", "5655ZOS"), change{programIDRL, ebcdic("5655ZOS   ")}),
		p(otherCompiler, "another version of the compiler", named("idrl.version|idrl.product", "made it"), change{programIDRL + 10, "\x02\x04"}),
		p(otherCompiler, "another version in the PPA2", named("ppa2.version", "made it").reads("020500", "020400"), change{programStamp + 14, ebcdic("020400")}),
		p(zap, "a zap", named("idrz.zap", "").reads("UJ12345", "UJ99999"), change{programZap + 4, ebcdic("UJ99999 ")}),
		p(zap, "the date of a zap, within the time of the build", named("idrz.zap", ""), change{programZap, nextDay}),
		p(zap, "what a user record says", named("idru", ""), change{programFixer + 86 + 6, ebcdic("HAX")}),
		p(noDate, "the date of the PPA2 is none", named("ppa2.compiled", ""), change{programStamp, ebcdic("20250230123458")}),
		p(noDate, "the date of saving is none", named("pmarl.saved", "no time"), change{programSaved, "\x20\x25\x99\x9f"}),
		p(outside, "bound years ahead", named("idrb.bound", "outside"), change{programIDRB + 12, "\x20\x31\x04\x1f"}),
		p(outside, "a user id that is none", named("pmarl.userid", ""), change{programUser, "\x90\xec\xd0\x0c\x41\xf0\x00\x04"}),
		p(inPadding, "bytes between its parts", named("po.padding", ""), change{programIDRL + 48 + 10, "hidden"}),
		p(inPadding, "bytes in what its header reserves", named("po.header.reserved", ""), change{13, "\x01"}),
		tail("bytes behind its end", named("content|po.trailing", "").in("bin/hello"), "hidden"),
	}
}
