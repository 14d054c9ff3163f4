// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

package wire

import "time"

// Worker is a registered worker.
type Worker struct {
	Name       string            `json:"name"`
	Address    string            `json:"address"`
	Labels     map[string]string `json:"labels,omitempty"`
	Slots      int               `json:"slots"`
	Draining   bool              `json:"draining,omitempty" doc:"Somebody asked that it gets nothing new"`
	Quarantine *Quarantine       `json:"quarantine,omitempty" doc:"Why it gets nothing new although nobody asked for that"`
	Facts      *Facts            `json:"facts,omitempty" doc:"Those of the last good probe; absent before the first"`
	Probed     time.Time         `json:"probed,omitzero"`
	Registered bool              `json:"registered" doc:"The farm's file names it"`
	Held       []Lease           `json:"held,omitempty" doc:"The attempts that hold its slots now"`
}

// Quarantine says why the farm itself gives a worker no new work.
type Quarantine struct {
	Code   string    `json:"code" doc:"The reason, one of a closed set, for programs"`
	Since  time.Time `json:"since,omitzero" doc:"When the worker came to be quarantined for this reason"`
	Detail string    `json:"detail" doc:"What was found and what to do about it, in a sentence for people"`
	Who    string    `json:"who,omitempty" doc:"The orchestrator that found it"`
}

// Lease is the right of one attempt to one slot.
type Lease struct {
	Worker string    `json:"worker"`
	Slot   int       `json:"slot"`
	Build  string    `json:"build"`
	Stage  string    `json:"stage"`
	Fence  int64     `json:"fence"`
	Since  time.Time `json:"since,omitzero"`
}

// Facts is what a probe read off a worker: the worker reported it, and the farm does
// not vouch for it.
type Facts struct {
	Uname       string          `json:"uname" doc:"The line of uname -a"`
	System      string          `json:"system"`
	Host        string          `json:"host"`
	Release     string          `json:"release"`
	Version     string          `json:"version"`
	Machine     string          `json:"machine"`
	User        string          `json:"user"`
	Shell       string          `json:"shell" doc:"The shell that runs steps"`
	CodePage    string          `json:"code_page" doc:"The code page of text made on the worker"`
	Archiver    string          `json:"archiver" doc:"How trees are packed there"`
	Tools       map[string]Tool `json:"tools"`
	Locales     []string        `json:"locales"`
	Cores       int             `json:"cores" doc:"Processors on line; 0 when unknown"`
	FreeBytes   int64           `json:"free_bytes" doc:"Room in the file system of the workspaces"`
	Path        string          `json:"path" doc:"The search path that steps get"`
	ClockOffset time.Duration   `json:"clock_offset" doc:"The worker's time minus the farm's"`
	Server      string          `json:"server,omitempty" doc:"The banner of the SSH server"`
}

// Tool is one program found on a worker.
type Tool struct {
	Path    string `json:"path"`
	Banner  string `json:"banner" doc:"The first line of its version text"`
	Version string `json:"version" doc:"What looks like a version number in the banner"`
}

// WorkerChange changes a worker; nil fields stay as they are.
type WorkerChange struct {
	Draining *bool `json:"draining,omitempty" doc:"Whether it gets nothing new"`
}
