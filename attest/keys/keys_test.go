// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

package keys_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/zfarm/zfarm/attest/keys"
)

// A public key that stock cosign made, and its hint as openssl computes it.
const (
	public = `-----BEGIN PUBLIC KEY-----
MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEuKW8V4ReLYl2W7yXmbczUSDNw28b
lvMO329l+iJBwexcTu1Y46SpdEjMe/xWDkGauceEt+z/B3qDJjLiR6M3lw==
-----END PUBLIC KEY-----
`
	publicHint = "ZpubLWIyCIEY88VC0ZJCBuu5aMSmeqm/io+YE3/tt+I="
)

func wantError(t *testing.T, err error, text string) {
	t.Helper()
	switch {
	case text == "" && err != nil:
		t.Errorf("unexpected error: %v", err)
	case text != "" && (err == nil || !strings.Contains(err.Error(), text)):
		t.Errorf("error is %v, want one with %q", err, text)
	}
}

func TestParseRef(t *testing.T) {
	for _, tc := range []struct{ in, path, want string }{
		{"farm.key", "farm.key", ""},
		{"file:farm.key", "farm.key", ""},
		{"file:/etc/zfarm/farm.key", "/etc/zfarm/farm.key", ""},
		{"./odd:name.key", "./odd:name.key", ""},
		{"/odd:name.key", "/odd:name.key", ""},
		{"", "", "names no file"},
		{"file:", "", "names no file"},
		{"pkcs11:token=x", "", `kind "pkcs11"`},
		{"awskms://alias/x", "", `kind "awskms"`},
	} {
		ref, err := keys.ParseRef(tc.in)
		wantError(t, err, tc.want)
		if ref.Path != tc.path {
			t.Errorf("ParseRef(%q) has the path %q, want %q", tc.in, ref.Path, tc.path)
		}
		if err != nil {
			continue
		}
		if again, err := keys.ParseRef(ref.String()); err != nil || again != ref {
			t.Errorf("ParseRef(%q) = %v, %v; want %v", ref, again, err, ref)
		}
	}
}

func TestHint(t *testing.T) {
	got, err := keys.Hint([]byte(public))
	if err != nil || got != publicHint {
		t.Errorf("Hint = %q, %v; want %q", got, err, publicHint)
	}
}

func pemOf(t *testing.T, kind string, key any) []byte {
	t.Helper()
	der, err := x509.MarshalPKIXPublicKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der})
}

func TestParsePublicRefuses(t *testing.T) {
	p384, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	ed, _, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	for name, tc := range map[string]struct {
		in   []byte
		want string
	}{
		"empty":         {nil, "not one PEM block"},
		"no PEM":        {[]byte("key"), "not one PEM block"},
		"private key":   {pemOf(t, "EC PRIVATE KEY", p384.Public()), "not one PEM block"},
		"two keys":      {[]byte(public + public), "not one PEM block"},
		"P-384":         {pemOf(t, "PUBLIC KEY", p384.Public()), "P-256"},
		"Ed25519":       {pemOf(t, "PUBLIC KEY", ed), "P-256"},
		"broken inside": {pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: []byte{1}}), "reading public key"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := keys.Hint(tc.in)
			wantError(t, err, tc.want)
		})
	}
}

func TestReadPrivate(t *testing.T) {
	dir := t.TempDir()
	write := func(name string, mode fs.FileMode, size int) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, make([]byte, size), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(path, mode); err != nil { // not subject to the umask
			t.Fatal(err)
		}
		return path
	}
	link := filepath.Join(dir, "link")
	if err := os.Symlink(write("open", 0o644, 5), link); err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct{ name, path, want string }{
		{"owner only", write("a", 0o600, 5), ""},
		{"read only", write("b", 0o400, 5), ""},
		{"group", write("c", 0o640, 5), "chmod 600 "},
		{"world", write("d", 0o604, 5), "chmod 600 "},
		{"link to an open one", link, "chmod 600 "},
		{"large", write("e", 0o600, keys.MaxFile+1), "more than"},
		{"folder", dir, "not a regular file"},
		{"missing", filepath.Join(dir, "none"), "no such file"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			_, err := keys.ReadPrivate(tc.path)
			wantError(t, err, tc.want)
		})
	}
	if _, err := keys.ReadPublic(write("f", 0o644, 5)); err != nil {
		t.Errorf("a public key may be read by all: %v", err)
	}
}

func TestWritePair(t *testing.T) {
	prefix := filepath.Join(t.TempDir(), "farm")
	if err := keys.WritePair(prefix, []byte("private"), []byte("public")); err != nil {
		t.Fatal(err)
	}
	if b, err := keys.ReadPrivate(prefix + ".key"); err != nil || string(b) != "private" {
		t.Errorf("private key is %q, %v", b, err)
	}
	if b, err := keys.ReadPublic(prefix + ".pub"); err != nil || string(b) != "public" {
		t.Errorf("public key is %q, %v", b, err)
	}
	err := keys.WritePair(prefix, []byte("new"), []byte("new"))
	if !errors.Is(err, fs.ErrExist) {
		t.Errorf("a key was overwritten: %v", err)
	}
	if b, err := keys.ReadPrivate(prefix + ".key"); err != nil || string(b) != "private" {
		t.Errorf("after a refused write the private key is %q, %v", b, err)
	}
	// Half a pair is worse than none.
	if err := os.Remove(prefix + ".key"); err != nil {
		t.Fatal(err)
	}
	if err := keys.WritePair(prefix, []byte("new"), []byte("new")); err == nil {
		t.Error("a public key was overwritten")
	}
	if _, err := os.Stat(prefix + ".key"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a private key was left without its public one: %v", err)
	}
}

func TestPassword(t *testing.T) {
	ctx := t.Context()
	file := filepath.Join(t.TempDir(), "password")
	if err := os.WriteFile(file, []byte("from file\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	env := func(name string) (string, bool) { return "from " + name, true }
	unset := func(string) (string, bool) { return "", false }
	empty := func(string) (string, bool) { return "", true }
	cancelled, cancel := context.WithCancel(ctx)
	cancel()
	for _, tc := range []struct {
		name    string
		ctx     context.Context
		sources []keys.Source
		want    string
		err     string
	}{
		{"environment first", ctx, []keys.Source{keys.Env(env), keys.File(file)}, "from ZFARM_KEY_PASSWORD", ""},
		{"then the file", ctx, []keys.Source{keys.Env(unset), keys.File(file)}, "from file", ""},
		{"set but empty", ctx, []keys.Source{keys.Env(empty), keys.File(file)}, "", ""},
		{"none", ctx, []keys.Source{keys.Env(unset), keys.File("")}, "", "set ZFARM_KEY_PASSWORD"},
		{"missing file", ctx, []keys.Source{keys.File(file + "x"), keys.Env(env)}, "", "no such file"},
		{"cancelled", cancelled, []keys.Source{keys.Env(env)}, "", "canceled"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			got, err := keys.Password(tc.ctx, tc.sources...)
			wantError(t, err, tc.err)
			if string(got) != tc.want {
				t.Errorf("password is %q, want %q", got, tc.want)
			}
		})
	}
	if err := os.Chmod(file, 0o644); err != nil {
		t.Fatal(err)
	}
	_, err := keys.Password(ctx, keys.File(file))
	wantError(t, err, "chmod 600")
}

func TestPromptWithoutTerminal(t *testing.T) {
	f, err := os.Open(os.DevNull)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close() //nolint:errcheck // read only
	_, err = keys.Password(t.Context(), keys.Prompt(f, "? "))
	wantError(t, err, "there is none")
}

func FuzzHint(f *testing.F) {
	f.Add([]byte(public))
	f.Add([]byte("-----BEGIN PUBLIC KEY-----\nAQ==\n-----END PUBLIC KEY-----\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		if hint, err := keys.Hint(b); err == nil && len(hint) != 44 {
			t.Errorf("hint %q", hint)
		}
	})
}
