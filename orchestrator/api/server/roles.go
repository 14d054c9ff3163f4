// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

package server

import (
	"path"
	"slices"

	"github.com/zfarm/zfarm/orchestrator/api/wire"
)

// Principal is the caller of a request.
type Principal struct {
	// Name identifies the principal; it becomes the owner of what they submit.
	Name  string
	Roles []wire.Role
	// Ports are patterns (path.Match) of the ports that a maintainer may change.
	Ports []string
}

// Has reports whether p has a role, directly or through a wider one.
func (p Principal) Has(r wire.Role) bool {
	return slices.ContainsFunc(p.Roles, func(have wire.Role) bool {
		return have == r || have == wire.Admin || r == wire.Reader && (have == wire.Collector || have == wire.Maintainer)
	})
}

// Owns reports whether p may change builds of a port.
func (p Principal) Owns(port string) bool {
	return p.Has(wire.Admin) || p.Has(wire.Maintainer) && slices.ContainsFunc(p.Ports, func(pattern string) bool {
		ok, err := path.Match(pattern, port)
		return err == nil && ok
	})
}
