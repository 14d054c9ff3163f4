// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

package ssh

import (
	"context"
	"fmt"

	"github.com/zfarm/zfarm/workers/runner"
)

// New connects as Dial does and returns the worker of that name.
func New(ctx context.Context, name string, c Config, o runner.Options) (*runner.Worker, error) {
	h, err := Dial(ctx, c)
	if err != nil {
		return nil, fmt.Errorf("worker %s: %w", name, err)
	}
	return runner.New(name, h, o), nil
}
