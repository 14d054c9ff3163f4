// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

package wire

import (
	"errors"
	"fmt"
	"path"
	"slices"
	"time"
)

// Role is what a principal may do on a farm.
type Role string

// The roles. All of them may read.
const (
	Reader     Role = "reader"     // reads builds, logs, events, reports
	Collector  Role = "release"    // reads, and collects artifacts and bundles
	Maintainer Role = "maintainer" // reads, and submits and changes builds of its ports
	Admin      Role = "admin"      // everything
)

// Roles lists the roles.
func Roles() []Role { return []Role{Reader, Collector, Maintainer, Admin} }

// CheckRoles refuses roles that do not exist, and patterns that match nothing.
func CheckRoles(roles []Role, ports []string) error {
	if len(roles) == 0 {
		return errors.New("there is no role; give reader, release, maintainer or admin")
	}
	for _, r := range roles {
		if !slices.Contains(Roles(), r) {
			return fmt.Errorf("there is no role %q; the roles are reader, release, maintainer and admin", r)
		}
	}
	for _, p := range ports {
		if _, err := path.Match(p, ""); err != nil || p == "" {
			return fmt.Errorf("%q is no pattern of ports; write a name, or a pattern such as lib*", p)
		}
	}
	if slices.Contains(roles, Maintainer) && len(ports) == 0 {
		return errors.New("a maintainer needs patterns of the ports it owns; * is all")
	}
	return nil
}

// Principal is the holder of a token.
type Principal struct {
	Name  string   `json:"name" doc:"The owner of what is submitted with the token"`
	Roles []Role   `json:"roles"`
	Ports []string `json:"ports,omitempty" doc:"Patterns of the ports a maintainer owns"`
}

// Token is a credential of the farm, without its secret.
type Token struct {
	ID      string    `json:"id"`
	Name    string    `json:"name"`
	Roles   []string  `json:"roles"`
	Ports   []string  `json:"ports,omitempty" doc:"Patterns of the ports it may submit and change"`
	Created time.Time `json:"created"`
	Expires time.Time `json:"expires,omitzero"`
	Revoked bool      `json:"revoked,omitempty"`
}

// NewToken is a request for a token.
type NewToken struct {
	Name    string    `json:"name" minLength:"1" maxLength:"100" pattern:"^[A-Za-z0-9][A-Za-z0-9._-]*$" doc:"Whose it is; the owner of what is submitted with it"`
	Roles   []Role    `json:"roles" minItems:"1" maxItems:"4" enum:"reader,release,maintainer,admin" nullable:"false"`
	Ports   []string  `json:"ports,omitempty" maxItems:"1000" maxLength:"200" nullable:"false" doc:"Patterns of the ports a maintainer owns, such as gzip or lib*"`
	Expires time.Time `json:"expires,omitzero" doc:"In 90 days if not given"`
}

// MadeToken is a token with its secret, which is shown only once.
type MadeToken struct {
	Token  Token  `json:"token"`
	Secret string `json:"secret" doc:"To be sent as Authorization: Bearer; it is not stored"`
}

// Audit is one change that a principal requested.
type Audit struct {
	Seq     int64     `json:"seq,omitempty"`
	At      time.Time `json:"at"`
	Who     string    `json:"who"`
	What    string    `json:"what" doc:"The operation"`
	Subject string    `json:"subject,omitempty" doc:"What was to be changed"`
	Detail  string    `json:"detail,omitempty"`
	Request string    `json:"request,omitempty" doc:"The id of the request"`
	Refused bool      `json:"refused,omitempty"`
}
