// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

package source

import (
	"errors"
	"fmt"
	"strings"

	"github.com/zfarm/zfarm/attest/digest"
)

// Kinds of error, for errors.Is. The types below, for errors.As, have the
// details.
var (
	// ErrChecksum: the file does not have the pinned digest ([ChecksumError]).
	ErrChecksum = errors.New("wrong checksum")
	// ErrUnavailable: no place has the file ([UnavailableError]).
	ErrUnavailable = errors.New("source unavailable")
	// ErrTooLarge: the file is larger than the limit ([TooLargeError]).
	ErrTooLarge = errors.New("source too large")

	// ErrSignatureMissing: every place reports that there is no such
	// signature. This error and the next five are returned as a
	// [SignatureError].
	ErrSignatureMissing = errors.New("signature missing")
	// ErrSignatureBad: the signature cannot be read, is not reliable enough,
	// or was not made over these bytes.
	ErrSignatureBad = errors.New("bad signature")
	// ErrSignatureUnknownKey: the signature is by a key that the recipe does
	// not accept.
	ErrSignatureUnknownKey = errors.New("signature by a key that is not accepted")
	// ErrSignatureExpiredKey: the key had expired before it signed.
	ErrSignatureExpiredKey = errors.New("signature by an expired key")
	// ErrSignatureRevokedKey: the owner has revoked the key.
	ErrSignatureRevokedKey = errors.New("signature by a revoked key")
	// ErrKeyFile: the recipe's key file is not armoured OpenPGP public keys,
	// or holds none of those accepted.
	ErrKeyFile = errors.New("upstream key file not usable")

	// ErrArchive: an archive is damaged, too large, or has members that must
	// not be unpacked.
	ErrArchive = errors.New("archive refused")
)

// ChecksumError describes a file that does not have the pinned digest.
type ChecksumError struct {
	Name  string // the file's name
	Place string // where it came from
	Want  digest.Digest
	Have  digest.Digest
	Size  int64 // bytes received
	HTML  bool  // whether the file is a web page
}

// Error names both digests and says what to do.
func (e *ChecksumError) Error() string {
	hint := "if upstream released it again, check its announcement and update sha256"
	if e.HTML {
		hint = "it is a web page, not the file: the URL leads to a download or login page; find the direct URL"
	}
	return fmt.Sprintf("%s from %s has sha256 %s (%d bytes), want %s; %s",
		e.Name, e.Place, e.Have.Hex(), e.Size, e.Want.Hex(), hint)
}

// Is reports that e is an ErrChecksum.
func (e *ChecksumError) Is(target error) bool { return target == ErrChecksum }

// FailedPlace is one place that was tried without success.
type FailedPlace struct {
	Place string
	Err   error
}

// UnavailableError lists every place that was tried. If a place had the wrong
// bytes, the error is an ErrChecksum as well.
type UnavailableError struct {
	Name  string
	Tried []FailedPlace
}

// Error lists the places in the order in which they were tried.
func (e *UnavailableError) Error() string {
	return fmt.Sprintf("%s is not to be had (%s); check the URL and the network, or put the file into a mirror",
		e.Name, listTried(e.Tried))
}

// Is reports that e is an ErrUnavailable.
func (e *UnavailableError) Is(target error) bool { return target == ErrUnavailable }

// Unwrap returns the error of each place.
func (e *UnavailableError) Unwrap() []error {
	errs := make([]error, 0, len(e.Tried))
	for _, t := range e.Tried {
		errs = append(errs, t.Err)
	}
	return errs
}

func listTried(tried []FailedPlace) string {
	parts := make([]string, 0, len(tried))
	for _, t := range tried {
		parts = append(parts, t.Place+": "+t.Err.Error())
	}
	return strings.Join(parts, "; ")
}

// TooLargeError says which limit was exceeded.
type TooLargeError struct {
	Place string
	Limit int64 // bytes
}

// Error names the limit.
func (e *TooLargeError) Error() string {
	return fmt.Sprintf("%s gives more than %d bytes; if that is right, raise the farm's limit for one source",
		e.Place, e.Limit)
}

// Is reports that e is an ErrTooLarge.
func (e *TooLargeError) Is(target error) bool { return target == ErrTooLarge }

// SignatureError says why a signature is not accepted.
type SignatureError struct {
	// Kind is one of the ErrSignature errors, or ErrKeyFile.
	Kind error
	// File is the signed file, or the key file for ErrKeyFile.
	File string
	// Signer is the fingerprint or key id that signed, in upper-case hex; ""
	// if it is unknown.
	Signer string
	// Accepted are the fingerprints that the recipe accepts.
	Accepted []string
	// Detail says what was found, safe to show.
	Detail string
}

// Error says what was found and what to do about it.
func (e *SignatureError) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s: %v: %s", e.File, e.Kind, e.Detail)
	switch e.Kind {
	case ErrSignatureMissing: //nolint:errorlint // the kind is one of these itself
		b.WriteString("; correct the signature's url, or take the signature block out of the recipe and say why")
	case ErrSignatureBad:
		b.WriteString("; do not build this file until upstream has explained it")
	case ErrSignatureUnknownKey:
		fmt.Fprintf(&b, "; signed by %s, accepted are %s; if upstream announced that key, add its fingerprint and the key",
			e.Signer, strings.Join(e.Accepted, ", "))
	case ErrSignatureExpiredKey:
		fmt.Fprintf(&b, "; key %s; get upstream's renewed key into the key file, or a new signature", e.Signer)
	case ErrSignatureRevokedKey:
		fmt.Fprintf(&b, "; key %s; find out from upstream why, and take a release signed by its new key", e.Signer)
	case ErrKeyFile:
		b.WriteString("; write it with: gpg --armor --export FINGERPRINT")
	}
	return b.String()
}

// Unwrap returns the kind.
func (e *SignatureError) Unwrap() error { return e.Kind }
