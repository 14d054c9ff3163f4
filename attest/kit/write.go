// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

package kit

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"github.com/zfarm/zfarm/attest"
	"github.com/zfarm/zfarm/attest/digest"
	"github.com/zfarm/zfarm/attest/statement"
)

// Write writes the folder of a build that reproduced, all of it or nothing. It
// refuses contents that Verify would refuse, as far as it can check them
// without the key, and a folder that is not empty.
func Write(ctx context.Context, dir string, c Contents) error {
	if err := checkContents(c); err != nil {
		return fmt.Errorf("writing kit %s: %w", dir, err)
	}
	err := fillBeside(dir, func(tmp string) error {
		var list []guided
		for _, a := range c.Artifacts {
			size, err := writeArtifact(ctx, tmp, a)
			if err != nil {
				return err
			}
			list = append(list, guided{name: a.Name, digest: a.Digest, size: size, tests: len(a.TestResults)})
		}
		slices.SortFunc(list, byName)
		return writeCommon(tmp, c.PublicKey, c.TrustedRoot, commands(list), c.Extra)
	})
	if err != nil {
		return fmt.Errorf("writing kit %s: %w", dir, err)
	}
	return nil
}

// WriteFindings writes the folder of a build that did not reproduce, all of it
// or nothing. The folder holds the signed statement about the outputs, but
// none of the outputs.
func WriteFindings(ctx context.Context, dir string, f Findings) error {
	r, err := checkFindings(ctx, f)
	if err != nil {
		return fmt.Errorf("writing findings %s: %w", dir, err)
	}
	err = fillBeside(dir, func(tmp string) error {
		return errors.Join(
			writeFile(tmp, FindingsFile, f.Reproducibility),
			writeFile(tmp, NotReproducibleFile, []byte(notReproducible(r))),
			writeCommon(tmp, f.PublicKey, f.TrustedRoot, findingsCommands(r), f.Extra),
		)
	})
	if err != nil {
		return fmt.Errorf("writing findings %s: %w", dir, err)
	}
	return nil
}

func checkContents(c Contents) error {
	if len(c.Artifacts) == 0 {
		return errors.New("there is no artifact")
	}
	seen := map[string]bool{}
	for _, a := range c.Artifacts {
		if err := checkName(a.Name); err != nil {
			return fmt.Errorf("artifact: %w", err)
		}
		if seen[a.Name] {
			return fmt.Errorf("two artifacts have the name %q", a.Name)
		}
		seen[a.Name] = true
		if a.Digest.IsZero() || a.Open == nil {
			return fmt.Errorf("artifact %q has no digest or no bytes", a.Name)
		}
		if _, faults := examine(attest.Subject{Name: a.Name, Digest: a.Digest}, unverifiedSources(a)); len(faults) > 0 {
			return errors.Join(faults...)
		}
	}
	return checkCommon(c.PublicKey, c.TrustedRoot, c.Extra)
}

// unverifiedSources returns sources that read the bundles of a without verifying them.
func unverifiedSources(a Artifact) sources {
	source := func(b attest.Bundle) func() (attest.Statement, error) {
		return func() (attest.Statement, error) { return peek(b) }
	}
	s := sources{provenance: source(a.Provenance), reproducibility: source(a.Reproducibility)}
	for _, b := range a.TestResults {
		s.tests = append(s.tests, source(b))
	}
	return s
}

func checkFindings(ctx context.Context, f Findings) (statement.Reproducibility, error) {
	if err := ctx.Err(); err != nil {
		return statement.Reproducibility{}, err
	}
	s, err := peek(f.Reproducibility)
	if err != nil {
		return statement.Reproducibility{}, err
	}
	r, err := statement.DecodeReproducibility(s)
	if err != nil {
		return statement.Reproducibility{}, err
	}
	if r.Verdict.Reproduced() {
		return statement.Reproducibility{}, fmt.Errorf("the verdict is %q: this build reproduced, write its artifacts", r.Verdict)
	}
	return r, checkCommon(f.PublicKey, f.TrustedRoot, f.Extra)
}

func checkCommon(publicKey, trustedRoot []byte, extra []Extra) error {
	if len(publicKey) == 0 || len(trustedRoot) == 0 || max(len(publicKey), len(trustedRoot)) > maxSmall {
		return errors.New("public key or trusted root are missing or too large")
	}
	seen := map[string]bool{}
	for _, e := range extra {
		if !slices.Contains(ExtraNames(), e.Name) || seen[e.Name] {
			return fmt.Errorf("extra file %q: want one of %q, each once", e.Name, ExtraNames())
		}
		seen[e.Name] = true
	}
	return nil
}

func byName(a, b guided) int {
	if a.name < b.name {
		return -1
	}
	return 1
}

// fillBeside calls fill with a new folder beside dir, and renames that folder to
// dir once everything is written and synced to disk.
func fillBeside(dir string, fill func(tmp string) error) error {
	if err := CheckEmpty(dir); err != nil {
		return err
	}
	dir = filepath.Clean(dir)
	tmp, err := os.MkdirTemp(filepath.Dir(dir), ".zfarm-kit-*")
	if err != nil {
		return err
	}
	err = fill(tmp)
	if err == nil {
		err = errors.Join(os.Chmod(tmp, 0o755), syncDir(tmp)) // everybody may read a release
	}
	if err == nil {
		// Rename must not find a folder there, not even an empty one.
		if err = os.Remove(dir); errors.Is(err, fs.ErrNotExist) {
			err = nil
		}
	}
	if err == nil {
		err = os.Rename(tmp, dir)
	}
	if err != nil {
		return errors.Join(err, os.RemoveAll(tmp))
	}
	return syncDir(filepath.Dir(dir))
}

// CheckEmpty returns an error unless dir is empty or does not exist.
func CheckEmpty(dir string) error {
	entries, err := os.ReadDir(dir)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return err
	case len(entries) > 0:
		return fmt.Errorf("the folder is not empty (%q and so on): choose another, or delete it first", entries[0].Name())
	}
	return nil
}

func writeArtifact(ctx context.Context, dir string, a Artifact) (int64, error) {
	r, err := a.Open()
	if err != nil {
		return 0, fmt.Errorf("opening artifact %s: %w", a.Name, err)
	}
	sum := digest.NewReader(&reader{ctx: ctx, r: r})
	err = errors.Join(writeFrom(dir, a.Name, sum), r.Close())
	if err != nil {
		return 0, fmt.Errorf("copying artifact %s: %w", a.Name, err)
	}
	if sum.Digest() != a.Digest {
		return 0, fmt.Errorf("copying artifact %s: its bytes have the digest %s, its statements are about %s", a.Name, sum.Digest(), a.Digest)
	}
	errs := []error{
		writeFile(dir, a.Name+provenanceSuffix, a.Provenance),
		writeFile(dir, a.Name+reproducibilitySuffix, a.Reproducibility),
	}
	for i, b := range a.TestResults {
		errs = append(errs, writeFile(dir, testResultName(a.Name, i, len(a.TestResults)), b))
	}
	return sum.Len(), errors.Join(errs...)
}

func writeCommon(dir string, publicKey, trustedRoot []byte, commands string, extra []Extra) error {
	errs := []error{
		writeFile(dir, PublicKeyFile, publicKey),
		writeFile(dir, TrustedRootFile, trustedRoot),
		writeFile(dir, CommandsFile, []byte(commands)),
	}
	for _, e := range extra {
		errs = append(errs, writeFile(dir, e.Name, e.Data))
	}
	return errors.Join(errs...)
}
