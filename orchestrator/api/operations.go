// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

package api

import (
	"context"
	"net/http"
	"reflect"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/zfarm/zfarm/attest/digest"
)

// definition is what server, description and client all know of an operation.
type definition struct {
	id, method, path string
	tag, summary     string
	// detail is what a caller should know besides.
	detail string
	// role is asked for; "" lets everybody in. owned says that for a
	// maintainer the port decides, which the operation itself looks at.
	role  Role
	owned bool
	// status is that of success; 0 means 200.
	status int
	// content is the media type of an answer that is not JSON.
	content string
	// archive: the body is an archive, read as it comes.
	archive bool
	// ranges: parts of the answer can be asked for.
	ranges bool
	// stream: the answer goes on until somebody ends it.
	stream bool
	errors []int
}

// change reports whether the operation changes anything.
func (d definition) change() bool { return d.method != http.MethodGet }

// call is an operation with the types of what goes in and comes out: fields
// with path, query and header tags, and Body.
type call[I, O any] struct{ definition }

// define lets the table be walked.
func (c call[I, O]) define() (definition, reflect.Type, reflect.Type) {
	return c.definition, reflect.TypeFor[I](), reflect.TypeFor[O]()
}

// defined is any call.
type defined interface {
	define() (definition, reflect.Type, reflect.Type)
}

// table holds every operation of the API.
type table struct {
	health       call[NothingInput, HealthOutput]
	ready        call[NothingInput, HealthOutput]
	metrics      call[NothingInput, huma.StreamResponse]
	submit       call[SubmitInput, SubmitOutput]
	builds       call[BuildsInput, BuildsOutput]
	build        call[BuildInput, BuildOutput]
	cancel       call[BuildInput, BuildOutput]
	changeBuild  call[ChangeBuildInput, BuildOutput]
	attempts     call[BuildInput, AttemptsOutput]
	why          call[BuildInput, WhyOutput]
	verdict      call[BuildInput, huma.StreamResponse]
	report       call[BuildInput, huma.StreamResponse]
	files        call[BuildInput, FilesOutput]
	file         call[FileInput, huma.StreamResponse]
	steps        call[AttemptInput, StepsOutput]
	log          call[LogInput, huma.StreamResponse]
	events       call[EventsInput, EventsOutput]
	follow       call[FollowInput, huma.StreamResponse]
	releases     call[NothingInput, ReleasesOutput]
	release      call[ReleaseInput, ReleaseOutput]
	releaseFile  call[ReleaseFileInput, huma.StreamResponse]
	workers      call[NothingInput, WorkersOutput]
	changeWorker call[ChangeWorkerInput, WorkerOutput]
	probe        call[WorkerInput, WorkerOutput]
	tokens       call[NothingInput, TokensOutput]
	addToken     call[AddTokenInput, AddTokenOutput]
	revokeToken  call[TokenInput, NothingOutput]
	audit        call[AuditInput, AuditOutput]
	whoami       call[NothingInput, WhoOutput]
}

const octets = "application/octet-stream"

// operations is the one definition of the API.
func operations() table {
	t := table{}
	t.defineFarm()
	t.defineBuilds()
	t.defineLogs()
	t.defineReleases()
	t.defineAdmin()
	return t
}

func (t *table) defineFarm() {
	t.health.definition = definition{id: "health", method: http.MethodGet, path: "/healthz", tag: "farm", summary: "Whether the server answers"}
	t.ready.definition = definition{id: "ready", method: http.MethodGet, path: "/readyz", tag: "farm", summary: "Whether the farm can work",
		detail: "The database answers and takes writes.", errors: []int{503}}
	t.metrics.definition = definition{id: "metrics", method: http.MethodGet, path: "/metrics", tag: "farm", role: Reader,
		summary: "Figures for Prometheus", content: "text/plain"}
	t.whoami.definition = definition{id: "whoami", method: http.MethodGet, path: "/v1/whoami", tag: "farm", role: Reader,
		summary: "Who the token is for, with which roles and ports"}
	t.events.definition = definition{id: "events", method: http.MethodGet, path: "/v1/events", tag: "events", role: Reader,
		summary: "What happened after a number, oldest first"}
	t.follow.definition = definition{id: "follow-events", method: http.MethodGet, path: "/v1/events/stream", tag: "events", role: Reader,
		summary: "What happens, as it happens", content: "text/event-stream", stream: true,
		detail: "Server-sent events: id is the number of the event, event is \"transition\", data is the event as JSON. Quiet streams carry comments as heartbeats. " +
			"A client that was cut off goes on with Last-Event-ID.", errors: []int{429}}
}

func (t *table) defineBuilds() {
	t.submit.definition = definition{id: "submit", method: http.MethodPost, path: "/v1/submissions", tag: "builds", role: Maintainer, owned: true,
		summary: "Submit recipes", archive: true, status: http.StatusAccepted,
		detail: "The body is a tar, compressed with gzip or not, of one or more folders each with recipe.hcl, or of one such folder at its root, with patches and keys. " +
			"At most 64 MiB as sent and 64 MiB expanded, 16 MiB a file, 2,000 members; regular files and folders only. All recipes are taken or none. " +
			"What was submitted before with the same recipe and needs is the build that is there already (fresh is false).",
		errors: []int{400, 408, 413, 422}}
	t.builds.definition = definition{id: "builds", method: http.MethodGet, path: "/v1/builds", tag: "builds", role: Reader, summary: "Builds, newest first"}
	t.build.definition = definition{id: "build", method: http.MethodGet, path: "/v1/builds/{id}", tag: "builds", role: Reader,
		summary: "A build with its stages and needs", errors: []int{404}}
	t.cancel.definition = definition{id: "cancel", method: http.MethodPost, path: "/v1/builds/{id}/cancel", tag: "builds", role: Maintainer, owned: true,
		summary: "Cancel a build", detail: "Its stages end at once; workers are cleaned afterwards. Cancelling a build that is over changes nothing.", errors: []int{404, 409}}
	t.changeBuild.definition = definition{id: "change-build", method: http.MethodPatch, path: "/v1/builds/{id}", tag: "builds", role: Maintainer, owned: true,
		summary: "Change the priority of a build, pause it or let it go on", detail: "A pause keeps stages from beginning; what runs goes on.", errors: []int{404, 409, 422}}
	t.attempts.definition = definition{id: "attempts", method: http.MethodGet, path: "/v1/builds/{id}/attempts", tag: "builds", role: Reader,
		summary: "The attempts of a build", errors: []int{404}}
	t.why.definition = definition{id: "why", method: http.MethodGet, path: "/v1/builds/{id}/why", tag: "builds", role: Reader,
		summary: "What each stage of a build waits for, worker by worker", errors: []int{404}}
	t.verdict.definition = definition{id: "verdict", method: http.MethodGet, path: "/v1/builds/{id}/verdict", tag: "builds", role: Reader,
		summary: "What the comparison says, with its findings", content: "application/json", ranges: true, errors: []int{404, 416}}
	t.report.definition = definition{id: "report", method: http.MethodGet, path: "/v1/builds/{id}/report", tag: "builds", role: Reader,
		summary: "The report about the comparison, for people", content: "text/plain", ranges: true, errors: []int{404, 416},
		detail: "Programs read the verdict."}
	t.files.definition = definition{id: "files", method: http.MethodGet, path: "/v1/builds/{id}/files", tag: "builds", role: Reader,
		summary: "The files a build published", errors: []int{404}}
	t.file.definition = definition{id: "file", method: http.MethodGet, path: "/v1/builds/{id}/files/{name}", tag: "builds", role: Collector, owned: true,
		summary: "A file a build published", content: octets, ranges: true, errors: []int{404, 416},
		detail: "For role release, and for maintainers of the port. The ETag is the digest; ranges and If-Range are honoured."}
}

func (t *table) defineLogs() {
	t.steps.definition = definition{id: "steps", method: http.MethodGet, path: "/v1/builds/{id}/stages/{stage}/attempts/{fence}/steps", tag: "logs", role: Reader,
		summary: "The steps of an attempt, as far as it has come", errors: []int{404}}
	t.log.definition = definition{id: "log", method: http.MethodGet, path: "/v1/builds/{id}/stages/{stage}/attempts/{fence}/steps/{step}/log", tag: "logs", role: Reader,
		summary: "The log of a step, raw bytes", content: octets, stream: true,
		detail: "From an offset, up to what is there, or with follow until the step has ended. Whoever is cut off asks again with the offset it has come to. " +
			"The bytes come from a worker and may hold terminal controls. A farm may forget logs that are old.", errors: []int{404, 410, 416, 429}}
}

func (t *table) defineReleases() {
	t.releases.definition = definition{id: "releases", method: http.MethodGet, path: "/v1/releases", tag: "releases", role: Reader, summary: "Everything that may be collected"}
	t.release.definition = definition{id: "release", method: http.MethodGet, path: "/v1/releases/{port}/{version}", tag: "releases", role: Reader,
		summary: "A release with its files", errors: []int{404}}
	t.releaseFile.definition = definition{id: "release-file", method: http.MethodGet, path: "/v1/releases/{port}/{version}/files/{name}", tag: "releases", role: Collector,
		owned: true, summary: "A file of a release", content: octets, ranges: true, errors: []int{404, 416},
		detail: "For role release, and for maintainers of the port. The ETag is the digest; ranges and If-Range are honoured."}
}

func (t *table) defineAdmin() {
	t.workers.definition = definition{id: "workers", method: http.MethodGet, path: "/v1/workers", tag: "workers", role: Reader,
		summary: "The workers, with their facts, troubles and slots"}
	t.changeWorker.definition = definition{id: "change-worker", method: http.MethodPatch, path: "/v1/workers/{name}", tag: "workers", role: Admin,
		summary: "Drain a worker, or let it work again", detail: "What runs there goes on; a draining worker gets nothing new.", errors: []int{404, 422}}
	t.probe.definition = definition{id: "probe", method: http.MethodPost, path: "/v1/workers/{name}/probe", tag: "workers", role: Admin,
		status: http.StatusAccepted, summary: "Have a worker looked at soon", errors: []int{404}}
	t.tokens.definition = definition{id: "tokens", method: http.MethodGet, path: "/v1/tokens", tag: "tokens", role: Admin, summary: "The tokens, without their secrets"}
	t.addToken.definition = definition{id: "add-token", method: http.MethodPost, path: "/v1/tokens", tag: "tokens", role: Admin, status: http.StatusCreated,
		summary: "Make a token", detail: "The secret is in this answer and nowhere else. Without an expiry it holds for 90 days.", errors: []int{409, 422}}
	t.revokeToken.definition = definition{id: "revoke-token", method: http.MethodDelete, path: "/v1/tokens/{token}", tag: "tokens", role: Admin,
		status: http.StatusNoContent, summary: "Revoke a token, at once and for good", errors: []int{404}}
	t.audit.definition = definition{id: "audit", method: http.MethodGet, path: "/v1/audit", tag: "audit", role: Admin,
		summary: "Every change that was asked for after a number, oldest first", detail: "Those that were refused, too."}
}

// operation is the definition as huma and the description know it.
func (d definition) operation() huma.Operation {
	op := huma.Operation{
		OperationID: d.id, Method: d.method, Path: d.path, Tags: []string{d.tag}, Summary: d.summary, Description: d.detail,
		DefaultStatus: d.status, Errors: append([]int{429}, d.errors...), MaxBodyBytes: maxJSON, BodyReadTimeout: jsonLimit,
		Responses: map[string]*huma.Response{}, Metadata: map[string]any{definitionKey: d},
		Extensions: map[string]any{"x-zfarm-role": string(d.role)},
	}
	if d.role != "" {
		op.Security = []map[string][]string{{bearer: {}}}
		op.Errors = append(op.Errors, 401, 403, 503)
	}
	if d.content != "" {
		binary := &huma.MediaType{Schema: &huma.Schema{Type: huma.TypeString, Format: "binary"}}
		op.Responses["200"] = &huma.Response{Description: http.StatusText(http.StatusOK), Content: map[string]*huma.MediaType{d.content: binary}}
		if d.ranges {
			op.Responses["206"] = &huma.Response{Description: http.StatusText(http.StatusPartialContent), Content: map[string]*huma.MediaType{d.content: binary}}
			op.Responses["304"] = &huma.Response{Description: http.StatusText(http.StatusNotModified)}
		}
	}
	if d.archive {
		binary := &huma.MediaType{Schema: &huma.Schema{Type: huma.TypeString, Format: "binary"}}
		op.RequestBody = &huma.RequestBody{Required: true, Description: "The archive.",
			Content: map[string]*huma.MediaType{"application/x-tar": binary, "application/gzip": binary}}
	}
	return op
}

const (
	definitionKey = "definition"
	maxJSON       = 1 << 20          // bytes of a JSON body
	jsonLimit     = 30 * time.Second // for it to arrive
)

// operation adds what follows from the type of the input: a JSON body can be
// wrong in more ways.
func (c call[I, O]) operation() huma.Operation {
	op := c.definition.operation()
	if _, ok := reflect.TypeFor[I]().FieldByName("Body"); ok {
		op.Errors = append(op.Errors, 400, 408, 413, 415)
	}
	return op
}

// bind has an operation answered by handle.
func bind[I, O any](s *Server, c call[I, O], handle func(context.Context, *I) (*O, error)) {
	huma.Register(s.api, c.operation(), func(ctx context.Context, in *I) (*O, error) {
		out, err := handle(ctx, in)
		if err != nil {
			return nil, answerable(err)
		}
		return out, nil
	})
}

// bindAll is the other half of the table.
func (s *Server) bindAll() {
	t := s.calls
	bind(s, t.health, s.health)
	bind(s, t.ready, s.ready)
	bind(s, t.metrics, s.serveMetrics)
	bind(s, t.whoami, s.whoami)
	bind(s, t.submit, s.submit)
	bind(s, t.builds, s.builds)
	bind(s, t.build, s.build)
	bind(s, t.cancel, s.cancel)
	bind(s, t.changeBuild, s.changeBuild)
	bind(s, t.attempts, s.attempts)
	bind(s, t.why, s.why)
	bind(s, t.verdict, s.verdict)
	bind(s, t.report, s.report)
	bind(s, t.files, s.files)
	bind(s, t.file, s.file)
	bind(s, t.steps, s.steps)
	bind(s, t.log, s.log)
	bind(s, t.events, s.events)
	bind(s, t.follow, s.follow)
	bind(s, t.releases, s.releases)
	bind(s, t.release, s.release)
	bind(s, t.releaseFile, s.releaseFile)
	bind(s, t.workers, s.workers)
	bind(s, t.changeWorker, s.changeWorker)
	bind(s, t.probe, s.probe)
	bind(s, t.tokens, s.tokens)
	bind(s, t.addToken, s.addToken)
	bind(s, t.revokeToken, s.revokeToken)
	bind(s, t.audit, s.audit)
}

// newRegistry describes the types that are written as text or numbers.
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
