// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"os"

	"github.com/spf13/cobra"

	"github.com/zfarm/zfarm/attest/cosign"
	"github.com/zfarm/zfarm/attest/keys"
	"github.com/zfarm/zfarm/orchestrator/farm"
	"github.com/zfarm/zfarm/orchestrator/farmfile"
)

// keyFlags name the signing key.
type keyFlags struct {
	key          string
	passwordFile string
}

func (f *keyFlags) add(c *cobra.Command) {
	c.Flags().StringVar(&f.key, "key", "", "encrypted private key to sign with, from zfarm key generate or cosign")
	c.Flags().StringVar(&f.passwordFile, "key-password-file", "", "file with the password of the key (default $"+keys.PasswordVariable+", then the terminal)")
}

// signer opens the key; nil if none is named.
func (f *keyFlags) signer(ctx context.Context) (farm.Signer, error) {
	if f.key == "" {
		return nil, nil
	}
	ref, err := keys.ParseRef(f.key)
	if err != nil {
		return nil, exit{usageError, err}
	}
	return openKey(ctx, farmfile.Signing{Key: ref, PasswordFile: f.passwordFile})
}

// openKey opens a signing key. If the password comes from nowhere else, it prompts for
// it at the terminal.
func openKey(ctx context.Context, s farmfile.Signing) (farm.Signer, error) {
	return farm.OpenKey(ctx, s, keys.Prompt(os.Stdin, "Password of "+s.Key.Path+": "))
}

func keyCommand() *cobra.Command {
	c := &cobra.Command{Use: "key", Short: "Generate signing keys"}
	var f keyFlags
	var out string
	generate := &cobra.Command{
		Use:   "generate",
		Short: "Generate an encrypted key pair, NAME.key and NAME.pub",
		Long: `Generate an encrypted key pair, NAME.key and NAME.pub, which cosign can read too.

A key in a file is for evaluation: whoever has the file and its password can sign.
Keep it where no build can read it.`,
		Example: "  zfarm key generate --out farm --key-password-file password",
		Args:    cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			password, err := farm.Password(c.Context(), farmfile.Signing{PasswordFile: f.passwordFile}, keys.Prompt(os.Stdin, "Password for the new key: "))
			if err != nil {
				return exit{usageError, err}
			}
			if len(password) == 0 {
				return exit{usageError, errors.New("the password is empty: whoever reads the file could sign")}
			}
			private, public, err := cosign.GenerateKey(password)
			if err != nil {
				return err
			}
			if err := keys.WritePair(out, private, public); err != nil {
				return err
			}
			_, err = fmt.Fprintf(c.OutOrStdout(), "wrote %s.key (keep it) and %s.pub (give it to whoever verifies)\n", out, out)
			return err
		},
	}
	generate.Flags().StringVar(&out, "out", "zfarm", "path of the pair, without .key and .pub")
	generate.Flags().StringVar(&f.passwordFile, "key-password-file", "", "file with the password of the key (default $"+keys.PasswordVariable+", then the terminal)")
	c.AddCommand(generate)
	return c
}
