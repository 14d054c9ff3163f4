// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

package cpio

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/zfarm/zfarm/orchestrator/compare/format/container"
	"github.com/zfarm/zfarm/orchestrator/compare/format/container/containertest"
)

// many repeats a member endlessly, with a number in each.
func many(n int64, p part) containertest.Virtual {
	made := func(i int64) []byte {
		q := p
		q.name, q.mtime, q.uid, q.gid = fmt.Sprintf("%08d", i)+p.name, uint32(i), uint32(i), uint32(i)
		if p.inode == 0 {
			q.inode, q.device = uint32(i), uint32(i)
		}
		b := newc(newMagic, q)
		return b[:len(b)-len(newc(newMagic))]
	}
	return containertest.Virtual{{Size: int64(len(made(0))), Times: n, Make: made}, containertest.Bytes(newc(newMagic))}
}

func TestHostileArchivesTakeLittleMemory(t *testing.T) {
	if testing.Short() {
		t.Skip("reads long input with one goroutine: run it without -short")
	}
	const tenMillion = 10_000_000
	long := strings.Repeat("n", maxName-10)
	for name, v := range map[string]containertest.Virtual{
		"members":           many(tenMillion, part{links: 1}),
		"links":             many(tenMillion, part{links: 2}),
		"names of one file": many(tenMillion, part{links: 2, inode: 7}),
		"devices":           many(tenMillion, part{mode: 0o020666, special: 0x12345678}),
		"long names":        many(3000, part{name: long, links: 1}),
		"targets":           many(tenMillion, part{mode: 0o120777, content: strings.Repeat("t", 1000)}),
	} {
		t.Run(name, func(t *testing.T) {
			_, err := containertest.Open(t, v, v.Size(), container.Limits{}, containertest.Most, Open)
			if !errors.Is(err, container.ErrFormat) || !strings.Contains(err.Error(), "raise the limit") {
				t.Errorf("error %v", err)
			}
		})
	}
}

func TestManyMembersAreRead(t *testing.T) {
	const n = 30_000
	v := many(n, part{links: 1, content: "x"})
	c, err := containertest.Open(t, v, v.Size(), container.Limits{}, containertest.Most, Open)
	if err != nil || len(c.Entries) != n {
		t.Errorf("error %v", err)
	}
}
