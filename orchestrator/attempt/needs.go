// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

package attempt

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"path"
	"strings"

	"github.com/zfarm/zfarm/attest/digest"
	"github.com/zfarm/zfarm/orchestrator"
	"github.com/zfarm/zfarm/orchestrator/compare/format/pax"
)

// Need is a package of another port that is unpacked in the workspace: below needs/, at
// the prefix it was configured for.
type Need struct {
	Port    string `json:"port"`
	Version string `json:"version"`
	// Prefix is absolute, as in the recipe's package block.
	Prefix string `json:"prefix"`
	// Digest is that of the plain pax archive made by packaging.Sysroot.
	Digest digest.Digest `json:"digest"`
}

// putNeeds unpacks each need and collects the variables that plugins find it by.
func (a *attempt) putNeeds(ctx context.Context, farm *guarded) (*orchestrator.Failure, error) {
	for i, n := range a.Needs {
		about := fmt.Sprintf("putting the needed %s %s", n.Port, n.Version)
		has, err := a.folders(ctx, n)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", about, err)
		}
		// Earlier needs take precedence over this one.
		a.env = layered(needEnv(n.Prefix, has, a.Facts.System), a.env)
		name := fmt.Sprintf("in/need-%d.tar", i+1)
		if err := a.putStored(ctx, name, n.Digest); err != nil {
			return nil, fmt.Errorf("%s: %w", about, err)
		}
		script := a.Facts.Archiver.UnpackCommand(inRoot(name))
		if failure, err := a.farmStep(ctx, farm, fmt.Sprintf("need-%d", i+1), needsDir, script); failure != nil || err != nil {
			return failure, err
		}
	}
	return nil, nil
}

// folders returns which of the known folders the need has below its prefix.
func (a *attempt) folders(ctx context.Context, n Need) (map[string]bool, error) {
	r, err := a.Store.Open(ctx, n.Digest)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	has := map[string]bool{}
	for members := pax.NewReader(r); ; {
		m, err := members.Next()
		if errors.Is(err, io.EOF) {
			return has, nil
		}
		if err != nil {
			return nil, err
		}
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		below, ok := strings.CutPrefix("/"+strings.TrimSuffix(m.Name, "/"), n.Prefix+"/")
		if ok && m.Type == pax.Directory && strings.Count(below, "/") < 2 {
			has[below] = true
		}
	}
}

// needEnv returns the variables that let compilers, pkg-config, aclocal and the loader
// find a need with those folders. No variable names a folder that does not exist.
func needEnv(prefix string, has map[string]bool, system string) map[string]string {
	loader := "LD_LIBRARY_PATH"
	if system == "OS/390" {
		loader = "LIBPATH"
	}
	env := map[string]string{}
	for _, e := range []struct{ folder, name, flag string }{
		{"bin", "PATH", ""},
		{"sbin", "PATH", ""},
		{"include", "CPPFLAGS", "-I"},
		{"lib", "LDFLAGS", "-L"},
		{"lib64", "LDFLAGS", "-L"},
		{"lib", loader, ""},
		{"lib64", loader, ""},
		{"lib/pkgconfig", "PKG_CONFIG_PATH", ""},
		{"lib64/pkgconfig", "PKG_CONFIG_PATH", ""},
		{"share/pkgconfig", "PKG_CONFIG_PATH", ""},
		{"share/aclocal", "ACLOCAL_PATH", ""},
	} {
		if has[e.folder] {
			env = layered(map[string]string{e.name: e.flag + root + path.Join(prefix, e.folder)}, env)
		}
	}
	if env["PKG_CONFIG_PATH"] != "" {
		// The .pc files name the prefix; pkg-config prepends this to what they name.
		env["PKG_CONFIG_SYSROOT_DIR"] = root
	}
	return env
}

// root is where needs are, as written in the value of a variable.
const root = "${ZFARM_ROOT}/" + needsDir

// listSeparator returns the separator of a variable that holds a list; "" for any other.
func listSeparator(name string) string {
	switch name {
	case "PATH", "LD_LIBRARY_PATH", "LIBPATH", "PKG_CONFIG_PATH", "ACLOCAL_PATH":
		return ":"
	case "CPPFLAGS", "LDFLAGS":
		return " "
	}
	return ""
}

// layered merges the variables of under and over. Where both set one, over wins, except
// for lists: these are joined, over's part first.
func layered(under, over map[string]string) map[string]string {
	all := make(map[string]string, len(under)+len(over))
	maps.Copy(all, under)
	for name, value := range over {
		if sep := listSeparator(name); sep != "" && value != "" && all[name] != "" {
			value += sep + all[name]
		} else if sep != "" && value == "" {
			value = all[name]
		}
		all[name] = value
	}
	return all
}
