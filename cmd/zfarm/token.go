// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/zfarm/zfarm/orchestrator/api/wire"
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
		Long: `Make a token, and show its secret once, alone on standard output, so that it can be
piped to where it is kept. The farm remembers a digest of it only.

The roles: a reader sees everything but tokens and the audit; release collects
artifacts, too; a maintainer submits and changes builds of its --port patterns; an
admin may do everything. The first token of a farm is made on the machine that serves
it: zfarm token add --farm farm.hcl --name NAME --role admin.`,
		Args: cobra.NoArgs,
	}, func(ctx context.Context, c *session, _ []string) error {
		if name == "" {
			return exit{usageError, errors.New("a token needs --name: whose it is")}
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
	c.Flags().StringVar(&name, "name", "", "whose it is; the owner of what is submitted with it")
	c.Flags().StringSliceVar(&roles, "role", nil, "reader, release, maintainer or admin; may be given again")
	c.Flags().StringSliceVar(&ports, "port", nil, "pattern of the ports a maintainer may change, such as gzip or 'lib*'; may be given again")
	c.Flags().StringVar(&expires, "expires", "90d", "how long it holds, in days (90d), or hours and minutes (1h30m)")
	return c
}

// lifetime reads a length of time above zero; a day has 24 hours.
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
		return 0, fmt.Errorf("--expires %q: write days, such as 90d, or hours and minutes, such as 1h30m, above zero and up to 100 years", s)
	}
	return d, nil
}

func (c *session) writeToken(made wire.MadeToken) error {
	if c.asJSON {
		return writeJSON(c.out, made)
	}
	c.notice("token %s of %s (%s) holds until %s.\nIts secret is shown this once: keep it where only its owner can read it, and hand it to\ncommands as ZFARM_TOKEN or with --token-file.",
		made.Token.ID, made.Token.Name, strings.Join(made.Token.Roles, ", "), clock(made.Token.Expires))
	_, err := fmt.Fprintln(c.out, made.Secret)
	return err
}

func tokenListCommand() *cobra.Command {
	var a commandBase
	c := a.command(&cobra.Command{Use: "list", Short: "List the tokens, without their secrets", Args: cobra.NoArgs},
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
		c.notice("no token; zfarm token add makes one")
		return nil
	}
	now := time.Now()
	t := table{columns: []column{{head: "TOKEN"}, {head: "NAME", most: 24}, {head: "STATE", state: true}, {head: "EXPIRES"}, {head: "ROLES"}, {head: "PORTS"}}}
	for _, x := range all {
		state := "good"
		switch {
		case x.Revoked:
			state = "revoked"
		case !x.Expires.IsZero() && !now.Before(x.Expires):
			state = "expired"
		}
		t.add(x.ID, x.Name, state, ago(x.Expires, now), strings.Join(x.Roles, ","), strings.Join(x.Ports, ","))
	}
	return t.write(c.out)
}

func tokenRevokeCommand() *cobra.Command {
	var a commandBase
	return a.command(&cobra.Command{Use: "revoke TOKEN", Short: "Revoke a token by its id, at once and for good", Args: cobra.ExactArgs(1)},
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
	c := a.command(&cobra.Command{Use: "audit", Short: "Show every change that was asked for, refused ones too, oldest first", Args: cobra.NoArgs},
		func(ctx context.Context, c *session, _ []string) error { return c.audit(ctx, after) })
	c.Flags().BoolVar(&a.asJSON, "json", false, "one entry a line, as JSON")
	c.Flags().Int64Var(&after, "after", 0, "only entries with a higher number")
	return c
}

// audit writes entries as it gets them: there may be very many.
func (c *session) audit(ctx context.Context, after int64) error {
	const page = 500
	lines := json.NewEncoder(c.out)
	for {
		all, err := c.Audit(ctx, after, page)
		if err != nil {
			return err
		}
		t := table{columns: []column{{}, {}, {most: 20}, {}, {state: true}, {}}}
		for _, e := range all {
			after = max(after, e.Seq)
			if c.asJSON {
				if err := lines.Encode(e); err != nil {
					return err
				}
				continue
			}
			done := "done"
			if e.Refused {
				done = "refused"
			}
			t.add(strconv.FormatInt(e.Seq, 10), clock(e.At), e.Who, e.What, done, strings.TrimSpace(e.Subject+" "+e.Detail))
		}
		if err := t.write(c.out); err != nil || len(all) < page {
			return err
		}
	}
}
