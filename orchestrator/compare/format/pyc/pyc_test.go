// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

package pyc

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/zfarm/zfarm/orchestrator/compare/format/span"
)

// module writes a module with that magic number, around a truncated code object.
func module(number uint16, words ...uint32) []byte {
	b := append(binary.LittleEndian.AppendUint16(nil, number), newline...)
	for _, w := range words {
		b = binary.LittleEndian.AppendUint32(b, w)
	}
	return append(b, "\xe3\x00\x00\x00\x00\x01\x00\x00\x00"...)
}

// list shows spans as "name at+length: text".
func list(b []byte, spans []span.Span) []string {
	var out []string
	for _, s := range spans {
		text := fmt.Sprintf("%s %d+%d", s.Name, s.Offset, s.Length)
		if s.Read != nil {
			text += ": " + s.Read(b[s.Offset:s.Offset+s.Length]).Text
		}
		out = append(out, text)
	}
	return out
}

func spansOf(t testing.TB, b []byte) []span.Span {
	t.Helper()
	spans, err := Spans(bytes.NewReader(b), int64(len(b)))
	if err != nil {
		t.Fatal(err)
	}
	return spans
}

func TestSpansOfEveryHeader(t *testing.T) {
	for _, c := range []struct {
		name string
		in   []byte
		want []string
	}{
		{"3.2", module(3180, 1700000000),
			[]string{"pyc.magic 0+4: CPython 3.2 (3180)", "pyc.source.time 4+4: 2023-11-14T22:13:20Z", "pyc.code 8+9"}},
		{"3.6", module(3379, 1700000000, 27),
			[]string{"pyc.magic 0+4: CPython 3.6 (3379)", "pyc.source.time 4+4: 2023-11-14T22:13:20Z", "pyc.source.size 8+4: 27 bytes", "pyc.code 12+9"}},
		{"time", module(3495, 0, 1700000000, 27), []string{"pyc.magic 0+4: CPython 3.11 (3495)", "pyc.flags 4+4: by time and size of the source",
			"pyc.source.time 8+4: 2023-11-14T22:13:20Z", "pyc.source.size 12+4: 27 bytes", "pyc.code 16+9"}},
		{"checked hash", module(3571, 3, 1, 2), []string{"pyc.magic 0+4: CPython 3.13 (3571)", "pyc.flags 4+4: by hash of the source, checked",
			"pyc.source.hash 8+8: 0100000002000000", "pyc.code 16+9"}},
		{"unchecked hash", module(3627, 1, 1, 2), []string{"pyc.magic 0+4: CPython 3.14 (3627)", "pyc.flags 4+4: by hash of the source, not checked",
			"pyc.source.hash 8+8: 0100000002000000", "pyc.code 16+9"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			if !Is(c.in) {
				t.Fatal("not recognised")
			}
			if diff := cmp.Diff(c.want, list(c.in, spansOf(t, c.in))); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestWhatIsNone(t *testing.T) {
	flipped := module(3495, 0, 0, 0)
	flipped[16] = 'x'
	for name, b := range map[string][]byte{
		"empty":                nil,
		"text":                 []byte("o\r\r\nand so on, for a while"),
		"a number of 2.7":      module(62211, 1700000000),
		"unknown flags":        module(3495, 4, 0, 0),
		"checked, but no hash": module(3495, 2, 0, 0),
		"cut off":              module(3495, 0, 0, 0)[:16],
		"no code":              flipped,
	} {
		if Is(b) {
			t.Errorf("%s is taken for a module", name)
		}
		if _, err := Spans(bytes.NewReader(b), int64(len(b))); !errors.Is(err, ErrFormat) {
			t.Errorf("%s: error %v", name, err)
		}
	}
}

func TestKinds(t *testing.T) {
	want := map[string]span.Kind{"pyc.magic": span.Fixed, "pyc.flags": span.Fixed, "pyc.source.time": span.Stamp,
		"pyc.source.size": span.Fixed, "pyc.source.hash": span.Fixed, "pyc.code": span.Code}
	for _, b := range [][]byte{module(3495, 0, 1, 2), module(3495, 1, 1, 2), module(3379, 1, 2)} {
		for _, s := range spansOf(t, b) {
			if s.Kind != want[s.Name] {
				t.Errorf("%s is of kind %d; want %d", s.Name, s.Kind, want[s.Name])
			}
		}
	}
}

func TestTheTimeIsOneMomentInUTC(t *testing.T) {
	v := sourceTime([]byte{0x00, 0xf1, 0x53, 0x65})
	at := time.Unix(1700000000, 0)
	if !v.From.Equal(at) || !v.To.Equal(at) || !v.Zoned {
		t.Errorf("%+v", v)
	}
}

// simple is the output of CPython 3.11 for "x = 1" in m.py, with a known time.
const simple = "a70d0d0a0000000000f1536506000000e30000000000000000000000000100000000000000f30a00" +
	"0000970064005a00640153002902e9010000004e2901da0178a900f300000000fa046d2e7079fa08" +
	"3c6d6f64756c653e720700000001000000730e000000f003010101d8040580018001800172050000" +
	"00"

func TestAModuleOfCPython(t *testing.T) {
	b, err := hex.DecodeString(simple)
	if err != nil {
		t.Fatal(err)
	}
	want := []string{"pyc.magic 0+4: CPython 3.11 (3495)", "pyc.flags 4+4: by time and size of the source",
		"pyc.source.time 8+4: 2023-11-14T22:13:20Z", "pyc.source.size 12+4: 6 bytes", fmt.Sprintf("pyc.code 16+%d", len(b)-16)}
	if diff := cmp.Diff(want, list(b, spansOf(t, b))); diff != "" {
		t.Error(diff)
	}
}

func TestModulesOfThePythonHere(t *testing.T) {
	python, err := exec.LookPath("python3")
	if err != nil {
		t.Skip("no python3 here: install Python to read what it compiles")
	}
	dir := t.TempDir()
	src := filepath.Join(dir, "m.py")
	if err := os.WriteFile(src, []byte("def f(x):\n    return x + 3\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	when := time.Unix(1700000000, 0)
	if err := os.Chtimes(src, when, when); err != nil {
		t.Fatal(err)
	}
	for mode, want := range map[string]string{"TIMESTAMP": "pyc.source.time 8+4: 2023-11-14T22:13:20Z", "CHECKED_HASH": "pyc.source.hash 8+8", "UNCHECKED_HASH": "pyc.source.hash 8+8"} {
		out := filepath.Join(dir, mode+".pyc")
		code := fmt.Sprintf("import sys, py_compile as p; v=sys.version_info; p.compile(%q, cfile=%q, doraise=True, invalidation_mode=p.PycInvalidationMode.%s); print('CPython %%d.%%d (' %% v[:2])", src, out, mode)
		cmd := exec.Command(python, "-c", code)
		cmd.Env = append(os.Environ(), "SOURCE_DATE_EPOCH=")
		said, err := cmd.CombinedOutput()
		if err != nil {
			t.Skipf("python3 cannot compile here: %s; install CPython 3.7 or later", said)
		}
		b, err := os.ReadFile(out)
		if err != nil {
			t.Fatal(err)
		}
		got := list(b, spansOf(t, b))
		if len(got) < 4 || !strings.HasPrefix(got[0], "pyc.magic 0+4: "+strings.TrimSpace(string(said))) || !strings.HasPrefix(got[2], want) {
			t.Errorf("%s: %q", mode, got)
		}
	}
}

func FuzzSpans(f *testing.F) {
	f.Add(module(3180, 1))
	f.Add(module(3379, 1, 2))
	f.Add(module(3495, 0, 1, 2))
	f.Add(module(3495, 3, 1, 2))
	f.Fuzz(func(t *testing.T, b []byte) {
		spans, err := Spans(bytes.NewReader(b), int64(len(b)))
		if (err == nil) != Is(b) {
			t.Fatalf("Is says %v, and the error is %v", Is(b), err)
		}
		at := int64(0)
		for _, s := range spans {
			if s.Offset != at || s.Length <= 0 {
				t.Fatalf("%+v does not begin at %d", s, at)
			}
			if at += s.Length; s.Read != nil {
				s.Read(b[s.Offset:at])
			}
		}
		if err == nil && at != int64(len(b)) {
			t.Fatalf("%d bytes of %d are named", at, len(b))
		}
	})
}
