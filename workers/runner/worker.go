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

// Options say how one worker is used. Only Root must be given.
type Options struct {
	// Root is the absolute folder of the workspaces on the machine. It is made
	// if absent, with mode 0700.
	Root string
	// Shell is the path or name of the shell for steps; "" means the first fit
	// one of /bin/sh, bash, mksh and ksh.
	Shell string
	// Path lists folders put before those of "getconf PATH": tools that the
	// admin of the worker adds.
	Path []string
	// Lease is how long a step goes on that nobody watches: whole seconds,
	// rounded up, at least 2 s; 0 means 60 s.
	Lease time.Duration
	// Poll is how often a running step is looked at; 0 means from 20 ms, less
	// and less often, to 500 ms.
	Poll time.Duration
	// LogMax is the size in bytes that the log of one step may have; 0 means
	// 1 GiB. A step that writes more is ended ([workers.LogLimit]), looked at
	// each second; nothing beyond LogMax is copied.
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

// Worker is a Host on which steps are run. It is safe for concurrent use as
// far as its Host is.
type Worker struct {
	name    string
	host    Host
	options Options
	fault   error // of the options, told by every method

	turn chan struct{} // held by whoever reads or finds the ground
	base *ground
}

// ground is what must be known of a machine before anything can be run there.
type ground struct {
	shell    string // absolute path
	path     string // getconf PATH
	codePage string
}

// New returns the worker of that name on h. Nothing is sent to the machine
// yet; faults of the options are told by the first call.
func New(name string, h Host, o Options) *Worker {
	o, err := o.complete()
	return &Worker{name: name, host: h, options: o, fault: err, turn: make(chan struct{}, 1)}
}

// Name returns the name given to New.
func (w *Worker) Name() string { return w.name }

// Close closes the Host. Steps go on until their lease runs out.
func (w *Worker) Close() error { return w.host.Close() }

// Workspace makes or joins the workspace of that id: the folder Root/id, with
// the runner's own files in .zfarm within.
func (w *Worker) Workspace(ctx context.Context, id string) (workers.Workspace, error) {
	if !workers.ValidID(id) {
		return nil, fmt.Errorf("workspace id %q: %w", id, fs.ErrInvalid)
	}
	g, err := w.ground(ctx)
	if err != nil {
		return nil, fmt.Errorf("opening workspace %s on %s: %w", id, w.name, err)
	}
	s := &workspace{host: w.host, options: w.options, ground: g, root: path.Join(w.options.Root, id)}
	if err := s.open(ctx); err != nil {
		return nil, fmt.Errorf("opening workspace %s on %s: %w", id, w.name, err)
	}
	return s, nil
}

// Workspaces returns the folders in Root that can be workspaces.
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

// ground finds a fit shell, once.
func (w *Worker) ground(ctx context.Context) (*ground, error) {
	if w.fault != nil {
		return nil, w.fault
	}
	select {
	case w.turn <- struct{}{}:
		defer func() { <-w.turn }()
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	if w.base != nil {
		return w.base, nil
	}
	said, err := w.probe(ctx, nil)
	if err != nil {
		return nil, err
	}
	if err := said.unfitShell(); err != nil {
		return nil, err
	}
	w.base = &ground{shell: said.one("shell"), path: said.one("system_path"), codePage: said.one("codepage")}
	return w.base, nil
}

// encode returns text as the machine's shell reads it.
func (g *ground) encode(text string) ([]byte, error) {
	if g.codePage == asciiPage {
		return []byte(text), nil // UTF-8 passes as it is
	}
	page, err := codepage.ForName(g.codePage)
	if err != nil {
		return nil, err
	}
	return page.NewEncoder().Bytes([]byte(text))
}

// decode returns the text in a small file that the machine's shell wrote.
func (g *ground) decode(b []byte) (string, error) {
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

// word returns s as one word of a shell command that consists of printable
// ASCII only, as Exec demands.
func word(s string) string {
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

// told is the error of a command that ended with a code of its own, with what
// it said.
func told(o Output) error {
	text := strings.TrimSpace(string(o.Stderr))
	if text == "" {
		text = strings.TrimSpace(string(o.Stdout))
	}
	if text == "" {
		text = "no message"
	}
	return fmt.Errorf("code %d: %w", o.Code, errors.New(codepage.Line(text, 500)))
}

func cut(s string, n int) string {
	if len(s) > n {
		return s[:n] + "..."
	}
	return s
}
