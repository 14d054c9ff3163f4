// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/zfarm/zfarm/attest/digest"
	"github.com/zfarm/zfarm/orchestrator"
	"github.com/zfarm/zfarm/orchestrator/schedule"
	"github.com/zfarm/zfarm/orchestrator/stagevalue"
	"github.com/zfarm/zfarm/orchestrator/store"
	"github.com/zfarm/zfarm/recipes"
	"github.com/zfarm/zfarm/workers"
)

// ErrNeeds: a recipe needs a port that nobody has built or submitted, or the needs of a
// submission form a cycle.
var ErrNeeds = errors.New("needs cannot be met")

// Submit takes a submission: each recipe becomes a build, or is matched with the
// existing build that is the same. It takes all of them or none.
func (e *Engine) Submit(ctx context.Context, s Submission) ([]Taken, error) {
	order, err := inOrder(s.Recipes)
	if err != nil {
		return nil, err
	}
	entries := make([]entry, len(s.Recipes))
	for i, r := range s.Recipes {
		if entries[i], err = e.prepare(ctx, r, s); err != nil {
			return nil, err
		}
	}
	var taken []Taken
	var events []orchestrator.Event
	err = e.Store.Update(ctx, func(ctx context.Context, tx *store.Tx) error {
		taken, events = make([]Taken, len(s.Recipes)), nil
		t := submissionTx{Submission: s, tx: tx, taken: taken}
		for _, i := range order {
			got, more, err := t.accept(ctx, entries[i])
			if err != nil {
				return err
			}
			taken[i] = got
			events = append(events, more...)
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("submitting: %w", err)
	}
	e.report(events)
	return taken, nil
}

// inOrder returns the indexes of the recipes so that each comes after the others that
// it needs.
func inOrder(all []Submitted) ([]int, error) {
	if len(all) == 0 {
		return nil, errors.New("submitting: there is no recipe")
	}
	index := map[string]int{}
	for i, s := range all {
		if _, twice := index[s.Recipe.Port]; twice {
			return nil, fmt.Errorf("submitting: %s is there twice; submit one version at a time", s.Recipe.Port)
		}
		index[s.Recipe.Port] = i
	}
	var order []int
	state := make([]int, len(all)) // 0 not seen, 1 on the way, 2 done
	var visit func(i int, way []string) error
	visit = func(i int, way []string) error {
		way = append(way, all[i].Recipe.Port)
		switch state[i] {
		case 1:
			return fmt.Errorf("submitting: %w: %s", ErrNeeds, strings.Join(way, " needs "))
		case 2:
			return nil
		}
		state[i] = 1
		for _, n := range all[i].Recipe.Needs {
			if j, ok := index[n.Port]; ok {
				if err := visit(j, way); err != nil {
					return err
				}
			}
		}
		state[i] = 2
		order = append(order, i)
		return nil
	}
	for i := range all {
		if err := visit(i, nil); err != nil {
			return nil, err
		}
	}
	return order, nil
}

// entry is a recipe whose files are in the artifact store.
type entry struct {
	Submitted
	recipe   digest.Digest
	document digest.Digest
	files    []digest.Digest
	wants    []byte
}

func (e *Engine) prepare(ctx context.Context, s Submitted, all Submission) (entry, error) {
	sum, err := s.Recipe.Digest()
	if err != nil {
		return entry{}, err
	}
	in := entry{Submitted: s, recipe: sum}
	for _, f := range files(s.Recipe) {
		have, err := e.put(ctx, f.Data)
		if err != nil {
			return entry{}, fmt.Errorf("keeping %s: %w", f.Name, err)
		}
		if have != f.Digest {
			return entry{}, fmt.Errorf("keeping %s: its bytes are %s and the recipe says %s", f.Name, have, f.Digest)
		}
		in.files = append(in.files, have)
	}
	text, err := stagevalue.Encode(stagevalue.Document{Recipe: s.Recipe, Forced: all.Force || all.Checks != ""})
	if err != nil {
		return entry{}, fmt.Errorf("writing recipe of %s: %w", s.Recipe.Port, err)
	}
	if in.document, err = e.put(ctx, text); err != nil {
		return entry{}, fmt.Errorf("keeping recipe of %s: %w", s.Recipe.Port, err)
	}
	in.wants, err = encodeWants(wants(s.Recipe))
	return in, err
}

// files returns the files beside the recipe.
func files(r *recipes.Recipe) []recipes.File {
	var all []recipes.File
	for _, s := range r.Sources {
		if s.Signature != nil {
			all = append(all, s.Signature.Key)
		}
		all = append(all, s.Patches...)
	}
	return all
}

func wants(r *recipes.Recipe) schedule.Wants {
	return schedule.Wants{Tools: r.Tools, Worker: r.Worker,
		Patch: slices.ContainsFunc(r.Sources, func(s recipes.Source) bool { return len(s.Patches) > 0 }),
		Apart: slices.Contains(r.Reproduce.Vary, recipes.VaryWorker), Alike: !slices.Contains(r.Reproduce.Vary, recipes.VaryPath)}
}

// submissionTx is a submission inside its transaction.
type submissionTx struct {
	Submission
	tx    *store.Tx
	taken []Taken
}

// accept makes the build of an entry, or finds the existing one that is the same.
func (t *submissionTx) accept(ctx context.Context, in entry) (Taken, []orchestrator.Event, error) {
	needs, err := t.needs(ctx, in.Recipe)
	if err != nil {
		return Taken{}, nil, err
	}
	identity, err := identify(in.recipe, needs)
	if err != nil {
		return Taken{}, nil, err
	}
	same, found, err := t.tx.ByIdentity(ctx, identity)
	if err != nil {
		return Taken{}, nil, err
	}
	if found && !t.Force && t.Checks == "" {
		return Taken{Build: same}, nil, nil
	}
	if t.Checks != "" {
		identity = digest.Digest{} // a rebuild must never be matched with the build it checks
	} else if found {
		free := same
		free.Identity = digest.Digest{}
		if err := t.tx.Save(ctx, same, free); err != nil {
			return Taken{}, nil, err
		}
	}
	return t.create(ctx, in, identity, needs)
}

func (t *submissionTx) create(ctx context.Context, in entry, identity digest.Digest, needs []store.Need) (Taken, []orchestrator.Event, error) {
	now := t.tx.Now()
	id := buildID(in.recipe, now, t.tx.NextSeq())
	b := store.Build{Build: orchestrator.New(id, in.Recipe.Reproduce.Repeats, now), Port: in.Recipe.Port, Version: in.Recipe.Version,
		Recipe: in.recipe, Document: in.document, URI: in.URI, Path: in.Path, Owner: t.Owner, Identity: identity,
		Priority: t.Priority, Checks: t.Checks, Needs: needs, Wants: in.wants, Submitted: now}
	wake := store.Wake{Kind: store.Needs, Build: id}
	var events []orchestrator.Event
	if len(needs) == 0 {
		next, event, err := b.Unblock(now)
		if err != nil {
			return Taken{}, nil, err
		}
		b.Build, events = next, []orchestrator.Event{event}
		wake = store.Wake{Kind: store.Claim, Build: id, Stage: b.Stages[0].ID}
	}
	b, err := t.tx.Create(ctx, b)
	if err != nil {
		return Taken{}, nil, err
	}
	if err := t.tx.Keep(ctx, id, append(in.files, in.document)...); err != nil {
		return Taken{}, nil, err
	}
	return Taken{Build: b, Fresh: true}, events, t.tx.Wake(ctx, wake)
}

// buildID is the id of the build with that number. Ids name workspaces on workers: no
// two builds of a database share a number, and the time distinguishes builds of two
// databases that use one worker. The first million ids have one length, and so have the
// paths on the workers.
func buildID(recipe digest.Digest, now time.Time, seq int64) string {
	return fmt.Sprintf("%s-%08x%05x", recipe.Short(), now.UnixMilli()&0xffffffff, seq)
}

// needs returns the builds that the recipe needs. A rebuild takes those of the build it
// checks: with other needs, a different package would prove nothing about it.
func (t *submissionTx) needs(ctx context.Context, r *recipes.Recipe) ([]store.Need, error) {
	if t.Checks == "" {
		return t.resolveNeeds(ctx, r)
	}
	checked, err := t.tx.Build(ctx, t.Checks)
	if err != nil {
		return nil, err
	}
	for _, n := range checked.Needs {
		switch _, err := t.tx.Build(ctx, n.Build); {
		case errors.Is(err, store.ErrUnknown):
			return nil, fmt.Errorf("%w: %s was built with build %s of %s, which is forgotten; build and release it anew, so that it can be checked again",
				ErrNeeds, r.Port, n.Build, n.Port)
		case err != nil:
			return nil, err
		}
	}
	return checked.Needs, nil
}

// resolveNeeds finds a build for each need: in this submission first, then among the
// builds of the farm, the newest first.
func (t *submissionTx) resolveNeeds(ctx context.Context, r *recipes.Recipe) ([]store.Need, error) {
	var all []store.Need
	for _, n := range r.Needs {
		id, err := t.findNeed(ctx, n)
		if err != nil {
			return nil, err
		}
		if id == "" {
			return nil, fmt.Errorf("%w: %s %s needs %s, and nobody has built or submitted it; submit its recipe along with this one",
				ErrNeeds, r.Port, r.Version, strings.TrimSpace(n.Port+" "+string(n.Version)))
		}
		all = append(all, store.Need{Port: n.Port, Build: id, At: n.At})
	}
	return all, nil
}

func (t *submissionTx) findNeed(ctx context.Context, n recipes.Need) (string, error) {
	for i, s := range t.Recipes {
		if s.Recipe.Port != n.Port {
			continue
		}
		if !n.Version.Has(s.Recipe.Version) {
			return "", fmt.Errorf("%w: %s %s is submitted along, and %s is wanted", ErrNeeds, n.Port, s.Recipe.Version, n.Version)
		}
		return t.taken[i].Build.ID, nil
	}
	offers, err := t.tx.Offers(ctx, n.Port)
	if err != nil {
		return "", err
	}
	for _, b := range offers {
		if b.Checks == "" && n.Version.Has(b.Version) {
			return b.ID, nil
		}
	}
	return "", nil
}

// identify digests what makes a second submission the same build. The databases of
// farms keep the digest, so the names in the JSON must never change.
func identify(recipe digest.Digest, needs []store.Need) (digest.Digest, error) {
	text, err := json.Marshal(struct {
		Recipe digest.Digest `json:"Recipe"`
		Needs  []store.Need  `json:"Needs"`
	}{recipe, needs})
	if err != nil {
		return digest.Digest{}, fmt.Errorf("writing identity: %w", err)
	}
	return digest.Of(text), nil
}

// checkNeeds checks the builds that this one waits for: it may begin, must fail, or
// goes on waiting.
func (e *Engine) checkNeeds(ctx context.Context, id string) error {
	var events []orchestrator.Event
	err := e.Store.Update(ctx, func(ctx context.Context, tx *store.Tx) error {
		events = nil
		was, err := tx.Build(ctx, id)
		if err != nil || was.Stages[0].State != orchestrator.Blocked {
			return err
		}
		next := was
		switch failed, waiting, err := needsState(ctx, tx, was); {
		case err != nil:
			return err
		case failed != "":
			if next.Build, events, err = was.FailNeed(failed, tx.Now()); err != nil {
				return err
			}
			next.Identity = digest.Digest{}
		case waiting:
			return nil
		default:
			var event orchestrator.Event
			if next.Build, event, err = was.Unblock(tx.Now()); err != nil {
				return err
			}
			events = []orchestrator.Event{event}
		}
		if err := tx.Save(ctx, was, next, events...); err != nil {
			return err
		}
		return wakeAfter(ctx, tx, was, next)
	})
	if err != nil {
		return fmt.Errorf("looking at the needs of build %s: %w", id, err)
	}
	e.report(events)
	return nil
}

// needsState returns why the build can never begin, or whether it must wait.
func needsState(ctx context.Context, tx *store.Tx, b store.Build) (failed string, waiting bool, err error) {
	for _, n := range b.Needs {
		need, err := tx.Build(ctx, n.Build)
		if err != nil {
			return "", false, err
		}
		switch need.State() {
		case orchestrator.BuildSucceeded:
		case orchestrator.BuildFailed, orchestrator.BuildCancelled:
			return fmt.Sprintf("it needs %s, whose build %s has %s; submit both again when that is fixed", n.Port, n.Build, need.State()), false, nil
		default:
			waiting = true
		}
	}
	return "", waiting, nil
}

// wakeAfter wakes whoever must act on a build's change from one state to the next.
func wakeAfter(ctx context.Context, tx *store.Tx, was, next store.Build) error {
	var wakes []store.Wake
	match := false
	for i, s := range next.Stages {
		before := was.Stages[i]
		if before.State == orchestrator.Running && s.State != orchestrator.Running && s.Kind == orchestrator.Repeat {
			match = true // a slot is free
		}
		if s.State != orchestrator.Ready || before.State == orchestrator.Ready {
			continue
		}
		if s.Kind == orchestrator.Repeat {
			match = true
		} else if !s.NotBefore.After(tx.Now()) {
			wakes = append(wakes, store.Wake{Kind: store.Claim, Build: next.ID, Stage: s.ID})
		}
	}
	if match {
		wakes = append(wakes, store.Wake{Kind: store.Match})
	}
	if !was.Over() && next.Over() {
		dependants, err := tx.Dependants(ctx, next.ID)
		if err != nil {
			return err
		}
		for _, d := range dependants {
			wakes = append(wakes, store.Wake{Kind: store.Needs, Build: d})
		}
	}
	if len(wakes) == 0 {
		return nil
	}
	return tx.Wake(ctx, wakes...)
}

// Cancel ends a build. Its attempts on workers are stopped and removed there.
func (e *Engine) Cancel(ctx context.Context, id string) error {
	var events []orchestrator.Event
	err := e.Store.Update(ctx, func(ctx context.Context, tx *store.Tx) error {
		events = nil
		was, err := tx.Build(ctx, id)
		if err != nil || was.Over() {
			return err
		}
		next := was
		next.Build, events = was.Cancel(tx.Now())
		next.Identity = digest.Digest{}
		if err := tx.Save(ctx, was, next, events...); err != nil {
			return err
		}
		if err := endAttempts(ctx, tx, was); err != nil {
			return err
		}
		return wakeAfter(ctx, tx, was, next)
	})
	if err != nil {
		return fmt.Errorf("cancelling build %s: %w", id, err)
	}
	e.report(events)
	e.renewNow()
	return nil
}

// endAttempts ends the running attempts of a cancelled build, and quarantines their
// workers until the attempts are removed there.
func endAttempts(ctx context.Context, tx *store.Tx, was store.Build) error {
	stopping := workers.Quarantine{Code: workers.QuarantineStopping, Detail: "An attempt that was cancelled there is being stopped."}
	for _, s := range was.Stages {
		if s.State != orchestrator.Running {
			continue
		}
		if err := tx.EndAttempt(ctx, store.Attempt{Build: was.ID, Stage: s.ID, Fence: s.Fence, Ended: tx.Now(), Outcome: "cancelled"}); err != nil {
			return err
		}
		if s.Kind != orchestrator.Repeat {
			continue
		}
		if err := quarantine(ctx, tx, s.Worker, stopping); err != nil {
			return err
		}
	}
	return nil
}

// quarantine keeps a worker from getting work until a probe succeeds.
func quarantine(ctx context.Context, tx *store.Tx, name string, q workers.Quarantine) error {
	w, err := tx.Worker(ctx, name)
	if errors.Is(err, store.ErrUnknown) {
		return nil
	}
	if err != nil {
		return err
	}
	w.Quarantine = &q
	if err := tx.SetWorker(ctx, w); err != nil {
		return err
	}
	return tx.Wake(ctx, store.Wake{Kind: store.Probe, Worker: name})
}
