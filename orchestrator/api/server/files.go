// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

package server

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"slices"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"

	"github.com/zfarm/zfarm/attest/digest"
	"github.com/zfarm/zfarm/orchestrator/api/wire"
	"github.com/zfarm/zfarm/orchestrator/store"
	"github.com/zfarm/zfarm/workers/codepage"
)

// Names of files that every compared build publishes (see attest/kit).
const (
	verdictFile = "verdict.json"
	reportFile  = "report.txt"
)

func (s *Server) files(ctx context.Context, in *wire.BuildInput) (*wire.FilesOutput, error) {
	if _, err := s.Store.Build(ctx, in.ID); err != nil {
		return nil, err
	}
	all, err := s.Store.Files(ctx, in.ID)
	if err != nil {
		return nil, err
	}
	out := &wire.FilesOutput{}
	out.Body.Files = listed(all, wireFile)
	return out, nil
}

func (s *Server) verdict(ctx context.Context, in *wire.BuildInput) (*huma.StreamResponse, error) {
	return s.about(ctx, in.ID, verdictFile, "application/json")
}

func (s *Server) report(ctx context.Context, in *wire.BuildInput) (*huma.StreamResponse, error) {
	return s.about(ctx, in.ID, reportFile, "text/plain; charset=utf-8")
}

// about sends the verdict or the report about a build.
func (s *Server) about(ctx context.Context, id, name, media string) (*huma.StreamResponse, error) {
	b, err := s.Store.Build(ctx, id)
	if err != nil {
		return nil, err
	}
	f, err := s.find(ctx, id, name)
	switch {
	case errors.Is(err, store.ErrUnknown) && b.SameAs != "":
		return nil, problem(http.StatusNotFound, "build %s has the inputs of build %s; ask for that one", id, b.SameAs)
	case errors.Is(err, store.ErrUnknown) && !b.State().Over():
		return nil, problem(http.StatusNotFound, "build %s is %s and has no %s yet; ask again when it has been compared", id, b.State(), name)
	case errors.Is(err, store.ErrUnknown):
		return nil, problem(http.StatusNotFound, "build %s has no %s; its files are listed at /v1/builds/%s/files", id, name, id)
	case err != nil:
		return nil, err
	}
	f.MediaType = media
	return s.send(ctx, f, true)
}

func (s *Server) find(ctx context.Context, build, name string) (store.File, error) {
	all, err := s.Store.Files(ctx, build)
	if err != nil {
		return store.File{}, err
	}
	i := slices.IndexFunc(all, func(f store.File) bool { return f.Name == name })
	if i < 0 {
		return store.File{}, fmt.Errorf("file %s of build %s: %w", codepage.Line(name, maxShown), build, store.ErrUnknown)
	}
	return all[i], nil
}

func (s *Server) file(ctx context.Context, in *wire.FileInput) (*huma.StreamResponse, error) {
	b, err := s.Store.Build(ctx, in.ID)
	if err != nil {
		return nil, err
	}
	if err := s.collectable(ctx, b.Port); err != nil {
		return nil, err
	}
	f, err := s.find(ctx, in.ID, in.Name)
	if err != nil {
		return nil, err
	}
	return s.send(ctx, f, false)
}

func (s *Server) releases(ctx context.Context, _ *wire.NothingInput) (*wire.ReleasesOutput, error) {
	all, err := s.Store.Releases(ctx, "", "")
	if err != nil {
		return nil, err
	}
	out := &wire.ReleasesOutput{}
	out.Body.Releases = listed(all, wireRelease)
	return out, nil
}

func (s *Server) released(ctx context.Context, in *wire.ReleaseInput) (store.Release, error) {
	all, err := s.Store.Releases(ctx, in.Port, in.Version)
	if err != nil {
		return store.Release{}, err
	}
	if len(all) == 0 {
		return store.Release{}, fmt.Errorf("release %s %s: %w", codepage.Line(in.Port, maxShown), codepage.Line(in.Version, maxShown), store.ErrUnknown)
	}
	return all[0], nil
}

func (s *Server) release(ctx context.Context, in *wire.ReleaseInput) (*wire.ReleaseOutput, error) {
	r, err := s.released(ctx, in)
	if err != nil {
		return nil, err
	}
	files, err := s.Store.Files(ctx, r.Build)
	if err != nil {
		return nil, err
	}
	return &wire.ReleaseOutput{Body: wire.ReleaseFiles{Release: wireRelease(r), Files: listed(files, wireFile)}}, nil
}

func (s *Server) releaseFile(ctx context.Context, in *wire.ReleaseFileInput) (*huma.StreamResponse, error) {
	r, err := s.released(ctx, &in.ReleaseInput)
	if err != nil {
		return nil, err
	}
	if err := s.collectable(ctx, r.Port); err != nil {
		return nil, err
	}
	f, err := s.find(ctx, r.Build, in.Name)
	if err != nil {
		return nil, err
	}
	return s.send(ctx, f, false)
}

// send answers with a file, complete or in part. Its digest is its ETag.
func (s *Server) send(ctx context.Context, f store.File, inline bool) (*huma.StreamResponse, error) {
	size, err := s.Blobs.Size(ctx, f.Digest)
	if err == nil && size != f.Size {
		err = fmt.Errorf("it has %d bytes in the artifact store and should have %d", size, f.Size)
	}
	if err != nil {
		return nil, &fault{fmt.Errorf("sending %s: %w", f.Name, err)}
	}
	return &huma.StreamResponse{Body: func(hc huma.Context) {
		r, w := humago.Unwrap(hc)
		h := w.Header()
		h.Set("ETag", `"`+f.Digest.String()+`"`)
		h.Set("Cache-Control", "private, no-cache")
		h.Set("Repr-Digest", "sha-256=:"+base64.StdEncoding.EncodeToString(f.Digest[:])+":") // RFC 9530
		h.Set("Content-Type", f.MediaType)
		if f.MediaType == "" {
			h.Set("Content-Type", wire.Octets)
		}
		if !inline {
			h.Set("Content-Disposition", mime.FormatMediaType("attachment", map[string]string{"filename": f.Name}))
		}
		b := &blob{ctx: ctx, blobs: s.Blobs, digest: f.Digest, size: f.Size}
		defer b.close()
		http.ServeContent(&rangeWriter{ResponseWriter: w, refuse: func() {
			s.refuse(w, r, problem(http.StatusRequestedRangeNotSatisfiable, "%s has %d bytes; ask for a range of these", f.Name, f.Size))
		}}, r, "", time.Time{}, b)
		if b.failed != nil && ctx.Err() == nil {
			s.Log.ErrorContext(ctx, "file cut", "request", exchangeOf(ctx).id, "file", f.Name, "error", b.failed.Error())
			panic(http.ErrAbortHandler)
		}
	}}, nil
}

// rangeWriter turns the refusal of a range into a problem.
type rangeWriter struct {
	http.ResponseWriter
	refuse  func()
	refused bool
}

// WriteHeader refuses, or forwards the status.
func (w *rangeWriter) WriteHeader(status int) {
	if status == http.StatusRequestedRangeNotSatisfiable {
		w.refused = true
		w.refuse()
		return
	}
	w.ResponseWriter.WriteHeader(status)
}

// Write drops the text of a refusal.
func (w *rangeWriter) Write(p []byte) (int, error) {
	if w.refused {
		return len(p), nil
	}
	return w.ResponseWriter.Write(p)
}

// Unwrap supports http.ResponseController.
func (w *rangeWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// blob reads stored bytes from any offset. The store's readers need not seek.
type blob struct {
	ctx    context.Context // lives for one answer only
	blobs  Blobs
	digest digest.Digest
	size   int64
	at     int64
	open   io.ReadCloser
	failed error
}

// Seek sets the offset; the next Read opens the bytes there.
func (b *blob) Seek(offset int64, whence int) (int64, error) {
	switch whence {
	case io.SeekCurrent:
		offset += b.at
	case io.SeekEnd:
		offset += b.size
	}
	if offset < 0 {
		return 0, errors.New("seeking before the first byte")
	}
	if offset != b.at {
		b.close()
		b.at = offset
	}
	return offset, nil
}

// Read reads from the current offset.
func (b *blob) Read(p []byte) (int, error) {
	if b.at >= b.size {
		return 0, io.EOF
	}
	if b.open == nil {
		if err := b.reopen(); err != nil {
			b.failed = err
			return 0, err
		}
	}
	n, err := b.open.Read(p)
	b.at += int64(n)
	if errors.Is(err, io.EOF) && b.at < b.size {
		err = fmt.Errorf("artifact %s ends at %d of %d bytes", b.digest, b.at, b.size)
	}
	if err != nil && !errors.Is(err, io.EOF) {
		b.failed = err
	}
	return n, err
}

func (b *blob) reopen() error {
	r, err := b.blobs.Open(b.ctx, b.digest)
	if err != nil {
		return err
	}
	b.open = r
	if seeker, ok := r.(io.Seeker); ok {
		_, err = seeker.Seek(b.at, io.SeekStart)
	} else {
		_, err = io.CopyN(io.Discard, r, b.at)
	}
	return err
}

func (b *blob) close() {
	if b.open != nil {
		b.open.Close()
		b.open = nil
	}
}
