// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

package server

import (
	"context"
	"fmt"
	"net/http"

	"github.com/zfarm/zfarm/orchestrator"
	"github.com/zfarm/zfarm/orchestrator/api/wire"
	"github.com/zfarm/zfarm/orchestrator/store"
)

func (s *Server) builds(ctx context.Context, in *wire.BuildsInput) (*wire.BuildsOutput, error) {
	f := store.Filter{Port: in.Port, Owner: in.Owner, State: orchestrator.BuildState(in.State), Before: in.Before, Limit: in.Limit}
	if f.Limit == 0 {
		f.Limit = 50
	}
	all, err := s.Store.Builds(ctx, f)
	if err != nil {
		return nil, err
	}
	out := &wire.BuildsOutput{Body: wire.BuildsPage{Builds: listed(all, wireBuild)}}
	if len(all) == f.Limit {
		out.Body.Before = all[len(all)-1].Seq
	}
	return out, nil
}

func (s *Server) build(ctx context.Context, in *wire.BuildInput) (*wire.BuildOutput, error) {
	b, err := s.Store.Build(ctx, in.ID)
	if err != nil {
		return nil, err
	}
	return &wire.BuildOutput{Body: wireBuild(b)}, nil
}

// own returns a build that the caller may change.
func (s *Server) own(ctx context.Context, id string) (store.Build, error) {
	b, err := s.Store.Build(ctx, id)
	if err != nil {
		return store.Build{}, err
	}
	return b, s.owned(ctx, b.Port)
}

func (s *Server) cancel(ctx context.Context, in *wire.BuildInput) (*wire.BuildOutput, error) {
	b, err := s.own(ctx, in.ID)
	if err != nil {
		return nil, err
	}
	err = s.audited(ctx, in.ID, fmt.Sprintf("%s %s", b.Port, b.Version), func() error { return s.Engine.Cancel(ctx, in.ID) })
	if err != nil {
		return nil, err
	}
	return s.build(ctx, in)
}

func (s *Server) changeBuild(ctx context.Context, in *wire.ChangeBuildInput) (*wire.BuildOutput, error) {
	b, err := s.own(ctx, in.ID)
	if err != nil {
		return nil, err
	}
	detail := ""
	if in.Body.Priority != nil {
		detail = fmt.Sprintf("priority %d", *in.Body.Priority)
	}
	if in.Body.Paused != nil {
		detail += fmt.Sprintf(" paused %v", *in.Body.Paused)
	}
	if detail == "" {
		return nil, problem(http.StatusUnprocessableEntity, "nothing is to be changed; give priority, paused or both")
	}
	err = s.audited(ctx, in.ID, fmt.Sprintf("%s %s: %s", b.Port, b.Version, detail), func() error {
		b, err = s.Store.ChangeBuild(ctx, in.ID, in.Body)
		return err
	})
	if err != nil {
		return nil, err
	}
	return &wire.BuildOutput{Body: wireBuild(b)}, nil
}

func (s *Server) attempts(ctx context.Context, in *wire.BuildInput) (*wire.AttemptsOutput, error) {
	if _, err := s.Store.Build(ctx, in.ID); err != nil {
		return nil, err
	}
	all, err := s.Store.Attempts(ctx, in.ID)
	if err != nil {
		return nil, err
	}
	out := &wire.AttemptsOutput{}
	out.Body.Attempts = listed(all, wireAttempt)
	return out, nil
}

func (s *Server) why(ctx context.Context, in *wire.BuildInput) (*wire.WhyOutput, error) {
	all, err := s.Engine.Why(ctx, in.ID)
	if err != nil {
		return nil, err
	}
	out := &wire.WhyOutput{}
	out.Body.Waiting = listed(all, wireWaiting)
	return out, nil
}
