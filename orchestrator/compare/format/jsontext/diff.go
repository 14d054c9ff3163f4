// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

package jsontext

import (
	"bytes"
	"cmp"
	"slices"
	"strconv"
	"strings"
)

// Value is one value of a document; Kind is None if there is no value.
type Value struct {
	Kind   Kind
	Offset int64
	// Raw is the bytes of the value in the document.
	Raw []byte
}

// Text returns the unescaped text of a string, and the bytes of any other value.
func (v Value) Text() string {
	if v.Kind == String {
		return unquote(v.Raw)
	}
	return string(v.Raw)
}

// Scalar reports whether the value is a string, a number or a literal.
func (v Value) Scalar() bool { return v.Kind >= String }

// Change is a value that differs between two documents or is in one of them only.
// Of objects and arrays that differ, the differing elements are reported.
type Change struct {
	Pointer string
	// Name is the name of the innermost object member that contains the value.
	Name string
	A, B Value
}

// Diff calls each for every value that differs, and reports whether the members of
// some object are in another order.
func Diff(a, b *Document, each func(Change)) bool {
	c := &comparison{a: a, b: b, each: each}
	c.values(0, 0)
	return c.reordered
}

type comparison struct {
	a, b      *Document
	each      func(Change)
	path      []string
	names     []string
	reordered bool
}

// no is the node of a missing value.
const no = ^uint32(0)

func (d *Document) value(at uint32) Value {
	if at == no {
		return Value{}
	}
	n := d.nodes[at]
	return Value{n.kind, int64(n.at), d.text[n.at : n.at+n.length]}
}

// report passes the value at the current path on.
func (c *comparison) report(atA, atB uint32) {
	var pointer strings.Builder
	for _, token := range c.path {
		pointer.WriteByte('/')
		pointer.WriteString(strings.NewReplacer("~", "~0", "/", "~1").Replace(token))
	}
	ch := Change{Pointer: pointer.String(), A: c.a.value(atA), B: c.b.value(atB)}
	if len(c.names) > 0 {
		ch.Name = c.names[len(c.names)-1]
	}
	c.each(ch)
}

// below compares a child of the current value: the member called name if index is
// negative, else the array element at index.
func (c *comparison) below(name string, index int, atA, atB uint32) {
	if index < 0 {
		c.path, c.names = append(c.path, name), append(c.names, name)
		defer func() { c.names = c.names[:len(c.names)-1] }()
	} else {
		c.path = append(c.path, strconv.Itoa(index))
	}
	c.values(atA, atB)
	c.path = c.path[:len(c.path)-1]
}

// values compares two values, one of which may be missing.
func (c *comparison) values(atA, atB uint32) {
	a, b := c.a.value(atA), c.b.value(atB)
	switch {
	case a.Kind == b.Kind && bytes.Equal(a.Raw, b.Raw):
	case a.Kind == Object && b.Kind == Object:
		c.objects(atA, atB)
	case a.Kind == Array && b.Kind == Array:
		c.arrays(atA, atB)
	default:
		c.report(atA, atB)
	}
}

func (c *comparison) arrays(atA, atB uint32) {
	endA, endB := c.a.nodes[atA].end, c.b.nodes[atB].end
	i, k := atA+1, atB+1
	for index := 0; i < endA || k < endB; index++ {
		oneA, oneB := no, no
		if i < endA {
			oneA, i = i, c.a.nodes[i].end
		}
		if k < endB {
			oneB, k = k, c.b.nodes[k].end
		}
		c.below("", index, oneA, oneB)
	}
}

func (c *comparison) objects(atA, atB uint32) {
	inA, inB := c.a.members(int(atA)), c.b.members(int(atB))
	var pairs [][2]uint32
	for i, k := 0, 0; i < len(inA) || k < len(inB); {
		order := 0
		switch {
		case i == len(inA):
			order = 1
		case k == len(inB):
			order = -1
		default:
			order = bytes.Compare(inA[i].key, inB[k].key)
		}
		switch {
		case order < 0:
			c.below(string(inA[i].key), -1, inA[i].at, no)
			i++
		case order > 0:
			c.below(string(inB[k].key), -1, no, inB[k].at)
			k++
		default:
			pairs = append(pairs, [2]uint32{inA[i].at, inB[k].at})
			c.below(string(inA[i].key), -1, inA[i].at, inB[k].at)
			i, k = i+1, k+1
		}
	}
	slices.SortFunc(pairs, func(x, y [2]uint32) int { return cmp.Compare(x[0], y[0]) })
	c.reordered = c.reordered || !slices.IsSortedFunc(pairs, func(x, y [2]uint32) int { return cmp.Compare(x[1], y[1]) })
}

// SameForm reports whether two documents have the same bytes outside their strings,
// numbers and literals: the same names, white space and order of members.
func SameForm(a, b *Document) bool {
	i, k := a.scalar(0), b.scalar(0)
	fromA, fromB := uint32(0), uint32(0)
	for i < len(a.nodes) && k < len(b.nodes) {
		x, y := a.nodes[i], b.nodes[k]
		if !bytes.Equal(a.text[fromA:x.at], b.text[fromB:y.at]) {
			return false
		}
		fromA, fromB = x.at+x.length, y.at+y.length
		i, k = a.scalar(i+1), b.scalar(k+1)
	}
	return i == len(a.nodes) && k == len(b.nodes) && bytes.Equal(a.text[fromA:], b.text[fromB:])
}

// scalar returns the index of the first scalar from node i on.
func (d *Document) scalar(i int) int {
	for i < len(d.nodes) && d.nodes[i].kind < String {
		i++
	}
	return i
}
