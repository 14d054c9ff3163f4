// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

package server

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/zfarm/zfarm/attest/digest"
	"github.com/zfarm/zfarm/orchestrator"
	"github.com/zfarm/zfarm/orchestrator/api/client"
	"github.com/zfarm/zfarm/orchestrator/api/wire"
	"github.com/zfarm/zfarm/orchestrator/store"
)

// TestManyWatchers has 200 watchers read one growing log, each from its own offset and
// cut off again and again at random places: all of them end up with the same bytes.
func TestManyWatchers(t *testing.T) {
	const watchers = 200
	f := newFarm()
	f.add("gz", "gzip", "anna")
	a := f.begin("gz", "build.make")
	base, _ := serve(t, f.options())
	secret := f.token("ro", wire.Reader)
	var whole bytes.Buffer
	whole.WriteString("begun\n")
	f.write(a, whole.String())
	for i := range 300 {
		whole.WriteString(strings.Repeat(fmt.Sprintf("line %d \x1b[31m\x00\xff", i), i%40) + "\n")
	}
	all := whole.Bytes()
	hc := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: watchers}}
	defer hc.CloseIdleConnections()
	var reading atomic.Int64
	var group sync.WaitGroup
	have := make([]digest.Digest, watchers)
	for i := range watchers {
		group.Go(func() {
			from := int64(i % 7)
			w := &cutting{sum: digest.NewWriter(io.Discard), every: 200 + rand.IntN(20_000)}
			if _, err := w.sum.Write(all[:from]); err != nil {
				t.Error(err)
			}
			c := client.New(base, secret, hc)
			reading.Add(1)
			for at := from; ; {
				next, err := c.FollowLog(t.Context(), a, "build.make", at, w)
				at = next
				if err == nil {
					break
				}
				if !errors.Is(err, errCut) {
					t.Errorf("watcher %d at %d: %v", i, at, err)
					return
				}
			}
			have[i] = w.sum.Digest()
		})
	}
	until(t, "the watchers", func() bool { return reading.Load() == watchers })
	for rest := all[len("begun\n"):]; len(rest) > 0; {
		n := min(len(rest), 1+rand.IntN(3000))
		f.write(a, string(rest[:n]))
		rest = rest[n:]
	}
	f.end(a)
	group.Wait()
	for i, d := range have {
		if d != digest.Of(all) {
			t.Errorf("watcher %d read something else", i)
		}
	}
}

var errCut = errors.New("cut off")

// cutting fails now and then.
type cutting struct {
	sum         *digest.Writer
	every, left int
}

func (c *cutting) Write(p []byte) (int, error) {
	if c.left == 0 {
		c.left = c.every
	}
	if len(p) >= c.left {
		n, _ := c.sum.Write(p[:c.left-1])
		c.left = 0
		return n, errCut
	}
	c.left -= len(p)
	return c.sum.Write(p)
}

// TestLogReachesItsWatcherAtOnce: a line arrives while the step still runs.
func TestLogReachesItsWatcherAtOnce(t *testing.T) {
	f := newFarm()
	f.add("gz", "gzip", "anna")
	a := f.begin("gz", "make")
	base, _ := serve(t, f.options())
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, base+"/v1/builds/gz/stages/repeat-0/attempts/1/steps/make/log?follow=true", nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+f.token("ro", wire.Reader))
	resp, err := http.DefaultClient.Do(r) // the header comes before any byte of the log
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if ct := resp.Header.Get("Content-Type"); ct != "application/octet-stream" || resp.Header.Get("X-Content-Type-Options") != "nosniff" {
		t.Errorf("it is %s", ct)
	}
	lines := bufio.NewReader(resp.Body)
	for i := range 5 {
		want := fmt.Sprintf("line %d\n", i)
		f.write(a, want)
		if have, err := lines.ReadString('\n'); have != want || err != nil {
			t.Fatalf("%q, %v", have, err)
		}
	}
	f.end(a)
	if rest, err := io.ReadAll(lines); len(rest) != 0 || err != nil {
		t.Errorf("then %q, %v", rest, err)
	}
}

func TestLogs(t *testing.T) {
	f := newFarm()
	f.add("gz", "gzip", "anna")
	a := f.begin("gz", "make")
	f.write(a, "0123456789")
	secret := f.token("ro", wire.Reader)
	base, _ := serve(t, f.options())
	log := base + "/v1/builds/gz/stages/repeat-0/attempts/1/steps/make/log"
	check := func(url string, status int, want string) {
		t.Helper()
		if have := ask(t, "GET", url, secret, nil); have.status != status || !strings.Contains(have.body, want) || status == 200 && have.body != want {
			t.Errorf("%s: %d %q", url, have.status, have.body)
		}
	}
	check(log, 200, "0123456789")
	check(log+"?offset=7", 200, "789")
	check(log+"?offset=10", 200, "")
	check(log+"?offset=11", 416, "the log has 10 bytes")
	check(strings.Replace(log, "make", "check", 1), 404, "step check of attempt 1")
	check(strings.Replace(log, "/1/", "/2/", 1), 404, "not known")
	check(base+"/v1/builds/gz/stages/repeat-0/attempts/1/steps", 200, `{"steps":[{"no":1,"name":"make","begun":"0001-01-01T00:00:00Z","size":10}]}`+"\n")
	check(base+"/v1/builds/gz/stages/repeat-0/attempts/2/steps", 404, "not known")
	f.end(a)
	for _, f.seekable = range []bool{false, true} {
		check(log+"?follow=true", 200, "0123456789")
		check(log+"?offset=7&follow=true", 200, "789")
		check(log+"?offset=10&follow=true", 200, "")
	}
}

// TestAbandonedLog: the worker was lost; the log is incomplete for good.
func TestAbandonedLog(t *testing.T) {
	f := newFarm()
	f.add("gz", "gzip", "anna")
	a := f.begin("gz", "make")
	f.write(a, "half")
	base, _ := serve(t, f.options())
	c := client.New(base, f.token("ro", wire.Reader), nil)
	var b bytes.Buffer
	ended := make(chan error, 1)
	go func() {
		_, err := c.FollowLog(t.Context(), a, "make", 0, &b)
		ended <- err
	}()
	until(t, "a look at the log", func() bool { defer f.lock()(); return f.reads > 2 })
	unlock := f.lock()
	f.attempts[0].Ended, f.attempts[0].Outcome = time.Now(), "lost"
	f.news()
	unlock()
	if err := <-ended; err != nil || b.String() != "half" {
		t.Errorf("%q, %v", b.String(), err)
	}
}

// TestForgottenLog: a deleted log is gone (410), not empty.
func TestForgottenLog(t *testing.T) {
	f := newFarm()
	f.add("gz", "gzip", "anna")
	a := f.begin("gz", "make")
	f.write(a, "half")
	f.end(a)
	base, _ := serve(t, f.options())
	c := client.New(base, f.token("ro", wire.Reader), nil)
	var b bytes.Buffer
	if _, err := c.Log(t.Context(), a, "make", 0, &b); err != nil || b.String() != "half" {
		t.Errorf("before: %q, %v", b.String(), err)
	}
	unlock := f.lock()
	f.builds[0].LogsForgotten = true
	f.steps[attemptKey("gz", "repeat-0", 1)][0].Log = digest.Digest{}
	unlock()
	for name, read := range map[string]func(int64) (int64, error){
		"read":     func(at int64) (int64, error) { return c.Log(t.Context(), a, "make", at, &b) },
		"followed": func(at int64) (int64, error) { return c.FollowLog(t.Context(), a, "make", at, &b) },
	} {
		for _, at := range []int64{0, 2, 4, 9} {
			var p *client.Problem
			if _, err := read(at); !errors.As(err, &p) || p.Status != http.StatusGone || !strings.Contains(p.Detail, "build gz were forgotten") {
				t.Errorf("%s from %d: %v", name, at, err)
			}
		}
	}
	if steps, err := c.Steps(t.Context(), a); err != nil || len(steps) != 1 || steps[0].Status == nil || steps[0].Size != 4 {
		t.Errorf("the step: %+v, %v", steps, err)
	}
}

// TestDamagedLogIsCut: missing bytes cut the connection instead of ending the log.
func TestDamagedLogIsCut(t *testing.T) {
	f := newFarm()
	f.add("gz", "gzip", "anna")
	a := f.begin("gz", "make")
	f.write(a, strings.Repeat("x", 100_000))
	f.end(a)
	key := attemptKey("gz", "repeat-0", 1)
	f.blobs[f.steps[key][0].Log] = []byte(strings.Repeat("x", 50_000))
	base, _ := serve(t, f.options())
	resp, err := http.DefaultClient.Do(authorised(t, base+"/v1/builds/gz/stages/repeat-0/attempts/1/steps/make/log", f.token("ro", wire.Reader)))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if have, err := io.ReadAll(resp.Body); !errors.Is(err, io.ErrUnexpectedEOF) || len(have) != 50_000 {
		t.Errorf("%d bytes, %v", len(have), err)
	}
}

func authorised(t *testing.T, url, token string) *http.Request {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+token)
	return r
}

func TestEventStream(t *testing.T) {
	f := newFarm()
	f.event("gz", orchestrator.Ready, "")
	f.event("zl", orchestrator.Ready, "")
	f.event("gz", orchestrator.Running, "zos1")
	o := f.options()
	o.Heartbeat = 10 * time.Millisecond
	base, _ := serve(t, o)
	secret := f.token("ro", wire.Reader)
	read := func(url string, headers ...string) *bufio.Scanner {
		r := authorised(t, base+url, secret)
		for i := 0; i < len(headers); i += 2 {
			r.Header.Set(headers[i], headers[i+1])
		}
		resp, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { resp.Body.Close() })
		if ct := resp.Header.Get("Content-Type"); ct != "text/event-stream" {
			t.Fatalf("it is %s, %d", ct, resp.StatusCode)
		}
		return bufio.NewScanner(resp.Body)
	}
	next := func(s *bufio.Scanner, prefix string) string {
		for s.Scan() {
			if strings.HasPrefix(s.Text(), prefix) {
				return s.Text()
			}
		}
		t.Fatalf("it ended: %v", s.Err())
		return ""
	}
	s := read("/v1/events/stream?after=1&build=gz")
	if have := next(s, "id:"); have != "id: 3" {
		t.Error(have)
	}
	if have, want := next(s, "data:"), `data: {"seq":3,"build":"gz","at":"2001-09-09T01:46:40Z","stage":"repeat-0","from":"","to":"running","worker":"zos1"}`; have != want {
		t.Error(have)
	}
	next(s, ": still here")
	f.event("zl", orchestrator.Running, "zos1")
	f.event("gz", orchestrator.Failed, "zos1")
	if have := next(s, "id:"); have != "id: 5" {
		t.Error(have)
	}
	// Cut off, a browser asks with what it saw last.
	again := read("/v1/events/stream?after=1&build=gz", "Last-Event-ID", "3")
	if have := next(again, "id:"); have != "id: 5" {
		t.Error(have)
	}
	if a := ask(t, "GET", base+"/v1/events/stream", secret, nil, "Last-Event-ID", "three"); a.status != 422 {
		t.Errorf("%d %s", a.status, a.body)
	}
	if a := ask(t, "GET", base+"/v1/events?after=3&limit=1", secret, nil); a.status != 200 || !strings.Contains(a.body, `"seq":4`) || strings.Contains(a.body, `"seq":5`) {
		t.Errorf("%d %s", a.status, a.body)
	}
}

// TestFollowersOutliveTheServer: the farm restarts while a log and events are being
// followed; nothing is lost and nothing comes twice.
func TestFollowersOutliveTheServer(t *testing.T) {
	f := newFarm()
	f.add("gz", "gzip", "anna")
	a := f.begin("gz", "make")
	secret := f.token("ro", wire.Reader)
	l := listen(t)
	address := l.Addr().String()
	first, err := New(f.options())
	if err != nil {
		t.Fatal(err)
	}
	base, stop := serveOn(t, first, l)
	var log lockedBuffer
	logEnd, eventsEnd := make(chan error, 1), make(chan error, 1)
	go func() {
		_, err := client.New(base, secret, nil).FollowLog(t.Context(), a, "make", 0, &log)
		logEnd <- err
	}()
	var seen []int64
	var count atomic.Int64
	go func() {
		eventsEnd <- client.New(base, secret, nil).FollowEvents(t.Context(), 0, "", func(e wire.Event) error {
			seen = append(seen, e.Seq)
			count.Add(1)
			if len(seen) == 4 {
				return client.ErrEnough
			}
			return nil
		})
	}()
	f.write(a, "one ")
	f.event("gz", orchestrator.Ready, "")
	f.event("gz", orchestrator.Running, "")
	until(t, "the first half", func() bool { return log.String() == "one " && count.Load() == 2 })
	stop() // it ends, though two streams were open
	f.write(a, "two ")
	f.event("gz", orchestrator.Failed, "")
	var again net.Listener
	until(t, "the port", func() bool { again, err = net.Listen("tcp", address); return err == nil })
	second, err := New(f.options())
	if err != nil {
		t.Fatal(err)
	}
	serveOn(t, second, again)
	f.write(a, "three")
	f.event("gz", orchestrator.Ready, "")
	f.end(a)
	if err := <-logEnd; err != nil || log.String() != "one two three" {
		t.Errorf("%q, %v", log.String(), err)
	}
	if err := <-eventsEnd; err != nil {
		t.Error(err)
	}
	if diff := cmp.Diff([]int64{1, 2, 3, 4}, seen); diff != "" {
		t.Errorf("events (-want +have):\n%s", diff)
	}
}

type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

func TestStreamsAreBounded(t *testing.T) {
	f := newFarm()
	f.add("gz", "gzip", "anna")
	f.begin("gz", "make")
	o := f.options()
	o.Limits.Streams = 1
	base, _ := serve(t, o)
	secret := f.token("ro", wire.Reader)
	ctx, cancel := context.WithCancel(t.Context())
	url := base + "/v1/builds/gz/stages/repeat-0/attempts/1/steps/make/log?follow=true"
	resp, err := http.DefaultClient.Do(authorised(t, url, secret).WithContext(ctx))
	if err != nil {
		t.Fatal(err)
	}
	if a := ask(t, "GET", url, secret, nil); a.status != 429 || a.header.Get("Retry-After") == "" {
		t.Errorf("%d %s", a.status, a.body)
	}
	cancel()
	resp.Body.Close()
	until(t, "the stream to be given up", func() bool {
		return ask(t, "GET", strings.TrimSuffix(url, "?follow=true"), secret, nil).status == 200
	})
}

func TestFiles(t *testing.T) {
	f := newFarm()
	f.add("gz", "gzip", "anna")
	f.add("same", "gzip", "anna")
	f.builds[1].SameAs = "gz"
	f.add("bare", "gzip", "anna")
	artifact := strings.Repeat("0123456789", 30_000)
	file := f.publish("gz", "gzip.pax.Z", artifact)
	f.publish("gz", "verdict.json", `{"outcome":"identical"}`)
	f.publish("gz", "report.txt", "identical\n")
	f.releases = []store.Release{{Port: "gzip", Version: "1.0", Build: "gz", Signed: true}}
	base, _ := serve(t, f.options())
	secret := f.token("release", wire.Collector)
	url := base + "/v1/builds/gz/files/gzip.pax.Z"
	tag := `"` + file.Digest.String() + `"`
	tests := []struct {
		url, name, value string
		status           int
		want             string
	}{
		{url, "Accept", "*/*", 200, artifact},
		{base + "/v1/releases/gzip/1.0/files/gzip.pax.Z", "Accept", "*/*", 200, artifact},
		{url, "Range", "bytes=0-9", 206, "0123456789"},
		{url, "Range", "bytes=299995-", 206, "56789"},
		{url, "Range", "bytes=-3", 206, "789"},
		{url, "If-None-Match", tag, 304, ""},
		{url, "If-Match", `"sha256:0"`, 412, ""},
		{base + "/v1/builds/gz/verdict", "Accept", "*/*", 200, `{"outcome":"identical"}`},
		{base + "/v1/builds/gz/report", "Accept", "*/*", 200, "identical\n"},
	}
	for _, f.seekable = range []bool{false, true} {
		for _, tt := range tests {
			a := ask(t, "GET", tt.url, secret, nil, tt.name, tt.value)
			if a.status != tt.status || a.body != tt.want {
				t.Errorf("%s %s: %d, %d bytes", tt.url, tt.value, a.status, len(a.body))
			}
			if tt.url == url && a.status < 400 && a.header.Get("ETag") != tag {
				t.Errorf("the tag is %s", a.header.Get("ETag"))
			}
		}
	}
	a := ask(t, "GET", url, secret, nil)
	for name, want := range map[string]string{"Content-Type": "application/x-thing", "Content-Disposition": "attachment; filename=gzip.pax.Z", "X-Content-Type-Options": "nosniff"} {
		if have := a.header.Get(name); have != want {
			t.Errorf("%s is %q", name, have)
		}
	}
	if a := ask(t, "GET", url, secret, nil, "Range", "bytes=300000-"); a.status != 416 || !strings.Contains(a.problem(t).Detail, "has 300000 bytes") {
		t.Errorf("past the end: %d %s", a.status, a.body)
	}
	for where, want := range map[string]string{"/v1/builds/gz/files/other": "not known", "/v1/builds/gz/files/%2e%2e%2fverdict.json": "not known", "/v1/releases/gzip/2.0": "not known",
		"/v1/builds/same/verdict": "ask for that one", "/v1/builds/bare/report": "has no report.txt yet", "/v1/releases/gzip/2.0/files/x": "not known"} {
		if a := ask(t, "GET", base+where, secret, nil); a.status != 404 || !strings.Contains(a.body, want) {
			t.Errorf("%s: %d %s", where, a.status, a.body)
		}
	}
	if a := ask(t, "GET", base+"/v1/builds/gz/report?format=json", secret, nil); a.status != 422 {
		t.Errorf("another form of the report: %d %s", a.status, a.body)
	}
	f.blobs[file.Digest] = []byte("short")
	if a := ask(t, "GET", url, secret, nil); a.status != 500 {
		t.Errorf("damaged: %d", a.status)
	}
}

// TestFileGoesOnAfterACut: the client downloads through a server that cuts every
// answer, and checks the digest of the whole.
func TestFileGoesOnAfterACut(t *testing.T) {
	f := newFarm()
	f.add("gz", "gzip", "anna")
	artifact := strings.Repeat("0123456789", 100_000)
	f.publish("gz", "a.pax.Z", artifact)
	s, err := New(f.options())
	if err != nil {
		t.Fatal(err)
	}
	var requests atomic.Int64
	cut := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		requests.Add(1)
		s.Handler().ServeHTTP(&cutWriter{ResponseWriter: w, left: 300_000}, r)
	})
	c := client.New("http://localhost", f.token("release", wire.Collector), &http.Client{Transport: client.Transport(cut)})
	var b bytes.Buffer
	if err := c.File(t.Context(), "gz", "a.pax.Z", &b); err != nil || b.String() != artifact || requests.Load() < 4 {
		t.Errorf("%d bytes in %d requests, %v", b.Len(), requests.Load(), err)
	}
	changing := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("ETag", `"`+digest.Of([]byte("other")).String()+`"`)
		io.WriteString(w, "something") //nolint:errcheck // a pipe
	})
	c = client.New("http://farm", "", &http.Client{Transport: client.Transport(changing)})
	if err := c.File(t.Context(), "gz", "a.pax.Z", io.Discard); err == nil || !strings.Contains(err.Error(), "something on the way changes it") {
		t.Errorf("a changed file: %v", err)
	}
}

type cutWriter struct {
	http.ResponseWriter
	left int
}

func (c *cutWriter) Unwrap() http.ResponseWriter { return c.ResponseWriter }

func (c *cutWriter) Write(p []byte) (int, error) {
	if len(p) > c.left {
		c.ResponseWriter.Write(p[:c.left]) //nolint:errcheck // it is cut next
		panic(http.ErrAbortHandler)
	}
	c.left -= len(p)
	return c.ResponseWriter.Write(p)
}
