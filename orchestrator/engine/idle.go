// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"sync"
	"time"

	"github.com/zfarm/zfarm/attest/digest"
	"github.com/zfarm/zfarm/orchestrator/attempt"
	"github.com/zfarm/zfarm/plugins"
	"github.com/zfarm/zfarm/workers"
)

// errIdle: a plugin neither returned nor called the farm.
var errIdle = errors.New("the plugin hangs: fix it, or raise the time that a plugin may be idle")

// idleLimited starts plugins and ends any call during which they do nothing for too
// long. The recipe's limit bounds the steps of a plugin; this bounds the time between
// them.
type idleLimited struct {
	attempt.Starter
	idle time.Duration
}

func (a idleLimited) Start(ctx context.Context, name string) (attempt.Process, error) {
	p, err := a.Starter.Start(ctx, name)
	if err != nil {
		return nil, err
	}
	return idleLimitedProcess{p, name, a.idle}, nil
}

type idleLimitedProcess struct {
	attempt.Process
	name string
	idle time.Duration
}

func (p idleLimitedProcess) Build(ctx context.Context, ws plugins.Workspace, c plugins.Config) (outputs []plugins.Output, err error) {
	err = p.limitIdle(ctx, ws, func(ctx context.Context, ws plugins.Workspace) error {
		outputs, err = p.Process.Build(ctx, ws, c)
		return err
	})
	return outputs, err
}

func (p idleLimitedProcess) Test(ctx context.Context, ws plugins.Workspace, c plugins.Config) (report plugins.Report, err error) {
	err = p.limitIdle(ctx, ws, func(ctx context.Context, ws plugins.Workspace) error {
		report, err = p.Process.Test(ctx, ws, c)
		return err
	})
	return report, err
}

// limitIdle ends the context of call once ws has been unused for too long.
func (p idleLimitedProcess) limitIdle(ctx context.Context, ws plugins.Workspace, call func(context.Context, plugins.Workspace) error) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	why := fmt.Errorf("plugin %s did nothing for %s: %w", p.name, p.idle, errIdle)
	active := &activeWorkspace{Workspace: ws, idle: p.idle}
	active.timer = time.AfterFunc(p.idle, func() { cancel(why) })
	defer active.timer.Stop()
	err := call(ctx, active)
	if errors.Is(context.Cause(ctx), errIdle) && err != nil {
		return why
	}
	return err
}

// activeWorkspace stops a timer while a call of its workspace runs.
type activeWorkspace struct {
	plugins.Workspace
	idle  time.Duration
	timer *time.Timer

	mu    sync.Mutex
	calls int
}

func (b *activeWorkspace) begin() (end func()) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.calls++
	b.timer.Stop()
	return func() {
		b.mu.Lock()
		defer b.mu.Unlock()
		if b.calls--; b.calls == 0 {
			b.timer.Reset(b.idle)
		}
	}
}

func (b *activeWorkspace) Put(ctx context.Context, name string, mode fs.FileMode, r io.Reader) (digest.Digest, error) {
	defer b.begin()()
	return b.Workspace.Put(ctx, name, mode, r)
}

func (b *activeWorkspace) Get(ctx context.Context, name string, w io.Writer) (digest.Digest, error) {
	defer b.begin()()
	return b.Workspace.Get(ctx, name, w)
}

func (b *activeWorkspace) List(ctx context.Context, dir string) ([]workers.Entry, error) {
	defer b.begin()()
	return b.Workspace.List(ctx, dir)
}

func (b *activeWorkspace) Run(ctx context.Context, s workers.Step, log io.Writer) (workers.Status, error) {
	defer b.begin()()
	return b.Workspace.Run(ctx, s, log)
}
