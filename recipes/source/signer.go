// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

package source

import (
	"bytes"
	"crypto"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/ProtonMail/go-crypto/openpgp"
	"github.com/ProtonMail/go-crypto/openpgp/packet"

	"github.com/zfarm/zfarm/workers/codepage"
)

// signer is a key that may have signed. Key files of distributions have the
// same primary key several times, from different dates. copies are all of
// them, so that no renewal and no revocation is missed.
type signer struct {
	copies []*openpgp.Entity
	public *packet.PublicKey
}

// find returns the key that sig names; an accepted one, if there is a choice.
func (k *keyring) find(sig *packet.Signature) (signer, bool) {
	var found signer
	for _, e := range k.entities {
		for _, p := range publicKeys(e) {
			if !sig.CheckKeyIdOrFingerprint(p) {
				continue
			}
			switch {
			case found.public != nil && bytes.Equal(found.public.Fingerprint, p.Fingerprint) && fingerprint(found.copies[0].PrimaryKey) == fingerprint(e.PrimaryKey):
				found.copies = append(found.copies, e)
			case found.public == nil || !k.accepts(found.copies[0]) && k.accepts(e):
				found = signer{[]*openpgp.Entity{e}, p}
			}
		}
	}
	return found, found.public != nil
}

func publicKeys(e *openpgp.Entity) []*packet.PublicKey {
	keys := []*packet.PublicKey{e.PrimaryKey}
	for _, s := range e.Subkeys {
		keys = append(keys, s.PublicKey)
	}
	return keys
}

// checkSignature decides on one signature: first whether the key made it, then
// whether the key was and is allowed to.
func (k *keyring) checkSignature(c keySignature, now time.Time) (*SignedBy, error) {
	id := fingerprint(c.key.copies[0].PrimaryKey)
	fault := func(kind error, format string, args ...any) error {
		return k.fault(kind, id, fmt.Sprintf(format, args...))
	}
	at := c.sig.CreationTime
	if err := c.key.public.VerifySignature(c.hash, c.sig); err != nil {
		return nil, fault(ErrSignatureBad, "it was not made over these bytes (%s)", codepage.Line(err.Error(), maxText))
	}
	if why := c.key.revoked(); why != "" {
		return nil, fault(ErrSignatureRevokedKey, "%s", why)
	}
	switch {
	case !c.key.maySign():
		return nil, fault(ErrSignatureBad, "its key is not meant for signing")
	case critical(c.sig):
		return nil, fault(ErrSignatureBad, "it says something critical that is not understood")
	case at.After(now.Add(clockSlack)):
		return nil, fault(ErrSignatureBad, "it is from the future (%s)", day(at))
	case at.Before(c.key.public.CreationTime) || at.Before(c.key.copies[0].PrimaryKey.CreationTime):
		return nil, fault(ErrSignatureBad, "it is older (%s) than its key (%s)", day(at), day(c.key.public.CreationTime))
	case c.sig.SigExpired(now.Add(clockSlack)):
		return nil, fault(ErrSignatureBad, "it was made on %s to hold for a time that is over", day(at))
	}
	expiry := c.key.expiry()
	if expiry != nil && at.After(*expiry) {
		return nil, fault(ErrSignatureExpiredKey, "it signed on %s, after its end on %s", day(at), day(*expiry))
	}
	if expiry != nil && now.Before(*expiry) {
		expiry = nil // in the future; not worth a note
	}
	return &SignedBy{Fingerprint: id, KeyID: fmt.Sprintf("%016X", c.key.public.KeyId), UID: c.key.uid(),
		SignedAt: at.UTC(), KeyExpired: expiry, Note: note(c, expiry)}, nil
}

// note returns the reservations about an accepted signature.
func note(c keySignature, expired *time.Time) string {
	var notes []string
	if expired != nil {
		notes = append(notes, fmt.Sprintf("the key expired on %s, after it signed on %s", day(*expired), day(c.sig.CreationTime)))
	}
	if c.sig.Hash == crypto.SHA1 {
		notes = append(notes, "the signature uses SHA-1, which no longer withstands collisions; the pinned sha256 is what binds the bytes")
	}
	switch c.key.public.PubKeyAlgo {
	case packet.PubKeyAlgoRSA, packet.PubKeyAlgoRSASignOnly, packet.PubKeyAlgoDSA:
		if bits, err := c.key.public.BitLength(); err == nil && bits < 2040 {
			notes = append(notes, fmt.Sprintf("the key has only %d bits", bits))
		}
	}
	return strings.Join(notes, "; ")
}

func day(t time.Time) string { return t.UTC().Format(time.DateOnly) }

func critical(sig *packet.Signature) bool {
	return slices.ContainsFunc(sig.Notations, func(n *packet.Notation) bool { return n.IsCritical })
}

// subkeys returns the copies of the subkey that signed; none if it was the
// primary key.
func (s signer) subkeys() []openpgp.Subkey {
	var list []openpgp.Subkey
	for _, e := range s.copies {
		for _, sub := range e.Subkeys {
			if bytes.Equal(sub.PublicKey.Fingerprint, s.public.Fingerprint) {
				list = append(list, sub)
			}
		}
	}
	return list
}

// revoked says why the key must not be used; "" if it may. Any revocation
// counts, even one for a harmless reason, because whoever holds a retired key
// can sign with any date. A key whose identities are all revoked counts as
// revoked, too.
func (s signer) revoked() string {
	left := false
	for _, e := range s.copies {
		if len(e.Revocations) > 0 {
			return reason(e.Revocations[0])
		}
		left = left || e.PrimaryKey.Version == 6 || len(identities(e)) > 0
	}
	if !left {
		return "its owner has revoked every identity of it"
	}
	for _, sub := range s.subkeys() {
		if len(sub.Revocations) > 0 {
			return reason(sub.Revocations[0])
		}
	}
	return ""
}

func reason(sig *packet.Signature) string {
	text := "its owner revoked it on " + day(sig.CreationTime)
	if sig.RevocationReasonText != "" {
		text += ": " + codepage.Line(sig.RevocationReasonText, maxText)
	}
	return text
}

// identities returns the identities that are not revoked, the newest
// self-signature first. Names break ties, because the library keeps identities
// in a map.
func identities(e *openpgp.Entity) []*openpgp.Identity {
	var list []*openpgp.Identity
	for _, i := range e.Identities {
		gone := i.SelfSignature == nil || slices.ContainsFunc(i.Revocations, func(r *packet.Signature) bool {
			return !r.CreationTime.Before(i.SelfSignature.CreationTime)
		})
		if !gone {
			list = append(list, i)
		}
	}
	slices.SortFunc(list, func(a, b *openpgp.Identity) int {
		if c := b.SelfSignature.CreationTime.Compare(a.SelfSignature.CreationTime); c != 0 {
			return c
		}
		return strings.Compare(a.Name, b.Name)
	})
	return list
}

// primary returns the newest self-signature of the primary key, which says
// what the key is for and how long it is valid.
func (s signer) primary() *packet.Signature {
	var newest *packet.Signature
	for _, e := range s.copies {
		sig := e.SelfSignature // version 6
		if list := identities(e); sig == nil && len(list) > 0 {
			sig = list[0].SelfSignature
		}
		if sig != nil && (newest == nil || sig.CreationTime.After(newest.CreationTime)) {
			newest = sig
		}
	}
	return newest
}

// binding returns the newest signature that binds the subkey; nil for a
// primary key.
func (s signer) binding() *packet.Signature {
	var newest *packet.Signature
	for _, sub := range s.subkeys() {
		if newest == nil || sub.Sig.CreationTime.After(newest.CreationTime) {
			newest = sub.Sig
		}
	}
	return newest
}

// maySign reports whether the key is for signing. Old primary keys do not say
// what they are for and may do everything. A subkey must say it, because only
// then does the library require that the subkey signed the primary key in
// turn.
func (s signer) maySign() bool {
	if b := s.binding(); b != nil {
		return b.FlagsValid && b.FlagSign
	}
	p := s.primary()
	return p != nil && (!p.FlagsValid || p.FlagSign)
}

// expiry returns when the key that signed expires: the earlier of subkey and
// primary key; nil if neither expires.
func (s signer) expiry() *time.Time {
	end := lifetime(s.copies[0].PrimaryKey, s.primary())
	if b := s.binding(); b != nil {
		if sub := lifetime(s.public, b); sub != nil && (end == nil || sub.Before(*end)) {
			end = sub
		}
	}
	return end
}

func lifetime(p *packet.PublicKey, sig *packet.Signature) *time.Time {
	if sig == nil || sig.KeyLifetimeSecs == nil || *sig.KeyLifetimeSecs == 0 {
		return nil
	}
	end := p.CreationTime.Add(time.Duration(*sig.KeyLifetimeSecs) * time.Second).UTC()
	return &end
}

// uid returns the identity that the owner marked as primary; else the newest.
func (s signer) uid() string {
	var name string
	for _, e := range s.copies {
		for _, i := range identities(e) {
			if p := i.SelfSignature.IsPrimaryId; p != nil && *p {
				return codepage.Line(i.Name, maxText)
			}
			if name == "" {
				name = i.Name
			}
		}
	}
	return codepage.Line(name, maxText)
}
