// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

package workers

import "time"

// Quarantine says why the farm itself gives a worker no new work. It ends by itself
// when a probe finds the reason gone. Draining is different: a person requests it, and
// a person ends it.
type Quarantine struct {
	Code QuarantineCode `json:"code"`
	// Since is when the worker was quarantined for this reason.
	Since time.Time `json:"since,omitzero"`
	// Detail is a sentence for people: what was found, and what to do about it.
	Detail string `json:"detail"`
	// Who is the name of the orchestrator that quarantined the worker.
	Who string `json:"who,omitempty"`
}

// QuarantineCode names a reason for quarantine. The set is closed: it is the
// constants below and the labels that [QuarantineCode.Label] returns.
type QuarantineCode string

// The reasons. A new one needs a constant, a row in quarantineLabels, and code that
// detects it.
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

// QuarantineCodes returns every reason, in the order of the documentation.
func QuarantineCodes() []QuarantineCode {
	var all []QuarantineCode
	for _, l := range quarantineLabels() {
		all = append(all, l.code)
	}
	return all
}

// Label returns the code in a few words for people. A code of another version of this
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

// String returns the label and the detail.
func (q *Quarantine) String() string { return q.Code.Label() + ": " + q.Detail }
