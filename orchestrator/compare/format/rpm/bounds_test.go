// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

package rpm

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/zfarm/zfarm/orchestrator/compare/format/container"
	"github.com/zfarm/zfarm/orchestrator/compare/format/container/containertest"
)

// TestHostileHeadersTakeLittleMemory reads headers of 16 MiB that decode to much
// more.
func TestHostileHeadersTakeLittleMemory(t *testing.T) {
	const room = maxStore - 64<<10
	zeros := strings.Repeat("\x00", room)
	var tags []line
	for i := range uint32(maxTags - 100) {
		tags = append(tags, line{10_000 + i, kindString, 1, fmt.Sprintf("%d\x00", i)})
	}
	files := func(n int) []line {
		return []line{{tagBaseNames, kindStrings, n, zeros[:n]}, {tagDirIndexes, kindInt32, n, zeros[:4*n]}, {tagDirNames, kindStrings, 1, "/\x00"},
			{tagFileModes, kindInt16, n, zeros[:2*n]}, {tagFileInodes, kindInt32, n, zeros[:4*n]}, {tagFileDevices, kindInt32, n, zeros[:4*n]}}
	}
	for name, lines := range map[string][]line{
		"numbers":      {{4999, kindInt8, room, zeros}},
		"texts":        {{4999, kindStrings, room, zeros}},
		"lines":        {{4999, kindString, 1, strings.Repeat("\n", room-1) + "\x00"}},
		"long text":    {{4999, kindString, 1, strings.Repeat("x", room-1) + "\x00"}},
		"bytes":        {{4999, kindBinary, room, zeros}},
		"tags":         tags,
		"files":        files(1 << 20),
		"fewer files":  files(100_000),
		"folders":      {{tagBaseNames, kindStrings, 1, "a\x00"}, {tagDirIndexes, kindInt32, 1, zeros[:4]}, {tagDirNames, kindStrings, room - 100, zeros[:room-100]}},
		"long folders": {{tagBaseNames, kindStrings, 1000, zeros[:1000]}, {tagDirIndexes, kindInt32, 1000, zeros[:4000]}, {tagDirNames, kindStrings, 1, strings.Repeat("d", room/2) + "\x00"}},
	} {
		t.Run(name, func(t *testing.T) {
			s := sample{tags: lines, raw: true}
			in := s.withoutFiles()
			_, err := containertest.Open(t, bytes.NewReader(in), int64(len(in)), container.Limits{}, containertest.Most, Open)
			if name == "long text" || name == "bytes" || name == "tags" {
				if err != nil {
					t.Errorf("error %v", err)
				}
				return
			}
			if !errors.Is(err, container.ErrFormat) || !strings.Contains(err.Error(), "raise the limit") {
				t.Errorf("error %v", err)
			}
		})
	}
}

// withoutFiles writes a package with only those tags.
func (s sample) withoutFiles() []byte {
	lead := make([]byte, leadSize)
	copy(lead, leadMagic+"\x03")
	out := slices.Concat(lead, headerOf(62))
	out = append(out, make([]byte, -len(out)&7)...)
	packed, _ := s.payload()
	return append(append(out, headerOf(63, s.tags...)...), packed...)
}
