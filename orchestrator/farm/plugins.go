// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

package farm

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"

	"github.com/zfarm/zfarm/attest/digest"
	"github.com/zfarm/zfarm/orchestrator/attempt"
	"github.com/zfarm/zfarm/plugins"
	"github.com/zfarm/zfarm/plugins/host"
	"github.com/zfarm/zfarm/recipes"
	"github.com/zfarm/zfarm/recipes/diagnostics"
	"github.com/zfarm/zfarm/recipes/parse"
	"github.com/zfarm/zfarm/recipes/schema"
)

// Plugins are the plugins of a farm, each pinned by the digest of its program.
type Plugins struct {
	catalog *host.Catalog
	entries []host.Entry
	dir     string
}

// OpenPlugins makes a catalog of plugins. The caller closes it.
func OpenPlugins(entries []host.Entry) (*Plugins, error) {
	// Sockets are made below this folder, and their paths must be short.
	temp := os.TempDir()
	if len(temp) > 40 {
		temp = "/tmp"
	}
	dir, err := os.MkdirTemp(temp, "zf")
	if err != nil {
		return nil, fmt.Errorf("making a folder for plugins: %w", err)
	}
	c, err := host.New(entries, host.Options{Dir: dir})
	if err != nil {
		return nil, errors.Join(err, os.RemoveAll(dir))
	}
	return &Plugins{catalog: c, entries: entries, dir: dir}, nil
}

// Close removes the plugins' temporary files.
func (p *Plugins) Close() error { return os.RemoveAll(p.dir) }

// Names returns the names of the plugins, sorted.
func (p *Plugins) Names() []string { return p.catalog.Names() }

// Describe returns a plugin's description of itself.
func (p *Plugins) Describe(ctx context.Context, name string) (plugins.Description, error) {
	return p.catalog.Describe(ctx, name)
}

// Pin returns the plugin's description of itself and the digest of its program.
func (p *Plugins) Pin(ctx context.Context, name string) (plugins.Description, digest.Digest, error) {
	d, err := p.catalog.Describe(ctx, name)
	if err != nil {
		return plugins.Description{}, digest.Digest{}, err
	}
	i := slices.IndexFunc(p.entries, func(e host.Entry) bool { return e.Name == name })
	return d, p.entries[i].SHA256, nil
}

// Start starts the plugin for one attempt.
func (p *Plugins) Start(ctx context.Context, name string) (attempt.Process, error) {
	started, err := p.catalog.Start(ctx, name)
	if err != nil {
		return nil, err
	}
	return process{started.Builder(), started.Tester(), started}, nil
}

type process struct {
	plugins.Builder
	plugins.Tester
	started *host.Process
}

// Close ends the process.
func (p process) Close() error { return p.started.Close() }

// Read reads the recipe in a folder and has the plugins that it names check
// their blocks. The recipe is nil if there are errors among the diagnostics.
func (p *Plugins) Read(ctx context.Context, folder fs.FS) (*recipes.Recipe, diagnostics.List) {
	return parse.Dir(folder, schemas{ctx, p.catalog})
}

// schemas asks plugins which attributes their blocks take.
type schemas struct {
	ctx     context.Context //nolint:containedctx // parse is pure and has no context; this lives as long as one call of it
	catalog *host.Catalog
}

// Plugins returns the names of the plugins of a kind.
func (s schemas) Plugins(kind string) []string {
	var names []string
	for _, name := range s.catalog.Names() {
		if d, err := s.catalog.Describe(s.ctx, name); err == nil && block(d, kind) != nil {
			names = append(names, name)
		}
	}
	return names
}

// Schema returns the attributes of a plugin's block.
func (s schemas) Schema(kind, plugin string) ([]schema.Attribute, error) {
	d, err := s.catalog.Describe(s.ctx, plugin)
	if err != nil {
		return nil, err
	}
	described := block(d, kind)
	if described == nil {
		return nil, fmt.Errorf("plugin %s takes no %s block", plugin, kind)
	}
	attrs := make([]schema.Attribute, len(described.Attributes))
	for i, a := range described.Attributes {
		attrs[i] = schema.Attribute{Name: a.Name, Type: a.Type, Required: a.Required, Doc: a.Doc}
	}
	return attrs, nil
}

// Check asks the plugin for the errors in a block.
func (s schemas) Check(kind, plugin string, text json.RawMessage) []parse.Complaint {
	p, err := s.catalog.Start(s.ctx, plugin)
	if err != nil {
		return []parse.Complaint{{Message: err.Error()}}
	}
	defer p.Close() //nolint:errcheck // the process ends either way
	check := p.CheckBuilder
	if kind == parse.KindTest {
		check = p.CheckTester
	}
	found, err := check(s.ctx, text)
	if err != nil {
		return []parse.Complaint{{Message: err.Error()}}
	}
	complaints := make([]parse.Complaint, len(found))
	for i, c := range found {
		complaints[i] = parse.Complaint{Attribute: c.Attribute, Message: c.Message}
	}
	return complaints
}

func block(d plugins.Description, kind string) *plugins.Schema {
	if kind == parse.KindBuild {
		return d.Builder
	}
	return d.Tester
}
