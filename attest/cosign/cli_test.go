// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

package cosign_test

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"

	"github.com/zfarm/zfarm/attest/cosign"
)

// stock runs the stock cosign program in dir, without network if the system
// allows that.
type stock struct {
	argv []string
	dir  string
}

func newStock(t *testing.T) stock {
	t.Helper()
	program := os.Getenv("ZFARM_COSIGN")
	if program == "" {
		t.Skip("ZFARM_COSIGN is not set: build cosign with \"go install github.com/sigstore/cosign/v2/cmd/cosign@v2.6.5\" and set it to the path of the program")
	}
	for _, without := range [][]string{{"unshare", "-n"}, {"unshare", "-rn"}} {
		if exec.Command(without[0], append(without[1:], "true")...).Run() == nil {
			return stock{argv: append(without, program), dir: t.TempDir()}
		}
	}
	t.Log("unshare does not work here: cosign could reach the network")
	return stock{argv: []string{program}, dir: t.TempDir()}
}

// run returns the program's output, and an error if it failed. Its home is
// empty, so that it finds no cached trust.
func (s stock) run(t *testing.T, args ...string) (string, error) {
	t.Helper()
	argv := slices.Concat(s.argv[1:], args)
	cmd := exec.CommandContext(t.Context(), s.argv[0], argv...)
	cmd.Dir = s.dir
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + s.dir, "COSIGN_PASSWORD=" + password, "COSIGN_YES=true"}
	out, err := cmd.CombinedOutput()
	return string(out), err
}

func (s stock) write(t *testing.T, name string, b []byte) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(s.dir, name), b, 0o600); err != nil {
		t.Fatal(err)
	}
}

func (s stock) read(t *testing.T, name string) []byte {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(s.dir, name))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestStockCosignUsesOurKey(t *testing.T) {
	program := newStock(t)
	private, public, err := cosign.GenerateKey([]byte(password))
	if err != nil {
		t.Fatal(err)
	}
	program.write(t, "farm.key", private)
	out, err := program.run(t, "public-key", "--key", "farm.key")
	if err != nil || !bytes.Contains([]byte(out), bytes.TrimSpace(public)) {
		t.Fatalf("cosign public-key: %v\n%s\nwant\n%s", err, out, public)
	}

	statement := about(t, 2)
	program.write(t, "statement.json", statement.JSON)
	out, err = program.run(t, "attest-blob", "--key", "farm.key", "--statement", "statement.json", "--bundle", "out.json", "--new-bundle-format", "--tlog-upload=false")
	if err != nil {
		t.Fatalf("cosign attest-blob: %v\n%s", err, out)
	}
	verifier, err := cosign.NewVerifier(public)
	if err != nil {
		t.Fatal(err)
	}
	got, err := verifier.Verify(t.Context(), program.read(t, "out.json"), sum("artifact"))
	if err != nil {
		t.Fatal(err)
	}
	if got.PredicateType != statement.PredicateType || len(got.Subjects) != 2 {
		t.Errorf("what cosign signed has predicate type %s and %d subjects", got.PredicateType, len(got.Subjects))
	}
}

func TestWeUseAStockKey(t *testing.T) {
	program := newStock(t)
	if out, err := program.run(t, "generate-key-pair"); err != nil {
		t.Fatalf("cosign generate-key-pair: %v\n%s", err, out)
	}
	signer, err := cosign.NewSigner(program.read(t, "cosign.key"), []byte(password))
	if err != nil {
		t.Fatal(err)
	}
	verifier, err := cosign.NewVerifier(program.read(t, "cosign.pub"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := verifier.Verify(t.Context(), mustSign(t, signer, about(t, 1)), sum("artifact")); err != nil {
		t.Error(err)
	}
}
