// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/term"
	"golang.org/x/text/transform"

	"github.com/zfarm/zfarm/orchestrator/api/client"
	"github.com/zfarm/zfarm/orchestrator/api/wire"
	"github.com/zfarm/zfarm/workers"
	"github.com/zfarm/zfarm/workers/codepage"
	"github.com/zfarm/zfarm/workers/humanize"
)

// logFlags are the flags of "zfarm logs".
type logFlags struct {
	commandBase
	stage, step     string
	attempt, offset int64
	wait            bool
}

func logsCommand() *cobra.Command {
	var f logFlags
	c := f.command(&cobra.Command{
		Use:   "logs BUILD",
		Short: "Show the logs of a build's steps",
		Long: `Show the logs of a build's steps. For each repeat the command shows the newest attempt,
step by step, each under a line with the step's name. With --step it writes the bytes of
that step only, so that they can be piped.

With --follow the command waits for steps that have not begun, and ends when the repeats
have ended. The bytes come from a worker unchanged; on a terminal they are escaped.`,
		Example: "  zfarm logs 1c0a9b83f8d2-5e1f --stage repeat-0 --step build-make --follow",
		Args:    cobra.ExactArgs(1),
	}, f.logs)
	c.Flags().StringVar(&f.stage, "stage", "", "only this repeat, such as repeat-0")
	c.Flags().StringVar(&f.step, "step", "", "only this step, without the line above it")
	c.Flags().Int64Var(&f.attempt, "attempt", 0, "this attempt instead of the newest; needs --stage")
	c.Flags().BoolVarP(&f.wait, "follow", "f", false, "wait for more until the repeats have ended")
	c.Flags().Int64Var(&f.offset, "offset", 0, "begin at this byte; needs --stage and --step")
	return c
}

func (f *logFlags) logs(ctx context.Context, c *session, args []string) error {
	switch {
	case f.attempt < 0 || f.attempt > 0 && f.stage == "":
		return exit{usageError, errors.New("--attempt counts the attempts of a stage from 1: give --stage repeat-0 as well")}
	case f.offset < 0 || f.offset > 0 && (f.stage == "" || f.step == ""):
		return exit{usageError, errors.New("--offset is a place in the log of one step: give --stage and --step as well")}
	}
	b, err := c.Build(ctx, args[0])
	if err != nil {
		return err
	}
	r := logReader{session: c, flags: f, build: b.ID}
	found := false
	for _, s := range b.Stages {
		if s.Kind == wire.StageRepeat && (f.stage == "" || s.ID == f.stage) {
			found = true
			if err := r.repeat(ctx, s.ID); err != nil {
				return err
			}
		}
	}
	switch {
	case !found:
		return exit{usageError, fmt.Errorf("build %s has no repeat %q; zfarm show %s lists its stages", b.ID, f.stage, b.ID)}
	case !r.wrote && f.step != "":
		return exit{usageError, fmt.Errorf("no attempt has a step %q; zfarm logs %s shows the steps there are", f.step, b.ID)}
	case !r.wrote:
		c.notice("there is no log yet; zfarm why %s says what the build waits for", b.ID)
	}
	return nil
}

// logReader writes the logs of one build.
type logReader struct {
	*session
	flags *logFlags
	build string
	wrote bool
}

// pollPause is the time between two requests for new steps or attempts.
const pollPause = 300 * time.Millisecond

// repeat writes the logs of the newest attempt of a stage. With --follow it goes on
// with the attempt after one that was lost.
func (r *logReader) repeat(ctx context.Context, stage string) error {
	for after := int64(0); ; {
		a, err := r.newest(ctx, stage, after)
		if err != nil || a.Fence == 0 {
			return err
		}
		if err := r.attempt(ctx, a); err != nil {
			return err
		}
		if !r.flags.wait || r.flags.attempt > 0 {
			return nil
		}
		after = a.Fence
	}
}

// newest returns the attempt to show; its fence is 0 if there is none. With --follow it
// waits until there is one, or the stage has ended.
func (r *logReader) newest(ctx context.Context, stage string, after int64) (wire.Attempt, error) {
	var found wire.Attempt
	err := r.poll(ctx, func() (bool, error) {
		b, err := r.Build(ctx, r.build)
		if err != nil {
			return false, err
		}
		all, err := r.Attempts(ctx, r.build)
		if err != nil {
			return false, err
		}
		for _, a := range all {
			if a.Stage == stage && a.Fence > after && (r.flags.attempt == 0 || a.Fence == r.flags.attempt) {
				found = a
			}
		}
		if found.Fence == 0 && r.flags.attempt > 0 {
			return true, exit{usageError, fmt.Errorf("%s has no attempt %d; zfarm show %s lists them", stage, r.flags.attempt, r.build)}
		}
		over := slices.ContainsFunc(b.Stages, func(s wire.Stage) bool { return s.ID == stage && s.State.Over() })
		return found.Fence > 0 || over || b.State.Over(), nil
	})
	return found, err
}

// poll calls done until it returns true; without --follow only once.
func (r *logReader) poll(ctx context.Context, done func() (bool, error)) error {
	for {
		var over bool
		err := r.retryWhileUnreachable(ctx, func() (err error) {
			over, err = done()
			return err
		})
		if err != nil || over || !r.flags.wait {
			return err
		}
		if err := sleep(ctx, pollPause); err != nil {
			return err
		}
	}
}

// attempt writes the logs of an attempt, step by step.
func (r *logReader) attempt(ctx context.Context, a wire.Attempt) error {
	written := map[string]bool{}
	return r.poll(ctx, func() (bool, error) {
		// Ask whether it has ended before reading its steps, so that none is missed.
		over, err := r.ended(ctx, a)
		if err != nil {
			return false, err
		}
		steps, err := r.Steps(ctx, client.AttemptID{Build: a.Build, Stage: a.Stage, Fence: a.Fence})
		if err != nil {
			return false, err
		}
		for _, s := range steps {
			if written[s.Name] || r.flags.step != "" && s.Name != r.flags.step {
				continue
			}
			if err := r.stepLog(ctx, a, s); err != nil {
				return false, err
			}
			written[s.Name] = true
		}
		return over || r.flags.step != "" && written[r.flags.step], nil
	})
}

func (r *logReader) ended(ctx context.Context, a wire.Attempt) (bool, error) {
	if !a.Ended.IsZero() {
		return true, nil
	}
	all, err := r.Attempts(ctx, a.Build)
	if err != nil {
		return false, err
	}
	i := slices.IndexFunc(all, func(x wire.Attempt) bool { return x.Stage == a.Stage && x.Fence == a.Fence })
	return i < 0 || !all[i].Ended.IsZero(), nil
}

func (r *logReader) stepLog(ctx context.Context, a wire.Attempt, s wire.Step) error {
	if r.flags.step == "" {
		head := fmt.Sprintf("==> %s on %s, attempt %d: %s", a.Stage, a.Worker, a.Fence, s.Name)
		if s.Status != nil {
			head += fmt.Sprintf(", %s in %s", stepResult(workers.State(s.Status.State), s.Status.Code), humanize.Duration(s.Took))
		}
		if r.wrote {
			head = "\n" + head
		}
		if err := r.writeText(head + " <==\n"); err != nil {
			return err
		}
	}
	r.wrote = true
	w := safeForTerminal(r.out)
	id, at := client.AttemptID{Build: a.Build, Stage: a.Stage, Fence: a.Fence}, r.flags.offset
	err := r.retryWhileUnreachable(ctx, func() (err error) {
		if r.flags.wait {
			at, err = r.FollowLog(ctx, id, s.Name, at, w)
		} else {
			at, err = r.Log(ctx, id, s.Name, at, w)
		}
		return err
	})
	return errors.Join(err, w.Close())
}

// safeForTerminal returns a writer for foreign bytes: it escapes them on a terminal and
// writes them unchanged anywhere else.
func safeForTerminal(w io.Writer) io.WriteCloser {
	if f, ok := w.(*os.File); ok && term.IsTerminal(int(f.Fd())) {
		return transform.NewWriter(w, codepage.Printable())
	}
	return unchanged{w}
}

type unchanged struct{ io.Writer }

// Close does nothing: the opener of the writer closes it.
func (unchanged) Close() error { return nil }

// eventFlags are the flags of "zfarm events".
type eventFlags struct {
	commandBase
	after int64
	wait  bool
}

func eventsCommand() *cobra.Command {
	var f eventFlags
	c := f.command(&cobra.Command{
		Use:   "events [BUILD]",
		Short: "Show the events of a build or of the whole farm, oldest first",
		Long: `Show the events of a build or of the whole farm, oldest first.

With --follow the command goes on with new events. It ends when the build has ended;
for the whole farm it goes on until Ctrl-C.`,
		Example: "  zfarm events 1c0a9b83f8d2-5e1f --follow",
		Args:    cobra.MaximumNArgs(1),
	}, f.events)
	c.Flags().BoolVar(&f.asJSON, "json", false, "print each event as JSON on a line of its own")
	c.Flags().Int64Var(&f.after, "after", 0, "only events with a higher number")
	c.Flags().BoolVarP(&f.wait, "follow", "f", false, "go on with new events")
	return c
}

func (f *eventFlags) events(ctx context.Context, c *session, args []string) error {
	after := f.after
	show := func(e wire.Event) error {
		if e.Seq <= after {
			return nil
		}
		after = e.Seq
		if c.asJSON {
			return writeJSONLine(c.out, e)
		}
		return c.writeText(eventLine(e) + "\n")
	}
	if len(args) > 0 {
		if _, err := c.Build(ctx, args[0]); err != nil { // an unknown build has no events: report that it is unknown
			return err
		}
		if f.wait {
			_, err := c.await(ctx, args[0], show)
			return err
		}
		return c.pastEvents(ctx, after, args[0], show)
	}
	if err := c.pastEvents(ctx, after, "", show); err != nil || !f.wait {
		return err
	}
	return c.retryWhileUnreachable(ctx, func() error { return c.FollowEvents(ctx, after, "", show) })
}

func eventLine(e wire.Event) string {
	text := fmt.Sprintf("%6d  %s  %s  %s: %s to %s", e.Seq, humanize.Time(e.At), e.Build, e.Stage, e.From, e.To)
	if e.Worker != "" {
		text += " on " + e.Worker
	}
	if e.Detail != "" {
		text += ": " + strings.ReplaceAll(e.Detail, "\n", "; ")
	}
	return text
}
