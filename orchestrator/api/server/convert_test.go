// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

package server

import (
	"encoding/json"
	"reflect"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/zfarm/zfarm/orchestrator"
	"github.com/zfarm/zfarm/orchestrator/api/wire"
	"github.com/zfarm/zfarm/orchestrator/engine"
	"github.com/zfarm/zfarm/orchestrator/store"
	"github.com/zfarm/zfarm/workers"
)

// TestConversionsForgetNothing converts values without a zero field: a zero field in
// the result is a field that clients would never see.
func TestConversionsForgetNothing(t *testing.T) {
	check := func(name string, v any) {
		t.Helper()
		for _, field := range empty(reflect.ValueOf(v), name) {
			t.Errorf("%s is empty", field)
		}
	}
	check("Build", wireBuild(filled[store.Build]()))
	check("Attempt", wireAttempt(filled[store.Attempt]()))
	check("Taken", wireTaken(filled[engine.Taken]()))
	check("Waiting", wireWaiting(filled[engine.Waiting]()))
	check("Step", wireStep(filled[store.Step]()))
	check("Event", wireEvent(filled[orchestrator.Event]()))
	check("Release", wireRelease(filled[store.Release]()))
	check("File", wireFile(filled[store.File]()))
	check("Worker", wireWorker(filled[store.Worker]()))
	check("Token", wireToken(filled[store.Token]()))
	check("Principal", wirePrincipal(filled[Principal]()))
	check("Audit", wireAudit(filled[store.Audit]()))
}

// TestFactsAreShown: what a probe finds is shown to people and programs, or here is why
// not.
func TestFactsAreShown(t *testing.T) {
	notShown := map[string]string{"Absent": "says what the farm asked for, not what the worker has"}
	shown := reflect.TypeFor[wire.Facts]()
	for f := range reflect.TypeFor[workers.Facts]().Fields() {
		if _, ok := shown.FieldByName(f.Name); ok == (notShown[f.Name] != "") {
			t.Errorf("workers.Facts.%s: shown by the API %v; add it to wire.Facts and wireFacts, or to this test with a reason", f.Name, ok)
		}
	}
}

// filled returns a value all of whose fields are set.
func filled[T any]() T {
	var v T
	fill(reflect.ValueOf(&v).Elem())
	return v
}

func fill(v reflect.Value) {
	switch v.Kind() {
	case reflect.Struct:
		if v.Type() == reflect.TypeFor[time.Time]() {
			v.Set(reflect.ValueOf(time.Unix(1e9, 0).UTC()))
			return
		}
		for i := range v.NumField() {
			if v.Type().Field(i).IsExported() {
				fill(v.Field(i))
			}
		}
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		fill(v.Elem())
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 1, 1))
		fill(v.Index(0))
	case reflect.Array:
		for i := range v.Len() {
			fill(v.Index(i))
		}
	case reflect.Map:
		key, value := reflect.New(v.Type().Key()).Elem(), reflect.New(v.Type().Elem()).Elem()
		fill(key)
		fill(value)
		v.Set(reflect.MakeMap(v.Type()))
		v.SetMapIndex(key, value)
	case reflect.String:
		v.SetString("x")
	case reflect.Bool:
		v.SetBool(true)
	case reflect.Int, reflect.Int64:
		v.SetInt(7)
	case reflect.Uint8:
		v.SetUint(7)
	}
}

// empty names the fields within v that are zero.
func empty(v reflect.Value, name string) []string {
	var all []string
	switch {
	case v.IsZero():
		return []string{name}
	case v.Kind() == reflect.Pointer:
		return empty(v.Elem(), name)
	case v.Kind() == reflect.Slice:
		return empty(v.Index(0), name+"[0]")
	case v.Kind() == reflect.Map:
		return empty(v.MapIndex(v.MapKeys()[0]), name+"[x]")
	case v.Kind() == reflect.Struct && v.Type() != reflect.TypeFor[time.Time]():
		for i := range v.NumField() {
			all = append(all, empty(v.Field(i), name+"."+v.Type().Field(i).Name)...)
		}
	}
	return all
}

// TestEmptyListsStayLists: a list without elements is [] and no null, and
// lists that may be absent stay absent.
func TestEmptyListsStayLists(t *testing.T) {
	b, err := json.Marshal(map[string]any{"builds": listed(nil, wireBuild), "worker": wireWorker(store.Worker{Name: "zos1"})})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(`{"builds":[],"worker":{"name":"zos1","address":"","slots":0,"registered":false}}`, string(b)); diff != "" {
		t.Errorf("(-want +have):\n%s", diff)
	}
}
