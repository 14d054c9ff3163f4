// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

package server

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"path"
	"strconv"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/zfarm/zfarm/orchestrator/api/intake"
	"github.com/zfarm/zfarm/orchestrator/engine"
	"github.com/zfarm/zfarm/orchestrator/store"
)

// problem returns an error that is answered with a status and a sentence.
func problem(status int, format string, args ...any) *huma.ErrorModel {
	return &huma.ErrorModel{Title: http.StatusText(status), Status: status, Detail: fmt.Sprintf(format, args...)}
}

// fault is an error whose text is kept from the caller.
type fault struct{ err error }

func (f *fault) Error() string { return f.err.Error() }
func (f *fault) Unwrap() error { return f.err }

// GetStatus implements huma.StatusError.
func (f *fault) GetStatus() int { return http.StatusInternalServerError }

// ContentType implements huma.ContentTypeFilter.
func (f *fault) ContentType(string) string { return "application/problem+json" }

// answerable gives an error the status to answer it with.
func answerable(err error) error {
	var refused *intake.RefusedError
	var large *http.MaxBytesError
	var known huma.StatusError
	switch {
	case errors.As(err, &known):
		return err
	case errors.As(err, &large):
		return tooLarge(large.Limit)
	case errors.As(err, &refused) && refused.TooLarge:
		return problem(http.StatusRequestEntityTooLarge, "%s", refused)
	case errors.As(err, &refused):
		return problem(http.StatusUnprocessableEntity, "%s", refused)
	case errors.Is(err, engine.ErrNeeds):
		return problem(http.StatusUnprocessableEntity, "%s", err)
	case errors.Is(err, store.ErrUnknown), errors.Is(err, fs.ErrNotExist):
		return problem(http.StatusNotFound, "%s; check the name, or list what the farm has", err)
	case errors.Is(err, store.ErrRefused):
		return problem(http.StatusConflict, "%s; read it again and repeat the request if it still makes sense", err)
	case errors.Is(err, store.ErrFull):
		return later(http.StatusServiceUnavailable, time.Minute, "the farm has no disk space left to record it; ask its admin, and try again later")
	case errors.Is(err, store.ErrUncertain):
		return problem(http.StatusServiceUnavailable, "the connection to the database was lost; check whether the change was made before asking again")
	case errors.Is(err, os.ErrDeadlineExceeded):
		return problem(http.StatusRequestTimeout, "the body did not arrive in time; send it again over a faster line")
	case errors.Is(err, context.DeadlineExceeded):
		return problem(http.StatusServiceUnavailable, "the farm did not answer in time; try again later")
	}
	return &fault{err}
}

func tooLarge(most int64) error {
	return huma.ErrorWithHeaders(
		problem(http.StatusRequestEntityTooLarge, "the body is larger than %d bytes; send recipes with their patches and keys only, sources are fetched by the farm", most),
		http.Header{"Connection": {"close"}})
}

// later asks a caller to retry after a while.
func later(status int, wait time.Duration, format string, args ...any) error {
	seconds := int64(max(1, (wait+time.Second-1)/time.Second))
	return huma.ErrorWithHeaders(problem(status, format, args...), http.Header{"Retry-After": {strconv.FormatInt(seconds, 10)}})
}

// stamp adds the id of the request to a problem, saves its text for the log and the
// audit, and hides the text of a fault from the caller.
func (s *Server) stamp(ctx huma.Context, _ string, v any) (any, error) {
	if f, ok := v.(*fault); ok {
		return s.hide(ctx.Context(), f), nil
	}
	p, ok := v.(*huma.ErrorModel)
	if !ok {
		return v, nil
	}
	if p.Status == http.StatusInternalServerError {
		return s.hide(ctx.Context(), p), nil
	}
	x := exchangeOf(ctx.Context())
	stamped := *p
	stamped.Instance = instance(x)
	x.detail = p.Detail
	for _, e := range p.Errors {
		e.Value = nil // it may be a secret, and its sender knows it
	}
	return &stamped, nil
}

func (s *Server) hide(ctx context.Context, err error) *huma.ErrorModel {
	x := exchangeOf(ctx)
	x.detail = err.Error()
	p := problem(http.StatusInternalServerError, "the farm could not do this; report the request %s to its admin", x.id)
	p.Instance = instance(x)
	s.Log.ErrorContext(ctx, "request failed", "request", x.id, "operation", x.operation, "error", err.Error())
	return p
}

func instance(x *exchange) string { return "urn:zfarm:request:" + x.id }

// refuse answers with a problem before a request reaches an operation.
func (s *Server) refuse(w http.ResponseWriter, r *http.Request, err error) {
	x := exchangeOf(r.Context())
	var headers huma.HeadersError
	if errors.As(err, &headers) {
		for k, values := range headers.GetHeaders() {
			w.Header()[k] = values
		}
	}
	p := problem(http.StatusInternalServerError, "")
	if !errors.As(err, &p) {
		p = s.hide(r.Context(), err)
	}
	p.Instance = instance(x)
	x.detail = p.Detail
	if x.detail == "" {
		x.detail = p.Title
	}
	w.Header().Set("Content-Type", "application/problem+json")
	w.WriteHeader(p.Status)
	json.NewEncoder(w).Encode(p) //nolint:errcheck // whoever asked has gone
}

// diagnosed is an error of Options.Parse that can list the recipe's errors.
type diagnosed interface {
	error
	WriteText(w io.Writer, width int, colour bool) error
	json.Marshaler
}

// diagnostic is one error in a recipe, in the JSON that the parser writes.
type diagnostic struct {
	Severity string `json:"severity"`
	Summary  string `json:"summary"`
	Detail   string `json:"detail"`
	File     string `json:"file"`
	Line     int    `json:"line"`
	Column   int    `json:"column"`
}

// faulty describes what is wrong with recipes: each error for programs, and the lines
// of source for people.
func faulty(folders []string, errs []error) error {
	p := problem(http.StatusUnprocessableEntity, "")
	var text bytes.Buffer
	for i, err := range errs {
		var d diagnosed
		if !errors.As(err, &d) {
			fmt.Fprintf(&text, "%s: %s\n", folders[i], err)
			p.Errors = append(p.Errors, &huma.ErrorDetail{Message: err.Error(), Location: folders[i]})
			continue
		}
		fmt.Fprintf(&text, "In %s:\n", folders[i])
		d.WriteText(&text, 100, false) //nolint:errcheck // a buffer takes everything
		p.Errors = append(p.Errors, details(folders[i], d)...)
	}
	p.Detail = text.String()
	return p
}

func details(folder string, d diagnosed) []*huma.ErrorDetail {
	var all []diagnostic
	b, err := d.MarshalJSON()
	if err == nil {
		err = json.Unmarshal(b, &all)
	}
	if err != nil {
		return []*huma.ErrorDetail{{Message: d.Error(), Location: folder}}
	}
	out := make([]*huma.ErrorDetail, len(all))
	for i, x := range all {
		out[i] = &huma.ErrorDetail{Message: x.Severity + ": " + x.Summary, Location: path.Join(folder, x.File)}
		if x.Detail != "" {
			out[i].Message += "; " + x.Detail
		}
		if x.Line > 0 {
			out[i].Location = fmt.Sprintf("%s:%d,%d", out[i].Location, x.Line, x.Column)
		}
	}
	return out
}
