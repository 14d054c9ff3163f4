// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

package progobj

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"slices"
	"sort"

	"github.com/zfarm/zfarm/orchestrator/compare/format/span"
)

const (
	pageSize       = 4096
	pageHead       = 12
	checksumAt     = 6
	checksumLength = 4
	maxPages       = 1 << 18
)

// findChecksums finds what the binder calls the checksum of a page: a copy of the
// page's first 4 bytes. An entry counts as one only if it matches its page, so that
// a difference in it always comes from the page.
func (f *File) findChecksums(records map[recordType]declaration) error {
	const head = 28
	prat, ok := records[recordPRAT]
	data, has := records[recordPRDT]
	code, loaded := records[recordText]
	if !ok || !has || !loaded || prat.length < head {
		return nil
	}
	b, err := f.read("page table", prat.offset, head)
	if err != nil {
		return err
	}
	pages, width := u32(b[20:]), u16(b[24:])
	if width != 2 && width != 4 || pages > min(maxPages, (prat.length-head)/width) {
		f.fault("the page table has %d entries of %d bytes", pages, width)
		return nil
	}
	entries := bufio.NewReader(io.NewSectionReader(f.r, prat.offset+head, pages*width))
	entry := make([]byte, 4)
	for page := range pages {
		if _, err := io.ReadFull(entries, entry[4-width:]); err != nil {
			return fmt.Errorf("reading page table: %w", err)
		}
		if at := u32(entry); at > 0 && at+pageHead <= data.length {
			if err := f.checksum(data.offset+at, page, code.offset+page*pageSize); err != nil {
				return err
			}
		}
	}
	slices.Sort(f.checksums)
	f.checksums = slices.Compact(f.checksums)
	return nil
}

// checksum tests the entry of one page.
func (f *File) checksum(at, page, place int64) error {
	g, ok := f.regionAt(place)
	if h, here := f.regionAt(at); !ok || g.name != text || place+checksumLength > g.end || !here || h.name != prdt {
		return nil
	}
	entry, err := f.read("page entry", at, pageHead)
	if err != nil {
		return err
	}
	first, err := f.read("page", place, checksumLength)
	if err != nil {
		return err
	}
	if u32(entry) == page && bytes.Equal(entry[checksumAt:checksumAt+checksumLength], first) {
		f.checksums = append(f.checksums, at+checksumAt)
	}
	return nil
}

// checksumAt narrows the span of a byte in the page relocation data to the checksum
// that contains it.
func (f *File) checksumAt(offset int64, s span.Span) span.Span {
	i := sort.Search(len(f.checksums), func(i int) bool { return f.checksums[i] > offset }) - 1
	if i < 0 || offset >= f.checksums[i]+checksumLength {
		return s
	}
	return span.Span{Name: "prdt.checksum", Offset: f.checksums[i], Length: checksumLength, Kind: span.Digest}
}
