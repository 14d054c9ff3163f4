// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

// Package plan decides how the repeats of a build differ on purpose: which
// conditions each is built under. Their workers are assigned by
// orchestrator/schedule.
//
// It is pure: it turns a recipe and the facts of workers into conditions, and
// starts nothing. orchestrator/attempt applies the conditions to the steps of
// a repeat; orchestrator/compare uses their values to explain differences.
package plan

import (
	"fmt"
	"maps"
	"path"
	"slices"
	"strconv"
	"strings"

	"github.com/zfarm/zfarm/recipes"
	"github.com/zfarm/zfarm/workers"
)

// Conditions are what one repeat is built under. They have every condition
// that can be varied; one that is not varied has the baseline's value.
type Conditions struct {
	// Name is "baseline", "varied-1" and so on.
	Name string
	// Path is one letter in the workspace's path. Repeats with different
	// letters are built in folders with different names of the same length, so
	// that an embedded path shifts no other bytes.
	Path string
	// Zone is TZ in POSIX notation. Zones differ in name as well as in offset,
	// so that embedding the name is noticed, too.
	Zone string
	// Locale is the wanted kind of LC_ALL; LocaleOn picks a locale of that
	// kind on a worker.
	Locale Locale
	// Umask is the umask of every step that does not set its own.
	Umask uint32
	// Jobs says how many processes make should use.
	Jobs Jobs
	// Home is HOME, as a path below the workspace.
	Home string
	// Extra is added to the environment.
	Extra map[string]string
}

// Locale is a kind of locale.
type Locale string

// The kinds of locale.
const (
	Plain   Locale = "plain"   // C
	Foreign Locale = "foreign" // another language where installed, else another code set
)

// Jobs is a rule for the number of processes.
type Jobs string

// The rules for the number of processes.
const (
	AllCores  Jobs = "all"  // as many as the worker has cores
	HalfCores Jobs = "half" // half of them; never the same number as AllCores
)

// zones returns three time zones with different names and offsets. They are a
// day apart, so that the date differs, too, whatever the hour.
func zones() []string { return []string{"ZFA+12", "ZFB-14", "ZFC+3:30"} }

// capturedVariable is the variable that varied repeats have and the baseline has not.
const capturedVariable = "ZFARM_CAPTURED"

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

// vary applies one variation to the conditions of repeat i. The worker is not
// among the conditions: the scheduler gives the repeats different workers.
func vary(c *Conditions, variation recipes.Variation, i int) {
	switch variation {
	case recipes.VaryPath:
		c.Path = string(rune('a' + i))
	case recipes.VaryTimezone:
		c.Zone = zones()[i%len(zones())]
	case recipes.VaryLocale:
		if i%2 == 1 {
			c.Locale = Foreign
		}
	case recipes.VaryUmask:
		c.Umask = umasks()[i%len(umasks())]
	case recipes.VaryJobs:
		if i%2 == 1 {
			c.Jobs = HalfCores
		}
	case recipes.VaryHome:
		c.Home = "home-" + strconv.Itoa(i)
	case recipes.VaryEnvironment:
		c.Extra[capturedVariable] = "captured by repeat " + strconv.Itoa(i)
	case recipes.VaryWorker:
	}
}

// LocaleOn returns the locale of a worker that suits c.Locale best, for
// LC_ALL.
func (c Conditions) LocaleOn(f workers.Facts) string {
	if c.Locale == Plain {
		return "C"
	}
	// Languages that sort, fold case or write numbers unlike English reveal
	// the most, then anything but C, then C in another code set.
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

// Values returns the value of each variation on a worker, varied or not. The
// record and the signed statement use these names. Nothing in them comes from
// the worker except the locale, which is one of those that it has.
func (c Conditions) Values(worker string, f workers.Facts) map[recipes.Variation]string {
	values := map[recipes.Variation]string{}
	for _, v := range recipes.Variations() {
		if value := c.value(v, worker, f); value != "" {
			values[v] = value
		}
	}
	return values
}

// value returns "" for a variation that adds nothing to the repeat.
func (c Conditions) value(v recipes.Variation, worker string, f workers.Facts) string {
	switch v {
	case recipes.VaryPath:
		return c.Path
	case recipes.VaryTimezone:
		return c.Zone
	case recipes.VaryLocale:
		return c.LocaleOn(f)
	case recipes.VaryUmask:
		return fmt.Sprintf("%03o", c.Umask)
	case recipes.VaryJobs:
		return strconv.Itoa(c.JobsOn(f))
	case recipes.VaryHome:
		return c.Home
	case recipes.VaryEnvironment:
		if value, ok := c.Extra[capturedVariable]; ok {
			return capturedVariable + "=" + value
		}
	case recipes.VaryWorker:
		return worker
	}
	return ""
}

// Embedded returns the texts of a repeat that the comparison may find in its
// output, by a label for people. values are those of [Conditions.Values]; root
// is the workspace's folder on the worker, "" if it is not known.
func Embedded(values map[recipes.Variation]string, root string, f workers.Facts) map[string]string {
	all := map[string]string{"host": f.Host, "user": f.User}
	for _, v := range recipes.Variations() {
		if label, text := embedded(v, values[v], root); label != "" {
			all[label] = text
		}
	}
	maps.DeleteFunc(all, func(_, text string) bool { return text == "" })
	return all
}

// embedded returns the label and the text to search for; "" if there is none.
// Umask and number of jobs are left out: numbers that short would be found
// everywhere.
func embedded(v recipes.Variation, value, root string) (label, text string) {
	switch v {
	case recipes.VaryPath:
		return "build path", root
	case recipes.VaryTimezone:
		return "time zone", value
	case recipes.VaryLocale:
		return "locale", value
	case recipes.VaryHome:
		if root != "" {
			return "HOME", path.Join(root, value)
		}
	case recipes.VaryEnvironment:
		if name, text, ok := strings.Cut(value, "="); ok {
			return "environment " + name, text
		}
	case recipes.VaryUmask, recipes.VaryJobs, recipes.VaryWorker:
	}
	return "", ""
}

// Env returns the environment of every step of the repeat on a worker. epoch
// is SOURCE_DATE_EPOCH in seconds.
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

// zos returns the variables that make programs on z/OS UNIX treat tagged text
// as text.
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
