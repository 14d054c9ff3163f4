// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

package wire

import (
	"net/http"
	"reflect"
)

// Operation is the part of an operation that server, description and client share.
type Operation struct {
	ID, Method, Path string
	Tag, Summary     string
	// Detail is what else a caller should know.
	Detail string
	// Role is the required role; "" admits everybody. Owned means that a maintainer
	// also needs the right to the port, which the operation itself checks.
	Role  Role
	Owned bool
	// Status is the status of success; 0 means 200.
	Status int
	// Content is the media type of an answer that is not JSON.
	Content string
	// Archive: the body is an archive, read as a stream.
	Archive bool
	// Ranges: the client can request parts of the answer.
	Ranges bool
	// Stream: the answer goes on until one side ends it.
	Stream bool
	// Errors are the statuses that this operation itself refuses with.
	Errors []int
}

// Changes reports whether the operation changes anything.
func (o Operation) Changes() bool { return o.Method != http.MethodGet }

// Call is an operation with the types of its input and output: structs of fields with
// path, query and header tags, and Body. The output is a [Stream] if the answer is not
// JSON.
type Call[I, O any] struct{ Operation }

// Definition returns the operation and the types of its input and output, for programs
// that walk the table.
func (c Call[I, O]) Definition() (Operation, reflect.Type, reflect.Type) {
	return c.Operation, reflect.TypeFor[I](), reflect.TypeFor[O]()
}

// Stream stands for an answer that is bytes: a file, a log, events.
type Stream struct{}

// Operations is the table of every operation of the API.
type Operations struct {
	Health       Call[NothingInput, HealthOutput]
	Ready        Call[NothingInput, HealthOutput]
	Metrics      Call[NothingInput, Stream]
	Submit       Call[SubmitInput, SubmitOutput]
	Builds       Call[BuildsInput, BuildsOutput]
	Build        Call[BuildInput, BuildOutput]
	Cancel       Call[BuildInput, BuildOutput]
	ChangeBuild  Call[ChangeBuildInput, BuildOutput]
	Attempts     Call[BuildInput, AttemptsOutput]
	Why          Call[BuildInput, WhyOutput]
	Verdict      Call[BuildInput, Stream]
	Report       Call[BuildInput, Stream]
	Files        Call[BuildInput, FilesOutput]
	File         Call[FileInput, Stream]
	Steps        Call[AttemptInput, StepsOutput]
	Log          Call[LogInput, Stream]
	Events       Call[EventsInput, EventsOutput]
	Follow       Call[FollowInput, Stream]
	Releases     Call[NothingInput, ReleasesOutput]
	Release      Call[ReleaseInput, ReleaseOutput]
	ReleaseFile  Call[ReleaseFileInput, Stream]
	Workers      Call[WorkersInput, WorkersOutput]
	ChangeWorker Call[ChangeWorkerInput, WorkerOutput]
	Probe        Call[WorkerInput, WorkerOutput]
	Tokens       Call[NothingInput, TokensOutput]
	AddToken     Call[AddTokenInput, AddTokenOutput]
	RevokeToken  Call[TokenInput, NothingOutput]
	Audit        Call[AuditInput, AuditOutput]
	Whoami       Call[NothingInput, WhoOutput]
}

// Octets is the media type of arbitrary bytes.
const Octets = "application/octet-stream"

// NewOperations returns the table: the only definition of the API.
func NewOperations() Operations {
	t := Operations{}
	t.defineFarm()
	t.defineBuilds()
	t.defineLogs()
	t.defineReleases()
	t.defineAdmin()
	return t
}

func (t *Operations) defineFarm() {
	t.Health.Operation = Operation{ID: "health", Method: http.MethodGet, Path: "/healthz", Tag: "farm", Summary: "Whether the server answers"}
	t.Ready.Operation = Operation{ID: "ready", Method: http.MethodGet, Path: "/readyz", Tag: "farm", Summary: "Whether the farm can work",
		Detail: "The database answers and takes writes.", Errors: []int{503}}
	t.Metrics.Operation = Operation{ID: "metrics", Method: http.MethodGet, Path: "/metrics", Tag: "farm", Role: Reader,
		Summary: "Figures for Prometheus", Content: "text/plain"}
	t.Whoami.Operation = Operation{ID: "whoami", Method: http.MethodGet, Path: "/v1/whoami", Tag: "farm", Role: Reader,
		Summary: "Who the token is for, with which roles and ports"}
	t.Events.Operation = Operation{ID: "events", Method: http.MethodGet, Path: "/v1/events", Tag: "events", Role: Reader,
		Summary: "What happened after a number, oldest first"}
	t.Follow.Operation = Operation{ID: "follow-events", Method: http.MethodGet, Path: "/v1/events/stream", Tag: "events", Role: Reader,
		Summary: "What happens, as it happens", Content: "text/event-stream", Stream: true,
		Detail: "Server-sent events: id is the number of the event, event is \"transition\", data is the event as JSON. Quiet streams carry comments as heartbeats. " +
			"A client that was cut off goes on with Last-Event-ID.", Errors: []int{429}}
}

func (t *Operations) defineBuilds() {
	t.Submit.Operation = Operation{ID: "submit", Method: http.MethodPost, Path: "/v1/submissions", Tag: "builds", Role: Maintainer, Owned: true,
		Summary: "Submit recipes", Archive: true, Status: http.StatusAccepted,
		Detail: "The body is a tar, compressed with gzip or not, of one or more folders each with recipe.hcl, or of one such folder at its root, with patches and keys. " +
			"At most 64 MiB as sent and 64 MiB expanded, 16 MiB a file, 2,000 members; regular files and folders only. All recipes are taken or none. " +
			"What was submitted before with the same recipe and needs is the build that is there already (fresh is false).",
		Errors: []int{400, 408, 413, 422}}
	t.Builds.Operation = Operation{ID: "builds", Method: http.MethodGet, Path: "/v1/builds", Tag: "builds", Role: Reader, Summary: "Builds, newest first"}
	t.Build.Operation = Operation{ID: "build", Method: http.MethodGet, Path: "/v1/builds/{id}", Tag: "builds", Role: Reader,
		Summary: "A build with its stages and needs", Errors: []int{404}}
	t.Cancel.Operation = Operation{ID: "cancel", Method: http.MethodPost, Path: "/v1/builds/{id}/cancel", Tag: "builds", Role: Maintainer, Owned: true,
		Summary: "Cancel a build", Detail: "Its stages end at once; workers are cleaned afterwards. Cancelling a build that is over changes nothing.", Errors: []int{404, 409}}
	t.ChangeBuild.Operation = Operation{ID: "change-build", Method: http.MethodPatch, Path: "/v1/builds/{id}", Tag: "builds", Role: Maintainer, Owned: true,
		Summary: "Change the priority of a build, pause it or let it go on", Detail: "A pause keeps stages from beginning; what runs goes on.", Errors: []int{404, 409, 422}}
	t.Attempts.Operation = Operation{ID: "attempts", Method: http.MethodGet, Path: "/v1/builds/{id}/attempts", Tag: "builds", Role: Reader,
		Summary: "The attempts of a build", Errors: []int{404}}
	t.Why.Operation = Operation{ID: "why", Method: http.MethodGet, Path: "/v1/builds/{id}/why", Tag: "builds", Role: Reader,
		Summary: "What each stage of a build waits for, worker by worker", Errors: []int{404}}
	t.Verdict.Operation = Operation{ID: "verdict", Method: http.MethodGet, Path: "/v1/builds/{id}/verdict", Tag: "builds", Role: Reader,
		Summary: "What the comparison says, with its findings", Content: "application/json", Ranges: true, Errors: []int{404, 416}}
	t.Report.Operation = Operation{ID: "report", Method: http.MethodGet, Path: "/v1/builds/{id}/report", Tag: "builds", Role: Reader,
		Summary: "The report about the comparison, for people", Content: "text/plain", Ranges: true, Errors: []int{404, 416},
		Detail: "Programs read the verdict."}
	t.Files.Operation = Operation{ID: "files", Method: http.MethodGet, Path: "/v1/builds/{id}/files", Tag: "builds", Role: Reader,
		Summary: "The files a build published", Errors: []int{404}}
	t.File.Operation = Operation{ID: "file", Method: http.MethodGet, Path: "/v1/builds/{id}/files/{name}", Tag: "builds", Role: Collector, Owned: true,
		Summary: "A file a build published", Content: Octets, Ranges: true, Errors: []int{404, 416},
		Detail: "For role release, and for maintainers of the port. The ETag is the digest; ranges and If-Range are honoured."}
}

func (t *Operations) defineLogs() {
	t.Steps.Operation = Operation{ID: "steps", Method: http.MethodGet, Path: "/v1/builds/{id}/stages/{stage}/attempts/{fence}/steps", Tag: "logs", Role: Reader,
		Summary: "The steps of an attempt, as far as it has come", Errors: []int{404}}
	t.Log.Operation = Operation{ID: "log", Method: http.MethodGet, Path: "/v1/builds/{id}/stages/{stage}/attempts/{fence}/steps/{step}/log", Tag: "logs", Role: Reader,
		Summary: "The log of a step, raw bytes", Content: Octets, Stream: true,
		Detail: "From an offset, up to what is there, or with follow until the step has ended. Whoever is cut off asks again with the offset it has come to. " +
			"The bytes come from a worker and may hold terminal controls. A farm may forget logs that are old.", Errors: []int{404, 410, 416, 429}}
}

func (t *Operations) defineReleases() {
	t.Releases.Operation = Operation{ID: "releases", Method: http.MethodGet, Path: "/v1/releases", Tag: "releases", Role: Reader, Summary: "Everything that may be collected"}
	t.Release.Operation = Operation{ID: "release", Method: http.MethodGet, Path: "/v1/releases/{port}/{version}", Tag: "releases", Role: Reader,
		Summary: "A release with its files", Errors: []int{404}}
	t.ReleaseFile.Operation = Operation{ID: "release-file", Method: http.MethodGet, Path: "/v1/releases/{port}/{version}/files/{name}", Tag: "releases", Role: Collector,
		Owned: true, Summary: "A file of a release", Content: Octets, Ranges: true, Errors: []int{404, 416},
		Detail: "For role release, and for maintainers of the port. The ETag is the digest; ranges and If-Range are honoured."}
}

func (t *Operations) defineAdmin() {
	t.Workers.Operation = Operation{ID: "workers", Method: http.MethodGet, Path: "/v1/workers", Tag: "workers", Role: Reader,
		Summary: "The workers, with their facts, quarantines and slots", Errors: []int{422}}
	t.ChangeWorker.Operation = Operation{ID: "change-worker", Method: http.MethodPatch, Path: "/v1/workers/{name}", Tag: "workers", Role: Admin,
		Summary: "Drain a worker, or let it work again", Detail: "What runs there goes on; a draining worker gets nothing new.", Errors: []int{404, 422}}
	t.Probe.Operation = Operation{ID: "probe", Method: http.MethodPost, Path: "/v1/workers/{name}/probe", Tag: "workers", Role: Admin,
		Status: http.StatusAccepted, Summary: "Have a worker probed soon", Errors: []int{404}}
	t.Tokens.Operation = Operation{ID: "tokens", Method: http.MethodGet, Path: "/v1/tokens", Tag: "tokens", Role: Admin, Summary: "The tokens, without their secrets"}
	t.AddToken.Operation = Operation{ID: "add-token", Method: http.MethodPost, Path: "/v1/tokens", Tag: "tokens", Role: Admin, Status: http.StatusCreated,
		Summary: "Make a token", Detail: "The secret is in this answer and nowhere else. Without an expiry it holds for 90 days.", Errors: []int{409, 422}}
	t.RevokeToken.Operation = Operation{ID: "revoke-token", Method: http.MethodDelete, Path: "/v1/tokens/{token}", Tag: "tokens", Role: Admin,
		Status: http.StatusNoContent, Summary: "Revoke a token, at once and for good", Errors: []int{404}}
	t.Audit.Operation = Operation{ID: "audit", Method: http.MethodGet, Path: "/v1/audit", Tag: "audit", Role: Admin,
		Summary: "Every change that was asked for after a number, oldest first", Detail: "Those that were refused, too."}
}
