// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

// Package suite reads what test suites print and leave behind, and names every
// test: the .trs files of automake, the Test Anything Protocol, versions 12 to
// 14, and the lines "PASS: name" of older harnesses.
//
// It runs nothing; the testers of plugins/make and plugins/autotools do.
// Everything it reads was written on a worker, so its memory is bounded for
// any input.
package suite

import (
	"bytes"
	"fmt"
	"strings"

	"github.com/zfarm/zfarm/plugins"
)

// ErrTooMany means that a suite has more than plugins.MaxCases tests.
var ErrTooMany = fmt.Errorf("more than %d tests", plugins.MaxCases)

// maxDetails bounds the details of all tests of a suite together, maxLine the
// part of one line that is read; both in bytes.
const (
	maxDetails = 16 << 20
	maxLine    = 16 << 10
)

// nameRoom is the space for the number that distinguishes equal names, in
// bytes.
const nameRoom = 12

// cases collects tests, gives each a unique name, and stops at the bounds.
type cases struct {
	list    []plugins.Case
	taken   map[string]int // name -> the last number given
	details int
	over    bool
}

// add appends a test. A name that exists already gets " (2)", " (3)" and so
// on.
func (c *cases) add(t plugins.Case) {
	if len(c.list) >= plugins.MaxCases {
		c.over = true
		return
	}
	if c.taken == nil {
		c.taken = map[string]int{}
	}
	name := plugins.Line(t.Name, plugins.MaxName-nameRoom)
	if name == "" {
		name = "unnamed"
	}
	t.Name = name
	for c.taken[t.Name] > 0 {
		c.taken[name]++
		t.Name = fmt.Sprintf("%s (%d)", name, c.taken[name])
	}
	c.taken[t.Name] = 1
	t.Detail = strings.TrimSpace(plugins.Text(t.Detail, plugins.MaxDetail))
	if c.details += len(t.Detail); c.details > maxDetails {
		t.Detail = ""
	}
	c.list = append(c.list, t)
}

func (c *cases) err() error {
	if c.over {
		return fmt.Errorf("reading the suite: %w", ErrTooMany)
	}
	return nil
}

// Bad reports whether the outcome is a failure, an error or an unexpected
// pass.
func Bad(o plugins.Outcome) bool {
	return o == plugins.Failed || o == plugins.Errored || o == plugins.UnexpectedPass
}

// AnyBad reports whether one of the tests has a [Bad] outcome.
func AnyBad(list []plugins.Case) bool {
	for _, c := range list {
		if Bad(c.Outcome) {
			return true
		}
	}
	return false
}

// lines splits its input into lines, without their ends. It drops the rest of
// a line longer than maxLine.
type lines struct {
	each func(line string)
	buf  []byte
}

// Write never fails.
func (l *lines) Write(p []byte) (int, error) {
	n := len(p)
	for {
		line, rest, whole := bytes.Cut(p, []byte{'\n'})
		l.buf = append(l.buf, line[:min(len(line), max(0, maxLine-len(l.buf)))]...)
		if !whole {
			return n, nil
		}
		l.flush()
		p = rest
	}
}

// flush ends the current line.
func (l *lines) flush() {
	line := strings.TrimSuffix(string(l.buf), "\r")
	l.buf = l.buf[:0]
	l.each(line)
}

// end passes on a last line that has no newline.
func (l *lines) end() {
	if len(l.buf) > 0 {
		l.flush()
	}
}
