// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

package host_test

import (
	"bytes"
	"context"
	"io"
	"io/fs"
	"testing"

	"github.com/zfarm/zfarm/attest/digest"
	"github.com/zfarm/zfarm/plugins"
	"github.com/zfarm/zfarm/plugins/plugintest"
	"github.com/zfarm/zfarm/workers"
)

// instant is a workspace that takes no time, so that only the protocol is
// measured.
type instant struct{ file []byte }

func (i instant) Put(_ context.Context, _ string, _ fs.FileMode, r io.Reader) (digest.Digest, error) {
	d, _, err := digest.OfReader(r)
	return d, err
}

func (i instant) Get(_ context.Context, _ string, w io.Writer) (digest.Digest, error) {
	_, err := io.Copy(w, struct{ io.Reader }{bytes.NewReader(i.file)})
	return digest.Of(i.file), err
}

func (instant) List(context.Context, string) ([]workers.Entry, error) { return nil, nil }

func (i instant) Run(_ context.Context, _ workers.Step, log io.Writer) (workers.Status, error) {
	_, err := io.Copy(log, struct{ io.Reader }{bytes.NewReader(i.file)})
	return workers.Status{State: workers.Exited}, err
}

func benchmarkHop(b *testing.B, do string, size int) {
	p := plugintest.Start(b, "actor")
	ws := instant{file: make([]byte, size)}
	b.SetBytes(int64(size))
	for b.Loop() {
		if _, err := p.Builder().Build(b.Context(), ws, config(do)); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkCall is a Build that does nothing: one call and one workspace.
func BenchmarkCall(b *testing.B) { benchmarkHop(b, "nothing", 0) }

// BenchmarkSteps is a Build of 1,000 steps.
func BenchmarkSteps(b *testing.B) { benchmarkHop(b, "steps", 0) }

// BenchmarkLog is a step with 64 MiB of log that the plugin wants.
func BenchmarkLog(b *testing.B) { benchmarkHop(b, "log", 64<<20) }

// BenchmarkGet is a file of 64 MiB.
func BenchmarkGet(b *testing.B) { benchmarkHop(b, "get-file", plugins.MaxGet) }

// BenchmarkPut is a file of 8 MiB.
func BenchmarkPut(b *testing.B) { benchmarkHop(b, "put-file", plugins.MaxPut) }
