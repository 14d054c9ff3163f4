// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

package host_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"strings"

	"github.com/zfarm/zfarm/plugins"
	"github.com/zfarm/zfarm/workers"
)

// actor is a plugin that does what its block says, good or bad.
func actor() plugins.Plugin {
	schema := &plugins.Schema{Attributes: []plugins.Attribute{{Name: "do", Type: "string", Required: true, Doc: "What to do."}}}
	return plugins.Plugin{
		Description: plugins.Description{Name: "actor", Version: "1.2.3", Builder: schema, Tester: schema},
		Builder:     acting{}, Tester: acting{},
	}
}

type acting struct{}

func act(c plugins.Config) string {
	var block struct{ Do string }
	if err := json.Unmarshal(c.Block, &block); err != nil {
		return err.Error()
	}
	return block.Do
}

func (acting) Check(block json.RawMessage) []plugins.Complaint {
	if act(plugins.Config{Block: block}) == "wrong" {
		return []plugins.Complaint{{Attribute: "do", Message: "do something\x1b[31m else"}}
	}
	return nil
}

func (acting) Build(ctx context.Context, ws plugins.Workspace, c plugins.Config) ([]plugins.Output, error) {
	staged := []plugins.Output{{Dir: "stage"}}
	switch do := act(c); do {
	case "work":
		return staged, work(ctx, ws, c)
	case "nothing":
		return staged, nil
	case "steps":
		for i := range 1000 {
			if err := plugins.Run(ctx, ws, workers.Step{Name: fmt.Sprintf("s%d", i), Script: "true"}, nil); err != nil {
				return nil, err
			}
		}
		return staged, nil
	case "log":
		return staged, plugins.Run(ctx, ws, workers.Step{Name: "long", Script: "true"}, io.Discard)
	case "get-file":
		_, err := ws.Get(ctx, "file", io.Discard)
		return staged, err
	case "put-file":
		_, err := ws.Put(ctx, "file", 0o644, io.LimitReader(zeros{}, plugins.MaxPut))
		return staged, err
	case "env":
		text := strings.Join(os.Environ(), "\n")
		if _, err := os.Stdin.Read(make([]byte, 1)); !errors.Is(err, io.EOF) {
			text += "\nstandard input is open"
		}
		_, err := ws.Put(ctx, "env", 0o600, strings.NewReader(text))
		return staged, err
	case "pid", "spawn":
		return staged, tellPid(ctx, ws, do == "spawn")
	case "get":
		_, err := ws.Get(ctx, "missing", io.Discard)
		return nil, tell(err)
	case "fail", "lie-status":
		st, err := ws.Run(ctx, workers.Step{Name: "make", Script: "exit 3"}, nil)
		if do == "lie-status" {
			st.Code = 0
		}
		return nil, errors.Join(err, &plugins.StepError{Step: "make", Status: st, Hint: "look\x07 at it"})
	case "lie-step":
		return nil, &plugins.StepError{Step: "make", Status: workers.Status{State: workers.Exited, Code: 1}}
	case "lie-lost":
		return nil, fmt.Errorf("so sorry: %w", workers.ErrLost)
	case "swallow":
		_, err := ws.Get(ctx, "missing", io.Discard)
		return nil, fmt.Errorf("some text: %v", err) //nolint:errorlint // it swallows the error, as a plugin may
	case "panic":
		panic("this plugin is broken\x1b]0;title\x07")
	case "flood":
		line := bytes.Repeat([]byte("noise "), 4000)
		for range 2000 {
			_, _ = os.Stderr.Write(line) // the farm may have stopped listening
		}
		return staged, nil
	case "hang":
		_, err := ws.Put(ctx, "began", 0o600, strings.NewReader("yes"))
		if err != nil {
			return nil, err
		}
		select {}
	case "watch":
		_, err := ws.Run(ctx, workers.Step{Name: "long", Script: "touch began; sleep 600"}, nil)
		return nil, err
	case "too-big":
		_, err := ws.Put(ctx, "big", 0o600, io.LimitReader(zeros{}, plugins.MaxPut+1))
		return nil, err
	case "broken-reader":
		_, err := ws.Put(ctx, "half", 0o600, io.MultiReader(strings.NewReader("half"), errReader{}))
		return nil, err
	case "giant":
		return []plugins.Output{{Dir: strings.Repeat("x", 5<<20)}}, nil
	case "many":
		return make([]plugins.Output, 65), nil
	case "outside":
		return []plugins.Output{{Dir: "../stage"}}, nil
	case "control":
		return []plugins.Output{{Name: "a\x1bb", Dir: "stage"}}, nil
	}
	return nil, errors.New("nothing to do")
}

// tell names the kind of an error as a plugin sees it.
func tell(err error) error {
	var seen []string
	for name, kind := range map[string]error{
		"not-exist": fs.ErrNotExist, "invalid": fs.ErrInvalid, "permission": fs.ErrPermission, "lost": workers.ErrLost,
		"unreachable": workers.ErrUnreachable, "changed": workers.ErrStepChanged,
	} {
		if errors.Is(err, kind) {
			seen = append(seen, name)
		}
	}
	return fmt.Errorf("seen %d kinds: %w", len(seen), err)
}

func tellPid(ctx context.Context, ws plugins.Workspace, spawn bool) error {
	pid := os.Getpid()
	if spawn {
		cmd := exec.Command("sleep", "600")
		if err := cmd.Start(); err != nil {
			return err
		}
		pid = cmd.Process.Pid
	}
	_, err := ws.Put(ctx, "pid", 0o600, strings.NewReader(fmt.Sprint(pid)))
	return err
}

// work uses every method of a workspace and reports what is not as it should
// be.
func work(ctx context.Context, ws plugins.Workspace, c plugins.Config) error {
	want := bytes.Repeat([]byte("line \xff\x00 of bytes\n"), 100_000)
	put, err := ws.Put(ctx, "dir/tool.sh", 0o750, bytes.NewReader(want))
	if err != nil {
		return err
	}
	var back bytes.Buffer
	got, err := ws.Get(ctx, "dir/tool.sh", &back)
	if err != nil || got != put || !bytes.Equal(back.Bytes(), want) {
		return errors.Join(fmt.Errorf("got %d other bytes", back.Len()), err)
	}
	entries, err := ws.List(ctx, "dir")
	if err != nil || len(entries) != 1 || entries[0].Name != "tool.sh" || entries[0].Mode != 0o750 || entries[0].Size != int64(len(want)) {
		return errors.Join(fmt.Errorf("listed %+v", entries), err)
	}
	var log bytes.Buffer
	step := workers.Step{Name: "say", Dir: "dir", Env: map[string]string{"WORD": "a\xffb"}, Umask: 0o027,
		Script: `printf '%s %s\n' "$WORD" "$(pwd)"; umask; cat tool.sh; exit 4`}
	st, err := ws.Run(ctx, step, &log)
	if err != nil || st.State != workers.Exited || st.Code != 4 {
		return errors.Join(fmt.Errorf("step ended %+v", st), err)
	}
	if !bytes.HasPrefix(log.Bytes(), []byte("a\xffb /")) || !bytes.HasSuffix(log.Bytes(), append([]byte("/dir\n0027\n"), want...)) {
		return fmt.Errorf("log of %d bytes is not right", log.Len())
	}
	if c.Facts.Tools["make"].Banner != "raw \uFFFD banner" || c.Jobs != 2 || c.Prefix != "/opt/example" {
		return fmt.Errorf("told %+v", c)
	}
	return nil
}

func (acting) Test(_ context.Context, _ plugins.Workspace, c plugins.Config) (plugins.Report, error) {
	r := plugins.Report{Format: "tap"}
	count := 3
	switch do := act(c); do {
	case "suite":
		count = 60_000
	case "many":
		count = plugins.MaxCases + 1
	case "fat":
		count = 20_000
	}
	detail := "why not"
	if act(c) == "fat" {
		detail = strings.Repeat("x", plugins.MaxDetail)
	}
	for i := range count {
		r.Cases = append(r.Cases, plugins.Case{Name: fmt.Sprintf("test %d", i), Outcome: plugins.Failed, Detail: detail})
	}
	switch act(c) {
	case "control":
		r.Cases[1].Name = "evil \x1b[2J name"
	case "twice":
		r.Cases[1].Name = r.Cases[0].Name
	case "long":
		r.Cases[1].Name = strings.Repeat("n", plugins.MaxName+1)
	case "outcome":
		r.Cases[1].Outcome = "great"
	case "dirty":
		r.Cases[1].Detail = strings.Repeat("long ", plugins.MaxDetail) + "\x1b]0;title\x07 end"
	case "no-format":
		r.Format = ""
	}
	return r, nil
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { return len(p), nil }

type errReader struct{}

func (errReader) Read([]byte) (int, error) { return 0, fmt.Errorf("disk on fire: %w", io.EOF) }
