// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

// Package keys finds signing keys and the passwords that open them. It parses
// key references, reads key files and checks their permissions, computes
// hints, and gets passwords from a variable, a file or a terminal.
//
// It opens no key and signs nothing. attest/cosign does both, and makes key
// pairs.
package keys

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"
)

// MaxFile is the most bytes a key or password file may have.
const MaxFile = 64 << 10

// SchemeFile is the scheme of keys in encrypted files.
const SchemeFile = "file"

// Ref names a private key.
type Ref struct {
	// Scheme says where the key is kept; only [SchemeFile] is known.
	Scheme string
	// Path is the file.
	Path string
}

// ParseRef reads "file:PATH", or a path alone.
func ParseRef(s string) (Ref, error) {
	scheme, path, ok := strings.Cut(s, ":")
	if !ok || strings.ContainsAny(scheme, "/.") {
		scheme, path = SchemeFile, s
	}
	switch {
	case scheme != SchemeFile:
		return Ref{}, fmt.Errorf("key reference %q: keys of kind %q are not known; give the path of an encrypted key file, as file:PATH", s, scheme)
	case path == "":
		return Ref{}, fmt.Errorf("key reference %q names no file; give the path of an encrypted key file, as file:PATH", s)
	}
	return Ref{Scheme: scheme, Path: path}, nil
}

// String returns the form that ParseRef reads.
func (r Ref) String() string { return r.Scheme + ":" + r.Path }

// ReadPrivate returns the bytes of a private key file. It refuses a file that
// others may read or write.
func ReadPrivate(path string) ([]byte, error) { return readSecret("private key", path) }

// ReadPublic returns the bytes of a public key file.
func ReadPublic(path string) ([]byte, error) {
	b, _, err := read(path)
	if err != nil {
		return nil, fmt.Errorf("reading public key: %w", err)
	}
	return b, nil
}

func readSecret(what, path string) ([]byte, error) {
	b, info, err := read(path)
	if err != nil {
		return nil, fmt.Errorf("reading %s: %w", what, err)
	}
	if mode := info.Mode().Perm(); mode&0o077 != 0 {
		return nil, fmt.Errorf("reading %s: %s has mode %#o, so that others may use it; run: chmod 600 %s", what, path, mode, path)
	}
	return b, nil
}

// read returns the content of a regular file of bounded size, and the FileInfo
// of the file that it read.
func read(path string) ([]byte, fs.FileInfo, error) {
	if info, err := os.Stat(path); err != nil {
		return nil, nil, err
	} else if !info.Mode().IsRegular() { // opening a pipe would wait for its writer
		return nil, nil, fmt.Errorf("%s is not a regular file", path)
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, nil, err
	}
	defer f.Close() //nolint:errcheck // read only
	info, err := f.Stat()
	if err != nil {
		return nil, nil, err
	}
	b, err := io.ReadAll(io.LimitReader(f, MaxFile+1))
	if err != nil {
		return nil, nil, err
	}
	if len(b) > MaxFile {
		return nil, nil, fmt.Errorf("%s has more than %d bytes", path, MaxFile)
	}
	return b, info, nil
}

// WritePair writes a key pair to prefix.key, which only the owner may read,
// and prefix.pub. It never overwrites existing files.
func WritePair(prefix string, private, public []byte) error {
	if err := writeNew(prefix+".key", 0o600, private); err != nil {
		return fmt.Errorf("writing private key: %w", err)
	}
	if err := writeNew(prefix+".pub", 0o644, public); err != nil {
		return errors.Join(fmt.Errorf("writing public key: %w", err), os.Remove(prefix+".key"))
	}
	return nil
}

func writeNew(path string, mode fs.FileMode, b []byte) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, mode)
	if err != nil {
		if errors.Is(err, fs.ErrExist) {
			return fmt.Errorf("%w: move it away or choose another name, a key that signed something is still needed", err)
		}
		return err
	}
	_, err = f.Write(b)
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return errors.Join(err, os.Remove(path))
	}
	return nil
}

// ParsePublic reads a public key in PEM. It refuses all but ECDSA on P-256,
// the kind that the farm uses.
func ParsePublic(publicPEM []byte) (*ecdsa.PublicKey, error) {
	const advice = "give the .pub file of a zfarm or cosign key pair"
	block, rest := pem.Decode(publicPEM)
	if block == nil || block.Type != "PUBLIC KEY" || strings.TrimSpace(string(rest)) != "" {
		return nil, errors.New("reading public key: not one PEM block of type PUBLIC KEY; " + advice)
	}
	key, err := x509.ParsePKIXPublicKey(block.Bytes)
	if err != nil {
		return nil, fmt.Errorf("reading public key: %w", err)
	}
	public, ok := key.(*ecdsa.PublicKey)
	if !ok || public.Curve != elliptic.P256() {
		return nil, errors.New("reading public key: not ECDSA on P-256; " + advice)
	}
	return public, nil
}

// Hint returns the hint by which bundles name the key of their signature: the
// base64 of the SHA-256 of the key in PKIX form.
func Hint(publicPEM []byte) (string, error) {
	public, err := ParsePublic(publicPEM)
	if err != nil {
		return "", err
	}
	der, err := x509.MarshalPKIXPublicKey(public)
	if err != nil {
		return "", fmt.Errorf("computing key hint: %w", err)
	}
	sum := sha256.Sum256(der)
	return base64.StdEncoding.EncodeToString(sum[:]), nil
}
