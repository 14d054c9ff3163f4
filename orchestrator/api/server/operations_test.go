// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

package server

import (
	"bytes"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"
	"github.com/google/go-cmp/cmp"

	"github.com/zfarm/zfarm/orchestrator"
	"github.com/zfarm/zfarm/orchestrator/api/client"
	"github.com/zfarm/zfarm/orchestrator/api/wire"
	"github.com/zfarm/zfarm/orchestrator/engine"
	"github.com/zfarm/zfarm/orchestrator/schedule"
	"github.com/zfarm/zfarm/orchestrator/store"
	"github.com/zfarm/zfarm/workers"
)

var update = flag.Bool("update", false, "write golden files anew")

// row is any row of the table.
type row interface {
	Definition() (wire.Operation, reflect.Type, reflect.Type)
}

// every returns all rows of the table.
func every(t *testing.T) []row {
	t.Helper()
	v := reflect.ValueOf(wire.NewOperations())
	var all []row
	for i := range v.NumField() {
		r, ok := v.Field(i).Interface().(row)
		if !ok {
			t.Fatalf("field %s of the table is no call", v.Type().Field(i).Name)
		}
		all = append(all, r)
	}
	return all
}

func description31(t *testing.T) map[string]any {
	t.Helper()
	f := newFarm()
	base, _ := serve(t, f.options())
	a := ask(t, "GET", base+"/openapi.json", "", nil)
	var d map[string]any
	if err := json.Unmarshal([]byte(a.body), &d); err != nil {
		t.Fatal(err)
	}
	if yaml := ask(t, "GET", base+"/openapi.yaml", "", nil); yaml.status != 200 || !strings.Contains(yaml.body, "operationId: submit") {
		t.Errorf("the YAML is %d: %.200s", yaml.status, yaml.body)
	}
	return d
}

func TestOpenAPIGolden(t *testing.T) {
	f := newFarm()
	base, _ := serve(t, f.options())
	have := ask(t, "GET", base+"/openapi.json", "", nil).body
	golden := filepath.Join("testdata", "openapi.json")
	if *update {
		if err := os.MkdirAll("testdata", 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(golden, []byte(have), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), have); diff != "" {
		t.Errorf("the description (-want +have); if it is wanted, -update:\n%s", diff)
	}
}

// TestEveryOperationIsDescribed walks the table: the server serves and describes each
// row, with its role and its errors, and nothing else.
func TestEveryOperationIsDescribed(t *testing.T) {
	d := description31(t)
	if d["openapi"] != "3.1.0" {
		t.Errorf("it is of OpenAPI %v", d["openapi"])
	}
	paths := d["paths"].(map[string]any)
	described := 0
	for _, methods := range paths {
		described += len(methods.(map[string]any))
	}
	all := every(t)
	if described != len(all) {
		t.Errorf("%d operations are described, %d are in the table", described, len(all))
	}
	ids := map[string]bool{}
	for _, row := range all {
		def, in, _ := row.Definition()
		if ids[def.ID] {
			t.Errorf("two operations are called %s", def.ID)
		}
		ids[def.ID] = true
		methods, _ := paths[def.Path].(map[string]any)
		op, ok := methods[strings.ToLower(def.Method)].(map[string]any)
		if !ok {
			t.Errorf("%s is not described", def.ID)
			continue
		}
		checkOperation(t, def, op)
		checkParameters(t, def, in, op)
	}
	refs(t, d, d["components"].(map[string]any)["schemas"].(map[string]any))
}

func checkOperation(t *testing.T, def wire.Operation, op map[string]any) {
	t.Helper()
	if op["operationId"] != def.ID || op["summary"] == "" || op["summary"] == nil {
		t.Errorf("%s: id %v, summary %v", def.ID, op["operationId"], op["summary"])
	}
	if op["x-zfarm-role"] != string(def.Role) {
		t.Errorf("%s: role %v, want %q", def.ID, op["x-zfarm-role"], def.Role)
	}
	if _, secured := op["security"]; secured != (def.Role != "") {
		t.Errorf("%s: security is %v", def.ID, op["security"])
	}
	responses := op["responses"].(map[string]any)
	want := append([]int{429, 500}, def.Errors...)
	if def.Role != "" {
		want = append(want, 401, 403, 503)
	}
	for _, code := range want {
		r, ok := responses[fmt.Sprint(code)].(map[string]any)
		if !ok {
			t.Errorf("%s: the error %d is not described", def.ID, code)
			continue
		}
		if _, ok := r["content"].(map[string]any)["application/problem+json"]; !ok {
			t.Errorf("%s: the error %d is no problem document", def.ID, code)
		}
	}
	status := def.Status
	if status == 0 {
		status = http.StatusOK
	}
	if _, ok := responses[fmt.Sprint(status)]; !ok {
		t.Errorf("%s: its success, %d, is not described", def.ID, status)
	}
	if _, ok := op["requestBody"]; def.Archive && !ok {
		t.Errorf("%s: its body is not described", def.ID)
	}
}

func checkParameters(t *testing.T, def wire.Operation, in reflect.Type, op map[string]any) {
	t.Helper()
	var have []string
	list, _ := op["parameters"].([]any)
	for _, p := range list {
		m := p.(map[string]any)
		have = append(have, fmt.Sprint(m["in"], " ", m["name"]))
		if m["in"] == "path" && !strings.Contains(def.Path, "{"+m["name"].(string)+"}") {
			t.Errorf("%s: the parameter %s is not in its path", def.ID, m["name"])
		}
	}
	var want []string
	for _, f := range reflect.VisibleFields(in) {
		for _, where := range []string{"path", "query", "header"} {
			if name := f.Tag.Get(where); name != "" {
				want = append(want, where+" "+name)
			}
		}
	}
	slices.Sort(have)
	slices.Sort(want)
	if diff := cmp.Diff(want, have); diff != "" {
		t.Errorf("%s: parameters (-want +have):\n%s", def.ID, diff)
	}
}

// TestAnswersAreAsDescribed checks real answers against the schemas.
func TestAnswersAreAsDescribed(t *testing.T) {
	f := newFarm()
	b := f.add("gz", "gzip", "anna")
	f.builds[0].Needs = []store.Need{{Port: "zlib", Build: "zl", At: []string{"build"}}}
	f.builds[0].Stages[0].Failure = &orchestrator.Failure{Kind: orchestrator.FailedStep, Message: "x"}
	f.builds[0].Stages[0].Output = b.Recipe
	f.waiting = []engine.Waiting{{Stage: "repeat-0", State: orchestrator.Ready, Why: "x", Workers: []schedule.Reason{{Worker: "zos1", Fits: true}}}}
	f.workers = []store.Worker{{Name: "zos1", Labels: map[string]string{"a": "b"}, Held: []store.Lease{{Worker: "zos1", Slot: 1}},
		Facts: &workers.Facts{Tools: map[string]workers.Tool{"xlclang": {Path: "/bin/xlclang"}}, Locales: []string{"C"}}}}
	f.releases = []store.Release{{Port: "gzip", Version: "1.0", Build: "gz"}}
	f.audits = []store.Audit{{Seq: 1, Who: "anna"}}
	f.publish("gz", "a", "b")
	f.event("gz", orchestrator.Running, "zos1")
	f.write(f.begin("gz", "make"), "x")
	f.end(client.AttemptID{Build: "gz", Stage: "repeat-0", Fence: 1})
	o := f.options()
	s, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	base, _ := serveOn(t, s, listen(t))
	secret := f.token("root", wire.Admin)
	names := strings.NewReplacer("{id}", "gz", "{stage}", "repeat-0", "{fence}", "1", "{step}", "make", "{port}", "gzip", "{version}", "1.0", "{name}", "a")
	looked := 0
	for _, row := range every(t) {
		def, _, _ := row.Definition()
		if def.Method != http.MethodGet || def.Content != "" {
			continue
		}
		a := ask(t, "GET", base+names.Replace(def.Path), secret, nil)
		var v any
		if err := json.Unmarshal([]byte(a.body), &v); err != nil || a.status != 200 {
			t.Errorf("%s: %d %s", def.ID, a.status, a.body)
			continue
		}
		schema := s.api.OpenAPI().Paths[def.Path].Get.Responses["200"].Content["application/json"].Schema
		found := &huma.ValidateResult{}
		huma.Validate(s.api.OpenAPI().Components.Schemas, schema, huma.NewPathBuffer(nil, 0), huma.ModeReadFromServer, v, found)
		for _, e := range found.Errors {
			t.Errorf("%s: %v in %s", def.ID, e, a.body)
		}
		looked++
	}
	if looked < 14 {
		t.Errorf("only %d answers were looked at", looked)
	}
}

// refs follows every reference.
func refs(t *testing.T, v any, schemas map[string]any) {
	switch x := v.(type) {
	case map[string]any:
		if ref, ok := x["$ref"].(string); ok {
			if _, ok := schemas[strings.TrimPrefix(ref, "#/components/schemas/")]; !ok {
				t.Errorf("the reference %s leads nowhere", ref)
			}
		}
		for _, y := range x {
			refs(t, y, schemas)
		}
	case []any:
		for _, y := range x {
			refs(t, y, schemas)
		}
	}
}

// TestClientAndServerAgree has the client encode each kind of input and the server
// decode it: the server must get what was sent.
func TestClientAndServerAgree(t *testing.T) {
	ops := wire.NewOperations()
	yes, no, eight := true, false, 8
	x := wire.BuildInput{ID: "x"}
	agree(t, wire.Call[submitInput, wire.SubmitOutput]{Operation: ops.Submit.Operation},
		&submitInput{SubmitInput: wire.SubmitInput{Priority: -3, Force: true}})
	agree(t, ops.Builds, &wire.BuildsInput{Port: "gzip & co", Owner: "a@b", State: "running", Before: 7, Limit: 9})
	agree(t, ops.Builds, &wire.BuildsInput{})
	agree(t, ops.Build, &wire.BuildInput{ID: "a b/ü%2F?#;+"})
	agree(t, ops.Cancel, &wire.BuildInput{ID: "x"})
	agree(t, ops.ChangeBuild, &wire.ChangeBuildInput{BuildInput: x, Body: wire.BuildChange{Priority: &eight, Paused: &no}})
	agree(t, ops.Attempts, &wire.BuildInput{ID: "x"})
	agree(t, ops.Why, &wire.BuildInput{ID: "x"})
	agree(t, ops.Report, &wire.BuildInput{ID: "x"})
	agree(t, ops.File, &wire.FileInput{BuildInput: x, Name: "gzip-1.12+git~1.pax.Z"})
	agree(t, ops.Steps, &wire.AttemptInput{BuildInput: x, Stage: "repeat-0", Fence: 1 << 40})
	agree(t, ops.Log, &wire.LogInput{AttemptInput: wire.AttemptInput{BuildInput: x, Stage: "repeat-0", Fence: 3}, Step: "build.make", Offset: 1 << 50, Follow: true})
	agree(t, ops.Events, &wire.EventsInput{After: 3, Build: "x", Limit: 5})
	agree(t, ops.Follow, &wire.FollowInput{After: 3, Build: "x", Last: "17"})
	agree(t, ops.Release, &wire.ReleaseInput{Port: "gzip", Version: "1.12:3"})
	agree(t, ops.ReleaseFile, &wire.ReleaseFileInput{ReleaseInput: wire.ReleaseInput{Port: "gzip", Version: "1.12"}, Name: "..x"})
	agree(t, ops.ChangeWorker, &wire.ChangeWorkerInput{WorkerInput: wire.WorkerInput{Name: "zos1"}, Body: wire.WorkerChange{Draining: &yes}})
	agree(t, ops.Probe, &wire.WorkerInput{Name: "zos1"})
	agree(t, ops.AddToken, &wire.AddTokenInput{Body: wire.NewToken{Name: "ci", Roles: []wire.Role{wire.Reader}, Ports: []string{"a*"}}})
	agree(t, ops.RevokeToken, &wire.TokenInput{ID: "0123"})
	agree(t, ops.Audit, &wire.AuditInput{After: 1, Limit: 2})
}

// agree sends an input through the definition and compares what arrives.
func agree[I, O any](t *testing.T, c wire.Call[I, O], in *I) {
	t.Helper()
	mux := http.NewServeMux()
	var have *I
	huma.Register(humago.New(mux, huma.Config{OpenAPI: &huma.OpenAPI{}, Formats: huma.DefaultFormats, DefaultFormat: "application/json", RejectUnknownQueryParameters: true}),
		describedCall(c), func(_ context.Context, in *I) (*O, error) {
			have = in
			return nil, nil
		})
	base, err := url.Parse("http://farm.example/base")
	if err != nil {
		t.Fatal(err)
	}
	r, err := wire.NewRequest(t.Context(), base, c.Operation, in)
	if err != nil {
		t.Errorf("%s: %v", c.ID, err)
		return
	}
	resp, err := client.Transport(http.StripPrefix("/base", mux)).RoundTrip(r)
	if err != nil {
		t.Errorf("%s: %v", c.ID, err)
		return
	}
	resp.Body.Close()
	unread := cmp.FilterPath(func(p cmp.Path) bool {
		return strings.HasSuffix(p.String(), "request") || strings.HasSuffix(p.String(), "writer")
	}, cmp.Ignore())
	if diff := cmp.Diff(in, have, unread, cmp.AllowUnexported(submitInput{})); diff != "" {
		t.Errorf("%s: (-sent +arrived):\n%s", c.ID, diff)
	}
}

func TestClientRefusesNamesThatAreNone(t *testing.T) {
	c := client.New("http://localhost", "", nil)
	for _, id := range []string{"", ".", ".."} {
		if _, err := c.Build(t.Context(), id); err == nil || !strings.Contains(err.Error(), "cannot be the id") {
			t.Errorf("%q: %v", id, err)
		}
	}
}

// FuzzQuery sends any query and header to the server: it answers, and never with a
// fault of its own.
func FuzzQuery(f *testing.F) {
	fm := newFarm()
	fm.add("x", "gzip", "anna")
	fm.publish("x", "report.txt", "same")
	o := fm.options()
	o.Authenticators, o.Embedded = nil, &Principal{Name: "me", Roles: []wire.Role{wire.Admin}}
	s, err := New(o)
	if err != nil {
		f.Fatal(err)
	}
	f.Add("/v1/builds", "port=a&limit=3&before=9", "")
	f.Add("/v1/builds", "limit=-1&limit=x&state=running%00", "")
	f.Add("/v1/events", "after=99999999999999999999&build=%ff", "")
	f.Add("/v1/builds/x/report", "format=json&format=text&=&;", "7")
	f.Add("/v1/builds/x/files/report.txt", "", "bytes=0-1,3-")
	f.Add("/v1/builds/../../etc/passwd", "a[b]=c", "")
	f.Fuzz(func(t *testing.T, path, query, header string) {
		r, err := http.NewRequest(http.MethodGet, "http://localhost/", nil)
		if err != nil {
			t.Fatal(err)
		}
		r.URL.Path, r.URL.RawQuery = "/"+strings.TrimPrefix(path, "/"), query
		r.Header.Set("Range", header)
		r.Header.Set("X-Request-Id", header)
		if strings.Contains(path, "stream") || strings.Contains(query, "follow") {
			return // it goes on for ever
		}
		w := &recorded{header: http.Header{}}
		s.Handler().ServeHTTP(w, r)
		if w.status >= 500 || w.status == 0 {
			t.Errorf("%s?%s: %d %s", path, query, w.status, w.body.String())
		}
		if id := w.header.Get("X-Request-Id"); len(id) < 8 || len(id) > 64 {
			t.Errorf("the request is called %q", id)
		}
	})
}

type recorded struct {
	header http.Header
	status int
	body   bytes.Buffer
}

func (r *recorded) Header() http.Header { return r.header }
func (r *recorded) WriteHeader(s int) {
	if r.status == 0 {
		r.status = s
	}
}
func (r *recorded) Write(p []byte) (int, error) {
	r.WriteHeader(http.StatusOK)
	return r.body.Write(p)
}
