// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

package schedule_test

import "time"

var noon = time.Date(2026, 9, 1, 12, 0, 0, 0, time.UTC)
