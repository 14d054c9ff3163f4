// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

package wire

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/zfarm/zfarm/plugins"
	"github.com/zfarm/zfarm/workers"
)

func TestErrorsCross(t *testing.T) {
	for _, k := range kinds() {
		got := Decode(Encode(fmt.Errorf("with words: %w", k.err)))
		if !errors.Is(got, k.err) || !strings.HasPrefix(got.Error(), "with words: ") {
			t.Errorf("%v became %v", k.err, got)
		}
		for _, other := range kinds() {
			if other.kind != k.kind && errors.Is(got, other.err) != errors.Is(k.err, other.err) {
				t.Errorf("%v became %v, too", k.err, other.err)
			}
		}
	}
	want := &plugins.StepError{Step: "make", Status: workers.Status{State: workers.Limit, Took: 3 * time.Second}, Hint: "wait"}
	got, ok := plugins.AsStepError(Decode(Encode(fmt.Errorf("building: %w", want))))
	if diff := cmp.Diff(want, got); !ok || diff != "" {
		t.Error(diff)
	}
	if Encode(nil) != nil || Decode(nil) != nil {
		t.Error("no error became one")
	}
	long := Decode(Encode(errors.New(strings.Repeat("\x1b[31m\xff long ", 10_000) + "end")))
	if len(long.Error()) > maxError || !strings.HasSuffix(long.Error(), "end") || strings.Contains(long.Error(), "\x1b") {
		t.Errorf("a long error has %d bytes", len(long.Error()))
	}
}

func TestTransportErrorsKeepTheirCode(t *testing.T) {
	err := status.Error(codes.Unavailable, "EOF")
	if status.Code(Decode(err)) != codes.Unavailable {
		t.Error("lost its code")
	}
	if !errors.Is(Decode(status.Error(codes.Canceled, "x")), context.Canceled) {
		t.Error("a cancelled call is not context.Canceled")
	}
	plain := errors.New("plain")
	if !errors.Is(Decode(plain), plain) {
		t.Error("another error changed")
	}
}

func TestForeignStepsAreRefused(t *testing.T) {
	good := func() *Step {
		return &Step{Name: "make", Script: []byte("make\n"), Dir: []byte("src"), Env: map[string][]byte{"A": []byte("\xff")}, Umask: 0o77}
	}
	if _, err := toStep(good()); err != nil {
		t.Fatal(err)
	}
	for name, change := range map[string]func(*Step){
		"name":      func(s *Step) { s.Name = "../x" },
		"no name":   func(s *Step) { s.Name = "" },
		"script":    func(s *Step) { s.Script = []byte("a\x00b") },
		"folder":    func(s *Step) { s.Dir = []byte("/etc") },
		"variable":  func(s *Step) { s.Env["A=B"] = nil },
		"root":      func(s *Step) { s.Env["ZFARM_ROOT"] = nil },
		"value":     func(s *Step) { s.Env["B"] = []byte("\x00") },
		"umask":     func(s *Step) { s.Umask = 0o1000 },
		"limit":     func(s *Step) { s.Limit = durationpb.New(-1) },
		"bad limit": func(s *Step) { s.Limit = &durationpb.Duration{Seconds: math.MaxInt64} },
	} {
		s := good()
		change(s)
		if _, err := toStep(s); !errors.Is(err, fs.ErrInvalid) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := toStep(nil); !errors.Is(err, fs.ErrInvalid) {
		t.Errorf("no step: %v", err)
	}
}

func TestRoundTrips(t *testing.T) {
	step := workers.Step{Name: "a", Script: "b\xff", Dir: "c", Env: map[string]string{"D": "e\xff"}, Umask: 0o27, Limit: 90 * time.Minute}
	gotStep, err := toStep(fromStep(step))
	if diff := cmp.Diff(step, gotStep); diff != "" || err != nil {
		t.Error(err, diff)
	}
	config := plugins.Config{Block: []byte(`{"a":1}`), Port: "p", Version: "1", Source: "s", Stage: "t", Prefix: "/p", Jobs: 3,
		Facts: workers.Facts{Uname: "OS/390", System: "a", Host: "b", User: "u", Release: "c", Version: "d", Machine: "e", Shell: "f", CodePage: "g",
			Archiver: workers.ArchiverZOSPax, Tools: map[string]workers.Tool{"cc": {Path: "h", Banner: "i", Version: "j"}},
			Locales: []string{"C"}, Cores: 4, FreeBytes: 5, Path: "k", ClockOffset: -time.Second, Server: "l"}}
	notSent := map[string]string{"Absent": "says what the farm asked for, not what the worker has"}
	for f, v := range reflect.ValueOf(config.Facts).Fields() {
		if v.IsZero() == (notSent[f.Name] == "") {
			t.Errorf("workers.Facts.%s: send it to plugins and set it here, or name it here with a reason", f.Name)
		}
	}
	if diff := cmp.Diff(config, ToConfig(FromConfig(config))); diff != "" {
		t.Error(diff)
	}
	for _, st := range []workers.Status{{State: workers.Exited, Code: 255, Took: time.Hour}, {State: workers.Limit}, {State: workers.Lease}, {State: workers.Stopped}, {State: workers.LogLimit}} {
		got, err := toStatus(fromStatus(st))
		if diff := cmp.Diff(st, got); diff != "" || err != nil {
			t.Error(err, diff)
		}
	}
	for _, bad := range []*StepStatus{nil, {State: 99}, {State: State_STATE_EXITED, Code: 256}, {State: State_STATE_EXITED, Code: -1}} {
		if _, err := toStatus(bad); err == nil {
			t.Errorf("status %v: accepted", bad)
		}
	}
}

func TestModes(t *testing.T) {
	for _, mode := range []fs.FileMode{0o644, 0o755 | fs.ModeDir, 0o777 | fs.ModeSymlink, 0o4755&^0o4000 | fs.ModeSetuid, fs.ModeSetgid | 0o2,
		fs.ModeSticky | fs.ModeDir | 0o777, fs.ModeNamedPipe, fs.ModeSocket, fs.ModeDevice, fs.ModeDevice | fs.ModeCharDevice} {
		if got := goMode(unixMode(mode)); got != mode {
			t.Errorf("%v became %v", mode, got)
		}
	}
	if goMode(0o170000)&fs.ModeIrregular == 0 {
		t.Error("an unknown type is taken for a regular file")
	}
	if got := modeBits(fs.ModeDir | fs.ModeSetuid | 0o750); got != 0o4750 {
		t.Errorf("bits of chmod: %o", got)
	}
}

// FuzzDecode decodes arbitrary details of an error.
func FuzzDecode(f *testing.F) {
	seed := func(m *Fault) {
		b, err := proto.Marshal(m)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b, "text \x1b[0m")
	}
	seed(&Fault{Kinds: []Kind{Kind_KIND_LOST, 77}})
	seed(&Fault{Step: &StepFault{Step: "make", Status: &StepStatus{State: State_STATE_EXITED, Code: 3}, Hint: "\x07"}})
	f.Fuzz(func(t *testing.T, b []byte, text string) {
		var m Fault
		if proto.Unmarshal(b, &m) != nil {
			return
		}
		s, err := status.New(codes.Unknown, strings.ToValidUTF8(text, "")).WithDetails(&m)
		if err != nil {
			return
		}
		got := Decode(s.Err())
		if len(got.Error()) > maxError || strings.ContainsAny(got.Error(), "\x1b\x07\r") {
			t.Errorf("text %q", got.Error())
		}
		if e, ok := plugins.AsStepError(got); ok && (!workers.ValidID(e.Step) || e.Status.State == "" || strings.ContainsAny(e.Hint, "\x1b\x07")) {
			t.Errorf("step %+v", e)
		}
	})
}

// FuzzStep decodes arbitrary steps.
func FuzzStep(f *testing.F) {
	b, err := proto.Marshal(fromStep(workers.Step{Name: "make", Script: "make", Dir: "src", Env: map[string]string{"A": "b"}, Limit: time.Second}))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(b)
	f.Fuzz(func(t *testing.T, b []byte) {
		var m Step
		if proto.Unmarshal(b, &m) != nil {
			return
		}
		s, err := toStep(&m)
		if err != nil {
			return
		}
		if !workers.ValidID(s.Name) || s.Limit < 0 || s.Umask > 0o777 {
			t.Errorf("accepted %+v", s)
		}
	})
}
