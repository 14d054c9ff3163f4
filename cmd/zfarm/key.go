// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"os"

	"github.com/spf13/cobra"

	"github.com/zfarm/zfarm/attest"
	"github.com/zfarm/zfarm/attest/cosign"
	"github.com/zfarm/zfarm/attest/keys"
)

// keyFlags name the signing key.
type keyFlags struct {
	key          string
	passwordFile string
	passwordEnv  string // instead of the usual variable
}

func (f *keyFlags) add(c *cobra.Command) {
	c.Flags().StringVar(&f.key, "key", "", "encrypted private key to sign with; made by zfarm key generate or by cosign")
	c.Flags().StringVar(&f.passwordFile, "key-password-file", "", "file with the key's password (else $"+keys.PasswordVariable+", else the terminal)")
}

// signer is what signs; nil where nothing is to be signed.
type signer attest.Signer

// signer opens the key. Without one both values are nil.
func (f *keyFlags) signer(ctx context.Context) (signer, []byte, error) {
	if f.key == "" {
		return nil, nil, nil
	}
	ref, err := keys.ParseRef(f.key)
	if err != nil {
		return nil, nil, exit{usageError, err}
	}
	private, err := keys.ReadPrivate(ref.Path)
	if err != nil {
		return nil, nil, exit{notSigned, err}
	}
	password, err := f.password(ctx, "Password of "+ref.Path+": ")
	if err != nil {
		return nil, nil, exit{notSigned, err}
	}
	s, err := cosign.NewSigner(private, password)
	if err != nil {
		return nil, nil, exit{notSigned, err}
	}
	return s, s.PublicKey(), nil
}

func (f *keyFlags) password(ctx context.Context, question string) ([]byte, error) {
	look := os.LookupEnv
	if f.passwordEnv != "" {
		look = func(string) (string, bool) { return os.LookupEnv(f.passwordEnv) }
	}
	return keys.Password(ctx, keys.File(f.passwordFile), keys.Env(look), keys.Prompt(os.Stdin, question))
}

// trustedRoot is what stock verifiers want beside the key.
func trustedRoot() []byte { return cosign.TrustedRoot() }

func keyCommand() *cobra.Command {
	c := &cobra.Command{Use: "key", Short: "Make signing keys"}
	var f keyFlags
	var out string
	generate := &cobra.Command{
		Use:   "generate",
		Short: "Make an encrypted key pair, NAME.key and NAME.pub",
		Long: `Make an encrypted key pair, NAME.key and NAME.pub, that cosign can read too.

A key in a file is for evaluation: whoever reads the file and knows the password
can sign. Keep it where no build can reach it.`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			password, err := f.password(c.Context(), "Password for the new key: ")
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
	generate.Flags().StringVar(&out, "out", "zfarm", "where to write the pair, without the endings")
	generate.Flags().StringVar(&f.passwordFile, "key-password-file", "", "file with the key's password (else $"+keys.PasswordVariable+", else the terminal)")
	c.AddCommand(generate)
	return c
}
