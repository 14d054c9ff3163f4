// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"slices"
	"time"

	"github.com/zfarm/zfarm/attest/digest"
	"github.com/zfarm/zfarm/orchestrator"
	"github.com/zfarm/zfarm/orchestrator/attempt"
	"github.com/zfarm/zfarm/orchestrator/packaging"
	"github.com/zfarm/zfarm/orchestrator/stagevalue"
	"github.com/zfarm/zfarm/orchestrator/store"
	"github.com/zfarm/zfarm/plugins"
	"github.com/zfarm/zfarm/recipes"
	"github.com/zfarm/zfarm/recipes/source"
)

// resolve pins every input. It fetches and verifies sources and makes them into plain
// archives for the workers, makes the packages of needs into trees at the prefix they
// were configured for, and asks plugins for their descriptions. If another build with
// the same inputs was released, this build reuses it.
func (c *stageContext) resolve(ctx context.Context) outcome {
	out := stagevalue.Resolved{Inputs: orchestrator.Inputs{Recipe: c.build.Recipe}}
	for _, src := range c.recipe.Sources {
		fetched, err := c.Sources.Fetch(ctx, src)
		if err != nil {
			return sourceEnd(ctx, err)
		}
		c.note(fetchedNote(src, fetched))
		ready, newest, err := c.prepareSource(ctx, src, fetched)
		if err != nil {
			return sourceEnd(ctx, err)
		}
		out.Sources = append(out.Sources, ready)
		out.Inputs.Epoch = max(out.Inputs.Epoch, newest.Unix())
		out.Inputs.Sources = append(out.Inputs.Sources, orchestrator.Input{Name: path.Base(src.URL), URI: src.URL, Digest: src.SHA256, Note: signedNote(fetched)})
		out.Inputs.Files = append(out.Inputs.Files, recipeFiles(src)...)
	}
	if err := c.pinNeeds(ctx, &out); err != nil {
		return outcome{err: err}
	}
	if err := c.pinPlugins(ctx, &out); err != nil {
		return outcome{err: err}
	}
	return c.pinned(ctx, out)
}

// pinned is the outcome of the stage. It ends the build if another one has the same
// inputs.
func (c *stageContext) pinned(ctx context.Context, out stagevalue.Resolved) outcome {
	inputs, err := out.Inputs.Digest()
	if err != nil {
		return outcome{err: err}
	}
	var keep []digest.Digest
	for _, s := range out.Sources {
		keep = append(keep, s.Digest)
	}
	for _, n := range out.Needs {
		keep = append(keep, n.Digest)
	}
	result := c.save(ctx, out, keep...)
	result.change = func(b *store.Build) { b.Inputs = inputs }
	if c.forced || result.err != nil {
		return result
	}
	err = c.Store.Update(ctx, func(ctx context.Context, tx *store.Tx) error {
		other, found, err := tx.ByInputs(ctx, inputs)
		if found && other.ID != c.build.ID {
			result.reuse = other.ID
		}
		return err
	})
	if err != nil {
		return outcome{err: fmt.Errorf("%w: %w", errTemporary, err)}
	}
	return result
}

// pinNeeds prepares the packages that the build needs, and those that these need to
// run, to be put on a worker.
func (c *stageContext) pinNeeds(ctx context.Context, out *stagevalue.Resolved) error {
	seen := map[string]bool{}
	var add func(needs []store.Need, at string) error
	add = func(needs []store.Need, at string) error {
		for _, n := range needs {
			if seen[n.Port] || !slices.Contains(n.At, at) {
				continue
			}
			seen[n.Port] = true
			b, err := c.standsFor(ctx, n.Build)
			if err != nil {
				return fmt.Errorf("%w: %w", errTemporary, err)
			}
			if err := c.pinNeed(ctx, b, out); err != nil {
				return fmt.Errorf("taking the package of %s from build %s: %w", n.Port, b.ID, err)
			}
			if err := add(b.Needs, "run"); err != nil {
				return err
			}
		}
		return nil
	}
	return add(c.build.Needs, "build")
}

func (c *stageContext) pinNeed(ctx context.Context, b store.Build, out *stagevalue.Resolved) error {
	need, err := c.stageContext(ctx, b, orchestrator.Stage{})
	if err != nil {
		return err
	}
	if len(need.compared.Packages) == 0 {
		return errors.New("it has made no package")
	}
	a := need.compared.Packages[0]
	packed, err := c.Artifacts.Open(ctx, a.Digest)
	if err != nil {
		return err
	}
	defer packed.Close()
	n := attempt.Need{Port: b.Port, Version: b.Version, Prefix: need.recipe.Package.Prefix}
	n.Digest, err = c.Artifacts.Fill(ctx, func(w io.Writer) error {
		_, err := packaging.Sysroot(ctx, packed, w, n.Prefix)
		return err
	})
	if err != nil {
		return err
	}
	out.Needs = append(out.Needs, n)
	out.Inputs.Needs = append(out.Inputs.Needs, orchestrator.Input{Name: a.Name, URI: need.recipe.Identity.PURL, Digest: a.Digest,
		Note: fmt.Sprintf("%s %s of build %s", b.Port, b.Version, b.ID)})
	return nil
}

// sourceEnd distinguishes a source that does not match the recipe from a fault of the
// farm.
func sourceEnd(ctx context.Context, err error) outcome {
	var missing *os.PathError
	if ctx.Err() != nil || temporary(err) || errors.As(err, &missing) {
		return outcome{err: err}
	}
	return failed(orchestrator.FaultySource, err.Error())
}

// prepareSource makes the archive that goes to the workers and returns the newest time
// among its members.
func (c *stageContext) prepareSource(ctx context.Context, src recipes.Source, f source.Fetched) (attempt.Source, time.Time, error) {
	name := path.Base(src.URL)
	file, err := os.Open(f.Path)
	if err != nil {
		return attempt.Source{}, time.Time{}, err
	}
	defer file.Close() //nolint:errcheck // read only
	plain, archive, err := source.Expand(name, file)
	if err != nil {
		return attempt.Source{}, time.Time{}, fmt.Errorf("unpacking %s: %w", name, err)
	}
	defer plain.Close()
	ready := attempt.Source{Patches: src.Patches}
	var info source.TarInfo
	ready.Digest, err = c.Artifacts.Fill(ctx, func(w io.Writer) error {
		if !archive {
			ready.File = path.Join(src.Into, name)
			_, err := io.Copy(w, plain)
			return err
		}
		var err error
		info, err = source.RepackTar(plain, w, src.Into)
		return err
	})
	if err != nil {
		return attempt.Source{}, time.Time{}, fmt.Errorf("unpacking %s: %w", name, err)
	}
	return ready, info.Newest, nil
}

// pinPlugins pins each plugin that the recipe names, by description and digest.
func (c *stageContext) pinPlugins(ctx context.Context, out *stagevalue.Resolved) error {
	names := []string{c.recipe.Build.Plugin}
	for _, t := range c.recipe.Tests {
		names = append(names, t.Plugin)
	}
	out.Plugins = map[string]plugins.Description{}
	for _, name := range names {
		if _, ok := out.Plugins[name]; ok {
			continue
		}
		d, sum, err := c.Plugins.Pin(ctx, name)
		if err != nil {
			return fmt.Errorf("asking plugin %s who it is: %w", name, err)
		}
		out.Plugins[name] = d
		out.Inputs.Plugins = append(out.Inputs.Plugins, orchestrator.Input{Name: name, Digest: sum, Note: d.Version})
	}
	return nil
}

func recipeFiles(src recipes.Source) []orchestrator.Input {
	var files []orchestrator.Input
	add := func(f recipes.File) {
		files = append(files, orchestrator.Input{Name: f.Name, Digest: f.Digest})
	}
	if src.Signature != nil {
		add(src.Signature.Key)
	}
	for _, p := range src.Patches {
		add(p)
	}
	return files
}

func fetchedNote(src recipes.Source, f source.Fetched) string {
	text := fmt.Sprintf("%s from %s: checksum right", path.Base(src.URL), f.From)
	if note := signedNote(f); note != "" {
		text += ", " + note
	}
	return text
}

func signedNote(f source.Fetched) string {
	if f.Signed == nil {
		return ""
	}
	text := fmt.Sprintf("signed by %s (%s) on %s", f.Signed.UID, f.Signed.Fingerprint, f.Signed.SignedAt.UTC().Format(time.DateOnly))
	if f.Signed.Note != "" {
		text += "; " + f.Signed.Note
	}
	return text
}
