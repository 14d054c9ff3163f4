// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

package zip

import (
	"encoding/binary"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/zfarm/zfarm/orchestrator/compare/format/container"
	"github.com/zfarm/zfarm/orchestrator/compare/format/container/containertest"
)

// virtual makes an archive of empty stored members, of any size; all numbers are in
// zip64 records.
func virtual(n int64, name func(i int64) string, extra, comment []byte) containertest.Virtual {
	u16, u32, u64 := binary.LittleEndian.AppendUint16, binary.LittleEndian.AppendUint32, binary.LittleEndian.AppendUint64
	sized := func(head []byte, i int64) []byte {
		return u16(u16(head, uint16(len(name(i)))), uint16(len(extra)))
	}
	local := func(i int64) []byte {
		b := append([]byte(localMagic), 20, 0, 0, 0, 0, 0)
		b = u16(u16(b, uint16(i)), uint16(i>>16))
		b = sized(append(b, make([]byte, 12)...), i)
		return append(append(b, name(i)...), extra...)
	}
	size := int64(len(local(0)))
	line := func(i int64) []byte {
		b := append([]byte(centralMagic), 20, 3, 20, 0, 0, 0, 0, 0)
		b = u16(u16(b, uint16(i)), uint16(i>>16))
		b = u16(sized(append(b, make([]byte, 12)...), i), uint16(len(comment)))
		b = u32(u32(u32(b, 0), uint32(i)), uint32(i*size))
		return append(append(append(b, name(i)...), extra...), comment...)
	}
	lines := int64(len(line(0)))
	end := append([]byte(end64Magic), 44, 0, 0, 0, 0, 0, 0, 0, 45, 3, 45, 0, 0, 0, 0, 0, 0, 0, 0, 0)
	end = u64(u64(u64(u64(end, uint64(n)), uint64(n)), uint64(n*lines)), uint64(n*size))
	end = u32(u64(u32(append(end, locatorMagic...), 0), uint64(n*(size+lines))), 1)
	end = append(append(end, endMagic...), 0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0, 0)
	return containertest.Virtual{{Size: size, Times: n, Make: local}, {Size: lines, Times: n, Make: line}, containertest.Bytes(end)}
}

func numbered(i int64) string { return fmt.Sprintf("%07d", i) }

// hostile are archives made to use up memory.
func hostile() map[string]containertest.Virtual {
	long := strings.Repeat("n", max16-7)
	times := strings.Repeat("UT\x05\x00\x01abcd", 5000)
	return map[string]containertest.Virtual{
		"members":    virtual(10_000_000, numbered, nil, nil),
		"some lines": virtual(1_900_000, numbered, nil, nil),
		"long names": virtual(3000, func(i int64) string { return long + numbered(i) }, nil, nil),
		"comments":   virtual(3000, numbered, nil, []byte(long)),
		"extras":     virtual(8_000, numbered, []byte(strings.Repeat("\x99\x99\x04\x00abcd", 20)), nil),
		"long extra": virtual(600, numbered, []byte("\x99\x99\xf0\xff"+long[:0xfff0]), nil),
		"many times": virtual(600, numbered, []byte(times), nil),
	}
}

func TestHostileArchivesTakeLittleMemory(t *testing.T) {
	if testing.Short() {
		t.Skip("reads long input with one goroutine: run it without -short")
	}
	for name, v := range hostile() {
		t.Run(name, func(t *testing.T) {
			_, err := containertest.Open(t, v, v.Size(), container.Limits{}, containertest.Most, Open)
			if err != nil && (!errors.Is(err, container.ErrFormat) || !strings.Contains(err.Error(), "raise the limit")) {
				t.Errorf("error %v", err)
			}
		})
	}
}

func TestManyMembersAreRead(t *testing.T) {
	const n = 30_000
	v := virtual(n, numbered, nil, nil)
	c, err := containertest.Open(t, v, v.Size(), container.Limits{}, containertest.Most, Open)
	if err != nil || len(c.Entries) != n {
		t.Errorf("error %v", err)
	}
}
