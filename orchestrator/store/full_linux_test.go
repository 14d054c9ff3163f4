// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

package store_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/zfarm/zfarm/orchestrator/store"
	"github.com/zfarm/zfarm/orchestrator/store/storetest"
)

// small mounts a small file system.
func small(t *testing.T, size string) string {
	t.Helper()
	// Not the test's own folder: a database server must reach it.
	dir, err := os.MkdirTemp("", "zfarm-full-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size="+size); err != nil {
		t.Skipf("a small file system cannot be mounted (%v): run as root, where mounting is allowed", err)
	}
	t.Cleanup(func() {
		// A process that is just being started elsewhere has all files open for a moment.
		tick := time.NewTicker(20 * time.Millisecond)
		defer tick.Stop()
		err := syscall.Unmount(dir, 0)
		for n := 0; errors.Is(err, syscall.EBUSY) && n < 500; n++ {
			<-tick.C
			err = syscall.Unmount(dir, 0)
		}
		if err != nil {
			t.Error(err)
		}
	})
	return dir
}

func grow(t *testing.T, dir, size string) {
	t.Helper()
	if err := syscall.Mount("tmpfs", dir, "tmpfs", syscall.MS_REMOUNT, "size="+size); err != nil {
		t.Fatal(err)
	}
}

func TestFullDisk(t *testing.T) {
	t.Parallel()
	dir := small(t, "3m")
	s := storetest.OpenDurable(t, "sqlite:"+filepath.Join(dir, "farm.db"), store.Options{Node: "one"})
	fillUp(t, s)
	grow(t, dir, "8m")
	update(t, s, big(1000))
}

func TestFullDiskOfPostgres(t *testing.T) {
	t.Parallel()
	url, server := storetest.Postgres(t)
	dir := small(t, "24m")
	if err := server.Own(dir); err != nil {
		t.Fatal(err)
	}
	db := raw(t, url)
	run(t, db, "CREATE TABLESPACE small LOCATION '"+dir+"'")
	run(t, db, "CREATE DATABASE small TABLESPACE small")
	t.Cleanup(func() { // before the file system goes
		if err := server.Kill(); err != nil {
			t.Error(err)
		}
	})
	base, query, _ := strings.Cut(url, "?")
	s := storetest.OpenDurable(t, base[:strings.LastIndex(base, "/")]+"/small?"+query, store.Options{Node: "one"})
	fillUp(t, s)
	grow(t, dir, "64m")
	update(t, s, big(1000))
}
