// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

package server

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/zfarm/zfarm/orchestrator/api/wire"
)

// TestWithTarAndCurl does what docs/api.md shows, with the programs it shows.
func TestWithTarAndCurl(t *testing.T) {
	for _, program := range []string{"sh", "curl", "tar"} {
		if _, err := exec.LookPath(program); err != nil {
			t.Skipf("%s was not found: install it (Debian: apt-get install curl tar) to run this test", program)
		}
	}
	f := newFarm()
	secret := f.token("anna", wire.Maintainer, "gzip")
	base, _ := serve(t, f.options())
	dir := t.TempDir()
	if err := os.MkdirAll(filepath.Join(dir, "gzip", "patches"), 0o755); err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{"recipe.hcl": "port gzip", "patches/zos.patch": "--- a"} {
		if err := os.WriteFile(filepath.Join(dir, "gzip", name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	curl := func(script string) string {
		t.Helper()
		cmd := exec.CommandContext(t.Context(), "sh", "-c", script)
		cmd.Dir, cmd.Env = dir, append(os.Environ(), "FARM="+base, "AUTH=Authorization: Bearer "+secret, "NO_PROXY=127.0.0.1")
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Errorf("%s: %v: %s", script, err, out)
		}
		return string(out)
	}
	for _, tar := range []string{"tar -czf - gzip", "tar -cf - gzip", "tar -C gzip -czf - ."} {
		if out := curl(tar + ` | curl -sS --fail-with-body -H "$AUTH" --data-binary @- -H 'Content-Type: application/gzip' "$FARM/v1/submissions"`); !strings.Contains(out, `"id":"gzip-`) {
			t.Errorf("%s: %s", tar, out)
		}
	}
	a := f.begin("gzip-0", "make")
	f.write(a, "hello\n")
	f.end(a)
	f.publish("gzip-0", "gzip.pax.Z", "artifact")
	if out := curl(`curl -sSN -H "$AUTH" "$FARM/v1/builds/gzip-0/stages/repeat-0/attempts/1/steps/make/log?follow=true"`); out != "hello\n" {
		t.Errorf("the log is %q", out)
	}
	if out := curl(`curl -sSOJ -H "$AUTH" "$FARM/v1/builds/gzip-0/files/gzip.pax.Z" && cat gzip.pax.Z`); out != "artifact" {
		t.Errorf("the file is %q", out)
	}
	if out := curl(`truncate -s 10G huge && ! curl -sS --fail-with-body -H "$AUTH" -T huge -X POST "$FARM/v1/submissions"`); !strings.Contains(out, "larger than 67108864 bytes") {
		t.Errorf("10 GB: %q", out)
	}
}
