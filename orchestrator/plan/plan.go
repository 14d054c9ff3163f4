// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

// Package plan decides how the repeats of a build differ on purpose: which
// conditions each is built under. Which worker each is given is
// orchestrator/schedule's.
//
// It is pure: a recipe and the facts of workers in, conditions out. Nothing is
// started here; orchestrator/attempt lays the conditions over the steps of a
// repeat, orchestrator/compare uses their values to explain what it finds.
package plan

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/zfarm/zfarm/recipes"
	"github.com/zfarm/zfarm/workers"
)

// Conditions are what one repeat is built under. Everything that may be varied
// stands here; what is not varied has the value of the baseline.
type Conditions struct {
	// Name is "baseline" or "varied-1" and so on.
	Name string
	// Path is one letter, part of the workspace's path: two repeats with
	// different letters are built in folders of different names and the same
	// length, so that an embedded path moves nothing else.
	Path string
	// Zone is TZ in POSIX notation. Names of zones differ, not only offsets:
	// a build that embeds the name is found out too.
	Zone string
	// Locale is the kind of LC_ALL that is wanted; LocaleOn says which of
	// them a worker has.
	Locale Locale
	// Umask is that of every step that does not ask for its own.
	Umask uint32
	// Jobs says how many processes make is to use.
	Jobs Jobs
	// Home is HOME below the workspace.
	Home string
	// Extra is laid over the environment.
	Extra map[string]string
}

// Locale is a wish for a locale.
type Locale string

// The wishes.
const (
	Plain   Locale = "plain"   // C
	Foreign Locale = "foreign" // another language where installed, else another code set
)

// Jobs is a wish for a number of processes.
type Jobs string

// The wishes.
const (
	AllCores  Jobs = "all"  // as many as the worker has cores
	HalfCores Jobs = "half" // half of them; never the same number as AllCores
)

// zones are three with different names and offsets. A day apart, so that the
// date differs too, whatever the hour.
func zones() []string { return []string{"ZFA+12", "ZFB-14", "ZFC+3:30"} }

func umasks() []uint32 { return []uint32{0o022, 0o002, 0o027} }

// Repeats returns the conditions of each repeat of the recipe.
func Repeats(r *recipes.Recipe) []Conditions {
	all := make([]Conditions, r.Reproduce.Repeats)
	for i := range all {
		all[i] = baseline()
		if i == 0 {
			continue
		}
		all[i].Name = fmt.Sprintf("varied-%d", i)
		for _, v := range r.Reproduce.Vary {
			vary(&all[i], v, i)
		}
	}
	return all
}

func baseline() Conditions {
	return Conditions{Name: "baseline", Path: "a", Zone: zones()[0], Locale: Plain, Umask: umasks()[0],
		Jobs: AllCores, Home: "home", Extra: map[string]string{}}
}

func vary(c *Conditions, variation string, i int) {
	switch variation {
	case "path":
		c.Path = string(rune('a' + i))
	case "timezone":
		c.Zone = zones()[i%len(zones())]
	case "locale":
		if i%2 == 1 {
			c.Locale = Foreign
		}
	case "umask":
		c.Umask = umasks()[i%len(umasks())]
	case "jobs":
		if i%2 == 1 {
			c.Jobs = HalfCores
		}
	case "home":
		c.Home = "home-" + strconv.Itoa(i)
	case "environment":
		c.Extra["ZFARM_CAPTURED"] = "captured by repeat " + strconv.Itoa(i)
	}
}

// LocaleOn returns the LC_ALL that fulfils the wish best on a worker.
func (c Conditions) LocaleOn(f workers.Facts) string {
	if c.Locale == Plain {
		return "C"
	}
	// Languages that sort, fold case or write numbers unlike English find the
	// most; then anything that is not C; then the C of another code set.
	for _, prefix := range []string{"et_EE", "tr_TR", "Et_EE", "Tr_TR", "fr_", "Fr_", "de_", "De_", "ru_", "ja_", "En_US", "en_"} {
		if i := slices.IndexFunc(f.Locales, func(l string) bool { return strings.HasPrefix(l, prefix) }); i >= 0 {
			return f.Locales[i]
		}
	}
	if i := slices.IndexFunc(f.Locales, func(l string) bool { return strings.HasPrefix(l, "C.") }); i >= 0 {
		return f.Locales[i]
	}
	return "POSIX"
}

// JobsOn returns the number of processes to use on a worker.
func (c Conditions) JobsOn(f workers.Facts) int {
	cores := max(f.Cores, 1)
	switch {
	case c.Jobs == AllCores:
		return cores
	case cores == 1:
		return 2
	default:
		return cores / 2
	}
}

// Values names the conditions as they are on a worker, for people, for the
// record and as the oracle of the comparison.
func (c Conditions) Values(f workers.Facts) map[string]string {
	v := map[string]string{
		"time zone": c.Zone,
		"locale":    c.LocaleOn(f),
		"umask":     fmt.Sprintf("%03o", c.Umask),
		"jobs":      strconv.Itoa(c.JobsOn(f)),
		"HOME":      c.Home,
	}
	if f.Host != "" {
		v["host"] = f.Host
	}
	if f.User != "" {
		v["user"] = f.User
	}
	for name, value := range c.Extra {
		v["environment "+name] = value
	}
	return v
}

// Env returns the environment every step of the repeat gets on a worker.
// epoch is SOURCE_DATE_EPOCH in seconds.
func (c Conditions) Env(f workers.Facts, epoch int64) map[string]string {
	env := map[string]string{
		"PATH":              f.Path,
		"HOME":              "${ZFARM_ROOT}/" + c.Home,
		"TMPDIR":            "${ZFARM_ROOT}/tmp",
		"TZ":                c.Zone,
		"LANG":              c.LocaleOn(f),
		"LC_ALL":            c.LocaleOn(f),
		"SHELL":             f.Shell,
		"SOURCE_DATE_EPOCH": strconv.FormatInt(epoch, 10),
	}
	if f.System == "OS/390" {
		maps.Copy(env, zos())
	}
	maps.Copy(env, c.Extra)
	return env
}

// zos is what programs on z/OS UNIX need to treat tagged text as text.
func zos() map[string]string {
	return map[string]string{
		"_BPXK_AUTOCVT":    "ON",
		"_CEE_RUNOPTS":     "FILETAG(AUTOCVT,AUTOTAG) POSIX(ON)",
		"_TAG_REDIR_IN":    "txt",
		"_TAG_REDIR_OUT":   "txt",
		"_TAG_REDIR_ERR":   "txt",
		"LIBPATH":          "/usr/lib",
		"STEPLIB":          "none",
		"__IPC_CLEANUP":    "1",
		"_ENCODE_FILE_NEW": "ISO8859-1",
	}
}
