// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

package keys

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"

	"golang.org/x/term"
)

// PasswordVariable is the environment variable that [Env] looks up.
const PasswordVariable = "ZFARM_KEY_PASSWORD"

// Source is one place that may have a password. It returns false if it has
// none; then the next source is asked.
type Source func(ctx context.Context) ([]byte, bool, error)

// Password asks the sources in order and returns the first password.
func Password(ctx context.Context, sources ...Source) ([]byte, error) {
	for _, source := range sources {
		if err := ctx.Err(); err != nil {
			return nil, fmt.Errorf("finding key password: %w", err)
		}
		password, ok, err := source(ctx)
		if err != nil {
			return nil, fmt.Errorf("finding key password: %w", err)
		}
		if ok {
			return password, nil
		}
	}
	return nil, fmt.Errorf("finding key password: there is none; set %s, name a password file, or use a terminal", PasswordVariable)
}

// Env gets the password from the variable [PasswordVariable], with a function
// such as os.LookupEnv. A variable that is set is the password, even if it is
// empty.
func Env(lookup func(string) (string, bool)) Source {
	return func(context.Context) ([]byte, bool, error) {
		value, ok := lookup(PasswordVariable)
		return []byte(value), ok, nil
	}
}

// File gets the password from a file that only its owner may read, without the
// last newline. The empty path has no password.
func File(path string) Source {
	return func(context.Context) ([]byte, bool, error) {
		if path == "" {
			return nil, false, nil
		}
		b, err := readSecret("password file", path)
		if err != nil {
			return nil, false, err
		}
		return bytes.TrimSuffix(bytes.TrimSuffix(b, []byte("\n")), []byte("\r")), true, nil
	}
}

// Prompt asks the person at the terminal tty for the password, without echo. A
// file that is not a terminal has no password.
func Prompt(tty *os.File, question string) Source {
	return func(ctx context.Context) ([]byte, bool, error) {
		fd := int(tty.Fd())
		if !term.IsTerminal(fd) {
			return nil, false, nil
		}
		before, err := term.GetState(fd)
		if err != nil {
			return nil, false, err
		}
		if _, err := fmt.Fprint(tty, question); err != nil {
			return nil, false, err
		}
		type answer struct {
			password []byte
			err      error
		}
		answered := make(chan answer, 1)
		go func() {
			password, err := term.ReadPassword(fd)
			answered <- answer{password, err}
		}()
		select {
		case a := <-answered:
			_, err := fmt.Fprintln(tty)
			return a.password, true, errors.Join(a.err, err)
		case <-ctx.Done(): // the read blocks until there is input; restore the echo now
			return nil, false, errors.Join(ctx.Err(), term.Restore(fd, before))
		}
	}
}
