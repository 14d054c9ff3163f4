// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/zfarm/zfarm/attest/cosign"
	"github.com/zfarm/zfarm/attest/keys"
)

// bound is how long scripts wait for what should come at once.
const bound = 2 * time.Minute

// servedKey names the farm of a script among its values.
type servedKey struct{}

// served is a farm that a script serves, in its own process.
type served struct {
	dir   string
	cmd   *exec.Cmd
	ended chan error
	log   *growing
}

// serving gives a script a farm, which is stopped when the script is over.
func serving(e *testscript.Env) {
	s := &served{dir: e.WorkDir, log: &growing{}}
	e.Values[servedKey{}] = s
	e.Defer(func() {
		if s.cmd != nil {
			s.cmd.Process.Signal(os.Interrupt) //nolint:errcheck // it may have ended
			select {
			case <-s.ended: //nolint:errcheck // however it ended, it is gone
			case <-time.After(20 * time.Second):
				s.cmd.Process.Kill() //nolint:errcheck // it may have ended
				<-s.ended            //nolint:errcheck // it was killed
			}
		}
		if tb, ok := e.T().(testing.TB); ok && tb.Failed() {
			for text := range strings.Lines(s.log.String()) {
				if !strings.Contains(text, "msg=request") {
					tb.Log(strings.TrimSpace(text))
				}
			}
		}
	})
}

// growing is the output of a process, readable while it grows.
type growing struct {
	mu sync.Mutex
	b  bytes.Buffer
}

// Write appends.
func (g *growing) Write(p []byte) (int, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.b.Write(p)
}

// String is all that was written.
func (g *growing) String() string {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.b.String()
}

// farmOf is the command farm:
//
//	farm init         makes a key and a farm.hcl with two workers of this machine
//	farm start        serves it, on the same address each time; ZFARM_SERVER and
//	                  the token of an admin, ZFARM_TOKEN, are set
//	farm reload       has it read its file again
//	farm stop         ends it as Ctrl-C does, and wants it to end well
//	farm kill         ends it as a power cut does
func farmOf(ts *testscript.TestScript, neg bool, args []string) {
	s, ok := ts.Value(servedKey{}).(*served)
	if !ok || neg || len(args) != 1 {
		ts.Fatalf("usage: farm init|start|reload|stop|kill")
	}
	switch args[0] {
	case "init":
		s.init(ts)
	case "start":
		s.start(ts)
	case "reload":
		s.reload(ts)
	case "stop":
		s.end(ts, os.Interrupt, "exit status 0")
	case "kill":
		s.end(ts, syscall.SIGKILL, "signal: killed")
	default:
		ts.Fatalf("unknown: farm %s", args[0])
	}
}

func (s *served) init(ts *testscript.TestScript) {
	for name, text := range map[string]string{"password": "correct horse\n", "farm.hcl": `farm "home" {
  listen  = "127.0.0.1:0"
  mirrors = ["mirror"]
  offline = true
}

signing {
  key           = "farm.key"
  password_file = "password"
}

worker "left" { address = "local:left" }

worker "right" { address = "local:right" }
`} {
		ts.Check(os.WriteFile(filepath.Join(s.dir, name), []byte(text), 0o600))
	}
	ts.Check(writeSharedKey(filepath.Join(s.dir, "farm")))
}

// sharedKey is the signing key of all farms here, with the password "correct
// horse": making one takes long, on purpose.
var sharedKey = sync.OnceValue(func() (pair struct {
	private, public []byte
	err             error
}) {
	pair.private, pair.public, pair.err = cosign.GenerateKey([]byte("correct horse"))
	return pair
})

// writeSharedKey writes NAME.key and NAME.pub, as zfarm key generate does.
func writeSharedKey(name string) error {
	pair := sharedKey()
	if pair.err != nil {
		return pair.err
	}
	return keys.WritePair(name, pair.private, pair.public)
}

func (s *served) start(ts *testscript.TestScript) {
	if s.cmd != nil {
		ts.Fatalf("the farm is served already")
	}
	file := filepath.Join(s.dir, "farm.hcl")
	out := &growing{}
	s.cmd = exec.Command(os.Args[0], "serve", "--farm", file)
	s.cmd.Env = append(os.Environ(), asProgram+"=1", "HOME="+s.dir)
	s.cmd.Stdout, s.cmd.Stderr = out, s.log
	if err := s.cmd.Start(); err != nil {
		s.cmd = nil
		ts.Fatalf("starting the farm: %v", err)
	}
	s.ended = make(chan error, 1)
	go func(cmd *exec.Cmd, ended chan<- error) { ended <- cmd.Wait() }(s.cmd, s.ended)
	address := regexp.MustCompile(`http://(127\.0\.0\.1:[0-9]+)`)
	ready := s.poll(func() bool {
		found := address.FindStringSubmatch(out.String())
		if found == nil {
			return false
		}
		resp, err := http.Get("http://" + found[1] + "/readyz")
		return err == nil && resp.Body.Close() == nil && resp.StatusCode == http.StatusOK
	})
	if !ready {
		ts.Fatalf("the farm is not ready:\n%s%s", out, s.log)
	}
	listens := address.FindStringSubmatch(out.String())[1]
	text, err := os.ReadFile(file)
	ts.Check(err)
	// The next start is at the same address, as it is outside tests.
	ts.Check(os.WriteFile(file, bytes.ReplaceAll(text, []byte("127.0.0.1:0"), []byte(listens)), 0o600))
	ts.Setenv("ZFARM_SERVER", "http://"+listens)
	if ts.Getenv("ZFARM_TOKEN") == "" {
		ts.Check(ts.Exec("zfarm", "token", "add", "--farm", file, "--name", "root", "--role", "admin"))
		ts.Setenv("ZFARM_TOKEN", strings.TrimSpace(ts.ReadFile("stdout")))
	}
}

// reload has the farm read its file again, waits until it logs the outcome, and writes
// that to the file reloaded.
func (s *served) reload(ts *testscript.TestScript) {
	if s.cmd == nil {
		ts.Fatalf("the farm is not served")
	}
	before := len(s.log.String())
	ts.Check(s.cmd.Process.Signal(syscall.SIGHUP))
	said := func() []string {
		return regexp.MustCompile(`.*msg="farm file .*\n`).FindAllString(s.log.String()[before:], -1)
	}
	if !s.poll(func() bool { return len(said()) > 0 }) {
		ts.Fatalf("the farm does not say that it read its file:\n%s", s.log)
	}
	ts.Check(os.WriteFile(filepath.Join(s.dir, "reloaded"), []byte(strings.Join(said(), "")), 0o600))
}

// end ends the farm and requires that it ends in that way.
func (s *served) end(ts *testscript.TestScript, with os.Signal, want string) {
	if s.cmd == nil {
		ts.Fatalf("the farm is not served")
	}
	ts.Check(s.cmd.Process.Signal(with))
	select {
	case err := <-s.ended:
		s.cmd = nil
		have := "exit status 0"
		if err != nil {
			have = err.Error()
		}
		if have != want {
			ts.Fatalf("the farm ended with %s, want %s:\n%s", have, want, s.log)
		}
	case <-time.After(bound):
		ts.Fatalf("the farm does not end:\n%s", s.log)
	}
}

// poll repeats a check until it succeeds, the bound is reached, or the farm has ended.
func (s *served) poll(ok func() bool) bool {
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for end := time.Now().Add(bound); time.Now().Before(end); <-tick.C {
		if ok() {
			return true
		}
		select {
		case err := <-s.ended:
			s.cmd = nil
			fmt.Fprintf(s.log, "the farm ended: %v\n", err) //nolint:errcheck // a buffer takes everything
			return false
		default:
		}
	}
	return false
}

// until PATTERN COMMAND... runs a command until its output matches.
func until(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: until PATTERN COMMAND...")
	}
	pattern := regexp.MustCompile(`(?m)` + args[0])
	var last string
	tick := time.NewTicker(250 * time.Millisecond)
	defer tick.Stop()
	for end := time.Now().Add(bound); time.Now().Before(end); <-tick.C {
		err := ts.Exec(args[1], args[2:]...)
		var failed *exec.ExitError
		if err != nil && !errors.As(err, &failed) {
			ts.Check(err)
		}
		if last = ts.ReadFile("stdout") + ts.ReadFile("stderr"); pattern.MatchString(last) {
			return
		}
	}
	ts.Fatalf("%v never says %q, but\n%s", args[1:], args[0], last)
}

// capture NAME PATTERN sets a variable to what the group of the pattern matches
// in the last output.
func capture(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: capture NAME PATTERN")
	}
	found := regexp.MustCompile(`(?m)` + args[1]).FindStringSubmatch(ts.ReadFile("stdout"))
	if len(found) != 2 {
		ts.Fatalf("%q is not in\n%s", args[1], ts.ReadFile("stdout"))
	}
	ts.Setenv(args[0], found[1])
}
