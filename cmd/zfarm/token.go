// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/zfarm/zfarm/orchestrator/api/wire"
	"github.com/zfarm/zfarm/workers/humanize"
)

func tokenCommand() *cobra.Command {
	c := &cobra.Command{Use: "token", Short: "Make, list and revoke the tokens that a farm takes"}
	c.AddCommand(tokenAddCommand(), tokenListCommand(), tokenRevokeCommand())
	return c
}

func tokenAddCommand() *cobra.Command {
	var a commandBase
	var name, expires string
	var roles, ports []string
	c := a.command(&cobra.Command{
		Use:   "add --name NAME --role ROLE ...",
		Short: "Make a token, and show its secret once",
		Long: `Make a token, and print its secret once: it is the only text on standard output, so
that it can be piped into a file. The farm keeps a digest of the secret, not the secret.

The roles: reader sees everything but tokens and the audit; release may also collect
artifacts; maintainer may submit and change builds of its --port patterns; admin may do
everything. Make the first token of a farm on the machine that serves it, with --farm.`,
		Example: "  (umask 077; zfarm token add --farm farm.hcl --name ann --role admin > ann.token)",
		Args:    cobra.NoArgs,
	}, func(ctx context.Context, c *session, _ []string) error {
		if name == "" {
			return exit{usageError, errors.New("a token needs --name, the name of its owner")}
		}
		want := wire.NewToken{Name: name, Ports: ports}
		for _, r := range roles {
			want.Roles = append(want.Roles, wire.Role(r))
		}
		if err := wire.CheckRoles(want.Roles, ports); err != nil {
			return exit{usageError, fmt.Errorf("%w; give --role ROLE, and --port PATTERN for a maintainer", err)}
		}
		life, err := lifetime(expires)
		if err != nil {
			return exit{usageError, err}
		}
		want.Expires = time.Now().Add(life)
		made, err := c.AddToken(ctx, want)
		if err != nil {
			return err
		}
		return c.writeToken(made)
	})
	a.json(c)
	c.Flags().StringVar(&name, "name", "", "the owner of the token, and of the builds submitted with it")
	c.Flags().StringSliceVar(&roles, "role", nil, "reader, release, maintainer or admin; may be repeated")
	c.Flags().StringSliceVar(&ports, "port", nil, "pattern of the ports a maintainer may change, such as gzip or 'lib*'; may be repeated")
	c.Flags().StringVar(&expires, "expires", "90d", "how long the token is valid, in days (90d), or hours and minutes (1h30m)")
	return c
}

// lifetime parses a duration above zero; a day has 24 hours.
func lifetime(s string) (time.Duration, error) {
	var d time.Duration
	var err error
	if days, ok := strings.CutSuffix(s, "d"); ok {
		var n int
		n, err = strconv.Atoi(days)
		d = time.Duration(n) * 24 * time.Hour
		if n > 36500 {
			err = errors.New("too long")
		}
	} else {
		d, err = time.ParseDuration(s)
	}
	if err != nil || d <= 0 {
		return 0, fmt.Errorf("--expires %q: give days, such as 90d, or hours and minutes, such as 1h30m; more than zero, up to 100 years", s)
	}
	return d, nil
}

func (c *session) writeToken(made wire.MadeToken) error {
	if c.asJSON {
		return writeJSON(c.out, made)
	}
	c.notice("token %s of %s (%s) is valid until %s.\nIts secret is shown only now: keep it where only its owner can read it, and give it to\ncommands as ZFARM_TOKEN or with --token-file.",
		made.Token.ID, made.Token.Name, strings.Join(made.Token.Roles, ", "), humanize.Time(made.Token.Expires))
	_, err := fmt.Fprintln(c.out, made.Secret)
	return err
}

func tokenListCommand() *cobra.Command {
	var a commandBase
	c := a.command(&cobra.Command{
		Use: "list", Short: "List the tokens, without their secrets", Args: cobra.NoArgs,
		Example: "  zfarm token list --json",
	},
		func(ctx context.Context, c *session, _ []string) error {
			all, err := c.Tokens(ctx)
			if err != nil {
				return err
			}
			if c.asJSON {
				return writeJSON(c.out, struct {
					Tokens []wire.Token `json:"tokens"`
				}{all})
			}
			return c.writeTokens(all)
		})
	a.json(c)
	return c
}

func (c *session) writeTokens(all []wire.Token) error {
	if len(all) == 0 {
		c.notice("there is no token; zfarm token add makes one")
		return nil
	}
	return tableOf(all, tokenColumns(time.Now())).write(c.out)
}

// tokenColumns are the columns of zfarm token list.
func tokenColumns(now time.Time) []column[wire.Token] {
	state := func(t wire.Token) string {
		switch {
		case t.Revoked:
			return "revoked"
		case !t.Expires.IsZero() && !now.Before(t.Expires):
			return "expired"
		}
		return "good"
	}
	return []column[wire.Token]{
		{style{head: "TOKEN"}, func(t wire.Token) string { return t.ID }},
		{style{head: "NAME", most: 24}, func(t wire.Token) string { return t.Name }},
		{style{head: "STATE", state: true}, state},
		{style{head: "EXPIRES"}, func(t wire.Token) string { return humanize.Ago(t.Expires, now) }},
		{style{head: "ROLES"}, func(t wire.Token) string { return strings.Join(t.Roles, ",") }},
		{style{head: "PORTS"}, func(t wire.Token) string { return strings.Join(t.Ports, ",") }},
	}
}

func tokenRevokeCommand() *cobra.Command {
	var a commandBase
	return a.command(&cobra.Command{
		Use: "revoke TOKEN", Short: "Revoke a token by its id, at once and for good", Args: cobra.ExactArgs(1),
		Example: "  zfarm token revoke 5f0c1a7be2d34c98",
	},
		func(ctx context.Context, c *session, args []string) error {
			if err := c.RevokeToken(ctx, args[0]); err != nil {
				return err
			}
			return c.writeText("revoked token " + args[0] + "\n")
		})
}

func auditCommand() *cobra.Command {
	var a commandBase
	var after int64
	c := a.command(&cobra.Command{
		Use: "audit", Short: "Show every change that was requested, refused ones too, oldest first", Args: cobra.NoArgs,
		Example: "  zfarm audit --after 1200 --json",
	},
		func(ctx context.Context, c *session, _ []string) error { return c.audit(ctx, after) })
	c.Flags().BoolVar(&a.asJSON, "json", false, "print each entry as JSON on a line of its own")
	c.Flags().Int64Var(&after, "after", 0, "only entries with a higher number")
	return c
}

// audit prints entries page by page: there may be very many.
func (c *session) audit(ctx context.Context, after int64) error {
	const page = 500
	for {
		all, err := c.Audit(ctx, after, page)
		if err != nil {
			return err
		}
		for _, e := range all {
			after = max(after, e.Seq)
			if c.asJSON {
				if err := writeJSONLine(c.out, e); err != nil {
					return err
				}
			}
		}
		if !c.asJSON {
			if err := tableOf(all, auditColumns()).write(c.out); err != nil {
				return err
			}
		}
		if len(all) < page {
			return nil
		}
	}
}

// auditColumns are the columns of zfarm audit.
func auditColumns() []column[wire.Audit] {
	result := func(e wire.Audit) string {
		if e.Refused {
			return "refused"
		}
		return "done"
	}
	return []column[wire.Audit]{
		{style{}, func(e wire.Audit) string { return strconv.FormatInt(e.Seq, 10) }},
		{style{}, func(e wire.Audit) string { return humanize.Time(e.At) }},
		{style{most: 20}, func(e wire.Audit) string { return e.Who }},
		{style{}, func(e wire.Audit) string { return e.What }},
		{style{state: true}, result},
		{style{}, func(e wire.Audit) string { return strings.TrimSpace(e.Subject + " " + e.Detail) }},
	}
}
