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
)

// buildCommands are those about builds of a farm.
func buildCommands() []*cobra.Command {
	return []*cobra.Command{
		listCommand(), showCommand(), whyCommand(), reportCommand(),
		changeCommand("cancel", "Cancel a build", "Its stages end at once, and the workers are cleaned. A build that is over stays as it is.",
			func(ctx context.Context, c *session, id string) (wire.Build, error) { return c.Cancel(ctx, id) }),
		changeCommand("pause", "Let nothing more of a build begin", "What runs goes on. zfarm resume takes it back.", pausing(true)),
		changeCommand("resume", "Let a paused build go on", "", pausing(false)),
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
	c := a.command(&cobra.Command{Use: "list", Short: "List builds, newest first", Args: cobra.NoArgs},
		func(ctx context.Context, c *session, _ []string) error {
			if f.Limit < 1 {
				return exit{usageError, fmt.Errorf("--limit %d: at least 1", f.Limit)}
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
	c.Flags().StringVar(&f.Port, "port", "", "only of this port")
	c.Flags().StringVar(&f.Owner, "owner", "", "only what this one submitted")
	c.Flags().StringVar(&state, "state", "", "only waiting, queued, running, succeeded, failed or cancelled ones")
	c.Flags().IntVar(&f.Limit, "limit", 50, "at most so many")
	return c
}

// builds returns f.Limit builds, over as many pages as it takes.
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
		c.notice("no build; zfarm submit makes one")
		return nil
	}
	now := time.Now()
	t := table{columns: []column{{head: "BUILD"}, {head: "PORT", most: 20}, {head: "VERSION", most: 12}, {head: "STATE", state: true},
		{head: "OWNER", most: 14}, {head: "SUBMITTED"}, {head: "VERDICT"}}}
	for _, b := range all {
		t.add(b.ID, b.Port, b.Version, stateWord(b), b.Owner, ago(b.Submitted, now), outcome(b))
	}
	return t.write(c.out)
}

// stateWord is the state of a build, or that somebody holds it up.
func stateWord(b wire.Build) string {
	if b.Paused && !b.State.Over() {
		return "paused"
	}
	return string(b.State)
}

// outcome is what a list says of how a build ended.
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
	c := a.command(&cobra.Command{Use: "show BUILD", Short: "Show a build with its stages, attempts and files", Args: cobra.ExactArgs(1)},
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
	// Needs are the states of the builds that this one needs, by build.
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
		"same as", b.SameAs, "checks", b.Checks, "owner", b.Owner, "priority", priority, "submitted", ago(b.Submitted, now),
		"ended", ago(b.Ended, now), "recipe", b.Recipe.String(), "from", b.URI+"\n"+b.Path)
	for _, n := range b.Needs {
		fields(&text, "needs", fmt.Sprintf("%s, build %s, %s", n.Port, n.Build, v.Needs[n.Build]))
	}
	if err := c.writeText(text.String() + "\n"); err != nil {
		return err
	}
	stages := table{columns: []column{{head: "STAGE"}, {head: "STATE", state: true}, {head: "ATTEMPTS"}, {head: "WORKER", most: 30}, {head: "SINCE"}}}
	for _, x := range b.Stages {
		stages.add(x.ID, string(x.State), strconv.Itoa(x.Attempts), x.Worker, ago(x.Since, now))
	}
	attempts := table{columns: []column{{head: "ATTEMPT"}, {head: "WORKER", most: 30}, {head: "OUTCOME", state: true}, {head: "BEGUN"}, {head: "TOOK"}, {head: "DETAIL"}}}
	for _, x := range v.Attempts {
		took := ""
		if !x.Ended.IsZero() {
			took = seconds(x.Ended.Sub(x.Begun))
		}
		attempts.add(fmt.Sprintf("%s %d", x.Stage, x.Fence), x.Worker, x.Outcome, ago(x.Begun, now), took, x.Detail)
	}
	files := table{columns: []column{{head: "FILE", most: 60}, {head: "SIZE"}, {head: "SHA256"}}}
	for _, x := range v.Files {
		files.add(x.Name, bytesText(x.Size), x.Digest.Short())
	}
	return c.writeTables(stages, attempts, files)
}

// writeTables writes tables that have anything in them, a line apart.
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
		Use: "why BUILD", Short: "Say what a build waits for, worker by worker", Args: cobra.ExactArgs(1),
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
		return c.writeText(ended(b) + "\nit is over and waits for nothing\n")
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

// writeWaiting says what one stage waits for, worker by worker.
func (c *session) writeWaiting(w wire.Waiting) error {
	if err := c.writeText("\n" + wrapped(fmt.Sprintf("%s is %s: %s", w.Stage, w.State, w.Why), width(c.out), 2) + "\n"); err != nil {
		return err
	}
	t := table{columns: []column{{most: 30}, {state: true}, {}}}
	for _, r := range w.Workers {
		t.add("  "+r.Worker, r.Cause, r.Why)
	}
	return t.write(c.out)
}

func reportCommand() *cobra.Command {
	var a commandBase
	c := a.command(&cobra.Command{
		Use: "report BUILD", Short: "Show what the comparison of a build's repeats found", Args: cobra.ExactArgs(1),
	}, func(ctx context.Context, c *session, args []string) error {
		id := args[0]
		// A build with the inputs of another has no report of its own.
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
		w := readable(c.out)
		if err := c.Report(ctx, id, w); err != nil {
			return err
		}
		return w.Close()
	})
	a.json(c)
	return c
}

// changeCommand is a command that changes one build.
func changeCommand(name, short, long string, change func(context.Context, *session, string) (wire.Build, error)) *cobra.Command {
	var a commandBase
	if long != "" {
		long = short + ". " + long
	}
	c := a.command(&cobra.Command{Use: name + " BUILD", Short: short, Long: long, Args: cobra.ExactArgs(1)},
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
		Long: "Change the priority of a build: -100 to 100, higher is sooner. Below zero write zfarm prioritise -- BUILD -5.",
	}, func(ctx context.Context, c *session, args []string) error {
		n, err := strconv.Atoi(args[1])
		if err != nil {
			return exit{usageError, fmt.Errorf("priority %q: write a whole number from -100 to 100", args[1])}
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
