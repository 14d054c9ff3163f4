// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

package kit

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/zfarm/zfarm/attest"
	"github.com/zfarm/zfarm/attest/digest"
	"github.com/zfarm/zfarm/attest/keys"
	"github.com/zfarm/zfarm/attest/statement"
)

// Options says what Verify accepts.
type Options struct {
	// Open returns a Verifier that trusts the public key, in PEM.
	Open func(publicKey []byte) (attest.Verifier, error)
	// PublicKey is the trusted key, in PEM. If it is nil, Verify uses the
	// folder's key, and the report says what that is worth.
	PublicKey []byte
	// TrustedRoot is what the folder's trusted root must equal; nil skips the
	// check.
	TrustedRoot []byte
	// Builders are the accepted builder ids; nil means [statement.Builders].
	Builders []string
	// Tiers are the accepted tiers of difference, whatever the recipe allows;
	// nil accepts what the recipe allows.
	Tiers []statement.Tier
}

// Verify checks a folder, offline. The Report says what was checked and what
// was not. If the Report does not call the folder releasable, Verify also
// returns an error, which wraps attest.ErrNotVerified unless the folder could
// not be read or ctx was cancelled.
func Verify(ctx context.Context, dir string, o Options) (Report, error) {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return Report{}, fmt.Errorf("verifying kit: %w", err)
	}
	defer root.Close()
	if o.Builders == nil {
		o.Builders = statement.Builders()
	}
	v := verification{folder: folder{root}, options: o, known: map[string]bool{}}
	v.report = Report{Artifacts: []ArtifactReport{}, Checked: []string{}, Trusted: []string{}, NotChecked: []string{}, Faults: []string{}}
	if err := v.all(ctx); err != nil {
		return Report{}, fmt.Errorf("verifying kit %s: %w", dir, err)
	}
	v.report.Releasable = len(v.report.Faults) == 0
	if !v.report.Releasable {
		return v.report, fmt.Errorf("verifying kit %s: %w: %d faults, the first: %s", dir, attest.ErrNotVerified, len(v.report.Faults), v.report.Faults[0])
	}
	return v.report, nil
}

// verification is one call of Verify.
type verification struct {
	folder   folder
	options  Options
	verifier attest.Verifier
	names    []string
	known    map[string]bool // names that belong in the folder
	report   Report
}

// all runs every check. It returns only errors that end the verification;
// faults go into the report.
func (v *verification) all(ctx context.Context) error {
	names, faults, err := v.folder.names()
	if err != nil {
		return err
	}
	v.names = names
	v.report.fault(faults...)
	if err := v.key(); err != nil || v.verifier == nil {
		return err
	}
	v.trustedRoot()
	for _, name := range ExtraNames() {
		if v.has(name) {
			v.known[name] = true
			v.report.notChecked("%s: nothing signs it", name)
		}
	}
	if v.has(NotReproducibleFile) || v.has(FindingsFile) {
		v.findings(ctx)
	} else {
		v.artifacts(ctx)
	}
	for _, name := range v.names {
		if !v.known[name] {
			v.report.fault(fmt.Errorf("%q does not belong here", name))
		}
	}
	v.reportLimits()
	return ctx.Err()
}

func (v *verification) has(name string) bool { return slices.Contains(v.names, name) }

// key opens the verifier with the pinned key or the folder's. It returns an
// error only for the pinned key, since that is no fault of the folder.
func (v *verification) key() error {
	v.known[PublicKeyFile] = true
	own, err := v.folder.read(PublicKeyFile, keys.MaxFile)
	v.report.fault(err)
	if pinned := v.options.PublicKey; pinned != nil {
		hint, bad := keys.Hint(pinned)
		if bad != nil {
			return fmt.Errorf("pinned key: %w", bad)
		}
		if ownHint, bad := keys.Hint(own); err == nil && (bad != nil || ownHint != hint) {
			v.report.fault(fmt.Errorf("%s is another key than the pinned one, and the commands in %s would trust it", PublicKeyFile, CommandsFile))
		}
		v.report.KeyPinned, v.report.KeyHint = true, hint
		v.verifier, err = v.options.Open(pinned)
		return err
	}
	if err != nil {
		return nil //nolint:nilerr // told already
	}
	if v.report.KeyHint, err = keys.Hint(own); err == nil {
		v.verifier, err = v.options.Open(own)
	}
	v.report.fault(err)
	v.report.notChecked("whose key %s is: it came from the folder itself, and who can change the folder can change it; give the key that you got in another way", PublicKeyFile)
	return nil
}

func (v *verification) trustedRoot() {
	v.known[TrustedRootFile] = true
	have, err := v.folder.read(TrustedRootFile, maxSmall)
	v.report.fault(err)
	switch {
	case err != nil:
	case v.options.TrustedRoot == nil:
		v.report.notChecked("%s: only the commands in %s use it", TrustedRootFile, CommandsFile)
	case !bytes.Equal(have, v.options.TrustedRoot):
		v.report.fault(fmt.Errorf("%s is not the one that was expected", TrustedRootFile))
	default:
		v.report.checked("%s is the one that was expected", TrustedRootFile)
	}
}

// text checks a file whose content follows from signed data.
func (v *verification) text(name, want string) {
	v.known[name] = true
	have, err := v.folder.read(name, maxSmall+int64(len(want)))
	if err == nil && string(have) != want {
		err = fmt.Errorf("%s was changed: do not follow what it says", name)
	}
	v.report.fault(err)
	if err == nil {
		v.report.checked("%s says what it should", name)
	}
}

func (v *verification) artifacts(ctx context.Context) {
	var list []guided
	for _, name := range v.names {
		if v.known[name] || strings.HasSuffix(name, bundleSuffix) || slices.Contains(reserved(), name) {
			continue
		}
		if err := checkName(name); err != nil {
			v.report.fault(err)
			v.known[name] = true
			continue
		}
		list = append(list, v.artifact(ctx, name))
	}
	if len(list) == 0 {
		v.report.fault(errors.New("there is no artifact"))
	}
	slices.SortFunc(list, byName)
	v.text(CommandsFile, commands(list))
}

// artifact checks one artifact and all bundles about it.
func (v *verification) artifact(ctx context.Context, name string) guided {
	v.known[name] = true
	tests := v.testResults(name)
	d, size, err := v.folder.sum(ctx, name)
	g := guided{name: name, digest: d, size: size, tests: len(tests)}
	if err != nil {
		v.report.fault(fmt.Errorf("%s: %w", name, err))
		return g
	}
	from := sources{provenance: v.bundle(ctx, name+provenanceSuffix, d), reproducibility: v.bundle(ctx, name+reproducibilitySuffix, d)}
	for _, t := range tests {
		from.tests = append(from.tests, v.bundle(ctx, t, d))
	}
	c, faults := examine(attest.Subject{Name: name, Digest: d}, from)
	v.report.fault(faults...)
	v.report.fault(v.accept(name, c)...)
	if len(faults) == 0 {
		v.reportArtifact(name, c)
	}
	v.report.Artifacts = append(v.report.Artifacts, artifactReport(g, c))
	return g
}

// testResults returns the names of the artifact's test results, in the order
// of their numbers.
func (v *verification) testResults(f string) []string {
	var have []string
	for _, name := range v.names {
		if isTestResult(f, name) {
			have = append(have, name)
		}
	}
	slices.SortFunc(have, func(a, b string) int { return cmp.Or(cmp.Compare(len(a), len(b)), cmp.Compare(a, b)) })
	for i, name := range have {
		if want := testResultName(f, i, len(have)); name != want {
			v.report.fault(fmt.Errorf("%s: test result %q should have the name %q: one was added, removed or renamed", f, name, want))
		}
	}
	return have
}

// bundle returns a function that reads and verifies a bundle file.
func (v *verification) bundle(ctx context.Context, name string, d digest.Digest) func() (attest.Statement, error) {
	v.known[name] = true
	return func() (attest.Statement, error) {
		b, err := v.folder.read(name, maxBundle)
		if err != nil {
			return attest.Statement{}, err
		}
		return v.verifier.Verify(ctx, b, d)
	}
}

// accept checks the statements against the options.
func (v *verification) accept(name string, c claims) []error {
	var faults []error
	if id := c.provenance.Builder.ID; id != "" && !slices.Contains(v.options.Builders, id) {
		faults = append(faults, fmt.Errorf("%s: built by %q, accepted are %q", name, id, v.options.Builders))
	}
	if v.options.Tiers == nil {
		return faults
	}
	for _, m := range c.reproducibility.Masked {
		if !slices.Contains(v.options.Tiers, m.Tier) {
			faults = append(faults, fmt.Errorf("%s: repeats differ in %q, of tier %s; accepted are %q", name, m.Field, m.Tier, v.options.Tiers))
		}
	}
	return faults
}

// reportArtifact reports what was verified about an artifact without faults.
func (v *verification) reportArtifact(name string, c claims) {
	r := &v.report
	recipe, _ := c.provenance.Recipe()
	r.checked("%s: provenance is signed, about these bytes, by the builder %s%s, from the recipe %s",
		name, c.provenance.Builder.ID, levelNote(c.provenance.Builder.ID), recipe.Digest)
	verdict := string(c.reproducibility.Verdict)
	if t := c.reproducibility.Tier; t != "" {
		verdict += fmt.Sprintf(" (tier %s, %d differences in %d named fields)", t, c.reproducibility.Findings.Total, len(c.reproducibility.Masked))
	}
	r.checked("%s: reproducibility is signed, about the same build: %s in %d of %d repeats on %d workers",
		name, verdict, c.reproducibility.Agreeing, len(c.reproducibility.Repeats), c.reproducibility.DistinctWorkers())
	for _, m := range maskedReport(c.reproducibility) {
		r.trusted("%s: %s", name, m)
	}
	for _, t := range c.tests {
		s := suiteReport(t)
		r.checked("%s: test result is signed: suite %q %s: %d passed, %d warned, %d failed, %d skipped, %d failed as expected",
			name, s.Name, s.Result, s.Passed, s.Warned, s.Failed, s.Skipped, s.ExpectedFailures)
	}
	if len(c.tests) == 0 {
		r.notChecked("%s: tests; the provenance names no suite", name)
	}
}

// levelNote returns a note on the level that a builder id claims; "" if that is
// unknown.
func levelNote(id string) string {
	level := statement.ClaimedLevel(id)
	if level == 0 {
		return ""
	}
	return fmt.Sprintf(" (claims SLSA Build L%d)", level)
}

func artifactReport(g guided, c claims) ArtifactReport {
	recipe, _ := c.provenance.Recipe()
	a := ArtifactReport{
		Name: g.name, Digest: g.digest, Size: g.size,
		Port: c.provenance.External.Port, Version: c.provenance.External.Version, Recipe: recipe.Digest, Builder: c.provenance.Builder.ID,
		Verdict: c.reproducibility.Verdict, Tier: c.reproducibility.Tier,
		Repeats: len(c.reproducibility.Repeats), Workers: c.reproducibility.DistinctWorkers(),
		Masked: maskedReport(c.reproducibility), Suites: []SuiteReport{},
	}
	for _, t := range c.tests {
		a.Suites = append(a.Suites, suiteReport(t))
	}
	return a
}

// findings checks the folder of a build that did not reproduce. It is never
// releasable.
func (v *verification) findings(ctx context.Context) {
	v.report.fault(fmt.Errorf("this build did not reproduce: there is nothing here to release; see %s", NotReproducibleFile))
	v.known[FindingsFile] = true
	r, err := v.signedFindings(ctx)
	if err != nil {
		v.report.fault(fmt.Errorf("%s: %w", FindingsFile, err))
		v.known[NotReproducibleFile], v.known[CommandsFile] = true, true
		return
	}
	v.report.checked("%s is signed: build %q, verdict %s, %d of %d repeats agree", FindingsFile, r.InvocationID, r.Verdict, r.Agreeing, len(r.Repeats))
	v.text(NotReproducibleFile, notReproducible(r))
	v.text(CommandsFile, findingsCommands(r))
}

func (v *verification) signedFindings(ctx context.Context) (statement.Reproducibility, error) {
	var none statement.Reproducibility
	b, err := v.folder.read(FindingsFile, maxBundle)
	if err != nil {
		return none, err
	}
	unverified, err := peek(b)
	if err != nil {
		return none, err
	}
	// There is no artifact to check against: any subject will do, since all
	// are signed.
	s, err := v.verifier.Verify(ctx, b, unverified.Subjects[0].Digest)
	if err != nil {
		return none, err
	}
	r, err := statement.DecodeReproducibility(s)
	if err == nil && r.Verdict.Reproduced() {
		err = fmt.Errorf("its verdict is %q: the artifacts were taken away", r.Verdict)
	}
	return r, err
}

// reportLimits reports what no verification of such a folder can establish.
func (v *verification) reportLimits() {
	r := &v.report
	r.notChecked("when the statements were signed: there is no trusted timestamp, and so no end of the key's validity")
	r.notChecked("whether others see the same statements: there is no entry in a transparency log")
	r.notChecked("independent rebuilds: all repeats were made in one farm")
	r.notChecked("known vulnerabilities of the artifacts: no statement here covers them")
	r.notChecked("recipe and sources: the statements name them by digest, they are not in the folder")
}
