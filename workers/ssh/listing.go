// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

package ssh

import (
	"encoding/binary"
	"fmt"
	"io"
	"sync"
)

// MaxEntries bounds the names that a worker may return, over all listings in progress
// at one time; their packets may take 64 MiB.
const MaxEntries = 1 << 18

const maxListed = 64 << 20

// listing bounds what a worker may return about its folders. The sftp client collects
// names until the server ends the list, and a hostile server never does.
type listing struct {
	mu             sync.Mutex
	under          int
	entries, bytes int64
}

// begin counts a listing; the returned function ends it.
func (l *listing) begin() func() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.under == 0 {
		l.entries, l.bytes = 0, 0
	}
	l.under++
	return func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		l.under--
	}
}

func (l *listing) add(entries, bytes uint32) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.entries, l.bytes = l.entries+int64(entries), l.bytes+int64(bytes)
	if l.entries > MaxEntries || l.bytes > maxListed {
		return fmt.Errorf("it listed more than %d names or %d bytes of them", MaxEntries, maxListed)
	}
	return nil
}

// meter returns r with its packets checked. It calls end with the error for anything
// beyond the bound; the reader then returns the error that end returns.
func (l *listing) meter(r io.Reader, end func(error) error) io.Reader {
	return &meter{r: r, listing: l, end: end}
}

// meter inspects the headers of sftp packets as they pass.
type meter struct {
	r       io.Reader
	listing *listing
	end     func(error) error
	header  []byte
	skip    uint32 // bytes to the next packet
}

// The SSH_FXP_NAME packet: length, type, request id, count, names.
const (
	typeName   = 104
	nameHeader = 4 + 1 + 4 + 4
)

func (m *meter) Read(p []byte) (int, error) {
	n, err := m.r.Read(p)
	for b := p[:n]; len(b) > 0; {
		if m.skip > 0 {
			k := min(m.skip, uint32(len(b)))
			m.skip, b = m.skip-k, b[k:]
			continue
		}
		m.header = append(m.header, b[0])
		b = b[1:]
		if bad := m.parse(); bad != nil {
			return 0, m.end(bad)
		}
	}
	return n, err
}

// parse interprets the header once it is complete.
func (m *meter) parse() error {
	if len(m.header) < 5 {
		return nil
	}
	length := binary.BigEndian.Uint32(m.header)
	named := m.header[4] == typeName && length >= nameHeader-4
	if named && len(m.header) < nameHeader {
		return nil
	}
	m.skip = max(length, 1) - uint32(len(m.header)-4)
	var err error
	if named {
		err = m.listing.add(binary.BigEndian.Uint32(m.header[9:]), length)
	}
	m.header = m.header[:0]
	return err
}
