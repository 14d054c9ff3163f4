// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/term"

	"github.com/zfarm/zfarm/orchestrator"
	"github.com/zfarm/zfarm/orchestrator/api/wire"
	"github.com/zfarm/zfarm/workers"
	"github.com/zfarm/zfarm/workers/codepage"
	"github.com/zfarm/zfarm/workers/humanize"
)

// display shows the progress of a build until it is closed.
type display interface {
	Show(orchestrator.Progress)
	Close()
}

// newDisplay chooses how to show progress: JSON lines, a live block on a terminal,
// plain lines anywhere else.
func newDisplay(w io.Writer, asJSON bool) display {
	if asJSON {
		return &jsonLines{w: w}
	}
	if f, ok := w.(*os.File); ok && term.IsTerminal(int(f.Fd())) && os.Getenv("TERM") != "dumb" {
		return newLive(f)
	}
	return &plainLines{w: w}
}

type jsonLines struct {
	mu sync.Mutex
	w  io.Writer
}

func (j *jsonLines) Show(p orchestrator.Progress) {
	j.mu.Lock()
	defer j.mu.Unlock()
	writeJSONLine(j.w, p) //nolint:errcheck // progress may be dropped
}

func (j *jsonLines) Close() {}

// plainLines writes a line whenever something begins or ends.
type plainLines struct {
	mu sync.Mutex
	w  io.Writer
}

func (l *plainLines) Show(p orchestrator.Progress) {
	text := sentence(p)
	if text == "" {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	fmt.Fprintln(l.w, text) //nolint:errcheck // progress may be dropped
}

func (l *plainLines) Close() {}

// sentence returns the line about a piece of progress, "" if it needs none.
func sentence(p orchestrator.Progress) string {
	who := p.Stage
	if p.Worker != "" {
		who += " on " + p.Worker
	}
	switch p.Kind {
	case orchestrator.Note:
		return codepage.PrintableString(strings.TrimLeft(who+": ", ": ") + p.Text)
	case orchestrator.StepEnded:
		return fmt.Sprintf("%s: %s %s in %s", who, p.Step, stepResult(p.Status.State, p.Status.Code), humanize.Duration(p.Took))
	case orchestrator.Transition:
		e := p.Event
		return transition(who, wire.Event{From: wire.StageState(e.From), To: wire.StageState(e.To), Fence: e.Fence, Detail: e.Detail})
	default:
		return ""
	}
}

func transition(who string, e wire.Event) string {
	switch {
	case e.From == wire.StageRunning && e.To == wire.StageReady:
		return codepage.PrintableString(fmt.Sprintf("%s: worker lost (%s); trying again", who, e.Detail))
	case e.To == wire.StageRunning && e.Fence > 1:
		return fmt.Sprintf("%s: begun again, attempt %d", who, e.Fence)
	case e.To == wire.StageRunning:
		return fmt.Sprintf("%s: begun", who)
	case e.To == wire.StageFailed:
		return fmt.Sprintf("%s: failed", who)
	case e.To == wire.StageSucceeded:
		return fmt.Sprintf("%s: done", who)
	default:
		return ""
	}
}

// stepResult describes how a step ended.
func stepResult(state workers.State, code int) string {
	switch {
	case state == workers.Exited && code == 0:
		return "done"
	case state == workers.Exited:
		return fmt.Sprintf("exited with %d", code)
	default:
		return fmt.Sprintf("ended by %s", state)
	}
}

// live keeps one line per running stage at the bottom of a terminal: its step, how long
// it has taken, and the last line of its log.
type live struct {
	mu     sync.Mutex
	f      *os.File
	stages map[string]*stageLine
	drawn  int
	stop   chan struct{}
	done   chan struct{}
}

type stageLine struct {
	worker, step, last string
	since              time.Time
	partial            []byte
}

const redraw = 100 * time.Millisecond

func newLive(f *os.File) *live {
	l := &live{f: f, stages: map[string]*stageLine{}, stop: make(chan struct{}), done: make(chan struct{})}
	go l.tick()
	return l
}

func (l *live) tick() {
	defer close(l.done)
	t := time.NewTicker(redraw)
	defer t.Stop()
	for {
		select {
		case <-t.C:
			l.mu.Lock()
			l.draw("")
			l.mu.Unlock()
		case <-l.stop:
			return
		}
	}
}

func (l *live) Close() {
	close(l.stop)
	<-l.done
	l.mu.Lock()
	defer l.mu.Unlock()
	clear(l.stages)
	l.draw("")
}

func (l *live) Show(p orchestrator.Progress) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.note(p)
	if text := sentence(p); text != "" {
		l.draw(text + "\n")
	}
}

// note updates the state that the lines show.
func (l *live) note(p orchestrator.Progress) {
	s := l.stages[p.Stage]
	switch p.Kind {
	case orchestrator.Transition:
		if p.Event.To != orchestrator.Running {
			delete(l.stages, p.Stage)
			return
		}
		l.stages[p.Stage] = &stageLine{worker: p.Worker, step: "begins", since: time.Now()}
	case orchestrator.StepBegun:
		if s != nil {
			*s = stageLine{worker: s.worker, step: p.Step, since: time.Now()}
		}
	case orchestrator.StepLog:
		if s != nil {
			s.log(p.Text)
		}
	case orchestrator.Fetching:
		if s != nil {
			s.step, s.last = "fetching", fmt.Sprintf("%s of %s", humanize.Bytes(p.Done), humanize.Bytes(p.Total))
		}
	}
}

// log keeps the last complete line.
func (s *stageLine) log(text string) {
	const most = 1024
	s.partial = append(s.partial, text[max(0, len(text)-most):]...)
	if end := bytes.LastIndexByte(s.partial, '\n'); end >= 0 {
		s.last = string(s.partial[bytes.LastIndexByte(s.partial[:end], '\n')+1 : end])
		s.partial = append(s.partial[:0], s.partial[end+1:]...)
	}
	if len(s.partial) > most {
		s.partial = s.partial[:0]
	}
}

// draw redraws the lines at the bottom, with text above them.
func (l *live) draw(text string) {
	var b strings.Builder
	if l.drawn > 0 {
		fmt.Fprintf(&b, "\x1b[%dA", l.drawn)
	}
	b.WriteString("\r\x1b[J")
	b.WriteString(text)
	width, _, err := term.GetSize(int(l.f.Fd()))
	if err != nil || width < 20 {
		width = 80
	}
	l.drawn = 0
	for _, id := range slices.Sorted(maps.Keys(l.stages)) {
		s := l.stages[id]
		line := fmt.Sprintf("%-9s %-18s %-14s %7s  %s", id, s.worker, s.step, humanize.Duration(time.Since(s.since)), codepage.PrintableString(s.last))
		b.WriteString(clip(line, width-1) + "\n")
		l.drawn++
	}
	l.f.WriteString(b.String()) //nolint:errcheck // progress may be dropped
}

func clip(s string, width int) string {
	return codepage.Clip(strings.NewReplacer("\n", " ", "\t", " ").Replace(s), width)
}
