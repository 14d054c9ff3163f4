// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

package server

import (
	"context"
	"fmt"
	"net/http"
	"path"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"

	"github.com/zfarm/zfarm/attest/digest"
	"github.com/zfarm/zfarm/orchestrator/api/intake"
	"github.com/zfarm/zfarm/orchestrator/api/wire"
	"github.com/zfarm/zfarm/orchestrator/engine"
	"github.com/zfarm/zfarm/recipes"
)

// submissionWait is how long a submission waits its turn to be read.
const submissionWait = 10 * time.Second

// submitInput is a submission with its HTTP request.
type submitInput struct {
	wire.SubmitInput

	request *http.Request
	writer  http.ResponseWriter
}

// Resolve keeps the request for the handler; it implements huma.Resolver.
func (in *submitInput) Resolve(ctx huma.Context) []error {
	in.request, in.writer = humago.Unwrap(ctx)
	return nil
}

func (s *Server) submit(ctx context.Context, in *submitInput) (*wire.SubmitOutput, error) {
	if in.request.ContentLength > s.Limits.Body {
		return nil, tooLarge(s.Limits.Body)
	}
	done, err := s.turn(ctx)
	if err != nil {
		return nil, err
	}
	defer done()
	archive, sum, err := s.take(ctx, in)
	if err != nil {
		return nil, err
	}
	all, err := s.read(ctx, archive, sum)
	if err != nil {
		return nil, err
	}
	var names []string
	for _, r := range all {
		if err := s.owned(ctx, r.Recipe.Port); err != nil {
			return nil, err
		}
		names = append(names, r.Recipe.Port+" "+r.Recipe.Version)
	}
	var taken []engine.Taken
	ask := engine.Submission{Recipes: all, Owner: s.who(ctx).Name, Priority: in.Priority, Force: in.Force}
	err = s.audited(ctx, summary(names), "archive "+sum.String(), func() error {
		taken, err = s.Engine.Submit(ctx, ask)
		return err
	})
	if err != nil {
		return nil, err
	}
	out := &wire.SubmitOutput{}
	out.Body.Taken = listed(taken, wireTaken)
	return out, nil
}

// turn bounds how many submissions are in memory at once.
func (s *Server) turn(ctx context.Context) (done func(), err error) {
	timer := time.NewTimer(submissionWait)
	defer timer.Stop()
	select {
	case s.submitting <- struct{}{}:
		return func() { <-s.submitting }, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	case <-timer.C:
		return nil, later(http.StatusServiceUnavailable, submissionWait, "too many submissions are being read; send it again after a while")
	}
}

// take reads the archive.
func (s *Server) take(ctx context.Context, in *submitInput) (*intake.Archive, digest.Digest, error) {
	control := http.NewResponseController(in.writer)
	deadline := func(t time.Time) {
		control.SetReadDeadline(t) //nolint:errcheck // without a connection there is nothing to bound
	}
	deadline(time.Now().Add(readLimit))
	sum := digest.NewReader(http.MaxBytesReader(nil, in.request.Body, s.Limits.Body))
	a, err := intake.Read(ctx, sum, s.Limits.Archive)
	deadline(time.Time{})
	return a, sum.Digest(), err
}

// read reads all recipes of an archive, or reports what is wrong with each.
func (s *Server) read(ctx context.Context, a *intake.Archive, sum digest.Digest) ([]engine.Submitted, error) {
	var all []engine.Submitted
	var folders []string
	var errs []error
	from := map[string]string{}
	for _, folder := range a.Recipes() {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		r, err := s.recipe(ctx, a, folder)
		if err != nil {
			folders, errs = append(folders, folder), append(errs, err)
			continue
		}
		if other, twice := from[r.Port]; twice {
			return nil, problem(http.StatusUnprocessableEntity, "the port %s is in %s and in %s; submit one version at a time", r.Port, other, folder)
		}
		from[r.Port] = folder
		all = append(all, engine.Submitted{Recipe: r, URI: "urn:zfarm:submission:" + sum.Hex(), Path: path.Join(folder, intake.RecipeFile)})
	}
	if len(errs) > 0 {
		return nil, faulty(folders, errs)
	}
	return all, nil
}

func (s *Server) recipe(ctx context.Context, a *intake.Archive, folder string) (*recipes.Recipe, error) {
	dir, err := a.Folder(folder)
	if err != nil {
		return nil, err
	}
	return s.Parse(ctx, dir)
}

// summary names the first few of many.
func summary(names []string) string {
	const most = 10
	if len(names) > most {
		return fmt.Sprintf("%s and %d more", strings.Join(names[:most], ", "), len(names)-most)
	}
	return strings.Join(names, ", ")
}
