// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

package parse

import (
	"encoding/hex"
	"net/url"
	"path"
	"regexp"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/hashicorp/hcl/v2"

	"github.com/zfarm/zfarm/recipes"
	"github.com/zfarm/zfarm/recipes/nearest"
)

// checkLine requires a short text on one line.
func (p *parser) checkLine(at hcl.Range, what, s string, most int) bool {
	switch n := utf8.RuneCountInString(s); {
	case strings.TrimSpace(s) == "":
		p.errorf(at, "Invalid text", "%s is empty. Write one line for people.", upperFirst(what))
	case n > most:
		p.errorf(at, "Invalid text", "%s has %d characters; at most %d are shown in one line.", upperFirst(what), n, most)
	case strings.ContainsFunc(s, unprinted):
		p.errorf(at, "Invalid text", "%s holds a newline or another character that is not printed. Write one line.", upperFirst(what))
	case strings.TrimSpace(s) != s:
		p.errorf(at, "Invalid text", "%s begins or ends with a space. Leave it out.", upperFirst(what))
	default:
		return true
	}
	return false
}

func upperFirst(s string) string { return strings.ToUpper(s[:1]) + s[1:] }

// line returns an argument that is one line of text for people.
func (b *block) line(name string, most int) (string, bool) {
	s, ok := b.text(name)
	if !ok || !b.p.checkLine(b.at(name), "the "+name, s, most) {
		return "", false
	}
	return s, true
}

// isPlainName reports whether s consists of ASCII letters, digits and the given
// signs, begins with a letter, a digit or one of the signs in first, is not
// empty, and has at most most bytes.
func isPlainName(s, first, signs string, most int) bool {
	alphanumeric := func(c byte) bool { return '0' <= c && c <= '9' || 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' }
	if s == "" || len(s) > most || !alphanumeric(s[0]) && strings.IndexByte(first, s[0]) < 0 {
		return false
	}
	for i := range len(s) {
		if !alphanumeric(s[i]) && strings.IndexByte(signs, s[i]) < 0 {
			return false
		}
	}
	return true
}

// maxName bounds the names and versions of ports and tools, in bytes.
const maxName = 64

// checkPort requires the name of a port.
func (p *parser) checkPort(at hcl.Range, name string) bool {
	if isPlainName(name, "", "+._-", maxName) && strings.ToLower(name) == name {
		return true
	}
	p.errorf(at, "Invalid name of a port", "A port's name is made of lower-case letters, digits, +, ., _ and -, begins with a letter or digit, and has 64 characters at most.")
	return false
}

func (p *parser) checkTool(at hcl.Range, name string) bool {
	if isPlainName(name, "_", "+._-", maxName) {
		return true
	}
	p.errorf(at, "Invalid name of a tool", "A tool is named as its program is, without a folder: letters, digits, +, ., _ and -.")
	return false
}

// checkLabel requires NAME or NAME=VALUE, the form of workers' labels.
func (p *parser) checkLabel(at hcl.Range, s string) bool {
	name, value, valued := strings.Cut(s, "=")
	if isPlainName(name, "", "._-", maxName) && (!valued || isPlainName(value, "", "._-", maxName)) {
		return true
	}
	p.errorf(at, "Invalid label", "A label is a name, or a name and a value as in \"compiler=openxl\"; both are made of letters, digits, ., _ and -, begin with a letter or digit, and have 64 characters at most.")
	return false
}

// checkSystem requires a name as "uname -s" prints it.
func (p *parser) checkSystem(at hcl.Range, s string) bool {
	switch {
	case strings.EqualFold(s, "z/OS"), strings.EqualFold(s, "zOS"), s != "OS/390" && strings.EqualFold(s, "OS/390"), strings.EqualFold(s, "OS390"):
		p.errorf(at, "Invalid system", "\"system\" is compared with what \"uname -s\" says, and on z/OS that is \"OS/390\".")
	case !isPlainName(s, "", "/._-", maxName):
		p.errorf(at, "Invalid system", "\"system\" is what \"uname -s\" says on the worker, such as \"OS/390\": letters, digits, /, ., _ and -.")
	default:
		return true
	}
	return false
}

// checkVersion requires a version that can be part of file names.
func (p *parser) checkVersion(at hcl.Range, s string) bool {
	if isPlainName(s, "", "+._~-", maxName) {
		return true
	}
	p.errorf(at, "Invalid version", "A version becomes part of file names: it is made of letters, digits, +, ., _, ~ and -, begins with a letter or digit, and has 64 characters at most.")
	return false
}

// versions returns an argument that is a range of versions.
func (b *block) versions(name string) recipes.Range {
	s, ok := b.text(name)
	if !ok {
		return ""
	}
	r, err := recipes.ParseRange(s)
	if err != nil {
		b.p.errorf(b.at(name), "Invalid version range", "This is a %s.", err)
	}
	return r
}

// licence returns the SPDX expression in the argument "licence".
func (b *block) licence() string {
	s, ok := b.text("licence")
	if !ok {
		return ""
	}
	normal, err := parseLicence(s)
	if err != nil {
		b.p.errorf(b.at("licence"), "Invalid licence", "A licence is an SPDX expression such as \"GPL-3.0-or-later\" or \"MIT OR Apache-2.0\": %s.", err)
	}
	return normal
}

// url returns an argument that is a URL with one of the given schemes.
func (b *block) url(name string, schemes ...string) (string, bool) {
	s, ok := b.text(name)
	if !ok {
		return "", false
	}
	u, err := url.Parse(s)
	odd := func(r rune) bool { return r <= ' ' || r > '~' }
	switch {
	case err != nil || u.Host == "" || !slices.Contains(schemes, u.Scheme) || len(s) > 2000 || strings.ContainsFunc(s, odd):
		b.p.errorf(b.at(name), "Invalid address", "Write a whole address that begins with %s://; spaces and letters beyond ASCII are written as %%20 and the like.", strings.Join(schemes, ":// or "))
	case u.User != nil && u.Scheme != "ssh":
		b.p.errorf(b.at(name), "Invalid address", "The address holds a user name or password, and recipes are public. Leave it out.")
	case u.Fragment != "":
		b.p.errorf(b.at(name), "Invalid address", "Leave out the part after #; it is not sent to a server.")
	default:
		return s, true
	}
	return "", false
}

// knownWords returns an argument that is a list of known words, each once and in
// the order of known.
func (b *block) knownWords(name string, known []string) ([]string, bool) {
	items, ok := b.items(name)
	if !ok {
		return nil, false
	}
	given := make(map[string]bool)
	for _, it := range items {
		s := it.value.AsString()
		given[s] = true
		if !slices.Contains(known, s) && !b.p.full() {
			b.p.errorf(it.at, "Unknown word", "%q does not know %q.%s", name, s, nearest.OneOf(s, known))
		}
	}
	words := []string{}
	for _, k := range known {
		if given[k] {
			words = append(words, k)
		}
	}
	return words, true
}

// globs returns an argument that is a list of globs over paths below the
// prefix.
func (b *block) globs(name string) ([]string, bool) {
	items, ok := b.items(name)
	if !ok {
		return nil, false
	}
	var globs []string
	for _, it := range items {
		g := it.value.AsString()
		_, err := path.Match(g, "")
		switch {
		case err != nil:
			b.p.errorf(it.at, "Invalid pattern", "The pattern %q has a bracket or backslash without its other half.", g)
		case g == "" || len(g) > 500 || strings.HasPrefix(g, "/") || slices.Contains(strings.Split(g, "/"), "..") || path.Clean(g) != g:
			b.p.errorf(it.at, "Invalid pattern", "A pattern is relative to the prefix, such as \"share/doc/**\", without .. and without doubled or trailing slashes.")
		default:
			globs = append(globs, g)
		}
	}
	return sortedSet(globs), true
}

// checkPrefix requires the absolute folder that a port is configured for. The
// prefix appears in search paths and scripts.
func (p *parser) checkPrefix(at hcl.Range, s string) bool {
	switch {
	case !strings.HasPrefix(s, "/") || s == "/" || path.Clean(s) != s:
		p.errorf(at, "Invalid prefix", "A prefix is an absolute folder below the root, such as \"/opt/zfarm/gzip/1.12\", without .., doubled or trailing slashes.")
	case !isPlainName(s, "/", "/+._~-", 200):
		p.errorf(at, "Invalid prefix", "A prefix appears in search paths and scripts: it is made of letters, digits, /, +, ., _, ~ and -, and has 200 characters at most.")
	default:
		return true
	}
	return false
}

// checkInside requires a folder within the source folder.
func (p *parser) checkInside(at hcl.Range, s string) bool {
	if path.Clean("/"+s) == "/"+s && isPlainName(s, "+._~@-", "/+._~@-", 200) {
		return true
	}
	p.errorf(at, "Invalid folder", "\"into\" is a folder within the source folder, such as \"third_party/zlib\": relative, without .., and made of letters, digits, /, +, ., _, ~, @ and -.")
	return false
}

// fingerprint returns the normal form of the fingerprint of an OpenPGP key.
func (p *parser) fingerprint(at hcl.Range, s string) (string, bool) {
	digits := strings.ToUpper(strings.ReplaceAll(s, " ", ""))
	if _, err := hex.DecodeString(digits); err == nil && len(digits) == 40 {
		return digits, true
	}
	hint := ""
	if n := len(digits); n == 8 || n == 16 {
		hint = " A short key id can be forged."
	}
	p.errorf(at, "Invalid fingerprint", "A fingerprint has 40 hexadecimal digits; \"gpg --show-keys FILE\" shows it.%s", hint)
	return "", false
}

func showKeys(name string) string {
	if name == "" {
		name = "FILE"
	}
	return "\"gpg --show-keys " + name + "\""
}

// checkPURL requires a package URL (https://github.com/package-url/purl-spec).
func (p *parser) checkPURL(at hcl.Range, s string) bool {
	if len(s) <= 500 && regexp.MustCompile(`^pkg:[a-z][a-z0-9.-]*(/[A-Za-z0-9._~%:+-]+)+(@[A-Za-z0-9._~%:+-]+)?(\?[!-"$-~]+)?(#[!-~]+)?$`).MatchString(s) {
		return true
	}
	p.errorf(at, "Invalid package URL", "Write it as in \"pkg:generic/gnu/gzip@${version}\"; other characters are written as %%20 and the like.")
	return false
}

// checkCPE requires a CPE 2.3 formatted string (NIST IR 7695, section 6.2).
func (p *parser) checkCPE(at hcl.Range, s string) bool {
	if len(s) <= 500 && regexp.MustCompile(`^cpe:2\.3:[aho*-](:([A-Za-z0-9._*?~-]|\\[!-~])+){10}$`).MatchString(s) {
		return true
	}
	p.errorf(at, "Invalid CPE name", "A CPE 2.3 name has 13 parts between colons, as in \"cpe:2.3:a:gnu:gzip:${version}:*:*:*:*:*:*:*\"; other signs have a backslash before them.")
	return false
}
