// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

package wire

// Inputs and outputs of the operations. Server and client read the same tags.

// NothingInput is the input of operations without parameters.
type NothingInput struct{}

// NothingOutput is the output of operations that return nothing.
type NothingOutput struct{}

// HealthOutput is the condition of the farm.
type HealthOutput struct {
	Body struct {
		Status  string `json:"status" doc:"\"ok\""`
		Version string `json:"version"`
	}
}

// WhoOutput is the principal that the token belongs to.
type WhoOutput struct{ Body Principal }

// SubmitInput is a submission; its body is read as a stream.
type SubmitInput struct {
	Priority int  `query:"priority" minimum:"-100" maximum:"100" doc:"Higher is sooner; 0 is usual"`
	Force    bool `query:"force" doc:"Build anew what was built before"`
}

// SubmitOutput is the result for each recipe, in the order of their folders.
type SubmitOutput struct {
	Body struct {
		Taken []Taken `json:"taken" nullable:"false"`
	}
}

// BuildsInput selects builds.
type BuildsInput struct {
	Port   string     `query:"port" maxLength:"200"`
	Owner  string     `query:"owner" maxLength:"400"`
	State  BuildState `query:"state" enum:"waiting,queued,running,succeeded,failed,cancelled"`
	Before int64      `query:"before" minimum:"0" doc:"Only builds older than this seq: the before of the page so far"`
	Limit  int        `query:"limit" minimum:"0" maximum:"500" doc:"At most so many; 50 if not given"`
}

// BuildsOutput is a page of builds.
type BuildsOutput struct {
	Body BuildsPage
}

// BuildInput names a build.
type BuildInput struct {
	ID string `path:"id" maxLength:"200" doc:"The id of the build"`
}

// BuildOutput is a build.
type BuildOutput struct{ Body Build }

// ChangeBuildInput is a change of a build.
type ChangeBuildInput struct {
	BuildInput
	Body BuildChange
}

// AttemptsOutput lists attempts, oldest first.
type AttemptsOutput struct {
	Body struct {
		Attempts []Attempt `json:"attempts" nullable:"false"`
	}
}

// WhyOutput says what stages wait for.
type WhyOutput struct {
	Body struct {
		Waiting []Waiting `json:"waiting" nullable:"false"`
	}
}

// FilesOutput lists files.
type FilesOutput struct {
	Body struct {
		Files []File `json:"files" nullable:"false"`
	}
}

// FileInput names a file of a build.
type FileInput struct {
	BuildInput
	Name string `path:"name" maxLength:"300" doc:"The name of the file"`
}

// AttemptInput names an attempt.
type AttemptInput struct {
	BuildInput
	Stage string `path:"stage" maxLength:"100" doc:"The id of the stage"`
	Fence int64  `path:"fence" minimum:"1" doc:"The fence of the attempt"`
}

// StepsOutput lists steps in the order in which they began.
type StepsOutput struct {
	Body struct {
		Steps []Step `json:"steps" nullable:"false"`
	}
}

// LogInput selects a part of a log.
type LogInput struct {
	AttemptInput
	Step   string `path:"step" maxLength:"200" doc:"The name of the step"`
	Offset int64  `query:"offset" minimum:"0" doc:"The first byte to send"`
	Follow bool   `query:"follow" doc:"Go on until the step has ended"`
}

// EventsInput selects events.
type EventsInput struct {
	After int64  `query:"after" minimum:"0" doc:"Only events with a higher seq"`
	Build string `query:"build" maxLength:"200" doc:"Only those of this build"`
	Limit int    `query:"limit" minimum:"0" maximum:"1000" doc:"At most so many; 100 if not given"`
}

// EventsOutput is a page of events.
type EventsOutput struct {
	Body struct {
		Events []Event `json:"events" nullable:"false"`
	}
}

// FollowInput selects events to follow.
type FollowInput struct {
	After int64  `query:"after" minimum:"0" doc:"Only events with a higher seq"`
	Build string `query:"build" maxLength:"200" doc:"Only those of this build"`
	Last  string `header:"Last-Event-ID" maxLength:"20" pattern:"^[0-9]+$" doc:"The seq of the last event seen; counts more than after"`
}

// ReleasesOutput lists releases.
type ReleasesOutput struct {
	Body struct {
		Releases []Release `json:"releases" nullable:"false"`
	}
}

// ReleaseInput names a release.
type ReleaseInput struct {
	Port    string `path:"port" maxLength:"200" doc:"The port"`
	Version string `path:"version" maxLength:"200" doc:"Its version"`
}

// ReleaseOutput is a release with its files.
type ReleaseOutput struct{ Body ReleaseFiles }

// ReleaseFileInput names a file of a release.
type ReleaseFileInput struct {
	ReleaseInput
	Name string `path:"name" maxLength:"300" doc:"The name of the file"`
}

// WorkersInput chooses workers.
type WorkersInput struct {
	Quarantine string `query:"quarantine" maxLength:"100" doc:"Only those quarantined with this code; any for all that are quarantined"`
}

// AnyQuarantine chooses workers that are quarantined, whatever the code.
const AnyQuarantine = "any"

// WorkersOutput lists workers.
type WorkersOutput struct {
	Body struct {
		Workers []Worker `json:"workers" nullable:"false"`
	}
}

// WorkerInput names a worker.
type WorkerInput struct {
	Name string `path:"name" maxLength:"200" doc:"The name of the worker"`
}

// WorkerOutput is a worker.
type WorkerOutput struct{ Body Worker }

// ChangeWorkerInput is a change of a worker.
type ChangeWorkerInput struct {
	WorkerInput
	Body WorkerChange
}

// TokensOutput lists tokens.
type TokensOutput struct {
	Body struct {
		Tokens []Token `json:"tokens" nullable:"false"`
	}
}

// AddTokenInput asks for a token.
type AddTokenInput struct{ Body NewToken }

// AddTokenOutput is a new token.
type AddTokenOutput struct{ Body MadeToken }

// TokenInput names a token.
type TokenInput struct {
	ID string `path:"token" maxLength:"200" doc:"The id of the token"`
}

// AuditInput selects entries.
type AuditInput struct {
	After int64 `query:"after" minimum:"0" doc:"Only entries with a higher seq"`
	Limit int   `query:"limit" minimum:"0" maximum:"1000" doc:"At most so many; 100 if not given"`
}

// AuditOutput is a page of entries.
type AuditOutput struct {
	Body struct {
		Audit []Audit `json:"audit" nullable:"false"`
	}
}
