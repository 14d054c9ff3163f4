// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

package cosign_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/zfarm/zfarm/attest"
	"github.com/zfarm/zfarm/attest/cosign"
	"github.com/zfarm/zfarm/attest/digest"
	"github.com/zfarm/zfarm/attest/keys"
	"github.com/zfarm/zfarm/attest/statement"
)

var (
	_ attest.Signer   = (*cosign.Signer)(nil)
	_ attest.Verifier = (*cosign.Verifier)(nil)
)

const password = "correct horse"

func sum(s string) digest.Digest { return digest.Of([]byte(s)) }

// Opening a key takes long on purpose, so that all tests share two.
var ours, theirs = sync.OnceValues(makeKey), sync.OnceValues(makeKey)

func makeKey() (*cosign.Signer, error) {
	private, _, err := cosign.GenerateKey([]byte(password))
	if err != nil {
		return nil, err
	}
	return cosign.NewSigner(private, []byte(password))
}

// newKey returns our signer, and a verifier that trusts it.
func newKey(tb testing.TB) (*cosign.Signer, *cosign.Verifier) {
	tb.Helper()
	signer, err := ours()
	if err != nil {
		tb.Fatal(err)
	}
	verifier, err := cosign.NewVerifier(signer.PublicKey())
	if err != nil {
		tb.Fatal(err)
	}
	return signer, verifier
}

// otherKey returns a signer that our verifier does not trust.
func otherKey(tb testing.TB) *cosign.Signer {
	tb.Helper()
	signer, err := theirs()
	if err != nil {
		tb.Fatal(err)
	}
	return signer
}

// about returns a provenance about n artifacts; the first is "artifact".
func about(tb testing.TB, n int) attest.Statement {
	tb.Helper()
	begun := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	p := statement.Provenance{
		Subjects: []attest.Subject{{Name: "artifact", Digest: sum("artifact")}},
		External: statement.ExternalParameters{
			Recipe: statement.RecipeRef{URI: "git+https://example.org/ports"}, Port: "gzip", Version: "1.12",
		},
		Internal:     statement.InternalParameters{Repeats: 2, Baseline: "baseline"},
		Dependencies: []statement.Resource{{Name: statement.RecipeName, URI: "git+https://example.org/ports", Digest: sum("recipe")}},
		Builder:      statement.Builder{ID: statement.BuilderShared},
		InvocationID: "b-1", StartedOn: begun, FinishedOn: begun.Add(time.Minute),
	}
	for i := 1; i < n; i++ {
		p.Subjects = append(p.Subjects, attest.Subject{Name: fmt.Sprint("artifact", i), Digest: sum(fmt.Sprint("artifact", i))})
	}
	s, err := p.Statement()
	if err != nil {
		tb.Fatal(err)
	}
	return s
}

func mustSign(tb testing.TB, s *cosign.Signer, st attest.Statement) attest.Bundle {
	tb.Helper()
	b, err := s.Sign(tb.Context(), st)
	if err != nil {
		tb.Fatal(err)
	}
	return b
}

func wantError(t *testing.T, err error, text string) {
	t.Helper()
	if err == nil || !strings.Contains(err.Error(), text) {
		t.Errorf("error is %v, want one with %q", err, text)
	}
}

func TestSignAndVerify(t *testing.T) {
	signer, verifier := newKey(t)
	want := about(t, 3)
	b := mustSign(t, signer, want)
	for _, artifact := range []string{"artifact", "artifact2"} {
		got, err := verifier.Verify(t.Context(), b, sum(artifact))
		if diff := cmp.Diff(want, got); diff != "" || err != nil {
			t.Errorf("%s: %v; statement (-signed +verified):\n%s", artifact, err, diff)
		}
	}
	if signer.Hint() != verifier.Hint() {
		t.Errorf("hints differ: %s and %s", signer.Hint(), verifier.Hint())
	}
	hint, err := keys.Hint(signer.PublicKey())
	if err != nil || hint != signer.Hint() {
		t.Errorf("hint of the public key is %q, %v; want %q", hint, err, signer.Hint())
	}
}

// TestBundleForm pins everything in a bundle besides payload and signature.
func TestBundleForm(t *testing.T) {
	signer, _ := newKey(t)
	s := about(t, 1)
	b := mustSign(t, signer, s)
	var form struct {
		DsseEnvelope struct {
			Signatures []struct{ Sig string }
		}
	}
	if err := json.Unmarshal(b, &form); err != nil {
		t.Fatal(err)
	}
	want := fmt.Sprintf(`{"mediaType":%q,"verificationMaterial":{"publicKey":{"hint":%q}},"dsseEnvelope":{"payload":%q,"payloadType":"application/vnd.in-toto+json","signatures":[{"sig":%q}]}}`,
		cosign.MediaType, signer.Hint(), base64.StdEncoding.EncodeToString(s.JSON), form.DsseEnvelope.Signatures[0].Sig)
	if diff := cmp.Diff(want, string(b)); diff != "" {
		t.Errorf("bundle (-want +got):\n%s", diff)
	}
}

// edited returns the bundle after a change to its JSON.
func edited(t *testing.T, b attest.Bundle, edit func(bundle, envelope map[string]any)) attest.Bundle {
	t.Helper()
	var bundle map[string]any
	if err := json.Unmarshal(b, &bundle); err != nil {
		t.Fatal(err)
	}
	edit(bundle, bundle["dsseEnvelope"].(map[string]any))
	out, err := json.Marshal(bundle)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// flipped returns the base64 text with one bit of its content changed.
func flipped(t *testing.T, text any, at int) string {
	t.Helper()
	b, err := base64.StdEncoding.DecodeString(text.(string))
	if err != nil {
		t.Fatal(err)
	}
	b[at%len(b)] ^= 1
	return base64.StdEncoding.EncodeToString(b)
}

func replaced(t *testing.T, text any, old, new string) string {
	t.Helper()
	b, err := base64.StdEncoding.DecodeString(text.(string))
	if err != nil {
		t.Fatal(err)
	}
	out := bytes.ReplaceAll(b, []byte(old), []byte(new))
	if bytes.Equal(out, b) {
		t.Fatalf("%q is not in the payload", old)
	}
	return base64.StdEncoding.EncodeToString(out)
}

func signatureOf(envelope map[string]any) map[string]any {
	return envelope["signatures"].([]any)[0].(map[string]any)
}

func TestVerifyRefusesTampering(t *testing.T) {
	signer, verifier := newKey(t)
	other := otherKey(t)
	good := mustSign(t, signer, about(t, 1))
	type m = map[string]any
	for _, tc := range []struct {
		name string
		edit func(t *testing.T, bundle, envelope m)
		want string
	}{
		{"payload", func(t *testing.T, _, e m) { e["payload"] = replaced(t, e["payload"], "1.12", "1.13") }, "signature does not fit"},
		{"subject's name", func(t *testing.T, _, e m) { e["payload"] = replaced(t, e["payload"], `"artifact"`, `"artifice"`) }, "signature does not fit"},
		{"subject's digest", func(t *testing.T, _, e m) {
			e["payload"] = replaced(t, e["payload"], sum("artifact").Hex(), sum("evil").Hex())
		}, "signature does not fit"},
		{"payload is no statement", func(_ *testing.T, _, e m) { e["payload"] = "e30=" }, "_type"},
		{"signature", func(t *testing.T, _, e m) { signatureOf(e)["sig"] = flipped(t, signatureOf(e)["sig"], 40) }, "signature does not fit"},
		{"no signature", func(_ *testing.T, _, e m) { e["signatures"] = []any{} }, "0 signatures"},
		{"two signatures", func(_ *testing.T, _, e m) { e["signatures"] = []any{signatureOf(e), signatureOf(e)} }, "2 signatures"},
		{"payload type", func(_ *testing.T, _, e m) { e["payloadType"] = "text/plain" }, `"text/plain"`},
		{"hint", func(_ *testing.T, b, _ m) {
			b["verificationMaterial"] = m{"publicKey": m{"hint": other.Hint()}}
		}, "signed by another key: hint \"" + other.Hint()[:8]},
		{"certificate", func(_ *testing.T, b, _ m) {
			b["verificationMaterial"] = m{"certificate": m{"rawBytes": "AQ=="}}
		}, "certificate"},
		{"no material", func(_ *testing.T, b, _ m) { delete(b, "verificationMaterial") }, "verification material"},
		{"no envelope", func(_ *testing.T, b, _ m) { delete(b, "dsseEnvelope") }, "content"},
		{"message signature", func(_ *testing.T, b, _ m) {
			delete(b, "dsseEnvelope")
			b["messageSignature"] = m{"messageDigest": m{"algorithm": "SHA2_256", "digest": "AQ=="}, "signature": "AQ=="}
		}, "no statement"},
		{"media type", func(_ *testing.T, b, _ m) { b["mediaType"] = "application/json" }, "media type"},
		{"unknown field", func(_ *testing.T, b, _ m) { b["more"] = 1 }, "more"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			b := edited(t, good, func(bundle, envelope m) { tc.edit(t, bundle, envelope) })
			_, err := verifier.Verify(t.Context(), b, sum("artifact"))
			wantError(t, err, tc.want)
			if !errors.Is(err, attest.ErrNotVerified) {
				t.Errorf("error %v does not wrap ErrNotVerified", err)
			}
		})
	}
	// The table proves something only if editing the JSON alone is harmless.
	if _, err := verifier.Verify(t.Context(), edited(t, good, func(m, m) {}), sum("artifact")); err != nil {
		t.Errorf("without a change: %v", err)
	}
}

func TestVerifyRefusesOthers(t *testing.T) {
	signer, verifier := newKey(t)
	other := otherKey(t)
	s := about(t, 1)
	good := mustSign(t, signer, s)
	forged := edited(t, mustSign(t, other, s), func(bundle, _ map[string]any) {
		bundle["verificationMaterial"] = map[string]any{"publicKey": map[string]any{"hint": signer.Hint()}}
	})
	plain, err := signer.SignBytes(t.Context(), "text/plain", s.JSON)
	if err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct {
		name     string
		bundle   attest.Bundle
		artifact digest.Digest
		want     string
	}{
		{"other artifact", good, sum("evil"), "not about the artifact"},
		{"no artifact", good, digest.Digest{}, "no digest"},
		{"other key", mustSign(t, other, s), sum("artifact"), "signed by another key: hint \"" + other.Hint()},
		{"other key under our hint", forged, sum("artifact"), "signature does not fit"},
		{"other key and other artifact", forged, sum("evil"), "signature does not fit"},
		{"other payload type, signed", plain, sum("artifact"), "text/plain"},
		{"empty", nil, sum("artifact"), "reading it"},
		{"cut", good[:len(good)/2], sum("artifact"), "reading it"},
		{"huge", make(attest.Bundle, cosign.MaxBundle+1), sum("artifact"), "the most is"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			_, err := verifier.Verify(t.Context(), tc.bundle, tc.artifact)
			wantError(t, err, tc.want)
			if !errors.Is(err, attest.ErrNotVerified) {
				t.Errorf("error %v does not wrap ErrNotVerified", err)
			}
		})
	}
	cancelled, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := verifier.Verify(cancelled, good, sum("artifact")); !errors.Is(err, context.Canceled) || errors.Is(err, attest.ErrNotVerified) {
		t.Errorf("after cancelling: %v", err)
	}
	if _, err := signer.Sign(cancelled, s); !errors.Is(err, context.Canceled) {
		t.Errorf("signing after cancelling: %v", err)
	}
}

func TestNumberOfSubjects(t *testing.T) {
	signer, verifier := newKey(t)
	most := about(t, attest.MaxSubjects)
	b := mustSign(t, signer, most)
	if _, err := verifier.Verify(t.Context(), b, most.Subjects[attest.MaxSubjects-1].Digest); err != nil {
		t.Errorf("%d subjects: %v", attest.MaxSubjects, err)
	}
	// One more than the builders allow: neither signed nor verified.
	last := most.Subjects[attest.MaxSubjects-1]
	one := fmt.Sprintf(`{"digest":{"sha256":%q},"name":%q}`, last.Digest.Hex(), last.Name)
	more := most
	more.JSON = bytes.Replace(most.JSON, []byte(one), []byte(one+","+strings.Replace(one, last.Name, "more", 1)), 1)
	more.Subjects = append(more.Subjects[:len(more.Subjects):len(more.Subjects)], attest.Subject{Name: "more", Digest: last.Digest})
	_, err := signer.Sign(t.Context(), more)
	wantError(t, err, "1001 subjects")
	b, err = signer.SignBytes(t.Context(), statement.PayloadType, more.JSON)
	if err != nil {
		t.Fatal(err)
	}
	_, err = verifier.Verify(t.Context(), b, last.Digest)
	wantError(t, err, "1001 subjects")
}

func TestSignRefusesWhatIsShownDifferently(t *testing.T) {
	signer, _ := newKey(t)
	for _, tc := range []struct {
		name   string
		change func(*attest.Statement)
		want   string
	}{
		{"predicate type", func(s *attest.Statement) { s.PredicateType = attest.TypeTestResult }, "its bytes have predicate type"},
		{"more subjects", func(s *attest.Statement) { s.Subjects = append(s.Subjects, s.Subjects[0]) }, "1 subjects"},
		{"other subject", func(s *attest.Statement) { s.Subjects[0].Digest = sum("evil") }, "name the subject"},
		{"no bytes", func(s *attest.Statement) { s.JSON = nil }, "reading statement"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			s := about(t, 1)
			tc.change(&s)
			_, err := signer.Sign(t.Context(), s)
			wantError(t, err, tc.want)
		})
	}
}

func TestKeys(t *testing.T) {
	if _, _, err := cosign.GenerateKey(nil); err == nil {
		t.Error("a key was made without a password")
	}
	private, public, err := cosign.GenerateKey([]byte(password))
	if err != nil {
		t.Fatal(err)
	}
	if block, _ := pem.Decode(private); block == nil || !strings.HasPrefix(block.Type, "ENCRYPTED") {
		t.Errorf("private key is %.40q", private)
	}
	strange := bytes.Replace(private, []byte("SIGSTORE"), []byte("RUBBISHY"), 2)
	for name, tc := range map[string]struct{ key, password []byte }{
		"wrong password": {private, []byte("x")},
		"no password":    {private, nil},
		"public key":     {public, []byte(password)},
		"no key":         {nil, []byte(password)},
		"other PEM":      {strange, []byte(password)},
		"huge":           {make([]byte, keys.MaxFile+1), []byte(password)},
	} {
		if _, err := cosign.NewSigner(tc.key, tc.password); err == nil {
			t.Errorf("%s: opened", name)
		}
	}
	if _, err := cosign.NewVerifier(private); err == nil {
		t.Error("a private key is trusted as a public one")
	}
}

// TestPasswordComesFromTheCallerOnly: variables that cosign's own program
// would read from the environment are ignored.
func TestPasswordComesFromTheCallerOnly(t *testing.T) {
	t.Setenv("COSIGN_PASSWORD", password)
	private, _, err := cosign.GenerateKey([]byte("other"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := cosign.NewSigner(private, []byte(password)); err == nil {
		t.Error("the key was made with the password in the environment")
	}
	if _, err := cosign.NewSigner(private, []byte("other")); err != nil {
		t.Error(err)
	}
}

func FuzzVerify(f *testing.F) {
	signer, verifier := newKey(f)
	good := mustSign(f, signer, about(f, 1))
	f.Add([]byte(good))
	f.Add([]byte(good[:100]))
	f.Add([]byte(`{"mediaType":"` + cosign.MediaType + `"}`))
	f.Add([]byte(`{"mediaType":"` + cosign.MediaType + `","verificationMaterial":{"publicKey":{}},"dsseEnvelope":{}}`))
	f.Add([]byte(`{"mediaType":"` + cosign.MediaType + `","verificationMaterial":{"publicKey":null,"tlogEntries":[{}]},"dsseEnvelope":null}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		s, err := verifier.Verify(t.Context(), b, sum("artifact"))
		if err != nil {
			if !errors.Is(err, attest.ErrNotVerified) {
				t.Errorf("error %v does not wrap ErrNotVerified", err)
			}
			return
		}
		if len(s.Subjects) != 1 || s.Subjects[0].Digest != sum("artifact") {
			t.Errorf("a forged statement was verified: %s", s.JSON)
		}
	})
}

func benchmarkSizes(b *testing.B, bench func(b *testing.B, signer *cosign.Signer, verifier *cosign.Verifier, s attest.Statement)) {
	signer, verifier := newKey(b)
	for _, n := range []int{1, 100, attest.MaxSubjects} {
		b.Run(fmt.Sprintf("subjects=%d", n), func(b *testing.B) { bench(b, signer, verifier, about(b, n)) })
	}
}

func BenchmarkSign(b *testing.B) {
	benchmarkSizes(b, func(b *testing.B, signer *cosign.Signer, _ *cosign.Verifier, s attest.Statement) {
		for b.Loop() {
			mustSign(b, signer, s)
		}
	})
}

func BenchmarkVerify(b *testing.B) {
	benchmarkSizes(b, func(b *testing.B, signer *cosign.Signer, verifier *cosign.Verifier, s attest.Statement) {
		bundle := mustSign(b, signer, s)
		for b.Loop() {
			if _, err := verifier.Verify(b.Context(), bundle, sum("artifact")); err != nil {
				b.Fatal(err)
			}
		}
	})
}
