// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/zfarm/zfarm/attest"
	"github.com/zfarm/zfarm/orchestrator/farm"
	"github.com/zfarm/zfarm/orchestrator/store"
	"github.com/zfarm/zfarm/workers"
)

// TestCodeOf: the kind of an error decides the exit code, wherever it comes from.
func TestCodeOf(t *testing.T) {
	for _, c := range []struct {
		err  error
		want int
	}{
		{farm.ErrConfig, usageError},
		{farm.ErrSigning, notSigned},
		{farm.ErrKnownHosts, workerDistrust},
		{workers.ErrHostKey, workerDistrust},
		{workers.ErrAuth, workerDistrust},
		{workers.ErrUnfit, workerUnfit},
		{workers.ErrLost, workerLost},
		{store.ErrInUse, usageError},
		{store.ErrSchema, usageError},
		{store.ErrUnknown, usageError},
		{attest.ErrNotVerified, notVerified},
		{errors.New("something else"), otherError},
		{exit{needFailed, farm.ErrConfig}, needFailed},
		{stopped{}, 0},
	} {
		if have := codeOf(t.Context(), fmt.Errorf("doing it: %w", c.err)); have != c.want {
			t.Errorf("%v: exit code %d, want %d", c.err, have, c.want)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if have := codeOf(ctx, farm.ErrConfig); have != interrupted {
		t.Errorf("after Ctrl-C: exit code %d, want %d", have, interrupted)
	}
	if have := codeOf(ctx, stopped{}); have != 0 {
		t.Errorf("a server that stopped well: exit code %d", have)
	}
}
