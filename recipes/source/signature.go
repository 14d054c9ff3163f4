// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

package source

import (
	"bufio"
	"bytes"
	"crypto"
	"crypto/dsa" //nolint:staticcheck // upstream keys of 2004 are DSA; it is only measured here
	"errors"
	"fmt"
	"hash"
	"io"
	"path"
	"strings"
	"time"

	"github.com/ProtonMail/go-crypto/openpgp"
	"github.com/ProtonMail/go-crypto/openpgp/armor"
	pgperrors "github.com/ProtonMail/go-crypto/openpgp/errors"
	"github.com/ProtonMail/go-crypto/openpgp/packet"

	"github.com/zfarm/zfarm/recipes"
	"github.com/zfarm/zfarm/workers/codepage"
)

// Bounds on the input of the OpenPGP parser. They keep its memory and the
// number of expensive operations small.
const (
	maxKeyFile    = 1 << 20 // bytes
	maxBlocks     = 64      // armoured blocks in one file
	maxKeyPackets = 20000
	maxKeys       = 256 // primary keys and subkeys
	maxKeyBits    = 16384
	maxDSABits    = 4096
	maxDSAOrder   = 512 // bits
	maxSignatures = 16  // in one signature file
	maxText       = 200 // bytes of a user id that are shown
)

// clockSlack is how far in the future a signature may be, because no two
// clocks agree.
const clockSlack = 5 * time.Minute

// SignedBy says who signed a file, and with which reservations.
type SignedBy struct {
	// Fingerprint identifies the primary key, KeyID the key or subkey that
	// signed; both in upper-case hex.
	Fingerprint string `json:"fingerprint"`
	KeyID       string `json:"key_id"`
	// UID is the key's user id, safe to show.
	UID      string    `json:"uid"`
	SignedAt time.Time `json:"signed_at"`
	// KeyExpired is when the key expired; nil if it has not. It is always
	// after SignedAt.
	KeyExpired *time.Time `json:"key_expired,omitempty"`
	// Note states reservations: the key expired since, SHA-1, a short key.
	Note string `json:"note,omitempty"`
}

// Verify proves that one of the accepted keys signed the bytes of r. The
// signature is detached, binary or armoured, of at most 64 KiB. A key that has
// expired since is accepted if it was valid when it signed; a revoked key
// never is. Errors are a *SignatureError, or those of r.
func Verify(r io.Reader, signature []byte, s recipes.Signature, now time.Time) (*SignedBy, error) {
	ring, err := readKeys(s)
	if err != nil {
		return nil, err
	}
	return ring.verify(r, signature, now)
}

// keyring is the keys of one file, and the fingerprints that the recipe
// accepts.
type keyring struct {
	entities []*openpgp.Entity
	accepted []string // upper-case hex, as in the recipe
	name     string   // name of the signed file, for errors
}

func (k *keyring) fault(kind error, signer, detail string) *SignatureError {
	return &SignatureError{Kind: kind, File: k.name, Signer: signer, Accepted: k.accepted, Detail: detail}
}

// readKeys reads the key file of s and checks that it has an accepted key.
func readKeys(s recipes.Signature) (*keyring, error) {
	signed := strings.TrimSuffix(strings.TrimSuffix(path.Base(s.URL), ".sig"), ".asc")
	k := &keyring{name: codepage.Line(signed, maxText)}
	fault := func(format string, args ...any) error {
		return &SignatureError{Kind: ErrKeyFile, File: s.Key.Name, Detail: fmt.Sprintf(format, args...)}
	}
	for _, f := range s.Fingerprints {
		f = strings.ToUpper(strings.ReplaceAll(f, " ", ""))
		if len(f) != 40 && len(f) != 64 {
			return nil, fault("fingerprint %q: want 40 hexadecimal digits", codepage.Line(f, maxText))
		}
		k.accepted = append(k.accepted, f)
	}
	if len(s.Key.Data) > maxKeyFile {
		return nil, fault("larger than %d bytes", maxKeyFile)
	}
	err := eachBlock(s.Key.Data, openpgp.PublicKeyType, func(b []byte) error {
		if err := checkKeys(b); err != nil {
			return err
		}
		list, err := openpgp.ReadKeyRing(bytes.NewReader(b))
		k.entities = append(k.entities, list...)
		return err
	})
	if err != nil {
		return nil, fault("%s", codepage.Line(err.Error(), maxText))
	}
	var held []string
	for _, e := range k.entities {
		if k.accepts(e) {
			return k, nil
		}
		held = append(held, fingerprint(e.PrimaryKey))
	}
	return nil, fault("it holds %d keys (%s), none of which the recipe accepts (%s)",
		len(held), codepage.Line(strings.Join(held, ", "), maxText), codepage.Line(strings.Join(k.accepted, ", "), maxText))
}

func (k *keyring) accepts(e *openpgp.Entity) bool {
	have := fingerprint(e.PrimaryKey)
	for _, f := range k.accepted {
		if f == have {
			return true
		}
	}
	return false
}

func fingerprint(p *packet.PublicKey) string { return fmt.Sprintf("%X", p.Fingerprint) }

// eachBlock calls do with the content of each armoured block. All blocks must
// be of the given type.
func eachBlock(b []byte, kind string, do func([]byte) error) error {
	r := bufio.NewReader(bytes.NewReader(b)) // armor.Decode continues in it
	for n := 0; ; n++ {
		block, err := armor.Decode(r)
		switch {
		case errors.Is(err, io.EOF) && n == 0:
			return fmt.Errorf("no block \"-----BEGIN %s-----\" in it", kind)
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return err
		case n == maxBlocks:
			return fmt.Errorf("more than %d armoured blocks", maxBlocks)
		case block.Type != kind:
			return fmt.Errorf("it holds a block %q, want only %q", block.Type, kind)
		}
		body, err := io.ReadAll(io.LimitReader(block.Body, int64(len(b))))
		if err != nil {
			return err
		}
		if err := do(body); err != nil {
			return err
		}
	}
}

// checkKeys checks packets before their signatures are verified, because
// verifying takes time.
func checkKeys(b []byte) error {
	packets := packet.NewReader(bytes.NewReader(b))
	keys := 0
	for n := 0; ; n++ {
		p, err := packets.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if n == maxKeyPackets {
			return fmt.Errorf("more than %d packets", maxKeyPackets)
		}
		switch p := p.(type) {
		case *packet.PrivateKey:
			return errors.New("it holds a private key; take it out, and treat it as lost")
		case *packet.PublicKey:
			if keys++; keys > maxKeys {
				return fmt.Errorf("more than %d keys", maxKeys)
			}
			if err := checkSize(p); err != nil {
				return err
			}
		}
	}
}

func checkSize(p *packet.PublicKey) error {
	bits, err := p.BitLength()
	if err != nil {
		return nil //nolint:nilerr // a kind that cannot sign; nothing is computed with it
	}
	limit := uint16(maxKeyBits)
	if d, ok := p.PublicKey.(*dsa.PublicKey); ok {
		limit = maxDSABits
		if d.Q.BitLen() > maxDSAOrder {
			return fmt.Errorf("key %s has an order of %d bits, at most %d are computed with", p.KeyIdString(), d.Q.BitLen(), maxDSAOrder)
		}
	}
	if bits > limit {
		return fmt.Errorf("key %s has %d bits, at most %d are computed with", p.KeyIdString(), bits, limit)
	}
	return nil
}

// keySignature is a signature and the key that it names as its signer.
type keySignature struct {
	sig  *packet.Signature
	key  signer
	hash hash.Hash
}

// verify accepts the first signature that holds. If none does, it returns the
// error of the first one by an accepted key.
func (k *keyring) verify(r io.Reader, signature []byte, now time.Time) (*SignedBy, error) {
	sigs, err := k.acceptedSignatures(signature)
	if err != nil {
		return nil, err
	}
	hashes := make([]io.Writer, 0, len(sigs))
	for _, c := range sigs {
		hashes = append(hashes, c.hash)
	}
	if _, err := io.CopyBuffer(io.MultiWriter(hashes...), onlyReader{r}, make([]byte, copyBuffer)); err != nil {
		return nil, fmt.Errorf("summing for signature: %w", err)
	}
	var first error
	for _, c := range sigs {
		by, err := k.checkSignature(c, now)
		if err == nil {
			return by, nil
		}
		if first == nil {
			first = err
		}
	}
	return nil, first
}

// onlyReader hides WriteTo, which would bypass the buffer's size.
type onlyReader struct{ io.Reader }

// acceptedSignatures returns the signatures by accepted keys; it is an error if
// there are none.
func (k *keyring) acceptedSignatures(signature []byte) ([]keySignature, error) {
	sigs, err := readSignatures(signature)
	if err != nil {
		return nil, k.fault(ErrSignatureBad, "", err.Error())
	}
	var list []keySignature
	var first error
	for _, sig := range sigs {
		c, err := k.acceptSignature(sig)
		if err == nil {
			list = append(list, c)
		} else if first == nil {
			first = err
		}
	}
	if len(list) == 0 {
		return nil, first
	}
	return list, nil
}

func (k *keyring) acceptSignature(sig *packet.Signature) (keySignature, error) {
	key, known := k.find(sig)
	switch id := issuer(sig); {
	case !known:
		return keySignature{}, k.fault(ErrSignatureUnknownKey, id, "the key file does not hold the key that signed")
	case !k.accepts(key.copies[0]):
		return keySignature{}, k.fault(ErrSignatureUnknownKey, fingerprint(key.copies[0].PrimaryKey),
			"the key file holds the key that signed, but the recipe does not name it")
	case sig.SigType != packet.SigTypeBinary:
		return keySignature{}, k.fault(ErrSignatureBad, id, fmt.Sprintf("its type is %#x, want a signature over a binary file", int(sig.SigType)))
	case !acceptsHash(sig.Hash):
		return keySignature{}, k.fault(ErrSignatureBad, id, fmt.Sprintf("it uses %v, which proves nothing today", sig.Hash))
	}
	h, err := sig.PrepareVerify()
	if err != nil {
		return keySignature{}, k.fault(ErrSignatureBad, issuer(sig), codepage.Line(err.Error(), maxText))
	}
	return keySignature{sig, key, h}, nil
}

// acceptsHash reports whether a hash function is accepted. SHA-1 is, because some
// current releases have nothing better (less-590); the recipe pins the sha256,
// too, and SignedBy.Note mentions it. MD5 and RIPEMD-160 are not.
func acceptsHash(h crypto.Hash) bool {
	switch h {
	case crypto.SHA1, crypto.SHA224, crypto.SHA256, crypto.SHA384, crypto.SHA512, crypto.SHA3_256, crypto.SHA3_512:
		return h.Available()
	}
	return false
}

// readSignatures reads the packets of a signature file, binary or armoured.
func readSignatures(b []byte) (sigs []*packet.Signature, err error) {
	if len(b) > maxSignature {
		return nil, fmt.Errorf("it is larger than %d bytes", maxSignature)
	}
	if looksLikeHTML(b[:min(len(b), sniffLen)]) {
		return nil, errors.New("it is a web page, not a signature; correct the signature's url")
	}
	read := func(b []byte) error {
		sigs, err = signaturePackets(sigs, b)
		return err
	}
	if bytes.HasPrefix(bytes.TrimSpace(b), []byte("-----BEGIN ")) {
		err = eachBlock(b, openpgp.SignatureType, read)
	} else {
		err = read(b)
	}
	if err == nil && len(sigs) == 0 {
		err = errors.New("there is no OpenPGP signature in it")
	}
	if err != nil {
		return nil, errors.New(codepage.Line(err.Error(), maxText))
	}
	return sigs, nil
}

// signaturePackets skips packets of unknown kinds, as long as there is a
// signature that it can read.
func signaturePackets(sigs []*packet.Signature, b []byte) ([]*packet.Signature, error) {
	packets := packet.NewReader(bytes.NewReader(b))
	var unknown error
	for n := 0; ; n++ {
		p, err := packets.NextWithUnsupported()
		if errors.Is(err, io.EOF) && len(sigs) > 0 {
			return sigs, nil
		}
		if errors.Is(err, io.EOF) {
			return nil, unknown
		}
		if err != nil {
			return nil, err
		}
		if n == maxSignatures {
			return nil, fmt.Errorf("more than %d signatures", maxSignatures)
		}
		switch p := p.(type) {
		case *packet.Signature:
			sigs = append(sigs, p)
		case *packet.UnsupportedPacket:
			unknown = unsupported(p.Error)
		default:
			return nil, fmt.Errorf("it holds a %T, want detached signatures only", p)
		}
	}
}

// unsupported names the hash functions for which the library has only a
// number.
func unsupported(err pgperrors.UnsupportedError) error {
	for id, name := range map[string]string{"1": "MD5", "3": "RIPEMD-160"} {
		if string(err) == "hash function "+id {
			return fmt.Errorf("it uses %s, which proves nothing today", name)
		}
	}
	return err
}

// issuer returns the fingerprint or key id of the key that a signature names.
func issuer(sig *packet.Signature) string {
	switch {
	case len(sig.IssuerFingerprint) > 0:
		return fmt.Sprintf("%X", sig.IssuerFingerprint)
	case sig.IssuerKeyId != nil:
		return fmt.Sprintf("%016X", *sig.IssuerKeyId)
	}
	return "an unnamed key"
}
