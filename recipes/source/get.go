// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

package source

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
)

const (
	maxRedirects = 10
	firstPause   = 500 * time.Millisecond
	maxPause     = 30 * time.Second
	// maxRetryAfter is the longest wait that a server may ask for; a request
	// that would have to wait longer fails.
	maxRetryAfter = 2 * time.Minute
	copyBuffer    = 128 << 10
	progressStep  = 1 << 20 // bytes between calls of Progress
)

var (
	errStalled  = errors.New("no bytes came for too long")
	errRedirect = errors.New("redirect refused")
)

// newClient returns a client for untrusted hosts. It bounds every wait except
// that for the body, which may be large; the caller watches for stalls there.
// It keeps no cookies and follows no redirect from https to http.
func newClient() *http.Client {
	return &http.Client{
		Transport: &http.Transport{
			Proxy:                  http.ProxyFromEnvironment,
			DialContext:            (&net.Dialer{Timeout: 30 * time.Second}).DialContext,
			TLSHandshakeTimeout:    30 * time.Second,
			TLSClientConfig:        &tls.Config{MinVersion: tls.VersionTLS12},
			ResponseHeaderTimeout:  time.Minute,
			MaxResponseHeaderBytes: 1 << 20,
			IdleConnTimeout:        time.Minute,
			MaxIdleConnsPerHost:    2,
			ForceAttemptHTTP2:      true,
		},
		CheckRedirect: checkRedirect,
	}
}

func checkRedirect(req *http.Request, via []*http.Request) error {
	switch {
	case len(via) > maxRedirects:
		return fmt.Errorf("%w: more than %d in a row", errRedirect, maxRedirects)
	case req.URL.Scheme != "http" && req.URL.Scheme != "https":
		return fmt.Errorf("%w: to scheme %q", errRedirect, req.URL.Scheme)
	case via[0].URL.Scheme == "https" && req.URL.Scheme == "http":
		return fmt.Errorf("%w: from https down to http", errRedirect)
	}
	return nil
}

// statusError is a status other than success.
type statusError struct{ code int }

func (e *statusError) Error() string {
	return fmt.Sprintf("HTTP status %d %s", e.code, http.StatusText(e.code))
}

// Is reports that a status means that there is no such file.
func (e *statusError) Is(target error) bool {
	return target == fs.ErrNotExist && (e.code == http.StatusNotFound || e.code == http.StatusGone)
}

// retryError marks an error that a retry may avoid; after is how long the
// server asked us to wait.
type retryError struct {
	err   error
	after time.Duration
}

func (e *retryError) Error() string { return e.err.Error() }
func (e *retryError) Unwrap() error { return e.err }

// resume is what a download needs to continue where it broke off: a strong
// validator, and the file's size (-1 if unknown).
type resume struct {
	etag  string
	total int64
}

// download copies the file at u into part, and retries errors that may pass.
func (f *Fetcher) download(ctx context.Context, u *url.URL, part *partial) error {
	var r resume
	for try := 0; ; try++ {
		err := f.request(ctx, u, part, &r)
		var again *retryError
		if err == nil || !errors.As(err, &again) {
			return err
		}
		if again.after > maxRetryAfter {
			return fmt.Errorf("%w (asks to be left alone for %v)", err, again.after)
		}
		if try >= f.retries {
			return err
		}
		if err := f.wait(ctx, max(pause(try), again.after)); err != nil {
			return err
		}
	}
}

// pause doubles with every try. Half of it is random, so that many farms do
// not return at the same moment.
func pause(try int) time.Duration {
	d := min(firstPause<<min(try, 10), maxPause)
	return d/2 + rand.N(d/2+1)
}

// request makes one request and copies its body.
func (f *Fetcher) request(ctx context.Context, u *url.URL, part *partial, r *resume) error {
	watched, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	watch := time.AfterFunc(f.stall, func() { cancel(errStalled) })
	defer watch.Stop()

	req, err := http.NewRequestWithContext(watched, http.MethodGet, u.String(), nil)
	if err != nil {
		return err
	}
	req.Header.Set("User-Agent", "zfarm")
	req.Header.Set("Accept-Encoding", "identity") // the bytes as they are stored
	if r.etag != "" && part.sum.Len() > 0 {
		req.Header.Set("Range", fmt.Sprintf("bytes=%d-", part.sum.Len()))
		req.Header.Set("If-Range", r.etag)
	}
	resp, err := f.client.Do(req)
	if err != nil {
		return classify(ctx, watched, err)
	}
	defer resp.Body.Close()
	size, err := f.checkResponse(resp, part, r)
	if err != nil {
		return err
	}
	body := &stallReader{r: resp.Body, watch: watch, every: f.stall}
	if err := part.fill(watched, body, size); err != nil {
		return classify(ctx, watched, err)
	}
	return nil
}

// checkResponse checks status and headers, and prepares part for the body. It
// returns the size of the whole file, -1 if unknown.
func (f *Fetcher) checkResponse(resp *http.Response, part *partial, r *resume) (int64, error) {
	asked := resp.Request.Header.Get("Range") != ""
	switch code := resp.StatusCode; {
	case code == http.StatusOK:
		*r = resume{strongETag(resp.Header), resp.ContentLength}
		return r.total, part.restart()
	case code == http.StatusPartialContent && asked:
		if total, ok := continues(resp, part.sum.Len(), *r); ok {
			return total, nil
		}
		fallthrough
	case code == http.StatusRequestedRangeNotSatisfiable && asked:
		*r = resume{}
		if err := part.restart(); err != nil {
			return 0, err
		}
		return 0, &retryError{err: fmt.Errorf("server gave another part than the one asked for (HTTP status %d)", code)}
	case code == http.StatusTooManyRequests || code >= 500:
		return 0, &retryError{&statusError{code}, retryAfter(resp.Header.Get("Retry-After"), f.now())}
	default:
		return 0, &statusError{code}
	}
}

// continues reports whether a partial response is the rest of the file: it
// begins at the byte asked for, goes to the end, and is of the same file.
func continues(resp *http.Response, have int64, r resume) (total int64, ok bool) {
	spec, found := strings.CutPrefix(resp.Header.Get("Content-Range"), "bytes ")
	span, size, cut := strings.Cut(spec, "/")
	first, last, dash := strings.Cut(span, "-")
	a, errA := strconv.ParseInt(first, 10, 64)
	b, errB := strconv.ParseInt(last, 10, 64)
	total, errT := strconv.ParseInt(size, 10, 64)
	ok = found && cut && dash && errA == nil && errB == nil && errT == nil &&
		a == have && b == total-1 && (r.total < 0 || r.total == total) &&
		(resp.ContentLength < 0 || resp.ContentLength == total-have) && strongETag(resp.Header) == r.etag
	return total, ok
}

// strongETag returns the validator that guarantees identical bytes; "" if
// there is none.
func strongETag(h http.Header) string {
	tag := h.Get("ETag")
	if len(tag) < 2 || tag[0] != '"' || tag[len(tag)-1] != '"' {
		return "" // none, or weak (W/"...")
	}
	return tag
}

// retryAfter reads seconds or a date; it returns 0 for anything else.
func retryAfter(s string, now time.Time) time.Duration {
	if n, err := strconv.ParseUint(strings.TrimSpace(s), 10, 31); err == nil {
		return time.Duration(n) * time.Second
	}
	if t, err := http.ParseTime(s); err == nil {
		return max(t.Sub(now), 0)
	}
	return 0
}

// classify decides whether an error of the transport may be retried. The
// caller's own cancellation, a local error, and a server that cannot be
// trusted are not retried.
func classify(ctx, watched context.Context, err error) error {
	var local *cacheError
	var large *TooLargeError
	var cert *tls.CertificateVerificationError
	switch {
	case ctx.Err() != nil:
		return context.Cause(ctx)
	case errors.As(err, &local), errors.As(err, &large), errors.As(err, &cert), errors.Is(err, errRedirect):
		return err
	case context.Cause(watched) != nil:
		return &retryError{err: context.Cause(watched)}
	}
	var whole *url.Error // repeats the URL, which is reported already
	if errors.As(err, &whole) {
		err = whole.Err
	}
	return &retryError{err: err}
}

// fill copies r into part and reports progress; total is -1 if unknown.
func (part *partial) fill(ctx context.Context, r io.Reader, total int64) error {
	if total > part.limit {
		return &TooLargeError{Place: part.place, Limit: part.limit}
	}
	buf := make([]byte, copyBuffer)
	var reported int64
	for {
		if err := ctx.Err(); err != nil {
			return context.Cause(ctx)
		}
		n, err := r.Read(buf)
		if n > 0 {
			if _, err := part.Write(buf[:n]); err != nil {
				return err
			}
		}
		done := part.sum.Len()
		if part.progress != nil && (done-reported >= progressStep || err == io.EOF) {
			reported = done
			part.progress(Progress{URL: part.place, Done: done, Total: total})
		}
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

// stallReader resets the stall timer whenever bytes arrive.
type stallReader struct {
	r     io.Reader
	watch *time.Timer
	every time.Duration
}

func (p *stallReader) Read(b []byte) (int, error) {
	n, err := p.r.Read(b)
	if n > 0 {
		p.watch.Reset(p.every)
	}
	return n, err
}
