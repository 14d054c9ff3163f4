// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

package pax

import (
	"errors"
	"io"
)

const (
	// Reads grow from leastPiece to mostPiece while nothing is skipped: little is
	// read around large members, and much at once where members are small.
	leastPiece = 4 << 10
	mostPiece  = 64 << 10
)

// errShrunk is returned for a file that ends before its size.
var errShrunk = errors.New("the file became shorter while it was read")

// window reads a file sequentially from any offset.
type window struct {
	r     io.ReaderAt
	size  int64
	at    int64 // offset of buf in the file
	buf   []byte
	pos   int // next byte of buf
	piece int
}

// Read implements io.Reader.
func (w *window) Read(p []byte) (int, error) {
	if w.pos == len(w.buf) {
		if err := w.fill(); err != nil {
			return 0, err
		}
	}
	n := copy(p, w.buf[w.pos:])
	w.pos += n
	return n, nil
}

func (w *window) fill() error {
	w.at += int64(len(w.buf))
	w.buf, w.pos = w.buf[:0], 0
	if w.at >= w.size {
		return io.EOF
	}
	n := int(min(int64(w.piece), w.size-w.at))
	if cap(w.buf) < n {
		w.buf = make([]byte, 0, n)
	}
	got, err := w.r.ReadAt(w.buf[:n], w.at)
	if got < n {
		if err == nil || errors.Is(err, io.EOF) {
			err = errShrunk
		}
		return err
	}
	w.buf = w.buf[:n]
	w.piece = min(2*w.piece, mostPiece)
	return nil
}

// move sets the offset of the next read.
func (w *window) move(to int64) {
	if from := to - w.at; from >= 0 && from <= int64(len(w.buf)) {
		w.pos = int(from)
		return
	}
	w.at, w.buf, w.pos, w.piece = to, w.buf[:0], 0, leastPiece
}
