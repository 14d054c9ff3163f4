// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

package compare

import "regexp"

// Rule is what a recipe says of one difference that its port is known to have.
// It can turn a finding of tier X into one of its own tier, never one about
// metadata, a tool, an attribute, code, or what was added, removed or moved.
type Rule struct {
	// Name is the rule's own: a finding under it has the field "rule.NAME".
	Name string
	// Format is what the member must be in both artifacts: "text" (by its file
	// tag, else UTF-8), "json", or "bytes" (anything else).
	Format string
	// Path is a glob (path.Match) over the member's path below the artifact's
	// first folder; "" is every member.
	Path string
	// Field is the JSON pointer of the one value that may differ; format
	// "json" only.
	Field string
	// Pattern has one group, the only bytes that may differ: in text it is
	// matched against both lines, in bytes against the printable text around
	// the difference, in ASCII and in IBM-1047, where the group must have the
	// same length in both. Of a JSON value it must match both, whole.
	Pattern *regexp.Regexp
	// Tier is what the difference counts as, 0 to 2.
	Tier Tier
	// Reason says why, in the recipe's words; it is the finding's cause.
	Reason string
}
