// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

package server

import (
	"github.com/zfarm/zfarm/orchestrator/api/wire"
	"github.com/zfarm/zfarm/orchestrator/store"
)

func wireRelease(r store.Release) wire.Release {
	return wire.Release{Port: r.Port, Version: r.Version, Build: r.Build, At: r.At, Verdict: r.Verdict, Signed: r.Signed, NotReproduced: r.NotReproduced}
}

func wireFile(f store.File) wire.File {
	return wire.File{Name: f.Name, Digest: f.Digest, Size: f.Size, MediaType: f.MediaType}
}
