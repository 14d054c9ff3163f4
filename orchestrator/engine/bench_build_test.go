// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

package engine_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/zfarm/zfarm/orchestrator"
	"github.com/zfarm/zfarm/orchestrator/api/client"
	"github.com/zfarm/zfarm/orchestrator/api/server"
	"github.com/zfarm/zfarm/orchestrator/api/wire"
	"github.com/zfarm/zfarm/orchestrator/artifacts"
	"github.com/zfarm/zfarm/recipes"
)

// BenchmarkEmptyBuild measures the cost of the farm itself for a build that does next
// to nothing: two repeats, comparison, signature, publication.
func BenchmarkEmptyBuild(b *testing.B) {
	s := newScene(b, installing, "w1", "w2")
	e := s.engine()
	s.work(e)
	n := 0
	for b.Loop() {
		r := s.port("base")
		n++
		r.Summary = fmt.Sprint("build ", n)
		s.wait(e, s.submit(e, submission(r))[0].Build.ID, orchestrator.BuildSucceeded)
	}
}

// BenchmarkLogLine measures the delay of a line from the worker's clock to a watcher of
// the API.
func BenchmarkLogLine(b *testing.B) {
	const lines = 40
	s := newScene(b, fmt.Sprintf("for i in $(seq %d); do date +%%s%%N; sleep 0.1; done\n%s", lines, installing), "w1", "w2")
	e := s.engine()
	farm, err := server.New(server.Options{Store: server.Stored{Store: s.parts.Store}, Blobs: s.parts.Artifacts.(*artifacts.Folder), Engine: e,
		Parse:    func(context.Context, fs.FS) (*recipes.Recipe, error) { return nil, io.EOF },
		Embedded: &server.Principal{Name: "bench", Roles: []wire.Role{wire.Admin}}})
	if err != nil {
		b.Fatal(err)
	}
	defer farm.Close()
	c := client.New("http://localhost", "", &http.Client{Transport: client.Transport(farm.Handler())})
	s.work(e)
	n := 0
	for b.Loop() {
		n++
		r := s.port("base")
		r.Summary = fmt.Sprint("build ", n)
		id := s.submit(e, submission(r))[0].Build.ID
		at := client.AttemptID{Build: id, Stage: "repeat-0", Fence: 1}
		s.eventually("the step to begin", func() bool {
			steps, err := c.Steps(b.Context(), at)
			return err == nil && len(steps) > 0 && steps[len(steps)-1].Name == "build-make"
		})
		took := &delays{}
		if _, err := c.FollowLog(b.Context(), at, "build-make", 0, took); err != nil {
			b.Fatal(err)
		}
		if len(took.all) != lines {
			b.Fatalf("%d lines came, want %d", len(took.all), lines)
		}
		slices.Sort(took.all)
		b.ReportMetric(float64(took.all[lines/2].Milliseconds()), "median-ms")
		b.ReportMetric(float64(took.all[lines-1].Milliseconds()), "slowest-ms")
		s.wait(e, id, orchestrator.BuildSucceeded)
	}
}

// delays reads lines that contain their time of writing, in nanoseconds.
type delays struct {
	rest []byte
	all  []time.Duration
}

// Write takes a piece of the log.
func (d *delays) Write(p []byte) (int, error) {
	d.rest = append(d.rest, p...)
	for {
		line, rest, ok := bytes.Cut(d.rest, []byte("\n"))
		if !ok {
			return len(p), nil
		}
		d.rest = rest
		if ns, err := strconv.ParseInt(string(line), 10, 64); err == nil {
			d.all = append(d.all, time.Since(time.Unix(0, ns)))
		}
	}
}
