// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

package kit

import (
	"fmt"
	"strings"

	"github.com/zfarm/zfarm/attest"
	"github.com/zfarm/zfarm/attest/digest"
	"github.com/zfarm/zfarm/attest/statement"
)

// cosignLimit is the size in bytes from which cosign refuses to read a file
// itself.
const cosignLimit = 128 << 20

// guided holds what the commands need to know about an artifact.
type guided struct {
	name   string
	digest digest.Digest
	size   int64
	tests  int
}

const guideHead = `# How to check this folder with the stock cosign program (2.6 and later), offline.
# Run the commands here one by one, or all of them with: sh -e verify.txt
# Each one must say "Verified OK".
#
# First compare zfarm.pub with a copy of the farm's key that you got in another
# way: who can change this folder can change the key in it.
#
`

const guideLimits = `# What these commands do not check:
# - what the statements say: builder, recipe, verdict, results of tests, and that
#   they agree with each other (zfarm's own verification does);
# - when they were signed: there is no trusted timestamp (and so no end of the
#   key's validity), and no entry in a transparency log;
# - whether the artifacts have known vulnerabilities;
# - files that no command names: nothing signs them.
`

// commands returns the text of CommandsFile. It depends only on signed data,
// so that Verify can see whether somebody changed the file.
func commands(artifacts []guided) string {
	var b strings.Builder
	b.WriteString(guideHead + guideLimits)
	for _, a := range artifacts {
		fmt.Fprintf(&b, "\n# %s: built by the farm, from the recipe and sources that the statement names\n", a.name)
		a.command(&b, a.name+provenanceSuffix, attest.TypeProvenance)
		fmt.Fprintf(&b, "\n# %s: built several times and compared\n", a.name)
		a.command(&b, a.name+reproducibilitySuffix, attest.TypeReproducibility)
		for i := range a.tests {
			fmt.Fprintf(&b, "\n# %s: tested (suite %d of %d)\n", a.name, i+1, a.tests)
			a.command(&b, testResultName(a.name, i, a.tests), attest.TypeTestResult)
		}
	}
	return b.String()
}

func (a guided) command(b *strings.Builder, bundle, predicateType string) {
	target := a.name
	if a.size >= cosignLimit {
		fmt.Fprintf(b, "echo '%s  %s' | sha256sum -c -\n", a.digest.Hex(), a.name)
		target = digestTarget(a.digest)
	}
	b.WriteString(cosignCommand(bundle, predicateType, target))
}

func digestTarget(d digest.Digest) string { return "--digest " + d.Hex() + " --digestAlg sha256" }

func cosignCommand(bundle, predicateType, target string) string {
	return fmt.Sprintf("cosign verify-blob-attestation --bundle %s --key %s --trusted-root %s --insecure-ignore-tlog --type %s %s\n",
		bundle, PublicKeyFile, TrustedRootFile, predicateType, target)
}

// findingsCommands returns the text of CommandsFile in the folder of a build
// that did not reproduce.
func findingsCommands(r statement.Reproducibility) string {
	var b strings.Builder
	b.WriteString(guideHead)
	fmt.Fprintf(&b, "# THIS BUILD DID NOT REPRODUCE. \"Verified OK\" means here: the farm did say so.\n#\n")
	b.WriteString(guideLimits)
	fmt.Fprintf(&b, "\n# The outputs, none of which is in this folder\n")
	done := map[digest.Digest]bool{}
	for _, s := range r.Subjects {
		if !done[s.Digest] {
			b.WriteString(cosignCommand(FindingsFile, attest.TypeReproducibility, digestTarget(s.Digest)))
		}
		done[s.Digest] = true
	}
	return b.String()
}

// notReproducible returns the text of NotReproducibleFile. It quotes
// everything in it that came from elsewhere.
func notReproducible(r statement.Reproducibility) string {
	var b strings.Builder
	fmt.Fprintf(&b, "This build did not reproduce. Do not release anything that came out of it.\n\n")
	fmt.Fprintf(&b, "Build    %q\nRecipe   %s\nVerdict  %s, %d of %d repeats agree with the first\n", r.InvocationID, r.Recipe.Digest, r.Verdict, r.Agreeing, len(r.Repeats))
	if r.Reason != "" {
		fmt.Fprintf(&b, "Reason   %q\n", r.Reason)
	}
	fmt.Fprintf(&b, "\nWhat came out (not in this folder):\n")
	for _, s := range r.Subjects {
		fmt.Fprintf(&b, "  %s  %q\n", s.Digest, s.Name)
	}
	fmt.Fprintf(&b, "\nDifferences: %d\n", r.Findings.Total)
	for _, f := range r.Findings.Listed {
		fmt.Fprintf(&b, "  tier %s  %q  %q", f.Tier, f.Path, f.Field)
		if f.Cause != "" {
			fmt.Fprintf(&b, "  likely cause: %q", f.Cause)
		}
		b.WriteString("\n")
	}
	if more := r.Findings.Total - len(r.Findings.Listed); more > 0 {
		fmt.Fprintf(&b, "  and %d more\n", more)
	}
	if len(r.Rules) > 0 {
		fmt.Fprintf(&b, "\nRules of the recipe, which accept differences named \"rule.NAME\":\n")
	}
	for _, x := range r.Rules {
		fmt.Fprintf(&b, "  tier %s  %q  %q  %q\n", x.Tier, x.Name, x.Reason, where(x))
	}
	fmt.Fprintf(&b, "\n%s carries this signed; %s shows how to check it.\n", FindingsFile, CommandsFile)
	return b.String()
}
