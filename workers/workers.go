// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

// Package workers defines what the farm needs of a build machine: its facts, and
// workspaces on it in which named steps run.
//
// It holds types and the contract only. workers/ssh and workers/local implement it,
// both through workers/runner; workers/workertest is the contract as a test.
// orchestrator decides which attempt gets which worker.
package workers

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/zfarm/zfarm/attest/digest"
)

// Errors that callers test for. Adapters wrap them and add details.
var (
	// ErrLost: contact with the worker was lost, or the step vanished with it. Nothing
	// is known about the step; try another worker. An ErrLost never stands for an exit
	// code.
	ErrLost = errors.New("worker lost")
	// ErrVanished: the worker answers, and what was begun there is gone: the worker was
	// restarted, or somebody cleaned up. Every such error is also an ErrLost.
	ErrVanished = fmt.Errorf("nothing of it is left there: %w", ErrLost)
	// ErrUnreachable: no connection could be made at all. Every such error is also an
	// ErrLost.
	ErrUnreachable = errors.New("worker unreachable")
	// ErrHostKey: the worker's host key is not one of those pinned for it. Try another
	// worker, but do not retry this one: an administrator must check it.
	ErrHostKey = errors.New("host key is not the pinned one")
	// ErrAuth: the worker refused every credential offered.
	ErrAuth = errors.New("worker refused the credentials")
	// ErrUnfit: the machine lacks something that the farm requires (a shell with job
	// control, free space, an archiver).
	ErrUnfit = errors.New("worker unfit")
	// ErrStepChanged: a step of that name was begun with a different script, folder,
	// environment or limit.
	ErrStepChanged = errors.New("step already begun with other contents")
)

// Worker is a build machine.
type Worker interface {
	// Name identifies the worker to people and in records; unique in a farm.
	Name() string
	// Facts probes the machine. It searches for the programs that the farm itself and
	// its plugins use, and for the named tools: at most [MaxTools], each of which must
	// satisfy [ValidTool]. For an unfit machine the error wraps ErrUnfit and says what
	// is missing and what to install or set.
	Facts(ctx context.Context, tools ...string) (Facts, error)
	// Workspace makes the workspace of that id, or joins it if it exists. The id must
	// satisfy [ValidID].
	Workspace(ctx context.Context, id string) (Workspace, error)
	// Workspaces returns the ids of the existing workspaces, sorted.
	Workspaces(ctx context.Context) ([]string, error)
	// Close drops connections. Steps go on until their lease runs out.
	Close() error
}

// Workspace is the place of one attempt on a worker. Names are slash-separated
// and relative to its root; a name that leaves the root is an error. Methods
// may be called concurrently.
type Workspace interface {
	// Put writes a file atomically (to a temporary name, then renamed), makes its
	// parent folders, and returns the digest of the bytes it sent.
	Put(ctx context.Context, name string, mode fs.FileMode, r io.Reader) (digest.Digest, error)
	// Get copies a regular file to w and returns the digest of the bytes that arrived.
	// A missing file is fs.ErrNotExist.
	Get(ctx context.Context, name string, w io.Writer) (digest.Digest, error)
	// List returns the entries of a folder, sorted by name, without following links. A
	// missing folder is fs.ErrNotExist.
	List(ctx context.Context, dir string) ([]Entry, error)
	// Run starts the step, joins it if it runs, or recalls it if it ended, and copies
	// its whole log, from the first byte, to log. It returns when the step has ended.
	// Cancelling ctx ends the watching, not the step. While Run watches the step it
	// renews its lease; an unwatched step is ended when its lease runs out. A second
	// call with the same name and different contents is ErrStepChanged.
	Run(ctx context.Context, s Step, log io.Writer) (Status, error)
	// Stop ends everything that runs in the workspace and waits until it is gone.
	Stop(ctx context.Context) error
	// Remove stops and deletes the workspace. Removing twice is no error.
	Remove(ctx context.Context) error
}

// Step is one named script. It contains everything the step may depend on: the step
// starts with exactly Env, inherits nothing, and also gets ZFARM_ROOT, the absolute
// path of the workspace.
type Step struct {
	// Name satisfies [ValidID] and is unique in its workspace.
	Name string
	// Script is run by the worker's shell (POSIX sh) without "set -e"; its exit status
	// is the step's.
	Script string
	// Dir is the working folder, relative to the workspace; "" is its root.
	Dir string
	// Env is the whole environment. Names satisfy [ValidEnvName]. In values the runner
	// replaces "${ZFARM_ROOT}" with the path of the workspace; nothing else in them is
	// special.
	Env map[string]string
	// Umask is the step's umask; 0 means 022.
	Umask fs.FileMode
	// Limit is how long the step may run, rounded up to whole seconds. 0 means no
	// limit.
	Limit time.Duration
}

// State is how a step ended.
type State string

// The ways a step can end.
const (
	Exited  State = "exited"  // by itself, with Code
	Limit   State = "limit"   // ran past its limit; the runner ended it
	Lease   State = "lease"   // nobody renewed the lease; the runner ended it
	Stopped State = "stopped" // Stop was called
	// LogLimit: its log grew beyond the worker's limit; the runner ended it.
	LogLimit State = "log"
)

// Status describes how a step ended.
type Status struct {
	State State `json:"state"`
	// Code is the exit status, 0 to 255 (128+n if signal n ended it); only for Exited.
	Code int `json:"code"`
	// Took is how long the step ran by the worker's clock, in whole seconds.
	Took time.Duration `json:"took"`
}

// OK reports whether the step exited with 0.
func (s Status) OK() bool { return s.State == Exited && s.Code == 0 }

// Entry is one name in a folder of a workspace.
type Entry struct {
	Name string
	Size int64
	Mode fs.FileMode
	// ModTime is by the worker's clock.
	ModTime time.Time
}

// Facts is what a probe read off a worker. The worker reports it, so it is kept apart
// from what the orchestrator observed itself.
type Facts struct {
	// Uname is the raw line of "uname -a"; System, Host, Release, Version and
	// Machine are its fields as "uname -s -n -r -v -m" gave them.
	Uname   string `json:"uname"`
	System  string `json:"system"`
	Host    string `json:"host"`
	Release string `json:"release"`
	Version string `json:"version"`
	Machine string `json:"machine"`
	// User is the account's name.
	User string `json:"user"`
	// Shell is the path of the shell that runs steps; it passed the probe for job
	// control.
	Shell string `json:"shell"`
	// CodePage is the code page of text made on the worker: "ISO8859-1" or "IBM-1047".
	CodePage string `json:"code_page"`
	// Archiver is the program that packs and unpacks trees there.
	Archiver Archiver `json:"archiver"`
	// Tools maps the name of a tool to what the probe found.
	Tools map[string]Tool `json:"tools"`
	// Absent are the tools that the probe searched for and did not find, sorted. A tool
	// that is neither here nor in Tools is unknown.
	Absent []string `json:"absent,omitempty"`
	// Locales lists the output of "locale -a", sorted; bounded in number.
	Locales []string `json:"locales"`
	// Cores is the number of online processors; 0 if unknown.
	Cores int `json:"cores"`
	// FreeBytes is the free space in the file system of the workspaces.
	FreeBytes int64 `json:"free_bytes"`
	// Path is the default search path of the system (getconf PATH) with the folders
	// configured for the worker; steps get it as PATH.
	Path string `json:"path"`
	// ClockOffset is worker time minus orchestrator time; shown, never trusted.
	ClockOffset time.Duration `json:"clock_offset"`
	// Server is the banner of the SSH server; "" if there is none.
	Server string `json:"server,omitempty"`
}

// Knows reports whether a probe searched for the tool, found or not.
func (f Facts) Knows(tool string) bool {
	_, found := f.Tools[tool]
	return found || slices.Contains(f.Absent, tool)
}

// Tool is one program found on a worker.
type Tool struct {
	Path string `json:"path"`
	// Banner is the first line of its version text, raw.
	Banner string `json:"banner"`
	// Version is the version number in the banner, if one is recognized, or "".
	Version string `json:"version"`
}

// Archiver names the program, and its dialect, that packs trees on a worker.
type Archiver string

// The archivers the farm knows. All of them write POSIX.1-2001 pax archives.
const (
	ArchiverZOSPax Archiver = "zos-pax" // pax -x pax with tags and attributes
	ArchiverGNUTar Archiver = "gnu-tar" // tar --format=pax
	ArchiverBSDTar Archiver = "bsd-tar" // tar --format=pax (libarchive)
)

// UnpackCommand returns the shell command that unpacks an archive into the current
// folder. archive is a path as the shell sees it, already quoted where needed.
func (a Archiver) UnpackCommand(archive string) string {
	switch a {
	case ArchiverZOSPax:
		return "pax -r -p p -f " + archive
	default:
		return "tar -xpf " + archive
	}
}

// PackCommand returns the shell command that packs the folder dir into one pax archive,
// with names relative to dir.
func (a Archiver) PackCommand(dir, archive string) string {
	switch a {
	case ArchiverZOSPax:
		return "(cd " + dir + " && pax -w -x pax -o saveext -f " + archive + " .)"
	case ArchiverBSDTar:
		return "tar --format=pax -C " + dir + " -cf " + archive + " ."
	default:
		return "tar --format=pax --sort=name -C " + dir + " -cf " + archive + " ."
	}
}

// ValidID reports whether s may name a step or workspace: up to 100 lower-case
// letters, digits, dots, dashes and underscores, beginning with a letter or
// digit.
func ValidID(s string) bool {
	if s == "" || len(s) > 100 || strings.IndexByte("._-", s[0]) >= 0 {
		return false
	}
	for _, c := range []byte(s) {
		if (c < 'a' || c > 'z') && (c < '0' || c > '9') && strings.IndexByte("._-", c) < 0 {
			return false
		}
	}
	return true
}

// MaxTools bounds the number of tools that one probe can be asked for.
const MaxTools = 300

// ValidTool reports whether s may name a tool, which is a program without a folder: up
// to 64 letters, digits, and characters of "+._-", beginning with a letter, a digit or
// an underscore. None of them is special to a shell.
func ValidTool(s string) bool {
	if s == "" || len(s) > 64 || strings.IndexByte("+.-", s[0]) >= 0 {
		return false
	}
	for _, c := range []byte(s) {
		letter := c >= 'A' && c <= 'Z' || c >= 'a' && c <= 'z'
		if !letter && (c < '0' || c > '9') && strings.IndexByte("+._-", c) < 0 {
			return false
		}
	}
	return true
}

// ValidEnvName reports whether s may name a variable of a step's environment.
// ZFARM_ROOT is reserved for the runner.
func ValidEnvName(s string) bool {
	if s == "" || len(s) > 100 || s == "ZFARM_ROOT" || (s[0] >= '0' && s[0] <= '9') {
		return false
	}
	for _, c := range []byte(s) {
		letter := c >= 'A' && c <= 'Z' || c >= 'a' && c <= 'z' || c == '_'
		if !letter && (c < '0' || c > '9') {
			return false
		}
	}
	return true
}

// CleanName returns name as a clean path inside a workspace. The error wraps
// fs.ErrInvalid if name is absolute, leaves the workspace, or contains a NUL or a
// newline. "" and "." name the root.
func CleanName(name string) (string, error) {
	if name == "" {
		return ".", nil
	}
	clean := path.Clean(name)
	if path.IsAbs(name) || clean == ".." || strings.HasPrefix(clean, "../") || strings.ContainsAny(name, "\x00\n") {
		return "", &fs.PathError{Op: "name", Path: name, Err: fs.ErrInvalid}
	}
	return clean, nil
}

// Quote returns s as one word for a POSIX shell.
func Quote(s string) string {
	return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
}
