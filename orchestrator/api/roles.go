// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

package api

import (
	"errors"
	"fmt"
	"path"
	"slices"
)

// Role is what somebody is to the farm.
type Role string

// The roles. Reader, Collector (named release) and Maintainer may all read.
const (
	Reader     Role = "reader"     // reads builds, logs, events, reports
	Collector  Role = "release"    // reads, and collects artifacts and bundles
	Maintainer Role = "maintainer" // reads, and submits and changes builds of its ports
	Admin      Role = "admin"      // everything
)

// Roles lists the roles.
func Roles() []Role { return []Role{Reader, Collector, Maintainer, Admin} }

// Principal is who asks.
type Principal struct {
	// Name tells principals apart; it becomes the owner of what they submit.
	Name  string `json:"name"`
	Roles []Role `json:"roles"`
	// Ports are patterns (path.Match) of the ports that a maintainer owns.
	Ports []string `json:"ports,omitempty"`
}

// Has reports whether p holds a role, itself or through a wider one.
func (p Principal) Has(r Role) bool {
	return slices.ContainsFunc(p.Roles, func(have Role) bool {
		return have == r || have == Admin || r == Reader && (have == Collector || have == Maintainer)
	})
}

// Owns reports whether p may change builds of a port.
func (p Principal) Owns(port string) bool {
	return p.Has(Admin) || p.Has(Maintainer) && slices.ContainsFunc(p.Ports, func(pattern string) bool {
		ok, err := path.Match(pattern, port)
		return err == nil && ok
	})
}

// CheckRoles refuses roles that there are not, and patterns that match nothing.
func CheckRoles(roles, ports []string) error {
	if len(roles) == 0 {
		return errors.New("there is no role; give reader, release, maintainer or admin")
	}
	for _, r := range roles {
		if !slices.Contains(Roles(), Role(r)) {
			return fmt.Errorf("there is no role %q; the roles are reader, release, maintainer and admin", r)
		}
	}
	for _, p := range ports {
		if _, err := path.Match(p, ""); err != nil || p == "" {
			return fmt.Errorf("%q is no pattern of ports; write a name, or a pattern such as lib*", p)
		}
	}
	if slices.Contains(roles, string(Maintainer)) && len(ports) == 0 {
		return errors.New("a maintainer needs patterns of the ports it owns; * is all")
	}
	return nil
}

func roles(names []string) []Role {
	out := make([]Role, len(names))
	for i, n := range names {
		out[i] = Role(n)
	}
	return out
}
