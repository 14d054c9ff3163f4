// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

// Package rpm reads RPM packages of versions 3 and 4: a lead, a signature header, a
// main header, and a compressed cpio archive.
//
// The archive becomes the content of the only entry without a name; the package
// cpio beside this one reads it. The metadata of each file in the header becomes an
// entry of that file, without content. The digests in the headers are recomputed: a
// correct digest follows from the rest of the package and is left out, a wrong one
// is reported and never masked. Signatures are not verified and mask nothing else.
// docs/formats/rpm.md describes the layout, with sources.
package rpm

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"

	"github.com/zfarm/zfarm/orchestrator/compare/format/container"
	"github.com/zfarm/zfarm/orchestrator/compare/format/cpio"
	"github.com/zfarm/zfarm/orchestrator/compare/format/exact"
	"github.com/zfarm/zfarm/orchestrator/compare/format/stream"
)

const (
	leadMagic = "\xed\xab\xee\xdb"
	leadSize  = 96
	signature = "rpm.signature."
	general   = "rpm."
)

// Is reports whether head begins a package.
func Is(head []byte) bool { return len(head) >= 8 && bytes.HasPrefix(head, []byte(leadMagic)) }

// Open reads a package. The fields of the container are those of the lead
// ("rpm.lead."), the signature header ("rpm.signature." and the name of the tag)
// and the main header ("rpm." and the name of the tag), in file order. A tag with
// several values or lines has a field for each. The first entry is the payload.
// Bytes between tags, behind the zero that terminates a text, and between the
// headers are hidden unless they are zero.
func Open(r io.ReaderAt, size int64, l container.Limits) (*container.Container, error) {
	p := &pack{f: exact.File{R: r, Size: size}, limits: l, budget: exact.NewBudget(l), c: &container.Container{Kind: "RPM package"}}
	if err := p.lead(); err != nil {
		return nil, err
	}
	signed, err := p.header(leadSize)
	if err != nil {
		return nil, fmt.Errorf("reading header of signatures: %w", err)
	}
	at, err := p.aligned(signed.end)
	if err != nil {
		return nil, err
	}
	main, err := p.header(at)
	if err != nil {
		return nil, fmt.Errorf("reading header: %w", err)
	}
	if err := p.payload(main.end); err != nil {
		return nil, fmt.Errorf("reading payload at byte %d: %w", main.end, err)
	}
	if err := p.addFields(signed, main); err != nil {
		return nil, err
	}
	p.c.Hidden = p.hidden.Value()
	return p.c, nil
}

// pack is the state of reading one package.
type pack struct {
	f      exact.File
	limits container.Limits
	budget *exact.Budget
	c      *container.Container
	hidden exact.Hidden
	// payloadAt is the offset of the payload, payloadOpen opens it decoded.
	payloadAt   int64
	payloadOpen func() (io.ReadCloser, error)
}

func (p *pack) addField(name string, w container.Weight, value string) error {
	f := container.Field{Name: name, Value: value, Weight: w}
	if err := p.budget.Names(0, growth); err != nil {
		return err
	}
	p.c.Fields = append(p.c.Fields, f)
	return p.budget.Fields(0, p.c.Fields[len(p.c.Fields)-1:])
}

// growth is the memory of a field without its texts, in a growing slice.
const growth = 56

// hide hides bytes unless all are zero.
func (p *pack) hide(at, length int64) error {
	zero, err := p.zeros(at, length)
	if err != nil || zero {
		return err
	}
	return p.hidden.Add(p.f, at, length)
}

// zeros reports whether all bytes of a range are zero.
func (p *pack) zeros(at, length int64) (bool, error) {
	buf := make([]byte, min(max(length, 0), 4<<10))
	for length > 0 {
		b := buf[:min(length, int64(len(buf)))]
		if err := p.f.Read(b, at); err != nil {
			return false, err
		}
		if len(bytes.Trim(b, "\x00")) > 0 {
			return false, nil
		}
		at, length = at+int64(len(b)), length-int64(len(b))
	}
	return true, nil
}

// aligned returns the next multiple of eight, and hides the bytes before it.
func (p *pack) aligned(at int64) (int64, error) {
	next := (at + 7) &^ 7
	if next > p.f.Size {
		return 0, exact.Errorf(at, "the file ends")
	}
	return next, p.hide(at, next-at)
}

// lead reads the lead. Only file(1) uses it: the headers repeat its values.
func (p *pack) lead() error {
	b := make([]byte, leadSize)
	if err := p.f.Read(b, 0); err != nil {
		return err
	}
	if string(b[:4]) != leadMagic {
		return exact.Errorf(0, "it does not begin as an RPM package")
	}
	if b[4] != 3 && b[4] != 4 {
		return exact.Errorf(4, "a package of form %d.%d; 3 and 4 are read", b[4], b[5])
	}
	u16 := binary.BigEndian.Uint16
	kind := fmt.Sprint(u16(b[6:]))
	switch u16(b[6:]) {
	case 0:
		kind = "binary"
	case 1:
		kind = "source"
	}
	name, rest, ended := bytes.Cut(b[10:76], []byte{0})
	if !ended {
		return exact.Errorf(10, "the name in the lead has no end")
	}
	for _, x := range []struct{ name, value string }{
		{"version", fmt.Sprintf("%d.%d", b[4], b[5])},
		{"type", kind},
		{"arch", fmt.Sprint(u16(b[8:]))},
		{"name", strconv.Quote(string(name))},
		{"os", fmt.Sprint(u16(b[76:]))},
		{"signature", fmt.Sprint(u16(b[78:]))},
	} {
		if err := p.addField("rpm.lead."+x.name, container.Meaning, x.value); err != nil {
			return err
		}
	}
	if err := p.hide(76-int64(len(rest)), int64(len(rest))); err != nil {
		return err
	}
	return p.hide(80, 16)
}

// errPayload lists the payloads that are read.
var errPayload = errors.New("it is none that is read: a cpio archive, as it is or in gzip, bzip2, xz or zstd")

// payload makes the first entry from what follows the headers.
func (p *pack) payload(at int64) error {
	part := io.NewSectionReader(p.f.R, at, p.f.Size-at)
	head := make([]byte, min(512, p.f.Size-at))
	if err := p.f.Read(head, at); err != nil {
		return err
	}
	p.payloadAt = at
	switch {
	case cpio.Is(head):
		p.payloadOpen = func() (io.ReadCloser, error) { return io.NopCloser(io.NewSectionReader(part, 0, part.Size())), nil }
		p.c.Entries = append(p.c.Entries, container.Entry{Offset: at, Size: part.Size(),
			Fields: []container.Field{{Name: "rpm.compression", Value: "none"}}})
		return nil
	case stream.Is(head):
		s, err := stream.Open(part, part.Size(), p.limits)
		if err != nil {
			return err
		}
		e := s.Entries[0]
		e.Hidden = s.Hidden
		e.Hidden.First += at
		if e.Hidden.Count == 0 {
			e.Hidden.First = 0
		}
		p.payloadOpen = e.Open
		p.c.Entries = append(p.c.Entries, e)
		return p.budget.Fields(at, e.Fields)
	}
	return exact.Errorf(0, "%w", errPayload)
}

// addFields makes fields and entries from the parsed package.
func (p *pack) addFields(signed, main *header) error {
	files, err := p.files(main)
	if err != nil {
		return err
	}
	if err := p.verify(signed, main, files); err != nil {
		return err
	}
	if err := p.tags(signed, tagTable{signature, signatureNames()}); err != nil {
		return err
	}
	if err := p.tags(main, tagTable{general, tagNames()}); err != nil {
		return err
	}
	return p.entries(main, files)
}

// tags makes fields of the tags of a header that are not used elsewhere.
func (p *pack) tags(h *header, table tagTable) error {
	prefix := table.prefix
	var present []string
	for i := range h.tags {
		t := &h.tags[i]
		m := table.meaning(t.id)
		if m.signs {
			present = append(present, m.name)
		}
		if t.reported {
			continue
		}
		for value := range h.values(t, m) {
			if err := p.addField(prefix+m.name, m.weigh(value), value); err != nil {
				return err
			}
		}
	}
	if prefix == signature {
		if err := p.addField("rpm.signed", container.Meaning, strings.Join(present, ", ")); err != nil {
			return err
		}
	}
	if err := p.addField(prefix+"types", container.Meaning, h.types()); err != nil {
		return err
	}
	if err := p.addField(prefix+"layout", container.Form, h.layout); err != nil {
		return err
	}
	return p.addField(prefix+"region", container.Meaning, h.region)
}
