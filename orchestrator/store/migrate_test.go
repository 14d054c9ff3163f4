// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

package store_test

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sync/errgroup"

	"github.com/zfarm/zfarm/orchestrator/store"
	"github.com/zfarm/zfarm/orchestrator/store/storetest"
)

func unmigrated(t *testing.T, url string, o store.Options) *store.Store {
	t.Helper()
	s, err := store.Open(t.Context(), url, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

func TestSchema(t *testing.T) {
	t.Parallel()
	storetest.EachEmpty(t, func(t *testing.T, url string) {
		s := unmigrated(t, url, store.Options{})
		advised := func(err error, advice string) {
			t.Helper()
			if !errors.Is(err, store.ErrSchema) || !strings.Contains(err.Error(), advice) {
				t.Errorf("%v: want ErrSchema that says %q", err, advice)
			}
		}
		advised(s.Check(t.Context()), "zfarm db migrate")
		_, err := s.Builds(t.Context(), store.Filter{})
		advised(err, "zfarm db migrate")
		if status, err := s.Status(t.Context()); err != nil || status.Schema != 0 || status.Wanted < 1 {
			t.Errorf("%+v, %v", status, err)
		}
		for range 2 {
			if err := s.Migrate(t.Context()); err != nil {
				t.Fatal(err)
			}
			if err := s.Check(t.Context()); err != nil {
				t.Error(err)
			}
		}
		create(t, s, sample("b1"))
		wake(t, s, store.Wake{Kind: store.Match})
		status, err := s.Status(t.Context())
		want := store.Status{Kind: status.Kind, Schema: status.Wanted, Wanted: status.Wanted, Builds: 1, Waiting: 1}
		if diff := cmp.Diff(want, status); diff != "" || err != nil {
			t.Errorf("%v (-want +have):\n%s", err, diff)
		}
		db := raw(t, url)
		run(t, db, "DELETE FROM river_migration WHERE version > 4")
		advised(s.Check(t.Context()), "zfarm db migrate")
		run(t, db, "INSERT INTO goose_db_version (version_id, is_applied) VALUES (99999, '1')")
		advised(s.Check(t.Context()), "newer than this program")
		advised(s.Migrate(t.Context()), "newer than this program")
	})
}

func TestMigrateFromTwoNodesAtOnce(t *testing.T) {
	t.Parallel()
	url := storetest.EmptyDatabase(t)
	var group errgroup.Group
	for range 4 {
		s := unmigrated(t, url, store.Options{})
		group.Go(func() error { return s.Migrate(t.Context()) })
	}
	if err := group.Wait(); err != nil {
		t.Fatal(err)
	}
	s := unmigrated(t, url, store.Options{})
	if err := s.Check(t.Context()); err != nil {
		t.Error(err)
	}
}

// TestOpenedByAnotherProcess is also that other process, if the environment says so.
func TestOpenedByAnotherProcess(t *testing.T) {
	const told = "STORE_TEST_OPEN"
	if url := os.Getenv(told); url != "" {
		s, err := store.Open(t.Context(), url, store.Options{})
		if err == nil {
			t.Fatal("opened", s.Close())
		}
		if !errors.Is(err, store.ErrInUse) {
			t.Fatal(err)
		}
		t.Log("refused:", err)
		return
	}
	url := storetest.SQLite(t)
	s := storetest.Open(t, url, store.Options{})
	for _, way := range []struct {
		name string
		try  func() string
	}{
		{"the same process", func() string {
			_, err := store.Open(t.Context(), url, store.Options{})
			if !errors.Is(err, store.ErrInUse) {
				t.Fatalf("%v, want ErrInUse", err)
			}
			return err.Error()
		}},
		{"another process", func() string {
			child := exec.Command(os.Args[0], "-test.run=^TestOpenedByAnotherProcess$", "-test.v")
			child.Env = append(os.Environ(), told+"="+url)
			out, err := child.CombinedOutput()
			if err != nil {
				t.Fatalf("%v\n%s", err, out)
			}
			return string(out)
		}},
	} {
		text := way.try()
		for _, want := range []string{strings.TrimPrefix(url, "sqlite:"), "process " + strconv.Itoa(os.Getpid())} {
			if !strings.Contains(text, want) {
				t.Errorf("%s: %q does not say %q", way.name, text, want)
			}
		}
	}
	shared := unmigrated(t, url, store.Options{Shared: true})
	if err := shared.Check(t.Context()); err != nil {
		t.Error(err)
	}
	if err := shared.Migrate(t.Context()); !errors.Is(err, store.ErrInUse) {
		t.Errorf("migrating under a process that serves: %v, want ErrInUse", err)
	}
	create(t, s, sample("b1"))
	if _, err := shared.Build(t.Context(), "b1"); err != nil {
		t.Error(err)
	}
}

func TestClosedDatabaseMayBeOpenedAgain(t *testing.T) {
	t.Parallel()
	url := storetest.EmptySQLite(t)
	for i := range 3 {
		s, err := store.Open(t.Context(), url, store.Options{})
		if err != nil {
			t.Fatal(err)
		}
		if err := errors.Join(s.Migrate(t.Context()), s.Close()); err != nil {
			t.Fatalf("round %d: %v", i, err)
		}
	}
}

func TestBackup(t *testing.T) {
	t.Parallel()
	url := storetest.SQLite(t)
	s := storetest.Open(t, url, store.Options{})
	create(t, s, sample("b0"), sample("b1"))
	file := filepath.Join(t.TempDir(), "farm.backup")
	if err := os.WriteFile(file, []byte("an older one"), 0o600); err != nil {
		t.Fatal(err)
	}
	var group errgroup.Group
	group.Go(func() error {
		for range 20 {
			if err := s.Update(t.Context(), count); err != nil {
				return err
			}
		}
		return nil
	})
	if err := s.Backup(t.Context(), file); err != nil {
		t.Fatal(err)
	}
	if err := group.Wait(); err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(file); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the backup's mode is %v (%v)", info.Mode(), err)
	}
	back := unmigrated(t, file, store.Options{Node: "one"})
	if err := back.Check(t.Context()); err != nil {
		t.Fatal(err)
	}
	want := finish(t, s, "b0")
	have := finish(t, back, "b0")
	if diff := cmp.Diff(want.State(), have.State()); diff != "" {
		t.Error(diff)
	}
	wake(t, back, store.Wake{Kind: store.Match})
	left, err := os.ReadDir(filepath.Dir(file))
	if err != nil {
		t.Fatal(err)
	}
	for _, entry := range left {
		if strings.HasPrefix(entry.Name(), ".zfarm-backup") {
			t.Errorf("%s was left behind", entry.Name())
		}
	}
}

func TestBackupOfPostgres(t *testing.T) {
	t.Parallel()
	s := storetest.Open(t, storetest.Database(t), store.Options{})
	if err := s.Backup(t.Context(), filepath.Join(t.TempDir(), "backup")); err == nil || !strings.Contains(err.Error(), "pg_dump") {
		t.Errorf("%v: want an error that names pg_dump", err)
	}
}

// TestFilesAreTheOwnersAlone: the database contains hashes of tokens and what every
// recipe said.
func TestFilesAreTheOwnersAlone(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "farm.db")
	db := storetest.Open(t, "sqlite:"+path, store.Options{Node: "one"})
	if err := db.Update(t.Context(), func(context.Context, *store.Tx) error { return nil }); err != nil {
		t.Fatal(err)
	}
	files, err := filepath.Glob(path + "*")
	if err != nil || len(files) < 2 {
		t.Fatalf("files of the database: %v, %v", files, err)
	}
	for _, f := range files {
		if info, err := os.Stat(f); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s has mode %v, %v; want 0600", f, info.Mode(), err)
		}
	}
}
