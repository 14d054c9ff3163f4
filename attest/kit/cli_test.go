// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

package kit_test

import (
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/zfarm/zfarm/attest"
	"github.com/zfarm/zfarm/attest/digest"
	"github.com/zfarm/zfarm/attest/kit"
)

// stock follows the commands in folders with the stock cosign program, without
// network if the system allows that.
type stock struct {
	without []string // the command in front, which removes the network
	bin     string   // a folder in which the program is called cosign
}

func newStock(t *testing.T) stock {
	t.Helper()
	program := os.Getenv("ZFARM_COSIGN")
	if program == "" {
		t.Skip("ZFARM_COSIGN is not set: build cosign with \"go install github.com/sigstore/cosign/v2/cmd/cosign@v2.6.5\" and set it to the path of the program")
	}
	s := stock{bin: t.TempDir()}
	must(t, os.Symlink(program, filepath.Join(s.bin, "cosign")))
	for _, without := range [][]string{{"unshare", "-n"}, {"unshare", "-rn"}} {
		if exec.Command(without[0], append(without[1:], "true")...).Run() == nil {
			s.without = without
			return s
		}
	}
	t.Log("unshare does not work here: cosign could reach the network")
	return s
}

// follow runs verify.txt of the folder unchanged, and returns its output and
// how many commands reported that they verified something.
func (s stock) follow(t *testing.T, dir string) (string, int, error) {
	t.Helper()
	argv := slices.Concat(s.without, []string{"sh", "-e", "verify.txt"})
	cmd := exec.CommandContext(t.Context(), argv[0], argv[1:]...)
	cmd.Dir = dir
	cmd.Env = []string{"PATH=" + s.bin + ":" + os.Getenv("PATH"), "HOME=" + t.TempDir()}
	out, err := cmd.CombinedOutput()
	return string(out), strings.Count(string(out), "Verified OK"), err
}

func commandsIn(t *testing.T, dir string) int {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(dir, "verify.txt"))
	must(t, err)
	return strings.Count("\n"+string(b), "\ncosign ")
}

func TestStockCosignFollowsTheCommands(t *testing.T) {
	program := newStock(t)
	f, other := newFarm(t), otherFarm(t)
	a, b := two()
	dir := f.write(f.contents(a, b))
	if out, n, err := program.follow(t, dir); err != nil || n != 7 || commandsIn(t, dir) != 7 {
		t.Fatalf("%d of %d commands verified, %v\n%s", n, commandsIn(t, dir), err, out)
	}
	for _, tc := range []struct {
		name   string
		tamper func(t *testing.T, dir string)
	}{
		{"artifact", func(t *testing.T, dir string) { edit(t, dir, gzip, flip(3)) }},
		{"payload", func(t *testing.T, dir string) {
			edit(t, dir, gzip+".provenance.sigstore.json", inBundle(t, "payload", swap(`"version":"1"`, `"version":"2"`)))
		}},
		{"signature", func(t *testing.T, dir string) {
			edit(t, dir, gzip+".reproducibility.sigstore.json", inBundle(t, "sig", flip(20)))
		}},
		{"bundles exchanged", func(t *testing.T, dir string) {
			exchange(t, dir, gzip+".provenance.sigstore.json", bash+".provenance.sigstore.json")
		}},
		{"kinds exchanged", func(t *testing.T, dir string) {
			exchange(t, dir, gzip+".provenance.sigstore.json", gzip+".test-result.sigstore.json")
		}},
		{"key of another farm", func(t *testing.T, dir string) {
			must(t, os.WriteFile(filepath.Join(dir, "zfarm.pub"), other.signer.PublicKey(), 0o644))
		}},
		{"key, one bit", func(t *testing.T, dir string) { edit(t, dir, "zfarm.pub", flip(60)) }},
	} {
		t.Run(tc.name, func(t *testing.T) {
			dir := copied(t, dir)
			tc.tamper(t, dir)
			if out, n, err := program.follow(t, dir); err == nil || n == 7 {
				t.Errorf("%d commands verified, %v\n%s", n, err, out)
			}
		})
	}
}

func TestStockCosignFollowsFindings(t *testing.T) {
	program := newStock(t)
	f := newFarm(t)
	s, _ := two()
	s.fail()
	dir := filepath.Join(t.TempDir(), "findings")
	must(t, kit.WriteFindings(t.Context(), dir, f.findings(s)))
	if out, n, err := program.follow(t, dir); err != nil || n != 2 {
		t.Errorf("%d commands verified, %v\n%s", n, err, out)
	}
}

// TestStockCosignAndLargeFiles: cosign refuses to read files of 128 MiB and
// more; for these the commands pass the digest.
func TestStockCosignAndLargeFiles(t *testing.T) {
	if testing.Short() {
		t.Skip("writes files of 128 MiB")
	}
	program := newStock(t)
	f := newFarm(t)
	large := filepath.Join(t.TempDir(), "large")
	must(t, os.WriteFile(large, nil, 0o644))
	must(t, os.Truncate(large, 128<<20)) // a hole takes no disk space
	file, err := os.Open(large)
	must(t, err)
	defer file.Close() //nolint:errcheck // read only
	d, _, err := digest.OfReader(file)
	must(t, err)

	s := newStory(gzip, "")
	about := attest.Subject{Name: gzip, Digest: d}
	s.provenance.Subjects[0] = about // shared by all statements of the story
	for i := range s.compared.Repeats {
		s.compared.Repeats[i].Outputs[0].Digest = d
	}
	c := f.contents(s)
	c.Artifacts[0].Digest = d
	c.Artifacts[0].Open = kit.FromFile(large)
	dir := f.write(c)
	if out, n, err := program.follow(t, dir); err != nil || n != 2 || strings.Count(out, gzip+": OK") != 2 {
		t.Fatalf("%d commands verified, %v\n%s", n, err, out)
	}
	if _, err := kit.Verify(t.Context(), dir, f.options()); err != nil {
		t.Error(err)
	}
	change, err := os.OpenFile(filepath.Join(dir, gzip), os.O_WRONLY, fs.ModePerm)
	must(t, err)
	_, err = change.WriteAt([]byte{1}, 100<<20)
	must(t, err)
	must(t, change.Close())
	if out, n, err := program.follow(t, dir); err == nil || n != 0 {
		t.Errorf("changed: %d commands verified, %v\n%s", n, err, out)
	}
}
