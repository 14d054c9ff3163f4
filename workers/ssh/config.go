// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

package ssh

import (
	"fmt"
	"net"
	"slices"
	"strings"
	"time"

	"golang.org/x/crypto/ssh"
)

// Config says how to reach a worker and how to recognize it.
type Config struct {
	// User is the account on the worker.
	User string
	// Address is "host:port".
	Address string
	// HostKeys are the accepted public keys of the machine, each as a line "ssh-ed25519
	// AAAA..." with an optional comment. At least one is required: there is no trust on
	// first use. See [KnownHosts].
	HostKeys []string
	// IdentityFiles are private keys to offer, in this order. If FILE-cert.pub exists
	// beside FILE, the certificate is offered first.
	IdentityFiles []string
	// Passphrase returns the passphrase of an encrypted identity file; may be nil. Dial
	// calls it once for each such file.
	Passphrase func(file string) ([]byte, error)
	// AgentSocket is the socket of an ssh-agent whose keys are offered after the files;
	// "" for none. The environment is ignored.
	AgentSocket string
	// Ciphers narrows the ciphers of the connection, best first; nil allows every one
	// considered safe. Weaker ones cannot be named.
	Ciphers []string
	// DialTimeout bounds connecting, key exchange, login and opening sftp
	// together; 0 means 30 s.
	DialTimeout time.Duration
	// Keepalive is the time between probes of an idle connection. A probe without an
	// answer for three times as long ends the connection. 0 means 15 s.
	Keepalive time.Duration
}

// settings is a checked Config.
type settings struct {
	user, address        string
	pinned               pinned
	credentials          *credentials
	ciphers              []string
	timeout, probe, dead time.Duration
}

func (c Config) settings() (settings, error) {
	s := settings{user: c.User, address: c.Address, ciphers: c.Ciphers, timeout: c.DialTimeout, probe: c.Keepalive}
	if _, _, err := net.SplitHostPort(c.Address); err != nil {
		return s, fmt.Errorf("reading address of worker: %w; write it as host:port", err)
	}
	if c.User == "" {
		return s, fmt.Errorf("worker %s: no user named; say which account to log in as", c.Address)
	}
	safe := ssh.SupportedAlgorithms().Ciphers
	for _, name := range c.Ciphers {
		if !slices.Contains(safe, name) {
			return s, fmt.Errorf("worker %s: cipher %q is not one of %s", c.Address, name, strings.Join(safe, ", "))
		}
	}
	var err error
	if s.pinned, err = parsePinned(c.Address, c.HostKeys); err != nil {
		return s, err
	}
	if s.credentials, err = loadCredentials(c); err != nil {
		return s, err
	}
	if s.timeout <= 0 {
		s.timeout = 30 * time.Second
	}
	if s.probe <= 0 {
		s.probe = 15 * time.Second
	}
	s.dead = 3 * s.probe
	return s, nil
}
