// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/zfarm/zfarm/orchestrator/api/wire"
)

// farmWorkerCommands are those about the workers of a farm.
func farmWorkerCommands() []*cobra.Command {
	return []*cobra.Command{
		workerListCommand(),
		changeWorkerCommand("drain", "Give a worker nothing new; what runs there goes on", draining(true)),
		changeWorkerCommand("resume", "Let a drained worker work again", draining(false)),
		changeWorkerCommand("probe", "Have a worker looked at soon, and rid of what was left on it",
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
	c := a.command(&cobra.Command{Use: "list", Short: "List the workers of a farm", Args: cobra.NoArgs},
		func(ctx context.Context, c *session, _ []string) error {
			all, err := c.Workers(ctx)
			if err != nil {
				return err
			}
			if c.asJSON {
				return writeJSON(c.out, struct {
					Workers []wire.Worker `json:"workers"`
				}{all})
			}
			return c.writeWorkers(all)
		})
	a.json(c)
	return c
}

func changeWorkerCommand(name, short string, change func(context.Context, *session, string) (wire.Worker, error)) *cobra.Command {
	var a commandBase
	c := a.command(&cobra.Command{Use: name + " WORKER", Short: short, Args: cobra.ExactArgs(1)},
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
		c.notice("no worker; a worker block of the farm's file names one, and zfarm serve registers it")
		return nil
	}
	now := time.Now()
	t := table{columns: []column{{head: "WORKER", most: 24}, {head: "SLOTS"}, {head: "STATE", state: true}, {head: "PROBED"}, {head: "SYSTEM", most: 24}, {head: "WHY"}}}
	for _, w := range all {
		state, why := "serves", ""
		switch {
		case !w.Registered:
			state, why = "removed", "the farm's file does not name it any more"
		case w.Draining:
			state, why = "draining", quarantineText(w.Quarantine, now)
		case w.Quarantine != nil:
			state, why = "quarantined", quarantineText(w.Quarantine, now)
		case w.Facts == nil:
			state = "new"
		}
		system := ""
		if w.Facts != nil {
			system = w.Facts.System + " " + w.Facts.Release
		}
		t.add(w.Name, fmt.Sprintf("%d of %d", len(w.Held), w.Slots), state, ago(w.Probed, now), system, why)
	}
	return t.write(c.out)
}

// quarantineText is the code, how long ago the quarantine began, and why.
func quarantineText(q *wire.Quarantine, now time.Time) string {
	if q == nil {
		return ""
	}
	return fmt.Sprintf("%s, since %s: %s", q.Code, ago(q.Since, now), q.Detail)
}
