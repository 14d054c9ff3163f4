// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/zfarm/zfarm/orchestrator"
	"github.com/zfarm/zfarm/orchestrator/store"
	"github.com/zfarm/zfarm/orchestrator/store/storetest"
	"github.com/zfarm/zfarm/workers/sshtest"
)

// longest bounds the waits in a script of a whole farm.
const longest = 40 * time.Minute

// whole is a farm of real parts; a script can make it lose each.
type whole struct {
	t       *testing.T
	dir     string
	ports   []string
	servers []*sshtest.Server
	away    map[int]bool
	former  []*growing // logs of orchestrators that were ended
	cluster *storetest.Server
	nodes   map[string]*wholeNode
	begun   int
	token   string
}

type wholeNode struct {
	cmd     *exec.Cmd
	ended   chan error
	log     *growing
	address string
}

// TestWholeFarmOnPostgres builds every shipped port while each part of a farm is
// lost once.
func TestWholeFarmOnPostgres(t *testing.T) {
	long(t)
	sources := mirror(t)
	url, cluster := storetest.Postgres(t)
	w := newWhole(t, url, sources, 4, shippedPorts(t))
	w.cluster = cluster
	w.run("postgres.txtar")
}

// TestSmallFarm loses the parts of a farm as TestWholeFarmOnPostgres does, on the other
// database and with ports that take seconds and need each other: what real ports add
// is seen there.
func TestSmallFarm(t *testing.T) {
	long(t)
	t.Parallel()
	f := &sshFarm{t: t, dir: t.TempDir()}
	source, sum := tarOf(t, map[string]string{"source-1.0/file": "x"})
	f.write("mirror/source-1.0.tar", source)
	var ports []string
	for _, port := range []struct{ name, needs string }{{"one", ""}, {"two", ""}, {"three", `need "one" {}`}, {"four", `need "three" {}`}} {
		ports = append(ports, filepath.Dir(f.write(port.name+"/recipe.hcl", scriptPort(port.name, sum, port.needs+`
  build "script" {
    script  = "sleep 4"
    install = "mkdir -p \"$DESTDIR$PREFIX\" && cp file \"$DESTDIR$PREFIX/file\""
  }`))))
	}
	newWhole(t, "sqlite:farm.db", filepath.Join(f.dir, "mirror"), 4, ports).run("sqlite.txtar")
}

// shippedPorts returns the folders of all shipped ports.
func shippedPorts(t *testing.T) (ports []string) {
	t.Helper()
	all, err := filepath.Glob("../../recipes/ports/*/recipe.hcl")
	if err != nil || len(all) == 0 {
		t.Fatalf("looking for the shipped ports: %v, %v", all, err)
	}
	for _, file := range all {
		abs, err := filepath.Abs(filepath.Dir(file))
		if err != nil {
			t.Fatal(err)
		}
		ports = append(ports, abs)
	}
	return ports
}

// newWhole prepares workers and the files of a farm that builds those ports.
func newWhole(t *testing.T, database, sources string, workers int, ports []string) *whole {
	t.Helper()
	w := &whole{t: t, dir: t.TempDir(), ports: ports, away: map[int]bool{}, nodes: map[string]*wholeNode{}}
	f := newFarm(t, workers)
	w.servers = f.servers
	var b strings.Builder
	fmt.Fprintf(&b, "signing {\n  key = %q\n  password_file = %q\n}\n\n", filepath.Join(f.dir, "farm.key"), f.write("password", "correct horse\n"))
	fmt.Fprintf(&b, "scheduling {\n  patience = \"30s\"\n}\n\n")
	for i, s := range f.servers {
		c := s.Config()
		fmt.Fprintf(&b, "worker \"w%d\" {\n  address = \"ssh://%s@%s%s/farm\"\n  known_hosts = %q\n  identity = [%q]\n  lease = \"2m\"\n}\n\n",
			i+1, c.User, c.Address, s.Dir(), f.knownHosts, c.IdentityFiles[0])
	}
	if err := writeSharedKey(filepath.Join(f.dir, "farm")); err != nil {
		t.Fatal(err)
	}
	for _, node := range []string{"one", "two", "second"} {
		text := fmt.Sprintf("farm \"whole\" {\n  database = %q\n  listen = \"127.0.0.1:0\"\n  mirrors = [%q]\n  offline = true\n}\n\n%s", database, sources, b.String())
		if err := os.WriteFile(filepath.Join(w.dir, "farm-"+node+".hcl"), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	t.Cleanup(w.stop)
	return w
}

func (w *whole) stop() {
	for name, n := range w.nodes {
		n.cmd.Process.Kill() //nolint:errcheck // it may have ended
		<-n.ended            //nolint:errcheck // it was killed
		if w.t.Failed() {
			w.t.Logf("log of %s:\n%s", name, tailOf(n.log.String(), 60))
		}
	}
	for _, log := range w.former {
		if failed := tailOf(log.String(), 0); failed != "" && w.t.Failed() {
			w.t.Logf("what failed under one that was ended:\n%s", failed)
		}
	}
}

// tailOf returns the last lines of a log, and before them what failed.
func tailOf(text string, lines int) string {
	var kept, failed []string
	for line := range strings.Lines(text) {
		if strings.Contains(line, "msg=request") {
			continue
		}
		if kept = append(kept, line); len(kept) > lines {
			if strings.Contains(kept[0], "to=failed") {
				failed = append(failed, kept[0])
			}
			kept = kept[1:]
		}
	}
	return strings.Join(failed, "") + strings.Join(kept, "")
}

func (w *whole) run(script string) {
	w.t.Helper()
	command := func(do func(ts *testscript.TestScript, args []string)) func(*testscript.TestScript, bool, []string) {
		return func(ts *testscript.TestScript, neg bool, args []string) {
			if neg {
				ts.Fatalf("this command is not to be negated")
			}
			do(ts, args)
		}
	}
	testscript.Run(w.t, testscript.Params{
		Files:               []string{filepath.Join("testdata", "whole", script)},
		RequireExplicitExec: true,
		Setup: func(e *testscript.Env) error {
			e.Cd = w.dir
			e.Setenv("HOME", w.dir)
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"node": command(w.node), "postgres": command(w.postgres), "worker": command(w.worker),
			"await": command(w.await), "sound": command(w.sound), "submit": command(w.submit),
		},
	})
}

// submit submits every port.
func (w *whole) submit(ts *testscript.TestScript, _ []string) {
	ts.Check(ts.Exec("zfarm", append([]string{"submit"}, w.ports...)...))
}

// node start|stop|kill NAME serves the farm, stops it as SIGTERM does, or kills it.
func (w *whole) node(ts *testscript.TestScript, args []string) {
	if len(args) != 2 {
		ts.Fatalf("usage: node start|stop|kill NAME")
	}
	name := args[1]
	switch args[0] {
	case "start":
		w.startNode(ts, name)
	case "stop":
		w.endNode(ts, name, syscall.SIGTERM, "exit status 0")
	case "kill":
		w.endNode(ts, name, syscall.SIGKILL, "signal: killed")
	default:
		ts.Fatalf("unknown: node %s", args[0])
	}
	for _, n := range w.nodes {
		ts.Setenv("ZFARM_SERVER", "http://"+n.address)
	}
	ts.Setenv("ZFARM_TOKEN", w.token)
}

func (w *whole) startNode(ts *testscript.TestScript, name string) {
	w.begun++
	file := filepath.Join(w.dir, "farm-"+name+".hcl")
	n := &wholeNode{cmd: exec.Command(os.Args[0], "serve", "--farm", file, "--node", fmt.Sprintf("%s-%d", name, w.begun)), ended: make(chan error, 1), log: &growing{}}
	out := &growing{}
	n.cmd.Env = append(os.Environ(), asProgram+"=1", "HOME="+w.dir)
	n.cmd.Stdout, n.cmd.Stderr = out, n.log
	ts.Check(n.cmd.Start())
	go func() { n.ended <- n.cmd.Wait() }()
	w.until(ts, "orchestrator "+name+" to be ready", func() bool {
		select {
		case err := <-n.ended:
			ts.Fatalf("orchestrator %s ended: %v\n%s", name, err, n.log)
		default:
		}
		_, n.address, _ = strings.Cut(strings.TrimSpace(out.String()), "http://")
		if _, _, err := net.SplitHostPort(n.address); err != nil {
			return false
		}
		resp, err := http.Get("http://" + n.address + "/readyz")
		return err == nil && resp.Body.Close() == nil && resp.StatusCode == http.StatusOK
	})
	w.nodes[name] = n
	if w.token == "" {
		ts.Check(ts.Exec("zfarm", "token", "add", "--farm", file, "--name", "root", "--role", "admin"))
		w.token = strings.TrimSpace(ts.ReadFile("stdout"))
	}
}

func (w *whole) endNode(ts *testscript.TestScript, name string, with os.Signal, want string) {
	n := w.nodes[name]
	if n == nil {
		ts.Fatalf("orchestrator %s does not run", name)
	}
	delete(w.nodes, name)
	w.former = append(w.former, n.log)
	ts.Check(n.cmd.Process.Signal(with))
	select {
	case err := <-n.ended:
		if have := fmt.Sprint(err); have != want && (err != nil || want != "exit status 0") {
			ts.Fatalf("orchestrator %s ended with %s, want %s\n%s", name, have, want, tailOf(n.log.String(), 30))
		}
	case <-time.After(time.Minute):
		n.cmd.Process.Kill() //nolint:errcheck // the test has failed
		<-n.ended            //nolint:errcheck // it was killed
		ts.Fatalf("orchestrator %s does not end\n%s", name, tailOf(n.log.String(), 30))
	}
}

// postgres kill|restart
func (w *whole) postgres(ts *testscript.TestScript, args []string) {
	switch strings.Join(args, " ") {
	case "kill":
		ts.Check(w.cluster.Kill())
	case "restart":
		ts.Check(w.cluster.Restart())
	default:
		ts.Fatalf("usage: postgres kill|restart")
	}
}

// worker cut|reboot|away|back N
func (w *whole) worker(ts *testscript.TestScript, args []string) {
	if len(args) != 2 {
		ts.Fatalf("usage: worker cut|reboot|away|back N")
	}
	i, err := strconv.Atoi(args[1])
	ts.Check(err)
	s := w.servers[i-1]
	switch args[0] {
	case "cut":
		s.Line.Cut()
	case "reboot":
		s.Line.Cut()
		w.killAll(ts, s.Dir())
	case "away":
		s.Line.Refuse(true)
		s.Line.Cut()
	case "back":
		s.Line.Refuse(false)
	default:
		ts.Fatalf("unknown: worker %s", args[0])
	}
}

// killAll kills every process that works below a folder at once, as a power cut does. A
// process that outlived its children would report a failed step.
func (w *whole) killAll(ts *testscript.TestScript, dir string) {
	real, err := filepath.EvalSymlinks(dir)
	ts.Check(err)
	for stopped := 0; ; {
		all := w.below(ts, real)
		for _, pid := range all {
			syscall.Kill(pid, syscall.SIGSTOP) //nolint:errcheck // it may have ended
		}
		if len(all) > stopped { // those that were begun meanwhile
			stopped = len(all)
			continue
		}
		for _, pid := range all {
			syscall.Kill(pid, syscall.SIGKILL) //nolint:errcheck // it may have ended
		}
		return
	}
}

// below returns the processes that work below a folder.
func (w *whole) below(ts *testscript.TestScript, dir string) (pids []int) {
	all, err := filepath.Glob("/proc/[0-9]*/cwd")
	ts.Check(err)
	if len(all) == 0 {
		ts.Logf("there is no /proc here: nothing is killed")
	}
	for _, link := range all {
		cwd, err := os.Readlink(link)
		if err != nil || cwd != dir && !strings.HasPrefix(cwd, dir+"/") {
			continue
		}
		pid, err := strconv.Atoi(filepath.Base(filepath.Dir(link)))
		ts.Check(err)
		if pid != os.Getpid() {
			pids = append(pids, pid)
		}
	}
	return pids
}

// await repeats N|ended N|all waits until so many repeats run, so many builds
// have ended, or all of them.
func (w *whole) await(ts *testscript.TestScript, args []string) {
	want := len(w.ports)
	if len(args) == 2 {
		var err error
		want, err = strconv.Atoi(args[1])
		ts.Check(err)
	}
	w.until(ts, strings.Join(args, " "), func() bool {
		running, over := 0, 0
		builds, ok := w.builds(ts)
		for _, b := range builds {
			if b.State().Over() {
				over++
			}
			for _, s := range b.Stages {
				if s.Kind == orchestrator.Repeat && s.State == orchestrator.Running {
					running++
				}
			}
		}
		switch {
		case !ok:
			return false
		case args[0] == "repeats":
			return running >= want || over == len(w.ports)
		default:
			return over >= want
		}
	})
}

func (w *whole) until(ts *testscript.TestScript, what string, is func() bool) {
	tick := time.NewTicker(500 * time.Millisecond) // within what the farm lets one caller ask
	defer tick.Stop()
	for end := time.Now().Add(longest); time.Now().Before(end); <-tick.C {
		if is() {
			return
		}
	}
	ts.Fatalf("waited in vain for %s", what)
}

// builds asks the farm for all builds with their stages; false if it does not
// answer now.
func (w *whole) builds(ts *testscript.TestScript) ([]store.Build, bool) {
	var page struct{ Builds []store.Build }
	if !w.get(ts, "/v1/builds?limit=100", &page) {
		return nil, false
	}
	for i, b := range page.Builds {
		if !w.get(ts, "/v1/builds/"+b.ID, &page.Builds[i]) {
			return nil, false
		}
	}
	return page.Builds, true
}

func (w *whole) get(ts *testscript.TestScript, path string, v any) bool {
	for _, n := range w.nodes {
		r, err := http.NewRequest(http.MethodGet, "http://"+n.address+path, nil)
		ts.Check(err)
		r.Header.Set("Authorization", "Bearer "+w.token)
		resp, err := http.DefaultClient.Do(r)
		if err != nil {
			continue
		}
		err = errors.Join(json.NewDecoder(resp.Body).Decode(v), resp.Body.Close())
		if err == nil && resp.StatusCode == http.StatusOK {
			return true
		}
	}
	return false
}

// sound requires that every build ended well and once, its repeats agree, its bundles
// verify, and nothing is left on the workers.
func (w *whole) sound(ts *testscript.TestScript, _ []string) {
	var builds []store.Build
	w.until(ts, "the farm to list its builds", func() (ok bool) {
		builds, ok = w.builds(ts)
		return ok
	})
	if len(builds) != len(w.ports) {
		ts.Fatalf("%d builds of %d ports", len(builds), len(w.ports))
	}
	public := filepath.Join(w.keys(), "farm.pub")
	for _, b := range builds {
		if b.State() != orchestrator.BuildSucceeded || b.Verdict != "identical" {
			ts.Fatalf("%s is %s, %s: %+v", b.Port, b.State(), b.Verdict, b.Failure())
		}
		w.endedOnce(ts, b)
		out := filepath.Join(w.dir, "out", b.Port)
		ts.Check(ts.Exec("zfarm", "release", "collect", b.Port+"@"+b.Version, "--out", out))
		ts.Check(ts.Exec("zfarm", "verify", out, "--key", public))
	}
	w.until(ts, "the workers to be clean", func() bool {
		for _, s := range w.servers {
			if left, err := os.ReadDir(filepath.Join(s.Dir(), "farm")); err == nil && len(left) > 0 {
				return false
			}
		}
		return true
	})
}

func (w *whole) keys() string {
	text, err := os.ReadFile(filepath.Join(w.dir, "farm-one.hcl"))
	if err != nil {
		w.t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(text), "key = \"")
	file, _, _ := strings.Cut(rest, "\"")
	return filepath.Dir(file)
}

func (w *whole) endedOnce(ts *testscript.TestScript, b store.Build) {
	var page struct{ Events []orchestrator.Event }
	if !w.get(ts, "/v1/events?limit=1000&build="+b.ID, &page) {
		ts.Fatalf("the events of %s cannot be read", b.ID)
	}
	ends := map[string]int{}
	for _, e := range page.Events {
		if e.To.Over() {
			ends[e.Stage]++
		}
	}
	for _, s := range b.Stages {
		if ends[s.ID] != 1 {
			ts.Fatalf("stage %s of %s ended %d times", s.ID, b.Port, ends[s.ID])
		}
		if s.Attempts > 1 {
			ts.Logf("%s of %s took %d attempts (%v)", s.ID, b.Port, s.Attempts, s.Lost)
		}
	}
}
