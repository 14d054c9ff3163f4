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

	"github.com/zfarm/zfarm/orchestrator"
	"github.com/zfarm/zfarm/orchestrator/api"
	"github.com/zfarm/zfarm/orchestrator/engine"
	"github.com/zfarm/zfarm/orchestrator/store"
)

// buildCommands are those about builds of a farm.
func buildCommands() []*cobra.Command {
	return []*cobra.Command{
		listCommand(), showCommand(), whyCommand(), reportCommand(),
		changeCommand("cancel", "Cancel a build", "Its stages end at once, and the workers are cleaned. A build that is over stays as it is.",
			func(ctx context.Context, c *caller, id string) (store.Build, error) { return c.Cancel(ctx, id) }),
		changeCommand("pause", "Let nothing more of a build begin", "What runs goes on. zfarm resume takes it back.", pausing(true)),
		changeCommand("resume", "Let a paused build go on", "", pausing(false)),
		prioritiseCommand(),
	}
}

func pausing(paused bool) func(context.Context, *caller, string) (store.Build, error) {
	return func(ctx context.Context, c *caller, id string) (store.Build, error) {
		return c.Change(ctx, id, api.BuildChange{Paused: &paused})
	}
}

func listCommand() *cobra.Command {
	var a asking
	var f store.Filter
	var state string
	c := a.command(&cobra.Command{Use: "list", Short: "List builds, newest first", Args: cobra.NoArgs},
		func(ctx context.Context, c *caller, _ []string) error {
			if f.Limit < 1 {
				return exit{usageError, fmt.Errorf("--limit %d: at least 1", f.Limit)}
			}
			f.State = orchestrator.BuildState(state)
			all, err := c.builds(ctx, f)
			if err != nil {
				return err
			}
			if c.asJSON {
				return writeJSON(c.out, struct {
					Builds []api.Build `json:"builds"`
				}{api.NewBuilds(all)})
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
func (c *caller) builds(ctx context.Context, f store.Filter) ([]store.Build, error) {
	const page = 500
	var all []store.Build
	for most := f.Limit; ; {
		f.Limit = min(most-len(all), page)
		got, err := c.Builds(ctx, f)
		if err != nil {
			return nil, err
		}
		for _, b := range got.Builds {
			all = append(all, b.Build)
		}
		if got.Before == 0 || len(got.Builds) == 0 || len(all) >= most {
			return all, nil
		}
		f.Before = got.Before
	}
}

func (c *caller) writeBuilds(all []store.Build) error {
	if len(all) == 0 {
		c.say("no build; zfarm submit makes one")
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
func stateWord(b store.Build) string {
	if b.Paused && !b.State().Over() {
		return "paused"
	}
	return string(b.State())
}

// outcome is what a list says of how a build ended.
func outcome(b store.Build) string {
	switch f := b.Failure(); {
	case f != nil:
		return string(f.Kind)
	case b.SameAs != "":
		return "as " + b.SameAs
	default:
		return b.Verdict
	}
}

func showCommand() *cobra.Command {
	var a asking
	c := a.command(&cobra.Command{Use: "show BUILD", Short: "Show a build with its stages, attempts and files", Args: cobra.ExactArgs(1)},
		func(ctx context.Context, c *caller, args []string) error {
			s, err := c.sight(ctx, args[0])
			if err != nil {
				return err
			}
			if c.asJSON {
				return writeJSON(c.out, s)
			}
			return c.writeSight(s)
		})
	a.json(c)
	return c
}

// sight is everything there is to see of a build.
type sight struct {
	Build    api.Build       `json:"build"`
	Attempts []store.Attempt `json:"attempts"`
	Files    []store.File    `json:"files"`
	// Needs are the states of the builds that this one needs, by build.
	Needs map[string]orchestrator.BuildState `json:"needs"`
}

func (c *caller) sight(ctx context.Context, id string) (sight, error) {
	s := sight{Needs: map[string]orchestrator.BuildState{}}
	b, err := c.Build(ctx, id)
	if err != nil {
		return s, err
	}
	s.Build = api.NewBuild(b)
	if s.Attempts, err = c.Attempts(ctx, id); err != nil {
		return s, err
	}
	if s.Files, err = c.Files(ctx, id); err != nil {
		return s, err
	}
	for _, n := range b.Needs {
		need, err := c.Build(ctx, n.Build)
		if err != nil {
			return s, err
		}
		s.Needs[n.Build] = need.State()
	}
	return s, nil
}

func (c *caller) writeSight(s sight) error {
	b, now := s.Build.Build, time.Now()
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
		fields(&text, "needs", fmt.Sprintf("%s, build %s, %s", n.Port, n.Build, s.Needs[n.Build]))
	}
	if err := c.writeText(text.String() + "\n"); err != nil {
		return err
	}
	stages := table{columns: []column{{head: "STAGE"}, {head: "STATE", state: true}, {head: "ATTEMPTS"}, {head: "WORKER", most: 30}, {head: "SINCE"}}}
	for _, x := range b.Stages {
		stages.add(x.ID, string(x.State), strconv.Itoa(x.Attempts), x.Worker, ago(x.Since, now))
	}
	attempts := table{columns: []column{{head: "ATTEMPT"}, {head: "WORKER", most: 30}, {head: "OUTCOME", state: true}, {head: "BEGUN"}, {head: "TOOK"}, {head: "DETAIL"}}}
	for _, x := range s.Attempts {
		took := ""
		if !x.Ended.IsZero() {
			took = seconds(x.Ended.Sub(x.Begun))
		}
		attempts.add(fmt.Sprintf("%s %d", x.Stage, x.Fence), x.Worker, x.Outcome, ago(x.Begun, now), took, x.Detail)
	}
	files := table{columns: []column{{head: "FILE", most: 60}, {head: "SIZE"}, {head: "SHA256"}}}
	for _, x := range s.Files {
		files.add(x.Name, bytesText(x.Size), x.Digest.Short())
	}
	return c.writeTables(stages, attempts, files)
}

// writeTables writes tables that have anything in them, a line apart.
func (c *caller) writeTables(all ...table) error {
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
	var a asking
	c := a.command(&cobra.Command{
		Use: "why BUILD", Short: "Say what a build waits for, worker by worker", Args: cobra.ExactArgs(1),
	}, func(ctx context.Context, c *caller, args []string) error {
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
				Build   api.Build        `json:"build"`
				Waiting []engine.Waiting `json:"waiting"`
			}{api.NewBuild(b), waiting})
		}
		return c.writeWhy(b, waiting)
	})
	a.json(c)
	return c
}

func (c *caller) writeWhy(b store.Build, waiting []engine.Waiting) error {
	if b.State().Over() {
		return c.writeText(ended(b) + "\nit is over and waits for nothing\n")
	}
	if err := c.writeText(fmt.Sprintf("%s %s: build %s is %s\n", b.Port, b.Version, b.ID, stateWord(b))); err != nil {
		return err
	}
	var told *engine.Waiting
	var then []string
	for i, w := range waiting {
		switch {
		case w.After != "":
			then = append(then, w.Stage)
			continue
		case told != nil && w.Why == told.Why && slices.Equal(w.Workers, told.Workers):
			if err := c.writeText(fmt.Sprintf("\n%s is %s: the same as %s\n", w.Stage, w.State, told.Stage)); err != nil {
				return err
			}
			continue
		}
		told = &waiting[i]
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
func (c *caller) writeWaiting(w engine.Waiting) error {
	if err := c.writeText("\n" + wrapped(fmt.Sprintf("%s is %s: %s", w.Stage, w.State, w.Why), width(c.out), 2) + "\n"); err != nil {
		return err
	}
	t := table{columns: []column{{most: 30}, {state: true}, {}}}
	for _, r := range w.Workers {
		t.add("  "+r.Worker, string(r.Cause), r.Why)
	}
	return t.write(c.out)
}

func reportCommand() *cobra.Command {
	var a asking
	c := a.command(&cobra.Command{
		Use: "report BUILD", Short: "Show what the comparison of a build's repeats found", Args: cobra.ExactArgs(1),
	}, func(ctx context.Context, c *caller, args []string) error {
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
func changeCommand(name, short, long string, change func(context.Context, *caller, string) (store.Build, error)) *cobra.Command {
	var a asking
	if long != "" {
		long = short + ". " + long
	}
	c := a.command(&cobra.Command{Use: name + " BUILD", Short: short, Long: long, Args: cobra.ExactArgs(1)},
		func(ctx context.Context, c *caller, args []string) error {
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
	var a asking
	c := a.command(&cobra.Command{
		Use: "prioritise BUILD N", Short: "Change the priority of a build: -100 to 100, higher is sooner", Args: cobra.ExactArgs(2),
		Long: "Change the priority of a build: -100 to 100, higher is sooner. Below zero write zfarm prioritise -- BUILD -5.",
	}, func(ctx context.Context, c *caller, args []string) error {
		n, err := strconv.Atoi(args[1])
		if err != nil {
			return exit{usageError, fmt.Errorf("priority %q: write a whole number from -100 to 100", args[1])}
		}
		b, err := c.Change(ctx, args[0], api.BuildChange{Priority: &n})
		if err != nil {
			return err
		}
		return c.writeChanged(b)
	})
	a.json(c)
	return c
}

func (c *caller) writeChanged(b store.Build) error {
	if c.asJSON {
		return writeJSON(c.out, api.NewBuild(b))
	}
	return c.writeText(fmt.Sprintf("%s %s: build %s is %s, priority %d\n", b.Port, b.Version, b.ID, stateWord(b), b.Priority))
}
