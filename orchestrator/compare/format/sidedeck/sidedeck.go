// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

// Package sidedeck reads the definition side-deck of a dynamic link library
// on z/OS (a file NAME.x): cards with IMPORT statements, by which the binder
// resolves symbols of programs that use the library.
//
//	IMPORT CODE64,'libfoo.so','foo_open',001
//
// The order of the statements has no meaning, and nor has where a card ends;
// the class, the name of the library, the symbol and the place of its
// descriptor have. So two decks are compared as sets (orchestrator/compare
// does that). A deck with anything else in it (comments, sequence numbers,
// other statements) is no set of imports: reading it fails, and its bytes are
// what is left to compare.
//
// The syntax is that of the binder (z/OS MVS Program Management: User's Guide
// and Reference, "Binder syntax conventions" and "IMPORT statement"); see
// docs/formats/sidedeck.md.
package sidedeck

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"

	"golang.org/x/text/encoding/charmap"
)

// ErrFormat says that the file is not a side-deck, or holds more than imports.
var ErrFormat = errors.New("not a side-deck of imports alone")

const (
	cardLength = 80
	contentEnd = 71 // columns 1 to 71 belong to the statement
	markColumn = 71 // column 72, counted from 0: continuation mark
	maxName    = 1024
	maxImports = 1 << 18
	maxNames   = 16 << 20 // bytes of all names
)

// Import is one IMPORT statement.
type Import struct {
	// Class is CODE, DATA, CODE64 or DATA64.
	Class string
	// DLL and Symbol are the names, without quotes, in UTF-8.
	DLL, Symbol string
	// Place is the number of the function descriptor as written; "" if the
	// statement has none.
	Place string
	// BareDLL and BareSymbol are set if the name is not in quotes: the binder may
	// then fold it to upper case.
	BareDLL, BareSymbol bool
	// Line is the number of the card on which the statement begins, from 1; Offset
	// is the offset of that card.
	Line   int
	Offset int64
}

// String returns the statement in a canonical form: equal texts have equal meaning.
func (i Import) String() string {
	s := i.Class + "," + operand(i.DLL, i.BareDLL) + "," + operand(i.Symbol, i.BareSymbol)
	if i.Place != "" {
		s += "," + i.Place
	}
	return s
}

func operand(name string, bare bool) string {
	if bare {
		return name
	}
	return "'" + strings.ReplaceAll(name, "'", "''") + "'"
}

// code is the encoding of a deck's characters.
type code struct {
	blank    byte
	newlines string
	decode   *charmap.Charmap
}

func codes() []code {
	return []code{{0x40, "\x15\x25", charmap.CodePage1047}, {' ', "\n", charmap.ISO8859_1}}
}

// codeOf returns the encoding in which head begins a side-deck.
func codeOf(head []byte) (code, bool) {
	for _, c := range codes() {
		text := make([]rune, 0, cardLength)
		for _, b := range bytes.TrimLeft(head[:min(len(head), cardLength)], string(c.blank)) {
			text = append(text, c.decode.DecodeByte(b))
		}
		verb, rest, found := strings.Cut(string(text), " ")
		rest = strings.TrimLeft(rest, " ")
		blanks := len(head) > 0 && head[0] == c.blank
		if found && blanks && verb == "IMPORT" && (strings.HasPrefix(rest, "CODE") || strings.HasPrefix(rest, "DATA")) {
			return c, true
		}
	}
	return code{}, false
}

// Is reports whether head begins a side-deck. It needs the first 64 bytes.
func Is(head []byte) bool {
	_, ok := codeOf(head)
	return ok
}

// Imports returns the statements of the side-deck in r in order. Cards are 80 bytes
// long, or lines of at most 80, in IBM-1047 or ASCII. It reads at most 262,144
// statements with 16 MiB of names. An error wraps ErrFormat and names the card, or
// comes from r.
func Imports(r io.ReaderAt, size int64) ([]Import, error) {
	head := make([]byte, min(size, cardLength+1))
	if n, err := r.ReadAt(head, 0); n < len(head) {
		return nil, fmt.Errorf("reading side-deck: %w", err)
	}
	c, ok := codeOf(head)
	if !ok {
		return nil, fmt.Errorf("%w: it does not begin with IMPORT", ErrFormat)
	}
	d := deck{in: bufio.NewReaderSize(io.NewSectionReader(r, 0, size), 1<<16), fixed: size >= cardLength && !containsByte(head, c.newlines)}
	d.interpret(c)
	var all []Import
	names := 0
	for {
		i, err := d.statement()
		if errors.Is(err, io.EOF) {
			return all, nil
		}
		if err != nil {
			return nil, err
		}
		names += len(i.DLL) + len(i.Symbol)
		if len(all) == maxImports || names > maxNames {
			return nil, fmt.Errorf("%w: card %d: there are too many imports to read", ErrFormat, i.Line)
		}
		all = append(all, i)
	}
}

func containsByte(b []byte, wanted string) bool {
	for i := range wanted {
		if bytes.IndexByte(b, wanted[i]) >= 0 {
			return true
		}
	}
	return false
}

// Values in the table of characters that are not characters.
const (
	newline = -1
	control = -2
)

// deck reads cards, and statements across them.
type deck struct {
	in    *bufio.Reader
	fixed bool
	table [256]rune

	line          int
	begins, after int64 // offset of the card, and of the next one
	card          [cardLength]rune
	column        int // of the next character, from 0
}

// interpret fills the table of characters.
func (d *deck) interpret(c code) {
	for i := range d.table {
		r := c.decode.DecodeByte(byte(i))
		switch {
		case strings.IndexByte(c.newlines, byte(i)) >= 0:
			r = newline
		case r < ' ' || r >= 0x7f && r < 0xa0:
			r = control
		}
		d.table[i] = r
	}
}

func (d *deck) wrong(format string, args ...any) error {
	return fmt.Errorf("%w: card %d: %s", ErrFormat, d.line, fmt.Sprintf(format, args...))
}

// next reads a card and pads it with blanks. It returns io.EOF after the last.
func (d *deck) next() error {
	d.line, d.begins, d.column = d.line+1, d.after, 0
	for i := range d.card {
		d.card[i] = ' '
	}
	for n := 0; ; n++ {
		if d.fixed && n == cardLength {
			return nil
		}
		b, err := d.in.ReadByte()
		if err != nil {
			return d.ended(n, err)
		}
		d.after++
		switch c := d.table[b]; {
		case c == newline && !d.fixed:
			return nil
		case n == cardLength:
			return d.wrong("it has more than %d columns", cardLength)
		case c < 0:
			return d.wrong("it has a control character in column %d", n+1)
		default:
			d.card[n] = c
		}
	}
}

// ended decides whether the file may end within a card: a last line needs no
// newline, but a card of fixed length must be whole.
func (d *deck) ended(n int, err error) error {
	switch {
	case !errors.Is(err, io.EOF):
		return fmt.Errorf("reading side-deck: %w", err)
	case n == 0:
		return io.EOF
	case d.fixed:
		return d.wrong("it has only %d columns", n)
	}
	return nil
}

// statement reads the next statement. It skips blank cards.
func (d *deck) statement() (Import, error) {
	for {
		if err := d.next(); err != nil {
			return Import{}, err
		}
		if d.rest() {
			break
		}
	}
	i := Import{Line: d.line, Offset: d.begins}
	err := d.read(&i)
	if errors.Is(err, io.EOF) {
		return i, d.wrong("the statement that begins on card %d does not end", i.Line)
	}
	return i, err
}

// rest reports whether the rest of the card is not blank.
func (d *deck) rest() bool { return filled(d.card[d.column:]) }

// filled reports whether the columns are not all blank.
func filled(columns []rune) bool {
	for _, c := range columns {
		if c != ' ' {
			return true
		}
	}
	return false
}

func (d *deck) read(i *Import) error {
	if d.card[0] != ' ' {
		return d.wrong("text in column 1")
	}
	d.blanks()
	verb, err := d.word()
	if err != nil {
		return err
	}
	if verb != "IMPORT" || d.column >= contentEnd || d.card[d.column] != ' ' {
		return d.wrong("it is no IMPORT statement")
	}
	d.blanks()
	if i.Class, err = d.word(); err != nil {
		return err
	}
	switch i.Class {
	case "CODE", "DATA", "CODE64", "DATA64":
	default:
		return d.wrong("it imports neither code nor data")
	}
	if i.DLL, i.BareDLL, err = d.name(); err != nil {
		return err
	}
	if i.Symbol, i.BareSymbol, err = d.name(); err != nil {
		return err
	}
	if more, err := d.comma(); err != nil || !more {
		return err
	}
	if i.Place, err = d.word(); err != nil {
		return err
	}
	if i.Place == "" || strings.Trim(i.Place, "0123456789ABCDEFabcdef") != "" {
		return d.wrong("the place of the descriptor is no number")
	}
	if more, err := d.comma(); err != nil || !more {
		return err
	}
	return d.wrong("the statement has too many operands")
}

func (d *deck) blanks() {
	for d.column < contentEnd && d.card[d.column] == ' ' {
		d.column++
	}
}

// follow goes to the next card of a continued statement: to its first character, or
// to column 2 within quotes.
func (d *deck) follow(quoted bool) error {
	if filled(d.card[markColumn+1:]) {
		return d.wrong("text in columns 73 to 80")
	}
	if err := d.next(); err != nil {
		return err
	}
	if d.card[0] != ' ' {
		return d.wrong("text in column 1")
	}
	d.column = 1
	if !quoted {
		d.blanks()
	}
	return nil
}

// marked reports whether the statement is continued because its card is full.
func (d *deck) marked() bool { return d.column >= contentEnd && d.card[markColumn] != ' ' }

// word reads a word without quotes.
func (d *deck) word() (string, error) {
	var s strings.Builder
	for {
		if d.marked() {
			if err := d.follow(false); err != nil {
				return "", err
			}
		}
		if d.column >= contentEnd || strings.ContainsRune(" ,'()", d.card[d.column]) {
			return s.String(), nil
		}
		s.WriteRune(d.card[d.column])
		d.column++
		if s.Len() > maxName {
			return "", d.wrong("a name has more than %d bytes", maxName)
		}
	}
}

// comma reads a comma, and goes to the next card if the statement continues there.
// If there is no comma, the statement must end.
func (d *deck) comma() (bool, error) {
	if d.marked() {
		if err := d.follow(false); err != nil {
			return false, err
		}
	}
	if d.column >= contentEnd || d.card[d.column] != ',' {
		if d.rest() {
			return false, d.wrong("text after the statement")
		}
		return false, nil
	}
	d.column++
	if d.column < contentEnd && d.card[d.column] != ' ' || d.marked() {
		return true, nil
	}
	if filled(d.card[d.column:contentEnd]) {
		return false, d.wrong("text after a comma and a blank")
	}
	return true, d.follow(false)
}

// name reads a comma and the name behind it.
func (d *deck) name() (name string, bare bool, err error) {
	if more, err := d.comma(); err != nil {
		return "", false, err
	} else if !more {
		return "", false, d.wrong("an operand is missing")
	}
	if d.marked() {
		if err := d.follow(false); err != nil {
			return "", false, err
		}
	}
	if d.card[d.column] != '\'' {
		name, err = d.word()
		bare = true
	} else {
		name, err = d.quoted()
	}
	if err == nil && name == "" {
		err = d.wrong("a name is empty")
	}
	return name, bare, err
}

// quoted reads a name in quotes; two quotes stand for one.
func (d *deck) quoted() (string, error) {
	var s strings.Builder
	for d.column++; ; d.column++ {
		if d.column >= contentEnd {
			if err := d.follow(true); err != nil {
				return "", err
			}
		}
		c := d.card[d.column]
		if c == '\'' {
			if d.column++; d.column >= contentEnd || d.card[d.column] != '\'' {
				return s.String(), nil
			}
		}
		s.WriteRune(c)
		if s.Len() > maxName {
			return "", d.wrong("a name has more than %d bytes", maxName)
		}
	}
}
