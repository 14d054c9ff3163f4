// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

package ssh

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha1"
	"encoding/base64"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path"
	"strings"

	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/knownhosts"

	"github.com/zfarm/zfarm/workers"
)

// maxKnownHosts bounds a known_hosts file, in bytes.
const maxKnownHosts = 16 << 20

// KnownHosts returns the keys that a known_hosts file of OpenSSH pins for an address
// ("host:port"), for Config.HostKeys: by name, pattern or hash. It leaves out keys
// under @revoked. If none is left the error is workers.ErrHostKey and says how to get
// one; certificate authorities are not supported.
func KnownHosts(file, address string) ([]string, error) {
	b, err := readBounded(file)
	missing := errors.Is(err, fs.ErrNotExist)
	if err != nil && !missing {
		return nil, fmt.Errorf("reading known hosts: %w", err)
	}
	keys, err := knownKeys(b, address) // a missing file pins nothing
	if missing {
		return nil, fmt.Errorf("there is no file %s of known hosts: %w", file, err)
	}
	if err != nil {
		return nil, fmt.Errorf("known hosts in %s: %w", file, err)
	}
	return keys, nil
}

func readBounded(file string) ([]byte, error) {
	info, err := os.Stat(file)
	if err != nil {
		return nil, err
	}
	if info.Size() > maxKnownHosts || !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%s is no known_hosts file: not regular or larger than %d bytes", file, maxKnownHosts)
	}
	return os.ReadFile(file)
}

func knownKeys(file []byte, address string) ([]string, error) {
	if _, _, err := net.SplitHostPort(address); err != nil {
		return nil, fmt.Errorf("reading address of worker: %w; write it as host:port", err)
	}
	name := strings.ToLower(knownhosts.Normalize(address))
	var keys []string
	var authority, number int
	revoked := map[string]bool{}
	for line := range bytes.Lines(file) {
		number++
		line = bytes.TrimSpace(line)
		if len(line) == 0 || line[0] == '#' {
			continue
		}
		marker, hosts, key, _, _, err := ssh.ParseKnownHosts(line)
		if err != nil {
			if line[0] == '@' {
				return nil, fmt.Errorf("line %d: %w; a marked line must not be passed over", number, err)
			}
			continue // an old kind of key, or a damaged line; it pins nothing
		}
		if !hostMatches(hosts, name) {
			continue
		}
		switch marker {
		case "":
			keys = append(keys, strings.TrimSpace(string(ssh.MarshalAuthorizedKey(key))))
		case "revoked":
			revoked[strings.TrimSpace(string(ssh.MarshalAuthorizedKey(key)))] = true
		case "cert-authority":
			authority = number
		default:
			return nil, fmt.Errorf("line %d: unknown marker @%s", number, marker)
		}
	}
	return withoutRevoked(keys, revoked, authority, address)
}

func withoutRevoked(keys []string, revoked map[string]bool, authority int, address string) ([]string, error) {
	var good []string
	seen := map[string]bool{}
	for _, key := range keys {
		if !revoked[key] && !seen[key] {
			good = append(good, key)
		}
		seen[key] = true
	}
	switch {
	case len(good) > 0:
		return good, nil
	case len(keys) > 0:
		return nil, &failure{address + ": every host key pinned for it is revoked; ask its administrator for the new one", []error{workers.ErrHostKey}}
	case authority > 0:
		return nil, noKey(address, fmt.Sprintf("line %d names a certificate authority for it, which is not supported: its own key must be pinned", authority))
	}
	return nil, noKey(address, "no host key is pinned for it")
}

// hostMatches reports whether one of the patterns of a line matches the name and none
// excludes it.
func hostMatches(patterns []string, name string) bool {
	found := false
	for _, p := range patterns {
		p, not := strings.CutPrefix(p, "!")
		if !patternMatches(p, name) {
			continue
		}
		if not {
			return false
		}
		found = true
	}
	return found
}

func patternMatches(pattern, name string) bool {
	if rest, ok := strings.CutPrefix(pattern, "|1|"); ok {
		salt, sum, _ := strings.Cut(rest, "|")
		key, err := base64.StdEncoding.DecodeString(salt)
		want, err2 := base64.StdEncoding.DecodeString(sum)
		if err != nil || err2 != nil {
			return false
		}
		mac := hmac.New(sha1.New, key)
		mac.Write([]byte(name))
		return hmac.Equal(mac.Sum(nil), want)
	}
	return wildcard(strings.ToLower(pattern), name)
}

// wildcard matches * and ? as ssh does. Brackets are not special, unlike in path.Match:
// "[host]:2222" is a name.
func wildcard(pattern, name string) bool {
	pattern = strings.NewReplacer("[", `\[`, `\`, `\\`, "/", "\x00").Replace(pattern)
	ok, err := path.Match(pattern, strings.ReplaceAll(name, "/", "\x00"))
	return err == nil && ok
}
