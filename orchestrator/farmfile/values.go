// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

package farmfile

import (
	"encoding/base64"
	"errors"
	"fmt"
	"math/big"
	"net"
	"net/netip"
	"net/url"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/hashicorp/hcl/v2"
	"github.com/robfig/cron/v3"
	"github.com/zclconf/go-cty/cty"

	"github.com/zfarm/zfarm/recipes/nearest"
	"github.com/zfarm/zfarm/workers"
)

// day is a day of 24 hours; a farm knows no daylight saving.
const day = 24 * time.Hour

// plain reports whether s consists of ASCII letters, digits and the given
// signs, begins with a letter or digit, is not empty, and has at most most
// bytes.
func plain(s, signs string, most int) bool {
	alphanumeric := func(c byte) bool { return '0' <= c && c <= '9' || 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' }
	if s == "" || len(s) > most || !alphanumeric(s[0]) {
		return false
	}
	for i := range len(s) {
		if !alphanumeric(s[i]) && strings.IndexByte(signs, s[i]) < 0 {
			return false
		}
	}
	return true
}

// checkLine requires a text that fits on one line.
func (r *reader) checkLine(at hcl.Range, what, s string, most int) bool {
	odd := func(c rune) bool { return !unicode.IsPrint(c) }
	switch n := utf8.RuneCountInString(s); {
	case strings.TrimSpace(s) == "":
		r.errorf(at, "Invalid text", "%s is empty. Write one, or leave it out.", what)
	case n > most:
		r.errorf(at, "Invalid text", "%s has %d characters; write %d at most.", what, n, most)
	case strings.ContainsFunc(s, odd):
		r.errorf(at, "Invalid text", "%s holds a newline or another character that is not printed. Write one line.", what)
	case strings.TrimSpace(s) != s:
		r.errorf(at, "Invalid text", "%s begins or ends with a space. Leave it out.", what)
	default:
		return true
	}
	return false
}

// text returns an argument that is one line of text.
func (b *block) text(name string, most int) (string, bool) {
	v, ok := b.value(name, cty.String, "text in quotes")
	if !ok || !b.r.checkLine(b.at(name), fmt.Sprintf("%q", name), v.AsString(), most) {
		return "", false
	}
	return v.AsString(), true
}

func (b *block) flag(name string) bool {
	v, ok := b.value(name, cty.Bool, "true or false")
	return ok && v.True()
}

// count returns an argument that is a whole number between least and most.
func (b *block) count(name string, def, least, most int64) int {
	v, ok := b.value(name, cty.Number, "a whole number")
	if !ok {
		return int(def)
	}
	n, accuracy := v.AsBigFloat().Int64()
	if accuracy != big.Exact || n < least || n > most {
		b.r.errorf(b.at(name), "Invalid number", "%q wants a whole number from %d to %d.", name, least, most)
		return int(def)
	}
	return int(n)
}

// ratio returns an argument that is a number between least and most.
func (b *block) ratio(name string, def, least, most float64) float64 {
	v, ok := b.value(name, cty.Number, "a number")
	if !ok {
		return def
	}
	f, _ := v.AsBigFloat().Float64()
	if f < least || f > most {
		b.r.errorf(b.at(name), "Invalid number", "%q wants a number from %v to %v.", name, least, most)
		return def
	}
	return f
}

// span returns an argument that is a duration between least and most. If never
// is set, "never" is accepted, too, and means zero.
func (b *block) span(name string, def, least, most time.Duration, never bool) time.Duration {
	v, ok := b.value(name, cty.String, `a length of time in quotes, such as "30m"`)
	if !ok {
		return def
	}
	s := v.AsString()
	if never && s == "never" {
		return 0
	}
	d, err := parseSpan(s)
	or := ""
	if never {
		or = `, or "never"`
	}
	switch {
	case err != nil:
		b.r.errorf(b.at(name), "Invalid length of time", "%q wants a length of time such as \"90d\", \"1h30m\" or \"45s\"%s.", name, or)
	case d < least || d > most:
		b.r.errorf(b.at(name), "Invalid length of time", "%q wants a length of time from %s to %s%s.", name, spanText(least), spanText(most), or)
	default:
		return d
	}
	return def
}

// parseSpan reads the syntax of time.ParseDuration, which may follow a number
// of 24-hour days.
func parseSpan(s string) (time.Duration, error) {
	if len(s) > 40 || strings.Trim(s, "0123456789.dhmsunµ") != "" {
		return 0, errors.New("not a length of time")
	}
	var days int
	if before, rest, ok := strings.Cut(s, "d"); ok {
		var err error
		if days, err = strconv.Atoi(before); err != nil || days > 100_000 {
			return 0, errors.New("not a number of days")
		}
		if s = rest; s == "" {
			s = "0"
		}
	}
	d, err := time.ParseDuration(s)
	if err != nil || d > 100_000*day {
		return 0, errors.New("not a length of time")
	}
	return time.Duration(days)*day + d, nil
}

// spanText formats a duration as parseSpan reads it, unlike humanize.Duration: a user
// copies it into the farm file.
func spanText(d time.Duration) string {
	if d >= day && d%day == 0 {
		return fmt.Sprintf("%dd", d/day)
	}
	s := strings.TrimSuffix(d.String(), "m0s")
	if len(s) < len(d.String()) {
		s += "m"
	}
	return strings.Replace(s, "h0m", "h", 1)
}

// size returns an argument that is a number of bytes between least and most.
func (b *block) size(name string, def, least, most int64) int64 {
	v, ok := b.value(name, cty.String, `a size in quotes, such as "64MiB"`)
	if !ok {
		return def
	}
	n, ok := parseSize(v.AsString())
	if !ok || n < least || n > most {
		b.r.errorf(b.at(name), "Invalid size", "%q wants a size in KiB, MiB or GiB, such as \"64MiB\", from %s to %s.", name, sizeText(least), sizeText(most))
		return def
	}
	return n
}

func parseSize(s string) (int64, bool) {
	m := regexp.MustCompile(`^([0-9]{1,7}) ?([KMG])iB$`).FindStringSubmatch(s)
	if m == nil {
		return 0, false
	}
	n, err := strconv.ParseInt(m[1], 10, 64)
	return n << (10 * (1 + strings.Index("KMG", m[2]))), err == nil
}

// sizeText formats a size as parseSize reads it, unlike humanize.Bytes: a user copies it
// into the farm file.
func sizeText(n int64) string {
	for i, unit := range []string{"GiB", "MiB"} {
		if shift := 30 - 10*i; n >= 1<<shift {
			return fmt.Sprintf("%d%s", n>>shift, unit)
		}
	}
	return fmt.Sprintf("%dKiB", n>>10)
}

// words returns an argument that is a list of known words.
func (b *block) words(name string, known []string) []string {
	items, _ := b.items(name)
	var out []string
	for _, it := range items {
		switch {
		case !slices.Contains(known, it.text):
			b.r.errorf(it.at, "Unknown word", "%q does not know %q.%s", name, it.text, nearest.OneOf(it.text, known))
		case slices.Contains(out, it.text):
			b.r.errorf(it.at, "Word given twice", "%q has %q already. Remove one of the two.", name, it.text)
		default:
			out = append(out, it.text)
		}
	}
	return out
}

// ports returns an argument that is a list of patterns for names of ports.
func (b *block) ports(name string, def []string) []string {
	items, ok := b.items(name)
	if !ok {
		return def
	}
	if len(items) == 0 {
		b.r.errorf(b.at(name), "No ports", "Name a port at least, or write [\"*\"] for all of them.")
	}
	var out []string
	for _, it := range items {
		_, err := path.Match(it.text, "")
		switch {
		case err != nil:
			b.r.errorf(it.at, "Invalid pattern", "The pattern %q has a bracket or backslash without its other half. * stands for any letters, ? for one.", it.text)
		case it.text == "" || len(it.text) > 100 || strings.ToLower(it.text) != it.text || strings.ContainsFunc(it.text, func(c rune) bool { return c <= ' ' || c > '~' || c == '/' }):
			b.r.errorf(it.at, "Invalid pattern", "A pattern is like the name of a port, such as \"gzip\" or \"lib*\": lower-case letters, digits and signs, without slashes and spaces.")
		default:
			out = append(out, it.text)
		}
	}
	return out
}

// path returns an argument that names a file or folder, relative to the folder
// of the farm's file.
func (b *block) path(name, def string) string {
	s, ok := b.text(name, maxLine)
	if !ok {
		if def == "" {
			return ""
		}
		s = def
	}
	return b.r.resolve(b.at(name), s)
}

func (r *reader) resolve(at hcl.Range, s string) string {
	if strings.HasPrefix(s, "~") {
		r.errorf(at, "Invalid path", "~ means nothing here: the farm is served by an account of its own. Write the whole path.")
		return ""
	}
	if filepath.IsAbs(s) {
		return filepath.Clean(s)
	}
	return filepath.Join(r.dir, s)
}

// existing returns an argument that names a file, and has checkFiles check it.
func (b *block) existing(name, what string) string {
	p := b.path(name, "")
	if p != "" {
		b.r.files = append(b.r.files, namedFile{p, b.at(name), what})
	}
	return p
}

// listen returns the address to listen on, and whether it is reachable from
// this machine only.
func (b *block) listen(name, def string) (address string, loopback bool) {
	s, ok := b.text(name, 300)
	if !ok {
		return def, true
	}
	host, port, err := net.SplitHostPort(s)
	n, portErr := strconv.Atoi(port)
	if err != nil || portErr != nil || n < 0 || n > 65535 || strings.ContainsAny(host, " /@") {
		b.r.errorf(b.at(name), "Invalid address", "Write the address to listen on as host:port, such as \"127.0.0.1:8473\" or \"[::1]:8473\"; \":8473\" is every address of this machine.")
		return def, true
	}
	ip, err := netip.ParseAddr(host)
	return s, host == "localhost" || err == nil && ip.IsLoopback()
}

// mirror returns the normal form of a mirror's address.
func (r *reader) mirror(it item) (string, bool) {
	if !strings.Contains(it.text, "://") {
		if !r.checkLine(it.at, "A mirror", it.text, maxLine) {
			return "", false
		}
		p := r.resolve(it.at, it.text)
		return p, p != ""
	}
	u, err := url.Parse(it.text)
	switch {
	case err == nil && u.User != nil:
		r.errorf(it.at, "Invalid mirror", "The address holds a user name or password. Leave it out; mirrors are read without one.")
	case err != nil || strings.ContainsFunc(it.text, func(c rune) bool { return c <= ' ' || c > '~' }) || u.Fragment != "" || u.RawQuery != "" || !isMirror(u):
		r.errorf(it.at, "Invalid mirror", "A mirror is a folder, a file:///folder address, or an https:// or http:// address below which the files lie.")
	default:
		return it.text, true
	}
	return "", false
}

// isMirror reports whether an address can be that of a mirror.
func isMirror(u *url.URL) bool {
	switch u.Scheme {
	case "file":
		return u.Host == "" && strings.HasPrefix(u.Path, "/")
	case "http", "https":
		return u.Hostname() != ""
	default:
		return false
	}
}

// address reads a worker's address. It allows no settings in it: they belong
// in the block.
func (r *reader) address(at hcl.Range, s string, w *Worker) {
	a, err := workers.ParseAddress(s)
	reason := ""
	if wrong := new(workers.AddressError); errors.As(err, &wrong) {
		reason = wrong.Reason
	}
	w.Local = strings.HasPrefix(s, "local:")
	if len(a.Settings) > 0 || !w.Local && strings.ContainsAny(s, "?#") {
		reason = "it goes on behind the folder; settings stand in the block, one a line"
	}
	switch {
	case reason != "":
		r.errorf(at, "Invalid address", "This is no address of a worker: %s. Write \"ssh://user@host:port/folder\", or \"local:\" for this machine.", reason)
	case !w.Local:
		w.Address = s
	case a.Local == "":
		w.Address = "local:"
	default:
		if w.Root = r.resolve(at, a.Local); w.Root != "" {
			w.Address = "local:"
		}
	}
}

// hostKeyTypes returns the types of host keys that can be pinned.
func hostKeyTypes() []string {
	return []string{"ssh-ed25519", "ecdsa-sha2-nistp256", "ecdsa-sha2-nistp384", "ecdsa-sha2-nistp521", "ssh-rsa"}
}

// checkHostKey requires a public key as ssh-keyscan writes it, without the
// host.
func (r *reader) checkHostKey(it item) bool {
	fields := strings.Fields(it.text)
	if len(fields) >= 2 && slices.Contains(hostKeyTypes(), fields[0]) {
		wire, err := base64.StdEncoding.DecodeString(fields[1])
		head := "\x00\x00\x00" + string(rune(len(fields[0]))) + fields[0] // RFC 4253, section 6.6
		if err == nil && len(wire) > len(head) && strings.HasPrefix(string(wire), head) {
			return true
		}
	}
	r.errorf(it.at, "Invalid host key", "A host key is written \"ssh-ed25519 AAAA...\": what ssh-keyscan prints, without the name of the host before it. Types are %s.", strings.Join(hostKeyTypes(), ", "))
	return false
}

// checkIssuer requires the address of an OpenID issuer (OpenID Connect
// Discovery 1.0, section 3): https, without query or fragment.
func (r *reader) checkIssuer(at hcl.Range, s string) bool {
	u, err := url.Parse(s)
	if err == nil && u.Hostname() != "" && u.User == nil && u.RawQuery == "" && u.Fragment == "" {
		ip, err := netip.ParseAddr(u.Hostname())
		here := u.Hostname() == "localhost" || err == nil && ip.IsLoopback()
		if u.Scheme == "https" || u.Scheme == "http" && here {
			return true
		}
	}
	r.errorf(at, "Invalid issuer", "An issuer is an https:// address, letter by letter as its tokens name it under \"iss\", without anything behind ? or #.")
	return false
}

// parseCron reads five fields as in crontab(5), or one of its words.
func parseCron(s string) (cron.Schedule, error) {
	fields := strings.Fields(s)
	words := []string{"@yearly", "@annually", "@monthly", "@weekly", "@daily", "@midnight", "@hourly"}
	switch {
	case len(s) > 200:
		return nil, errors.New("it is too long")
	case len(fields) == 1 && slices.Contains(words, fields[0]):
	case len(fields) != 5:
		return nil, fmt.Errorf("it has %d fields, not 5", len(fields))
	case !regexp.MustCompile(`^[0-9A-Za-z*/,?-]+$`).MatchString(strings.Join(fields, "")):
		return nil, errors.New("it has signs that no field has")
	}
	plan, err := cron.ParseStandard(strings.Join(fields, " "))
	if err != nil {
		return nil, err
	}
	// Next gives up after five years. From this date they include a 29th of
	// February.
	if plan.Next(time.Date(2024, 1, 1, 0, 0, 0, 0, time.UTC)).IsZero() {
		return nil, errors.New("no day is ever like that")
	}
	return plan, nil
}
