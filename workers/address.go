// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

package workers

import (
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"net/url"
	"path"
	"slices"
	"strconv"
	"strings"
)

// AddressKind is the way to reach a worker.
type AddressKind string

// The kinds of address.
const (
	KindSSH   AddressKind = "ssh"   // ssh://user@host:port/absolute/folder
	KindLocal AddressKind = "local" // local:TEXT, this machine
)

// Address says where a worker is and how to reach it. [ParseAddress] parses every
// address that a person writes, on a command line or in a farm file.
type Address struct {
	Kind AddressKind
	// User, Host and Port are the SSH login. Host has no brackets.
	User, Host string
	Port       int
	// Dir is the folder of workspaces of an SSH worker: absolute, clean, not "/".
	Dir string
	// Local is the text after "local:": a name on a command line, a folder or nothing
	// in a farm file. It contains no "?".
	Local string
	// Settings is the query, nil without one. The caller interprets it.
	Settings url.Values
}

// Bounds of an address, in bytes or in number of settings.
const (
	maxAddress  = 4000
	maxHost     = 255 // RFC 1035
	maxUser     = 100
	maxDir      = 1000
	maxSettings = 50
)

// SSHPort is the default port.
const SSHPort = 22

// AddressError says why a text is not the address of a worker.
type AddressError struct {
	// Text is the address without its password.
	Text string
	// Reason says what is wrong, as in "it names no user".
	Reason string
}

func (e *AddressError) Error() string {
	return fmt.Sprintf("address of worker %q: %s; write ssh://user@host:port/folder or local:NAME", e.Text, e.Reason)
}

// ParseAddress parses the address of a worker. Its error is an [*AddressError].
func ParseAddress(s string) (Address, error) {
	a, err := parseAddress(s)
	if err != nil {
		return Address{}, &AddressError{Text: withoutPassword(s), Reason: err.Error()}
	}
	return a, nil
}

func parseAddress(s string) (Address, error) {
	if len(s) > maxAddress {
		return Address{}, fmt.Errorf("it is longer than %d bytes", maxAddress)
	}
	if rest, ok := strings.CutPrefix(s, "local:"); ok {
		return parseLocal(rest)
	}
	if !strings.HasPrefix(s, "ssh://") {
		return Address{}, errors.New("it does not begin with ssh://")
	}
	return parseSSH(s)
}

func parseLocal(rest string) (Address, error) {
	text, query, asked := strings.Cut(rest, "?")
	a := Address{Kind: KindLocal, Local: text}
	if len(text) > maxDir || hasControl(text) {
		return a, fmt.Errorf("the text after local: has control characters in it or more than %d bytes", maxDir)
	}
	var err error
	a.Settings, err = parseSettings(query, asked)
	return a, err
}

func parseSSH(s string) (Address, error) {
	u, err := url.Parse(s)
	if err != nil { // its text can repeat a password
		return Address{}, errors.New("it is no URL; look at its port and its percent signs")
	}
	a := Address{Kind: KindSSH, User: u.User.Username(), Host: u.Hostname(), Port: SSHPort, Dir: path.Clean(u.Path)}
	if text := u.Port(); text != "" {
		if a.Port, err = strconv.Atoi(text); err != nil || a.Port < 1 || a.Port > 65535 {
			return a, errors.New("its port is not one from 1 to 65535")
		}
	}
	_, password := u.User.Password()
	switch {
	case password:
		return a, errors.New("it has a password in it; name identity files instead")
	case a.User == "":
		return a, errors.New("it names no user")
	case a.Host == "" || strings.HasPrefix(a.Host, "-"):
		return a, errors.New("it names no host")
	case !isHost(a.Host):
		return a, errors.New("its host is neither a name nor an IP address (letters, digits, '.', '-' and '_'; an IPv6 address in brackets)")
	case u.Fragment != "" || strings.Contains(s, "#"):
		return a, errors.New("it has a # in it; write %23")
	case !path.IsAbs(u.Path) || a.Dir == "/":
		return a, errors.New("it names no folder for workspaces")
	case strings.ContainsFunc(a.User+a.Host+a.Dir, func(r rune) bool { return r <= ' ' || r >= 0x7f }):
		return a, errors.New("it has blanks or characters outside ASCII in user, host or folder")
	case len(a.User) > maxUser || len(a.Host) > maxHost || len(a.Dir) > maxDir:
		return a, fmt.Errorf("its user, host or folder is longer than %d, %d and %d bytes", maxUser, maxHost, maxDir)
	}
	a.Settings, err = parseSettings(u.RawQuery, u.ForceQuery || u.RawQuery != "")
	return a, err
}

// isHost reports whether s is an IP address, with or without a zone, or consists of the
// characters of host names; ssh(1) and net.Dial take both.
func isHost(s string) bool {
	if !strings.Contains(s, ":") {
		return isName(s)
	}
	ip, err := netip.ParseAddr(s)
	return err == nil && (ip.Zone() == "" || isName(ip.Zone()))
}

func isName(s string) bool {
	const allowed = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-_"
	return s != "" && !strings.ContainsFunc(s, func(r rune) bool { return !strings.ContainsRune(allowed, r) })
}

func parseSettings(query string, asked bool) (url.Values, error) {
	if !asked {
		return nil, nil
	}
	all, err := url.ParseQuery(query)
	if err != nil || len(all) == 0 {
		return nil, errors.New("the settings behind its ? are not written as ?key=value&key=value")
	}
	n := 0
	for key, values := range all {
		n += len(values)
		if key == "" || hasControl(key) || slices.ContainsFunc(values, hasControl) {
			return nil, errors.New("a setting behind its ? has no name, or control characters in it")
		}
	}
	if n > maxSettings {
		return nil, fmt.Errorf("it has more than %d settings", maxSettings)
	}
	return all, nil
}

func hasControl(s string) bool {
	return strings.ContainsFunc(s, func(r rune) bool { return r < ' ' || r == 0x7f })
}

// String returns the address in the form that [ParseAddress] reads: with the port only
// if it is not 22, and the settings sorted.
func (a Address) String() string {
	query := a.Settings.Encode()
	if a.Kind == KindLocal {
		if query != "" {
			query = "?" + query
		}
		return "local:" + a.Local + query
	}
	host := a.urlHost()
	if a.Port != SSHPort {
		host += ":" + strconv.Itoa(a.Port)
	}
	u := url.URL{Scheme: "ssh", User: url.User(a.User), Host: host, Path: a.Dir, RawQuery: query}
	return u.String()
}

// HostPort returns "host:port" as net.Dial takes it.
func (a Address) HostPort() string { return a.urlHost() + ":" + strconv.Itoa(a.Port) }

// urlHost is the host as it stands before a port, an IPv6 address in brackets.
// net.JoinHostPort would link the network into all that names a worker.
func (a Address) urlHost() string {
	if strings.Contains(a.Host, ":") {
		return "[" + a.Host + "]"
	}
	return a.Host
}

// Unknown returns the first setting, by name, that is not in known; "" if there is
// none.
func (a Address) Unknown(known ...string) string {
	for _, key := range slices.Sorted(maps.Keys(a.Settings)) {
		if !slices.Contains(known, key) {
			return key
		}
	}
	return ""
}

// withoutPassword returns the text of an address, correct or not, without anything that
// may be a password, in at most 200 bytes.
func withoutPassword(s string) string {
	if at := strings.LastIndex(s, "@"); at >= 0 {
		start := 0
		if i := strings.Index(s, "//"); i >= 0 && i < at {
			start = i + 2
		}
		if user, _, has := strings.Cut(s[start:at], ":"); has {
			s = s[:start] + user + ":xxxxx" + s[at:]
		}
	}
	if len(s) > 200 {
		s = strings.ToValidUTF8(s[:200], "") + "..."
	}
	return s
}
