// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

// Package sshtest has SSH servers for tests: a real sshd as a child process, and one in
// this process that imitates z/OS and fails in every way that a remote machine can.
//
// Only tests import it. Both servers are behind a [Line] that can be cut, frozen and
// slowed; both listen on 127.0.0.1, accept one key, run commands as the user that the
// test runs as, and are gone when the test ends. workers/workertest tests what a worker
// must do on top of a server.
package sshtest

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"encoding/pem"
	"os"
	"os/user"
	"path/filepath"
	"strings"
	"testing"

	xssh "golang.org/x/crypto/ssh"

	"github.com/zfarm/zfarm/workers/ssh"
)

// Server is an SSH server behind a line.
type Server struct {
	// Line is the connection between the server and the users of Config.
	Line *Line

	user, identity, dir string
	address             string // of the server itself
	hostKeys            []string
}

// Config returns the settings to reach the server over its line, with the right key and
// host keys.
func (s *Server) Config() ssh.Config {
	return ssh.Config{User: s.user, Address: s.Line.Address(), HostKeys: s.hostKeys, IdentityFiles: []string{s.identity}}
}

// Direct is Config without the line, for measurements.
func (s *Server) Direct() ssh.Config {
	c := s.Config()
	c.Address = s.address
	return c
}

// Dir returns the absolute path of an empty folder on the server.
func (s *Server) Dir() string { return s.dir }

// newServer makes the folder and the key of the user. The folder is not one of t's: a
// test that leaves files in it has not failed.
func newServer(t testing.TB) (*Server, xssh.PublicKey) {
	t.Helper()
	identity := filepath.Join(t.TempDir(), "id_ed25519")
	signer := WriteKey(t, identity, "ed25519")
	return &Server{user: userName(t), identity: identity, dir: t.TempDir()}, signer.PublicKey()
}

func userName(t testing.TB) string {
	t.Helper()
	account, err := user.Current()
	if err != nil {
		t.Fatal(err)
	}
	return account.Username
}

// WriteKey makes a private key of type ed25519, ecdsa or rsa in a file.
func WriteKey(t testing.TB, file, kind string) xssh.Signer {
	t.Helper()
	key, err := newKey(kind)
	if err != nil {
		t.Fatal(err)
	}
	block, err := xssh.MarshalPrivateKey(key, "")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, pem.EncodeToMemory(block), 0o600); err != nil {
		t.Fatal(err)
	}
	signer, err := xssh.NewSignerFromSigner(key)
	if err != nil {
		t.Fatal(err)
	}
	return signer
}

func newKey(kind string) (crypto.Signer, error) {
	switch kind {
	case "rsa":
		return rsa.GenerateKey(rand.Reader, 2048)
	case "ecdsa":
		return ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	}
	_, key, err := ed25519.GenerateKey(rand.Reader)
	return key, err
}

// KeyLine returns a public key in the form of authorized_keys and ssh.Config.HostKeys.
func KeyLine(key xssh.PublicKey) string {
	return strings.TrimSpace(string(xssh.MarshalAuthorizedKey(key)))
}
