// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

package store

import (
	"encoding/json"
	"fmt"
	"math"
	"strings"
	"time"

	"github.com/zfarm/zfarm/attest/digest"
	"github.com/zfarm/zfarm/orchestrator"
	"github.com/zfarm/zfarm/orchestrator/store/query"
	"github.com/zfarm/zfarm/orchestrator/strictjson"
	"github.com/zfarm/zfarm/workers"
	"github.com/zfarm/zfarm/workers/codepage"
)

// longest bounds one text from a worker or a person, in bytes.
const longest = 64 << 10

// clean makes a foreign text acceptable to both databases: valid UTF-8 without NUL, and
// of bounded length.
func clean(text string) string {
	return strings.ReplaceAll(strings.ToValidUTF8(codepage.Cut(text, longest), "\uFFFD"), "\x00", "\uFFFD")
}

func stamp(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixMilli()
}

func moment(ms int64) time.Time {
	if ms == 0 {
		return time.Time{}
	}
	return time.UnixMilli(ms).UTC()
}

func flag(b bool) int64 {
	if b {
		return 1
	}
	return 0
}

func sum(d digest.Digest) string {
	if d.IsZero() {
		return ""
	}
	return d.String()
}

// columns reads and writes the columns that hold more than a number or a text, and
// keeps the first error.
//
// Golden files in testdata pin the form of each JSON column. A new field that is omitted
// when it is zero may be added: what earlier programs wrote still reads as it was. Any
// other change needs a migration that rewrites the rows (docs/upgrading.md).
type columns struct{ err error }

func (c *columns) fail(err error) {
	if c.err == nil {
		c.err = err
	}
}

func (c *columns) digest(text string) digest.Digest {
	var d digest.Digest
	if err := d.UnmarshalText([]byte(text)); err != nil {
		c.fail(err)
	}
	return d
}

// decode reads JSON into v; "" leaves v as it is. An unknown field is an error: a later
// program wrote it, and without it the rest may mean something else.
func (c *columns) decode(text string, v any) {
	if text == "" {
		return
	}
	if err := strictjson.Decode([]byte(text), v); err != nil {
		c.fail(fmt.Errorf("reading a JSON column: %w: if a later version of zfarm wrote it, go on with that one, or see docs/upgrading.md", err))
	}
}

func (c *columns) encode(v any) string {
	text, err := json.Marshal(v)
	if err != nil {
		c.fail(fmt.Errorf("writing a JSON column: %w", err))
	}
	return string(text)
}

func (c *columns) list(l []string) string {
	if len(l) == 0 {
		return ""
	}
	return c.encode(l)
}

func (c *columns) strings(text string) (l []string) {
	c.decode(text, &l)
	return l
}

func (c *columns) stage(row query.Stage) orchestrator.Stage {
	s := orchestrator.Stage{
		ID: row.ID, Kind: orchestrator.StageKind(row.Kind), State: orchestrator.StageState(row.State),
		Repeat: int(row.Repeat), After: c.strings(row.Follows), Attempts: int(row.Attempts), Fence: row.Fence,
		Worker: row.Worker, Lost: c.strings(row.Lost), NotBefore: moment(row.NotBefore), Since: moment(row.Since),
		Output: c.digest(row.Output),
	}
	c.decode(row.Failure, &s.Failure)
	return s
}

func (c *columns) failure(f *orchestrator.Failure) string {
	if f == nil {
		return ""
	}
	return c.encode(orchestrator.Failure{Kind: f.Kind, Message: clean(f.Message)})
}

// build reads everything of a build but its stages and needs.
func (c *columns) build(row query.Build) Build {
	return Build{
		Build: orchestrator.Build{ID: row.ID, Cancelled: row.Cancelled != 0, SameAs: row.SameAs},
		Seq:   row.Seq, Port: row.Port, Version: row.Version,
		Recipe: c.digest(row.Recipe), Document: c.digest(row.Document), URI: row.Uri, Path: row.Path,
		Owner: row.Owner, Identity: c.digest(row.Identity), Inputs: c.digest(row.Inputs),
		Priority: int(row.Priority), Paused: row.Paused != 0, Checks: row.Checks, Wants: bytesOf(row.Wants),
		Verdict: row.Verdict, Submitted: moment(row.Submitted), Ended: moment(row.Ended), LogsForgotten: row.LogsForgotten != 0,
	}
}

func bytesOf(text string) []byte {
	if text == "" {
		return nil
	}
	return []byte(text)
}

func (c *columns) need(row query.Need) Need {
	return Need{Port: row.Port, Build: row.Need, At: c.strings(row.Uses)}
}

func (c *columns) attempt(row query.Attempt) Attempt {
	return Attempt{
		Build: row.Build, Stage: row.Stage, Fence: row.Fence, Worker: row.Worker, Workspace: row.Workspace,
		Begun: moment(row.Begun), Ended: moment(row.Ended), Outcome: row.Outcome, Detail: row.Detail, Cleaned: row.Cleaned != 0, Output: c.digest(row.Output),
	}
}

func eventOf(row query.Event) orchestrator.Event {
	return orchestrator.Event{
		Seq: row.Seq, Build: row.Build, At: moment(row.At), Stage: row.Stage,
		From: orchestrator.StageState(row.FromState), To: orchestrator.StageState(row.ToState),
		Fence: row.Fence, Worker: row.Worker, Detail: row.Detail,
	}
}

func auditOf(row query.Audit) Audit {
	return Audit{
		Seq: row.Seq, At: moment(row.At), Who: row.Who, What: row.What, Subject: row.Subject,
		Detail: row.Detail, Request: row.Request, Refused: row.Refused != 0,
	}
}

func (c *columns) step(row query.Step) Step {
	s := Step{
		No: row.Place, Name: row.Name, Begun: moment(row.Begun), Took: time.Duration(row.Took),
		Size: row.Size, Log: c.digest(row.Log),
	}
	c.decode(row.Status, &s.Status)
	return s
}

func (c *columns) worker(row query.Worker) Worker {
	w := Worker{
		Name: row.Name, Address: row.Address, Slots: int(row.Slots), Draining: row.Draining != 0,
		Probed: moment(row.Probed), Registered: row.Registered != 0,
	}
	if row.Quarantine != "" {
		w.Quarantine = &workers.Quarantine{
			Code: workers.QuarantineCode(row.Quarantine), Since: moment(row.Quarantined), Detail: row.QuarantineDetail, Who: row.QuarantineWho,
		}
	}
	c.decode(row.Labels, &w.Labels)
	c.decode(row.Facts, &w.Facts)
	return w
}

func (c *columns) facts(f *workers.Facts) string {
	if f == nil {
		return ""
	}
	return c.encode(f)
}

func (c *columns) labels(l map[string]string) string {
	if len(l) == 0 {
		return ""
	}
	return c.encode(l)
}

func leaseOf(row query.Slot) Lease {
	return Lease{Worker: row.Worker, Slot: int(row.Place), Build: row.Build, Stage: row.Stage, Fence: row.Fence, Since: moment(row.Since)}
}

func releaseOf(row query.Released) Release {
	return Release{
		Port: row.Port, Version: row.Version, Build: row.Build, At: moment(row.At),
		Verdict: row.Verdict, Signed: row.Signed != 0, NotReproduced: row.NotReproduced,
	}
}

func (c *columns) token(row query.Token) Token {
	return Token{
		ID: row.ID, Name: row.Name, Hash: c.digest(row.Hash), Roles: c.strings(row.Roles), Ports: c.strings(row.Ports),
		Created: moment(row.Created), Expires: moment(row.Expires), Revoked: row.Revoked != 0,
	}
}

func convert[From, To any](rows []From, one func(From) To) []To {
	all := make([]To, len(rows))
	for i, row := range rows {
		all[i] = one(row)
	}
	return all
}

// queryLimit converts a limit for the database; without one it is defaultLimit.
func queryLimit(limit int) int32 {
	if limit <= 0 {
		limit = defaultLimit
	}
	return int32(min(limit, math.MaxInt32))
}
