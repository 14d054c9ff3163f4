// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

package api

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/zfarm/zfarm/orchestrator"
	"github.com/zfarm/zfarm/orchestrator/engine"
	"github.com/zfarm/zfarm/orchestrator/store"
)

// TestEmbeddedClient goes through every method that reads, without a network.
func TestEmbeddedClient(t *testing.T) {
	f := newFarm()
	f.workers = []store.Worker{{Name: "zos1", Slots: 1}}
	f.waiting = []engine.Waiting{{Stage: "resolve", State: orchestrator.Blocked, Why: "waits for zlib"}}
	o := f.options()
	o.Authenticators, o.Embedded = nil, &Principal{Name: "me", Roles: []Role{Admin}}
	s, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	c := NewClient("http://farm", "", &http.Client{Transport: Transport(s.Handler())})
	ctx := t.Context()
	taken, err := c.Submit(ctx, submission(t, map[string]string{"gzip": "port gzip"}), SubmitOptions{Priority: 2, Force: true})
	if err != nil || len(taken) != 1 || !taken[0].Fresh || f.asked[0].Priority != 2 || !f.asked[0].Force {
		t.Fatalf("%+v, %v", taken, err)
	}
	id := taken[0].Build.ID
	have, err := c.Build(ctx, id)
	if diff := cmp.Diff(f.builds[0], have); diff != "" || err != nil {
		t.Errorf("%v (-want +have):\n%s", err, diff)
	}
	f.releases = []store.Release{{Port: "gzip", Version: "1.0", Build: id}}
	f.publish(id, "verdict.json", "{}")
	f.publish(id, "report.txt", "same")
	a := f.begin(id, "make")
	f.write(a, "log")
	var verdict, report, log, file bytes.Buffer
	page, e1 := c.Builds(ctx, store.Filter{Limit: 1})
	attempts, e2 := c.Attempts(ctx, id)
	steps, e3 := c.Steps(ctx, a)
	why, e4 := c.Why(ctx, id)
	files, e5 := c.Files(ctx, id)
	releases, e6 := c.Releases(ctx)
	release, e7 := c.Release(ctx, "gzip", "1.0")
	workers, e8 := c.Workers(ctx)
	events, e9 := c.Events(ctx, 0, "", 10)
	at, e10 := c.Log(ctx, a, "make", 1, &log)
	err = errors.Join(e1, e2, e3, e4, e5, e6, e7, e8, e9, e10, c.Verdict(ctx, id, &verdict), c.Report(ctx, id, &report),
		c.ReleaseFile(ctx, "gzip", "1.0", "report.txt", &file), c.Ready(ctx))
	if err != nil {
		t.Fatal(err)
	}
	counts := []int{len(page.Builds), int(page.Before), len(attempts), len(steps), len(why), len(files), len(releases), len(release.Files), len(workers), len(events), int(at)}
	if diff := cmp.Diff([]int{1, 1, 1, 1, 1, 2, 1, 2, 1, 0, 3}, counts); diff != "" {
		t.Errorf("counts (-want +have):\n%s", diff)
	}
	if verdict.String() != "{}" || report.String() != "same" || log.String() != "og" || file.String() != "same" {
		t.Errorf("%q %q %q %q", &verdict, &report, &log, &file)
	}
}

// TestTransportStreams: what a handler writes arrives before it has ended, and
// a client that leaves ends the handler.
func TestTransportStreams(t *testing.T) {
	left := make(chan error, 1)
	h := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/quiet":
			w.Header().Set("X-Late", "no")
		case "/panic":
			io.WriteString(w, "half") //nolint:errcheck // a pipe
			panic("oh dear")
		default:
			b, _ := io.ReadAll(r.Body)
			fmt.Fprintf(w, "%s %s", r.Host, b) //nolint:errcheck // the test reads it or fails
			<-r.Context().Done()
			_, err := io.WriteString(w, "nobody reads this")
			left <- err
		}
	})
	hc := &http.Client{Transport: Transport(h)}
	resp, err := hc.Post("http://farm/x", "text/plain", strings.NewReader("sent"))
	if err != nil {
		t.Fatal(err)
	}
	first := make([]byte, len("farm sent"))
	if _, err := io.ReadFull(resp.Body, first); err != nil || string(first) != "farm sent" {
		t.Errorf("%q, %v", first, err)
	}
	resp.Body.Close()
	if err := <-left; err == nil {
		t.Error("the handler wrote to nobody")
	}
	resp, err = hc.Get("http://farm/quiet")
	if err != nil || resp.StatusCode != http.StatusOK || resp.Header.Get("X-Late") != "no" {
		t.Errorf("%+v, %v", resp, err)
	}
	resp.Body.Close()
	resp, err = hc.Get("http://farm/panic")
	if err != nil {
		t.Fatal(err)
	}
	if b, err := io.ReadAll(resp.Body); string(b) != "half" || !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("%q, %v", b, err)
	}
	resp.Body.Close()
}

// answers is a farm that answers one status after another.
type answers struct {
	statuses []int
	after    string
	asked    atomic.Int64
}

func (a *answers) RoundTrip(r *http.Request) (*http.Response, error) {
	status := a.statuses[min(int(a.asked.Add(1))-1, len(a.statuses)-1)]
	if status == 0 {
		return nil, errors.New("connection refused")
	}
	h := http.Header{}
	if a.after != "" {
		h.Set("Retry-After", a.after)
	}
	return &http.Response{StatusCode: status, Header: h, Body: io.NopCloser(strings.NewReader(`{"builds":[],"detail":"no \u001b[31mred"}`)), Request: r}, nil
}

func TestClientTriesAgain(t *testing.T) {
	tests := []struct {
		name     string
		statuses []int
		after    string
		change   bool
		asked    int64
		fails    bool
		least    time.Duration
	}{
		{"a farm that comes back", []int{0, 502, 503, 200}, "", false, 4, false, 0},
		{"a farm that is away", []int{0}, "", false, tries, true, time.Second},
		{"as long as it says", []int{429, 200}, "7", false, 2, false, 7 * time.Second},
		{"not for ever", []int{429, 200}, "86400", false, 2, false, maxWait},
		{"a change never", []int{503, 200}, "", true, 1, true, 0},
		{"a refusal never", []int{403, 200}, "", false, 1, true, 0},
		{"a fault never", []int{500, 200}, "", false, 1, true, 0},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				a := &answers{statuses: tt.statuses, after: tt.after}
				c := NewClient("http://farm", "", &http.Client{Transport: a})
				begun := time.Now()
				var err error
				if tt.change {
					_, err = c.Cancel(t.Context(), "x")
				} else {
					_, err = c.Builds(t.Context(), store.Filter{})
				}
				if (err != nil) != tt.fails || a.asked.Load() != tt.asked || time.Since(begun) < tt.least || time.Since(begun) > 2*time.Minute {
					t.Errorf("asked %d times in %s: %v", a.asked.Load(), time.Since(begun), err)
				}
				if err != nil && strings.Contains(err.Error(), "\x1b") {
					t.Errorf("%q would colour a terminal", err)
				}
			})
		})
	}
}

func TestClientStopsWhenToldTo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
		defer cancel()
		c := NewClient("http://farm", "", &http.Client{Transport: &answers{statuses: []int{0}}})
		if err := c.FollowEvents(ctx, 0, "", nil); err == nil {
			t.Error("it goes on")
		}
	})
}

func TestClientAddresses(t *testing.T) {
	for base, want := range map[string]string{"farm.example.org": "is no URL", "ftp://farm": "is no URL", "http://farm.example.org": "pass in the clear", "": "is no URL", "http://%zz": "is no URL"} {
		c := NewClient(base, "zft_x", nil)
		if _, err := c.Workers(t.Context()); err == nil || !strings.Contains(err.Error(), want) || !errors.Is(err, c.Check()) {
			t.Errorf("%q: %v", base, err)
		}
	}
	if err := NewClient("http://127.0.0.1:1", "zft_x", nil).Check(); err != nil {
		t.Error(err)
	}
}
