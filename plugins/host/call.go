// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

package host

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/zfarm/zfarm/plugins"
	"github.com/zfarm/zfarm/plugins/wire"
)

// maxReport bounds the bytes of text of all tests of a report together.
const maxReport = 64 << 20

// maxCalls is how many calls to its workspace a plugin may make at a time.
const maxCalls = 32

// Builder returns the plugin as a builder. Build returns a *plugins.StepError
// with the status that the farm saw, an error that wraps workers.ErrLost if
// the farm lost the worker, the cause of ctx if that ended (the plugin is then
// closed), or ErrCrashed. Any other error is a fault of the plugin.
func (p *Process) Builder() plugins.Builder { return builder{p} }

type builder struct{ *Process }

func (b builder) Build(ctx context.Context, ws plugins.Workspace, c plugins.Config) ([]plugins.Output, error) {
	if b.description.Builder == nil {
		return nil, fmt.Errorf("plugin %s is no builder; name one that is in the recipe's build block", b.name)
	}
	var outputs []plugins.Output
	err := b.call(ctx, "building", ws, func(ctx context.Context, id uint32) error {
		m, err := wire.NewBuilderClient(b.conn).Build(ctx, &wire.BuildRequest{Workspace: id, Config: wire.FromConfig(c)})
		if err != nil {
			return err
		}
		outputs = wire.ToOutputs(m)
		return answerError(plugins.ValidateOutputs(outputs))
	})
	if err != nil {
		return nil, err
	}
	return outputs, nil
}

// Tester returns the plugin as a tester. Its errors are those of
// [Process.Builder].
func (p *Process) Tester() plugins.Tester { return tester{p} }

type tester struct{ *Process }

func (t tester) Test(ctx context.Context, ws plugins.Workspace, c plugins.Config) (plugins.Report, error) {
	if t.description.Tester == nil {
		return plugins.Report{}, fmt.Errorf("plugin %s is no tester; name one that is in the recipe's test block", t.name)
	}
	var report plugins.Report
	err := t.call(ctx, "testing", ws, func(ctx context.Context, id uint32) error {
		stream, err := wire.NewTesterClient(t.conn).Test(ctx, &wire.TestRequest{Workspace: id, Config: wire.FromConfig(c)})
		if err != nil {
			return err
		}
		report, err = receiveReport(stream)
		return err
	})
	if err != nil {
		return plugins.Report{}, err
	}
	return report, nil
}

// receiveReport joins the batches of a report and stops when they exceed the
// bounds.
func receiveReport(stream grpc.ServerStreamingClient[wire.TestResponse]) (plugins.Report, error) {
	var report plugins.Report
	size := 0
	for {
		m, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			for i := range report.Cases {
				report.Cases[i].Detail = plugins.Text(report.Cases[i].Detail, plugins.MaxDetail)
			}
			return report, answerError(report.Validate())
		}
		if err != nil {
			return plugins.Report{}, err
		}
		if report.Format == "" {
			report.Format = m.GetFormat()
		}
		for _, c := range m.GetCases() {
			size += len(c.GetName()) + len(c.GetDetail())
		}
		if size > maxReport || len(report.Cases)+len(m.GetCases()) > plugins.MaxCases {
			return plugins.Report{}, answerError(fmt.Errorf("report is too long: want at most %d tests and %d MiB of text",
				plugins.MaxCases, maxReport>>20))
		}
		report.Cases = append(report.Cases, wire.ToCases(m.GetCases())...)
	}
}

// errAnswer marks an error in the plugin's answer.
var errAnswer = errors.New("answer refused")

func answerError(err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%w: %w", errAnswer, err)
}

// CheckBuilder asks the plugin's builder what is wrong with a block that fits
// its schema. There are no complaints if the builder is no plugins.Checker.
func (p *Process) CheckBuilder(ctx context.Context, block json.RawMessage) ([]plugins.Complaint, error) {
	return p.check(ctx, wire.Role_ROLE_BUILDER, block)
}

// CheckTester is CheckBuilder for the plugin's tester.
func (p *Process) CheckTester(ctx context.Context, block json.RawMessage) ([]plugins.Complaint, error) {
	return p.check(ctx, wire.Role_ROLE_TESTER, block)
}

func (p *Process) check(ctx context.Context, role wire.Role, block json.RawMessage) ([]plugins.Complaint, error) {
	if len(block) > plugins.MaxBlock {
		return nil, fmt.Errorf("block for plugin %s has %d bytes: want at most %d", p.name, len(block), plugins.MaxBlock)
	}
	m, err := wire.NewCheckerClient(p.conn).Check(ctx, &wire.CheckRequest{Role: role, Block: block})
	if status.Code(err) == codes.Unimplemented {
		return nil, nil
	}
	if err != nil {
		return nil, p.explain(ctx, "checking a block", err)
	}
	return wire.ToComplaints(m.GetComplaints()), nil
}

// call serves ws to the plugin while do calls the plugin, and replaces the
// error of do by what the farm itself saw.
func (p *Process) call(ctx context.Context, what string, ws plugins.Workspace, do func(context.Context, uint32) error) error {
	select {
	case p.turn <- struct{}{}:
		defer func() { <-p.turn }()
	case <-ctx.Done():
		return fmt.Errorf("%s with plugin %s: %w", what, p.name, context.Cause(ctx))
	}
	recorded := &recorder{ws: ws}
	id, stop, err := p.serve(recorded)
	if err != nil {
		return fmt.Errorf("%s with plugin %s: %w", what, p.name, err)
	}
	err = do(ctx, id)
	stop()
	if ctx.Err() != nil {
		// The plugin may still be running, so its process is ended.
		return errors.Join(fmt.Errorf("%s with plugin %s: %w", what, p.name, context.Cause(ctx)), p.Close())
	}
	if err == nil {
		return nil
	}
	return recorded.correctError(p.explain(ctx, what, err))
}

// serve offers ws under an identifier until stop is called. stop returns when
// all calls to ws have returned.
func (p *Process) serve(ws plugins.Workspace) (id uint32, stop func(), err error) {
	id = p.broker.NextId()
	serving := make(chan *grpc.Server, 1)
	done := make(chan struct{})
	go func() {
		defer close(done)
		p.broker.AcceptAndServe(id, func(opts []grpc.ServerOption) *grpc.Server {
			s := grpc.NewServer(append(opts,
				grpc.MaxRecvMsgSize(wire.MaxMessage),
				grpc.MaxConcurrentStreams(maxCalls),
				grpc.MaxHeaderListSize(wire.MaxHeaders),
				grpc.WaitForHandlers(true),
			)...)
			wire.Register(s, ws)
			serving <- s
			return s
		})
	}()
	select {
	case s := <-serving:
		return id, func() { s.Stop(); <-done }, nil
	case <-done:
		return 0, nil, fmt.Errorf("serving the workspace: %w", ErrCrashed)
	}
}

// explain turns the error of a call into one for people. If the plugin
// crashed, it adds the end of what the plugin wrote to its standard error.
func (p *Process) explain(ctx context.Context, what string, err error) error {
	if ctx.Err() != nil {
		return fmt.Errorf("%s with plugin %s: %w", what, p.name, context.Cause(ctx))
	}
	switch status.Code(err) {
	case codes.Unavailable:
		p.awaitEnd()
		return fmt.Errorf("%s with plugin %s: %w%s", what, p.name, ErrCrashed, p.stderr.quote())
	case codes.ResourceExhausted:
		return fmt.Errorf("%s with plugin %s: %w: a message is larger than %d MiB", what, p.name, errAnswer, wire.MaxMessage>>20)
	case codes.Internal, codes.Unimplemented:
		return fmt.Errorf("%s with plugin %s: %w: %s", what, p.name, errAnswer, plugins.Line(status.Convert(err).Message(), plugins.MaxName))
	}
	if p.hasEnded() {
		return fmt.Errorf("%s with plugin %s: %w", what, p.name, ErrCrashed)
	}
	err = wire.Decode(err)
	if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		// Only the plugin was cancelled, not the caller: for the caller it is
		// an error like any other.
		return fmt.Errorf("%s with plugin %s: it gave up: %s", what, p.name, err) //nolint:errorlint // the caller did not end
	}
	return fmt.Errorf("%s with plugin %s: %w", what, p.name, err)
}

// hasEnded reports whether the process has ended.
func (p *Process) hasEnded() bool {
	select {
	case <-p.child.exited:
		return true
	default:
		return false
	}
}

// awaitEnd gives a crashing plugin the time to write why: the connection is
// seen to end before standard error does.
func (p *Process) awaitEnd() {
	select {
	case <-p.child.drained:
	case <-time.After(time.Second):
	}
}
