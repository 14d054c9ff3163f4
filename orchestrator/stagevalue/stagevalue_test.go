// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

package stagevalue

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/zfarm/zfarm/attest/digest"
)

var update = flag.Bool("update", false, "write the golden files anew")

// filler gives every field of a value something that differs from zero and from its
// neighbours.
type filler struct{ n int }

func (f *filler) fill(t *testing.T, v reflect.Value) {
	t.Helper()
	f.n++
	switch v.Interface().(type) {
	case time.Time:
		v.Set(reflect.ValueOf(time.Unix(1_700_000_000+int64(f.n), 0).UTC()))
		return
	case digest.Digest:
		v.Set(reflect.ValueOf(digest.Of([]byte(fmt.Sprint(f.n)))))
		return
	case json.RawMessage:
		v.SetBytes(fmt.Appendf(nil, `{"n":%d}`, f.n))
		return
	}
	switch v.Kind() {
	case reflect.Struct:
		for i := range v.NumField() {
			if field := v.Type().Field(i); field.IsExported() && field.Tag.Get("json") != "-" {
				f.fill(t, v.Field(i))
			}
		}
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		f.fill(t, v.Elem())
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 1, 1))
		f.fill(t, v.Index(0))
	case reflect.Map:
		key, value := reflect.New(v.Type().Key()).Elem(), reflect.New(v.Type().Elem()).Elem()
		f.fill(t, key)
		f.fill(t, value)
		v.Set(reflect.MakeMap(v.Type()))
		v.SetMapIndex(key, value)
	case reflect.String:
		v.SetString(fmt.Sprint("text ", f.n))
	case reflect.Bool:
		v.SetBool(true)
	case reflect.Int, reflect.Int64, reflect.Int32, reflect.Int16, reflect.Int8:
		v.SetInt(int64(1 + f.n%2)) // small, so that enumerations have a name
	case reflect.Uint, reflect.Uint64, reflect.Uint32, reflect.Uint16, reflect.Uint8:
		v.SetUint(uint64(1 + f.n%2))
	default:
		t.Fatalf("a %s cannot be filled: teach this test", v.Type())
	}
}

// holds checks that a value with all its fields encodes to its golden file, and that
// the golden file decodes to the value.
func holds[T Value](t *testing.T) {
	t.Helper()
	var v T
	name, version := v.format()
	t.Run(name, func(t *testing.T) {
		(&filler{}).fill(t, reflect.ValueOf(&v).Elem())
		text, err := Encode(v)
		if err != nil {
			t.Fatal(err)
		}
		var have bytes.Buffer
		if err := json.Indent(&have, text, "", "  "); err != nil {
			t.Fatal(err)
		}
		have.WriteByte('\n')
		file := filepath.Join("testdata", fmt.Sprintf("%s.%d.json", name, version))
		if *update {
			if err := os.WriteFile(file, have.Bytes(), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(file)
		if err != nil {
			t.Fatalf("%v; run this test with -update", err)
		}
		if diff := cmp.Diff(string(want), have.String()); diff != "" {
			t.Errorf("what databases hold is written otherwise now (-golden +now). Give the format another version and go on reading the old one, "+
				"or let a new field be omitted where it is zero:\n%s", diff)
		}
		var compact bytes.Buffer
		if err := json.Compact(&compact, want); err != nil {
			t.Fatal(err)
		}
		got, err := Decode[T](compact.Bytes())
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(v, got); diff != "" {
			t.Errorf("the golden file is read as another value (-written +read):\n%s", diff)
		}
	})
}

func TestFormatsHold(t *testing.T) {
	t.Parallel()
	holds[Document](t)
	holds[Wants](t)
	holds[Resolved](t)
	holds[Repeated](t)
	holds[Compared](t)
	holds[Attested](t)
	holds[Published](t)
}

func TestDecodeRefuses(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ text, says string }{
		"nothing":          {"", "submit the build again"},
		"no envelope":      {`{"provenance":null}`, "submit the build again"},
		"another kind":     {`{"format":"zfarm.compared/1","value":{}}`, "another kind of value"},
		"no version":       {`{"format":"zfarm.attested","value":{}}`, "another kind of value"},
		"a later version":  {`{"format":"zfarm.attested/2","value":{}}`, "docs/upgrading.md"},
		"an unknown field": {`{"format":"zfarm.attested/1","value":{"more":1}}`, `unknown field "more"`},
		"a field outside":  {`{"format":"zfarm.attested/1","value":{},"more":1}`, `unknown field "more"`},
		"no value":         {`{"format":"zfarm.attested/1"}`, "EOF"},
		"two values":       {`{"format":"zfarm.attested/1","value":{}}{}`, "something follows"},
	} {
		if _, err := Decode[Attested]([]byte(c.text)); !errors.Is(err, ErrFormat) || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %v, want %q", name, err, c.says)
		}
	}
}
