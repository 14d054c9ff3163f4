// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

// Package intake reads a submitted archive of recipe folders, a tar that may be
// compressed with gzip, into memory, and packs such archives.
//
// The archive is hostile: its size, its members and their names are bounded, and
// nothing of it is ever written to a disk. recipes/parse interprets the recipes;
// orchestrator/api/server decides who may submit them.
package intake

import (
	"archive/tar"
	"bufio"
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/cases"
	"golang.org/x/text/unicode/norm"
)

// RecipeFile is the name of the recipe in its folder.
const RecipeFile = "recipe.hcl"

// Limits bound an archive. Sizes are in bytes.
type Limits struct {
	// File bounds one file, Expanded all files together after decompression.
	File, Expanded int64
	// Members bounds the number of members, Depth that of nested folders.
	Members, Depth int
}

// DefaultLimits returns the limits of a farm.
func DefaultLimits() Limits {
	return Limits{File: 16 << 20, Expanded: 64 << 20, Members: 2000, Depth: 16}
}

const (
	maxName  = 200      // bytes of a member's name
	overhead = 16 << 20 // bytes of headers and padding in a whole archive
	block    = 512      // size that tar pads to
)

// RefusedError says why an archive is refused.
type RefusedError struct {
	// Member is the name of the faulty member; "" means the archive as a whole.
	Member string
	// Reason is a sentence without its subject that says what to do.
	Reason string
	// TooLarge: a limit was exceeded.
	TooLarge bool
}

// Error names the member and the reason.
func (e *RefusedError) Error() string {
	if e.Member == "" {
		return "the archive " + e.Reason
	}
	return fmt.Sprintf("member %q %s", e.Member, e.Reason)
}

// Archive is a submitted archive, in memory.
type Archive struct {
	tree    *tree
	recipes []string
}

// Recipes returns the folders that hold a recipe, sorted; "." is the root.
func (a *Archive) Recipes() []string { return slices.Clone(a.recipes) }

// Folder returns the folder of a recipe.
func (a *Archive) Folder(dir string) (fs.FS, error) { return fs.Sub(a.tree, dir) }

// Read reads a tar archive, compressed with gzip or not. A faulty archive is a
// *RefusedError; other errors are those of r and ctx.
func Read(ctx context.Context, r io.Reader, l Limits) (*Archive, error) {
	plain, err := decompress(r)
	if err != nil {
		return nil, err
	}
	in := &intake{
		limits: l, tree: newTree(), folded: map[string]string{}, told: map[string]bool{},
		raw: &capped{r: plain, left: l.Expanded + overhead, most: l.Expanded},
	}
	tr := tar.NewReader(in.raw)
	for {
		if err := ctx.Err(); err != nil {
			return nil, fmt.Errorf("reading the archive: %w", err)
		}
		h, err := tr.Next()
		if err == io.EOF {
			break
		}
		if err != nil {
			return nil, archiveError(err)
		}
		if err := in.member(h, tr); err != nil {
			return nil, err
		}
	}
	if err := in.rest(); err != nil {
		return nil, err
	}
	in.tree.close()
	found, err := recipeFolders(in.tree)
	if err != nil {
		return nil, err
	}
	return &Archive{tree: in.tree, recipes: found}, nil
}

// decompress detects gzip by the first bytes, whatever the sender declares.
func decompress(r io.Reader) (io.Reader, error) {
	buffered := bufio.NewReaderSize(r, 64<<10)
	head, err := buffered.Peek(2)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("reading the archive: %w", err)
	}
	if !bytes.Equal(head, []byte{0x1f, 0x8b}) {
		return buffered, nil
	}
	z, err := gzip.NewReader(buffered)
	if err != nil {
		return nil, archiveError(err)
	}
	return z, nil
}

// archiveError distinguishes errors of the format from errors of the reader.
func archiveError(err error) error {
	var refused *RefusedError
	switch {
	case errors.As(err, &refused):
		return err
	case errors.Is(err, tar.ErrHeader), errors.Is(err, gzip.ErrHeader), errors.Is(err, gzip.ErrChecksum),
		errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, io.EOF), errors.Is(err, tar.ErrFieldTooLong), isFlate(err):
		return &RefusedError{Reason: fmt.Sprintf("is not a whole tar or tar.gz (%v); make it with \"tar -czf\" and send its bytes as they are", err)}
	}
	return fmt.Errorf("reading the archive: %w", err)
}

// intake is an archive being read.
type intake struct {
	limits  Limits
	raw     io.Reader
	tree    *tree
	members int
	size    int64
	folded  map[string]string // a name without regard to case -> the name
	told    map[string]bool   // names that have a member of their own
}

func (in *intake) member(h *tar.Header, r io.Reader) error {
	in.members++
	if in.members > in.limits.Members {
		return &RefusedError{Reason: fmt.Sprintf("has more than %d members; send recipes with their patches and keys only", in.limits.Members), TooLarge: true}
	}
	if h.Typeflag == tar.TypeXGlobalHeader { // written by "git archive"; nothing here depends on it
		return nil
	}
	if err := plainMember(h); err != nil {
		return err
	}
	name, err := in.name(h)
	if err != nil {
		return err
	}
	if h.Typeflag == tar.TypeDir {
		in.tree.folder(name)
		return nil
	}
	if h.Size > in.limits.File {
		return &RefusedError{Member: h.Name, Reason: fmt.Sprintf("has %d bytes, the most is %d", h.Size, in.limits.File), TooLarge: true}
	}
	if in.size += h.Size; in.size > in.limits.Expanded {
		return tooMuch(in.limits.Expanded)
	}
	data, err := io.ReadAll(r)
	if err != nil {
		return archiveError(err)
	}
	in.tree.file(name, data)
	return nil
}

// plainMember refuses whatever is neither a regular file nor a folder.
func plainMember(h *tar.Header) error {
	what := ""
	switch h.Typeflag {
	case tar.TypeReg, tar.TypeDir:
	case tar.TypeSymlink:
		what = "is a symbolic link; send the file itself"
	case tar.TypeLink:
		what = "is a hard link; send the file itself (tar --hard-dereference)"
	case tar.TypeChar, tar.TypeBlock, tar.TypeFifo:
		what = "is a device or pipe; send regular files and folders only"
	default:
		what = fmt.Sprintf("has the type %q; send regular files and folders only", h.Typeflag)
	}
	for key := range h.PAXRecords {
		if strings.HasPrefix(key, "GNU.sparse.") {
			what = "is sparse; make the archive without --sparse"
		}
	}
	if what != "" {
		return &RefusedError{Member: h.Name, Reason: what}
	}
	return nil
}

// name checks the name of a member against all rules and all names before it.
func (in *intake) name(h *tar.Header) (string, error) {
	name := h.Name
	for strings.HasPrefix(name, "./") {
		name = name[2:]
	}
	folder := h.Typeflag == tar.TypeDir
	if folder {
		name = strings.TrimSuffix(name, "/")
		if name == "" {
			name = "."
		}
	}
	if why := badName(name, in.limits.Depth); why != "" || name == "." && !folder {
		return "", &RefusedError{Member: h.Name, Reason: "has a name that is not allowed: " + why}
	}
	if in.told[name] {
		return "", &RefusedError{Member: h.Name, Reason: "is there twice; send it once"}
	}
	in.told[name] = true
	for at := name; at != "."; at = path.Dir(at) {
		key := fold(at)
		if other, ok := in.folded[key]; ok && other != at {
			return "", &RefusedError{Member: h.Name, Reason: fmt.Sprintf("is %q but for upper and lower case or the form of letters; rename one", other)}
		}
		in.folded[key] = at
	}
	if why := in.tree.conflict(name, folder); why != "" {
		return "", &RefusedError{Member: h.Name, Reason: why}
	}
	return name, nil
}

func badName(name string, depth int) string {
	switch {
	case !utf8.ValidString(name):
		return "it is not UTF-8"
	case len(name) > maxName:
		return fmt.Sprintf("it is longer than %d bytes", maxName)
	case strings.ContainsRune(name, '\\'):
		return "it has a backslash"
	case strings.IndexFunc(name, func(r rune) bool { return !unicode.IsGraphic(r) }) >= 0:
		return "it has characters that cannot be shown"
	case !fs.ValidPath(name):
		return "it must be below the archive's root, without .. and without // in it"
	case strings.Count(name, "/") >= depth:
		return fmt.Sprintf("it lies more than %d folders deep", depth)
	}
	return ""
}

// fold makes names equal that some file systems treat as the same.
func fold(name string) string { return cases.Fold().String(norm.NFKC.String(name)) }

// rest reads what follows the archive's end: it must be padding only, so that no other
// reader finds more in it than this one.
func (in *intake) rest() error {
	buf := make([]byte, 64*block)
	for {
		n, err := in.raw.Read(buf)
		if slices.ContainsFunc(buf[:n], func(b byte) bool { return b != 0 }) {
			return &RefusedError{Reason: "has something behind its end; send one archive"}
		}
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return archiveError(err)
		}
	}
}

// recipeFolders returns the folders with a recipe; none may be inside another.
func recipeFolders(t *tree) ([]string, error) {
	var found []string
	for name, e := range t.entries {
		if path.Base(name) == RecipeFile && !e.dir {
			found = append(found, path.Dir(name))
		}
	}
	if len(found) == 0 {
		return nil, &RefusedError{Reason: "holds no " + RecipeFile + "; send a folder with one, or several such folders"}
	}
	slices.Sort(found)
	has := map[string]bool{}
	for _, dir := range found {
		has[dir] = true
	}
	for _, dir := range found {
		for at := dir; at != "."; {
			at = path.Dir(at)
			if has[at] {
				return nil, &RefusedError{Member: path.Join(dir, RecipeFile), Reason: fmt.Sprintf("lies inside the folder of another recipe, %q; put them side by side", at)}
			}
		}
	}
	return found, nil
}

func tooMuch(most int64) error {
	return &RefusedError{Reason: fmt.Sprintf("expands to more than %d bytes; send recipes with their patches and keys only", most), TooLarge: true}
}

// capped fails on a stream that is longer than any honest one.
type capped struct {
	r          io.Reader
	left, most int64
}

func (c *capped) Read(p []byte) (int, error) {
	if c.left <= 0 {
		return 0, tooMuch(c.most)
	}
	if int64(len(p)) > c.left {
		p = p[:c.left]
	}
	n, err := c.r.Read(p)
	c.left -= int64(n)
	return n, err
}
