// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/zfarm/zfarm/orchestrator/api/wire"
	"github.com/zfarm/zfarm/workers/humanize"
)

// buildCommands are the commands about builds of a farm.
func buildCommands() []*cobra.Command {
	return []*cobra.Command{
		listCommand(), showCommand(), whyCommand(), reportCommand(),
		changeCommand("cancel", "Cancel a build", "Its stages end at once, and their workspaces are removed from the workers. A build that has ended stays as it is.",
			func(ctx context.Context, c *session, id string) (wire.Build, error) { return c.Cancel(ctx, id) }),
		changeCommand("pause", "Pause a build: no further stage begins", "Stages that run go on. zfarm resume ends the pause.", pausing(true)),
		changeCommand("resume", "Resume a paused build", "", pausing(false)),
		prioritiseCommand(),
	}
}

func pausing(paused bool) func(context.Context, *session, string) (wire.Build, error) {
	return func(ctx context.Context, c *session, id string) (wire.Build, error) {
		return c.Change(ctx, id, wire.BuildChange{Paused: &paused})
	}
}

func listCommand() *cobra.Command {
	var a commandBase
	var f wire.BuildsInput
	var state string
	c := a.command(&cobra.Command{
		Use: "list", Short: "List builds, newest first", Args: cobra.NoArgs,
		Example: "  zfarm list --port gzip --state failed",
	},
		func(ctx context.Context, c *session, _ []string) error {
			if f.Limit < 1 {
				return exit{usageError, fmt.Errorf("--limit %d is too small: give at least 1", f.Limit)}
			}
			f.State = wire.BuildState(state)
			all, err := c.builds(ctx, f)
			if err != nil {
				return err
			}
			if c.asJSON {
				return writeJSON(c.out, struct {
					Builds []wire.Build `json:"builds"`
				}{all})
			}
			return c.writeBuilds(all)
		})
	a.json(c)
	c.Flags().StringVar(&f.Port, "port", "", "only builds of this port")
	c.Flags().StringVar(&f.Owner, "owner", "", "only builds that this owner submitted")
	c.Flags().StringVar(&state, "state", "", "only builds in this state: waiting, queued, running, succeeded, failed or cancelled")
	c.Flags().IntVar(&f.Limit, "limit", 50, "at most this many builds")
	return c
}

// builds returns f.Limit builds, from as many pages as that takes.
func (c *session) builds(ctx context.Context, f wire.BuildsInput) ([]wire.Build, error) {
	const page = 500
	all := []wire.Build{}
	for most := f.Limit; ; {
		f.Limit = min(most-len(all), page)
		got, err := c.Builds(ctx, f)
		if err != nil {
			return nil, err
		}
		all = append(all, got.Builds...)
		if got.Before == 0 || len(got.Builds) == 0 || len(all) >= most {
			return all, nil
		}
		f.Before = got.Before
	}
}

func (c *session) writeBuilds(all []wire.Build) error {
	if len(all) == 0 {
		c.notice("there is no such build; zfarm submit makes one")
		return nil
	}
	return tableOf(all, buildColumns(time.Now())).write(c.out)
}

// buildColumns are the columns of zfarm list.
func buildColumns(now time.Time) []column[wire.Build] {
	return []column[wire.Build]{
		{style{head: "BUILD"}, func(b wire.Build) string { return b.ID }},
		{style{head: "PORT", most: 20}, func(b wire.Build) string { return b.Port }},
		{style{head: "VERSION", most: 12}, func(b wire.Build) string { return b.Version }},
		{style{head: "STATE", state: true}, stateWord},
		{style{head: "OWNER", most: 14}, func(b wire.Build) string { return b.Owner }},
		{style{head: "SUBMITTED"}, func(b wire.Build) string { return humanize.Ago(b.Submitted, now) }},
		{style{head: "VERDICT"}, outcome},
	}
}

// stateWord returns the state of a build, or "paused".
func stateWord(b wire.Build) string {
	if b.Paused && !b.State.Over() {
		return "paused"
	}
	return string(b.State)
}

// outcome returns a word or two about how a build ended.
func outcome(b wire.Build) string {
	switch f := b.Failure(); {
	case f != nil:
		return f.Kind
	case b.SameAs != "":
		return "as " + b.SameAs
	default:
		return b.Verdict
	}
}

func showCommand() *cobra.Command {
	var a commandBase
	c := a.command(&cobra.Command{
		Use: "show BUILD", Short: "Show a build with its stages, attempts and files", Args: cobra.ExactArgs(1),
		Example: "  zfarm show 1c0a9b83f8d2-5e1f",
	},
		func(ctx context.Context, c *session, args []string) error {
			v, err := c.buildView(ctx, args[0])
			if err != nil {
				return err
			}
			if c.asJSON {
				return writeJSON(c.out, v)
			}
			return c.writeBuildView(v)
		})
	a.json(c)
	return c
}

// buildView is everything that zfarm show prints of a build.
type buildView struct {
	Build    wire.Build     `json:"build"`
	Attempts []wire.Attempt `json:"attempts"`
	Files    []wire.File    `json:"files"`
	// Needs has the states of the builds that this one needs, by build.
	Needs map[string]wire.BuildState `json:"needs"`
}

func (c *session) buildView(ctx context.Context, id string) (buildView, error) {
	v := buildView{Needs: map[string]wire.BuildState{}}
	b, err := c.Build(ctx, id)
	if err != nil {
		return v, err
	}
	v.Build = b
	if v.Attempts, err = c.Attempts(ctx, id); err != nil {
		return v, err
	}
	if v.Files, err = c.Files(ctx, id); err != nil {
		return v, err
	}
	for _, n := range b.Needs {
		need, err := c.Build(ctx, n.Build)
		if err != nil {
			return v, err
		}
		v.Needs[n.Build] = need.State
	}
	return v, nil
}

func (c *session) writeBuildView(v buildView) error {
	b, now := v.Build, time.Now()
	var text strings.Builder
	failure := ""
	if f := b.Failure(); f != nil {
		failure = fmt.Sprintf("%s: %s", f.Kind, f.Message)
	}
	priority := ""
	if b.Priority != 0 {
		priority = strconv.Itoa(b.Priority)
	}
	fields(&text, "build", b.ID, "port", b.Port+" "+b.Version, "state", stateWord(b), "failure", failure, "verdict", b.Verdict,
		"same as", b.SameAs, "checks", b.Checks, "owner", b.Owner, "priority", priority, "submitted", humanize.Ago(b.Submitted, now),
		"ended", humanize.Ago(b.Ended, now), "recipe", b.Recipe.String(), "from", b.URI+"\n"+b.Path)
	for _, n := range b.Needs {
		fields(&text, "needs", fmt.Sprintf("%s, build %s, %s", n.Port, n.Build, v.Needs[n.Build]))
	}
	if err := c.writeText(text.String() + "\n"); err != nil {
		return err
	}
	return c.writeTables(tableOf(b.Stages, stageColumns(now)), tableOf(v.Attempts, attemptColumns(now)), tableOf(v.Files, fileColumns()))
}

func stageColumns(now time.Time) []column[wire.Stage] {
	return []column[wire.Stage]{
		{style{head: "STAGE"}, func(s wire.Stage) string { return s.ID }},
		{style{head: "STATE", state: true}, func(s wire.Stage) string { return string(s.State) }},
		{style{head: "ATTEMPTS"}, func(s wire.Stage) string { return strconv.Itoa(s.Attempts) }},
		{style{head: "WORKER", most: 30}, func(s wire.Stage) string { return s.Worker }},
		{style{head: "SINCE"}, func(s wire.Stage) string { return humanize.Ago(s.Since, now) }},
	}
}

func attemptColumns(now time.Time) []column[wire.Attempt] {
	took := func(a wire.Attempt) string {
		if a.Ended.IsZero() {
			return ""
		}
		return humanize.Duration(a.Ended.Sub(a.Begun))
	}
	return []column[wire.Attempt]{
		{style{head: "ATTEMPT"}, func(a wire.Attempt) string { return fmt.Sprintf("%s %d", a.Stage, a.Fence) }},
		{style{head: "WORKER", most: 30}, func(a wire.Attempt) string { return a.Worker }},
		{style{head: "OUTCOME", state: true}, func(a wire.Attempt) string { return a.Outcome }},
		{style{head: "BEGUN"}, func(a wire.Attempt) string { return humanize.Ago(a.Begun, now) }},
		{style{head: "TOOK"}, took},
		{style{head: "DETAIL"}, func(a wire.Attempt) string { return a.Detail }},
	}
}

func fileColumns() []column[wire.File] {
	return []column[wire.File]{
		{style{head: "FILE", most: 60}, func(f wire.File) string { return f.Name }},
		{style{head: "SIZE"}, func(f wire.File) string { return humanize.Bytes(f.Size) }},
		{style{head: "SHA256"}, func(f wire.File) string { return f.Digest.Short() }},
	}
}

// writeTables writes the tables that have rows, with an empty line between them.
func (c *session) writeTables(all ...table) error {
	all = slices.DeleteFunc(all, func(t table) bool { return len(t.rows) == 0 })
	for i, t := range all {
		if i > 0 {
			if err := c.writeText("\n"); err != nil {
				return err
			}
		}
		if err := t.write(c.out); err != nil {
			return err
		}
	}
	return nil
}

func whyCommand() *cobra.Command {
	var a commandBase
	c := a.command(&cobra.Command{
		Use: "why BUILD", Short: "Explain what a build waits for, worker by worker", Args: cobra.ExactArgs(1),
		Example: "  zfarm why 1c0a9b83f8d2-5e1f",
	}, func(ctx context.Context, c *session, args []string) error {
		b, err := c.Build(ctx, args[0])
		if err != nil {
			return err
		}
		waiting, err := c.Why(ctx, args[0])
		if err != nil {
			return err
		}
		if c.asJSON {
			return writeJSON(c.out, struct {
				Build   wire.Build     `json:"build"`
				Waiting []wire.Waiting `json:"waiting"`
			}{b, waiting})
		}
		return c.writeWhy(b, waiting)
	})
	a.json(c)
	return c
}

func (c *session) writeWhy(b wire.Build, waiting []wire.Waiting) error {
	if b.State.Over() {
		return c.writeText(ended(b) + "\nthe build has ended and waits for nothing\n")
	}
	if err := c.writeText(fmt.Sprintf("%s %s: build %s is %s\n", b.Port, b.Version, b.ID, stateWord(b))); err != nil {
		return err
	}
	var shown *wire.Waiting
	var then []string
	for i, w := range waiting {
		switch {
		case w.After != "":
			then = append(then, w.Stage)
			continue
		case shown != nil && w.Why == shown.Why && slices.Equal(w.Workers, shown.Workers):
			if err := c.writeText(fmt.Sprintf("\n%s is %s: the same as %s\n", w.Stage, w.State, shown.Stage)); err != nil {
				return err
			}
			continue
		}
		shown = &waiting[i]
		if err := c.writeWaiting(w); err != nil {
			return err
		}
	}
	if len(then) == 0 {
		return nil
	}
	return c.writeText("\n" + wrapped("then: "+strings.Join(then, ", "), width(c.out), 2) + "\n")
}

// writeWaiting explains what one stage waits for, worker by worker.
func (c *session) writeWaiting(w wire.Waiting) error {
	if err := c.writeText("\n" + wrapped(fmt.Sprintf("%s is %s: %s", w.Stage, w.State, w.Why), width(c.out), 2) + "\n"); err != nil {
		return err
	}
	return tableOf(w.Workers, []column[wire.Reason]{
		{style{most: 30}, func(r wire.Reason) string { return "  " + r.Worker }},
		{style{state: true}, func(r wire.Reason) string { return r.Cause }},
		{style{}, func(r wire.Reason) string { return r.Why }},
	}).write(c.out)
}

func reportCommand() *cobra.Command {
	var a commandBase
	c := a.command(&cobra.Command{
		Use: "report BUILD", Short: "Show what the comparison of a build's repeats found", Args: cobra.ExactArgs(1),
		Example: "  zfarm report 1c0a9b83f8d2-5e1f --json > verdict.json",
	}, func(ctx context.Context, c *session, args []string) error {
		id := args[0]
		// A build that reuses another one has no report of its own.
		for range 10 {
			b, err := c.Build(ctx, id)
			if err != nil {
				return err
			}
			if b.SameAs == "" {
				break
			}
			id = b.SameAs
		}
		if c.asJSON {
			return c.Verdict(ctx, id, c.out)
		}
		w := safeForTerminal(c.out)
		if err := c.Report(ctx, id, w); err != nil {
			return err
		}
		return w.Close()
	})
	a.json(c)
	return c
}

// changeCommand makes a command that changes one build.
func changeCommand(name, short, long string, change func(context.Context, *session, string) (wire.Build, error)) *cobra.Command {
	var a commandBase
	if long != "" {
		long = short + ". " + long
	}
	c := a.command(&cobra.Command{
		Use: name + " BUILD", Short: short, Long: long, Args: cobra.ExactArgs(1),
		Example: "  zfarm " + name + " 1c0a9b83f8d2-5e1f",
	},
		func(ctx context.Context, c *session, args []string) error {
			b, err := change(ctx, c, args[0])
			if err != nil {
				return err
			}
			return c.writeChanged(b)
		})
	a.json(c)
	return c
}

func prioritiseCommand() *cobra.Command {
	var a commandBase
	c := a.command(&cobra.Command{
		Use: "prioritise BUILD N", Short: "Change the priority of a build: -100 to 100, higher is sooner", Args: cobra.ExactArgs(2),
		Long:    "Change the priority of a build: -100 to 100, higher is sooner. Write -- before a negative priority.",
		Example: "  zfarm prioritise -- 1c0a9b83f8d2-5e1f -5",
	}, func(ctx context.Context, c *session, args []string) error {
		n, err := strconv.Atoi(args[1])
		if err != nil {
			return exit{usageError, fmt.Errorf("priority %q is no number: give a whole number from -100 to 100", args[1])}
		}
		b, err := c.Change(ctx, args[0], wire.BuildChange{Priority: &n})
		if err != nil {
			return err
		}
		return c.writeChanged(b)
	})
	a.json(c)
	return c
}

func (c *session) writeChanged(b wire.Build) error {
	if c.asJSON {
		return writeJSON(c.out, b)
	}
	return c.writeText(fmt.Sprintf("%s %s: build %s is %s, priority %d\n", b.Port, b.Version, b.ID, stateWord(b), b.Priority))
}
