// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

package api

import (
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/zfarm/zfarm/orchestrator/store"
)

func embedded(b *testing.B, f *farm) *Server {
	b.Helper()
	o := f.options()
	o.Authenticators, o.Embedded = nil, &Principal{Name: "me", Roles: []Role{Admin}}
	s, err := New(o)
	if err != nil {
		b.Fatal(err)
	}
	return s
}

func BenchmarkBuildsOfAPage(b *testing.B) {
	f := newFarm()
	for range 50 {
		f.add("gz", "gzip", "anna")
	}
	c := NewClient("http://farm", "", &http.Client{Transport: Transport(embedded(b, f).Handler())})
	for b.Loop() {
		if _, err := c.Builds(b.Context(), store.Filter{}); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkLogOverHTTP(b *testing.B) {
	f := newFarm()
	f.add("gz", "gzip", "anna")
	a := f.begin("gz", "make")
	f.write(a, strings.Repeat("0123456789abcde\n", 1<<20))
	f.end(a)
	f.seekable = true
	base, _ := serveOn(b, embedded(b, f), listen(b))
	c := NewClient(base, "", nil)
	b.SetBytes(16 << 20)
	for b.Loop() {
		if _, err := c.FollowLog(b.Context(), a, "make", 0, io.Discard); err != nil {
			b.Fatal(err)
		}
	}
}
