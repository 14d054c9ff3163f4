// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

package runner

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"strings"
	"time"

	"github.com/zfarm/zfarm/workers"
	"github.com/zfarm/zfarm/workers/codepage"
)

//go:embed runner.sh
var runnerScript string

// Options configure the use of one worker. Only Root is required.
type Options struct {
	// Root is the absolute folder of the workspaces on the machine. It is created if
	// absent, with mode 0700.
	Root string
	// Shell is the path or name of the shell for steps; "" means the first usable one
	// of /bin/sh, bash, mksh and ksh.
	Shell string
	// Path lists folders put before those of "getconf PATH": for tools that the
	// worker's administrator adds.
	Path []string
	// Lease is how long an unwatched step goes on: rounded up to whole seconds, at
	// least 2 s; 0 means 60 s.
	Lease time.Duration
	// Poll is the interval between checks of a running step; 0 means one that grows
	// from 20 ms to 500 ms.
	Poll time.Duration
	// LogMax is the largest log of one step, in bytes; 0 means 1 GiB. The runner checks
	// it every second and ends a step that wrote more ([workers.LogLimit]); nothing
	// beyond LogMax is copied.
	LogMax int64
}

const (
	defaultLease  = 60 * time.Second
	leastLease    = 2 * time.Second
	defaultLogMax = 1 << 30
)

func (o Options) complete() (Options, error) {
	if !path.IsAbs(o.Root) || path.Clean(o.Root) == "/" || strings.ContainsAny(o.Root, "\x00\n") {
		return o, fmt.Errorf("root %q of the workspaces: give an absolute folder below /: %w", o.Root, fs.ErrInvalid)
	}
	o.Root = path.Clean(o.Root)
	for _, p := range append([]string{o.Shell}, o.Path...) {
		if strings.ContainsAny(p, "\x00\n") {
			return o, fmt.Errorf("path %q: %w", p, fs.ErrInvalid)
		}
	}
	if o.Lease == 0 {
		o.Lease = defaultLease
	}
	o.Lease = max(roundUp(o.Lease), leastLease)
	if o.LogMax <= 0 {
		o.LogMax = defaultLogMax
	}
	return o, nil
}

func roundUp(d time.Duration) time.Duration {
	return (d + time.Second - 1).Truncate(time.Second)
}

// Worker runs steps on a Host. It is safe for concurrent use as far as its Host is.
type Worker struct {
	name    string
	host    Host
	options Options
	fault   error // of the options; every method returns it

	turn  chan struct{} // held while reading or finding the shell
	shell *usableShell
}

// usableShell is what must be known of a machine before it can run anything.
type usableShell struct {
	program    string // absolute path
	searchPath string // getconf PATH
	codePage   string
}

// New returns the worker of that name on h. It sends nothing to the machine yet; the
// first call reports errors in the options.
func New(name string, h Host, o Options) *Worker {
	o, err := o.complete()
	return &Worker{name: name, host: h, options: o, fault: err, turn: make(chan struct{}, 1)}
}

// Name returns the name given to New.
func (w *Worker) Name() string { return w.name }

// Close closes the Host. Steps go on until their lease runs out.
func (w *Worker) Close() error { return w.host.Close() }

// Workspace makes or joins the workspace of that id: the folder Root/id, with the
// runner's own files in its subfolder .zfarm.
func (w *Worker) Workspace(ctx context.Context, id string) (workers.Workspace, error) {
	if !workers.ValidID(id) {
		return nil, fmt.Errorf("workspace id %q: %w", id, fs.ErrInvalid)
	}
	g, err := w.findShell(ctx)
	if err != nil {
		return nil, fmt.Errorf("opening workspace %s on %s: %w", id, w.name, err)
	}
	s := &workspace{host: w.host, options: w.options, shell: g, root: path.Join(w.options.Root, id)}
	if err := s.open(ctx); err != nil {
		return nil, fmt.Errorf("opening workspace %s on %s: %w", id, w.name, err)
	}
	return s, nil
}

// Workspaces returns the names of the folders in Root that can be workspaces.
func (w *Worker) Workspaces(ctx context.Context) ([]string, error) {
	if w.fault != nil {
		return nil, w.fault
	}
	entries, err := w.host.List(ctx, w.options.Root)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("listing the workspaces on %s: %w", w.name, err)
	}
	var ids []string
	for _, e := range entries {
		if e.Mode.IsDir() && workers.ValidID(e.Name) {
			ids = append(ids, e.Name)
		}
	}
	return ids, nil
}

// findShell finds a usable shell, once.
func (w *Worker) findShell(ctx context.Context) (*usableShell, error) {
	if w.fault != nil {
		return nil, w.fault
	}
	select {
	case w.turn <- struct{}{}:
		defer func() { <-w.turn }()
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	if w.shell != nil {
		return w.shell, nil
	}
	probed, err := w.probe(ctx, nil)
	if err != nil {
		return nil, err
	}
	if err := probed.unfitShell(); err != nil {
		return nil, err
	}
	w.shell = &usableShell{program: probed.first("shell"), searchPath: probed.first("system_path"), codePage: probed.first("codepage")}
	return w.shell, nil
}

// encode returns text in the code page of the machine's shell.
func (g *usableShell) encode(text string) ([]byte, error) {
	if g.codePage == asciiPage {
		return []byte(text), nil // UTF-8 needs no conversion
	}
	page, err := codepage.ForName(g.codePage)
	if err != nil {
		return nil, err
	}
	return page.NewEncoder().Bytes([]byte(text))
}

// decode returns the text of a small file written by the machine's shell.
func (g *usableShell) decode(b []byte) (string, error) {
	if g.codePage == asciiPage {
		return string(b), nil
	}
	page, err := codepage.ForName(g.codePage)
	if err != nil {
		return "", err
	}
	b, err = page.NewDecoder().Bytes(b)
	return string(b), err
}

// quoteWord returns s quoted as one word of a shell command, in printable ASCII only, as
// Exec requires.
func quoteWord(s string) string {
	plain := true
	for _, c := range []byte(s) {
		plain = plain && c >= ' ' && c <= '~'
	}
	if plain {
		return workers.Quote(s)
	}
	var b strings.Builder
	for _, c := range []byte(s) {
		switch {
		case c == '\\':
			b.WriteString(`\\`)
		case c == '%':
			b.WriteString(`%%`)
		case c >= ' ' && c <= '~':
			b.WriteByte(c)
		default:
			fmt.Fprintf(&b, `\%03o`, c)
		}
	}
	return `"$(printf ` + workers.Quote(b.String()) + `)"`
}

// commandError returns the error of a command that failed with an unexpected code,
// with its output.
func commandError(o Output) error {
	text := strings.TrimSpace(string(o.Stderr))
	if text == "" {
		text = strings.TrimSpace(string(o.Stdout))
	}
	if text == "" {
		text = "no message"
	}
	return fmt.Errorf("code %d: %w", o.Code, errors.New(codepage.Line(text, 500)))
}
