// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

package farm_test

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"testing"
	"testing/fstest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/zfarm/zfarm/attest"
	"github.com/zfarm/zfarm/attest/cosign"
	"github.com/zfarm/zfarm/attest/digest"
	"github.com/zfarm/zfarm/attest/keys"
	"github.com/zfarm/zfarm/attest/kit"
	"github.com/zfarm/zfarm/orchestrator/engine"
	"github.com/zfarm/zfarm/orchestrator/farm"
	"github.com/zfarm/zfarm/orchestrator/farmfile"
	"github.com/zfarm/zfarm/orchestrator/store"
	"github.com/zfarm/zfarm/plugins/host"
	"github.com/zfarm/zfarm/plugins/plugintest"
	"github.com/zfarm/zfarm/plugins/script"
)

func TestMain(m *testing.M) { plugintest.Main(m, script.New("1.0")) }

// farmHCL has two workers, which are folders of this machine.
const farmHCL = `farm "test" {
  listen  = "127.0.0.1:0"
  mirrors = ["mirror"]
  offline = true
}

signing {
  key           = "farm.key"
  password_file = "password"
  public        = "farm.pub"
}

worker "left" { address = "local:left" }

worker "right" { address = "local:right" }
`

const recipeHCL = `port "greeting" {
  version    = "1.0"
  summary    = "Greets"
  licence    = "Apache-2.0"
  homepage   = "https://example.org/greeting"
  categories = ["utilities"]
  source {
    url    = "https://example.org/greeting-1.0.tar"
    sha256 = %q
  }
  build "script" {
    script  = "true"
    install = "mkdir -p \"$DESTDIR$PREFIX\" && cp greet \"$DESTDIR$PREFIX/greet\""
  }
}
`

// TestFarmFromItsFile opens a farm from a file, has it build a port on both of
// its workers, and collects and verifies the release, all in this process.
func TestFarmFromItsFile(t *testing.T) {
	dir := farmFolder(t)
	recipe := recipeOf(t, dir)
	file, diags := farmfile.Load(filepath.Join(dir, farmfile.FileName))
	if file == nil {
		t.Fatal(diags)
	}
	f, err := farm.Open(t.Context(), file, farm.Deps{Version: "1.2.3", Node: "test", Plugins: []host.Entry{plugintest.Entry(t, "script")}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(f.Close)
	address := serve(t, f)
	if resp, err := http.Get(address + "/readyz"); err != nil || resp.Body.Close() != nil || resp.StatusCode != http.StatusOK {
		t.Errorf("%s does not answer that it is ready: %v, %v", address, resp, err)
	}

	read, err := f.ReadRecipe(t.Context(), recipe)
	if err != nil {
		t.Fatal(err)
	}
	out := filepath.Join(t.TempDir(), "out")
	if err := f.Collect(t.Context(), "greeting", "1.0", out); !errors.Is(err, store.ErrUnknown) {
		t.Errorf("collecting what is not built yet: %v", err)
	}
	taken, err := f.Engine.Submit(t.Context(), engine.Submission{Owner: "test", Recipes: []engine.Submitted{{Recipe: read, URI: "urn:test", Path: "recipe.hcl"}}})
	if err != nil {
		t.Fatal(err)
	}
	built, err := f.Engine.Wait(t.Context(), taken[0].Build.ID)
	if err != nil || built.Failure() != nil {
		t.Fatalf("the build ended with %v, %v", built.Failure(), err)
	}
	if err := f.Collect(t.Context(), "greeting", "1.0", out); err != nil {
		t.Fatal(err)
	}
	public, err := keys.ReadPublic(filepath.Join(dir, "farm.pub"))
	if err != nil {
		t.Fatal(err)
	}
	report, err := kit.Verify(t.Context(), out, kit.Options{PublicKey: public, Open: func(public []byte) (attest.Verifier, error) { return cosign.NewVerifier(public) }})
	if err != nil {
		t.Errorf("verifying the release: %v\n%+v", err, report)
	}
}

// TestReload takes over workers from a file and refuses one whose patience is shorter
// than the farm's.
func TestReload(t *testing.T) {
	dir := farmFolder(t)
	f, err := farm.Open(t.Context(), parsed(t, dir, farmHCL), farm.Deps{Node: "test", Plugins: []host.Entry{plugintest.Entry(t, "script")}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(f.Close)
	serve(t, f)
	changes := func(text string) farm.Changes {
		t.Helper()
		c, err := f.Reload(t.Context(), parsed(t, dir, text))
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	replace := func(pairs ...string) string {
		text := farmHCL
		for i := 0; i < len(pairs); i += 2 {
			text = string(bytes.ReplaceAll([]byte(text), []byte(pairs[i]), []byte(pairs[i+1])))
		}
		return text
	}
	if diff := cmp.Diff(farm.Changes{}, changes(farmHCL)); diff != "" {
		t.Errorf("the same file again (-want +have):\n%s", diff)
	}
	moved := replace(`worker "left" { address = "local:left" }`, `worker "middle" { address = "local:middle" }`, `{ address = "local:right" }`, "{\n  address = \"local:right\"\n  slots = 3\n}")
	if diff := cmp.Diff(farm.Changes{Added: []string{"middle"}, Changed: []string{"right"}, Removed: []string{"left"}}, changes(moved)); diff != "" {
		t.Errorf("other workers (-want +have):\n%s", diff)
	}
	if diff := cmp.Diff(farm.Changes{Added: []string{"left"}, Changed: []string{"right"}, Removed: []string{"middle"}, Restart: true},
		changes(replace(`farm "test"`, `farm "other"`))); diff != "" {
		t.Errorf("another name (-want +have):\n%s", diff)
	}
	hasty := parsed(t, dir, replace(`{ address = "local:left" }`, "{\n  address = \"local:left\"\n  lease = \"1m\"\n}"))
	if c, err := f.Reload(t.Context(), hasty); !errors.Is(err, farm.ErrConfig) || !cmp.Equal(c, farm.Changes{}) {
		t.Errorf("a file with less patience: %+v, %v", c, err)
	}
}

// TestOpenSaysWhatIsFaulty: the kind of the error decides the exit code.
func TestOpenSaysWhatIsFaulty(t *testing.T) {
	dir := farmFolder(t)
	file := parsed(t, dir, farmHCL)
	file.Mirrors = []string{"ftp://example.org"}
	if f, err := farm.Open(t.Context(), file, farm.Deps{Node: "test"}); !errors.Is(err, farm.ErrConfig) || f != nil {
		t.Errorf("a mirror that cannot be: %v", err)
	}
	if err := os.WriteFile(filepath.Join(dir, "password"), []byte("wrong\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if f, err := farm.Open(t.Context(), parsed(t, dir, farmHCL), farm.Deps{Node: "test"}); !errors.Is(err, farm.ErrSigning) || f != nil {
		t.Errorf("a key with another password: %v", err)
	}
	for _, w := range []struct {
		worker farmfile.Worker
		want   error
	}{
		{farmfile.Worker{Name: "w", Address: "http://example.org/u"}, farm.ErrConfig},
		{farmfile.Worker{Name: "w", Address: "ssh://build@example.org/u", KnownHosts: filepath.Join(dir, "password")}, farm.ErrKnownHosts},
	} {
		if _, err := (farm.Connector{}).Connect(t.Context(), w.worker); !errors.Is(err, w.want) {
			t.Errorf("connecting to %s: %v, want %v", w.worker.Address, err, w.want)
		}
	}
}

// farmFolder makes a folder with a key and a farm.hcl.
func farmFolder(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	private, public, err := cosign.GenerateKey([]byte("correct horse"))
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(keys.WritePair(filepath.Join(dir, "farm"), private, public),
		os.WriteFile(filepath.Join(dir, "password"), []byte("correct horse\n"), 0o600),
		os.Mkdir(filepath.Join(dir, "mirror"), 0o755),
		os.WriteFile(filepath.Join(dir, farmfile.FileName), []byte(farmHCL), 0o600)); err != nil {
		t.Fatal(err)
	}
	return dir
}

func parsed(t *testing.T, dir, text string) *farmfile.Farm {
	t.Helper()
	file, diags := farmfile.Read([]byte(text), filepath.Join(dir, farmfile.FileName))
	if file == nil {
		t.Fatal(diags)
	}
	return file
}

// recipeOf puts the source of the recipe into the mirror.
func recipeOf(t *testing.T, dir string) fstest.MapFS {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	text := "hello\n"
	if err := w.WriteHeader(&tar.Header{Name: "greeting-1.0/greet", Mode: 0o644, Size: int64(len(text)), ModTime: time.Unix(1767225600, 0)}); err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write([]byte(text)); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(w.Close(), os.WriteFile(filepath.Join(dir, "mirror", "greeting-1.0.tar"), b.Bytes(), 0o644)); err != nil {
		t.Fatal(err)
	}
	return fstest.MapFS{"recipe.hcl": {Data: fmt.Appendf(nil, recipeHCL, digest.Of(b.Bytes()).Hex())}}
}

// serve serves the farm until the test ends, and returns its address.
func serve(t *testing.T, f *farm.Farm) string {
	t.Helper()
	serving, stop := context.WithCancel(t.Context())
	listening, ended := make(chan string, 1), make(chan error, 1)
	go func() { ended <- f.Serve(serving, func(address string) { listening <- address }) }()
	t.Cleanup(func() {
		stop()
		if err := <-ended; err != nil {
			t.Errorf("serving ended with %v", err)
		}
	})
	select {
	case address := <-listening:
		return address
	case err := <-ended:
		ended <- err
		t.Fatalf("serving: %v", err)
		return ""
	}
}
