// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

// Package source gets the pinned files of a recipe and verifies them: each
// file has the digest that the recipe names and, if the recipe says so, an
// OpenPGP signature by one of upstream's keys. It also rewrites an upstream
// archive as a plain, safe tar.
//
// It is the only part of the farm that connects to upstream; workers need no
// network. It reads no recipe files (recipes/parse), applies no patches, and
// puts nothing on workers (orchestrator).
package source

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/url"
	"os"
	"path"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/zfarm/zfarm/attest/digest"
	"github.com/zfarm/zfarm/recipes"
)

const (
	defaultRetries  = 4
	defaultMaxBytes = 2 << 30
	defaultStall    = time.Minute
	maxSignature    = 64 << 10 // bytes
)

// Options says where a Fetcher looks for files, and what it allows.
type Options struct {
	// Cache is a folder for the Fetcher only, which it makes if necessary.
	// Several processes may share it.
	Cache string
	// Mirrors are tried before upstream, in order: folders (an absolute path
	// or a file URL) and http or https URL prefixes. A mirror has each file
	// under the last element of its URL.
	Mirrors []string
	// Client makes the requests. If it is nil, the Fetcher uses its own, with
	// timeouts, a limit on redirects and no cookies.
	Client *http.Client
	// Retries is how often one place is tried again after a network error, a
	// status of 500 and above, or 429. 0 means 4; a negative number means
	// never.
	Retries int
	// MaxBytes is the largest file allowed, in bytes; 0 means 2 GiB.
	MaxBytes int64
	// Offline restricts the Fetcher to its cache and to mirrors that are
	// folders.
	Offline bool
	// Progress, if set, is called while bytes arrive, in the goroutine that
	// called Fetch.
	Progress func(Progress)
}

// Progress is how far a download has come.
type Progress struct {
	URL   string
	Done  int64 // bytes
	Total int64 // bytes; -1 when unknown
}

// The kinds of place that a file can come from.
const (
	FromCache  = "cache"
	FromMirror = "mirror"
	FromURL    = "url"
)

// Fetched is a file that was verified.
type Fetched struct {
	// Path is the file in the cache. The caller must not change it.
	Path   string
	Digest digest.Digest
	Size   int64
	// From is FromCache, FromMirror or FromURL. Place is the path or URL.
	From, Place string
	// Signed says who signed the file; nil if the recipe requires no
	// signature.
	Signed *SignedBy
}

// Fetcher fetches files. It is safe for concurrent use.
type Fetcher struct {
	cache    cache
	mirrors  []place
	client   *http.Client
	retries  int
	maxBytes int64
	offline  bool
	progress func(Progress)
	stall    time.Duration
	now      func() time.Time
	wait     func(context.Context, time.Duration) error

	mu    sync.Mutex
	locks map[digest.Digest]*digestLock
}

// New returns a Fetcher and makes the folders of the cache.
func New(o Options) (*Fetcher, error) {
	f := &Fetcher{
		client: o.Client, retries: o.Retries, maxBytes: o.MaxBytes, offline: o.Offline, progress: o.Progress,
		stall: defaultStall, now: time.Now, wait: sleep, locks: map[digest.Digest]*digestLock{},
	}
	if f.client == nil {
		f.client = newClient()
	}
	if f.retries == 0 {
		f.retries = defaultRetries
	}
	if f.maxBytes <= 0 {
		f.maxBytes = defaultMaxBytes
	}
	for _, m := range o.Mirrors {
		p, err := parseMirror(m)
		if err != nil {
			return nil, err
		}
		f.mirrors = append(f.mirrors, p)
	}
	var err error
	f.cache, err = openCache(o.Cache, f.now())
	return f, err
}

// Fetch returns the file of s from the cache, a mirror or its URL, in that
// order, after verifying its digest and, if s has one, its signature. Two
// calls for the same digest download once.
func (f *Fetcher) Fetch(ctx context.Context, s recipes.Source) (Fetched, error) {
	u, name, err := parseURL(s.URL)
	if err != nil {
		return Fetched{}, err
	}
	if s.SHA256.IsZero() {
		return Fetched{}, fmt.Errorf("fetching %s: no sha256 is pinned; put the one that upstream announced into the recipe", name)
	}
	unlock, err := f.lock(ctx, s.SHA256)
	if err != nil {
		return Fetched{}, fmt.Errorf("fetching %s: %w", name, err)
	}
	defer unlock()

	got, err := f.file(ctx, u, name, s.SHA256)
	if err != nil {
		return Fetched{}, fmt.Errorf("fetching %s: %w", name, err)
	}
	if s.Signature == nil {
		return got, nil
	}
	got.Signed, err = f.signature(ctx, s, got.Path)
	if err != nil {
		return Fetched{}, fmt.Errorf("checking signature of %s: %w", name, err)
	}
	return got, nil
}

// file returns the file with the digest want. If the URL itself has wrong or
// too many bytes, that error is returned, and mentions the other places only
// briefly.
func (f *Fetcher) file(ctx context.Context, u *url.URL, name string, want digest.Digest) (Fetched, error) {
	if p, size, ok := f.cache.find(want); ok {
		return Fetched{Path: p, Digest: want, Size: size, From: FromCache, Place: p}, nil
	}
	var tried []FailedPlace
	for _, p := range f.places(u, name) {
		file, size, err := f.obtain(ctx, p, name, want)
		if err == nil {
			return Fetched{Path: file, Digest: want, Size: size, From: p.from, Place: p.String()}, nil
		}
		var local *cacheError
		if ctx.Err() != nil || errors.As(err, &local) {
			return Fetched{}, err
		}
		if p.from == FromURL && (errors.Is(err, ErrChecksum) || errors.Is(err, ErrTooLarge)) {
			if len(tried) > 0 {
				err = fmt.Errorf("%w (before that %s)", err, listTried(tried))
			}
			return Fetched{}, err
		}
		tried = append(tried, FailedPlace{p.String(), err})
	}
	return Fetched{}, &UnavailableError{Name: name, Tried: tried}
}

// obtain copies the file of one place into the cache, if it has the wanted
// digest.
func (f *Fetcher) obtain(ctx context.Context, p place, name string, want digest.Digest) (string, int64, error) {
	part, err := f.cache.begin(p.String(), f.maxBytes)
	if err != nil {
		return "", 0, err
	}
	defer part.discard()
	part.progress = f.progress
	if err := f.read(ctx, p, part); err != nil {
		return "", 0, err
	}
	if have := part.sum.Digest(); have != want {
		return "", 0, &ChecksumError{Name: name, Place: p.String(), Want: want, Have: have,
			Size: part.sum.Len(), HTML: looksLikeHTML(part.head)}
	}
	file, err := f.cache.commit(part, want)
	return file, part.sum.Len(), err
}

// signature verifies the file by the first signature that holds.
func (f *Fetcher) signature(ctx context.Context, s recipes.Source, file string) (*SignedBy, error) {
	u, name, err := parseURL(s.Signature.URL)
	if err != nil {
		return nil, err
	}
	ring, err := readKeys(*s.Signature)
	if err != nil {
		return nil, err
	}
	cached := f.cache.signatureName(s.SHA256, s.Signature.URL)
	places := append([]place{{from: FromCache, path: cached}}, f.places(u, name)...)
	var tried []FailedPlace
	for _, p := range places {
		b, err := f.readSmall(ctx, p)
		if errors.Is(err, ErrTooLarge) {
			err = ring.fault(ErrSignatureBad, "", fmt.Sprintf("it is larger than %d bytes", maxSignature))
		}
		if err == nil {
			var by *SignedBy
			if by, err = f.verify(file, b, ring); err == nil {
				if p.from != FromCache {
					err = f.cache.storeSignature(cached, b)
				}
				return by, err
			}
		}
		if ctx.Err() != nil {
			return nil, err
		}
		if p.from != FromCache || !errors.Is(err, fs.ErrNotExist) {
			tried = append(tried, FailedPlace{p.String(), err})
		}
	}
	return nil, noSignature(ring.name, name, tried)
}

// noSignature returns the most useful error: a signature that does not hold
// rather than one that is missing. It takes the last such, because upstream is
// tried last.
func noSignature(file, name string, tried []FailedPlace) error {
	missing := true
	var worst *SignatureError
	for _, t := range tried {
		var e *SignatureError
		if errors.As(t.Err, &e) {
			worst = e
		}
		missing = missing && errors.Is(t.Err, fs.ErrNotExist)
	}
	switch {
	case worst != nil:
		return worst
	case missing:
		return &SignatureError{Kind: ErrSignatureMissing, File: file, Detail: fmt.Sprintf("no place has %s (%s)", name, listTried(tried))}
	default:
		return &UnavailableError{Name: name, Tried: tried}
	}
}

func (f *Fetcher) verify(file string, signature []byte, ring *keyring) (*SignedBy, error) {
	r, err := os.Open(file)
	if err != nil {
		return nil, err
	}
	defer r.Close() //nolint:errcheck // read only
	return ring.verify(r, signature, f.now())
}

// readSmall returns the content of a place, which must fit into maxSignature.
func (f *Fetcher) readSmall(ctx context.Context, p place) ([]byte, error) {
	part, err := f.cache.begin(p.String(), maxSignature)
	if err != nil {
		return nil, err
	}
	defer part.discard()
	if err := f.read(ctx, p, part); err != nil {
		return nil, err
	}
	if _, err := part.file.Seek(0, io.SeekStart); err != nil {
		return nil, err
	}
	return io.ReadAll(part.file)
}

// read copies the content of a place into part.
func (f *Fetcher) read(ctx context.Context, p place, part *partial) error {
	if p.url == nil {
		return readFile(ctx, p.path, part)
	}
	if f.offline {
		return errOffline
	}
	return f.download(ctx, p.url, part)
}

var errOffline = errors.New("not asked, the farm is offline")

// readFile copies a regular file; any other file could block for ever.
func readFile(ctx context.Context, name string, part *partial) error {
	info, err := os.Stat(name)
	if err != nil {
		return withoutPath(err)
	}
	if !info.Mode().IsRegular() {
		return errors.New("not a regular file")
	}
	r, err := os.Open(name)
	if err != nil {
		return withoutPath(err)
	}
	defer r.Close() //nolint:errcheck // read only
	return part.fill(ctx, r, info.Size())
}

// withoutPath drops the path from an error that is reported beside the path.
func withoutPath(err error) error {
	var e *fs.PathError
	if errors.As(err, &e) {
		return e.Err
	}
	return err
}

// place is somewhere a file may be: a path or a URL.
type place struct {
	from string
	path string
	url  *url.URL
}

// String shows the place without any password in the URL.
func (p place) String() string {
	if p.url != nil {
		return p.url.Redacted()
	}
	return p.path
}

// places returns where a file may be, in the order in which to try.
func (f *Fetcher) places(u *url.URL, name string) []place {
	list := make([]place, 0, len(f.mirrors)+1)
	for _, m := range f.mirrors {
		if m.url != nil {
			m.url = m.url.JoinPath(url.PathEscape(name))
		} else {
			m.path = filepath.Join(m.path, name)
		}
		list = append(list, m)
	}
	return append(list, place{from: FromURL, url: u})
}

func parseMirror(s string) (place, error) {
	if filepath.IsAbs(s) {
		return place{from: FromMirror, path: filepath.Clean(s)}, nil
	}
	u, err := url.Parse(s)
	switch {
	case err != nil:
	case u.Scheme == "file" && (u.Host == "" || u.Host == "localhost") && path.IsAbs(u.Path):
		return place{from: FromMirror, path: filepath.FromSlash(u.Path)}, nil
	case (u.Scheme == "http" || u.Scheme == "https") && u.Host != "":
		return place{from: FromMirror, url: u}, nil
	}
	return place{}, fmt.Errorf("mirror %q: want an absolute folder, a file:/// URL, or an http(s) URL", s)
}

// parseURL checks an upstream URL and returns it with the name of its file.
func parseURL(s string) (*url.URL, string, error) {
	u, err := url.Parse(s)
	if err != nil || (u.Scheme != "http" && u.Scheme != "https") || u.Host == "" {
		return nil, "", fmt.Errorf("source url %q: want an http or https URL", s)
	}
	name := recipes.Source{URL: s}.FileName()
	if name == "" || !cleanText(name) || strings.Contains(name, `\`) {
		return nil, "", fmt.Errorf("source url %q: its last element must name a file", s)
	}
	return u, name, nil
}

// cleanText reports whether s has no control characters.
func cleanText(s string) bool {
	return strings.IndexFunc(s, func(r rune) bool { return r < ' ' || r == 0x7f }) < 0
}

// digestLock lets one call at a time fetch a digest. Whoever fetches has a token in held.
type digestLock struct {
	held    chan struct{}
	waiting int
}

// lock waits until nobody else in this process fetches d. The returned
// function lets the next one fetch it.
func (f *Fetcher) lock(ctx context.Context, d digest.Digest) (unlock func(), err error) {
	f.mu.Lock()
	l := f.locks[d]
	if l == nil {
		l = &digestLock{held: make(chan struct{}, 1)}
		f.locks[d] = l
	}
	l.waiting++
	f.mu.Unlock()

	leave := func() {
		f.mu.Lock()
		defer f.mu.Unlock()
		if l.waiting--; l.waiting == 0 {
			delete(f.locks, d)
		}
	}
	select {
	case l.held <- struct{}{}:
		return func() { <-l.held; leave() }, nil
	case <-ctx.Done():
		leave()
		return nil, context.Cause(ctx)
	}
}

func sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
