// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

package source

import (
	"bytes"
	"crypto"
	"crypto/sha1"
	"encoding/binary"
	"errors"
	"flag"
	"math/big"
	"net/http"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/ProtonMail/go-crypto/openpgp"
	"github.com/ProtonMail/go-crypto/openpgp/armor"
	"github.com/ProtonMail/go-crypto/openpgp/eddsa"
	"github.com/ProtonMail/go-crypto/openpgp/packet"

	"github.com/zfarm/zfarm/recipes"
)

var update = flag.Bool("update", false, "write new files into testdata")

// The times at which the keys of these tests were made, signed and expired.
var (
	born   = time.Date(2020, 1, 1, 0, 0, 0, 0, time.UTC)
	signed = time.Date(2021, 1, 1, 0, 0, 0, 0, time.UTC)
	today  = time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC)
)

const year = 365 * 24 * time.Hour

// at returns a configuration in which the time is t, for keys with that
// lifetime (0: for ever).
func at(t time.Time, lifetime time.Duration) *packet.Config {
	return &packet.Config{Time: func() time.Time { return t }, KeyLifetimeSecs: uint32(lifetime / time.Second),
		Algorithm: packet.PubKeyAlgoEdDSA}
}

func newKey(t testing.TB, name string, c *packet.Config) *openpgp.Entity {
	t.Helper()
	e, err := openpgp.NewEntity(name, "", strings.ToLower(name)+"@example.org", c)
	if err != nil {
		t.Fatal(err)
	}
	return e
}

// armoured returns each key in a block of its own.
func armoured(t testing.TB, keys ...*openpgp.Entity) []byte {
	t.Helper()
	var b bytes.Buffer
	for _, k := range keys {
		w, err := armor.Encode(&b, openpgp.PublicKeyType, nil)
		if err != nil {
			t.Fatal(err)
		}
		if err := errors.Join(k.Serialize(w), w.Close()); err != nil {
			t.Fatal(err)
		}
		b.WriteString("\n")
	}
	return b.Bytes()
}

func sign(t testing.TB, k *openpgp.Entity, c *packet.Config, b []byte) []byte {
	t.Helper()
	var sig bytes.Buffer
	if err := openpgp.DetachSign(&sig, k, bytes.NewReader(b), c); err != nil {
		t.Fatal(err)
	}
	return sig.Bytes()
}

func signArmoured(t testing.TB, k *openpgp.Entity, c *packet.Config, b []byte) []byte {
	t.Helper()
	var sig bytes.Buffer
	if err := openpgp.ArmoredDetachSign(&sig, k, bytes.NewReader(b), c); err != nil {
		t.Fatal(err)
	}
	return sig.Bytes()
}

func accept(t testing.TB, file []byte, keys ...*openpgp.Entity) recipes.Signature {
	t.Helper()
	s := recipes.Signature{URL: "https://example.org/" + fileName + ".sig", Key: recipes.File{Name: "keys/port.asc", Data: file}}
	for _, k := range keys {
		s.Fingerprints = append(s.Fingerprints, fingerprint(k.PrimaryKey))
	}
	return s
}

func TestVerify(t *testing.T) {
	anna, bert := newKey(t, "Anna", at(born, 0)), newKey(t, "Bert", at(born, 0))
	ends := newKey(t, "Ends", at(born, 5*year))
	withSubkey := newKey(t, "Sub", at(born, 0))
	if err := withSubkey.AddSigningSubkey(at(born, 0)); err != nil {
		t.Fatal(err)
	}
	subEnds := newKey(t, "Subends", at(born, 0))
	if err := subEnds.AddSigningSubkey(at(born, year/2)); err != nil {
		t.Fatal(err)
	}
	revoked, retired := newKey(t, "Revoked", at(born, 0)), newKey(t, "Retired", at(born, 0))
	revokedSig, retiredSig := sign(t, revoked, at(signed, 0), content), sign(t, retired, at(signed, 0), content)
	if err := revoked.RevokeKey(packet.KeyCompromised, "laptop \x1b[31mstolen", at(signed.Add(year), 0)); err != nil {
		t.Fatal(err)
	}
	if err := retired.RevokeKey(packet.KeyRetired, "gone fishing", at(signed.Add(year), 0)); err != nil {
		t.Fatal(err)
	}
	both := armoured(t, anna, bert)
	good := sign(t, anna, at(signed, 0), content)
	short := newKey(t, "Short", &packet.Config{Time: func() time.Time { return born }, Algorithm: packet.PubKeyAlgoRSA, RSABits: 1024})
	brief := at(signed, 0)
	brief.SigLifetimeSecs = 3600

	tests := []struct {
		name string
		sig  []byte
		keys recipes.Signature
		kind error  // nil if the signature holds
		text string // in the error, or in the note
	}{
		{name: "good", sig: good, keys: accept(t, both, anna)},
		{name: "armoured", sig: signArmoured(t, anna, at(signed, 0), content), keys: accept(t, both, anna)},
		{name: "second block", sig: sign(t, bert, at(signed, 0), content), keys: accept(t, both, bert)},
		{name: "two accepted", sig: good, keys: accept(t, both, bert, anna)},
		{name: "key held twice", sig: good, keys: accept(t, armoured(t, anna, anna), anna)},
		{name: "subkey", sig: sign(t, withSubkey, at(signed, 0), content), keys: accept(t, armoured(t, withSubkey), withSubkey)},
		{name: "one of two signatures", sig: append(sign(t, bert, at(signed, 0), content), good...), keys: accept(t, both, anna)},
		{name: "unknown one beside", sig: append(sign(t, bert, at(signed, 0), content), good...), keys: accept(t, armoured(t, anna), anna)},
		{name: "bad one beside", sig: append(sign(t, bert, at(signed, 0), content[1:]), good...), keys: accept(t, both, anna, bert)},
		{name: "expired since", sig: sign(t, ends, at(signed, 0), content), keys: accept(t, armoured(t, ends), ends), text: "expired on 2024-12-30, after it signed on 2021-01-01"},
		{name: "SHA-1", sig: signSHA1(t, anna), keys: accept(t, both, anna), text: "SHA-1"},
		{name: "short key", sig: sign(t, short, at(signed, 0), content), keys: accept(t, armoured(t, short), short), text: "only 1024 bits"},
		{name: "slightly ahead", sig: sign(t, anna, at(today.Add(time.Minute), 0), content), keys: accept(t, both, anna)},

		{name: "other bytes", sig: sign(t, anna, at(signed, 0), content[1:]), keys: accept(t, both, anna), kind: ErrSignatureBad, text: "not made over these bytes"},
		{name: "flipped bit", sig: flip(good), keys: accept(t, both, anna), kind: ErrSignatureBad},
		{name: "text mode", sig: signText(t, anna), keys: accept(t, both, anna), kind: ErrSignatureBad, text: "binary"},
		{name: "cut", sig: good[:len(good)/2], keys: accept(t, both, anna), kind: ErrSignatureBad},
		{name: "empty", sig: nil, keys: accept(t, both, anna), kind: ErrSignatureBad, text: "no OpenPGP signature"},
		{name: "web page", sig: []byte("<html>sign in</html>"), keys: accept(t, both, anna), kind: ErrSignatureBad, text: "web page"},
		{name: "key instead", sig: both, keys: accept(t, both, anna), kind: ErrSignatureBad, text: "PGP PUBLIC KEY BLOCK"},
		{name: "huge", sig: bytes.Repeat([]byte("x"), maxSignature+1), keys: accept(t, both, anna), kind: ErrSignatureBad, text: "larger"},
		{name: "many", sig: bytes.Repeat(good, maxSignatures+1), keys: accept(t, both, anna), kind: ErrSignatureBad, text: "more than 16"},
		{name: "MD5", sig: withHashID(good, 1), keys: accept(t, both, anna), kind: ErrSignatureBad, text: "MD5"},
		{name: "RIPEMD-160", sig: withHashID(good, 3), keys: accept(t, both, anna), kind: ErrSignatureBad, text: "RIPEMD-160"},
		{name: "future", sig: sign(t, anna, at(today.Add(year), 0), content), keys: accept(t, both, anna), kind: ErrSignatureBad, text: "future"},
		{name: "before the key", sig: signAsIf(t, anna, born.Add(-year)), keys: accept(t, both, anna), kind: ErrSignatureBad, text: "older"},
		{name: "itself expired", sig: sign(t, anna, brief, content), keys: accept(t, both, anna), kind: ErrSignatureBad, text: "time that is over"},

		{name: "not in the file", sig: sign(t, bert, at(signed, 0), content), keys: accept(t, armoured(t, anna), anna), kind: ErrSignatureUnknownKey, text: fingerprint(bert.PrimaryKey)},
		{name: "not accepted", sig: sign(t, bert, at(signed, 0), content), keys: accept(t, both, anna), kind: ErrSignatureUnknownKey, text: fingerprint(anna.PrimaryKey)},
		{name: "expired before", sig: signAsIf(t, ends, born.Add(6*year)), keys: accept(t, armoured(t, ends), ends), kind: ErrSignatureExpiredKey, text: "after its end on 2024-12-30"},
		{name: "subkey expired before", sig: signBySubkey(t, subEnds, signed), keys: accept(t, armoured(t, subEnds), subEnds), kind: ErrSignatureExpiredKey},
		{name: "revoked", sig: revokedSig, keys: accept(t, armoured(t, revoked), revoked), kind: ErrSignatureRevokedKey, text: `laptop \x1b[31mstolen`},
		{name: "retired", sig: retiredSig, keys: accept(t, armoured(t, retired), retired), kind: ErrSignatureRevokedKey, text: "gone fishing"},

		{name: "no key", sig: good, keys: accept(t, []byte("nothing"), anna), kind: ErrKeyFile, text: "gpg --armor --export"},
		{name: "binary key", sig: good, keys: accept(t, unarmoured(t, anna), anna), kind: ErrKeyFile},
		{name: "another key", sig: good, keys: accept(t, armoured(t, bert), anna), kind: ErrKeyFile, text: fingerprint(bert.PrimaryKey)},
		{name: "private key", sig: good, keys: accept(t, private(t, anna), anna), kind: ErrKeyFile, text: "private"},
		{name: "huge key file", sig: good, keys: accept(t, bytes.Repeat([]byte("\n"), maxKeyFile+1), anna), kind: ErrKeyFile, text: "larger"},
		{name: "key id for a fingerprint", sig: good, keys: keyID(accept(t, both, anna)), kind: ErrKeyFile, text: "40 hexadecimal digits"},
		{name: "none accepted", sig: good, keys: accept(t, both), kind: ErrKeyFile},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			by, err := Verify(bytes.NewReader(content), tt.sig, tt.keys, today)
			if tt.kind == nil {
				if err != nil {
					t.Fatal(err)
				}
				if !strings.Contains(by.Note, tt.text) || (tt.text == "") != (by.Note == "") || !strings.Contains(by.UID, "@example.org") || len(by.KeyID) != 16 {
					t.Errorf("signed by %+v, want note with %q", by, tt.text)
				}
				return
			}
			var e *SignatureError
			if !errors.As(err, &e) || !errors.Is(err, tt.kind) || !strings.Contains(err.Error(), tt.text) {
				t.Errorf("error %v, want %v with %q", err, tt.kind, tt.text)
			}
			for _, kind := range []error{ErrSignatureMissing, ErrSignatureBad, ErrSignatureUnknownKey, ErrSignatureExpiredKey, ErrSignatureRevokedKey, ErrKeyFile} {
				if !errors.Is(kind, tt.kind) && errors.Is(err, kind) {
					t.Errorf("%v is a %v too", err, kind)
				}
			}
			if err != nil && strings.Contains(err.Error(), "\x1b") {
				t.Errorf("%q can steer a terminal", err)
			}
		})
	}
}

// TestCopiesOfAKey: a revocation counts in whichever copy it is.
func TestCopiesOfAKey(t *testing.T) {
	k := newKey(t, "Anna", at(born, 0))
	before, sig := armoured(t, k), sign(t, k, at(signed, 0), content)
	s := accept(t, before, k)
	if _, err := Verify(bytes.NewReader(content), sig, s, today); err != nil {
		t.Fatal(err)
	}
	if err := k.RevokeKey(packet.KeyCompromised, "", at(signed, 0)); err != nil {
		t.Fatal(err)
	}
	s.Key.Data = slices.Concat(before, armoured(t, k))
	if _, err := Verify(bytes.NewReader(content), sig, s, today); !errors.Is(err, ErrSignatureRevokedKey) {
		t.Errorf("error %v", err)
	}
}

func TestFetchSigned(t *testing.T) {
	k := newKey(t, "Anna", at(born, 0))
	good, bad := sign(t, k, at(signed, 0), content), sign(t, k, at(signed, 0), content[1:])
	tests := []struct {
		name   string
		answer []byte // nil: 404
		status int
		mirror []byte
		kind   error
	}{
		{name: "good", answer: good},
		{name: "bad", answer: bad, kind: ErrSignatureBad},
		{name: "missing", status: 404, kind: ErrSignatureMissing},
		{name: "server down", status: 503, kind: ErrUnavailable},
		{name: "in the mirror", status: 404, mirror: good},
		{name: "bad in the mirror", answer: good, mirror: bad},
		{name: "bad in the mirror only", status: 404, mirror: bad, kind: ErrSignatureBad},
		{name: "too large", answer: bytes.Repeat(good, 2000), kind: ErrSignatureBad},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			up := serve(t, func(w http.ResponseWriter, r *http.Request, n int64) {
				switch {
				case !strings.HasSuffix(r.URL.Path, ".sig"):
					whole(w, r, n)
				case tt.status != 0:
					w.WriteHeader(tt.status)
				default:
					_, _ = w.Write(tt.answer)
				}
			})
			dir := t.TempDir()
			if tt.mirror != nil {
				if err := os.WriteFile(dir+"/"+fileName+".sig", tt.mirror, 0o644); err != nil {
					t.Fatal(err)
				}
			}
			f, _ := fetcher(t, Options{Mirrors: []string{dir}})
			s := up.source()
			keys := accept(t, armoured(t, k), k)
			keys.URL = s.URL + ".sig"
			s.Signature = &keys
			got, err := f.Fetch(t.Context(), s)
			if tt.kind != nil {
				if !errors.Is(err, tt.kind) || got.Path != "" {
					t.Errorf("%+v, error %v, want %v", got, err, tt.kind)
				}
				return
			}
			if err != nil || got.Signed == nil || got.Signed.UID != "Anna <anna@example.org>" {
				t.Fatalf("%+v, %v", got, err)
			}
			// A signature that held is kept, and verified again without a
			// request.
			before := up.asked.Load()
			f.offline, f.mirrors = true, nil
			if again, err := f.Fetch(t.Context(), s); err != nil || again.Signed == nil || up.asked.Load() != before {
				t.Errorf("again: %+v, %v", again, err)
			}
			// With another key it no longer holds.
			other := accept(t, armoured(t, newKey(t, "Bert", at(born, 0))))
			other.Fingerprints = []string{strings.Repeat("A", 40)}
			s.Signature = &other
			if _, err := f.Fetch(t.Context(), s); !errors.Is(err, ErrKeyFile) {
				t.Errorf("under another key: %v", err)
			}
		})
	}
}

// flip damages the last byte, which belongs to the signature's number.
func flip(b []byte) []byte {
	b = bytes.Clone(b)
	b[len(b)-1] ^= 1
	return b
}

// withHashID changes the octet that names the hash function: the fourth of a
// version 4 signature, after a header of two octets.
func withHashID(b []byte, id byte) []byte {
	b = bytes.Clone(b)
	b[2+3] = id
	return b
}

func keyID(s recipes.Signature) recipes.Signature {
	s.Fingerprints[0] = s.Fingerprints[0][24:]
	return s
}

func unarmoured(t testing.TB, k *openpgp.Entity) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := k.Serialize(&b); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func private(t testing.TB, k *openpgp.Entity) []byte {
	t.Helper()
	var b bytes.Buffer
	w, err := armor.Encode(&b, openpgp.PublicKeyType, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(k.SerializePrivateWithoutSigning(w, nil), w.Close()); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func signText(t testing.TB, k *openpgp.Entity) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := openpgp.DetachSignText(&b, k, bytes.NewReader(content), at(signed, 0)); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// signAsIf signs at a time that the library would refuse.
func signAsIf(t testing.TB, k *openpgp.Entity, when time.Time) []byte {
	t.Helper()
	return signWith(t, k.PrivateKey, when)
}

func signBySubkey(t testing.TB, k *openpgp.Entity, when time.Time) []byte {
	t.Helper()
	return signWith(t, k.Subkeys[len(k.Subkeys)-1].PrivateKey, when)
}

// signSHA1 writes a version 4 signature by hand (RFC 9580, 5.2.3 and 5.2.4),
// because the library rightly refuses to make one.
func signSHA1(t testing.TB, k *openpgp.Entity) []byte {
	t.Helper()
	hashed := binary.BigEndian.AppendUint32([]byte{4, 0x00, 22, 2, 0, 6, 5, 2}, uint32(signed.Unix()))
	h := sha1.New()
	h.Write(content)
	h.Write(hashed)
	h.Write(binary.BigEndian.AppendUint32([]byte{4, 0xff}, uint32(len(hashed))))
	sum := h.Sum(nil)
	r, s, err := eddsa.Sign(k.PrivateKey.PrivateKey.(*eddsa.PrivateKey), sum)
	if err != nil {
		t.Fatal(err)
	}
	body := slices.Concat(hashed, []byte{0, 10, 9, 16}) // one subpacket that is not hashed: the issuer
	body = binary.BigEndian.AppendUint64(body, k.PrimaryKey.KeyId)
	body = append(body, sum[:2]...)
	for _, n := range [][]byte{r, s} {
		number := new(big.Int).SetBytes(n)
		body = binary.BigEndian.AppendUint16(body, uint16(number.BitLen()))
		body = append(body, number.Bytes()...)
	}
	return append([]byte{0xc2, byte(len(body))}, body...)
}

func signWith(t testing.TB, key *packet.PrivateKey, when time.Time) []byte {
	t.Helper()
	sig := &packet.Signature{Version: 4, SigType: packet.SigTypeBinary, PubKeyAlgo: key.PubKeyAlgo, Hash: crypto.SHA256,
		CreationTime: when, IssuerKeyId: &key.KeyId, IssuerFingerprint: key.Fingerprint}
	h := crypto.SHA256.New()
	h.Write(content)
	var b bytes.Buffer
	if err := errors.Join(sig.Sign(h, key, at(when, 0)), sig.Serialize(&b)); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// stored returns the key, the file and its signature from testdata; -update
// makes new ones. Fuzzing needs the same ones in all its processes.
func stored(t testing.TB) (key *openpgp.Entity, file, sig []byte) {
	t.Helper()
	if *update {
		k := newKey(t, "Anna", at(born, 0))
		err := errors.Join(os.WriteFile("testdata/anna.asc", armoured(t, k), 0o644),
			os.WriteFile("testdata/anna.sig", sign(t, k, at(signed, 0), content), 0o644))
		if err != nil {
			t.Fatal(err)
		}
	}
	file, err := os.ReadFile("testdata/anna.asc")
	sig, err2 := os.ReadFile("testdata/anna.sig")
	ring, err3 := openpgp.ReadArmoredKeyRing(bytes.NewReader(file))
	if err := errors.Join(err, err2, err3); err != nil {
		t.Fatal(err)
	}
	return ring[0], file, sig
}

func TestStoredKey(t *testing.T) {
	k, file, sig := stored(t)
	if _, err := Verify(bytes.NewReader(content), sig, accept(t, file, k), today); err != nil {
		t.Error(err)
	}
}

// FuzzVerify verifies arbitrary signatures and key files. None of them may
// verify other bytes than those that were signed.
func FuzzVerify(f *testing.F) {
	k, key, sig := stored(f)
	f.Add(sig, key)
	f.Add(sig, append(bytes.Clone(key), key...))
	f.Add([]byte("-----BEGIN PGP SIGNATURE-----\n\niQ=="), []byte("-----BEGIN PGP PUBLIC KEY BLOCK-----\n\n"))
	other := []byte("other bytes")
	f.Fuzz(func(t *testing.T, sig, file []byte) {
		// The file as it is, and as the content of a block.
		var block bytes.Buffer
		w, err := armor.Encode(&block, openpgp.PublicKeyType, nil)
		if err != nil {
			t.Fatal(err)
		}
		_, err = w.Write(file)
		if err := errors.Join(err, w.Close()); err != nil {
			t.Fatal(err)
		}
		for _, keys := range [][]byte{file, block.Bytes(), key} {
			by, err := Verify(bytes.NewReader(other), sig, accept(t, keys, k), today)
			if err == nil {
				t.Fatalf("bytes that nobody signed are signed by %+v", by)
			}
			var e *SignatureError
			if !errors.As(err, &e) {
				t.Fatalf("error of another type: %v", err)
			}
		}
	})
}
