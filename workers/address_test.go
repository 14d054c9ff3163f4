// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

package workers_test

import (
	"errors"
	"net"
	"net/url"
	"path"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/zfarm/zfarm/workers"
)

func TestParseAddress(t *testing.T) {
	tests := map[string]struct {
		in     string
		want   workers.Address
		reason string // of the error
	}{
		"whole":        {in: "ssh://zfarm@zos1.example:2222/u/zfarm/w?shell=/bin/sh&slots=2", want: workers.Address{Kind: workers.KindSSH, User: "zfarm", Host: "zos1.example", Port: 2222, Dir: "/u/zfarm/w", Settings: url.Values{"shell": {"/bin/sh"}, "slots": {"2"}}}},
		"no port":      {in: "ssh://z@host/w/", want: workers.Address{Kind: workers.KindSSH, User: "z", Host: "host", Port: 22, Dir: "/w"}},
		"empty port":   {in: "ssh://z@host:/w", want: workers.Address{Kind: workers.KindSSH, User: "z", Host: "host", Port: 22, Dir: "/w"}},
		"highest port": {in: "ssh://z@host:65535/w", want: workers.Address{Kind: workers.KindSSH, User: "z", Host: "host", Port: 65535, Dir: "/w"}},
		"IPv6":         {in: "ssh://z@[::1]:22/w/../x", want: workers.Address{Kind: workers.KindSSH, User: "z", Host: "::1", Port: 22, Dir: "/x"}},
		"IPv6 zone":    {in: "ssh://z@[fe80::1%25en0]/w", want: workers.Address{Kind: workers.KindSSH, User: "z", Host: "fe80::1%en0", Port: 22, Dir: "/w"}},
		"escaped":      {in: "ssh://z%2Fx@host/w%3Fq", want: workers.Address{Kind: workers.KindSSH, User: "z/x", Host: "host", Port: 22, Dir: "/w?q"}},
		"settings":     {in: "ssh://z@host/w?path=/a&path=/b", want: workers.Address{Kind: workers.KindSSH, User: "z", Host: "host", Port: 22, Dir: "/w", Settings: url.Values{"path": {"/a", "/b"}}}},
		"local":        {in: "local:", want: workers.Address{Kind: workers.KindLocal}},
		"local name":   {in: "local:one?root=/tmp/one", want: workers.Address{Kind: workers.KindLocal, Local: "one", Settings: url.Values{"root": {"/tmp/one"}}}},
		"local folder": {in: "local:/var/lib/zfarm/a b", want: workers.Address{Kind: workers.KindLocal, Local: "/var/lib/zfarm/a b"}},

		// The two former parsers disagreed on these.
		"port too high":      {in: "ssh://z@host:99999/w", reason: "port"},
		"port 0":             {in: "ssh://z@host:0/w", reason: "port"},
		"question mark only": {in: "ssh://z@host/w?", reason: "settings behind its ?"},
		"settings not so":    {in: "ssh://z@host/w?a=%zz", reason: "settings behind its ?"},

		"port a word":       {in: "ssh://z@host:ssh/w", reason: "no URL"},
		"scheme":            {in: "http://z@host/w", reason: "ssh://"},
		"nothing":           {in: "", reason: "ssh://"},
		"opaque":            {in: "ssh:z@host/w", reason: "ssh://"},
		"password":          {in: "ssh://z:secret@host/w", reason: "password"},
		"password, no URL":  {in: "ssh://z:secret@host:port/w", reason: "no URL"},
		"password, bad":     {in: "ssh://z:sec ret/@host/w", reason: "no URL"},
		"password, opaque":  {in: "z:secret@host:/w", reason: "ssh://"},
		"no user":           {in: "ssh://host/w", reason: "no user"},
		"no host":           {in: "ssh://z@/w", reason: "no host"},
		"option":            {in: "ssh://z@-oProxyCommand=x/w", reason: "no host"},
		"host a bracket":    {in: "ssh://z@]/w", reason: "neither a name"},
		"host a user":       {in: "ssh://z@y%40host/w", reason: "no URL"},
		"host a command":    {in: "ssh://z@h;id/w", reason: "neither a name"},
		"host no IPv6":      {in: "ssh://z@[::g]/w", reason: "no URL"},
		"host empty zone":   {in: "ssh://z@[fe80::1%25]/w", reason: "no URL"},
		"zone a command":    {in: "ssh://z@[fe80::1%25e;id]/w", reason: "neither a name"},
		"no dir":            {in: "ssh://z@host", reason: "no folder"},
		"root":              {in: "ssh://z@host/", reason: "no folder"},
		"dots":              {in: "ssh://z@host/w/../..", reason: "no folder"},
		"fragment":          {in: "ssh://z@host/w#x", reason: "#"},
		"empty fragment":    {in: "ssh://z@host/w#", reason: "#"},
		"newline":           {in: "ssh://z@host/w%0aq", reason: "blanks"},
		"outside ASCII":     {in: "ssh://z@host/w%c3%a9", reason: "blanks"},
		"user too long":     {in: "ssh://" + strings.Repeat("u", 101) + "@host/w", reason: "longer"},
		"host too long":     {in: "ssh://z@" + strings.Repeat("h", 256) + "/w", reason: "longer"},
		"folder too long":   {in: "ssh://z@host/" + strings.Repeat("w", 1000), reason: "longer"},
		"too long":          {in: "local:x?a=" + strings.Repeat("b", 4000), reason: "longer"},
		"too many settings": {in: "ssh://z@host/w?" + strings.Repeat("a=b&", 51), reason: "more than 50"},
		"setting no name":   {in: "ssh://z@host/w?=x", reason: "no name"},
		"setting newline":   {in: "ssh://z@host/w?a=%0a", reason: "control characters"},
		"local newline":     {in: "local:a\nb", reason: "control characters"},
		"local too long":    {in: "local:" + strings.Repeat("l", 1001), reason: "1000 bytes"},
		"local no settings": {in: "local:a?", reason: "settings behind its ?"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			got, err := workers.ParseAddress(test.in)
			if test.reason != "" {
				var wrong *workers.AddressError
				if !errors.As(err, &wrong) || !strings.Contains(wrong.Reason, test.reason) {
					t.Fatalf("ParseAddress(%q) = %+v, %v; want a reason with %q", test.in, got, err, test.reason)
				}
				if strings.Contains(err.Error(), "sec") || len(err.Error()) > 400 {
					t.Errorf("the error repeats the password, or all of a long text: %v", err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("address (-want +got):\n%s", diff)
			}
		})
	}
}

func TestAddressSettings(t *testing.T) {
	a, err := workers.ParseAddress("ssh://z@host/w?shell=sh&zz=1&aa=2")
	if err != nil {
		t.Fatal(err)
	}
	if got := a.Unknown("shell", "zz"); got != "aa" {
		t.Errorf("unknown setting %q", got)
	}
	if got := a.Unknown("shell", "zz", "aa", "more"); got != "" {
		t.Errorf("unknown setting %q", got)
	}
	if got, want := a.String(), "ssh://z@host/w?aa=2&shell=sh&zz=1"; got != want {
		t.Errorf("address %s, want %s", got, want)
	}
}

func FuzzParseAddress(f *testing.F) {
	for _, s := range []string{
		"ssh://zfarm@zos1.example:2222/u/zfarm/w?shell=/bin/sh", "ssh://z@[::1]/w/../x", "ssh://z@[fe80::1%25en0]:99999/w",
		"local:", "local:one?root=/x", "ssh://z:secret@host:port/w", "ssh://z%40y@h%41/w%3f%23", "ssh://z@host:/w",
		"ssh://0@]/0",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		a, err := workers.ParseAddress(s)
		if err != nil {
			var wrong *workers.AddressError
			if !errors.As(err, &wrong) || wrong.Reason == "" || len(wrong.Text) > 300 {
				t.Errorf("ParseAddress(%q): %v", s, err)
			}
			return
		}
		again, err := workers.ParseAddress(a.String())
		if diff := cmp.Diff(a, again); err != nil || diff != "" {
			t.Errorf("ParseAddress(%q) is written as %q: %v\n%s", s, a, err, diff)
		}
		if a.Kind == workers.KindLocal {
			return
		}
		host, port, err := net.SplitHostPort(a.HostPort())
		if err != nil || host != a.Host || port == "" || a.Port < 1 || a.Port > 65535 {
			t.Errorf("ParseAddress(%q) is at %q, %v", s, a.HostPort(), err)
		}
		if a.User == "" || a.Host == "" || a.Dir == "/" || !path.IsAbs(a.Dir) || path.Clean(a.Dir) != a.Dir {
			t.Errorf("ParseAddress(%q) = %+v", s, a)
		}
	})
}
