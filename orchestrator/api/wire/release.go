// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

package wire

import (
	"time"

	"github.com/zfarm/zfarm/attest/digest"
)

// Release is a port at a version that may be collected.
type Release struct {
	Port          string    `json:"port"`
	Version       string    `json:"version"`
	Build         string    `json:"build"`
	At            time.Time `json:"at"`
	Verdict       string    `json:"verdict" doc:"In a few words"`
	Signed        bool      `json:"signed"`
	NotReproduced string    `json:"not_reproduced,omitempty" doc:"The finding of the last rebuild that did not reproduce it; absent while it reproduces"`
}

// File is a file that a build published, or a file of its findings.
type File struct {
	Name      string        `json:"name"`
	Digest    digest.Digest `json:"digest"`
	Size      int64         `json:"size"`
	MediaType string        `json:"media_type"`
}

// ReleaseFiles is a release with its files.
type ReleaseFiles struct {
	Release Release `json:"release"`
	Files   []File  `json:"files" nullable:"false"`
}
