// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

package ssh

import (
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"

	"golang.org/x/crypto/ssh"

	"github.com/zfarm/zfarm/workers"
	"github.com/zfarm/zfarm/workers/codepage"
)

// pinned are the pinned host keys of a worker, by their wire form.
type pinned struct {
	keys map[string]ssh.PublicKey
	// algorithms are those of the pinned keys and no others. Otherwise the server may
	// answer with another of its keys, or with a certificate, and a worker whose key is
	// right would be refused.
	algorithms []string
}

func parsePinned(address string, lines []string) (pinned, error) {
	p := pinned{keys: map[string]ssh.PublicKey{}}
	for _, line := range lines {
		key, _, options, rest, err := ssh.ParseAuthorizedKey([]byte(line))
		if err != nil || len(options) > 0 || len(rest) > 0 {
			return p, fmt.Errorf("host key %q of %s: write one key as \"ssh-ed25519 AAAA...\"", codepage.Cut(line, 60), address)
		}
		algorithms := []string{key.Type()}
		if key.Type() == ssh.KeyAlgoRSA {
			algorithms = []string{ssh.KeyAlgoRSASHA512, ssh.KeyAlgoRSASHA256}
		}
		if !slices.Contains(ssh.SupportedAlgorithms().HostKeys, algorithms[0]) || isCertificate(key) {
			return p, fmt.Errorf("host key %q of %s: keys of type %s cannot be pinned; use ssh-ed25519, ecdsa-sha2-nistp256 or ssh-rsa", codepage.Cut(line, 60), address, key.Type())
		}
		p.keys[string(key.Marshal())] = key
		for _, a := range algorithms {
			if !slices.Contains(p.algorithms, a) {
				p.algorithms = append(p.algorithms, a)
			}
		}
	}
	if len(p.keys) == 0 {
		return p, noKey(address, "no host key is pinned for it")
	}
	return p, nil
}

func isCertificate(key ssh.PublicKey) bool {
	_, yes := key.(*ssh.Certificate)
	return yes
}

// noKey is the error of a worker without a pinned host key.
func noKey(address, why string) error {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		host, port = address, "22"
	}
	return &failure{fmt.Sprintf("%s: %s. Run \"ssh-keyscan -p %s %s\", compare what \"ssh-keygen -lf -\" says of its output with the fingerprint "+
		"that the administrator of the worker reads there, and put the line into the known_hosts file or as host key into the worker's entry",
		address, why, port, host), []error{workers.ErrHostKey}}
}

// errWrongKey carries the refusal through the handshake.
type errWrongKey struct{ got ssh.PublicKey }

func (e errWrongKey) Error() string { return ssh.FingerprintSHA256(e.got) + " is not pinned" }

func (p pinned) check(_ string, _ net.Addr, key ssh.PublicKey) error {
	if _, ok := p.keys[string(key.Marshal())]; !ok {
		return errWrongKey{key}
	}
	return nil
}

// explain turns a failed handshake into ErrHostKey if it is about the key.
func (p pinned) explain(address string, err error) error {
	var want []string
	for _, key := range p.keys {
		want = append(want, key.Type()+" "+ssh.FingerprintSHA256(key))
	}
	slices.Sort(want)
	wanted := strings.Join(want, ", ")
	var wrong errWrongKey
	if errors.As(err, &wrong) {
		return &failure{fmt.Sprintf("%s: host key is not the pinned one: the machine has %s %s, pinned is %s. Either somebody answers in its place, "+
			"or it was set up anew; ask its administrator for the fingerprint before pinning the new key",
			address, wrong.got.Type(), ssh.FingerprintSHA256(wrong.got), wanted), []error{workers.ErrHostKey}}
	}
	var none *ssh.AlgorithmNegotiationError
	if errors.As(err, &none) && none.What == "host key" {
		return &failure{fmt.Sprintf("%s: host key is not the pinned one: pinned is %s, and the machine only has keys for %s. "+
			"Ask its administrator which keys it has, and pin one of those",
			address, wanted, clean(errors.New(strings.Join(none.RequestedAlgorithms, ", ")))), []error{workers.ErrHostKey}}
	}
	return nil
}
