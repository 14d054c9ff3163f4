// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

package corpus

import (
	"regexp"
	"strings"
	"time"

	"github.com/zfarm/zfarm/orchestrator/compare"
)

// hookRules accept the id string of the zoslib hook in a binary.
func hookRules() []compare.Rule {
	rule := func(name, pattern string) compare.Rule {
		return compare.Rule{Name: name, Format: "bytes", Pattern: regexp.MustCompile(pattern), Tier: compare.Stamp, Reason: "the zoslib hook leaves it"}
	}
	return []compare.Rule{
		rule("zopen.buildrev", `\$Id: Vendor:[A-Za-z ]+ BuildRev:[0-9a-f]{7} ([0-9]{4}-[0-9]{2}-[0-9]{2} [0-9:]{8} [A-Z]{3}) \$`),
		rule("zopen.hook", `/tmp/zoslib_hook\.([a-z0-9]+\.[0-9]+\.[0-9]+)\.c`),
	}
}

// textRule is a rule for lines.
func textRule(name, pattern string) compare.Rule {
	return compare.Rule{Name: name, Format: "text", Path: "*", Pattern: regexp.MustCompile(pattern), Tier: compare.Stamp, Reason: "the configuration is recorded"}
}

// script runs a shell script on each side and packs its output.
func script(name, body string) func(w *workshop) (a, b compare.Input) {
	return both(func(s *side) []file { return []file{reg("port-1.0/share/"+name, s.sh(body))} })
}

// alike are two texts.
func alike(name, a, b string) func(w *workshop) (x, y compare.Input) {
	return both(func(s *side) []file { return []file{reg(name, pick(s, a, b))} })
}

func date() []string { return []string{"date"} }

const stampCause = "time of the build is embedded"

// texts are stamps and paths in text.
func texts() []pair {
	p := func(sources []int, name, body string, l label) pair {
		return pair{name: "text: " + name, sources: sources, tools: date(), plant: script("notes", body), want: masked(compare.Stamp, l)}
	}
	return []pair{
		p([]int{7, 25}, "date and time of ISO 8601", `date -u -d "@$NOW" '+Built %Y-%m-%dT%H:%M:%SZ by us'`, named("stamp.datetime", stampCause).reads("2026-11-22T15:03:00Z", "2026-11-23T16:04:00Z")),
		p([]int{7, 20}, "date and time in the zone of the build", `date -d "@$NOW" '+Built %Y-%m-%d %H:%M:%S.'`, named("stamp.datetime", stampCause).reads("2026-11-22 03:03:00", "2026-11-24 06:04:00")),
		p([]int{7, 20}, "date and time with an offset to UTC", `date -d "@$NOW" '+Built %Y-%m-%d %H:%M:%S %z'`, named("stamp.datetime", stampCause).reads("-1200", "+1400")),
		p([]int{7}, "seconds since 1970", `echo "build=$NOW;"`, named("stamp.epoch", stampCause)),
		p([]int{7}, "what date writes", `date -u -d "@$NOW"`, named("stamp.datetime|stamp.date|stamp.time", stampCause)),
		p([]int{7}, "a date of the mail", `date -d "@$NOW" '+Date: %a, %d %b %Y %H:%M:%S %z'`, named("stamp.datetime", stampCause)),
		p([]int{25}, "a date of eight digits", `date -u -d "@$NOW" '+#define RELEASE "%Y%m%d"'`, named("stamp.date", stampCause).reads("20261122", "20261123")),
		p([]int{25}, "a stamp of zopen", `date -u -d "@$NOW" '+%Y%m%d_%H%M%S'`, named("stamp.datetime", stampCause).reads("20261122_150300", "20261123_160400")),
		p([]int{8}, "the path of the build in a .pc file", `printf 'prefix=%s/usr\nlibdir=${prefix}/lib\nbuilt=%s\n' "$BUILD" "$BUILD"`, named("embedded.build path", "build path is embedded")),
		{name: "text in EBCDIC: date and time, tagged", sources: []int{7, 24}, tools: date(),
			plant: both(func(s *side) []file {
				return []file{reg("README", ebcdic(s.sh(`date -u -d "@$NOW" '+Built on %b %e %Y at %H:%M:%S'`))).tagged("1047")}
			}),
			want: masked(compare.Stamp, named("stamp.date|stamp.datetime", stampCause))},
		{name: "text in EBCDIC: the path of the build", sources: []int{8, 24},
			plant: both(func(s *side) []file {
				return []file{reg("lib/config", ebcdic("prefix="+s.dir+"/usr\n")).tagged("1047")}
			}),
			want: masked(compare.Stamp, named("embedded.build path", "build path is embedded"))},
		{name: "text: the path of the build has another length", sources: []int{8},
			known: func(k *compare.Known) {
				k.A.Values["build path"], k.B.Values["build path"] = "/w/short", "/w/much-longer"
			},
			plant: alike("lib/x.pc", "prefix=/w/short/usr\n", "prefix=/w/much-longer/usr\n"),
			want:  told(named("embedded.build path", "another length").reads("/w/short", "/w/much-longer"))},
		{name: "text: HOME", sources: []int{8}, plant: script("rc", `echo "cache=$OLDHOME/.cache"`), want: told(named("embedded.HOME", "HOME is embedded"))},
		{name: "text: a time, but the times of the builds are not known", sources: []int{7}, tools: date(),
			known: func(k *compare.Known) {
				k.A.Begun, k.A.Ended, k.B.Begun, k.B.Ended = time.Time{}, time.Time{}, time.Time{}, time.Time{}
			},
			plant: alike("notes", "Built 2026-11-22T15:03:00Z\n", "Built 2026-11-23T16:04:00Z\n"),
			want:  told(named("content", "not known"))},
		{name: "text: a stamp where only tier 0 is allowed", sources: []int{7}, tools: date(), plant: script("notes", `date -u -d "@$NOW" '+Built %Y-%m-%dT%H:%M:%SZ'`),
			allowed: []compare.Tier{compare.Container}, want: want{compare.Different, compare.Stamp, named("stamp.datetime", stampCause)}},
	}
}

// perlConfig is a Config.pm of perl, reduced to the lines in which builds differ.
const perlConfig = `package Config;
# %s was configured by %s on %s.
cf_by='%s'
cf_time='%s'
myhostname='%s'
osvers='29.00'
1;
`

// configurations are configuration dumps and stamps of releases.
func configurations() []pair {
	perl := both(func(s *side) []file {
		v := s.cond.Values
		text := strings.NewReplacer("# %s was configured by %s on %s.\n", "", "cf_by='%s'", "cf_by='"+v["user"]+"'",
			"cf_time='%s'", "cf_time='"+s.at.Format("Mon Jan _2 15:04:05 2006")+"'", "myhostname='%s'", "myhostname='"+strings.ToLower(v["host"])+"'").Replace(perlConfig)
		return []file{reg("perl-5.40/Config.pm", text)}
	})
	perlRules := []compare.Rule{textRule("perl.by", `^cf_by='(.*)'$`), textRule("perl.time", `^cf_time='(.*)'$`), textRule("perl.host", `^myhostname='(.*)'$`)}
	metadata := func(s *side) []file {
		return []file{reg("gzip-1.12/metadata.json", `{"product": {"name": "gzip", "version": "1.12", "release": "`+s.at.Format("20060102_150405")+`"}, "dependencies": ["zoslib"]}`+"\n")}
	}
	release := compare.Rule{Name: "zopen.release", Format: "json", Path: "metadata.json", Field: "/product/release", Pattern: regexp.MustCompile(`^([0-9]{8}_[0-9]{6})$`),
		Tier: compare.Stamp, Reason: "zopen stamps each release"}
	return []pair{
		{name: "perl Config.pm, with rules", sources: []int{17}, rules: perlRules, plant: perl, want: masked(compare.Stamp, named("rule.perl.host", "configuration is recorded"))},
		{name: "perl Config.pm: who configured, with rules", sources: []int{17}, rules: perlRules, plant: perl,
			want: masked(compare.Stamp, named("rule.perl.by", "configuration is recorded").reads("builder1", "another2"))},
		{name: "perl Config.pm, without rules", sources: []int{17}, plant: perl, want: told(named("embedded.user", "user is embedded"))},
		{name: "perl Config.pm: hosts of unlike length, with a rule", sources: []int{17}, rules: perlRules,
			plant: alike("perl-5.40/Config.pm", "version='5.40'\nmyhostname='lpar1'\n", "version='5.40'\nmyhostname='lpar1.example.org'\n"),
			want:  masked(compare.Stamp, named("rule.perl.host", "configuration is recorded").reads("lpar1", "lpar1.example.org"))},
		{name: "openssl buildinf.h", sources: []int{17, 7},
			plant: both(func(s *side) []file {
				return []file{reg("include/buildinf.h", "#define PLATFORM \"platform: OS390-64\"\n#define DATE \"built on: "+s.at.Format("Mon Jan _2 15:04:05 2006")+" UTC\"\n")}
			}),
			want: masked(compare.Stamp, named("stamp.datetime", stampCause).reads("Sun Nov 22 15:03:00 2026", "Mon Nov 23 16:04:00 2026"))},
		{name: "python sysconfig: the path of the build", sources: []int{17, 8}, tools: []string{"python3"},
			plant: both(func(s *side) []file {
				s.write("dump.py", "import os\nd = {'abs_builddir': os.environ['BUILD'], 'CC': 'clang'}\nprint('build_time_vars =', d)\n")
				return []file{reg("lib/_sysconfigdata.py", s.run("python3", "dump.py"))}
			}),
			want: masked(compare.Stamp, named("embedded.build path", "build path is embedded"))},
		{name: "python build-details.json: the host", sources: []int{17},
			plant: both(func(s *side) []file {
				return []file{reg("lib/build-details.json", `{"schema_version": "1.0", "host": "`+s.cond.Values["host"]+`"}`+"\n")}
			}),
			want: told(named("json:/host|embedded.host", "").reads("LPARONE", "LPARTWO"))},
		{name: "configure: what uname says of the host", sources: []int{17, 22}, plant: script("config.log", `printf 'uname -s = OS/390\nhostname = %s\nuname -m = 8561\n' "$HOST"`),
			want: told(named("embedded.host", "host is embedded").reads("LPARONE", "LPARTWO"))},
		{name: "php -i", sources: []int{17, 7}, tools: date(), plant: script("php.txt", `printf 'System => OS/390 29.00 04 8561\n'; date -u -d "@$NOW" '+Build Date => %b %e %Y %H:%M:%S'`),
			want: masked(compare.Stamp, named("stamp.datetime", stampCause).reads("Nov 22 2026 15:03:00", "Nov 23 2026 16:04:00"))},
		{name: "metadata.json: the release, with a rule", sources: []int{25}, rules: []compare.Rule{release}, plant: both(metadata),
			want: masked(compare.Stamp, named("rule.zopen.release", "zopen stamps").reads("20261122_150300", "20261123_160400"))},
		{name: "metadata.json: the time of the build", sources: []int{25},
			plant: both(func(s *side) []file {
				return []file{reg("gzip-1.12/metadata.json", `{"build_time": "`+s.at.Format(time.RFC3339)+`", "name": "gzip"}`+"\n")}
			}),
			want: masked(compare.Stamp, named("json:/build_time", "time of the build").reads("2026-11-22T15:03:00Z", "2026-11-23T16:04:00Z"))},
		{name: ".buildtimestamp", sources: []int{25}, plant: script(".buildtimestamp", `echo "$NOW"`), want: masked(compare.Stamp, named("stamp.epoch", stampCause))},
		{name: "the stamp of the release in the names of files", sources: []int{25}, tools: date(),
			plant: both(func(s *side) []file {
				return []file{reg("gzip-1.12."+strings.TrimSpace(s.sh(`date -u -d "@$NOW" +%Y%m%d_%H%M%S`))+".zos/README", "the same\n")}
			}),
			want: told(named("member", "only"))},
		{name: "resolved dependencies: another version of one", sources: []int{23},
			plant: alike("metadata.json", `{"name":"curl","resolved":{"zlib":"1.3.1","zoslib":"5.0.1"}}`, `{"name":"curl","resolved":{"zlib":"1.3.1","zoslib":"5.1.0"}}`),
			want:  told(named("json:/resolved/zoslib", "").reads("5.0.1", "5.1.0"))},
		{name: "resolved dependencies: one more, in a list of lines", sources: []int{23}, plant: alike("deps.txt", "zlib 1.3.1\n", "xz 5.6.2\nzlib 1.3.1\n"), want: told(named("content", ""))},
		{name: "JSON: its keys in another order", sources: []int{19}, plant: alike("a.json", `{"x": 1, "y": [2, 3]}`, `{"y": [2, 3], "x": 1}`), want: told(named("content|json|json:", "another order"))},
	}
}

// environments are scripts whose output depends on their surroundings.
func environments() []pair {
	return []pair{
		{name: "script: the number of its process", sources: []int{18}, plant: script("x.c", `echo "/* conf$$.c */"`), want: told(named("content", ""))},
		{name: "script: a name of mktemp", sources: []int{18}, tools: []string{"mktemp"}, plant: script("x.c", `echo "/* $(mktemp -u cXXXXXXXX) */"`), want: told(named("content", ""))},
		{name: "script: random bytes", sources: []int{18}, tools: []string{"od"}, plant: script("key", `od -An -N16 -tx1 /dev/urandom`), want: told(named("content", ""))},
		{name: "script: a list in the order of the folder", sources: []int{19},
			plant: both(func(s *side) []file {
				for _, n := range pick(s, []string{"b", "a", "c"}, []string{"c", "a", "b"}) {
					s.write("src/"+n+".c", "")
				}
				// Folders list names in an order of their own, which this script
				// shows.
				return []file{reg("lib/files", pick(s, s.sh("ls src"), s.sh("ls -r src")))}
			}),
			want: told(named("content", "same lines in another order"))},
		{name: "script: names sorted by locale", sources: []int{20}, tools: []string{"sort"},
			plant: script("names", `printf 'Zebra\napple\nMango\nberry\n' | if [ "$LOCALE" = C ]; then sort; else sort -f; fi`), want: told(named("content", "same lines in another order"))},
		{name: "script: the name of the time zone", sources: []int{20}, tools: date(), plant: script("zone", `date -d "@$NOW" '+zone %Z'`), want: told(named("embedded.time zone", "time zone is embedded"))},
		{name: "script: the value of TZ", sources: []int{20}, plant: script("env", `echo "TZ=$TZ"`), want: told(named("embedded.time zone", "time zone is embedded").reads("ZFA+12", "ZFB-14"))},
		{name: "script: the name of the locale", sources: []int{20}, plant: script("env", `echo "lang=$LOCALE;"`), want: told(named("embedded.locale", "locale is embedded").reads("C", "En_US"))},
		{name: "script: the name of a month by locale", sources: []int{20}, tools: date(),
			plant: alike("notes", "Built on 22 Nov 2026.\n", "Built on 23 nov. 2026.\n"), want: told(named("content", ""))},
		{name: "script: the number of jobs", sources: []int{21}, plant: script("config.h", `echo "#define JOBS $JOBS"`), want: told(named("embedded.jobs", "jobs is embedded").reads("4", "7"))},
		{name: "script: what ends first stands first", sources: []int{21},
			plant: script("order", `for i in 1 2 3 4 5 6 7 8 9; do echo "$((i % JOBS)) part $i"; done | sort -n | sed 's/^[0-9]* //'`), want: told(named("content", "same lines in another order"))},
		{name: "script: user and host", sources: []int{17, 18}, plant: script("id", `echo "#1 $LOGNAME@$HOST"`), want: told(named("embedded.user", "user is embedded").reads("builder1", "another2"))},
		{name: "text: tagged 819 and tagged 1047", sources: []int{24},
			plant: both(func(s *side) []file {
				return []file{pick(s, reg("README", "hello\n").tagged("819"), reg("README", ebcdic("hello\n")).tagged("1047"))}
			}),
			want: told(named("zos.taginfo", "tag").reads("819", "1047"))},
		{name: "text: tagged, and not", sources: []int{24},
			plant: both(func(s *side) []file {
				return []file{pick(s, reg("README", "hello\n").tagged("819"), reg("README", "hello\n"))}
			}),
			want: told(named("zos.taginfo", "tag").reads("819", ""))},
		{name: "text: newlines of another kind", sources: []int{24}, plant: alike("README", "one\ntwo\n", "one\r\ntwo\r\n"), want: told(named("content", "line"))},
	}
}

// tamperedTexts are edited texts.
func tamperedTexts() []pair {
	far := []compare.Rule{textRule("far", `^version='(.*)'$`)}
	return []pair{
		{name: "text: a changed word beside a stamp", tampering: instruction,
			plant: alike("bin/run", "# built 2026-11-22T15:03:00Z\nexec tool --safe\n", "# built 2026-11-23T16:04:00Z\nexec tool --evil\n"), want: told(named("content", "").in("bin/run"))},
		{name: "text: a time of a year ago", tampering: outside, plant: alike("notes", "Built 2026-11-22T15:03:00Z\n", "Built 2025-11-23T16:04:00Z\n"), want: told(named("content", "outside the time of the build"))},
		{name: "text: a time of the other build", tampering: outside, plant: alike("notes", "Built 2026-11-22T15:03:00Z\n", "Built 2026-11-22T15:04:00Z\n"), want: told(named("content", "outside the time of the build"))},
		{name: "JSON: a time of a year ago", tampering: outside, plant: alike("m.json", `{"build_time":"2026-11-22T15:03:00Z"}`, `{"build_time":"2025-11-23T16:04:00Z"}`), want: told(named("json:/build_time", ""))},
		{name: "JSON: a changed value beside a stamp", tampering: instruction, plant: alike("m.json", `{"build_time":"2026-11-22T15:03:00Z","setuid":false}`, `{"build_time":"2026-11-23T16:04:00Z","setuid":true }`),
			want: told(named("json:/setuid", "").reads("false", "true"))},
		{name: "text: in another code page, with its tag", tampering: codePage,
			plant: both(func(s *side) []file {
				return []file{pick(s, reg("bin/run", "#!/bin/sh\nexit 0\n").tagged("819"), reg("bin/run", ebcdic("#!/bin/sh\nexit 0\n")).tagged("1047"))}
			}),
			want: told(named("content", "same text in another code page").in("bin/run"))},
		{name: "text: in another code page, without tags", tampering: codePage, plant: alike("bin/run", "#!/bin/sh\nexit 0\n", ebcdic("#!/bin/sh\nexit 0\n")), want: told(named("content", "same text in another code page"))},
		{name: "text: in another code page, under a tag that lies", tampering: codePage,
			plant: both(func(s *side) []file {
				return []file{reg("bin/run", pick(s, "#!/bin/sh\nexit 0\n", ebcdic("#!/bin/sh\nexit 0\n"))).tagged("819")}
			}),
			want: told(named("content", "").in("bin/run"))},
		{name: "rule: another line than its own", tampering: farRule, rules: far,
			plant: alike("lib/Config.pm", "version='1.0'\nsafe='yes'\n", "version='1.1'\nsafe='no!'\n"), want: told(named("content", "").in("Config.pm"))},
		{name: "rule: a mode beside its line", tampering: farRule, rules: far,
			plant: both(func(s *side) []file {
				return []file{reg("lib/Config.pm", pick(s, "version='1.0'\n", "version='1.1'\n")).mode(pick[uint32](s, 0o755, 0o4755))}
			}),
			want: told(named("mode", "setuid"))},
		{name: "rule: a line more than its own", tampering: farRule, rules: far, plant: alike("lib/Config.pm", "version='1.0'\n", "version='1.1'\nevil\n"), want: told(named("content", ""))},
		{name: "rule: the compiler of an object", tampering: farRule, known: aDayLater,
			rules: []compare.Rule{{Name: "far", Format: "bytes", Pattern: regexp.MustCompile(`Debian (...)2210`), Tier: compare.Stamp, Reason: "it reaches too far"}},
			plant: func(w *workshop) (a, b compare.Input) {
				return edited("x.o", object("plain"), func(b []byte) []byte { return replaced(w.t, b, 0, ebcdic("Debian cla"), ebcdic("Debian clb")) })(w)
			},
			want: told(named("idrl.product", "made it"))},
		{name: "rule: a file that it does not name", tampering: farRule,
			rules: []compare.Rule{{Name: "far", Format: "text", Path: "lib/Config.pm", Pattern: regexp.MustCompile(`^version='(.*)'$`), Tier: compare.Stamp, Reason: "it names another"}},
			plant: alike("port-1.0/bin/run", "version='1.0'\n", "version='1.1'\n"), want: told(named("content", "").in("bin/run"))},
		{name: "rule: the same lines in another order", tampering: farRule, rules: far, plant: alike("lib/x", "version='1.0'\nversion='1.1'\n", "version='1.1'\nversion='1.0'\n"), want: told(named("content", "same lines in another order"))},
	}
}
