// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/zfarm/zfarm/orchestrator"
	"github.com/zfarm/zfarm/orchestrator/api/client"
	"github.com/zfarm/zfarm/orchestrator/api/intake"
	"github.com/zfarm/zfarm/orchestrator/api/wire"
	"github.com/zfarm/zfarm/recipes/parse"
)

// submitFlags are the flags of "zfarm submit".
type submitFlags struct {
	commandBase
	priority int
	force    bool
	wait     bool
}

func submitCommand() *cobra.Command {
	var f submitFlags
	c := f.command(&cobra.Command{
		Use:   "submit RECIPE [RECIPE ...]",
		Short: "Submit recipes to a farm",
		Long: `Submit recipes to a farm, which takes all of them or none.

RECIPE is a recipe.hcl or the folder that holds it; its patches and keys are sent with
it. The farm looks for the needs of a recipe among the other recipes first, then among
its builds. A recipe that was submitted before, with the same needs, is not built again.
With --wait the command ends when all builds have ended, with the exit code of the first
build that may not be released.`,
		Example: "  zfarm submit gzip zlib --wait",
		Args:    cobra.MinimumNArgs(1),
	}, f.submit)
	f.json(c)
	c.Flags().IntVar(&f.priority, "priority", 0, "-100 to 100; higher is sooner")
	c.Flags().BoolVar(&f.force, "force", false, "build even what was built before")
	c.Flags().BoolVar(&f.wait, "wait", false, "show the events until the builds have ended; with --json one object a line")
	return c
}

func (f *submitFlags) submit(ctx context.Context, c *session, paths []string) error {
	archive, err := packed(ctx, paths)
	if err != nil {
		return err
	}
	taken, err := c.Submit(ctx, archive, client.SubmitOptions{Priority: f.priority, Force: f.force})
	if err != nil {
		return err
	}
	if err := c.writeTaken(taken, f.wait); err != nil || !f.wait {
		return err
	}
	return c.follow(ctx, taken)
}

// packed returns an archive of the folders of recipes.
func packed(ctx context.Context, paths []string) (*bytes.Buffer, error) {
	var folders []intake.Folder
	from := map[string]string{}
	for _, p := range paths {
		dir, err := recipeDir(p)
		if err != nil {
			return nil, err
		}
		whole, err := filepath.Abs(dir)
		if err != nil {
			return nil, err
		}
		name := filepath.Base(whole)
		if other, twice := from[name]; twice {
			return nil, exit{usageError, fmt.Errorf("%s and %s are folders of one name; submit them one after the other, or rename one", other, p)}
		}
		from[name] = p
		root, err := os.OpenRoot(dir)
		if err != nil {
			return nil, exit{usageError, fmt.Errorf("opening the recipe's folder: %w", err)}
		}
		defer root.Close()
		if _, err := root.Lstat(parse.FileName); err != nil {
			return nil, exit{usageError, fmt.Errorf("%s holds no %s: %w", p, parse.FileName, err)}
		}
		folders = append(folders, intake.Folder{Name: name, FS: &upload{FS: root.FS(), limits: intake.DefaultLimits()}})
	}
	archive := &bytes.Buffer{}
	if err := intake.Pack(ctx, archive, folders...); err != nil {
		return nil, exit{usageError, err}
	}
	return archive, nil
}

// upload is the folder of a recipe as it is sent: without names that begin with a dot,
// and within the farm's limits.
type upload struct {
	fs.FS
	limits  intake.Limits
	members int
	size    int64
}

// ReadDir implements fs.ReadDirFS.
func (u *upload) ReadDir(name string) ([]fs.DirEntry, error) {
	all, err := fs.ReadDir(u.FS, name)
	if err != nil {
		return nil, err
	}
	all = slices.DeleteFunc(all, func(e fs.DirEntry) bool { return strings.HasPrefix(e.Name(), ".") })
	u.members += len(all)
	for _, e := range all {
		if info, err := e.Info(); err == nil && info.Mode().IsRegular() {
			u.size += info.Size()
		}
	}
	if u.members > u.limits.Members || u.size > u.limits.Expanded {
		return nil, fmt.Errorf("the folder holds more than %d files or %d bytes: only the recipe, its patches and keys belong there, sources are fetched by the farm",
			u.limits.Members, u.limits.Expanded)
	}
	return all, nil
}

func (c *session) writeTaken(taken []wire.Taken, oneLine bool) error {
	if c.asJSON {
		all := struct {
			Taken []wire.Taken `json:"taken"`
		}{taken}
		if oneLine {
			return writeJSONLine(c.out, all)
		}
		return writeJSON(c.out, all)
	}
	return tableOf(taken, []column[wire.Taken]{
		{style{}, func(t wire.Taken) string { return t.Build.ID }},
		{style{most: 24}, func(t wire.Taken) string { return t.Build.Port }},
		{style{most: 20}, func(t wire.Taken) string { return t.Build.Version }},
		{style{}, func(t wire.Taken) string {
			if t.Fresh {
				return "new"
			}
			return fmt.Sprintf("the same as before, %s", t.Build.State)
		}},
	}).write(c.out)
}

// follow prints the progress of builds until all have ended.
func (c *session) follow(ctx context.Context, taken []wire.Taken) error {
	// A build that others need has a lower number.
	inOrder := slices.SortedFunc(slices.Values(taken), func(a, b wire.Taken) int { return cmp.Compare(a.Build.Seq, b.Build.Seq) })
	ended := map[string]wire.Build{}
	for _, t := range inOrder {
		b := t.Build
		if !b.State.Over() {
			var err error
			if b, err = c.await(ctx, b.ID, func(e wire.Event) error { return c.writeEvent(t.Build.Port, e) }); err != nil {
				if ctx.Err() != nil {
					c.notice("the builds go on; zfarm list shows them")
				}
				return err
			}
		}
		ended[b.ID] = b
	}
	var all []wire.Build
	for _, t := range taken {
		all = append(all, ended[t.Build.ID])
	}
	return c.conclude(all)
}

// writeEvent writes a line about an event if it matters to people, or with --json the
// whole event.
func (c *session) writeEvent(port string, e wire.Event) error {
	if c.asJSON {
		return writeJSONLine(c.out, struct {
			Event wire.Event `json:"event"`
		}{e})
	}
	who := port + ": " + e.Stage
	if e.Worker != "" {
		who += " on " + e.Worker
	}
	text := transition(who, e)
	if text == "" {
		return nil
	}
	return c.writeText(text + "\n")
}

// conclude prints how builds ended. Its error has the code of the first that must not
// be released.
func (c *session) conclude(all []wire.Build) error {
	if c.asJSON {
		err := writeJSONLine(c.out, struct {
			Ended []wire.Build `json:"ended"`
		}{all})
		if err != nil {
			return err
		}
	}
	code := 0
	for _, b := range all {
		if !c.asJSON {
			if err := c.writeText(ended(b) + "\n"); err != nil {
				return err
			}
		}
		if code == 0 {
			code = buildCode(b)
		}
	}
	if code != 0 {
		return exit{code, errShown}
	}
	return nil
}

// ended returns a sentence about how a build ended.
func ended(b wire.Build) string {
	text := fmt.Sprintf("%s %s: build %s %s", b.Port, b.Version, b.ID, b.State)
	switch f := b.Failure(); {
	case f != nil:
		text += fmt.Sprintf(" (%s): %s", f.Kind, f.Message)
	case b.SameAs != "":
		text += ": its inputs are those of build " + b.SameAs
	case b.Verdict != "":
		text += ": " + b.Verdict
	}
	return text
}

// buildCode is the exit code for a build that has ended.
func buildCode(b wire.Build) int {
	switch f := b.Failure(); {
	case b.State == wire.BuildCancelled:
		return cancelled
	case f != nil:
		return failureCode(orchestrator.FailureKind(f.Kind))
	case b.State == wire.BuildSucceeded:
		return 0
	}
	return notYet
}
