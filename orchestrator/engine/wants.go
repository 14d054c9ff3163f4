// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"fmt"

	"github.com/zfarm/zfarm/orchestrator/schedule"
	"github.com/zfarm/zfarm/orchestrator/stagevalue"
)

// encodeWants encodes what a build wants of its workers for the column beside the build
// in the database.
func encodeWants(w schedule.Wants) ([]byte, error) {
	return stagevalue.Encode(stagevalue.Wants{Wants: w})
}

// decodeWants refuses what another version wrote: misread wants would send a build to a
// worker that does not fit.
func decodeWants(build string, text []byte) (schedule.Wants, error) {
	w, err := stagevalue.Decode[stagevalue.Wants](text)
	if err != nil {
		return schedule.Wants{}, fmt.Errorf("reading what build %s wants of its workers: %w", build, err)
	}
	return w.Wants, nil
}
