// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

package source

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/zfarm/zfarm/attest/digest"
	"github.com/zfarm/zfarm/recipes"
)

// content is what upstream publishes in these tests; larger than one buffer.
var content = bytes.Repeat([]byte("0123456789abcde\n"), 40000)

const fileName = "port-1.0.tar.gz"

// upstream is a server whose answers a test defines.
type upstream struct {
	*httptest.Server
	asked atomic.Int64
}

// serve starts a server that calls answer with the number of the request, from
// 1.
func serve(t *testing.T, answer func(w http.ResponseWriter, r *http.Request, n int64)) *upstream {
	t.Helper()
	u := &upstream{}
	u.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		answer(w, r, u.asked.Add(1))
	}))
	t.Cleanup(u.Close)
	return u
}

func (u *upstream) source() recipes.Source {
	return recipes.Source{URL: u.URL + "/pub/" + fileName, SHA256: digest.Of(content)}
}

// fetcher returns a Fetcher that does not wait, but records how long it would.
func fetcher(t *testing.T, o Options) (*Fetcher, *[]time.Duration) {
	t.Helper()
	if o.Cache == "" {
		o.Cache = t.TempDir()
	}
	f, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	waits := &[]time.Duration{}
	f.wait = func(ctx context.Context, d time.Duration) error {
		*waits = append(*waits, d)
		return ctx.Err()
	}
	return f, waits
}

// tidy checks that the cache holds the wanted file, or none, and nothing in
// aside/.
func tidy(t *testing.T, f *Fetcher, present bool) {
	t.Helper()
	aside, err := os.ReadDir(filepath.Join(f.cache.root, "aside"))
	if err != nil || len(aside) != 0 {
		t.Errorf("left aside: %v, %v", aside, err)
	}
	got, err := os.ReadFile(f.cache.fileName(digest.Of(content)))
	if present && !bytes.Equal(got, content) {
		t.Errorf("the cache holds %d bytes, %v", len(got), err)
	}
	if !present && !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the cache holds %d bytes, want none", len(got))
	}
}

func whole(w http.ResponseWriter, _ *http.Request, _ int64) {
	w.Header().Set("Content-Length", fmt.Sprint(len(content)))
	_, _ = w.Write(content)
}

// partly announces the whole content and breaks off in the middle.
func partly(w http.ResponseWriter) {
	w.Header().Set("Content-Length", fmt.Sprint(len(content)))
	_, _ = w.Write(content[:len(content)/2])
	_ = http.NewResponseController(w).Flush()
	panic(http.ErrAbortHandler)
}

func TestFetch(t *testing.T) {
	up := serve(t, whole)
	var last Progress
	f, waits := fetcher(t, Options{Progress: func(p Progress) { last = p }})
	got, err := f.Fetch(t.Context(), up.source())
	if err != nil {
		t.Fatal(err)
	}
	want := Fetched{Path: f.cache.fileName(digest.Of(content)), Digest: digest.Of(content), Size: int64(len(content)),
		From: FromURL, Place: up.source().URL}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff(Progress{up.source().URL, int64(len(content)), int64(len(content))}, last); diff != "" {
		t.Error(diff)
	}
	tidy(t, f, true)

	again, err := f.Fetch(t.Context(), up.source())
	if err != nil || again.From != FromCache || up.asked.Load() != 1 || len(*waits) != 0 {
		t.Errorf("again: %+v, %v, %d requests", again, err, up.asked.Load())
	}
}

// TestBytesAsStored: .gz files must arrive as they are, even from a server
// that declares them as an encoding.
func TestBytesAsStored(t *testing.T) {
	packed := gzipped(t, content)
	up := serve(t, func(w http.ResponseWriter, r *http.Request, _ int64) {
		if got := r.Header.Get("Accept-Encoding"); got != "identity" {
			t.Errorf("Accept-Encoding %q", got)
		}
		w.Header().Set("Content-Encoding", "gzip")
		_, _ = w.Write(packed)
	})
	f, _ := fetcher(t, Options{})
	s := up.source()
	s.SHA256 = digest.Of(packed)
	if got, err := f.Fetch(t.Context(), s); err != nil || got.Size != int64(len(packed)) {
		t.Errorf("%+v, %v", got, err)
	}
}

func TestDamagedCacheIsMended(t *testing.T) {
	up := serve(t, whole)
	f, _ := fetcher(t, Options{})
	name := f.cache.fileName(digest.Of(content))
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(name, content[1:], 0o444); err != nil {
		t.Fatal(err)
	}
	got, err := f.Fetch(t.Context(), up.source())
	if err != nil || got.From != FromURL {
		t.Errorf("%+v, %v", got, err)
	}
	tidy(t, f, true)
}

// TestRetries checks which errors are retried, how often, and with which
// result.
func TestRetries(t *testing.T) {
	status := func(code int) func(http.ResponseWriter) {
		return func(w http.ResponseWriter) { w.WriteHeader(code) }
	}
	after := func(code int, s string) func(http.ResponseWriter) {
		return func(w http.ResponseWriter) { w.Header().Set("Retry-After", s); w.WriteHeader(code) }
	}
	full := func(w http.ResponseWriter) { _, _ = w.Write(content) }
	tests := []struct {
		name    string
		answers []func(http.ResponseWriter) // the last one repeats
		asked   int64
		err     error
		text    string
		least   time.Duration // of the first wait
	}{
		{name: "404", answers: []func(http.ResponseWriter){status(404)}, asked: 1, err: ErrUnavailable, text: "404 Not Found"},
		{name: "403", answers: []func(http.ResponseWriter){status(403)}, asked: 1, err: ErrUnavailable, text: "403"},
		{name: "500 then well", answers: []func(http.ResponseWriter){status(500), full}, asked: 2},
		{name: "503 for ever", answers: []func(http.ResponseWriter){status(503)}, asked: 4, err: ErrUnavailable, text: "503"},
		{name: "429 in seconds", answers: []func(http.ResponseWriter){after(429, "90"), full}, asked: 2, least: 90 * time.Second},
		{name: "503 until a date", answers: []func(http.ResponseWriter){after(503, "Mon, 02 Jan 2040 03:04:06 GMT"), full}, asked: 2, least: time.Minute},
		{name: "429 for too long", answers: []func(http.ResponseWriter){after(429, "7200")}, asked: 1, err: ErrUnavailable, text: "2h0m0s"},
		{name: "429 nonsense", answers: []func(http.ResponseWriter){after(429, "soon"), full}, asked: 2},
		{name: "breaks off once", answers: []func(http.ResponseWriter){partly, full}, asked: 2},
		{name: "breaks off always", answers: []func(http.ResponseWriter){partly}, asked: 4, err: ErrUnavailable, text: "unexpected EOF"},
		{name: "hangs up", answers: []func(http.ResponseWriter){func(http.ResponseWriter) { panic(http.ErrAbortHandler) }, full}, asked: 2},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			up := serve(t, func(w http.ResponseWriter, _ *http.Request, n int64) {
				tt.answers[min(int(n), len(tt.answers))-1](w)
			})
			f, waits := fetcher(t, Options{Retries: 3})
			f.now = func() time.Time { return time.Date(2040, 1, 2, 3, 3, 6, 0, time.UTC) }
			_, err := f.Fetch(t.Context(), up.source())
			if !errors.Is(err, tt.err) || err != nil && !strings.Contains(err.Error(), tt.text) {
				t.Errorf("error %v, want %v with %q", err, tt.err, tt.text)
			}
			if up.asked.Load() != tt.asked || len(*waits) != int(tt.asked)-1 {
				t.Errorf("%d requests, waits %v, want %d requests", up.asked.Load(), *waits, tt.asked)
			}
			if len(*waits) > 0 && (*waits)[0] < max(tt.least, firstPause/2) {
				t.Errorf("waits %v, want at least %v", *waits, tt.least)
			}
			tidy(t, f, tt.err == nil)
		})
	}
}

func TestPauseGrowsAndEnds(t *testing.T) {
	for try := range 40 {
		full := min(firstPause<<min(try, 10), maxPause)
		if d := pause(try); d < full/2 || d > full {
			t.Errorf("pause(%d) = %v, want between %v and %v", try, d, full/2, full)
		}
	}
}

func TestNoServer(t *testing.T) {
	up := serve(t, whole)
	s := up.source()
	up.Close()
	f, waits := fetcher(t, Options{Retries: 2})
	_, err := f.Fetch(t.Context(), s)
	var e *UnavailableError
	if !errors.As(err, &e) || len(e.Tried) != 1 || len(*waits) != 2 {
		t.Errorf("%v, waits %v", err, *waits)
	}
	never, waits := fetcher(t, Options{Retries: -1})
	if _, err := never.Fetch(t.Context(), s); !errors.Is(err, ErrUnavailable) || len(*waits) != 0 {
		t.Errorf("%v, waits %v", err, *waits)
	}
}

func TestWrongBytes(t *testing.T) {
	t.Run("another file", func(t *testing.T) {
		up := serve(t, func(w http.ResponseWriter, _ *http.Request, _ int64) { _, _ = w.Write(content[1:]) })
		f, _ := fetcher(t, Options{})
		_, err := f.Fetch(t.Context(), up.source())
		var e *ChecksumError
		if !errors.As(err, &e) || !errors.Is(err, ErrChecksum) || errors.Is(err, ErrUnavailable) {
			t.Fatalf("error %v", err)
		}
		want := &ChecksumError{Name: fileName, Place: up.source().URL, Want: digest.Of(content), Have: digest.Of(content[1:]), Size: int64(len(content) - 1)}
		if diff := cmp.Diff(want, e); diff != "" {
			t.Error(diff)
		}
		if !strings.Contains(err.Error(), "check its announcement and update sha256") || up.asked.Load() != 1 {
			t.Errorf("%v, %d requests", err, up.asked.Load())
		}
		tidy(t, f, false)
	})
	t.Run("a web page", func(t *testing.T) {
		up := serve(t, func(w http.ResponseWriter, _ *http.Request, _ int64) {
			_, _ = w.Write([]byte("<!DOCTYPE html><title>Your download will begin shortly</title>"))
		})
		f, _ := fetcher(t, Options{})
		_, err := f.Fetch(t.Context(), up.source())
		if !errors.Is(err, ErrChecksum) || !strings.Contains(err.Error(), "web page") {
			t.Errorf("error %v", err)
		}
	})
	t.Run("too many, announced", func(t *testing.T) {
		up := serve(t, whole)
		f, _ := fetcher(t, Options{MaxBytes: int64(len(content)) - 1})
		_, err := f.Fetch(t.Context(), up.source())
		var e *TooLargeError
		if !errors.As(err, &e) || !errors.Is(err, ErrTooLarge) || up.asked.Load() != 1 {
			t.Errorf("error %v", err)
		}
		tidy(t, f, false)
	})
	t.Run("too many, not announced", func(t *testing.T) {
		var sent atomic.Int64
		up := serve(t, func(w http.ResponseWriter, r *http.Request, _ int64) {
			for r.Context().Err() == nil && sent.Load() < 1<<30 {
				n, _ := w.Write(content)
				sent.Add(int64(n))
			}
		})
		f, _ := fetcher(t, Options{MaxBytes: 1 << 20})
		if _, err := f.Fetch(t.Context(), up.source()); !errors.Is(err, ErrTooLarge) {
			t.Errorf("error %v", err)
		}
		if sent.Load() >= 1<<30 {
			t.Error("the whole stream was read")
		}
		tidy(t, f, false)
	})
}

func TestStallIsTriedAgain(t *testing.T) {
	up := serve(t, func(w http.ResponseWriter, r *http.Request, n int64) {
		if n > 1 {
			whole(w, r, n)
			return
		}
		_, _ = w.Write(content[:1000])
		_ = http.NewResponseController(w).Flush()
		<-r.Context().Done()
	})
	f, waits := fetcher(t, Options{})
	f.stall = 50 * time.Millisecond
	if _, err := f.Fetch(t.Context(), up.source()); err != nil || len(*waits) == 0 {
		t.Errorf("%v, waits %v", err, *waits)
	}
	tidy(t, f, true)
}

func TestRedirects(t *testing.T) {
	up := serve(t, func(w http.ResponseWriter, r *http.Request, n int64) {
		switch {
		case strings.HasPrefix(r.URL.Path, "/loop/"):
			http.Redirect(w, r, r.URL.Path, http.StatusFound)
		case strings.HasPrefix(r.URL.Path, "/once/"):
			http.Redirect(w, r, "/there/x", http.StatusFound)
		case strings.HasPrefix(r.URL.Path, "/file/"):
			http.Redirect(w, r, "file:///etc/passwd", http.StatusFound)
		default:
			whole(w, r, n)
		}
	})
	for kind, fails := range map[string]bool{"loop": true, "file": true, "once": false} {
		f, waits := fetcher(t, Options{})
		s := up.source()
		s.URL = up.URL + "/" + kind + "/" + fileName
		_, err := f.Fetch(t.Context(), s)
		if fails != errors.Is(err, errRedirect) || len(*waits) != 0 || !fails && err != nil {
			t.Errorf("%s: %v, waits %v", kind, err, *waits)
		}
	}
	if n := up.asked.Load(); n > 20 {
		t.Errorf("%d requests", n)
	}
	down := &http.Request{URL: mustURL(t, "http://example.org/")}
	if err := checkRedirect(down, []*http.Request{{URL: mustURL(t, "https://example.org/")}}); !errors.Is(err, errRedirect) {
		t.Errorf("from https to http: %v", err)
	}
}

// TestResume breaks off once in the middle and checks the next request.
func TestResume(t *testing.T) {
	half := len(content) / 2
	rest := func(w http.ResponseWriter, etag, span string, b []byte) {
		w.Header().Set("ETag", etag)
		w.Header().Set("Content-Range", span)
		w.WriteHeader(http.StatusPartialContent)
		_, _ = w.Write(b)
	}
	all := len(content)
	good := fmt.Sprintf("bytes %d-%d/%d", half, all-1, all)
	tests := []struct {
		name   string
		etag   string // of the answer that breaks off
		second func(w http.ResponseWriter)
		ranged bool // whether the second request asks for a part
		asked  int64
	}{
		{"consistent", `"a"`, func(w http.ResponseWriter) { rest(w, `"a"`, good, content[half:]) }, true, 2},
		{"no validator", "", func(w http.ResponseWriter) { _, _ = w.Write(content) }, false, 2},
		{"weak validator", `W/"a"`, func(w http.ResponseWriter) { _, _ = w.Write(content) }, false, 2},
		{"whole again", `"a"`, func(w http.ResponseWriter) { _, _ = w.Write(content) }, true, 2},
		{"another file", `"a"`, func(w http.ResponseWriter) { rest(w, `"b"`, good, content[half:]) }, true, 3},
		{"another size", `"a"`, func(w http.ResponseWriter) {
			rest(w, `"a"`, fmt.Sprintf("bytes %d-%d/%d", half, all, all+1), append(content[half:all:all], 'x'))
		}, true, 3},
		{"another part", `"a"`, func(w http.ResponseWriter) { rest(w, `"a"`, fmt.Sprintf("bytes 0-%d/%d", all-1, all), content) }, true, 3},
		{"no range told", `"a"`, func(w http.ResponseWriter) { rest(w, `"a"`, "", content[half:]) }, true, 3},
		{"not satisfiable", `"a"`, func(w http.ResponseWriter) { w.WriteHeader(http.StatusRequestedRangeNotSatisfiable) }, true, 3},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var ranged atomic.Bool
			up := serve(t, func(w http.ResponseWriter, r *http.Request, n int64) {
				switch n {
				case 1:
					if tt.etag != "" {
						w.Header().Set("ETag", tt.etag)
					}
					partly(w)
				case 2:
					ranged.Store(r.Header.Get("Range") != "" && r.Header.Get("If-Range") == tt.etag)
					tt.second(w)
				default:
					if r.Header.Get("Range") != "" {
						t.Error("a part is asked for again")
					}
					_, _ = w.Write(content)
				}
			})
			f, _ := fetcher(t, Options{})
			if _, err := f.Fetch(t.Context(), up.source()); err != nil {
				t.Fatal(err)
			}
			if ranged.Load() != tt.ranged || up.asked.Load() != tt.asked {
				t.Errorf("ranged %v, %d requests", ranged.Load(), up.asked.Load())
			}
			tidy(t, f, true)
		})
	}
}

func TestMirrors(t *testing.T) {
	good, bad := t.TempDir(), t.TempDir()
	for dir, b := range map[string][]byte{good: content, bad: content[1:]} {
		if err := os.WriteFile(filepath.Join(dir, fileName), b, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	up := serve(t, whole)
	web := serve(t, func(w http.ResponseWriter, r *http.Request, n int64) {
		if r.URL.Path != "/mirror/"+fileName {
			t.Errorf("mirror asked for %s", r.URL.Path)
		}
		whole(w, r, n)
	})
	tests := []struct {
		name    string
		mirrors []string
		offline bool
		from    string
		place   string
		err     error
	}{
		{name: "folder", mirrors: []string{good}, from: FromMirror, place: filepath.Join(good, fileName)},
		{name: "file URL", mirrors: []string{"file://" + good}, from: FromMirror, place: filepath.Join(good, fileName)},
		{name: "web", mirrors: []string{web.URL + "/mirror"}, from: FromMirror, place: web.URL + "/mirror/" + fileName},
		{name: "wrong bytes are passed over", mirrors: []string{bad}, from: FromURL, place: up.source().URL},
		{name: "empty, then good", mirrors: []string{t.TempDir(), good}, offline: true, from: FromMirror, place: filepath.Join(good, fileName)},
		{name: "offline with wrong bytes", mirrors: []string{bad}, offline: true, err: ErrChecksum},
		{name: "offline", mirrors: []string{t.TempDir(), web.URL}, offline: true, err: ErrUnavailable},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			before := up.asked.Load()
			f, _ := fetcher(t, Options{Mirrors: tt.mirrors, Offline: tt.offline})
			got, err := f.Fetch(t.Context(), up.source())
			if !errors.Is(err, tt.err) || got.From != tt.from || got.Place != tt.place {
				t.Errorf("%+v, %v", got, err)
			}
			if tt.offline && up.asked.Load() != before {
				t.Error("upstream was asked")
			}
			var e *UnavailableError
			if tt.err != nil && (!errors.As(err, &e) || len(e.Tried) != len(tt.mirrors)+1 || !strings.Contains(err.Error(), "offline")) {
				t.Errorf("error %v", err)
			}
			tidy(t, f, tt.err == nil)
		})
	}
}

// TestWrongMirrorIsTold: a mirror's wrong bytes are reported if upstream's are
// wrong as well.
func TestWrongMirrorIsTold(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, fileName), []byte("old"), 0o644); err != nil {
		t.Fatal(err)
	}
	up := serve(t, func(w http.ResponseWriter, _ *http.Request, _ int64) { _, _ = w.Write([]byte("new")) })
	f, _ := fetcher(t, Options{Mirrors: []string{dir}})
	_, err := f.Fetch(t.Context(), up.source())
	for _, want := range []string{digest.Of([]byte("old")).Hex(), digest.Of([]byte("new")).Hex(), dir, up.URL} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v, want %s in it", err, want)
		}
	}
	var e *ChecksumError
	if !errors.As(err, &e) || e.Place != up.source().URL {
		t.Errorf("the error of upstream weighs most, have %+v", e)
	}
}

func TestNotARegularMirrorFile(t *testing.T) {
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, fileName), 0o755); err != nil {
		t.Fatal(err)
	}
	f, _ := fetcher(t, Options{Mirrors: []string{dir}, Offline: true})
	_, err := f.Fetch(t.Context(), recipes.Source{URL: "https://upstream.invalid/" + fileName, SHA256: digest.Of(content)})
	if !errors.Is(err, ErrUnavailable) || !strings.Contains(err.Error(), "not a regular file") {
		t.Errorf("error %v", err)
	}
}

func TestTogether(t *testing.T) {
	up := serve(t, whole)
	f, _ := fetcher(t, Options{})
	other, _ := fetcher(t, Options{Cache: f.cache.root}) // like another process
	var all sync.WaitGroup
	for i := range 20 {
		all.Go(func() {
			who := f
			if i == 0 {
				who = other
			}
			if _, err := who.Fetch(t.Context(), up.source()); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	if n := up.asked.Load(); n > 2 {
		t.Errorf("%d downloads, want one for each Fetcher at most", n)
	}
	if len(f.locks) != 0 {
		t.Errorf("%d digests are still held", len(f.locks))
	}
	tidy(t, f, true)
}

func TestCancel(t *testing.T) {
	begun := make(chan struct{})
	up := serve(t, func(w http.ResponseWriter, r *http.Request, _ int64) {
		w.Header().Set("Content-Length", fmt.Sprint(len(content)))
		_, _ = w.Write(content[:len(content)-1])
		_ = http.NewResponseController(w).Flush()
		close(begun)
		<-r.Context().Done()
	})
	f, waits := fetcher(t, Options{})
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error)
	go func() {
		_, err := f.Fetch(ctx, up.source())
		ended <- err
	}()
	<-begun
	// A second fetch waits for the first, and can be cancelled alone.
	gone, leave := context.WithCancel(t.Context())
	leave()
	if _, err := f.Fetch(gone, up.source()); !errors.Is(err, context.Canceled) {
		t.Errorf("waiting: %v", err)
	}
	cancel()
	if err := <-ended; !errors.Is(err, context.Canceled) || errors.Is(err, ErrUnavailable) || len(*waits) != 0 {
		t.Errorf("error %v, waits %v", err, *waits)
	}
	tidy(t, f, false)
}

func TestFaultySources(t *testing.T) {
	f, _ := fetcher(t, Options{Offline: true})
	for _, url := range []string{"", "ftp://example.org/a.tar", "file:///etc/passwd", "https://example.org", "https://example.org/",
		"https://example.org/a/", "https://example.org/..", "https://example.org/a%00b", "https://example.org/a%5cb", "://", "https:///a.tar"} {
		if _, err := f.Fetch(t.Context(), recipes.Source{URL: url, SHA256: digest.Of(content)}); err == nil || errors.Is(err, ErrUnavailable) {
			t.Errorf("%q: %v", url, err)
		}
	}
	if _, err := f.Fetch(t.Context(), recipes.Source{URL: "https://example.org/a.tar"}); err == nil || !strings.Contains(err.Error(), "no sha256") {
		t.Errorf("without sha256: %v", err)
	}
	for _, m := range []string{"", "relative", "ftp://example.org", "file://host/dir", "http://"} {
		if _, err := New(Options{Cache: t.TempDir(), Mirrors: []string{m}}); err == nil {
			t.Errorf("mirror %q was taken", m)
		}
	}
	if _, err := New(Options{}); err == nil {
		t.Error("a Fetcher without a cache was made")
	}
}

// TestPasswordsAreNotTold: a password in a mirror's URL is not reported.
func TestPasswordsAreNotTold(t *testing.T) {
	up := serve(t, func(w http.ResponseWriter, _ *http.Request, _ int64) { w.WriteHeader(http.StatusNotFound) })
	m := strings.Replace(up.URL, "http://", "http://me:secret@", 1)
	f, _ := fetcher(t, Options{Mirrors: []string{m}})
	_, err := f.Fetch(t.Context(), up.source())
	if err == nil || strings.Contains(err.Error(), "secret") {
		t.Errorf("error %v", err)
	}
}

func TestStaleFilesAreSwept(t *testing.T) {
	dir := t.TempDir()
	f, _ := fetcher(t, Options{Cache: dir})
	name := filepath.Join(f.cache.root, "aside", "part-1")
	if err := os.WriteFile(name, content, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := openCache(dir, time.Now()); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(name); err != nil {
		t.Errorf("a file in use was swept: %v", err)
	}
	if _, err := openCache(dir, time.Now().Add(2*stale)); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(name); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a stale file is still there: %v", err)
	}
}

func mustURL(t *testing.T, s string) *url.URL {
	t.Helper()
	u, err := url.Parse(s)
	if err != nil {
		t.Fatal(err)
	}
	return u
}
