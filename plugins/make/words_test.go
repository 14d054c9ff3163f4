// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

package make

import (
	"os/exec"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestWords checks what a shell makes of the words, with and without the
// farm's variables for needs.
func TestWords(t *testing.T) {
	if _, err := exec.LookPath("sh"); err != nil {
		t.Skip("asks a shell: install a POSIX sh")
	}
	args := []string{"CPPFLAGS=-DX='a b' -DY", "LDFLAGS=", "PKG_CONFIG_PATH=/own", "CFLAGS=-O2 $HOME", "--with-x=`id`", "CPPFLAGS", "-DCPPFLAGS=1", "=", ""}
	own := []string{"CPPFLAGS=-DX='a b' -DY", "LDFLAGS=", "PKG_CONFIG_PATH=/own", "CFLAGS=-O2 $HOME", "--with-x=`id`", "CPPFLAGS", "-DCPPFLAGS=1", "=", ""}
	joined := []string{"CPPFLAGS=-I/w s/include -DX='a b' -DY", "LDFLAGS=-L/w s/lib ", "PKG_CONFIG_PATH=/w:/own",
		"CFLAGS=-O2 $HOME", "--with-x=`id`", "CPPFLAGS", "-DCPPFLAGS=1", "=", ""}
	for name, tt := range map[string]struct{ env, want []string }{
		"no needs": {nil, own},
		"needs":    {[]string{"CPPFLAGS=-I/w s/include", "LDFLAGS=-L/w s/lib", "PKG_CONFIG_PATH=/w", "CFLAGS=ignored"}, joined},
	} {
		cmd := exec.CommandContext(t.Context(), "sh", "-c", `for word in `+strings.Join(Words(args), " ")+`; do printf '%s\n' "$word"; done`)
		cmd.Env = append([]string{"HOME=/home", "PATH=/usr/bin:/bin"}, tt.env...)
		out, err := cmd.Output()
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(tt.want, strings.Split(strings.TrimSuffix(string(out), "\n"), "\n")); diff != "" {
			t.Errorf("%s (-want +have):\n%s", name, diff)
		}
	}
}

func TestVarsAreSorted(t *testing.T) {
	have := Vars(map[string]string{"b": "2", "LDFLAGS": "-s", "a": "1 1"})
	want := []string{`"LDFLAGS=${LDFLAGS:+$LDFLAGS }"'-s'`, `'a=1 1'`, `'b=2'`}
	if diff := cmp.Diff(want, have); diff != "" {
		t.Errorf("(-want +have):\n%s", diff)
	}
}
