// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

package elf

import (
	"fmt"
	"io"
)

const (
	maxStrings = 64 << 20
	maxSymbols = 4 << 20
)

// Symbols calls each with the names in the symbol tables, in order, and with the
// field of the table: "elf.symtab" or "elf.dynsym".
func Symbols(r io.ReaderAt, size int64, each func(table string, name []byte)) error {
	f, err := open(r, size)
	if err != nil {
		return err
	}
	for _, s := range f.list {
		if s.kind != typeSymbols && s.kind != typeDynSym {
			continue
		}
		if err := f.symbols(s, each); err != nil {
			return fmt.Errorf("reading symbols of %q: %w", s.name, err)
		}
	}
	return nil
}

func (f *file) symbols(s section, each func(table string, name []byte)) error {
	entry := uint64(16)
	if f.wide {
		entry = 24
	}
	if int64(s.link) >= int64(len(f.list)) || s.size/entry > maxSymbols || !within(f.fileSize, s.offset, s.size) {
		return fmt.Errorf("%w: %d symbols", ErrFormat, s.size/entry)
	}
	texts, ok := f.read(f.list[s.link], maxStrings)
	if !ok {
		return fmt.Errorf("%w: its names lie outside", ErrFormat)
	}
	buf := make([]byte, 1024*entry)
	for at := uint64(0); at+entry <= s.size; {
		n := min(uint64(len(buf)), (s.size-at)/entry*entry)
		if _, err := f.r.ReadAt(buf[:n], int64(s.offset+at)); err != nil && err != io.EOF {
			return err
		}
		for i := uint64(0); i < n; i += entry {
			each(field(s.name), textAt(texts, f.order.Uint32(buf[i:])))
		}
		at += n
	}
	return nil
}

// textAt returns the text at an offset in texts, up to its NUL.
func textAt(texts []byte, at uint32) []byte {
	if int64(at) >= int64(len(texts)) {
		return nil
	}
	texts = texts[at:]
	for i := range min(len(texts), maxText) {
		if texts[i] == 0 {
			return texts[:i]
		}
	}
	return texts[:min(len(texts), maxText)]
}
