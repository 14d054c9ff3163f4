// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

package farm_test

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/zfarm/zfarm/attest"
	"github.com/zfarm/zfarm/attest/cosign"
	"github.com/zfarm/zfarm/attest/keys"
	"github.com/zfarm/zfarm/attest/kit"
	"github.com/zfarm/zfarm/orchestrator/engine"
	"github.com/zfarm/zfarm/orchestrator/farm"
	"github.com/zfarm/zfarm/orchestrator/farmfile"
	"github.com/zfarm/zfarm/plugins/host"
	"github.com/zfarm/zfarm/plugins/plugintest"
)

// TestExamples follows examples/README.md with the shipped folder: the farm builds the
// recipe, and the release verifies.
func TestExamples(t *testing.T) {
	dir := t.TempDir()
	private, public, err := cosign.GenerateKey([]byte("correct horse"))
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(os.CopyFS(dir, os.DirFS("../../examples")), keys.WritePair(filepath.Join(dir, "farm"), private, public),
		os.WriteFile(filepath.Join(dir, "password"), []byte("correct horse\n"), 0o600)); err != nil {
		t.Fatal(err)
	}
	file, diags := farmfile.Load(filepath.Join(dir, "farm.hcl"))
	if file == nil || len(diags) > 0 {
		t.Fatalf("examples/farm.hcl: %v", diags)
	}
	file.Listen = "127.0.0.1:0" // the port may be in use here
	f, err := farm.Open(t.Context(), file, farm.Deps{Version: "1.2.3", Node: "test", Plugins: []host.Entry{plugintest.Entry(t, "script")}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(f.Close)
	serve(t, f)
	recipe, err := f.ReadRecipe(t.Context(), os.DirFS(filepath.Join(dir, "greeting")))
	if err != nil {
		t.Fatalf("examples/greeting/recipe.hcl: %v", err)
	}
	taken, err := f.Engine.Submit(t.Context(), engine.Submission{Owner: "test", Recipes: []engine.Submitted{{Recipe: recipe, URI: "urn:examples", Path: "greeting/recipe.hcl"}}})
	if err != nil {
		t.Fatal(err)
	}
	built, err := f.Engine.Wait(t.Context(), taken[0].Build.ID)
	if err != nil || built.Failure() != nil {
		t.Fatalf("the build ended with %v, %v", built.Failure(), err)
	}
	out := filepath.Join(dir, "greeting-1.0")
	if err := f.Collect(t.Context(), "greeting", "1.0", out); err != nil {
		t.Fatal(err)
	}
	trusted, err := keys.ReadPublic(filepath.Join(dir, "farm.pub"))
	if err != nil {
		t.Fatal(err)
	}
	if report, err := kit.Verify(t.Context(), out, kit.Options{PublicKey: trusted, Open: func(key []byte) (attest.Verifier, error) { return cosign.NewVerifier(key) }}); err != nil {
		t.Errorf("verifying the release: %v\n%+v", err, report)
	}
}
