// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

package elf

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"io"
	"strings"

	"github.com/zfarm/zfarm/orchestrator/compare/format/span"
)

const (
	maxParts   = 65536 // in all sections together
	maxNotes   = 1 << 20
	noteHead   = 12
	typeID     = 3 // type of GNU's build-id note
	crcSize    = 4
	buildID    = ".note.gnu.build-id"
	debugLink  = ".gnu_debuglink"
	maxHexText = 32
)

// parts collects the parts of sections.
type parts struct {
	*file
	spans []span.Span
	// id and link are set once the file has a digest of that kind. Only the first
	// counts, or a file with many could disguise anything as one.
	id, link bool
}

func (p *parts) add(s span.Span) {
	if len(p.spans) < maxParts && s.Length > 0 {
		p.spans = append(p.spans, s)
	}
}

// of adds the parts of a section.
func (p *parts) of(s section) {
	switch {
	case s.flags&flagCode != 0:
	case s.kind == typeNote:
		p.notes(s)
	case s.name == debugLink:
		p.debugLink(s)
	case s.kind == typeDynamic:
		p.dynamic(s)
	}
}

// read returns the bytes of a section if there are at most most.
func (f *file) read(s section, most uint64) ([]byte, bool) {
	if s.size > most || !within(f.fileSize, s.offset, s.size) {
		return nil, false
	}
	b := make([]byte, s.size)
	_, err := io.ReadFull(io.NewSectionReader(f.r, int64(s.offset), int64(s.size)), b)
	return b, err == nil
}

// notes names each note by its owner and type, e.g. "elf.note.gnu.abi-tag". A note
// is the sizes of name and descriptor, a type, name and descriptor, the last two
// padded (System V ABI, "Note Section").
func (p *parts) notes(s section) {
	b, ok := p.read(s, maxNotes)
	if !ok {
		return
	}
	pad := 4
	if s.align == 8 {
		pad = 8
	}
	round := func(n int) int { return (n + pad - 1) / pad * pad }
	for at := 0; at+noteHead <= len(b); {
		nameSize, size, kind := p.order.Uint32(b[at:]), p.order.Uint32(b[at+4:]), p.order.Uint32(b[at+8:])
		if nameSize > maxName || size > maxNotes {
			return
		}
		desc := at + round(noteHead+int(nameSize))
		end := desc + int(size)
		if end > len(b) {
			return
		}
		owner := strings.TrimRight(string(b[at+noteHead:at+noteHead+int(nameSize)]), "\x00")
		name := "elf.note." + strings.ToLower(owner) + "." + noteType(owner, kind)
		note := span.Span{Name: name, Offset: int64(s.offset) + int64(at), Length: int64(end - at), Kind: span.Fixed, Read: readHex}
		if owner == "GNU" && kind == typeID {
			p.buildID(s, note, desc-at, int(size))
		} else {
			p.add(note)
		}
		at = min(round(end), len(b))
	}
}

// buildID adds the digest in the build id, if its note is well-formed and alone in
// its own section.
func (p *parts) buildID(s section, note span.Span, head, size int) {
	if s.name != buildID || p.id || note.Length != int64(s.size) || head != 16 || size < 8 || size > 64 {
		p.add(note)
		return
	}
	p.id = true
	p.add(span.Span{Name: note.Name, Offset: note.Offset + 16, Length: int64(size), Kind: span.Digest})
}

func noteType(owner string, kind uint32) string {
	if owner == "GNU" {
		switch kind {
		case 1:
			return "abi-tag"
		case typeID:
			return "build-id"
		case 4:
			return "gold-version"
		case 5:
			return "property"
		}
	}
	return fmt.Sprint(kind)
}

func readHex(b []byte) span.Value {
	if len(b) > maxHexText {
		return span.Value{Text: hex.EncodeToString(b[:maxHexText]) + "..."}
	}
	return span.Value{Text: hex.EncodeToString(b)}
}

// debugLink reads the name of the file with debug data, and that file's checksum in
// the last four bytes.
func (p *parts) debugLink(s section) {
	b, ok := p.read(s, maxText)
	if !ok {
		return
	}
	name := bytes.IndexByte(b, 0)
	if name < 0 || (name+crcSize)/crcSize*crcSize+crcSize != len(b) || p.link {
		return
	}
	p.link = true
	end := int64(s.offset) + int64(len(b)) - crcSize
	p.add(span.Span{Name: field(debugLink), Offset: int64(s.offset), Length: end - int64(s.offset), Kind: span.Fixed, Read: readTexts})
	p.add(span.Span{Name: field(debugLink) + ".crc", Offset: end, Length: crcSize, Kind: span.Digest})
}

// dynamic names the strings to which the dynamic section refers. The file's own
// name and those of the libraries it needs must be the same; the search paths for
// libraries may contain the build path.
func (p *parts) dynamic(s section) {
	b, ok := p.read(s, maxNotes)
	if !ok || int64(s.link) >= int64(len(p.list)) || p.list[s.link].kind != typeStrings {
		return
	}
	texts := p.list[s.link]
	if !within(p.fileSize, texts.offset, texts.size) {
		return
	}
	word := 4
	if p.wide {
		word = 8
	}
	for ; len(b) >= 2*word; b = b[2*word:] {
		out := span.Span{Kind: span.Fixed, Read: readTexts}
		switch p.word(b) {
		case 0:
			return
		case 1:
			out.Name = "elf.dynamic.needed"
		case 14:
			out.Name = "elf.dynamic.soname"
		case 15:
			out.Name, out.Kind = "elf.dynamic.rpath", span.Strings
		case 29:
			out.Name, out.Kind = "elf.dynamic.runpath", span.Strings
		default:
			continue
		}
		if at := p.word(b[word:]); at < texts.size {
			out.Offset = int64(texts.offset + at)
			out.Length = p.textSize(out.Offset, min(int64(texts.size-at), maxText))
			p.add(out)
		}
	}
}

// textSize returns the length of the text at offset at without its NUL; 0 if it
// does not end within most bytes.
func (p *parts) textSize(at, most int64) int64 {
	buf := make([]byte, most)
	n, _ := p.r.ReadAt(buf, at) // unreadable text has no end
	return int64(max(bytes.IndexByte(buf[:n], 0), 0))
}
