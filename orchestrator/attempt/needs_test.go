// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

package attempt_test

import (
	"archive/tar"
	"bytes"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/zfarm/zfarm/attest/digest"
	"github.com/zfarm/zfarm/orchestrator/attempt"
	"github.com/zfarm/zfarm/orchestrator/packaging"
	"github.com/zfarm/zfarm/workers"
)

// need packages those files (mode 755, by name below the prefix) and unpacks the
// package, as the farm does with a released port.
func (s *scene) need(port, prefix string, files map[string]string) attempt.Need {
	s.t.Helper()
	var staged, packed bytes.Buffer
	tw := tar.NewWriter(&staged)
	for name, content := range files {
		if err := tw.WriteHeader(&tar.Header{Name: "." + path.Join(prefix, name), Mode: 0o755, Size: int64(len(content))}); err != nil {
			s.t.Fatal(err)
		}
		if _, err := io.WriteString(tw, content); err != nil {
			s.t.Fatal(err)
		}
	}
	if err := tw.Close(); err != nil {
		s.t.Fatal(err)
	}
	spec := packaging.Spec{Port: port, Version: "1", Prefix: prefix, Epoch: time.Unix(1_600_000_000, 0), Temp: s.t.TempDir()}
	if _, err := packaging.Write(s.t.Context(), &staged, &packed, spec); err != nil {
		s.t.Fatal(err)
	}
	d, err := s.store.Fill(s.t.Context(), func(w io.Writer) error {
		_, err := packaging.Sysroot(s.t.Context(), &packed, w, prefix)
		return err
	})
	if err != nil {
		s.t.Fatal(err)
	}
	return attempt.Need{Port: port, Version: "1", Prefix: prefix, Digest: d}
}

func TestNeedsAreFound(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	s.order.Needs = []attempt.Need{
		s.need("one", "/opt/one/1", map[string]string{"bin/greet": "#!/bin/sh\necho one\n", "lib/libone.a": "", "include/one.h": "1\n", "lib/pkgconfig/one.pc": ""}),
		s.need("two", "/opt/two/1", map[string]string{"bin/greet": "#!/bin/sh\necho two\n", "bin/only": "#!/bin/sh\necho only\n", "share/aclocal/two.m4": "", "lib64/libtwo.a": "",
			// The farm's own steps must not use it.
			"bin/tar": "#!/bin/sh\nexit 9\n", "sbin/mkdir": "#!/bin/sh\nexit 9\n"}),
	}
	names := "CPPFLAGS LDFLAGS LD_LIBRARY_PATH PKG_CONFIG_PATH PKG_CONFIG_SYSROOT_DIR ACLOCAL_PATH PATH CFLAGS MANPATH"
	script := `out="$ZFARM_ROOT/stage/opt/p/out"; /bin/mkdir -p "$ZFARM_ROOT/stage/opt/p" || exit
{ greet; only; cat "$ZFARM_ROOT/needs/opt/one/1/include/one.h"; } >"$out"
for name in ` + names + `; do eval "printf '%s\n' \"$name=\$$name\""; done | sed "s|$ZFARM_ROOT|ROOT|g" >>"$out"`
	record, failure, err := s.do(acts{build: []workers.Step{{Name: "make", Script: script,
		Env: map[string]string{"CPPFLAGS": "-DOWN", "LDFLAGS": "", "CFLAGS": "-O2", "PATH": "/own/bin", "PKG_CONFIG_SYSROOT_DIR": "/own"}}}})
	if err != nil || failure != nil {
		t.Fatalf("%+v, %v", failure, err)
	}
	one, two := "ROOT/needs/opt/one/1", "ROOT/needs/opt/two/1"
	want := "one\nonly\n1\n" +
		"CPPFLAGS=-I" + one + "/include -DOWN\n" +
		"LDFLAGS=-L" + one + "/lib -L" + two + "/lib64\n" +
		"LD_LIBRARY_PATH=" + one + "/lib:" + two + "/lib64\n" +
		"PKG_CONFIG_PATH=" + one + "/lib/pkgconfig\n" +
		"PKG_CONFIG_SYSROOT_DIR=ROOT/needs\n" +
		"ACLOCAL_PATH=" + two + "/share/aclocal\n" +
		"PATH=" + one + "/bin:" + two + "/bin:" + two + "/sbin:" + s.order.Facts.Path + ":/own/bin\n" +
		"CFLAGS=-O2\nMANPATH=\n"
	if diff := cmp.Diff(want, s.output(record.Output)["./opt/p/out"]); diff != "" {
		t.Errorf("what the step saw (-want +have):\n%s", diff)
	}
	var steps []string
	for _, step := range record.Steps {
		steps = append(steps, step.Name)
	}
	if diff := cmp.Diff([]string{"folders", "need-1", "need-2", "unpack-1", "build-make", "pack"}, steps); diff != "" {
		t.Errorf("steps (-want +have):\n%s", diff)
	}
}

// TestNeedsLink checks that a compiler, pkg-config and the loader find a library of a
// need without further settings.
func TestNeedsLink(t *testing.T) {
	t.Parallel()
	for _, tool := range []string{"cc", "pkg-config"} {
		if _, err := exec.LookPath(tool); err != nil {
			t.Skipf("links a program against a needed library: install %s", tool)
		}
	}
	s := newScene(t)
	dir := t.TempDir()
	cmd := exec.CommandContext(t.Context(), "cc", "-shared", "-fPIC", "-o", path.Join(dir, "libanswer.so"), "-x", "c", "-")
	cmd.Stdin = strings.NewReader("int answer(void) { return 42; }\n")
	if text, err := cmd.CombinedOutput(); err != nil {
		t.Skipf("links a program against a needed library: install a C compiler that makes shared libraries (%v: %s)", err, text)
	}
	library, err := os.ReadFile(path.Join(dir, "libanswer.so"))
	if err != nil {
		t.Fatal(err)
	}
	s.order.Needs = []attempt.Need{s.need("answer", "/opt/zfarm/answer/1", map[string]string{
		"lib/libanswer.so": string(library), "include/answer.h": "int answer(void);\n",
		"lib/pkgconfig/answer.pc": "prefix=/opt/zfarm/answer/1\nName: answer\nDescription: the answer\nVersion: 1\nCflags: -I${prefix}/include\nLibs: -L${prefix}/lib -lanswer\n",
	})}
	s.order.Sources = []attempt.Source{{Digest: s.source(map[string]string{"main.c": "#include <answer.h>\n#include <stdio.h>\nint main(void) { return printf(\"%d\\n\", answer()) < 0; }\n"})}}
	script := `mkdir -p "$ZFARM_ROOT/stage/opt/p" || exit
cc $CPPFLAGS main.c $LDFLAGS -lanswer -o flags && ./flags >"$ZFARM_ROOT/stage/opt/p/out" || exit
unset CPPFLAGS LDFLAGS
cc main.c $(pkg-config --cflags --libs answer) -o config && ./config >>"$ZFARM_ROOT/stage/opt/p/out"`
	record, failure, err := s.do(acts{build: []workers.Step{{Name: "make", Script: script}}})
	if err != nil || failure != nil {
		t.Fatalf("%+v, %v", failure, err)
	}
	if have := s.output(record.Output)["./opt/p/out"]; have != "42\n42\n" {
		t.Errorf("the programs say %q", have)
	}
}

func TestNeedsThatAreNotWhatTheyWere(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	s.order.Needs = []attempt.Need{{Port: "one", Version: "1", Prefix: "/opt/one/1", Digest: digest.Of([]byte("gone"))}}
	_, failure, err := s.do(acts{})
	if err == nil || failure != nil || !strings.Contains(err.Error(), "putting the needed one 1") {
		t.Errorf("gone from the store: failure %+v, error %v", failure, err)
	}
	s = newScene(t)
	text, err := s.store.Put(t.Context(), strings.NewReader(fmt.Sprintf("%0600d", 1)))
	if err != nil {
		t.Fatal(err)
	}
	s.order.Needs = []attempt.Need{{Port: "one", Version: "1", Prefix: "/opt/one/1", Digest: text}}
	_, failure, err = s.do(acts{})
	if err == nil || failure != nil || !strings.Contains(err.Error(), "not a readable pax archive") {
		t.Errorf("no archive: failure %+v, error %v", failure, err)
	}
}
