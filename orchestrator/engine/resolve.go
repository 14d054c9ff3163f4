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
	"time"

	"github.com/zfarm/zfarm/orchestrator"
	"github.com/zfarm/zfarm/orchestrator/attempt"
	"github.com/zfarm/zfarm/plugins"
	"github.com/zfarm/zfarm/recipes"
	"github.com/zfarm/zfarm/recipes/source"
)

// resolve pins every input: sources are fetched, proven and made into plain
// archives for the workers, plugins are asked who they are.
func (c *course) resolve(ctx context.Context, s orchestrator.Stage) end {
	inputs := orchestrator.Inputs{Recipe: c.Inputs.Recipe}
	var sources []attempt.Source
	for _, src := range c.Recipe.Sources {
		fetched, err := c.Sources.Fetch(ctx, src)
		if err != nil {
			return sourceEnd(ctx, s, err)
		}
		c.note(s.ID, "", fetchedNote(src, fetched))
		ready, newest, err := c.prepare(ctx, src, fetched)
		if err != nil {
			return sourceEnd(ctx, s, err)
		}
		sources = append(sources, ready)
		inputs.Epoch = max(inputs.Epoch, newest.Unix())
		inputs.Sources = append(inputs.Sources, orchestrator.Input{Name: path.Base(src.URL), URI: src.URL, Digest: src.SHA256, Note: signedNote(fetched)})
		inputs.Files = append(inputs.Files, recipeFiles(src)...)
	}
	described, err := c.pinPlugins(ctx, &inputs)
	if err != nil {
		return end{stage: s, err: err}
	}
	return end{stage: s, keep: func() {
		c.Inputs, c.sources, c.plugins = inputs, sources, described
	}}
}

// sourceEnd tells a source that is not what the recipe says from a farm that
// could not do its work.
func sourceEnd(ctx context.Context, s orchestrator.Stage, err error) end {
	var missing *os.PathError
	if ctx.Err() != nil || errors.As(err, &missing) {
		return end{stage: s, err: err}
	}
	return failed(s, orchestrator.FaultySource, err.Error())
}

// prepare makes the bytes that go to the workers and returns the newest time
// among the members.
func (c *course) prepare(ctx context.Context, src recipes.Source, f source.Fetched) (attempt.Source, time.Time, error) {
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
	ready.Digest, err = c.Store.Fill(ctx, func(w io.Writer) error {
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

// pinPlugins asks each plugin that the recipe names who it is.
func (c *course) pinPlugins(ctx context.Context, inputs *orchestrator.Inputs) (map[string]plugins.Description, error) {
	names := []string{c.Recipe.Build.Plugin}
	for _, t := range c.Recipe.Tests {
		names = append(names, t.Plugin)
	}
	described := map[string]plugins.Description{}
	for _, name := range names {
		if _, ok := described[name]; ok {
			continue
		}
		d, sum, err := c.Plugins.Pin(ctx, name)
		if err != nil {
			return nil, fmt.Errorf("asking plugin %s who it is: %w", name, err)
		}
		described[name] = d
		inputs.Plugins = append(inputs.Plugins, orchestrator.Input{Name: name, Digest: sum, Note: d.Version})
	}
	return described, nil
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
