// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"encoding/json"
	"fmt"

	"github.com/zfarm/zfarm/orchestrator/schedule"
)

// wantsVersion is that of storedWants. A change of schedule.Wants that an older
// program would misread raises it.
const wantsVersion = 1

// storedWants is what a build wants of its workers, as the database keeps it
// beside the build.
type storedWants struct {
	Version int `json:"version"`
	schedule.Wants
}

func encodeWants(w schedule.Wants) ([]byte, error) {
	return json.Marshal(storedWants{Version: wantsVersion, Wants: w})
}

// decodeWants refuses what another version wrote: misread wants would send a
// build to a worker that does not fit.
func decodeWants(build string, text []byte) (schedule.Wants, error) {
	var s storedWants
	if err := json.Unmarshal(text, &s); err != nil {
		return schedule.Wants{}, fmt.Errorf("reading what build %s wants of its workers: %w", build, err)
	}
	if s.Version != wantsVersion {
		return schedule.Wants{}, fmt.Errorf("reading what build %s wants of its workers: it has version %d, and this program reads %d; use the program that wrote it, or submit the build again",
			build, s.Version, wantsVersion)
	}
	return s.Wants, nil
}
