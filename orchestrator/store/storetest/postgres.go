// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

package storetest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

const (
	install = "PostgreSQL's initdb and postgres were not found: install them (Debian: apt-get install postgresql; macOS: brew install postgresql) to run this test on them"
	// starting bounds how long a server may take to start or stop.
	starting = time.Minute
)

// Server is a PostgreSQL server for tests, with its own cluster.
type Server struct {
	dir, programs string
	// durable syncs to the disk, as a server in use does.
	durable   bool
	port      int
	fixed     bool // it was started once, so a test may know the port
	account   *syscall.SysProcAttr
	process   *exec.Cmd
	output    *bytes.Buffer
	ended     chan struct{}
	databases atomic.Int64
	alive     *os.File
}

// shared is the server that all tests of a program share, each with its own database:
// making a cluster takes longer than most tests. It ends with the program (see
// Server.watch). It does not sync to the disk.
var shared = sync.OnceValues(func() (*Server, error) { return start(false) })

// template makes the database that the tests' databases are copies of.
var template = sync.OnceValue(func() error {
	server, err := shared()
	if err != nil {
		return err
	}
	return errors.Join(server.exec("CREATE DATABASE "+migrated), migrate(server.url(migrated)))
})

// migrated is the name of the database that has all tables and no rows.
const migrated = "migrated"

// Database returns the address of a new, migrated database on the server that all tests
// of this program share. It does not survive a power cut. Without PostgreSQL it skips
// the test.
func Database(tb testing.TB) string {
	tb.Helper()
	server := use(tb, shared)
	if err := template(); err != nil {
		tb.Fatal(err)
	}
	return server.database(tb, "TEMPLATE "+migrated)
}

// EmptyDatabase is Database without tables.
func EmptyDatabase(tb testing.TB) string {
	tb.Helper()
	return use(tb, shared).database(tb, "")
}

// Postgres starts a server for this test alone, to restart and kill it, and returns the
// address of a database on it, which has no tables. The server syncs to the disk.
// Without PostgreSQL it skips the test.
func Postgres(tb testing.TB) (url string, server *Server) {
	tb.Helper()
	server = use(tb, func() (*Server, error) { return start(true) })
	tb.Cleanup(func() {
		if err := errors.Join(server.stop(syscall.SIGINT), os.RemoveAll(server.dir)); err != nil {
			tb.Error(err)
		}
	})
	return server.database(tb, ""), server
}

// HavePostgres reports whether PostgreSQL is installed: without it, the functions of this
// file skip their test.
func HavePostgres() bool {
	_, err := shared()
	return !errors.Is(err, exec.ErrNotFound)
}

// use skips the test if PostgreSQL is not installed.
func use(tb testing.TB, get func() (*Server, error)) *Server {
	tb.Helper()
	server, err := get()
	if errors.Is(err, exec.ErrNotFound) {
		tb.Skip(install)
	}
	if err != nil {
		tb.Fatal(err)
	}
	return server
}

// Restart stops the server as an administrator does, which rolls back its clients'
// transactions, and starts it again. It starts a killed server.
func (s *Server) Restart() error {
	return errors.Join(s.stop(syscall.SIGINT), s.launch())
}

// Kill ends the server as a power cut does, and does not restart it.
func (s *Server) Kill() error { return s.stop(syscall.SIGKILL) }

func (s *Server) url(name string) string {
	return fmt.Sprintf("postgres://zfarm@127.0.0.1:%d/%s?sslmode=disable", s.port, name)
}

// database makes a database for a test and drops it at its end.
func (s *Server) database(tb testing.TB, options string) string {
	tb.Helper()
	name := fmt.Sprintf("farm%d", s.databases.Add(1))
	if err := s.exec("CREATE DATABASE " + name + " " + options); err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		if err := s.exec("DROP DATABASE IF EXISTS " + name + " WITH (FORCE)"); err != nil && s.running() {
			tb.Error(err)
		}
	})
	return s.url(name)
}

func (s *Server) exec(sql string) error {
	ctx, cancel := context.WithTimeout(context.Background(), starting)
	defer cancel()
	conn, err := pgx.Connect(ctx, s.url("postgres"))
	if err != nil {
		return err
	}
	_, err = conn.Exec(ctx, sql)
	return errors.Join(err, conn.Close(ctx))
}

func (s *Server) running() bool {
	select {
	case <-s.ended:
		return false
	default:
		return true
	}
}

// start makes a cluster in a new folder and launches a server on it.
func start(durable bool) (*Server, error) {
	programs, err := find()
	if err != nil {
		return nil, err
	}
	// Not a test's own folder: it outlives the test, and another account must
	// reach it.
	dir, err := os.MkdirTemp("", "zfarm-pg-")
	if err != nil {
		return nil, err
	}
	s := &Server{dir: dir, programs: programs, durable: durable}
	if err := s.prepare(); err != nil {
		return nil, errors.Join(err, os.RemoveAll(dir))
	}
	if err := errors.Join(s.launch(), s.watch()); err != nil {
		return nil, errors.Join(err, s.stop(syscall.SIGKILL), os.RemoveAll(dir))
	}
	return s, nil
}

// find returns the folder of initdb and postgres. Debian keeps them out of PATH.
func find() (string, error) {
	dirs := filepath.SplitList(os.Getenv("PATH"))
	versions, err := filepath.Glob("/usr/lib/postgresql/*/bin")
	if err != nil {
		return "", err
	}
	for _, dir := range append(append(dirs, "/usr/local/bin"), versions...) {
		_, initdb := exec.LookPath(filepath.Join(dir, "initdb"))
		_, postgres := exec.LookPath(filepath.Join(dir, "postgres"))
		if initdb == nil && postgres == nil && filepath.IsAbs(dir) {
			return dir, nil
		}
	}
	return "", fmt.Errorf("postgres: %w", exec.ErrNotFound)
}

func (s *Server) prepare() error {
	uid, gid, err := account()
	if err != nil {
		return err
	}
	s.account = &syscall.SysProcAttr{}
	if uid >= 0 {
		s.account.Credential = &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}
		if err := os.Chown(s.dir, uid, gid); err != nil {
			return err
		}
	}
	// Only the tests use the cluster: it need not survive a power cut while it is made.
	initdb := exec.Command(filepath.Join(s.programs, "initdb"), "-D", s.data(), "-U", "zfarm", "-A", "trust", "-E", "UTF8", "--locale=C", "-N")
	initdb.Dir, initdb.SysProcAttr = s.dir, s.account
	if out, err := initdb.CombinedOutput(); err != nil {
		return fmt.Errorf("running initdb: %w\n%s", err, out)
	}
	return nil
}

func (s *Server) data() string { return filepath.Join(s.dir, "data") }

// launch starts the server on a free port, or on that of its first start, and waits
// until it answers.
func (s *Server) launch() error {
	// The remains of a killed server take a moment to go; until then the next one
	// refuses to start. And a port that was free may be taken a moment later.
	for deadline := time.Now().Add(starting); ; {
		err := s.choosePort()
		if err == nil {
			err = s.try(deadline)
			s.fixed = s.fixed || err == nil
		}
		if err == nil || time.Now().After(deadline) {
			return err
		}
		<-time.After(50 * time.Millisecond)
	}
}

func (s *Server) choosePort() error {
	if s.fixed {
		return nil
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	s.port = l.Addr().(*net.TCPAddr).Port
	return l.Close()
}

func (s *Server) try(deadline time.Time) error {
	args := []string{
		"-D", s.data(), "-k", s.dir, "-c", "listen_addresses=127.0.0.1", "-c", "port=" + strconv.Itoa(s.port), "-c", "max_connections=200",
	}
	if !s.durable {
		args = append(args, "-c", "fsync=off", "-c", "synchronous_commit=off", "-c", "full_page_writes=off")
	}
	s.output = &bytes.Buffer{}
	s.process = exec.Command(filepath.Join(s.programs, "postgres"), args...)
	s.process.Dir, s.process.SysProcAttr = s.dir, s.account
	s.process.Stdout, s.process.Stderr = s.output, s.output
	if err := s.process.Start(); err != nil {
		return err
	}
	s.ended = make(chan struct{})
	go func(process *exec.Cmd, ended chan struct{}) {
		_ = process.Wait() // how it ended is of no interest; that it did is
		close(ended)
	}(s.process, s.ended)
	for time.Now().Before(deadline) {
		if s.answers() {
			return nil
		}
		select {
		case <-s.ended:
			return fmt.Errorf("postgres ended at once:\n%s", s.output)
		case <-time.After(20 * time.Millisecond):
		}
	}
	return errors.New("postgres does not answer")
}

// answers reports whether this server answers, and not another program's on the
// same port.
func (s *Server) answers() bool {
	ctx, cancel := context.WithTimeout(context.Background(), starting)
	defer cancel()
	conn, err := pgx.Connect(ctx, s.url("postgres"))
	if err != nil {
		return false
	}
	defer func() { _ = conn.Close(ctx) }()
	var folder string
	err = conn.QueryRow(ctx, "SHOW data_directory").Scan(&folder)
	return err == nil && folder == s.data()
}

// stop ends the server and waits for it.
func (s *Server) stop(signal syscall.Signal) error {
	if s.process == nil || s.process.Process == nil || !s.running() {
		return nil
	}
	if err := s.process.Process.Signal(signal); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return err
	}
	select {
	case <-s.ended:
		return nil
	case <-time.After(starting):
		return errors.Join(errors.New("postgres does not stop; it was killed"), s.process.Process.Kill())
	}
}

// watch starts a shell that stops the server and removes its folder when this program
// has ended, however that happens: the shell's standard input ends with it.
func (s *Server) watch() error {
	const script = `cat >/dev/null
pid=$(head -n 1 data/postmaster.pid 2>/dev/null) && kill -QUIT "$pid" 2>/dev/null
n=0
while [ -n "$pid" ] && kill -0 "$pid" 2>/dev/null && [ $n -lt 100 ]; do sleep 0.1; n=$((n+1)); done
cd / && rm -rf "$1"`
	read, write, err := os.Pipe()
	if err != nil {
		return err
	}
	shell := exec.Command("sh", "-c", script, "sh", s.dir)
	shell.Dir, shell.Stdin = s.dir, read
	if err := errors.Join(shell.Start(), read.Close()); err != nil {
		return err
	}
	// Our end of the pipe stays open for as long as this program lives.
	s.alive = write
	return nil
}

// account returns the account that the server must run as: PostgreSQL refuses to run as
// root. -1 is the account that runs the tests.
func account() (uid, gid int, err error) {
	if os.Getuid() != 0 {
		return -1, -1, nil
	}
	for _, name := range []string{"postgres", "nobody"} {
		u, err := user.Lookup(name)
		if err != nil {
			continue
		}
		uid, bad := strconv.Atoi(u.Uid)
		gid, worse := strconv.Atoi(u.Gid)
		return uid, gid, errors.Join(bad, worse)
	}
	return 0, 0, errors.New("PostgreSQL does not run as root, and there is no account \"postgres\" or \"nobody\": run the tests as another user")
}

// Own makes the server's account the owner of a folder.
func (s *Server) Own(dir string) error {
	if s.account.Credential == nil {
		return nil
	}
	return os.Chown(dir, int(s.account.Credential.Uid), int(s.account.Credential.Gid))
}
