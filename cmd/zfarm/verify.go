// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/zfarm/zfarm/attest"
	"github.com/zfarm/zfarm/attest/cosign"
	"github.com/zfarm/zfarm/attest/keys"
	"github.com/zfarm/zfarm/attest/kit"
	"github.com/zfarm/zfarm/attest/statement"
)

func verifyCommand() *cobra.Command {
	var key string
	var asJSON bool
	c := &cobra.Command{
		Use:   "verify FOLDER",
		Short: "Check a folder of artifacts and bundles, offline",
		Long: `Check a folder of artifacts and bundles offline, and show what was checked and what
was not.

Give the key that you trust with --key. It must have come to you by another way than
the folder. Without --key the key in the folder is used, and you trust the folder.`,
		Example: "  zfarm verify gzip-1.12 --key farm.pub",
		Args:    cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			return verifyFolder(c.Context(), args[0], key, asJSON, c.OutOrStdout())
		},
	}
	c.Flags().StringVar(&key, "key", "", "public key that must have signed")
	c.Flags().BoolVar(&asJSON, "json", false, "write the report as JSON")
	return c
}

// verifying says how to verify folders; with nil options they are not verified.
type verifying struct{ options *kit.Options }

// newVerifying trusts the key in a file, or, for "", the one in the folder.
func newVerifying(key string) (verifying, error) {
	options := kit.Options{Open: func(public []byte) (attest.Verifier, error) { return cosign.NewVerifier(public) }}
	if key != "" {
		public, err := keys.ReadPublic(key)
		if err != nil {
			return verifying{}, exit{usageError, err}
		}
		options.PublicKey = public
	}
	// Accept builds on a user's own machine as well: the report names the builder.
	options.Builders = append(statement.Builders(), statement.BuilderLocal)
	return verifying{&options}, nil
}

// check refuses a folder that does not verify.
func (v verifying) check(ctx context.Context, dir string) error {
	if v.options == nil {
		return nil
	}
	_, err := kit.Verify(ctx, dir, *v.options)
	return err
}

func verifyFolder(ctx context.Context, dir, key string, asJSON bool, out io.Writer) error {
	v, err := newVerifying(key)
	if err != nil {
		return err
	}
	report, verdict := kit.Verify(ctx, dir, *v.options)
	if verdict != nil && !errors.Is(verdict, attest.ErrNotVerified) {
		return verdict
	}
	show := report.WriteText
	if asJSON {
		show = func(w io.Writer) error { return writeJSON(w, report) }
	}
	if err := show(out); err != nil {
		return fmt.Errorf("writing the report: %w", err)
	}
	return verdict
}
