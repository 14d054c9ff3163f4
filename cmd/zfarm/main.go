// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

// Command zfarm builds ports from recipes on workers, compares repeated builds and
// signs what was reproduced. It has the flags, the output and the exit codes;
// orchestrator/farm assembles a farm.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/zfarm/zfarm/workers/codepage"
)

func main() {
	if err := protectMemory(); err != nil {
		fmt.Fprintln(os.Stderr, "zfarm: keeping other processes from reading the memory of this one:", err)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := run(ctx, os.Args[1:], os.Stdin, os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}

// run is main with its environment as parameters.
func run(ctx context.Context, args []string, in io.Reader, out, errs io.Writer) int {
	root := rootCommand()
	root.SetIn(in)
	root.SetOut(out)
	root.SetErr(errs)
	root.SetArgs(args)
	begun := false
	root.PersistentPreRun = func(*cobra.Command, []string) { begun = true }
	err := root.ExecuteContext(ctx)
	if err == nil {
		return 0
	}
	if !begun { // no command took the arguments
		err = exit{usageError, err}
	}
	code := codeOf(ctx, err)
	if text := err.Error(); text != "" {
		fmt.Fprintln(errs, "zfarm:", codepage.PrintableString(text)) //nolint:errcheck // nowhere left to say it
	}
	return code
}

// rootCommand has all commands below it.
func rootCommand() *cobra.Command {
	root := &cobra.Command{
		Use:           "zfarm",
		Short:         "Build ports reproducibly, and prove it",
		SilenceUsage:  true,
		SilenceErrors: true,
	}
	root.CompletionOptions.HiddenDefaultCmd = true
	root.AddCommand(buildCommand(), compareCommand(), demoCommand(), recipeCommand(), verifyCommand(), keyCommand(), workerCommand(), pluginCommand(), versionCommand(), serveCommand(), dbCommand(),
		submitCommand(), logsCommand(), eventsCommand(), releaseCommand(), tokenCommand(), auditCommand())
	root.AddCommand(buildCommands()...)
	root.SetFlagErrorFunc(func(c *cobra.Command, err error) error {
		return fmt.Errorf("%w\nsee %s --help", err, c.CommandPath())
	})
	return root
}

// errShown is an error whose message has been shown already.
var errShown = errors.New("")
