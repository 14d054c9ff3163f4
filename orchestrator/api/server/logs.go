// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

package server

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"

	"github.com/zfarm/zfarm/orchestrator/api/wire"
	"github.com/zfarm/zfarm/orchestrator/store"
	"github.com/zfarm/zfarm/workers/codepage"
)

// How streams find changes: those of this process wake them, those of other processes
// they find by polling the store, never more often than the pause.
const (
	pollEvery = 250 * time.Millisecond
	pollPause = 25 * time.Millisecond
	logPiece  = 64 << 10
)

func (s *Server) steps(ctx context.Context, in *wire.AttemptInput) (*wire.StepsOutput, error) {
	if _, err := s.attempt(ctx, in); err != nil {
		return nil, err
	}
	all, err := s.Store.Steps(ctx, in.ID, in.Stage, in.Fence)
	if err != nil {
		return nil, err
	}
	out := &wire.StepsOutput{}
	out.Body.Steps = listed(all, wireStep)
	return out, nil
}

func (s *Server) attempt(ctx context.Context, in *wire.AttemptInput) (store.Attempt, error) {
	all, err := s.Store.Attempts(ctx, in.ID)
	if err != nil {
		return store.Attempt{}, err
	}
	i := slices.IndexFunc(all, func(a store.Attempt) bool { return a.Stage == in.Stage && a.Fence == in.Fence })
	if i < 0 {
		return store.Attempt{}, fmt.Errorf("attempt %d of stage %s of build %s: %w", in.Fence, codepage.Line(in.Stage, maxShown), codepage.Line(in.ID, maxShown), store.ErrUnknown)
	}
	return all[i], nil
}

func (s *Server) step(ctx context.Context, in *wire.LogInput) (store.Step, error) {
	all, err := s.Store.Steps(ctx, in.ID, in.Stage, in.Fence)
	if err != nil {
		return store.Step{}, err
	}
	i := slices.IndexFunc(all, func(x store.Step) bool { return x.Name == in.Step })
	if i < 0 {
		return store.Step{}, fmt.Errorf("step %s of attempt %d of stage %s of build %s: %w",
			codepage.Line(in.Step, maxShown), in.Fence, codepage.Line(in.Stage, maxShown), codepage.Line(in.ID, maxShown), store.ErrUnknown)
	}
	return all[i], nil
}

func (s *Server) log(ctx context.Context, in *wire.LogInput) (*huma.StreamResponse, error) {
	step, err := s.step(ctx, in)
	if err != nil {
		return nil, err
	}
	if err := s.remembered(ctx, in.ID, step); err != nil {
		return nil, err
	}
	if in.Offset > step.Size {
		return nil, problem(http.StatusRequestedRangeNotSatisfiable, "the log has %d bytes so far; ask for an offset up to that", step.Size)
	}
	return s.stream(ctx, wire.Octets, func(ctx context.Context, w *streamWriter) error {
		t := &tail{s: s, in: *in, w: w, at: in.Offset}
		t.in.Follow = in.Follow && w.request.Method != http.MethodHead
		return t.send(ctx)
	})
}

// remembered returns a problem if the log of a step was deleted.
func (s *Server) remembered(ctx context.Context, build string, step store.Step) error {
	if !step.Log.IsZero() {
		return nil
	}
	b, err := s.Store.Build(ctx, build)
	if err == nil && b.LogsForgotten {
		err = problem(http.StatusGone, "the logs of build %s were forgotten after the retention time of this farm; the results of its steps are kept", build)
	}
	return err
}

// stream answers with what send writes. An error cuts the connection, so that no client
// takes a part for the whole.
func (s *Server) stream(ctx context.Context, media string, send func(context.Context, *streamWriter) error) (*huma.StreamResponse, error) {
	key := s.who(ctx).Name
	if !s.streams.take(key) {
		return nil, later(http.StatusTooManyRequests, 10*time.Second, "%s follows as many logs and events as it may; end one first", key)
	}
	return &huma.StreamResponse{Body: func(hc huma.Context) {
		defer s.streams.give(key)
		r, w := humago.Unwrap(hc)
		w.Header().Set("Content-Type", media)
		w.WriteHeader(http.StatusOK)
		out := &streamWriter{w: w, control: http.NewResponseController(w), request: r}
		err := out.flush()
		if err == nil {
			err = send(ctx, out)
		}
		if err == nil || ctx.Err() != nil {
			return
		}
		x := exchangeOf(ctx)
		x.detail = err.Error()
		s.Log.ErrorContext(ctx, "stream cut", "request", x.id, "operation", x.operation, "error", err.Error())
		panic(http.ErrAbortHandler)
	}}, nil
}

// streamWriter flushes every write at once.
type streamWriter struct {
	w       io.Writer
	control *http.ResponseController
	request *http.Request
}

func (w *streamWriter) flush() error {
	if err := w.control.Flush(); err != nil && !errors.Is(err, http.ErrNotSupported) {
		return err
	}
	return nil
}

// wait returns true once there may be news, false when the stream has to end.
func (s *Server) wait(ctx context.Context, changed <-chan struct{}) bool {
	pause, poll := time.NewTimer(pollPause), time.NewTimer(pollEvery)
	defer pause.Stop()
	defer poll.Stop()
	woken := false
	for {
		select {
		case <-ctx.Done():
			return false
		case <-s.closing:
			return false
		case <-poll.C:
			return true
		case <-changed:
			woken, changed = true, nil
		case <-pause.C:
			pause.C = nil
		}
		if woken && pause.C == nil {
			return true
		}
	}
}

// sharedAnswer lets concurrent requests for the same thing share one answer: many
// watchers of one log cost as much as one.
func sharedAnswer[T any](ctx context.Context, s *Server, key string, read func(context.Context) (T, error)) (T, error) {
	v, err, _ := s.shared.Do(key, func() (any, error) {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), writeStall)
		defer cancel()
		return read(ctx)
	})
	if err != nil {
		var none T
		return none, err
	}
	return v.(T), nil
}

// tail sends a log as it grows.
type tail struct {
	s  *Server
	in wire.LogInput
	w  *streamWriter
	at int64
}

func (t *tail) key(what string) string {
	return fmt.Sprintf("%s %q %q %d %q %d", what, t.in.ID, t.in.Stage, t.in.Fence, t.in.Step, t.at)
}

func (t *tail) send(ctx context.Context) error {
	for {
		changed := t.s.Store.Changed()
		n, err := t.grown(ctx)
		if err != nil {
			return err
		}
		if n > 0 {
			if err := t.w.flush(); err != nil {
				return err
			}
			continue
		}
		over, err := t.over(ctx)
		if err != nil || over {
			return err
		}
		if !t.in.Follow || !t.s.wait(ctx, changed) {
			return nil
		}
	}
}

// grown sends the next piece of the log in the store.
func (t *tail) grown(ctx context.Context) (int, error) {
	data, err := sharedAnswer(ctx, t.s, t.key("log"), func(ctx context.Context) ([]byte, error) {
		return t.s.Store.Log(ctx, t.in.ID, t.in.Stage, t.in.Fence, t.in.Step, t.at, logPiece)
	})
	if err != nil || len(data) == 0 {
		return 0, err
	}
	return t.write(data)
}

func (t *tail) write(data []byte) (int, error) {
	n, err := t.w.w.Write(data)
	t.at += int64(n)
	t.s.metrics.logBytes.Add(float64(n))
	return n, err
}

// over reports whether the log is complete, and sends what is only in the artifact
// store.
func (t *tail) over(ctx context.Context) (bool, error) {
	step, err := sharedAnswer(ctx, t.s, t.key("step"), func(ctx context.Context) (store.Step, error) { return t.s.step(ctx, &t.in) })
	switch {
	case err != nil:
		return false, err
	case step.Status == nil:
		return t.abandoned(ctx)
	case t.at >= step.Size:
		return true, nil
	case !step.Log.IsZero():
		return true, t.finished(ctx, step)
	}
	// The step ended between the two reads; its last bytes are in the store.
	n, err := t.grown(ctx)
	if err == nil && n == 0 {
		err = fmt.Errorf("the log of step %s ends at %d of %d bytes", step.Name, t.at, step.Size)
	}
	return false, err
}

// abandoned reports whether the attempt ended before its step did: the worker was lost,
// and the rest of the log with it.
func (t *tail) abandoned(ctx context.Context) (bool, error) {
	if !t.in.Follow {
		return true, nil
	}
	a, err := sharedAnswer(ctx, t.s, t.key("attempt"), func(ctx context.Context) (store.Attempt, error) { return t.s.attempt(ctx, &t.in.AttemptInput) })
	if err != nil {
		return false, err
	}
	return !a.Ended.IsZero(), nil
}

// finished sends the rest from the artifact store.
func (t *tail) finished(ctx context.Context, step store.Step) error {
	b := &blob{ctx: ctx, blobs: t.s.Blobs, digest: step.Log, size: step.Size, at: t.at}
	defer b.close()
	n, err := io.CopyBuffer(struct{ io.Writer }{t.w.w}, struct{ io.Reader }{b}, make([]byte, logPiece))
	t.at += n
	t.s.metrics.logBytes.Add(float64(n))
	if err == nil && t.at < step.Size {
		err = fmt.Errorf("the log of step %s ends at %d of %d bytes", step.Name, t.at, step.Size)
	}
	if err != nil {
		return err
	}
	return t.w.flush()
}

func (s *Server) events(ctx context.Context, in *wire.EventsInput) (*wire.EventsOutput, error) {
	if in.Limit == 0 {
		in.Limit = 100
	}
	all, err := s.Store.Events(ctx, in.After, in.Build, in.Limit)
	if err != nil {
		return nil, err
	}
	out := &wire.EventsOutput{}
	out.Body.Events = listed(all, wireEvent)
	return out, nil
}

func (s *Server) follow(ctx context.Context, in *wire.FollowInput) (*huma.StreamResponse, error) {
	after := in.After
	if in.Last != "" {
		last, err := strconv.ParseInt(in.Last, 10, 64)
		if err != nil {
			return nil, problem(http.StatusUnprocessableEntity, "Last-Event-ID is no number of an event")
		}
		after = last
	}
	return s.stream(ctx, "text/event-stream", func(ctx context.Context, w *streamWriter) error {
		if w.request.Method == http.MethodHead {
			return nil
		}
		return s.sendEvents(ctx, w, after, in.Build)
	})
}
