// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"time"

	"github.com/spf13/cobra"

	"github.com/zfarm/zfarm/orchestrator"
	"github.com/zfarm/zfarm/orchestrator/api"
	"github.com/zfarm/zfarm/orchestrator/store"
	"github.com/zfarm/zfarm/workers/codepage"
)

// asking is what every command has that asks a farm.
type asking struct {
	farm   serverFlags
	asJSON bool
}

// command makes c ask a farm: answer is called with a client of it.
func (a *asking) command(c *cobra.Command, answer func(context.Context, *caller, []string) error) *cobra.Command {
	a.farm.add(c)
	c.RunE = func(c *cobra.Command, args []string) error {
		client, hangUp, err := a.farm.client(c.Context(), c.ErrOrStderr())
		if err != nil {
			return err
		}
		defer hangUp()
		who := &caller{Client: client, out: c.OutOrStdout(), errs: c.ErrOrStderr(), asJSON: a.asJSON}
		return answered(answer(c.Context(), who, args))
	}
	return c
}

// json adds --json.
func (a *asking) json(c *cobra.Command) {
	c.Flags().BoolVar(&a.asJSON, "json", false, "the answer as JSON")
}

// caller is one command that asks a farm, with where its answer goes.
type caller struct {
	*api.Client
	out, errs io.Writer
	asJSON    bool
}

// say writes a line for people, as far as that can be had.
func (c *caller) say(format string, args ...any) {
	fmt.Fprintln(c.errs, codepage.PrintableString(fmt.Sprintf(format, args...))) //nolint:errcheck // nowhere left to say it
}

// writeText writes text for people, who may be at a terminal.
func (c *caller) writeText(text string) error {
	_, err := io.WriteString(c.out, codepage.PrintableString(text))
	return err
}

// answered gives what a farm refuses the code that it ends the program with.
func answered(err error) error {
	var known exit
	var refused *api.Problem
	switch {
	case err == nil, errors.As(err, &known):
		return err
	case errors.As(err, &refused):
		if refused.Status == http.StatusUnauthorized {
			err = fmt.Errorf("%w\nset ZFARM_TOKEN, or say --token-file FILE; an admin makes a token with zfarm token add", err)
		}
		return exit{statusCode(refused.Status), err}
	case away(err):
		return exit{serverAway, fmt.Errorf("%w\nis this the address of the farm, and is it served (zfarm serve)?", err)}
	}
	return err
}

// away reports whether the farm, or the way to it, is not there now.
func away(err error) bool {
	var refused *api.Problem
	if errors.As(err, &refused) {
		return statusCode(refused.Status) == serverAway
	}
	var broken *url.Error
	return errors.As(err, &broken)
}

// statusCode is the exit code for an answer that is no success (RFC 9110).
func statusCode(status int) int {
	switch status {
	case http.StatusUnauthorized, http.StatusForbidden:
		return notAllowed
	case http.StatusTooManyRequests, http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		return serverAway
	case http.StatusInternalServerError:
		return otherError
	}
	return usageError
}

// missing reports whether the farm does not know what was asked for.
func missing(err error) bool {
	var refused *api.Problem
	return errors.As(err, &refused) && refused.Status == http.StatusNotFound
}

// How long a command that waits for builds does without the farm: it may be
// stopped and begun again in between.
const (
	patience = 10 * time.Minute
	askAgain = 2 * time.Second
)

// patiently calls wait again while the farm is away.
func (c *caller) patiently(ctx context.Context, wait func() error) error {
	var since time.Time
	for {
		begun := time.Now()
		err := wait()
		if err == nil || !away(err) || ctx.Err() != nil {
			return err
		}
		if since.IsZero() || time.Since(begun) > time.Minute {
			since = begun
			c.say("the farm is away (%v); waiting for it for up to %s", err, patience)
		}
		if time.Since(since) > patience {
			return err
		}
		if err := rest(ctx, askAgain); err != nil {
			return err
		}
	}
}

// rest returns nil after a while, or the error of ctx when that ends.
func rest(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return nil
	}
}

// await returns the build once it has ended, and tells every event up to then.
func (c *caller) await(ctx context.Context, id string, tell func(orchestrator.Event) error) (store.Build, error) {
	var b store.Build
	var after int64
	told := func(e orchestrator.Event) error {
		after = e.Seq
		return tell(e)
	}
	err := c.patiently(ctx, func() (err error) {
		if b, err = c.Build(ctx, id); err != nil || b.State().Over() {
			return err
		}
		return c.FollowEvents(ctx, after, id, func(e orchestrator.Event) (err error) {
			if err := told(e); err != nil || !e.To.Over() {
				return err
			}
			if b, err = c.Build(ctx, id); err == nil && b.State().Over() {
				return api.ErrEnough
			}
			return err
		})
	})
	if err != nil {
		return b, err
	}
	// The build may have been over before the stream had told all of it.
	return b, c.pastEvents(ctx, after, id, told)
}

// pastEvents tells the events there are after a number, oldest first.
func (c *caller) pastEvents(ctx context.Context, after int64, build string, tell func(orchestrator.Event) error) error {
	const page = 500
	for {
		all, err := c.Events(ctx, after, build, page)
		if err != nil {
			return err
		}
		for _, e := range all {
			if err := tell(e); err != nil {
				return err
			}
			after = max(after, e.Seq)
		}
		if len(all) < page {
			return nil
		}
	}
}
