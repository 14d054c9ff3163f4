// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

package host

import (
	"crypto/sha256"
	"fmt"
	"sync"
	"time"

	"github.com/hashicorp/go-plugin"
)

// programs checks the digests of plugins' files, and reads a file again only if it is
// another one or was changed.
type programs struct {
	settledAge time.Duration // younger files are read each time
	mu         sync.Mutex
	checked    map[string]checkedProgram // by path
}

type checkedProgram struct {
	digest [sha256.Size]byte
	at     fileIdentity
}

// fileIdentity differs if a file was replaced or changed. Only the administrator can set
// the time of a change of status, so an older file that is equal in all of these has the
// contents that were read.
type fileIdentity struct {
	device, inode     uint64
	size              int64
	modified, changed int64 // nanoseconds since 1970
}

// settledAge is the age from which a change of a file is certain to have another time
// than a later one: file systems count in up to two seconds.
const settledAge = 3 * time.Second

// check returns an error unless the file of e has the digest that e pins.
func (p *programs) check(e Entry) error {
	start := time.Now()
	before, known := identify(e.Path)
	if known && p.has(e, before) {
		return nil
	}
	// Each check needs a new hash, because Check adds to it.
	pinned := plugin.SecureConfig{Checksum: e.SHA256[:], Hash: sha256.New()}
	same, err := pinned.Check(e.Path)
	if err != nil {
		return fmt.Errorf("checking %s: %w", e.Path, err)
	}
	if !same {
		return fmt.Errorf("checking %s: %w: its contents do not have the pinned %s; install the right file or pin the new one",
			e.Path, plugin.ErrChecksumsDoNotMatch, e.SHA256)
	}
	after, stillKnown := identify(e.Path)
	if !known || !stillKnown || after != before || start.Sub(time.Unix(0, before.changed)) < p.settledAge {
		return nil // right, but to be read again the next time
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.checked == nil {
		p.checked = map[string]checkedProgram{}
	}
	p.checked[e.Path] = checkedProgram{digest: e.SHA256, at: before}
	return nil
}

func (p *programs) has(e Entry, at fileIdentity) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.checked[e.Path] == checkedProgram{digest: e.SHA256, at: at}
}
