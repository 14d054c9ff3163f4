// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

package xzfile

import (
	"bytes"
	"encoding/binary"
	"hash/crc32"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// header returns a block header with the given bytes before its checksum.
func header(body ...byte) []byte {
	for len(body)%Align != 0 {
		body = append(body, 0)
	}
	body[0] = byte(len(body) / Align)
	return binary.LittleEndian.AppendUint32(body, crc32.ChecksumIEEE(body))
}

func TestBlockHeader(t *testing.T) {
	for _, tt := range []struct {
		name string
		b    []byte
		want Block
		err  string
	}{
		{"plain", header(0, 0, 0x21, 1, 0), Block{-1, -1, true, 4 << 10}, ""},
		{"odd window", header(0, 0, 0x21, 1, 1), Block{-1, -1, true, 6 << 10}, ""},
		{"largest window", header(0, 0, 0x21, 1, 40), Block{-1, -1, true, 4 << 30}, ""},
		{"packed", header(0, 0x40, 5, 0x21, 1, 0), Block{5, -1, true, 4 << 10}, ""},
		{"both sizes", header(0, 0xc0, 5, 0x80, 1, 0x21, 1, 0), Block{5, 128, true, 4 << 10}, ""},
		{"two filters", header(0, 1, 0x21, 1, 0), Block{Packed: -1, Size: -1}, ""},
		{"other filter", header(0, 0, 4, 0), Block{Packed: -1, Size: -1}, ""},
		{"window beyond", header(0, 0, 0x21, 1, 41), Block{}, "unknown dictionary"},
		{"flags", header(0, 0x10, 0x21, 1, 0), Block{}, "unknown flags"},
		{"size too long", header(0, 0x40, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 1), Block{}, "no readable sizes"},
		{"size with a zero behind it", header(0, 0x40, 0x80, 0, 0x21, 1, 0), Block{}, "no readable sizes"},
		{"padding", header(0, 0, 0x21, 1, 0, 1), Block{}, "padding"},
		{"sum", append(header(0, 0, 0x21, 1, 0)[:8], 0, 0, 0, 0), Block{}, "damaged"},
		{"cut off", header(0, 0, 0x21, 1, 0)[:8], Block{}, "cut off"},
		{"nothing", nil, Block{}, "cut off"},
	} {
		got, err := BlockHeader(tt.b)
		if diff := cmp.Diff(tt.want, got); diff != "" || (err != nil) != (tt.err != "") || err != nil && !strings.Contains(err.Error(), tt.err) {
			t.Errorf("%s: %v (-want +got):\n%s", tt.name, err, diff)
		}
	}
}

func TestEdges(t *testing.T) {
	head := func(flags ...byte) []byte {
		return binary.LittleEndian.AppendUint32(append([]byte(Magic), flags...), crc32.ChecksumIEEE(flags))
	}
	foot := func(b ...byte) []byte {
		return append(append(binary.LittleEndian.AppendUint32(nil, crc32.ChecksumIEEE(b)), b...), footerMagic...)
	}
	for id := range 256 {
		check, err := Header(head(0, byte(id)))
		if known := id == 0 || id == 1 || id == 4 || id == 10; known != (err == nil) {
			t.Errorf("check %d: %v", id, err)
		} else if h := check.Hash(); known && len(Sum(h)) != check.Size {
			t.Errorf("check %d has %d bytes, and a sum of %d", id, check.Size, len(Sum(h)))
		}
	}
	for name, b := range map[string][]byte{"flags": head(1, 1), "sum": append(head(0, 1)[:8], 0, 0, 0, 0), "magic": head(0, 1)[1:], "short": head(0, 1)[:11], "nothing": nil} {
		if _, err := Header(b); err == nil {
			t.Errorf("header with wrong %s is taken", name)
		}
	}
	crc, _ := CheckOf(1)
	if n, err := Footer(foot(1, 0, 0, 0, 0, 1), crc); n != 8 || err != nil {
		t.Errorf("an index of %d bytes, %v; want 8", n, err)
	}
	for name, b := range map[string][]byte{"check": foot(1, 0, 0, 0, 0, 4), "flags": foot(1, 0, 0, 0, 1, 1), "sum": append([]byte{9}, foot(1, 0, 0, 0, 0, 1)[1:]...),
		"magic": append(foot(1, 0, 0, 0, 0, 1)[:11], 'X'), "short": foot(1, 0, 0, 0, 0, 1)[:11], "nothing": nil} {
		if _, err := Footer(b, crc); err == nil {
			t.Errorf("footer with wrong %s is taken", name)
		}
	}
}

// FuzzBlockHeader: whatever a header contains, its sizes and window are within
// their bounds.
func FuzzBlockHeader(f *testing.F) {
	f.Add(header(0, 0xc0, 5, 0x80, 1, 0x21, 1, 0))
	f.Add(header(0, 0, 0x21, 1, 40))
	f.Fuzz(func(t *testing.T, b []byte) {
		before := bytes.Clone(b)
		got, err := BlockHeader(b)
		if err == nil && (got.Packed < -1 || got.Size < -1 || got.Packed > maxSize || got.Size > maxSize || got.Window < 0 || got.Window > 4<<30) {
			t.Errorf("%x: %+v", b, got)
		}
		if !bytes.Equal(before, b) {
			t.Error("the header was changed")
		}
	})
}
