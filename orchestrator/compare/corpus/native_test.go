// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

package corpus

import (
	"bytes"
	"debug/elf"
	"strings"

	"github.com/zfarm/zfarm/orchestrator/compare"
)

func gcc() []string { return []string{"gcc"} }

// linked is a program that gcc builds on each side in the side's folder.
func linked(source string, args ...string) func(s *side) []file {
	return func(s *side) []file {
		s.write("main.c", source)
		s.run("gcc", append([]string{"-o", "tool", s.dir + "/main.c"}, args...)...)
		return s.took("tool")
	}
}

const hello = "#include <stdio.h>\nint main(void) { puts(\"hello, \" WHAT); return 0; }\n"

// natives are programs for this machine. The tools of ports leave the same traces
// in binaries of every platform.
func natives() []pair {
	one := func(source string, args ...string) func(w *workshop) (a, b compare.Input) {
		return both(linked(source, append([]string{"-Wl,--build-id=none"}, args...)...))
	}
	return []pair{
		{name: "ELF: __DATE__ and __TIME__", sources: []int{7}, tools: gcc(),
			plant: one(strings.ReplaceAll(hello, "WHAT", `__DATE__ " " __TIME__`)),
			want:  masked(compare.Stamp, named("stamp.datetime", "time of the build is embedded").reads("Nov 22 2026 15:03:00", "Nov 23 2026 16:04:00"))},
		{name: "ELF: __DATE__ and __TIME__, and the build id that follows", sources: []int{7}, tools: gcc(),
			plant: both(linked(strings.ReplaceAll(hello, "WHAT", `__DATE__ " at " __TIME__`), "-Wl,--build-id=sha1")),
			want:  masked(compare.Stamp, named("elf.note.gnu.build-id", "digest of the rest"))},
		{name: "ELF: __TIMESTAMP__ of the source", sources: []int{7}, tools: gcc(),
			plant: both(func(s *side) []file {
				// The time of the source file, in the zone of the build.
				s.write("x.c", `const char when[] = __TIMESTAMP__;`+"\n")
				s.run("env", "-u", "SOURCE_DATE_EPOCH", "gcc", "-c", "x.c", "-o", "x.o")
				return s.took("x.o")
			}),
			want: masked(compare.Stamp, named("stamp.datetime", "time of the build").reads("2026", "2026"))},
		// If merged, strings would be in an order that depends on the paths.
		{name: "ELF: paths in debugging data", sources: []int{8}, tools: gcc(),
			plant: both(func(s *side) []file {
				s.write("main.c", strings.ReplaceAll(hello, "WHAT", `"you"`))
				s.run("gcc", "-gdwarf-4", "-fno-merge-debug-strings", "-c", s.dir+"/main.c", "-o", "main.o")
				return s.took("main.o")
			}),
			want: masked(compare.Stamp, named("embedded.build path", "build path is embedded"))},
		{name: "ELF: __FILE__ of an assertion", sources: []int{8}, tools: gcc(),
			plant: one("#include <assert.h>\nint main(int n, char **v) { (void)v; assert(n < 9); return 0; }\n"),
			want:  masked(compare.Stamp, named("embedded.build path", "build path is embedded"))},
		{name: "ELF: __FILE__ of a path of another length", sources: []int{8}, tools: gcc(),
			known: func(k *compare.Known) { k.B.Values["build path"] += "/deeper" },
			plant: both(func(s *side) []file {
				dir := pick(s, "", "deeper/")
				s.write(dir+"main.c", strings.ReplaceAll(hello, "WHAT", "__FILE__"))
				s.run("gcc", "-Wl,--build-id=none", "-o", "tool", s.dir+"/"+dir+"main.c")
				return s.took("tool")
			}),
			want: told(named("embedded.build path", "another length"))},
		{name: "ELF: the objects linked in another order", sources: []int{19}, tools: gcc(),
			plant: both(func(s *side) []file {
				for _, n := range []string{"one", "two", "main"} {
					s.write(n+".c", "int "+n+"(void) { return "+itoa(int64(len(n)+int(n[0])))+"; }\n")
					s.run("gcc", "-c", n+".c")
				}
				s.run("gcc", append([]string{"-Wl,--build-id=none", "-o", "tool", "main.o"}, pick(s, []string{"one.o", "two.o"}, []string{"two.o", "one.o"})...)...)
				return s.took("tool")
			}),
			want: told(named("elf.symtab|elf.strtab|elf.text|content", "order"))},
		// Options for other machines would require such a machine.
		{name: "ELF: code chosen for another machine", sources: []int{22}, tools: gcc(),
			plant: both(func(s *side) []file {
				s.write("x.c", "void sum(double *a, const double *b) { for (int i = 0; i < 64; i++) a[i] += b[i]; }\n")
				s.run("gcc", append(strings.Fields(pick(s, "-O2 -fno-tree-vectorize", "-O3 -funroll-loops")), "-c", "x.c", "-o", "x.o")...)
				return s.took("x.o")
			}),
			want: told(named("elf.text", ""))},
		{name: "ELF: a changed instruction beside __TIME__", tampering: instruction, tools: gcc(),
			plant: both(func(s *side) []file {
				s.write("x.c", "const char *when(void) { return __TIME__; }\nint limit(void) { return "+pick(s, "3", "5")+"; }\n")
				s.run("gcc", "-c", "x.c")
				return s.took("x.o")
			}),
			want: told(named("elf.text", "").in("x.o"))},
		{name: "ELF: bytes between sections", tampering: inPadding, tools: gcc(), plant: tamperedELF(func(s *side, b []byte) []byte {
			from, to := gap(s, b)
			copy(b[from:to], "hidden")
			return b
		}), want: told(named("content|elf.padding|elf.gap|elf.unknown", "").in("tool"))},
		{name: "ELF: data behind the end", tampering: behindEnd, tools: gcc(), plant: tamperedELF(func(_ *side, b []byte) []byte {
			return append(b, "hidden"...)
		}), want: told(named("content|elf.trailing", "").in("tool"))},
		{name: "ELF: another compiler in .comment", tampering: otherCompiler, tools: gcc(), plant: tamperedELF(func(s *side, b []byte) []byte {
			return replaced(s.t, b, 0, "GCC: (", "GCC: [")
		}), want: told(named("elf.comment", ""))},
		{name: "ELF: a build id alone", tampering: instruction, tools: gcc(), plant: both(func(s *side) []file {
			f := linked(strings.ReplaceAll(hello, "WHAT", `"you"`), "-Wl,--build-id=0x"+pick(s, "0102030405060708", "0102030405060709"))(s)
			return f
		}), want: told(named("elf.note.gnu.build-id", "nothing else"))},
	}
}

// tamperedELF is a program and an edited copy.
func tamperedELF(edit func(s *side, b []byte) []byte) func(w *workshop) (a, b compare.Input) {
	return both(func(s *side) []file {
		s.write("main.c", strings.ReplaceAll(hello, "WHAT", `"you"`))
		s.run("gcc", "-Wl,--build-id=none", "-o", "tool", "main.c")
		body := []byte(s.read("tool"))
		if s.b {
			body = edit(s, body)
		}
		return []file{reg("port-1.0/bin/tool", string(body)).mode(0o755)}
	})
}

// gap finds bytes outside all sections.
func gap(s *side, b []byte) (from, to int) {
	s.t.Helper()
	f, err := elf.NewFile(bytes.NewReader(b))
	if err != nil {
		s.t.Fatal(err)
	}
	owned := make([]bool, len(b))
	for _, x := range f.Sections {
		if x.Type != elf.SHT_NOBITS {
			for i := x.Offset; i < x.Offset+x.FileSize; i++ {
				owned[i] = true
			}
		}
	}
	run := 0
	for i := 4096; i < len(b); i++ {
		if run++; owned[i] || b[i] != 0 {
			run = 0
		}
		if run == 16 {
			return i - 15, i
		}
	}
	s.t.Fatal("its sections leave no gap")
	return 0, 0
}
