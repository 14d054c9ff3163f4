// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

package farm

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/zfarm/zfarm/attest/cosign"
	"github.com/zfarm/zfarm/attest/keys"
	"github.com/zfarm/zfarm/orchestrator/engine"
	"github.com/zfarm/zfarm/orchestrator/farmfile"
)

// TestSigningKeyMustBeThatOfThePublicOne: a farm does not sign what cannot be verified
// with the public key that its file names.
func TestSigningKeyMustBeThatOfThePublicOne(t *testing.T) {
	dir := t.TempDir()
	password := filepath.Join(dir, "password")
	if err := os.WriteFile(password, []byte("correct horse\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	publics := map[string][]byte{}
	for _, name := range []string{"farm", "other"} {
		private, public, err := cosign.GenerateKey([]byte("correct horse"))
		if err != nil {
			t.Fatal(err)
		}
		if err := keys.WritePair(filepath.Join(dir, name), private, public); err != nil {
			t.Fatal(err)
		}
		publics[name] = public
	}
	if err := os.WriteFile(filepath.Join(dir, "spaced.pub"), append([]byte("\n"), publics["farm"]...), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "broken.pub"), []byte("hello\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	for public, want := range map[string]string{
		"": "", "farm.pub": "", "spaced.pub": "",
		"other.pub":  "is not the public half of the key that signs",
		"broken.pub": "broken.pub: reading public key",
		"farm.key":   "farm.key: reading public key",
		"gone.pub":   "no such file",
	} {
		s := &farmfile.Signing{Key: keys.Ref{Scheme: "file", Path: filepath.Join(dir, "farm.key")}, PasswordFile: password}
		if public != "" {
			s.Public = filepath.Join(dir, public)
		}
		f := &Farm{file: &farmfile.Farm{Signing: s}, deps: Deps{}.withDefaults()}
		var deps engine.Deps
		err := f.sign(t.Context(), &deps)
		switch {
		case want == "" && (err != nil || deps.Signer == nil || !bytes.Equal(deps.VerificationMaterial.PublicKey, publics["farm"])):
			t.Errorf("%q: %v", public, err)
		case want != "" && (err == nil || !strings.Contains(err.Error(), want) || !errors.Is(err, ErrSigning) || deps.Signer != nil):
			t.Errorf("%q: %v", public, err)
		}
	}
}

// TestRetentionReachesTheEngine: the engine gets the retention of the farm's file.
func TestRetentionReachesTheEngine(t *testing.T) {
	file, diags := farmfile.Read([]byte("farm \"a\" {}\nretention {\n  builds = \"60d\"\n  logs = \"30d\"\n  grace = \"2h\"\n}\n"), "farm.hcl")
	if file == nil {
		t.Fatal(diags)
	}
	have := (&Farm{file: file}).settings()
	if hours := [3]float64{have.Retain.Hours(), have.Logs.Hours(), have.Grace.Hours()}; hours != [3]float64{1440, 720, 2} {
		t.Errorf("builds, logs and bytes are kept for %v hours", hours)
	}
}
