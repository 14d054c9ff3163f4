// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

// Package host starts plugins and talks to them. Each attempt gets a process
// of its own. host starts only programs that the farm's configuration names,
// with the contents it pins, without the farm's environment, and ends them
// with the farm at the latest.
//
// A plugin reaches the worker through the Workspace that host serves to it.
// host checks every answer of a plugin. plugins/serve is the author's side,
// plugins/wire the protocol.
package host

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sort"
	"strings"
	"time"

	"github.com/zfarm/zfarm/attest/digest"
	"github.com/zfarm/zfarm/plugins"
)

// ErrUnknown means that the farm's configuration names no such plugin.
var ErrUnknown = errors.New("no such plugin")

// ErrCrashed means that a plugin ended or stopped answering during a call.
// What it did is unknown; it may be started again from the top.
var ErrCrashed = errors.New("plugin ended unexpectedly")

// Entry is one program that may be started.
type Entry struct {
	// Name is the plugin's name in recipes. The plugin must describe itself
	// with this name.
	Name string
	// Path is absolute; Args follow it on the command line. A user other than
	// the farm's should own the file, because it is read twice: once to check
	// it, once to execute it.
	Path string
	Args []string
	// SHA256 is the digest that the file must have.
	SHA256 digest.Digest
}

// Options are the settings of a Catalog.
type Options struct {
	// Dir is where temporary folders of plugins are made; "" means the
	// system's. Its path has at most 55 bytes, because sockets are made below
	// it.
	Dir string
	// StartTimeout bounds the time until a plugin has answered its first call;
	// 0 means 30 s.
	StartTimeout time.Duration
	// Grace bounds the wait for a plugin that is ending; 0 means 5 s.
	Grace time.Duration
}

// Catalog holds the plugins of a farm.
type Catalog struct {
	entries map[string]*catalogEntry
	opts    Options
}

// catalogEntry is an entry and the description that its plugin gave.
type catalogEntry struct {
	Entry
	// turn is held while description is read or set.
	turn        chan struct{}
	description *plugins.Description
}

// New returns a catalog of the entries. It removes folders in opts.Dir that
// belong to plugins of a killed farm.
func New(entries []Entry, opts Options) (*Catalog, error) {
	if opts.Dir == "" {
		opts.Dir = os.TempDir()
	}
	if opts.StartTimeout == 0 {
		opts.StartTimeout = 30 * time.Second
	}
	if opts.Grace == 0 {
		opts.Grace = 5 * time.Second
	}
	if len(opts.Dir) > maxDir {
		return nil, fmt.Errorf("folder for plugins %s: a path of %d bytes is too long for sockets below it; choose one of at most %d",
			opts.Dir, len(opts.Dir), maxDir)
	}
	c := &Catalog{entries: map[string]*catalogEntry{}, opts: opts}
	for _, e := range entries {
		switch {
		case e.Name == "" || c.entries[e.Name] != nil:
			return nil, fmt.Errorf("plugin %q: want one entry for each name", e.Name)
		case !filepath.IsAbs(e.Path):
			return nil, fmt.Errorf("plugin %s: path %q: want an absolute path", e.Name, e.Path)
		case e.SHA256.IsZero():
			return nil, fmt.Errorf("plugin %s: pin the sha256 of %s", e.Name, e.Path)
		}
		c.entries[e.Name] = &catalogEntry{Entry: e, turn: make(chan struct{}, 1)}
	}
	if err := removeStaleFolders(opts.Dir); err != nil {
		return nil, fmt.Errorf("clearing folders of former plugins: %w", err)
	}
	return c, nil
}

// Names returns the names of all plugins, sorted.
func (c *Catalog) Names() []string {
	names := make([]string, 0, len(c.entries))
	for name := range c.entries {
		names = append(names, name)
	}
	sort.Strings(names)
	return names
}

// Describe returns the plugin's description of itself, validated. The first
// call starts the plugin; later calls return the same description.
func (c *Catalog) Describe(ctx context.Context, name string) (plugins.Description, error) {
	k, err := c.find(name)
	if err != nil {
		return plugins.Description{}, err
	}
	select {
	case k.turn <- struct{}{}:
		defer func() { <-k.turn }()
	case <-ctx.Done():
		return plugins.Description{}, fmt.Errorf("describing plugin %s: %w", name, context.Cause(ctx))
	}
	if k.description != nil {
		return *k.description, nil
	}
	p, err := c.Start(ctx, name)
	if err != nil {
		return plugins.Description{}, err
	}
	d := p.description
	if err := p.Close(); err != nil {
		return plugins.Description{}, err
	}
	k.description = &d
	return d, nil
}

func (c *Catalog) find(name string) (*catalogEntry, error) {
	if k, ok := c.entries[name]; ok {
		return k, nil
	}
	return nil, fmt.Errorf("plugin %q: %w; the farm has %s", plugins.Line(name, 80), ErrUnknown, strings.Join(c.Names(), ", "))
}
