// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

package ar

import (
	"encoding/binary"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"testing"

	"github.com/zfarm/zfarm/orchestrator/compare/format/container"
	"github.com/zfarm/zfarm/orchestrator/compare/format/container/containertest"
)

// hostile are archives made to use up memory.
func hostile() map[string]containertest.Virtual {
	bytesOf := func(s string) containertest.Part { return containertest.Bytes([]byte(s)) }
	repeated := func(n int64, f func(i int64) part) containertest.Part {
		size := len(f(0).header() + f(0).before + f(0).content)
		return containertest.Part{Size: int64(size), Times: n, Make: func(i int64) []byte { p := f(i); return []byte(p.header() + p.before + p.content) }}
	}
	long := strings.Repeat("n", maxName)
	table := part{name: "//", content: strings.Repeat("x", maxName-2) + "/\n", blank: true}
	const many = 10_000_000
	symbols := func(n int64) string { return fmt.Sprintf("%-10d`\n", n) }
	return map[string]containertest.Virtual{
		"members": {bytesOf(magic), repeated(many, func(i int64) part {
			return part{name: fmt.Sprintf("%07d/", i), mtime: fmt.Sprint(1e9 + i), uid: fmt.Sprint(i % 1e6), gid: fmt.Sprint(i % 1e6), mode: fmt.Sprintf("%o", i)}
		})},
		"odd headers": {bytesOf(magic), repeated(many, func(i int64) part {
			return part{name: fmt.Sprintf("%07d/", i), mtime: "\x00\x01\x02\x03\x04\x05\x06\x07\x08\x0e\x0f\x10", uid: "\x01\x02\x03\x04\x05\x06", gid: "\x01\x02\x03\x04\x05\x06", mode: "\x01\x02\x03\x04\x05\x06\x07\x08"}
		})},
		"long names":       {bytesOf(magic), repeated(10_000, func(int64) part { return part{name: fmt.Sprint("#1/", maxName), before: long} })},
		"one name shared":  {bytesOf(magic + table.header() + table.content), repeated(many, func(int64) part { return part{name: "/0"} })},
		"a table of names": {bytesOf(magic + fmt.Sprintf("%-48s", "//") + symbols(1<<30)), containertest.Zeros(1 << 30)},
		"symbols":          {bytesOf(magic + fmt.Sprintf("%-48s", "/") + symbols(1<<30) + "\x0c\x00\x00\x00"), containertest.Zeros(1<<30 - 4), bytesOf(strings.Repeat("\x00", 1<<16-4))},
	}
}

func TestHostileArchivesTakeLittleMemory(t *testing.T) {
	for name, v := range hostile() {
		t.Run(name, func(t *testing.T) {
			_, err := containertest.Open(t, v, v.Size(), container.Limits{}, containertest.Most, Open)
			if name == "symbols" {
				if err != nil {
					t.Fatal(err)
				}
				_, err = symbolsWatched(t, v)
			}
			if !errors.Is(err, container.ErrFormat) || !strings.Contains(err.Error(), "raise the limit") {
				t.Errorf("error %v", err)
			}
		})
	}
}

// symbolsWatched reads a symbol table and checks the memory in use.
func symbolsWatched(t *testing.T, v containertest.Virtual) (*Table, error) {
	t.Helper()
	w := containertest.NewWatch(v)
	table, err := Symbols(w, v.Size(), container.Limits{})
	if w.Look(); w.Peak() > containertest.Most {
		t.Errorf("%d bytes of memory in use; no more than %d are allowed (error %v)", w.Peak(), containertest.Most, err)
	}
	runtime.KeepAlive(table)
	return table, err
}

// TestSymbolTablesTakeLittleMemory reads the smallest possible symbols, as many as
// allowed and more.
func TestSymbolTablesTakeLittleMemory(t *testing.T) {
	for _, n := range []int64{500_000, 1_500_000} {
		head := binary.BigEndian.AppendUint32([]byte(magic+fmt.Sprintf("%-48s%-10d`\n", "/", 4+5*n)), uint32(n))
		v := containertest.Virtual{containertest.Bytes(head), {Size: 5, Times: n, Make: func(int64) []byte { return make([]byte, 5) }}}
		table, err := symbolsWatched(t, v)
		switch {
		case n < 1_000_000 && (err != nil || len(table.Symbols) != int(n)):
			t.Errorf("%d symbols: error %v", n, err)
		case n > 1_000_000 && (err == nil || !strings.Contains(err.Error(), "raise the limit")):
			t.Errorf("%d symbols: error %v", n, err)
		}
	}
}

func TestManyMembersAreRead(t *testing.T) {
	const n = 40_000
	v := containertest.Virtual{containertest.Bytes([]byte(magic)), {Size: headerSize, Times: n, Make: func(i int64) []byte {
		return []byte(part{name: fmt.Sprintf("%07d.o/", i)}.header())
	}}}
	c, err := containertest.Open(t, v, v.Size(), container.Limits{}, containertest.Most, Open)
	if err != nil || len(c.Entries) != n {
		t.Errorf("error %v", err)
	}
}
