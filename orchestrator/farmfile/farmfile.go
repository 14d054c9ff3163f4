// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

// Package farmfile reads the file of a farm, farm.hcl: where it keeps what it
// knows, which workers and plugins it has, who may do what, and what it does
// by itself.
//
// A farm is data here. The package opens nothing that the file names: no
// database, no key, no connection; orchestrator/farm opens what it names. The
// language has no variables, functions or operators, so that a file means what
// it says. Recipes are read by recipes/parse.
package farmfile

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/robfig/cron/v3"

	"github.com/zfarm/zfarm/attest/digest"
	"github.com/zfarm/zfarm/attest/keys"
	"github.com/zfarm/zfarm/orchestrator/schedule"
	"github.com/zfarm/zfarm/recipes/diagnostics"
)

// FileName is the usual name of the file.
const FileName = "farm.hcl"

// The roles that an oidc rule may give.
const (
	Reader     = "reader"     // sees everything but tokens and the audit
	Release    = "release"    // a reader who collects releases
	Maintainer = "maintainer" // submits and changes builds of its ports
	Admin      = "admin"      // everything
)

// Farm is what the file says, with every default filled in. Names of files
// were joined with the folder of the file where they were relative.
type Farm struct {
	Name string
	// Dir is the folder of the file.
	Dir string
	// Database is "sqlite:PATH" or the address of a PostgreSQL database, which
	// may hold a password.
	Database string
	// Store is the folder of artifacts, Sources that of fetched sources.
	Store, Sources string
	// Mirrors are absolute folders, file URLs and http or https URL prefixes,
	// asked in this order before upstream.
	Mirrors []string
	// Offline: nothing is fetched over the network.
	Offline bool
	// Listen is "host:port". Without TLS it is a loopback address unless
	// Insecure says that this is wanted.
	Listen   string
	TLS      *TLS
	Insecure bool
	// Signing is nil where nothing is signed.
	Signing    *Signing
	Workers    []Worker
	Scheduling schedule.Policy
	// Patience is how long an attempt whose worker cannot be reached is joined
	// again before it is given up; shorter than every worker's Lease.
	Patience  time.Duration
	OIDC      []OIDC
	Rebuilds  []Rebuild
	Probe     Probe
	Retention Retention
	Limits    Limits
	Plugins   []Plugin
}

// TLS names the files of the server's certificate chain and its key, in PEM.
type TLS struct{ Cert, Key string }

// Signing names the key that signs.
type Signing struct {
	Key keys.Ref
	// PasswordFile holds the password of the key, or PasswordEnv is the
	// environment variable that does. At most one is set; if none is, the
	// password comes from where keys are usually opened.
	PasswordFile, PasswordEnv string
	// Public is the file of the public key; "" to take it from the private one.
	Public string
}

// Worker is one machine that builds.
type Worker struct {
	Name string
	// Address is an ssh:// address as workers/ssh reads it, without a query;
	// for this machine it is "local:" and Local is set.
	Address string
	Local   bool
	// Root is the folder of workspaces of a local worker; "" for the usual one.
	Root string
	// Slots is how many attempts may be there at a time.
	Slots  int
	Labels map[string]string
	// KnownHosts is a file of OpenSSH that pins the host keys, HostKeys are
	// pinned here ("ssh-ed25519 AAAA..."). At most one is set; if none is, the
	// known hosts of the account that serves the farm pin them.
	KnownHosts string
	HostKeys   []string
	// Identity are files of private keys to log in with.
	Identity []string
	// Shell runs the steps; "" for the first fit one. Path are folders before
	// the system's search path.
	Shell string
	Path  []string
	// Lease is how long a step goes on that nobody watches.
	Lease time.Duration
}

// OIDC is an issuer whose tokens are taken.
type OIDC struct {
	Issuer, Audience string
	// Name is the claim that names who asks; "" for "sub".
	Name  string
	Rules []Rule
}

// Rule gives roles to tokens whose claims all match.
type Rule struct {
	// Claims maps the name of a claim to a pattern as in path.Match.
	Claims map[string]string
	// Roles are Reader, Release, Maintainer and Admin.
	Roles []string
	// Ports are the patterns, as in path.Match, of a maintainer's ports.
	Ports []string
}

// Rebuild is a plan of building released ports again.
type Rebuild struct {
	Name string
	// Cron is the five fields of crontab(5), in UTC, or a word such as @weekly.
	Cron string
	// Ports are patterns as in path.Match.
	Ports    []string
	Priority int

	plan cron.Schedule
}

// Next returns when the plan is due next after a time, in UTC; the zero time
// for a Rebuild that was not read from a file.
func (r Rebuild) Next(after time.Time) time.Time {
	if r.plan == nil {
		return time.Time{}
	}
	return r.plan.Next(after.UTC())
}

// Probe says how workers are looked at, and when one gets nothing.
type Probe struct {
	Every time.Duration
	// Free is the least room in bytes, Clock the most that a clock may be off.
	Free  int64
	Clock time.Duration
}

// Retention says how long things are kept; 0 for ever.
type Retention struct {
	// Builds is for those that were not released, from their end on; Logs is
	// for the logs of all steps.
	Builds, Logs time.Duration
	// Grace is how long an artifact stays that no build keeps; never 0.
	Grace time.Duration
}

// Limits bound what one caller of the server may do.
type Limits struct {
	// Upload is the size of a submission in bytes.
	Upload int64
	// Requests are those of one second, on average; Burst those at once.
	Requests float64
	Burst    int
}

// Plugin is a program that recipes may name.
type Plugin struct {
	Name, Path string
	SHA256     digest.Digest
}

// Read reads the text of a file of that name, whose folder is where relative
// names begin. It looks at no file. The farm is nil if there are errors among
// the diagnostics; there may be warnings beside a farm.
func Read(src []byte, filename string) (*Farm, diagnostics.List) {
	r := newReader(src, filename, filepath.Dir(filename))
	farm := r.farm()
	return r.outcome(farm)
}

// Load reads the file at path and makes sure that the files it names are there.
func Load(path string) (*Farm, diagnostics.List) {
	src, dir, err := slurp(path)
	if err != nil {
		return nil, diagnostics.Unreadable(path, "No farm file",
			fmt.Sprintf("Reading the farm's file: %s. Name another file, or write this one: farm \"NAME\" {} and a worker are enough to begin with.", err))
	}
	r := newReader(src, path, dir)
	farm := r.farm()
	r.checkFiles(os.Stat)
	return r.outcome(farm)
}

// slurp returns a regular file of bounded size and its absolute folder.
func slurp(path string) ([]byte, string, error) {
	full, err := filepath.Abs(path)
	if err != nil {
		return nil, "", err
	}
	if info, err := os.Stat(full); err != nil {
		return nil, "", err
	} else if !info.Mode().IsRegular() { // opening a pipe would wait for its writer
		return nil, "", errors.New(path + " is not a regular file")
	}
	f, err := os.Open(full)
	if err != nil {
		return nil, "", err
	}
	defer f.Close() //nolint:errcheck // read only
	src, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	return src, filepath.Dir(full), err
}

// checkFiles reports the files that are named and not there.
func (r *reader) checkFiles(stat func(string) (fs.FileInfo, error)) {
	for _, f := range r.files {
		info, err := stat(f.path)
		switch {
		case errors.Is(err, fs.ErrNotExist):
			r.errorf(f.at, "Missing file", "There is no file %s, which should be %s. Make it, or correct the name; relative names begin at the folder of the farm's file.", f.path, f.what)
		case err != nil:
			r.errorf(f.at, "Unusable file", "Looking for %s: %s. Let the account that serves the farm read it.", f.what, err)
		case !info.Mode().IsRegular():
			r.errorf(f.at, "Unusable file", "%s should be %s, and is not a regular file. Name the file itself.", f.path, f.what)
		}
	}
}
