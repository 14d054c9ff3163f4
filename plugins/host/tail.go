// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

package host

import (
	"strings"
	"sync"

	"github.com/zfarm/zfarm/plugins"
)

// maxTail is how many bytes of a plugin's standard error are kept, from the
// end.
const maxTail = 8 << 10

// tail keeps the end of what is written to it.
type tail struct {
	mu  sync.Mutex
	buf []byte
}

// Write never fails and never keeps more than twice maxTail.
func (t *tail) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	keep := p[max(0, len(p)-maxTail):]
	t.buf = append(t.buf, keep...)
	if len(t.buf) > 2*maxTail {
		t.buf = append(t.buf[:0], t.buf[len(t.buf)-maxTail:]...)
	}
	return len(p), nil
}

// quote returns what to append to an error message: the end of the plugin's
// output, safe to show; "" if there is none.
func (t *tail) quote() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	s := strings.TrimSpace(plugins.Text(string(t.buf), maxTail))
	if s == "" {
		return ""
	}
	return "; its standard error ends:\n\t" + strings.ReplaceAll(s, "\n", "\n\t")
}
