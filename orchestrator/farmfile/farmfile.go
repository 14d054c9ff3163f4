// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

// Package farmfile reads the file of a farm, farm.hcl: where the farm stores
// its data, which workers and plugins it has, who may do what, and what it
// does on its own, such as rebuilds.
//
// The package returns plain values and opens nothing that the file names: no
// database, no key, no connection. orchestrator/farm opens them. The language
// has no variables, functions or operators, so every value is written out in
// the file. recipes/parse reads recipes.
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

// The roles that an OIDC rule may give.
const (
	Reader     = "reader"     // sees everything but tokens and the audit
	Release    = "release"    // a reader who collects releases
	Maintainer = "maintainer" // submits and changes builds of its ports
	Admin      = "admin"      // everything
)

// Farm is the content of the file, with every default filled in. Relative
// names of files are joined with the folder of the file.
type Farm struct {
	Name string
	// Dir is the folder of the file.
	Dir string
	// Database is "sqlite:PATH" or the address of a PostgreSQL database, which
	// may hold a password.
	Database string
	// Store is the folder of artifacts, Sources the folder of fetched sources.
	Store, Sources string
	// Mirrors are absolute folders, file URLs and http or https URL prefixes.
	// Sources are looked for there in this order, then upstream.
	Mirrors []string
	// Offline means that nothing is fetched over the network.
	Offline bool
	// Listen is "host:port". Without TLS it must be a loopback address, unless
	// Insecure allows others.
	Listen   string
	TLS      *TLS
	Insecure bool
	// Signing is nil if nothing is signed.
	Signing    *Signing
	Workers    []Worker
	Scheduling schedule.Settings
	// Patience is how long an attempt is joined again, while its worker cannot
	// be reached, before it is given up. It is shorter than every worker's
	// Lease.
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
	// PasswordFile holds the password of the key; PasswordEnv is an
	// environment variable that does. At most one is set. If none is, the
	// password comes from the usual sources of attest/keys.
	PasswordFile, PasswordEnv string
	// Public is the file of the public key; "" derives it from the private
	// key.
	Public string
}

// Worker is one machine that builds.
type Worker struct {
	Name string
	// Address is an ssh:// address as workers/ssh reads it, without a query.
	// For this machine it is "local:", and Local is set.
	Address string
	Local   bool
	// Root is the folder of workspaces of a local worker; "" means the
	// default.
	Root string
	// Slots is how many attempts may run at a time.
	Slots  int
	Labels map[string]string
	// KnownHosts is an OpenSSH file that pins the host keys; HostKeys are
	// pinned keys ("ssh-ed25519 AAAA..."). At most one is set. If none is, the
	// known hosts of the account that runs the farm pin the keys.
	KnownHosts string
	HostKeys   []string
	// Identity are the files of private keys to log in with.
	Identity []string
	// Shell runs the steps; "" means the first suitable one. Path are folders
	// that precede the system's search path.
	Shell string
	Path  []string
	// Lease is how long a step goes on that nobody watches.
	Lease time.Duration
}

// OIDC is an issuer whose tokens the farm accepts.
type OIDC struct {
	Issuer, Audience string
	// Name is the claim that identifies the caller; "" means "sub".
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

// Rebuild is a schedule for building released ports again.
type Rebuild struct {
	Name string
	// Cron is five fields as in crontab(5), in UTC, or a word such as @weekly.
	Cron string
	// Ports are patterns as in path.Match.
	Ports    []string
	Priority int

	plan cron.Schedule
}

// Next returns the next time after the given one, in UTC, at which the rebuild
// is due. It returns the zero time for a Rebuild that was not read from a
// file.
func (r Rebuild) Next(after time.Time) time.Time {
	if r.plan == nil {
		return time.Time{}
	}
	return r.plan.Next(after.UTC())
}

// Probe says how often workers are probed, and when one is quarantined.
type Probe struct {
	Every time.Duration
	// Free is the least free disk space, in bytes. Clock is the largest
	// allowed difference between the clocks.
	Free  int64
	Clock time.Duration
}

// Retention says how long things are kept; 0 means for ever.
type Retention struct {
	// Builds applies to builds that were not released, from their end on. Logs
	// applies to the logs of all steps.
	Builds, Logs time.Duration
	// Grace is how long an artifact stays that no build needs; never 0.
	Grace time.Duration
}

// Limits are what one caller of the server may do.
type Limits struct {
	// Upload is the largest submission, in bytes.
	Upload int64
	// Requests is the average rate per second, Burst the most at once.
	Requests float64
	Burst    int
}

// Plugin is a program that recipes may name.
type Plugin struct {
	Name, Path string
	SHA256     digest.Digest
}

// Read parses src as the farm's file of the given name. Relative names in it
// begin at the folder of that file. Read accesses no files. The farm is nil if
// there are errors among the diagnostics; there may be warnings beside a farm.
func Read(src []byte, filename string) (*Farm, diagnostics.List) {
	r := newReader(src, filename, filepath.Dir(filename))
	farm := r.farm()
	return r.outcome(farm)
}

// Load reads the file at path and checks that the files it names exist.
func Load(path string) (*Farm, diagnostics.List) {
	src, dir, err := readFarmFile(path)
	if err != nil {
		return nil, diagnostics.Unreadable(path, "No farm file",
			fmt.Sprintf("Reading the farm's file: %s. Name another file, or write this one: farm \"NAME\" {} and a worker are enough to begin with.", err))
	}
	r := newReader(src, path, dir)
	farm := r.farm()
	r.checkFiles(os.Stat)
	return r.outcome(farm)
}

// readFarmFile reads a regular file of bounded size and returns its absolute folder.
func readFarmFile(path string) ([]byte, string, error) {
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

// checkFiles reports the named files that do not exist or cannot be used.
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
