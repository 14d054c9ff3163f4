// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

package store

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/zfarm/zfarm/attest/digest"
	"github.com/zfarm/zfarm/orchestrator"
	"github.com/zfarm/zfarm/orchestrator/store/query"
)

// Publish records the files of r.Build, whose names are unique. If r.Port is not "",
// the build becomes the release of that port at that version and replaces any before
// it.
func (tx *Tx) Publish(ctx context.Context, r Release, files []File) error {
	if _, err := tx.q.Build(ctx, r.Build); err != nil {
		return fmt.Errorf("publishing build %s: %w", r.Build, wrap(err))
	}
	tx.moved = true
	names := map[string]bool{}
	for _, f := range files {
		if names[f.Name] {
			return fmt.Errorf("publishing build %s: two files are named %q", r.Build, f.Name)
		}
		names[f.Name] = true
		err := tx.q.AddFile(ctx, query.AddFileParams{
			Build: r.Build, Name: f.Name, Digest: sum(f.Digest), Size: f.Size, MediaType: f.MediaType,
		})
		if err != nil {
			return fmt.Errorf("publishing file %s of build %s: %w", f.Name, r.Build, err)
		}
	}
	if r.Port == "" {
		return nil
	}
	if r.At.IsZero() {
		r.At = tx.now
	}
	err := tx.q.PutRelease(ctx, query.PutReleaseParams{
		Port: r.Port, Version: r.Version, Build: r.Build, At: stamp(r.At), Verdict: clean(r.Verdict),
		Signed: flag(r.Signed), NotReproduced: clean(r.NotReproduced),
	})
	if err != nil {
		return fmt.Errorf("releasing %s %s: %w", r.Port, r.Version, err)
	}
	return nil
}

// SetNotReproduced records the finding of a rebuild that did not reproduce a release;
// "" means that a later rebuild did.
func (tx *Tx) SetNotReproduced(ctx context.Context, port, version, finding string) error {
	n, err := tx.q.SetNotReproduced(ctx, query.SetNotReproducedParams{NotReproduced: clean(finding), Port: port, Version: version})
	if err == nil && n == 0 {
		err = ErrUnknown
	}
	if err != nil {
		return fmt.Errorf("recording the rebuild of %s %s: %w", port, version, err)
	}
	tx.moved = true
	return nil
}

// Releases returns the releases of a port at a version, sorted; "" is any.
func (s *Store) Releases(ctx context.Context, port, version string) (all []Release, err error) {
	err = s.read(ctx, "listing releases", func(q *query.Queries) error {
		var rows []query.Released
		var err error
		if port == "" {
			rows, err = q.Releases(ctx, version)
		} else {
			rows, err = q.ReleasesOf(ctx, query.ReleasesOfParams{Port: port, Version: version})
		}
		all = convert(rows, releaseOf)
		return err
	})
	return all, err
}

// Files returns the files of a build, sorted by name.
func (s *Store) Files(ctx context.Context, build string) (all []File, err error) {
	err = s.read(ctx, "listing files of build "+build, func(q *query.Queries) error {
		all, err = loadFiles(ctx, q, build)
		return err
	})
	return all, err
}

// Files returns the same in the state that this transition sees.
func (tx *Tx) Files(ctx context.Context, build string) ([]File, error) {
	all, err := loadFiles(ctx, tx.q, build)
	if err != nil {
		return nil, fmt.Errorf("listing files of build %s: %w", build, err)
	}
	return all, nil
}

func loadFiles(ctx context.Context, q *query.Queries, build string) ([]File, error) {
	rows, err := q.Files(ctx, build)
	c := columns{}
	all := convert(rows, func(row query.File) File {
		return File{Name: row.Name, Digest: c.digest(row.Digest), Size: row.Size, MediaType: row.MediaType}
	})
	return all, errors.Join(err, c.err)
}

// Keep records that the artifact store must keep these artifacts for that build. It is
// not needed for those that the store knows anyway: documents, outputs of stages, logs
// of steps, published files.
func (tx *Tx) Keep(ctx context.Context, build string, ds ...digest.Digest) error {
	for _, d := range ds {
		if d.IsZero() {
			continue
		}
		if err := tx.q.Keep(ctx, query.KeepParams{Build: build, Digest: sum(d)}); err != nil {
			return fmt.Errorf("keeping %s for build %s: %w", d.Short(), build, err)
		}
		tx.moved = true
	}
	return nil
}

// Kept reports whether any build requires the artifact store to keep d.
func (s *Store) Kept(ctx context.Context, d digest.Digest) (kept bool, err error) {
	err = s.read(ctx, "looking for what keeps "+d.Short(), func(q *query.Queries) error {
		kept, err = q.Kept(ctx, sum(d))
		return err
	})
	return kept, err
}

// Learn records how long a stage of that kind took for a port. The stored mean gives
// the newest value as much weight as all before it.
func (tx *Tx) Learn(ctx context.Context, port, kind string, took time.Duration) error {
	if err := tx.q.Learn(ctx, query.LearnParams{Port: port, Kind: kind, Took: int64(max(took, 0))}); err != nil {
		return fmt.Errorf("noting how long %s took: %w", port, err)
	}
	tx.moved = true
	return nil
}

// History returns how long a repeat of each port is likely to take.
func (s *Store) History(ctx context.Context) (h map[string]time.Duration, err error) {
	err = s.read(ctx, "reading durations", func(q *query.Queries) error {
		h, err = history(ctx, q)
		return err
	})
	return h, err
}

func history(ctx context.Context, q *query.Queries) (map[string]time.Duration, error) {
	rows, err := q.Durations(ctx, string(orchestrator.Repeat))
	if err != nil {
		return nil, err
	}
	h := make(map[string]time.Duration, len(rows))
	for _, row := range rows {
		h[row.Port] = time.Duration(row.Mean)
	}
	return h, nil
}

// AddToken adds a credential; ErrRefused if its id or secret is taken.
func (tx *Tx) AddToken(ctx context.Context, t Token) error {
	if t.Created.IsZero() {
		t.Created = tx.now
	}
	c := columns{}
	added, err := tx.q.AddToken(ctx, query.AddTokenParams{
		ID: t.ID, Name: clean(t.Name), Hash: sum(t.Hash), Roles: c.list(t.Roles), Ports: c.list(t.Ports),
		Created: stamp(t.Created), Expires: stamp(t.Expires), Revoked: flag(t.Revoked),
	})
	if err == nil && added == 0 {
		err = ErrRefused
	}
	if err := errors.Join(c.err, err); err != nil {
		return fmt.Errorf("adding token %s: %w", t.ID, err)
	}
	tx.moved = true
	return nil
}

// RevokeToken revokes a credential.
func (tx *Tx) RevokeToken(ctx context.Context, id string) error {
	n, err := tx.q.RevokeToken(ctx, id)
	if err == nil && n == 0 {
		err = ErrUnknown
	}
	if err != nil {
		return fmt.Errorf("revoking token %s: %w", id, err)
	}
	tx.moved = true
	return nil
}

// Tokens returns all credentials, revoked and expired ones included.
func (s *Store) Tokens(ctx context.Context) (all []Token, err error) {
	err = s.read(ctx, "listing tokens", func(q *query.Queries) error {
		rows, err := q.Tokens(ctx)
		c := columns{}
		all = convert(rows, c.token)
		return errors.Join(err, c.err)
	})
	return all, err
}

// Token returns the credential whose secret has that SHA-256. The caller checks whether
// it is still valid.
func (s *Store) Token(ctx context.Context, hash digest.Digest) (t Token, err error) {
	err = s.read(ctx, "looking for a token", func(q *query.Queries) error {
		row, err := q.TokenOfHash(ctx, sum(hash))
		if err != nil {
			return err
		}
		c := columns{}
		t = c.token(row)
		return c.err
	})
	return t, err
}
