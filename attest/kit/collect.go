// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

package kit

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"regexp"
	"slices"
	"strings"

	"github.com/zfarm/zfarm/attest/digest"
)

// Piece is one file of a kit that was written elsewhere.
type Piece struct {
	Name   string
	Digest digest.Digest
	Open   func(ctx context.Context) (io.ReadCloser, error)
}

// Collect writes the pieces to dir, all of them or none, and checks every byte
// against its digest. It leaves a folder with exactly these pieces as it is,
// so collecting twice is no error. It refuses a folder with anything else in
// it.
func Collect(ctx context.Context, dir string, pieces []Piece) error {
	if err := checkPieces(pieces); err != nil {
		return fmt.Errorf("collecting %s: %w", dir, err)
	}
	if same(ctx, dir, pieces) {
		return nil
	}
	err := fillBeside(dir, func(tmp string) error {
		for _, p := range pieces {
			if err := p.write(ctx, tmp); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("collecting %s: %w", dir, err)
	}
	return nil
}

func checkPieces(pieces []Piece) error {
	if len(pieces) == 0 {
		return errors.New("there is nothing to collect")
	}
	plain := regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._+~-]{0,199}$`)
	seen := map[string]bool{}
	for _, p := range pieces {
		// Names that differ only in case would be the same file on some
		// systems.
		folded := strings.ToLower(p.Name)
		if !plain.MatchString(p.Name) || seen[folded] {
			return fmt.Errorf("file name %q: want letters, digits and . _ + ~ - only, each once", p.Name)
		}
		seen[folded] = true
	}
	return nil
}

// same reports whether dir holds exactly the pieces.
func same(ctx context.Context, dir string, pieces []Piece) bool {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return false
	}
	defer root.Close()
	f := folder{root: root}
	names, faults, err := f.names()
	if err != nil || len(faults) > 0 || len(names) != len(pieces) {
		return false
	}
	return !slices.ContainsFunc(pieces, func(p Piece) bool {
		have, _, err := f.sum(ctx, p.Name)
		return err != nil || have != p.Digest
	})
}

func (p Piece) write(ctx context.Context, dir string) error {
	r, err := p.Open(ctx)
	if err != nil {
		return fmt.Errorf("opening %s: %w", p.Name, err)
	}
	sum := digest.NewReader(&reader{ctx: ctx, r: r})
	if err := errors.Join(writeFrom(dir, p.Name, sum), r.Close()); err != nil {
		return fmt.Errorf("copying %s: %w", p.Name, err)
	}
	if sum.Digest() != p.Digest {
		return fmt.Errorf("copying %s: its bytes have the digest %s instead of %s", p.Name, sum.Digest(), p.Digest)
	}
	return nil
}

// Pieces returns the files of a folder that Write or WriteFindings wrote, and
// their sizes in bytes, so that they can be collected elsewhere later.
func Pieces(ctx context.Context, dir string) ([]Piece, []int64, error) {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, nil, fmt.Errorf("reading kit: %w", err)
	}
	defer root.Close()
	f := folder{root: root}
	names, faults, err := f.names()
	if err := errors.Join(append(faults, err)...); err != nil {
		return nil, nil, fmt.Errorf("reading kit: %w", err)
	}
	var pieces []Piece
	var sizes []int64
	for _, name := range names {
		sum, size, err := f.sum(ctx, name)
		if err != nil {
			return nil, nil, fmt.Errorf("reading kit: %w", err)
		}
		pieces = append(pieces, Piece{Name: name, Digest: sum, Open: func(context.Context) (io.ReadCloser, error) {
			return openIn(dir, name)
		}})
		sizes = append(sizes, size)
	}
	return pieces, sizes, nil
}

func openIn(dir, name string) (fs.File, error) {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, err
	}
	defer root.Close()
	return root.Open(name)
}
