// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/zfarm/zfarm/orchestrator/api/wire"
	"github.com/zfarm/zfarm/workers/humanize"
)

// farmWorkerCommands are the commands about the workers of a farm.
func farmWorkerCommands() []*cobra.Command {
	return []*cobra.Command{
		workerListCommand(),
		changeWorkerCommand("drain", "Give a worker no new work; attempts that run there go on", draining(true)),
		changeWorkerCommand("resume", "Give a drained worker new work again", draining(false)),
		changeWorkerCommand("probe", "Probe a worker soon, and remove what ended attempts left on it",
			func(ctx context.Context, c *session, name string) (wire.Worker, error) {
				return c.ProbeWorker(ctx, name)
			}),
	}
}

func draining(on bool) func(context.Context, *session, string) (wire.Worker, error) {
	return func(ctx context.Context, c *session, name string) (wire.Worker, error) {
		return c.ChangeWorker(ctx, name, wire.WorkerChange{Draining: &on})
	}
}

func workerListCommand() *cobra.Command {
	var a commandBase
	var quarantine string
	c := a.command(&cobra.Command{
		Use: "list", Short: "List the workers of a farm", Args: cobra.NoArgs,
		Example: "  zfarm worker list\n  zfarm worker list --quarantine any",
	},
		func(ctx context.Context, c *session, _ []string) error {
			all, err := c.Workers(ctx, quarantine)
			if err != nil {
				return err
			}
			if c.asJSON {
				return writeJSON(c.out, struct {
					Workers []wire.Worker `json:"workers"`
				}{all})
			}
			if len(all) == 0 && quarantine != "" {
				c.notice("no worker is quarantined with that; zfarm worker list shows all workers")
				return nil
			}
			return c.writeWorkers(all)
		})
	c.Flags().StringVar(&quarantine, "quarantine", "", "only workers quarantined with this code (docs/workers.md), or any")
	a.json(c)
	return c
}

func changeWorkerCommand(name, short string, change func(context.Context, *session, string) (wire.Worker, error)) *cobra.Command {
	var a commandBase
	c := a.command(&cobra.Command{
		Use: name + " WORKER", Short: short, Args: cobra.ExactArgs(1),
		Example: "  zfarm worker " + name + " lpar1",
	},
		func(ctx context.Context, c *session, args []string) error {
			w, err := change(ctx, c, args[0])
			if err != nil {
				return err
			}
			if c.asJSON {
				return writeJSON(c.out, w)
			}
			return c.writeWorkers([]wire.Worker{w})
		})
	a.json(c)
	return c
}

func (c *session) writeWorkers(all []wire.Worker) error {
	if len(all) == 0 {
		c.notice("there is no worker; add a worker block to the farm's file, and zfarm serve registers it")
		return nil
	}
	return tableOf(all, workerColumns(time.Now())).write(c.out)
}

// workerColumns are the columns of zfarm worker list.
func workerColumns(now time.Time) []column[wire.Worker] {
	system := func(w wire.Worker) string {
		if w.Facts == nil {
			return ""
		}
		return w.Facts.System + " " + w.Facts.Release
	}
	return []column[wire.Worker]{
		{style{head: "WORKER", most: 24}, func(w wire.Worker) string { return w.Name }},
		{style{head: "SLOTS"}, func(w wire.Worker) string { return fmt.Sprintf("%d of %d", len(w.Held), w.Slots) }},
		{style{head: "STATE", state: true}, workerState},
		{style{head: "PROBED"}, func(w wire.Worker) string { return humanize.Ago(w.Probed, now) }},
		{style{head: "SYSTEM", most: 24}, system},
		{style{head: "WHY"}, func(w wire.Worker) string { return workerReason(w, now) }},
	}
}

// workerState says in a word whether a worker gets new work.
func workerState(w wire.Worker) string {
	switch {
	case !w.Registered:
		return "removed"
	case w.Draining:
		return "draining"
	case w.Quarantine != nil:
		return "quarantined"
	case w.Facts == nil:
		return "new"
	}
	return "serves"
}

// workerReason says why a worker gets no new work.
func workerReason(w wire.Worker, now time.Time) string {
	if !w.Registered {
		return "the farm's file no longer names it"
	}
	return quarantineText(w.Quarantine, now)
}

// quarantineText returns the code, the time it began, and the reason.
func quarantineText(q *wire.Quarantine, now time.Time) string {
	if q == nil {
		return ""
	}
	return fmt.Sprintf("%s (%s): %s", q.Code, humanize.Ago(q.Since, now), q.Detail)
}
