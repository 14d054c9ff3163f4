// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

package server

import (
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/zfarm/zfarm/orchestrator/api/client"
	"github.com/zfarm/zfarm/orchestrator/api/wire"
)

func embedded(b *testing.B, f *farm) *Server {
	b.Helper()
	o := f.options()
	o.Authenticators, o.Embedded = nil, &Principal{Name: "me", Roles: []wire.Role{wire.Admin}}
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
	c := client.New("http://farm", "", &http.Client{Transport: client.Transport(embedded(b, f).Handler())})
	for b.Loop() {
		if _, err := c.Builds(b.Context(), wire.BuildsInput{}); err != nil {
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
	c := client.New(base, "", nil)
	b.SetBytes(16 << 20)
	for b.Loop() {
		if _, err := c.FollowLog(b.Context(), a, "make", 0, io.Discard); err != nil {
			b.Fatal(err)
		}
	}
}
