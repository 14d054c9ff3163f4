// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

package make_test

import (
	"context"
	"io"

	"github.com/zfarm/zfarm/plugins"
	"github.com/zfarm/zfarm/workers"
)

// ending is a workspace in which every step runs past its limit.
type ending struct{ plugins.Workspace }

func (ending) Run(_ context.Context, _ workers.Step, log io.Writer) (workers.Status, error) {
	if _, err := io.WriteString(log, "PASS: a\n"); err != nil {
		return workers.Status{}, err
	}
	return workers.Status{State: workers.Limit}, nil
}
