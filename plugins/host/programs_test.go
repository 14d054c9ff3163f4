// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

package host

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/hashicorp/go-plugin"

	"github.com/zfarm/zfarm/attest/digest"
)

// TestChangedProgramIsReadAgain changes a program that was checked in every way that
// leaves its name, and in most its size and time, as they were.
func TestChangedProgramIsReadAgain(t *testing.T) {
	const right, wrong = "#!/bin/sh\nexit 0\n", "#!/bin/sh\nexit 1\n"
	write := func(t *testing.T, path, text string) {
		t.Helper()
		if err := os.WriteFile(path, []byte(text), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for name, change := range map[string]func(t *testing.T, path string){
		"written": func(t *testing.T, path string) { write(t, path, wrong) },
		"longer":  func(t *testing.T, path string) { write(t, path, right+"#") },
		"replaced": func(t *testing.T, path string) {
			write(t, path+".new", wrong)
			if err := os.Rename(path+".new", path); err != nil {
				t.Fatal(err)
			}
		},
		"link": func(t *testing.T, path string) {
			write(t, path+".new", wrong)
			if err := errors.Join(os.Remove(path), os.Symlink(path+".new", path)); err != nil {
				t.Fatal(err)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			e := Entry{Name: "x", Path: filepath.Join(t.TempDir(), "x"), SHA256: digest.Of([]byte(right))}
			write(t, e.Path, right)
			info, err := os.Stat(e.Path)
			if err != nil {
				t.Fatal(err)
			}
			var p programs
			if err := p.check(e); err != nil {
				t.Fatal(err)
			}
			if _, known := identify(e.Path); known && len(p.checked) != 1 {
				t.Fatal("a checked program is read again each time")
			}
			if err := p.check(e); err != nil {
				t.Errorf("unchanged: %v", err)
			}
			time.Sleep(20 * time.Millisecond) // more than a tick of the kernel's clock
			change(t, e.Path)
			if err := os.Chtimes(e.Path, info.ModTime(), info.ModTime()); err != nil {
				t.Fatal(err)
			}
			if err := p.check(e); !errors.Is(err, plugin.ErrChecksumsDoNotMatch) {
				t.Errorf("changed: %v", err)
			}
		})
	}
}

// TestYoungProgramIsReadAgain: a later change could have the same times.
func TestYoungProgramIsReadAgain(t *testing.T) {
	path := filepath.Join(t.TempDir(), "x")
	if err := os.WriteFile(path, nil, 0o755); err != nil {
		t.Fatal(err)
	}
	p := programs{settledAge: time.Hour}
	if err := p.check(Entry{Name: "x", Path: path, SHA256: digest.Of(nil)}); err != nil || len(p.checked) != 0 {
		t.Errorf("a file of now: %v, remembered %d", err, len(p.checked))
	}
}

// TestOtherPinIsNoMatch: what was checked against one digest says nothing of another.
func TestOtherPinIsNoMatch(t *testing.T) {
	path := filepath.Join(t.TempDir(), "x")
	if err := os.WriteFile(path, nil, 0o755); err != nil {
		t.Fatal(err)
	}
	var p programs
	e := Entry{Name: "x", Path: path, SHA256: digest.Of(nil)}
	if err := p.check(e); err != nil {
		t.Fatal(err)
	}
	e.SHA256 = digest.Of([]byte("other"))
	if err := p.check(e); !errors.Is(err, plugin.ErrChecksumsDoNotMatch) {
		t.Errorf("another pin: %v", err)
	}
}
