// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

package judge

import (
	"context"
	"hash/maphash"
	"strings"

	"github.com/zfarm/zfarm/orchestrator/compare/format"
	"github.com/zfarm/zfarm/orchestrator/compare/format/span"
	"github.com/zfarm/zfarm/workers/codepage"
)

// Bounds of an inventory. A file beyond them has none.
const (
	maxParts   = 1 << 18 // spans of one file
	maxCounted = 1 << 13 // values and symbols of one file
	maxName    = 1 << 10 // bytes of a name that counts as one value
)

// inventory lists the parts of a file by name, regardless of their offsets. It
// serves to compare files in which everything is shifted.
type inventory struct {
	fields  map[string]*entry
	order   []string
	symbols map[string][]*symbol // by name
	names   []string             // names of symbols, in file order
	values  int
	whole   bool // the file was read to its end
}

// entry holds all parts of one name: the values that the format reads, and the
// other bytes.
type entry struct {
	plain  pieces
	values map[valueKey]*countedValue
	order  []*countedValue
}

// countedValue is a value and how often it occurs.
type countedValue struct {
	key   valueKey
	kind  span.Kind
	value span.Value
	first int64
	count int
}

// valueKey identifies a value by its text and a sum of its bytes, since the text
// may be cut.
type valueKey struct {
	text string
	sum  uint64
}

// symbol is one symbol with its attributes by field.
type symbol struct {
	name       string
	at         int64
	attributes []attribute
}

type attribute struct {
	field, text string
	at          int64
}

// newInventory makes the inventory of a file.
func newInventory(ctx context.Context, in parts, f File, seed maphash.Seed) (*inventory, error) {
	v := &inventory{fields: map[string]*entry{}, symbols: map[string][]*symbol{}}
	u := symbolReader{v: v, f: f, form: in.of.Symbol}
	at := int64(0)
	for n := 0; at < f.Size && n < maxParts && v.values < maxCounted; n++ {
		if n%1024 == 0 && ctx.Err() != nil {
			return nil, ctx.Err()
		}
		s, ok := in.At(at)
		next := in.End(at, f.Size)
		if next <= at {
			break // the layout makes no progress
		}
		here := span.Stretch{Offset: at, Length: next - at}
		at = next
		if !ok {
			continue
		}
		taken, err := u.addPart(in, s, here)
		if err == nil && !taken {
			err = v.addPart(f, s, here, seed)
		}
		if err != nil {
			return nil, err
		}
	}
	v.whole = at >= f.Size
	return v, u.end()
}

// addPart adds a part: as a value if the format fixes its form, as bytes otherwise.
func (v *inventory) addPart(f File, s span.Span, here span.Stretch, seed maphash.Seed) error {
	if hasFixedMeaning(s) && s.Read != nil && s.Offset == here.Offset {
		b, err := f.bytes(span.Stretch{Offset: s.Offset, Length: min(s.Length, maxTyped)})
		if err == nil {
			v.countValue(s.Name, countedValue{kind: s.Kind, value: s.Read(b), first: s.Offset}, maphash.Bytes(seed, b))
		}
		return err
	}
	e := v.entry(s.Name)
	e.plain.r = f.R
	e.plain.add(here)
	return nil
}

func (v *inventory) entry(name string) *entry {
	e := v.fields[name]
	if e == nil {
		e = &entry{values: map[valueKey]*countedValue{}}
		v.fields[name], v.order = e, append(v.order, name)
	}
	return e
}

// countValue counts one occurrence of a value.
func (v *inventory) countValue(name string, s countedValue, sum uint64) {
	e := v.entry(name)
	s.key = valueKey{s.value.Text, sum}
	if known := e.values[s.key]; known != nil {
		known.count++
		return
	}
	s.count = 1
	e.values[s.key], e.order = &s, append(e.order, &s)
	v.values++
}

// symbolReader reads one symbol at a time. Its name may be spread over several
// cards.
type symbolReader struct {
	v    *inventory
	f    File
	form format.Symbol
	open *symbol
	text []span.Stretch
	size int64
}

// addPart adds a part if it belongs to a symbol, and reports whether it does.
func (u *symbolReader) addPart(in parts, s span.Span, here span.Stretch) (bool, error) {
	if u.form.Prefix == "" || !strings.HasPrefix(s.Name, u.form.Prefix) {
		if in.frame(s.Name) || strings.HasSuffix(s.Name, ".reserved") {
			return false, nil // bytes without a name may lie within a symbol
		}
		return false, u.end()
	}
	if s.Name == u.form.First {
		if err := u.end(); err != nil {
			return false, err
		}
		u.open = &symbol{at: here.Offset}
	}
	switch {
	case u.open == nil || in.frame(s.Name):
		return false, nil
	case s.Name == u.form.Name:
		if u.size < maxName {
			u.text = append(u.text, here)
		}
		u.size += here.Length
	case s.Read != nil && s.Offset == here.Offset:
		b, err := u.f.bytes(here)
		if err != nil {
			return false, err
		}
		u.open.attributes = append(u.open.attributes, attribute{s.Name, s.Read(b).Text, here.Offset})
	default:
		return false, nil
	}
	return true, nil
}

// end closes the open symbol and stores it.
func (u *symbolReader) end() error {
	if u.open == nil {
		return nil
	}
	b, err := readPieces(u.f.R, u.text)
	if err != nil {
		return err
	}
	s := u.open
	s.name = strings.TrimRight(string(codepage.Latin1(b)), " ")
	if len(u.v.symbols[s.name]) == 0 {
		u.v.names = append(u.v.names, s.name)
	}
	u.v.symbols[s.name] = append(u.v.symbols[s.name], s)
	u.v.values++
	u.open, u.text, u.size = nil, nil, 0
	return nil
}
