// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/zfarm/zfarm/attest"
	"github.com/zfarm/zfarm/attest/digest"
	"github.com/zfarm/zfarm/attest/kit"
	"github.com/zfarm/zfarm/orchestrator/compare/report"
	"github.com/zfarm/zfarm/orchestrator/packaging"
	"github.com/zfarm/zfarm/orchestrator/stagevalue"
	"github.com/zfarm/zfarm/orchestrator/store"
)

// Descriptions of a build's files, for those who fetch them.
const (
	mediaPackage = "application/x-compress"
	mediaBundle  = "application/vnd.dev.sigstore.bundle.v0.3+json"
	mediaJSON    = "application/json"
	mediaText    = "text/plain; charset=utf-8"
	mediaPage    = "text/html; charset=utf-8"
	mediaPEM     = "application/x-pem-file"
)

// publish writes the release folder of what was signed. It is the last gate: a build
// that did not reproduce fails here.
func (c *stageContext) publish(ctx context.Context) outcome {
	dir, err := os.MkdirTemp(c.Temp, "zfarm-publish-*")
	if err != nil {
		return outcome{err: fmt.Errorf("laying out: %w", err)}
	}
	defer os.RemoveAll(dir) //nolint:errcheck // temporary files only
	out := filepath.Join(dir, "kit")
	if c.attested.Reproducibility.IsZero() {
		err = c.writeUnsigned(ctx, out)
	} else {
		err = c.writeSigned(ctx, out)
	}
	if err != nil {
		return outcome{err: err}
	}
	files, keep, err := c.storeFiles(ctx, out)
	if err != nil {
		return outcome{err: err}
	}
	saved := stagevalue.Published{}
	for _, f := range files {
		saved.Files = append(saved.Files, stagevalue.File(f))
	}
	result := c.save(ctx, saved, keep...)
	result.publish = files
	result.failure = c.refusal()
	return result
}

// storeFiles stores the written files in the artifact store.
func (c *stageContext) storeFiles(ctx context.Context, dir string) ([]store.File, []digest.Digest, error) {
	pieces, sizes, err := kit.Pieces(ctx, dir)
	if err != nil {
		return nil, nil, err
	}
	var files []store.File
	var keep []digest.Digest
	for i, p := range pieces {
		if err := c.storePiece(ctx, p); err != nil {
			return nil, nil, err
		}
		files = append(files, store.File{Name: p.Name, Digest: p.Digest, Size: sizes[i], MediaType: mediaType(p.Name)})
		keep = append(keep, p.Digest)
	}
	return files, keep, nil
}

// storePiece stores a piece that is not an artifact; artifacts are stored already.
func (c *stageContext) storePiece(ctx context.Context, p kit.Piece) error {
	if slices.ContainsFunc(c.compared.Packages, func(a stagevalue.Artifact) bool { return a.Digest == p.Digest }) {
		return nil
	}
	r, err := p.Open(ctx)
	if err != nil {
		return err
	}
	defer r.Close()
	sum, err := c.Artifacts.Fill(ctx, func(w io.Writer) error {
		_, err := io.Copy(w, r)
		return err
	})
	if err == nil && sum != p.Digest {
		err = fmt.Errorf("laying out %s: it was %s and has become %s", p.Name, p.Digest, sum)
	}
	return err
}

func mediaType(name string) string {
	switch ext := path.Ext(name); {
	case strings.HasSuffix(name, ".sigstore.json"):
		return mediaBundle
	case ext == ".Z":
		return mediaPackage
	case ext == ".json":
		return mediaJSON
	case ext == ".pub":
		return mediaPEM
	case ext == ".txt":
		return mediaText
	case ext == ".html":
		return mediaPage
	default:
		return "application/octet-stream"
	}
}

func (c *stageContext) writeSigned(ctx context.Context, dir string) error {
	extra, err := c.extras()
	if err != nil {
		return err
	}
	reproducibility, err := c.bundle(ctx, c.attested.Reproducibility)
	if err != nil {
		return err
	}
	if c.refusal() != nil {
		return kit.WriteFindings(ctx, dir, kit.Findings{Reproducibility: reproducibility,
			PublicKey: c.VerificationMaterial.PublicKey, TrustedRoot: c.VerificationMaterial.TrustedRoot, Extra: extra})
	}
	provenance, err := c.bundle(ctx, c.attested.Provenance)
	if err != nil {
		return err
	}
	var tests []attest.Bundle
	for _, d := range c.attested.Tests {
		b, err := c.bundle(ctx, d)
		if err != nil {
			return err
		}
		tests = append(tests, b)
	}
	meta, err := c.metadata()
	if err != nil {
		return err
	}
	a := c.compared.Packages[0]
	return kit.Write(ctx, dir, kit.Contents{
		Artifacts: []kit.Artifact{{
			Name: a.Name, Digest: a.Digest,
			Open:       func() (io.ReadCloser, error) { return c.Artifacts.Open(ctx, a.Digest) },
			Provenance: provenance, Reproducibility: reproducibility, TestResults: tests,
		}},
		PublicKey: c.VerificationMaterial.PublicKey, TrustedRoot: c.VerificationMaterial.TrustedRoot,
		Extra: append(extra, kit.Extra{Name: "metadata.json", Data: meta}),
	})
}

// writeUnsigned writes the files that need no signature: the package, if it may be
// used at all, and the findings.
func (c *stageContext) writeUnsigned(ctx context.Context, dir string) error {
	extra, err := c.extras()
	if err != nil {
		return err
	}
	var pieces []kit.Piece
	if c.refusal() == nil {
		a := c.compared.Packages[0]
		pieces = append(pieces, kit.Piece{Name: a.Name, Digest: a.Digest,
			Open: func(ctx context.Context) (io.ReadCloser, error) { return c.Artifacts.Open(ctx, a.Digest) }})
		meta, err := c.metadata()
		if err != nil {
			return err
		}
		extra = append(extra, kit.Extra{Name: "metadata.json", Data: meta})
	}
	for _, x := range extra {
		pieces = append(pieces, kit.Piece{Name: x.Name, Digest: digest.Of(x.Data),
			Open: func(context.Context) (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(x.Data)), nil }})
	}
	return kit.Collect(ctx, dir, pieces)
}

// maxBundle bounds a bundle that is read back.
const maxBundle = 64 << 20

func (c *stageContext) bundle(ctx context.Context, d digest.Digest) (attest.Bundle, error) {
	r, err := c.Artifacts.Open(ctx, d)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	return io.ReadAll(io.LimitReader(r, maxBundle))
}

// extras returns the verdict for programs and the report for people.
func (c *stageContext) extras() ([]kit.Extra, error) {
	verdict, err := json.MarshalIndent(c.compared.Verdict, "", "  ")
	if err != nil {
		return nil, fmt.Errorf("writing the verdict: %w", err)
	}
	var text bytes.Buffer
	if err := report.Text(&text, c.compared.Verdict, report.Options{Hunks: true}); err != nil {
		return nil, fmt.Errorf("writing the report: %w", err)
	}
	var page bytes.Buffer
	title := fmt.Sprintf("%s %s", c.recipe.Port, c.recipe.Version)
	if err := report.HTML(&page, c.compared.Verdict, report.PageOptions{Title: title, A: c.compared.Packages[0].Repeat, B: "the repeat that differs most"}); err != nil {
		return nil, fmt.Errorf("writing the page: %w", err)
	}
	return []kit.Extra{{Name: "verdict.json", Data: append(verdict, '\n')}, {Name: "report.txt", Data: text.Bytes()}, {Name: "report.html", Data: page.Bytes()}}, nil
}

// metadata returns the description that installers of z/OS open tools read.
func (c *stageContext) metadata() ([]byte, error) {
	var tests packaging.Tests
	for _, s := range c.repeats[0].Record.Suites {
		tests.Total += s.Tally.Total
		tests.Passed += s.Tally.Passed
	}
	return packaging.Metadata(c.spec(c.repeats[0].Record), c.compared.Info[0], tests)
}
