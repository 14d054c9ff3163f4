// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"archive/tar"
	"bytes"
	"context"
	"crypto/rand"
	"embed"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"github.com/zfarm/zfarm/attest"
	"github.com/zfarm/zfarm/attest/cosign"
	"github.com/zfarm/zfarm/attest/keys"
)

// demoPorts are two small ports: one whose output never changes, and one whose output
// depends on when and where it was built.
//
//go:embed demo
var demoPorts embed.FS

func demoCommand() *cobra.Command {
	var dir string
	c := &cobra.Command{
		Use:   "demo",
		Short: "Build two small ports on this machine: one that reproduces, one that does not",
		Long: `Build two small ports twice each, on two workers of this machine.

The first is the same both times: it is signed and verified, and refused after one
byte of it was changed. The second embeds the time and the path of its build: zfarm
names every difference and does not release it. Nothing is installed, and nothing is
fetched from the network.`,
		Example: "  zfarm demo --dir /tmp/zfarm-demo",
		Args:    cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			return demo(c.Context(), dir, c.OutOrStdout(), c.ErrOrStderr())
		},
	}
	c.Flags().StringVar(&dir, "dir", "", "folder to work in (default: a new one in the system's temporary folder)")
	return c
}

func demo(ctx context.Context, dir string, out, errs io.Writer) error {
	if err := needCompiler(exec.LookPath); err != nil {
		return err
	}
	dir, err := demoFolder(dir)
	if err != nil {
		return err
	}
	d := &demonstration{dir: dir, out: out, errs: errs}
	for _, act := range []func(context.Context) error{d.prepare, d.steady, d.tamper, d.stamped} {
		if err := act(ctx); err != nil {
			return err
		}
	}
	d.say(`
Where to look next, in %s:
  signed/          artifact, bundles and key; verify.txt has the commands for stock cosign
  not-released/    the signed statement that the second port does not reproduce
  ports/           both recipes and their sources
Then: zfarm build RECIPE --worker ssh://user@host/folder, and docs/.
`, d.dir)
	return nil
}

// needCompiler returns what to install if there is no C compiler.
func needCompiler(look func(string) (string, error)) error {
	for _, name := range []string{"cc", "gcc", "clang"} {
		if _, err := look(name); err == nil {
			return nil
		}
	}
	return exit{workerUnfit, errors.New("the demo compiles two small C programs, and there is no C compiler (cc, gcc or clang) on this machine.\n" +
		"Install one: apt-get install gcc libc6-dev (Debian, Ubuntu), dnf install gcc (Fedora), xcode-select --install (macOS)")}
}

func demoFolder(dir string) (string, error) {
	if dir == "" {
		return os.MkdirTemp("", "zfarm-demo-")
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", err
	}
	return filepath.Abs(dir)
}

// demonstration is a running demo.
type demonstration struct {
	dir       string
	out, errs io.Writer
}

func (d *demonstration) say(format string, a ...any) {
	fmt.Fprintf(d.out, format+"\n", a...) //nolint:errcheck // nowhere left to say it
}

func (d *demonstration) path(elem ...string) string {
	return filepath.Join(append([]string{d.dir}, elem...)...)
}

// prepare writes recipes, sources and a key.
func (d *demonstration) prepare(context.Context) error {
	ports, err := fs.Sub(demoPorts, "demo")
	if err != nil {
		return err
	}
	for _, port := range []string{"steady", "stamped"} {
		recipe, err := fs.ReadFile(ports, port+"/recipe.hcl")
		if err != nil {
			return err
		}
		source, err := demoSource(ports, port)
		if err != nil {
			return err
		}
		if err := errors.Join(os.MkdirAll(d.path("ports", port), 0o755), os.MkdirAll(d.path("ports", "sources"), 0o755),
			os.WriteFile(d.path("ports", port, "recipe.hcl"), recipe, 0o644),
			os.WriteFile(d.path("ports", "sources", port+"-1.0.tar"), source, 0o644)); err != nil {
			return err
		}
	}
	password := rand.Text()
	private, public, err := cosign.GenerateKey([]byte(password))
	if err != nil {
		return err
	}
	return errors.Join(os.WriteFile(d.path("password"), []byte(password+"\n"), 0o600), keys.WritePair(d.path("demo"), private, public))
}

// demoSource packs the sources of a demo port into the same bytes each time: the recipe
// pins them.
func demoSource(ports fs.FS, port string) ([]byte, error) {
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	files, err := fs.Glob(ports, port+"/source/*")
	if err != nil {
		return nil, err
	}
	for _, name := range files {
		content, err := fs.ReadFile(ports, name)
		if err != nil {
			return nil, err
		}
		header := &tar.Header{Format: tar.FormatUSTAR, Name: port + "-1.0/" + path.Base(name), Mode: 0o644, Size: int64(len(content)),
			ModTime: time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)}
		if err := w.WriteHeader(header); err != nil {
			return nil, err
		}
		if _, err := w.Write(content); err != nil {
			return nil, err
		}
	}
	return b.Bytes(), w.Close()
}

// build builds one of the ports on two workers of this machine.
func (d *demonstration) build(ctx context.Context, port, out string) error {
	f := buildFlags{
		connect: connectFlags{lease: 10 * time.Second, workers: []string{
			"local:one?root=" + d.path("one"), "local:two?root=" + d.path("two")}},
		fetch:   fetchFlags{mirrors: []string{d.path("ports", "sources")}, offline: true},
		key:     keyFlags{key: d.path("demo.key"), passwordFile: d.path("password")},
		state:   d.path("state"),
		out:     d.path(out),
		members: 20,
	}
	return f.build(ctx, []string{d.path("ports", port)}, d.out, d.errs)
}

func (d *demonstration) steady(ctx context.Context) error {
	d.say("A port that should be the same however it is built: built twice, on two workers, under\nanother path, time zone, locale, umask, HOME and number of processes.\n")
	if err := d.build(ctx, "steady", "signed"); err != nil {
		return err
	}
	d.say("\nAnyone can check it offline:\n")
	return verifyFolder(ctx, d.path("signed"), d.path("demo.pub"), false, d.out)
}

// tamper changes a byte of a copy and expects the verification to fail.
func (d *demonstration) tamper(ctx context.Context) error {
	if err := os.CopyFS(d.path("tampered"), os.DirFS(d.path("signed"))); err != nil {
		return err
	}
	found, err := filepath.Glob(d.path("tampered", "*.pax.Z"))
	if err != nil || len(found) != 1 {
		return fmt.Errorf("looking for the artifact: found %v, %w", found, err)
	}
	content, err := os.ReadFile(found[0])
	if err != nil {
		return err
	}
	content[len(content)/2] ^= 1
	if err := errors.Join(os.Chmod(found[0], 0o644), os.WriteFile(found[0], content, 0o644)); err != nil {
		return err
	}
	err = verifyFolder(ctx, d.path("tampered"), d.path("demo.pub"), false, io.Discard)
	if !errors.Is(err, attest.ErrNotVerified) {
		return fmt.Errorf("a changed artifact should have been refused, and was not: %w", err)
	}
	d.say("\nThe same folder with one bit of the artifact changed is refused:\n  %v\n", err)
	return os.RemoveAll(d.path("tampered"))
}

// stamped expects that the second port is not released.
func (d *demonstration) stamped(ctx context.Context) error {
	d.say("A port that embeds the time and the path of its build:\n")
	err := d.build(ctx, "stamped", "not-released")
	var e exit
	if errors.As(err, &e) && e.code == notReproduced {
		return nil
	}
	if err == nil {
		return errors.New("the second port should not have been released, and was")
	}
	return err
}
