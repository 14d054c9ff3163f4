// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

package store

import (
	"bytes"
	"encoding/json"
	flags "flag" // the package has a function flag
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/zfarm/zfarm/orchestrator"
	"github.com/zfarm/zfarm/orchestrator/store/query"
	"github.com/zfarm/zfarm/workers"
)

var renew = flags.Bool("update", false, "write the golden files anew")

// golden compares JSON with a golden file, and returns what the file holds.
func golden(t *testing.T, name, text string) string {
	t.Helper()
	var have bytes.Buffer
	if err := json.Indent(&have, []byte(text), "", "  "); err != nil {
		t.Fatal(err)
	}
	have.WriteByte('\n')
	file := filepath.Join("testdata", name+".json")
	if *renew {
		if err := os.WriteFile(file, have.Bytes(), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatalf("%v; run this test with -update", err)
	}
	if diff := cmp.Diff(string(want), have.String()); diff != "" {
		t.Errorf("what databases hold is written otherwise now (-golden +now). Go on reading what earlier versions wrote: "+
			"add a migration, or let a new field be omitted where it is zero:\n%s", diff)
	}
	return string(want)
}

// wantFull fails if a field of v, at any depth, is zero: its name would not be in the
// golden file.
func wantFull(t *testing.T, path string, v reflect.Value) {
	t.Helper()
	if v.IsZero() {
		t.Errorf("%s is zero: give it a value in this test", path)
		return
	}
	switch v.Kind() {
	case reflect.Pointer:
		wantFull(t, path, v.Elem())
	case reflect.Struct:
		for i := range v.NumField() {
			wantFull(t, path+"."+v.Type().Field(i).Name, v.Field(i))
		}
	case reflect.Slice:
		for i := range v.Len() {
			wantFull(t, path, v.Index(i))
		}
	case reflect.Map:
		for _, key := range v.MapKeys() {
			wantFull(t, path, v.MapIndex(key))
		}
	}
}

func fullFacts() *workers.Facts {
	return &workers.Facts{
		Uname: "OS/390 ZOS1 28.00 05 8561", System: "OS/390", Host: "ZOS1", Release: "28.00", Version: "05", Machine: "8561",
		User: "zfarm", Shell: "/bin/sh", CodePage: "IBM-1047", Archiver: workers.ArchiverZOSPax,
		Tools:  map[string]workers.Tool{"make": {Path: "/usr/bin/make", Banner: "GNU Make 4.3", Version: "4.3"}},
		Absent: []string{"gcc"}, Locales: []string{"C", "En_US.IBM-1047"}, Cores: 4, FreeBytes: 1 << 40,
		Path: "/bin:/usr/bin", ClockOffset: -2 * time.Second, Server: "SSH-2.0-OpenSSH_7.6",
	}
}

// jsonColumn is a column that holds JSON.
type jsonColumn struct {
	value any
	text  func(c *columns) string
	read  func(c *columns, text string) any
}

// lists is a column with a list of texts.
func lists(l []string, read func(c *columns, text string) []string) jsonColumn {
	return jsonColumn{
		value: l,
		text:  func(c *columns) string { return c.list(l) },
		read:  func(c *columns, text string) any { return read(c, text) },
	}
}

func jsonColumns() map[string]jsonColumn {
	failure := &orchestrator.Failure{Kind: orchestrator.FailedStep, Message: "step build-make exited with 3"}
	status := &workers.Status{State: workers.Exited, Code: 3, Took: 4 * time.Second}
	labels := map[string]string{"os": "zos", "site": "north"}
	return map[string]jsonColumn{
		"stage.failure": {
			value: failure,
			text:  func(c *columns) string { return c.failure(failure) },
			read:  func(c *columns, text string) any { return c.stage(query.Stage{Failure: text}).Failure },
		},
		"step.status": {
			value: status,
			text:  func(c *columns) string { return c.encode(*status) },
			read:  func(c *columns, text string) any { return c.step(query.Step{Status: text}).Status },
		},
		"worker.labels": {
			value: labels,
			text:  func(c *columns) string { return c.labels(labels) },
			read:  func(c *columns, text string) any { return c.worker(query.Worker{Labels: text}).Labels },
		},
		"worker.facts": {
			value: fullFacts(),
			text:  func(c *columns) string { return c.facts(fullFacts()) },
			read:  func(c *columns, text string) any { return c.worker(query.Worker{Facts: text}).Facts },
		},
		"stage.follows": lists([]string{"repeat-0", "repeat-1"}, func(c *columns, text string) []string { return c.stage(query.Stage{Follows: text}).After }),
		"stage.lost":    lists([]string{"w1", "w2"}, func(c *columns, text string) []string { return c.stage(query.Stage{Lost: text}).Lost }),
		"need.uses":     lists([]string{"build", "run"}, func(c *columns, text string) []string { return c.need(query.Need{Uses: text}).At }),
		"token.roles":   lists([]string{"admin", "submit"}, func(c *columns, text string) []string { return c.token(query.Token{Roles: text}).Roles }),
		"token.ports":   lists([]string{"gzip", "lib*"}, func(c *columns, text string) []string { return c.token(query.Token{Ports: text}).Ports }),
	}
}

// TestColumnsHold: JSON columns are written as their golden files, and a golden file
// reads as the same value.
func TestColumnsHold(t *testing.T) {
	for name, column := range jsonColumns() {
		t.Run(name, func(t *testing.T) {
			wantFull(t, name, reflect.ValueOf(column.value))
			c := &columns{}
			kept := golden(t, name, column.text(c))
			got := column.read(c, kept)
			if c.err != nil {
				t.Fatal(c.err)
			}
			if diff := cmp.Diff(column.value, got); diff != "" {
				t.Errorf("the golden file is read as another value (-written +read):\n%s", diff)
			}
		})
	}
}

// TestColumnsRefuse: what a later program may have written is never half read.
func TestColumnsRefuse(t *testing.T) {
	for name, tt := range map[string]struct{ column, text, says string }{
		"an unknown field":        {"stage.failure", `{"kind":"step","message":"","retry":true}`, `unknown field "retry"`},
		"an unknown status":       {"step.status", `{"state":"exited","signal":9}`, `unknown field "signal"`},
		"an unknown fact":         {"worker.facts", `{"more":1}`, `unknown field "more"`},
		"an unknown fact of tool": {"worker.facts", `{"tools":{"make":{"more":1}}}`, `unknown field "more"`},
		"two values":              {"stage.lost", `["w1"]["w2"]`, "something follows"},
		"objects for texts":       {"token.roles", `[{"role":"admin"}]`, "cannot unmarshal object"},
		"half a value":            {"worker.labels", `{"os":`, "unexpected EOF"},
	} {
		c := &columns{}
		jsonColumns()[tt.column].read(c, tt.text)
		if c.err == nil || !strings.Contains(c.err.Error(), tt.says) || !strings.Contains(c.err.Error(), "docs/upgrading.md") {
			t.Errorf("%s in %s: %v, want %q", name, tt.column, c.err, tt.says)
		}
	}
}

// TestQueueHolds: entries of the queue keep their name and their form. A program that
// continues a database works on the entries that an earlier one left there.
func TestQueueHolds(t *testing.T) {
	wakes := []Wake{{Kind: Match}, {Kind: Claim, Build: "b1", Stage: "repeat-0"}, {Kind: Needs, Build: "b1"}, {Kind: Probe, Worker: "w1"}}
	type queued struct {
		Kind  string `json:"kind"`
		Queue string `json:"queue"`
		Args  entry  `json:"args"`
	}
	var all []queued
	for _, e := range entries(wakes) {
		all = append(all, queued{Kind: e.Args.Kind(), Queue: e.InsertOpts.Queue, Args: e.Args.(entry)})
	}
	text, err := json.Marshal(all)
	if err != nil {
		t.Fatal(err)
	}
	var got []queued
	if err := json.Unmarshal([]byte(golden(t, "queue", string(text))), &got); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(all, got); diff != "" {
		t.Errorf("the golden file is read as other entries (-written +read):\n%s", diff)
	}
	wantFull(t, "entry", reflect.ValueOf(entry{For: Claim, Build: "b1", Stage: "repeat-0", Worker: "w1"}))
	if have, want := reflect.TypeFor[entry]().NumField(), 4; have != want {
		t.Errorf("an entry has %d fields, this test fills %d", have, want)
	}
}
