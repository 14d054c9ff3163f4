// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/term"

	"github.com/zfarm/zfarm/orchestrator/compare"
	"github.com/zfarm/zfarm/workers/humanize"
)

// show writes a text to out, through a pager if out is a terminal too small for it. A
// reader that quits early is no error.
func show(out, errs io.Writer, text []byte, paging bool) error {
	if f, ok := out.(*os.File); ok && paging && term.IsTerminal(int(f.Fd())) {
		columns, lines, err := term.GetSize(int(f.Fd()))
		if err == nil && tooLong(text, columns, lines) {
			if shown, err := page(pager(os.Getenv, exec.LookPath), f, errs, text); shown || err != nil {
				return err
			}
		}
	}
	_, err := out.Write(text)
	return ignoreClosedPipe(err)
}

// ignoreClosedPipe returns err, or nil if it means that the reader has quit.
func ignoreClosedPipe(err error) error {
	if errors.Is(err, syscall.EPIPE) || errors.Is(err, io.ErrClosedPipe) {
		return nil
	}
	return err
}

// tooLong reports whether a text does not fit on a screen together with the prompt. It
// counts colour codes as characters, which does no harm.
func tooLong(text []byte, columns, lines int) bool {
	rows := 1
	for line := range bytes.Lines(text) {
		rows += 1 + max(len(bytes.TrimRight(line, "\n"))-1, 0)/max(columns, 1)
		if rows > lines {
			return true
		}
	}
	return false
}

// pager returns the command of the user's pager; "" if there is none.
func pager(getenv func(string) string, look func(string) (string, error)) string {
	if command := getenv("PAGER"); command != "" {
		if command == "cat" {
			return ""
		}
		return command
	}
	if _, err := look("less"); err != nil || getenv("TERM") == "dumb" {
		return ""
	}
	return "less -R"
}

// page shows a text through a command. It returns false, having shown nothing, if the
// command cannot be started.
func page(command string, out *os.File, errs io.Writer, text []byte) (bool, error) {
	if command == "" {
		return false, nil
	}
	c := exec.Command("sh", "-c", command) //nolint:noctx // who reads ends it
	c.Stdin, c.Stdout, c.Stderr = bytes.NewReader(text), out, errs
	c.Env = append(os.Environ(), "LESSCHARSET=utf-8")
	err := c.Run()
	var ended *exec.ExitError
	switch {
	case errors.As(err, &ended) && (ended.ExitCode() == 126 || ended.ExitCode() == 127):
		return false, nil // the shell did not find the command
	case errors.As(err, &ended): // it failed, or a signal ended it
		return true, nil
	case err != nil && c.Process == nil:
		return false, nil
	}
	return true, ignoreClosedPipe(err)
}

// watched shows on a terminal how much has been read, if reading takes long.
type watched struct {
	w     io.Writer // nil: show nothing
	began time.Time
	read  atomic.Int64
	total int64
	stop  chan struct{}
	done  sync.WaitGroup
}

const (
	longWait = time.Second            // until something is shown
	pace     = 200 * time.Millisecond // between one line and the next
)

// watchReading starts showing progress if errs is a terminal.
func watchReading(errs io.Writer) *watched {
	p := &watched{began: time.Now(), stop: make(chan struct{})}
	if f, ok := errs.(*os.File); ok && term.IsTerminal(int(f.Fd())) && os.Getenv("TERM") != "dumb" {
		p.w = f
		p.done.Go(p.tick)
	}
	return p
}

func (p *watched) tick() {
	t := time.NewTicker(pace)
	defer t.Stop()
	drawn := false
	for {
		select {
		case <-p.stop:
			if drawn {
				fmt.Fprint(p.w, "\r\x1b[K") //nolint:errcheck // progress may be dropped
			}
			return
		case now := <-t.C:
			if took := now.Sub(p.began); took > longWait {
				drawn = true
				fmt.Fprintf(p.w, "\r\x1b[K%s", p.line(took)) //nolint:errcheck // progress may be dropped
			}
		}
	}
}

// line returns the progress line.
func (p *watched) line(took time.Duration) string {
	read := p.read.Load()
	if read < p.total {
		return fmt.Sprintf("comparing: %s of %s read, %s", humanize.Bytes(read), humanize.Bytes(p.total), took.Round(time.Second))
	}
	return fmt.Sprintf("comparing: %s read, looking into what differs, %s", humanize.Bytes(read), took.Round(time.Second))
}

// close ends the display and clears the line.
func (p *watched) close() {
	close(p.stop)
	p.done.Wait()
}

// input counts the bytes read of in, which is the file of that name.
func (p *watched) input(in compare.Input, name string) compare.Input {
	if p.w == nil {
		return in
	}
	if info, err := os.Stat(name); err == nil && !info.IsDir() {
		p.total += info.Size()
	}
	open := in.Open
	in.Open = func() (io.ReadCloser, error) {
		r, err := open()
		if err != nil {
			return nil, err
		}
		if at, ok := r.(io.ReaderAt); ok {
			return countedFile{counted{r, &p.read}, at, &p.read}, nil
		}
		return counted{r, &p.read}, nil
	}
	return in
}

// counted counts the bytes read.
type counted struct {
	io.ReadCloser
	n *atomic.Int64
}

func (c counted) Read(p []byte) (int, error) {
	n, err := c.ReadCloser.Read(p)
	c.n.Add(int64(n))
	return n, err
}

// countedFile is counted with random access.
type countedFile struct {
	counted
	at io.ReaderAt
	n  *atomic.Int64
}

func (c countedFile) ReadAt(p []byte, off int64) (int, error) {
	n, err := c.at.ReadAt(p, off)
	c.n.Add(int64(n))
	return n, err
}
