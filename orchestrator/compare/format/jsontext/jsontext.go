// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

// Package jsontext parses JSON documents (RFC 8259) so that two of them can be
// compared value by value: it gives each value's bytes, offset and pointer (RFC
// 6901).
//
// It is stricter than encoding/json, because a document that two readers may read
// differently has no single meaning to compare: duplicate names in an object,
// invalid UTF-8 and half surrogate pairs are errors. It does not judge differences;
// orchestrator/compare does.
package jsontext

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"unicode/utf8"
)

// ErrFormat says that the bytes are not a JSON document, or one beyond the bounds.
var ErrFormat = errors.New("not readable as JSON")

// Bounds on what is read.
const (
	MaxSize    = 16 << 20
	maxDepth   = 256
	maxNodes   = 1 << 20
	maxPointer = 8 << 10 // bytes of all names on the path to a value
)

// Kind is the type of a value.
type Kind int8

// The kinds; None means that there is no value.
const (
	None Kind = iota
	Object
	Array
	String
	Number
	Literal // true, false, null
)

// node is a value. Nodes are in the order of the document, so that the nodes within
// an object or array follow it, up to its end.
type node struct {
	kind        Kind
	key, keyLen uint32 // range of the member's name, without quotes
	at, length  uint32
	end         uint32 // index of the first node behind this value
}

// Document is a parsed document.
type Document struct {
	text  []byte
	nodes []node
}

// Parse parses text, which must not change while the document is used.
func Parse(text []byte) (*Document, error) {
	if len(text) > MaxSize {
		return nil, fmt.Errorf("%w: %d bytes", ErrFormat, len(text))
	}
	if !utf8.Valid(text) {
		return nil, fmt.Errorf("%w: it is not UTF-8", ErrFormat)
	}
	p := &parser{Document: Document{text: text}}
	if err := p.value(0, 0, 0, 0); err != nil {
		return nil, err
	}
	if p.space(); p.at < len(text) {
		return nil, p.fault("bytes follow the document")
	}
	return &p.Document, nil
}

// parser reads a document from its beginning.
type parser struct {
	Document
	at int
}

func (p *parser) fault(what string) error {
	return fmt.Errorf("%w: byte %d: %s", ErrFormat, p.at, what)
}

func (p *parser) space() {
	for p.at < len(p.text) && (p.text[p.at] == ' ' || p.text[p.at] == '\n' || p.text[p.at] == '\t' || p.text[p.at] == '\r') {
		p.at++
	}
}

// peek skips white space and returns the next byte, 0 at the end.
func (p *parser) peek() byte {
	if p.space(); p.at < len(p.text) {
		return p.text[p.at]
	}
	return 0
}

// value parses one value. key and keyLen are the range of its name, depth its
// nesting, and long the bytes of all names on the path to it.
func (p *parser) value(key, keyLen, depth, long int) error {
	if len(p.nodes) >= maxNodes || depth > maxDepth || long > maxPointer {
		return p.fault("it holds too much, or too deep")
	}
	c := p.peek()
	i, begin := len(p.nodes), p.at
	p.nodes = append(p.nodes, node{key: uint32(key), keyLen: uint32(keyLen), at: uint32(begin)})
	var err error
	kind := Literal
	switch {
	case c == '{':
		kind, err = Object, p.object(i, depth, long)
	case c == '[':
		kind, err = Array, p.array(depth, long)
	case c == '"':
		kind, err = String, p.str()
	case c == '-' || c >= '0' && c <= '9':
		kind, err = Number, p.number()
	default:
		err = p.literal()
	}
	n := &p.nodes[i]
	n.kind, n.length, n.end = kind, uint32(p.at-begin), uint32(len(p.nodes))
	return err
}

func (p *parser) object(i, depth, long int) error {
	p.at++
	if p.peek() == '}' {
		p.at++
		return nil
	}
	for {
		if p.peek() != '"' {
			return p.fault("want a name")
		}
		from := p.at + 1
		if err := p.str(); err != nil {
			return err
		}
		length := p.at - 1 - from
		if p.peek() != ':' {
			return p.fault("want a colon")
		}
		p.at++
		if err := p.value(from, length, depth+1, long+length+1); err != nil {
			return err
		}
		switch p.peek() {
		case ',':
			p.at++
		case '}':
			p.at++
			p.nodes[i].end = uint32(len(p.nodes))
			return p.unique(i)
		default:
			return p.fault("want a comma or the end of the object")
		}
	}
}

// unique checks that no name occurs twice in an object.
func (p *parser) unique(i int) error {
	names := p.members(i)
	for k := 1; k < len(names); k++ {
		if bytes.Equal(names[k-1].key, names[k].key) {
			return p.fault("a name occurs twice in an object")
		}
	}
	return nil
}

func (p *parser) array(depth, long int) error {
	p.at++
	if p.peek() == ']' {
		p.at++
		return nil
	}
	for {
		if err := p.value(0, 0, depth+1, long+1); err != nil {
			return err
		}
		switch p.peek() {
		case ',':
			p.at++
		case ']':
			p.at++
			return nil
		default:
			return p.fault("want a comma or the end of the array")
		}
	}
}

// str parses a string with its quotes.
func (p *parser) str() error {
	for p.at++; p.at < len(p.text); p.at++ {
		switch c := p.text[p.at]; {
		case c == '"':
			p.at++
			return nil
		case c < ' ':
			return p.fault("a control character in a string")
		case c == '\\':
			if err := p.escape(); err != nil {
				return err
			}
		}
	}
	return p.fault("a string without an end")
}

// escape parses what follows a backslash, up to its last byte.
func (p *parser) escape() error {
	p.at++
	if p.at >= len(p.text) {
		return p.fault("a string without an end")
	}
	if p.text[p.at] != 'u' {
		if bytes.IndexByte([]byte(`"\/bfnrt`), p.text[p.at]) < 0 {
			return p.fault("an unknown escape")
		}
		return nil
	}
	high, ok := p.hex(p.at + 1)
	if p.at += 4; !ok || high >= 0xdc00 && high < 0xe000 {
		return p.fault("an escape that is no character")
	}
	if high < 0xd800 || high >= 0xdc00 {
		return nil
	}
	low, ok := p.hex(p.at + 3)
	if !ok || p.text[p.at+1] != '\\' || p.text[p.at+2] != 'u' || low < 0xdc00 || low >= 0xe000 {
		return p.fault("half of a surrogate pair")
	}
	p.at += 6
	return nil
}

// hex parses four hexadecimal digits at offset at.
func (p *parser) hex(at int) (uint32, bool) {
	if at+4 > len(p.text) {
		return 0, false
	}
	var n uint32
	for _, c := range p.text[at : at+4] {
		switch {
		case c >= '0' && c <= '9':
			n = n<<4 | uint32(c-'0')
		case c >= 'a' && c <= 'f', c >= 'A' && c <= 'F':
			n = n<<4 | uint32(c|0x20-'a'+10)
		default:
			return 0, false
		}
	}
	return n, true
}

func (p *parser) digits() int {
	from := p.at
	for p.at < len(p.text) && p.text[p.at] >= '0' && p.text[p.at] <= '9' {
		p.at++
	}
	return p.at - from
}

// next consumes the next byte if it is one of any, and reports whether it did.
func (p *parser) next(any string) bool {
	if p.at < len(p.text) && bytes.IndexByte([]byte(any), p.text[p.at]) >= 0 {
		p.at++
		return true
	}
	return false
}

func (p *parser) number() error {
	p.next("-")
	if !p.next("0") && p.digits() == 0 {
		return p.fault("a number without digits")
	}
	if p.next(".") && p.digits() == 0 {
		return p.fault("a number without digits behind its point")
	}
	if p.next("eE") {
		p.next("+-")
		if p.digits() == 0 {
			return p.fault("a number without digits in its exponent")
		}
	}
	return nil
}

func (p *parser) literal() error {
	for _, s := range []string{"true", "false", "null"} {
		if bytes.HasPrefix(p.text[p.at:], []byte(s)) {
			p.at += len(s)
			return nil
		}
	}
	return p.fault("want a value")
}

// member is a member of an object.
type member struct {
	key []byte
	at  uint32 // node of the value
}

// members returns the members of an object, sorted by name.
func (d *Document) members(i int) []member {
	var out []member
	for at := uint32(i + 1); at < d.nodes[i].end; at = d.nodes[at].end {
		out = append(out, member{d.key(at), at})
	}
	slices.SortFunc(out, func(a, b member) int { return bytes.Compare(a.key, b.key) })
	return out
}

// key returns the unescaped name of an object's member.
func (d *Document) key(at uint32) []byte {
	n := d.nodes[at]
	raw := d.text[n.key : n.key+n.keyLen]
	if bytes.IndexByte(raw, '\\') < 0 {
		return raw
	}
	return []byte(unquote(d.text[n.key-1 : n.key+n.keyLen+1]))
}

// unquote returns the text of a string that was parsed before.
func unquote(raw []byte) string {
	var s string
	if err := json.Unmarshal(raw, &s); err != nil {
		return string(raw)
	}
	return s
}
