// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

package pool_test

import (
	"context"
	"errors"
	"os/exec"
	"sync/atomic"
	"testing"
	"time"

	"github.com/zfarm/zfarm/workers"
	"github.com/zfarm/zfarm/workers/pool"
	"github.com/zfarm/zfarm/workers/runner"
	"github.com/zfarm/zfarm/workers/ssh"
	"github.com/zfarm/zfarm/workers/sshtest"
)

// eventually tries until there is no error, for as long as that may be.
func eventually(t *testing.T, what string, try func(ctx context.Context) error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	for {
		err := try(ctx)
		if err == nil {
			return
		}
		select {
		case <-ctx.Done():
			t.Fatalf("%s: %v", what, err)
		case <-time.After(5 * time.Millisecond):
		}
	}
}

// TestServer uses real connections: a worker whose server has not started yet, stops
// and comes back.
func TestServer(t *testing.T) {
	if _, err := exec.LookPath("bash"); err != nil {
		t.Skip("the worker needs a shell with job control; install bash")
	}
	server := sshtest.Embedded(t, sshtest.Faults{})
	var dials atomic.Int64
	p := pool.New(func(ctx context.Context, name string) (workers.Worker, error) {
		dials.Add(1)
		c := server.Config()
		c.DialTimeout = 30 * time.Second // a cut line is noticed at once; no deadline decides here
		w, err := ssh.New(ctx, name, c, runner.Options{Root: server.Dir()})
		if err != nil {
			return nil, err
		}
		return w, nil
	}, pool.Options{First: 10 * time.Millisecond, Most: 50 * time.Millisecond})
	defer func() {
		if err := p.Close(); err != nil {
			t.Error(err)
		}
	}()

	server.Line.Refuse(true)
	if _, err := p.Get(t.Context(), "lpar1"); !errors.Is(err, workers.ErrUnreachable) {
		t.Errorf("a server that is not there: %v", err)
	}
	server.Line.Refuse(false)
	var w workers.Worker
	eventually(t, "the server is there", func(ctx context.Context) (err error) {
		w, err = p.Get(ctx, "lpar1")
		return err
	})
	opened := dials.Load()

	server.Line.Refuse(true)
	server.Line.Cut()
	eventually(t, "the server goes away", func(ctx context.Context) error {
		if _, err := w.Workspace(ctx, "a1"); !errors.Is(err, workers.ErrUnreachable) {
			return errors.New("it is still there")
		}
		return nil
	})
	if _, err := p.Get(t.Context(), "lpar1"); !errors.Is(err, workers.ErrUnreachable) {
		t.Errorf("a server that went away: %v", err)
	}
	server.Line.Refuse(false)
	eventually(t, "the server is back", func(ctx context.Context) error {
		again, err := p.Get(ctx, "lpar1")
		if err != nil {
			return err
		}
		_, err = again.Workspace(ctx, "a1")
		return err
	})
	if n := dials.Load(); n != opened {
		t.Errorf("opened anew %d times though it connects by itself", n-opened)
	}

	// Its host key suddenly is a different one.
	server.Set(func(f *sshtest.Faults) { f.OtherHostKey = true })
	server.Line.Cut()
	eventually(t, "a stranger answers", func(ctx context.Context) error {
		if _, err := w.Facts(ctx); !errors.Is(err, workers.ErrHostKey) {
			return errors.New("it is still trusted")
		}
		return nil
	})
	facts, err := p.Probe(t.Context(), "lpar1")
	if q := pool.Health(nil, &facts, err, pool.Limits{}); !errors.Is(err, workers.ErrHostKey) || q == nil || q.Code != workers.QuarantineHostKey {
		t.Errorf("Probe: %v; %v", err, q)
	}
	server.Set(func(f *sshtest.Faults) { f.OtherHostKey = false })
	eventually(t, "the right one is back", func(ctx context.Context) error {
		_, err := p.Probe(ctx, "lpar1")
		return err
	})
}
