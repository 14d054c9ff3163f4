// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

package server

import (
	"bytes"
	"errors"
	"net/http"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/zfarm/zfarm/orchestrator"
	"github.com/zfarm/zfarm/orchestrator/api/client"
	"github.com/zfarm/zfarm/orchestrator/api/wire"
	"github.com/zfarm/zfarm/orchestrator/engine"
	"github.com/zfarm/zfarm/orchestrator/store"
)

// TestEmbeddedClient goes through every method that reads, without a network.
func TestEmbeddedClient(t *testing.T) {
	f := newFarm()
	f.workers = []store.Worker{{Name: "zos1", Slots: 1}}
	f.waiting = []engine.Waiting{{Stage: "resolve", State: orchestrator.Blocked, Why: "waits for zlib"}}
	o := f.options()
	o.Authenticators, o.Embedded = nil, &Principal{Name: "me", Roles: []wire.Role{wire.Admin}}
	s, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	c := client.New("http://farm", "", &http.Client{Transport: client.Transport(s.Handler())})
	ctx := t.Context()
	taken, err := c.Submit(ctx, submission(t, map[string]string{"gzip": "port gzip"}), client.SubmitOptions{Priority: 2, Force: true})
	if err != nil || len(taken) != 1 || !taken[0].Fresh || f.asked[0].Priority != 2 || !f.asked[0].Force {
		t.Fatalf("%+v, %v", taken, err)
	}
	id := taken[0].Build.ID
	have, err := c.Build(ctx, id)
	if diff := cmp.Diff(wireBuild(f.builds[0]), have); diff != "" || err != nil {
		t.Errorf("%v (-want +have):\n%s", err, diff)
	}
	f.releases = []store.Release{{Port: "gzip", Version: "1.0", Build: id}}
	f.publish(id, "verdict.json", "{}")
	f.publish(id, "report.txt", "same")
	a := f.begin(id, "make")
	f.write(a, "log")
	var verdict, report, log, file bytes.Buffer
	page, e1 := c.Builds(ctx, wire.BuildsInput{Limit: 1})
	attempts, e2 := c.Attempts(ctx, id)
	steps, e3 := c.Steps(ctx, a)
	why, e4 := c.Why(ctx, id)
	files, e5 := c.Files(ctx, id)
	releases, e6 := c.Releases(ctx)
	release, e7 := c.Release(ctx, "gzip", "1.0")
	workers, e8 := c.Workers(ctx, "")
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
