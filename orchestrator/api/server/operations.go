// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

package server

import (
	"context"
	"net/http"
	"reflect"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/zfarm/zfarm/attest/digest"
	"github.com/zfarm/zfarm/orchestrator/api/wire"
)

// described converts an operation to the form of huma and of the description.
func described(o wire.Operation) huma.Operation {
	op := huma.Operation{
		OperationID: o.ID, Method: o.Method, Path: o.Path, Tags: []string{o.Tag}, Summary: o.Summary, Description: o.Detail,
		DefaultStatus: o.Status, Errors: append([]int{429}, o.Errors...), MaxBodyBytes: maxJSON, BodyReadTimeout: jsonLimit,
		Responses: map[string]*huma.Response{}, Metadata: map[string]any{operationKey: o},
		Extensions: map[string]any{"x-zfarm-role": string(o.Role)},
	}
	if o.Role != "" {
		op.Security = []map[string][]string{{bearer: {}}}
		op.Errors = append(op.Errors, 401, 403, 503)
	}
	if o.Content != "" {
		binary := &huma.MediaType{Schema: &huma.Schema{Type: huma.TypeString, Format: "binary"}}
		op.Responses["200"] = &huma.Response{Description: http.StatusText(http.StatusOK), Content: map[string]*huma.MediaType{o.Content: binary}}
		if o.Ranges {
			op.Responses["206"] = &huma.Response{Description: http.StatusText(http.StatusPartialContent), Content: map[string]*huma.MediaType{o.Content: binary}}
			op.Responses["304"] = &huma.Response{Description: http.StatusText(http.StatusNotModified)}
		}
	}
	if o.Archive {
		binary := &huma.MediaType{Schema: &huma.Schema{Type: huma.TypeString, Format: "binary"}}
		op.RequestBody = &huma.RequestBody{Required: true, Description: "The archive.",
			Content: map[string]*huma.MediaType{"application/x-tar": binary, "application/gzip": binary}}
	}
	return op
}

const (
	operationKey = "operation"
	maxJSON      = 1 << 20          // bytes of a JSON body
	jsonLimit    = 30 * time.Second // for the body to arrive
)

// describedCall also adds what follows from the type of the input: a JSON body has more
// ways to be wrong.
func describedCall[I, O any](c wire.Call[I, O]) huma.Operation {
	op := described(c.Operation)
	if _, ok := reflect.TypeFor[I]().FieldByName("Body"); ok {
		op.Errors = append(op.Errors, 400, 408, 413, 415)
	}
	return op
}

// bind registers handle for an operation that answers in JSON.
func bind[I, O any](s *Server, c wire.Call[I, O], handle func(context.Context, *I) (*O, error)) {
	register(s, describedCall(c), handle)
}

// bindStream registers handle for an operation that answers in bytes.
func bindStream[I any](s *Server, c wire.Call[I, wire.Stream], handle func(context.Context, *I) (*huma.StreamResponse, error)) {
	register(s, describedCall(c), handle)
}

func register[I, O any](s *Server, op huma.Operation, handle func(context.Context, *I) (*O, error)) {
	huma.Register(s.api, op, func(ctx context.Context, in *I) (*O, error) {
		out, err := handle(ctx, in)
		if err != nil {
			return nil, answerable(err)
		}
		return out, nil
	})
}

// bindAll registers the handler of every operation of the table.
func (s *Server) bindAll() {
	t := wire.NewOperations()
	bind(s, t.Health, s.health)
	bind(s, t.Ready, s.ready)
	bindStream(s, t.Metrics, s.serveMetrics)
	bind(s, t.Whoami, s.whoami)
	register(s, describedCall(t.Submit), s.submit)
	bind(s, t.Builds, s.builds)
	bind(s, t.Build, s.build)
	bind(s, t.Cancel, s.cancel)
	bind(s, t.ChangeBuild, s.changeBuild)
	bind(s, t.Attempts, s.attempts)
	bind(s, t.Why, s.why)
	bindStream(s, t.Verdict, s.verdict)
	bindStream(s, t.Report, s.report)
	bind(s, t.Files, s.files)
	bindStream(s, t.File, s.file)
	bind(s, t.Steps, s.steps)
	bindStream(s, t.Log, s.log)
	bind(s, t.Events, s.events)
	bindStream(s, t.Follow, s.follow)
	bind(s, t.Releases, s.releases)
	bind(s, t.Release, s.release)
	bindStream(s, t.ReleaseFile, s.releaseFile)
	bind(s, t.Workers, s.workers)
	bind(s, t.ChangeWorker, s.changeWorker)
	bind(s, t.Probe, s.probe)
	bind(s, t.Tokens, s.tokens)
	bind(s, t.AddToken, s.addToken)
	bind(s, t.RevokeToken, s.revokeToken)
	bind(s, t.Audit, s.audit)
}

// newRegistry describes the types that JSON encodes as text or numbers.
func newRegistry() huma.Registry {
	r := huma.NewMapRegistry("#/components/schemas/", huma.DefaultSchemaNamer)
	r.RegisterTypeAlias(reflect.TypeFor[digest.Digest](), reflect.TypeFor[digestText]())
	r.RegisterTypeAlias(reflect.TypeFor[time.Duration](), reflect.TypeFor[nanoseconds]())
	return r
}

// digestText describes a digest.Digest.
type digestText struct{}

// Schema implements huma.SchemaProvider.
func (digestText) Schema(huma.Registry) *huma.Schema {
	return &huma.Schema{Type: huma.TypeString, Pattern: "^(sha256:[0-9a-f]{64})?$", Examples: []any{digest.Digest{1}.String()}}
}

// nanoseconds describes a time.Duration.
type nanoseconds struct{}

// Schema implements huma.SchemaProvider.
func (nanoseconds) Schema(huma.Registry) *huma.Schema {
	return &huma.Schema{Type: huma.TypeInteger, Format: "int64", Description: "nanoseconds"}
}
