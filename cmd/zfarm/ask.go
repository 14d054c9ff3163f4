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

	"github.com/zfarm/zfarm/orchestrator/api/client"
	"github.com/zfarm/zfarm/orchestrator/api/wire"
	"github.com/zfarm/zfarm/workers/codepage"
)

// commandBase has the flags of every command that calls a farm: which farm, and whether
// to print its answer as JSON.
type commandBase struct {
	farm   serverFlags
	asJSON bool
}

// command makes c a command that calls a farm: run gets a session with it.
func (a *commandBase) command(c *cobra.Command, run func(context.Context, *session, []string) error) *cobra.Command {
	a.farm.add(c)
	c.RunE = func(c *cobra.Command, args []string) error {
		farm, closeFarm, err := a.farm.client(c.Context(), c.ErrOrStderr())
		if err != nil {
			return err
		}
		defer closeFarm()
		s := &session{Client: farm, out: c.OutOrStdout(), errs: c.ErrOrStderr(), asJSON: a.asJSON}
		return withExitCode(run(c.Context(), s, args))
	}
	return c
}

// json adds --json.
func (a *commandBase) json(c *cobra.Command) {
	c.Flags().BoolVar(&a.asJSON, "json", false, "print the answer as JSON")
}

// session is the state of one command while it runs: a client of the farm, and the
// writers for its output.
type session struct {
	*client.Client
	out, errs io.Writer
	asJSON    bool
}

// notice writes a line for people to standard error.
func (c *session) notice(format string, args ...any) {
	fmt.Fprintln(c.errs, codepage.PrintableString(fmt.Sprintf(format, args...))) //nolint:errcheck // nowhere left to say it
}

// writeText writes text for people, who may read it on a terminal.
func (c *session) writeText(text string) error {
	_, err := io.WriteString(c.out, codepage.PrintableString(text))
	return err
}

// withExitCode gives an error of a farm its exit code.
func withExitCode(err error) error {
	var known exit
	var refused *client.Problem
	switch {
	case err == nil, errors.As(err, &known):
		return err
	case errors.As(err, &refused):
		if refused.Status == http.StatusUnauthorized {
			err = fmt.Errorf("%w\nset ZFARM_TOKEN, or give --token-file FILE; an admin makes a token with zfarm token add", err)
		}
		return exit{statusCode(refused.Status), err}
	case unreachable(err):
		return exit{serverAway, fmt.Errorf("%w\ncheck the address of the farm, and that zfarm serve runs there", err)}
	}
	return err
}

// unreachable reports whether an error means that the farm cannot be reached or cannot
// answer now.
func unreachable(err error) bool {
	var refused *client.Problem
	if errors.As(err, &refused) {
		return statusCode(refused.Status) == serverAway
	}
	var broken *url.Error
	return errors.As(err, &broken)
}

// statusCode returns the exit code for an unsuccessful HTTP status (RFC 9110).
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

// notFound reports whether an error means that the farm does not know what was
// requested.
func notFound(err error) bool {
	var refused *client.Problem
	return errors.As(err, &refused) && refused.Status == http.StatusNotFound
}

// How long a command that waits for builds keeps trying while the farm cannot
// be reached: it may be restarted meanwhile.
const (
	maxUnreachable = 10 * time.Minute
	retryPause     = 2 * time.Second
)

// retryWhileUnreachable calls do again while the farm cannot be reached.
func (c *session) retryWhileUnreachable(ctx context.Context, do func() error) error {
	var since time.Time
	for {
		begun := time.Now()
		err := do()
		if err == nil || !unreachable(err) || ctx.Err() != nil {
			return err
		}
		if since.IsZero() || time.Since(begun) > time.Minute {
			since = begun
			c.notice("the farm cannot be reached (%v); trying again for up to %s", err, maxUnreachable)
		}
		if time.Since(since) > maxUnreachable {
			return err
		}
		if err := sleep(ctx, retryPause); err != nil {
			return err
		}
	}
}

// sleep returns nil after a while, or the error of ctx when that ends.
func sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return nil
	}
}

// await returns the build once it has ended, and passes every event up to then to show.
func (c *session) await(ctx context.Context, id string, show func(wire.Event) error) (wire.Build, error) {
	var b wire.Build
	var after int64
	shown := func(e wire.Event) error {
		after = e.Seq
		return show(e)
	}
	err := c.retryWhileUnreachable(ctx, func() (err error) {
		if b, err = c.Build(ctx, id); err != nil || b.State.Over() {
			return err
		}
		return c.FollowEvents(ctx, after, id, func(e wire.Event) (err error) {
			if err := shown(e); err != nil || !e.To.Over() {
				return err
			}
			if b, err = c.Build(ctx, id); err == nil && b.State.Over() {
				return client.ErrEnough
			}
			return err
		})
	})
	if err != nil {
		return b, err
	}
	// The build may have ended before the stream had sent all of its events.
	return b, c.pastEvents(ctx, after, id, shown)
}

// pastEvents passes the events after a number to show, oldest first.
func (c *session) pastEvents(ctx context.Context, after int64, build string, show func(wire.Event) error) error {
	const page = 500
	for {
		all, err := c.Events(ctx, after, build, page)
		if err != nil {
			return err
		}
		for _, e := range all {
			if err := show(e); err != nil {
				return err
			}
			after = max(after, e.Seq)
		}
		if len(all) < page {
			return nil
		}
	}
}
