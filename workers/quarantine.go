// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

package workers

import "time"

// Quarantine says why a worker gets nothing new although nobody asked for that.
// It ends by itself when a probe finds the reason gone. Draining is another
// thing: a person asks for it, and a person ends it.
type Quarantine struct {
	Code QuarantineCode `json:"code"`
	// Since is when the worker came to be quarantined for this reason.
	Since time.Time `json:"since,omitzero"`
	// Detail is a sentence for people: what was found, and what to do about it.
	Detail string `json:"detail"`
	// Who is the orchestrator that quarantined the worker, by its name.
	Who string `json:"who,omitempty"`
}

// QuarantineCode names a reason for quarantine. The set is closed: it is the
// constants below and the labels that [QuarantineCode.Label] returns.
type QuarantineCode string

// The reasons. A new one needs its constant, its row in quarantineLabels, and
// the place that detects it.
const (
	QuarantineNotProbed   QuarantineCode = "not-probed"
	QuarantineUnreachable QuarantineCode = "unreachable"
	QuarantineProbeLost   QuarantineCode = "probe-lost"
	QuarantineProbeFailed QuarantineCode = "probe-failed"
	QuarantineHostKey     QuarantineCode = "host-key"
	QuarantineCredentials QuarantineCode = "credentials"
	QuarantineUnfit       QuarantineCode = "unfit"
	QuarantineNoArchiver  QuarantineCode = "no-archiver"
	QuarantineDiskFull    QuarantineCode = "disk-full"
	QuarantineClock       QuarantineCode = "clock"
	QuarantineLostAttempt QuarantineCode = "lost-attempt"
	QuarantineStopping    QuarantineCode = "stopping"
	QuarantineLeftovers   QuarantineCode = "leftovers"
)

type quarantineLabel struct {
	code  QuarantineCode
	label string
}

func quarantineLabels() []quarantineLabel {
	return []quarantineLabel{
		{QuarantineNotProbed, "not probed yet"},
		{QuarantineUnreachable, "unreachable"},
		{QuarantineProbeLost, "connection lost during the probe"},
		{QuarantineProbeFailed, "probe failed"},
		{QuarantineHostKey, "wrong host key"},
		{QuarantineCredentials, "credentials refused"},
		{QuarantineUnfit, "lacks what the farm needs"},
		{QuarantineNoArchiver, "no archiver"},
		{QuarantineDiskFull, "disk nearly full"},
		{QuarantineClock, "clock is wrong"},
		{QuarantineLostAttempt, "lost an attempt"},
		{QuarantineStopping, "stopping a cancelled attempt"},
		{QuarantineLeftovers, "workspaces cannot be removed"},
	}
}

// QuarantineCodes returns every reason there is, in the order of the docs.
func QuarantineCodes() []QuarantineCode {
	var all []QuarantineCode
	for _, l := range quarantineLabels() {
		all = append(all, l.code)
	}
	return all
}

// Label is the code in some words for people. A code of another version of this
// program is its own label.
func (c QuarantineCode) Label() string {
	for _, l := range quarantineLabels() {
		if l.code == c {
			return l.label
		}
	}
	return string(c)
}

// Valid reports whether this program knows the code.
func (c QuarantineCode) Valid() bool {
	for _, l := range quarantineLabels() {
		if l.code == c {
			return true
		}
	}
	return false
}

// String is the label and the detail.
func (q *Quarantine) String() string { return q.Code.Label() + ": " + q.Detail }
