// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

package api

import (
	"context"
	"io"
	"net/http"

	"github.com/zfarm/zfarm/orchestrator"
	"github.com/zfarm/zfarm/orchestrator/engine"
	"github.com/zfarm/zfarm/orchestrator/store"
)

// SubmitOptions goes with a submission.
type SubmitOptions struct {
	// Priority: higher is sooner; 0 is usual.
	Priority int
	// Force builds anew what was built before.
	Force bool
}

// AttemptID names an attempt.
type AttemptID struct {
	Build, Stage string
	Fence        int64
}

func (a AttemptID) input() AttemptInput {
	return AttemptInput{BuildInput: BuildInput{ID: a.Build}, Stage: a.Stage, Fence: a.Fence}
}

// Whoami says for whom the token is.
func (c *Client) Whoami(ctx context.Context) (Principal, error) {
	out, err := send(ctx, c, c.calls.whoami, &NothingInput{})
	if err != nil {
		return Principal{}, err
	}
	return out.Body, nil
}

// Ready returns nil if the farm can work.
func (c *Client) Ready(ctx context.Context) error {
	_, err := send(ctx, c, c.calls.ready, &NothingInput{})
	return err
}

// Submit sends an archive of recipe folders (see package intake).
func (c *Client) Submit(ctx context.Context, archive io.Reader, o SubmitOptions) ([]engine.Taken, error) {
	in := &SubmitInput{Priority: o.Priority, Force: o.Force}
	out, err := sendWith(ctx, c, c.calls.submit, in, func(r *http.Request) {
		r.Body, r.ContentLength = io.NopCloser(archive), -1
		if known, ok := archive.(interface{ Len() int }); ok {
			r.ContentLength = int64(known.Len())
		}
		r.Header.Set("Content-Type", "application/x-tar")
	})
	if err != nil {
		return nil, err
	}
	all := make([]engine.Taken, len(out.Body.Taken))
	for i, t := range out.Body.Taken {
		all[i] = engine.Taken{Build: t.Build.Build, Fresh: t.Fresh}
	}
	return all, nil
}

// Builds returns a page of builds, newest first.
func (c *Client) Builds(ctx context.Context, f store.Filter) (BuildsPage, error) {
	out, err := send(ctx, c, c.calls.builds, &BuildsInput{Port: f.Port, Owner: f.Owner, State: f.State, Before: f.Before, Limit: f.Limit})
	if err != nil {
		return BuildsPage{}, err
	}
	return out.Body, nil
}

// Build returns a build.
func (c *Client) Build(ctx context.Context, id string) (store.Build, error) {
	return buildOf(send(ctx, c, c.calls.build, &BuildInput{ID: id}))
}

// Cancel ends a build.
func (c *Client) Cancel(ctx context.Context, id string) (store.Build, error) {
	return buildOf(send(ctx, c, c.calls.cancel, &BuildInput{ID: id}))
}

// Change changes priority or pause of a build.
func (c *Client) Change(ctx context.Context, id string, change BuildChange) (store.Build, error) {
	return buildOf(send(ctx, c, c.calls.changeBuild, &ChangeBuildInput{BuildInput: BuildInput{ID: id}, Body: change}))
}

func buildOf(out *BuildOutput, err error) (store.Build, error) {
	if err != nil {
		return store.Build{}, err
	}
	return out.Body.Build, nil
}

// Attempts returns the attempts of a build.
func (c *Client) Attempts(ctx context.Context, id string) ([]store.Attempt, error) {
	out, err := send(ctx, c, c.calls.attempts, &BuildInput{ID: id})
	if err != nil {
		return nil, err
	}
	return out.Body.Attempts, nil
}

// Why says what the stages of a build wait for.
func (c *Client) Why(ctx context.Context, id string) ([]engine.Waiting, error) {
	out, err := send(ctx, c, c.calls.why, &BuildInput{ID: id})
	if err != nil {
		return nil, err
	}
	return out.Body.Waiting, nil
}

// Steps returns the steps of an attempt.
func (c *Client) Steps(ctx context.Context, a AttemptID) ([]store.Step, error) {
	in := a.input()
	out, err := send(ctx, c, c.calls.steps, &in)
	if err != nil {
		return nil, err
	}
	return out.Body.Steps, nil
}

// Events returns at most limit events after a number, oldest first; build may
// be "".
func (c *Client) Events(ctx context.Context, after int64, build string, limit int) ([]orchestrator.Event, error) {
	out, err := send(ctx, c, c.calls.events, &EventsInput{After: after, Build: build, Limit: limit})
	if err != nil {
		return nil, err
	}
	return out.Body.Events, nil
}

// Files returns the files that a build published.
func (c *Client) Files(ctx context.Context, build string) ([]store.File, error) {
	out, err := send(ctx, c, c.calls.files, &BuildInput{ID: build})
	if err != nil {
		return nil, err
	}
	return out.Body.Files, nil
}

// Verdict writes the verdict about a build, JSON.
func (c *Client) Verdict(ctx context.Context, build string, w io.Writer) error {
	return copyWhole(ctx, c, c.calls.verdict, &BuildInput{ID: build}, w)
}

// Report writes the report about a build, text for people.
func (c *Client) Report(ctx context.Context, build string, w io.Writer) error {
	return copyWhole(ctx, c, c.calls.report, &BuildInput{ID: build}, w)
}

// File writes a file that a build published. Cut off, it goes on where it was;
// at the end the digest must be that of the file.
func (c *Client) File(ctx context.Context, build, name string, w io.Writer) error {
	return copyWhole(ctx, c, c.calls.file, &FileInput{BuildInput: BuildInput{ID: build}, Name: name}, w)
}

// Releases returns everything that may be collected.
func (c *Client) Releases(ctx context.Context) ([]store.Release, error) {
	out, err := send(ctx, c, c.calls.releases, &NothingInput{})
	if err != nil {
		return nil, err
	}
	return out.Body.Releases, nil
}

// Release returns a release with its files.
func (c *Client) Release(ctx context.Context, port, version string) (ReleaseFiles, error) {
	out, err := send(ctx, c, c.calls.release, &ReleaseInput{Port: port, Version: version})
	if err != nil {
		return ReleaseFiles{}, err
	}
	return out.Body, nil
}

// ReleaseFile writes a file of a release, as [Client.File] does.
func (c *Client) ReleaseFile(ctx context.Context, port, version, name string, w io.Writer) error {
	return copyWhole(ctx, c, c.calls.releaseFile, &ReleaseFileInput{ReleaseInput: ReleaseInput{Port: port, Version: version}, Name: name}, w)
}

// Workers returns the workers.
func (c *Client) Workers(ctx context.Context) ([]store.Worker, error) {
	out, err := send(ctx, c, c.calls.workers, &NothingInput{})
	if err != nil {
		return nil, err
	}
	return out.Body.Workers, nil
}

// ChangeWorker drains a worker or lets it work again.
func (c *Client) ChangeWorker(ctx context.Context, name string, change WorkerChange) (store.Worker, error) {
	return workerOf(send(ctx, c, c.calls.changeWorker, &ChangeWorkerInput{WorkerInput: WorkerInput{Name: name}, Body: change}))
}

// ProbeWorker has a worker looked at soon.
func (c *Client) ProbeWorker(ctx context.Context, name string) (store.Worker, error) {
	return workerOf(send(ctx, c, c.calls.probe, &WorkerInput{Name: name}))
}

func workerOf(out *WorkerOutput, err error) (store.Worker, error) {
	if err != nil {
		return store.Worker{}, err
	}
	return out.Body, nil
}

// Tokens returns the tokens, without their secrets.
func (c *Client) Tokens(ctx context.Context) ([]store.Token, error) {
	out, err := send(ctx, c, c.calls.tokens, &NothingInput{})
	if err != nil {
		return nil, err
	}
	return out.Body.Tokens, nil
}

// AddToken makes a token. Its secret is in the answer and nowhere else.
func (c *Client) AddToken(ctx context.Context, t NewToken) (MadeToken, error) {
	out, err := send(ctx, c, c.calls.addToken, &AddTokenInput{Body: t})
	if err != nil {
		return MadeToken{}, err
	}
	return out.Body, nil
}

// RevokeToken revokes a token.
func (c *Client) RevokeToken(ctx context.Context, id string) error {
	_, err := send(ctx, c, c.calls.revokeToken, &TokenInput{ID: id})
	return err
}

// Audit returns at most limit entries after a number, oldest first.
func (c *Client) Audit(ctx context.Context, after int64, limit int) ([]store.Audit, error) {
	out, err := send(ctx, c, c.calls.audit, &AuditInput{After: after, Limit: limit})
	if err != nil {
		return nil, err
	}
	return out.Body.Audit, nil
}

// Metrics writes the figures for Prometheus.
func (c *Client) Metrics(ctx context.Context, w io.Writer) error {
	resp, err := open(ctx, c, c.calls.metrics, &NothingInput{}, func(r *http.Request) { r.Header.Set("Accept", "text/plain") })
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	_, err = io.Copy(w, resp.Body)
	return err
}
