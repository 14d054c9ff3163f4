// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

package attempt

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestNeedEnvOnZOS(t *testing.T) {
	t.Parallel()
	has := map[string]bool{"lib": true, "bin": true, "share": true}
	conditions := map[string]string{"PATH": "/bin", "LIBPATH": "/usr/lib", "TZ": "A"}
	want := map[string]string{"PATH": "${ZFARM_ROOT}/needs/opt/p/1/bin:/bin", "LIBPATH": "${ZFARM_ROOT}/needs/opt/p/1/lib:/usr/lib",
		"LDFLAGS": "-L${ZFARM_ROOT}/needs/opt/p/1/lib", "TZ": "A"}
	if diff := cmp.Diff(want, layered(conditions, needEnv("/opt/p/1", has, "OS/390"))); diff != "" {
		t.Errorf("(-want +have):\n%s", diff)
	}
	if have := needEnv("/opt/p/1", map[string]bool{"share": true}, "OS/390"); len(have) != 0 {
		t.Errorf("a need with nothing to find: %v", have)
	}
}

func TestLayered(t *testing.T) {
	t.Parallel()
	under := map[string]string{"TZ": "own", "CFLAGS": "-g", "PATH": "/own", "LDFLAGS": "-lown", "CPPFLAGS": "-Down", "ACLOCAL_PATH": "own"}
	over := map[string]string{"TZ": "farm", "PATH": "/farm", "LDFLAGS": "", "PKG_CONFIG_PATH": "", "CPPFLAGS": "-Ifarm", "LIBPATH": "/farm"}
	want := map[string]string{"TZ": "farm", "CFLAGS": "-g", "PATH": "/farm:/own", "LDFLAGS": "-lown", "CPPFLAGS": "-Ifarm -Down",
		"ACLOCAL_PATH": "own", "PKG_CONFIG_PATH": "", "LIBPATH": "/farm"}
	if diff := cmp.Diff(want, layered(under, over)); diff != "" {
		t.Errorf("(-want +have):\n%s", diff)
	}
	if have := layered(nil, nil); have == nil || len(have) != 0 {
		t.Errorf("nothing upon nothing is %v", have)
	}
	if under["TZ"] != "own" || over["PATH"] != "/farm" {
		t.Error("an argument was changed")
	}
}
