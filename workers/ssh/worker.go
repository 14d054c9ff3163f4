// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

package ssh

import (
	"context"
	"fmt"

	"github.com/zfarm/zfarm/workers/runner"
)

// New is a worker of that name behind Dial.
func New(ctx context.Context, name string, c Config, o runner.Options) (*runner.Worker, error) {
	h, err := Dial(ctx, c)
	if err != nil {
		return nil, fmt.Errorf("worker %s: %w", name, err)
	}
	return runner.New(name, h, o), nil
}
