// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"io"
	"os"
	"strings"
	"unicode/utf8"

	"golang.org/x/term"

	"github.com/zfarm/zfarm/workers/codepage"
)

// column is one column of a list of T. It has everything there is to know about the
// column.
type column[T any] struct {
	style
	cell func(T) string // may return foreign text
}

// style is the presentation of a column.
type style struct {
	head string
	// most is how many characters of a cell are shown; 0 means all. The last column
	// gets the rest of the width.
	most int
	// state: the cells are words that are coloured on a terminal.
	state bool
}

// table is a list in rows and columns.
type table struct {
	columns []style
	rows    [][]string
}

// tableOf makes a table of a list.
func tableOf[T any](list []T, columns []column[T]) table {
	var t table
	for _, c := range columns {
		t.columns = append(t.columns, c.style)
	}
	for _, x := range list {
		cells := make([]string, len(columns))
		for i, c := range columns {
			cells[i] = c.cell(x)
		}
		t.rows = append(t.rows, cells)
	}
	return t
}

// write writes the table, aligned to the width of w, or to 100 columns. Without heads
// it has no heading line.
func (t table) write(w io.Writer) error {
	shown, wide := t.shown()
	last := len(wide) - 1
	left := width(w)
	for _, n := range wide[:last] {
		left -= n + len(gap)
	}
	coloured := colours(w)
	for i, cells := range shown {
		var b strings.Builder
		for j, cell := range cells {
			if j == last {
				cell = clip(cell, max(left, 12))
			}
			pad := strings.Repeat(" ", max(0, wide[j]-utf8.RuneCountInString(cell)))
			if coloured && t.columns[j].state && (i > 0 || t.columns[0].head == "") {
				cell = paint(cell)
			}
			b.WriteString(cell + pad + gap)
		}
		if _, err := fmt.Fprintln(w, strings.TrimRight(b.String(), " ")); err != nil {
			return err
		}
	}
	return nil
}

const gap = "  "

// shown returns the cells in their final form, the heads first, and the widths of the
// columns.
func (t table) shown() (cells [][]string, wide []int) {
	rows := t.rows
	if t.columns[0].head != "" {
		heads := make([]string, len(t.columns))
		for i, c := range t.columns {
			heads[i] = c.head
		}
		rows = append([][]string{heads}, rows...)
	}
	wide = make([]int, len(t.columns))
	for _, row := range rows {
		line := make([]string, len(row))
		for j, cell := range row {
			line[j] = oneLine(cell, t.columns[j].most)
			wide[j] = max(wide[j], utf8.RuneCountInString(line[j]))
		}
		cells = append(cells, line)
	}
	return cells, wide
}

// oneLine makes foreign text one line of at most that many characters; 0 means any
// number.
func oneLine(s string, most int) string {
	s = codepage.PrintableString(strings.ToValidUTF8(s, "?"))
	if most == 0 {
		most = utf8.RuneCountInString(s) + 1
	}
	return clip(strings.TrimRight(s, " \n\t"), most)
}

// wrapped breaks text for people into lines of a width, and indents all but the first.
func wrapped(text string, most, indent int) string {
	var b strings.Builder
	at := 0
	for i, word := range strings.Fields(text) {
		n := utf8.RuneCountInString(word)
		switch {
		case i == 0:
		case at+1+n > most:
			b.WriteString("\n" + strings.Repeat(" ", indent))
			at = indent
		default:
			b.WriteString(" ")
			at++
		}
		b.WriteString(word)
		at += n
	}
	return b.String()
}

// colours reports whether text on w may be coloured (https://no-color.org).
func colours(w io.Writer) bool {
	f, ok := w.(*os.File)
	return ok && os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb" && term.IsTerminal(int(f.Fd()))
}

// paint colours a word that describes a state.
func paint(word string) string {
	const green, red, yellow, blue, off = "\x1b[32m", "\x1b[31m", "\x1b[33m", "\x1b[34m", "\x1b[0m"
	switch word {
	case "succeeded", "serves", "good", "given":
		return green + word + off
	case "failed", "lost", "quarantined", "not reproduced", "refused", "expired", "revoked":
		return red + word + off
	case "cancelled", "skipped", "paused", "draining", "postponed", "out", "removed", "unfit":
		return yellow + word + off
	case "running", "ready", "queued":
		return blue + word + off
	}
	return word
}

// fields writes names and values, one pair per line. Values may be foreign text; empty
// ones are left out.
func fields(b *strings.Builder, pairs ...string) {
	for i := 0; i+1 < len(pairs); i += 2 {
		value := strings.TrimRight(codepage.PrintableString(pairs[i+1]), "\n ")
		if value == "" {
			continue
		}
		const indent = 11
		value = strings.ReplaceAll(value, "\n", "\n"+strings.Repeat(" ", indent))
		fmt.Fprintf(b, "%-*s%s\n", indent, pairs[i], value)
	}
}
