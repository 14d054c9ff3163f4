// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

package client

import (
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

	"github.com/zfarm/zfarm/orchestrator/api/wire"
)

// TestTransportStreams: the client receives what a handler writes before the handler
// has ended, and a client that leaves ends the handler.
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
				c := New("http://farm", "", &http.Client{Transport: a})
				begun := time.Now()
				var err error
				if tt.change {
					_, err = c.Cancel(t.Context(), "x")
				} else {
					_, err = c.Builds(t.Context(), wire.BuildsInput{})
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
		c := New("http://farm", "", &http.Client{Transport: &answers{statuses: []int{0}}})
		if err := c.FollowEvents(ctx, 0, "", nil); err == nil {
			t.Error("it goes on")
		}
	})
}

func TestClientAddresses(t *testing.T) {
	for base, want := range map[string]string{"farm.example.org": "is no URL", "ftp://farm": "is no URL", "http://farm.example.org": "pass in the clear", "": "is no URL", "http://%zz": "is no URL"} {
		c := New(base, "zft_x", nil)
		if _, err := c.Workers(t.Context(), ""); err == nil || !strings.Contains(err.Error(), want) || !errors.Is(err, c.Check()) {
			t.Errorf("%q: %v", base, err)
		}
	}
	if err := New("http://127.0.0.1:1", "zft_x", nil).Check(); err != nil {
		t.Error(err)
	}
}
