// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

package client

import (
	"context"
	"io"
	"net/http"

	"github.com/zfarm/zfarm/orchestrator/api/wire"
)

// SubmitOptions are the parameters of a submission.
type SubmitOptions struct {
	// Priority: higher is sooner; 0 is the default.
	Priority int
	// Force makes new builds even of what was built before.
	Force bool
}

// AttemptID names an attempt.
type AttemptID struct {
	Build, Stage string
	Fence        int64
}

func (a AttemptID) input() wire.AttemptInput {
	return wire.AttemptInput{BuildInput: wire.BuildInput{ID: a.Build}, Stage: a.Stage, Fence: a.Fence}
}

// Whoami returns the principal that the token belongs to.
func (c *Client) Whoami(ctx context.Context) (wire.Principal, error) {
	out, err := send(ctx, c, c.calls.Whoami, &wire.NothingInput{})
	if err != nil {
		return wire.Principal{}, err
	}
	return out.Body, nil
}

// Ready returns nil if the farm can work.
func (c *Client) Ready(ctx context.Context) error {
	_, err := send(ctx, c, c.calls.Ready, &wire.NothingInput{})
	return err
}

// Submit sends an archive of recipe folders (see package intake).
func (c *Client) Submit(ctx context.Context, archive io.Reader, o SubmitOptions) ([]wire.Taken, error) {
	in := &wire.SubmitInput{Priority: o.Priority, Force: o.Force}
	out, err := sendWith(ctx, c, c.calls.Submit, in, func(r *http.Request) {
		r.Body, r.ContentLength = io.NopCloser(archive), -1
		if known, ok := archive.(interface{ Len() int }); ok {
			r.ContentLength = int64(known.Len())
		}
		r.Header.Set("Content-Type", "application/x-tar")
	})
	if err != nil {
		return nil, err
	}
	return out.Body.Taken, nil
}

// Builds returns a page of builds, newest first.
func (c *Client) Builds(ctx context.Context, which wire.BuildsInput) (wire.BuildsPage, error) {
	out, err := send(ctx, c, c.calls.Builds, &which)
	if err != nil {
		return wire.BuildsPage{}, err
	}
	return out.Body, nil
}

// Build returns a build.
func (c *Client) Build(ctx context.Context, id string) (wire.Build, error) {
	return buildOf(send(ctx, c, c.calls.Build, &wire.BuildInput{ID: id}))
}

// Cancel ends a build.
func (c *Client) Cancel(ctx context.Context, id string) (wire.Build, error) {
	return buildOf(send(ctx, c, c.calls.Cancel, &wire.BuildInput{ID: id}))
}

// Change changes priority or pause of a build.
func (c *Client) Change(ctx context.Context, id string, change wire.BuildChange) (wire.Build, error) {
	return buildOf(send(ctx, c, c.calls.ChangeBuild, &wire.ChangeBuildInput{BuildInput: wire.BuildInput{ID: id}, Body: change}))
}

func buildOf(out *wire.BuildOutput, err error) (wire.Build, error) {
	if err != nil {
		return wire.Build{}, err
	}
	return out.Body, nil
}

// Attempts returns the attempts of a build.
func (c *Client) Attempts(ctx context.Context, id string) ([]wire.Attempt, error) {
	out, err := send(ctx, c, c.calls.Attempts, &wire.BuildInput{ID: id})
	if err != nil {
		return nil, err
	}
	return out.Body.Attempts, nil
}

// Why explains what the stages of a build wait for.
func (c *Client) Why(ctx context.Context, id string) ([]wire.Waiting, error) {
	out, err := send(ctx, c, c.calls.Why, &wire.BuildInput{ID: id})
	if err != nil {
		return nil, err
	}
	return out.Body.Waiting, nil
}

// Steps returns the steps of an attempt.
func (c *Client) Steps(ctx context.Context, a AttemptID) ([]wire.Step, error) {
	in := a.input()
	out, err := send(ctx, c, c.calls.Steps, &in)
	if err != nil {
		return nil, err
	}
	return out.Body.Steps, nil
}

// Events returns at most limit events after a number, oldest first; build may
// be "".
func (c *Client) Events(ctx context.Context, after int64, build string, limit int) ([]wire.Event, error) {
	out, err := send(ctx, c, c.calls.Events, &wire.EventsInput{After: after, Build: build, Limit: limit})
	if err != nil {
		return nil, err
	}
	return out.Body.Events, nil
}

// Files returns the files that a build published.
func (c *Client) Files(ctx context.Context, build string) ([]wire.File, error) {
	out, err := send(ctx, c, c.calls.Files, &wire.BuildInput{ID: build})
	if err != nil {
		return nil, err
	}
	return out.Body.Files, nil
}

// Verdict writes the verdict about a build, as JSON.
func (c *Client) Verdict(ctx context.Context, build string, w io.Writer) error {
	return copyWhole(ctx, c, c.calls.Verdict, &wire.BuildInput{ID: build}, w)
}

// Report writes the report about a build, as text for people.
func (c *Client) Report(ctx context.Context, build string, w io.Writer) error {
	return copyWhole(ctx, c, c.calls.Report, &wire.BuildInput{ID: build}, w)
}

// File writes a file that a build published. It resumes a download that was cut off;
// the digest at the end must be that of the file.
func (c *Client) File(ctx context.Context, build, name string, w io.Writer) error {
	return copyWhole(ctx, c, c.calls.File, &wire.FileInput{BuildInput: wire.BuildInput{ID: build}, Name: name}, w)
}

// Releases returns all releases.
func (c *Client) Releases(ctx context.Context) ([]wire.Release, error) {
	out, err := send(ctx, c, c.calls.Releases, &wire.NothingInput{})
	if err != nil {
		return nil, err
	}
	return out.Body.Releases, nil
}

// Release returns a release with its files.
func (c *Client) Release(ctx context.Context, port, version string) (wire.ReleaseFiles, error) {
	out, err := send(ctx, c, c.calls.Release, &wire.ReleaseInput{Port: port, Version: version})
	if err != nil {
		return wire.ReleaseFiles{}, err
	}
	return out.Body, nil
}

// ReleaseFile writes a file of a release, as [Client.File] does.
func (c *Client) ReleaseFile(ctx context.Context, port, version, name string, w io.Writer) error {
	return copyWhole(ctx, c, c.calls.ReleaseFile, &wire.ReleaseFileInput{ReleaseInput: wire.ReleaseInput{Port: port, Version: version}, Name: name}, w)
}

// Workers returns the workers, those quarantined with a code if one is named,
// or with any ([wire.AnyQuarantine]).
func (c *Client) Workers(ctx context.Context, quarantine string) ([]wire.Worker, error) {
	out, err := send(ctx, c, c.calls.Workers, &wire.WorkersInput{Quarantine: quarantine})
	if err != nil {
		return nil, err
	}
	return out.Body.Workers, nil
}

// ChangeWorker drains a worker or ends its draining.
func (c *Client) ChangeWorker(ctx context.Context, name string, change wire.WorkerChange) (wire.Worker, error) {
	return workerOf(send(ctx, c, c.calls.ChangeWorker, &wire.ChangeWorkerInput{WorkerInput: wire.WorkerInput{Name: name}, Body: change}))
}

// ProbeWorker has a worker probed soon.
func (c *Client) ProbeWorker(ctx context.Context, name string) (wire.Worker, error) {
	return workerOf(send(ctx, c, c.calls.Probe, &wire.WorkerInput{Name: name}))
}

func workerOf(out *wire.WorkerOutput, err error) (wire.Worker, error) {
	if err != nil {
		return wire.Worker{}, err
	}
	return out.Body, nil
}

// Tokens returns the tokens, without their secrets.
func (c *Client) Tokens(ctx context.Context) ([]wire.Token, error) {
	out, err := send(ctx, c, c.calls.Tokens, &wire.NothingInput{})
	if err != nil {
		return nil, err
	}
	return out.Body.Tokens, nil
}

// AddToken makes a token. Its secret is in the answer and nowhere else.
func (c *Client) AddToken(ctx context.Context, t wire.NewToken) (wire.MadeToken, error) {
	out, err := send(ctx, c, c.calls.AddToken, &wire.AddTokenInput{Body: t})
	if err != nil {
		return wire.MadeToken{}, err
	}
	return out.Body, nil
}

// RevokeToken revokes a token.
func (c *Client) RevokeToken(ctx context.Context, id string) error {
	_, err := send(ctx, c, c.calls.RevokeToken, &wire.TokenInput{ID: id})
	return err
}

// Audit returns at most limit entries after a number, oldest first.
func (c *Client) Audit(ctx context.Context, after int64, limit int) ([]wire.Audit, error) {
	out, err := send(ctx, c, c.calls.Audit, &wire.AuditInput{After: after, Limit: limit})
	if err != nil {
		return nil, err
	}
	return out.Body.Audit, nil
}

// Metrics writes the metrics for Prometheus.
func (c *Client) Metrics(ctx context.Context, w io.Writer) error {
	resp, err := open(ctx, c, c.calls.Metrics, &wire.NothingInput{}, func(r *http.Request) { r.Header.Set("Accept", "text/plain") })
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	_, err = io.Copy(w, resp.Body)
	return err
}
