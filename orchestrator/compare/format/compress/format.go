// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

package compress

import (
	"io"

	"github.com/zfarm/zfarm/orchestrator/compare/format"
	"github.com/zfarm/zfarm/orchestrator/compare/format/container"
)

// Format returns the description of the format: a container of one member.
func Format() format.Format {
	return format.Format{Name: "compress stream", Is: Is, Open: Open}
}

// Is reports whether head begins a compress stream.
func Is(head []byte) bool { return len(head) > len(Magic) && string(head[:len(Magic)]) == Magic }

// Open reads a compress stream as a container of one member.
func Open(r io.ReaderAt, size int64, _ container.Limits) (*container.Container, error) {
	return &container.Container{Kind: "compress stream", Entries: []container.Entry{{Size: -1, Open: func() (io.ReadCloser, error) {
		z, err := NewReader(io.NewSectionReader(r, 0, size))
		if err != nil {
			return nil, err
		}
		return io.NopCloser(z), nil
	}}}}, nil
}
