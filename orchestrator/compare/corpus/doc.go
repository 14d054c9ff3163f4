// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

// Package corpus tests the comparator on pairs of artifacts in which one difference
// was planted on purpose, each with the verdict and the finding that a careful
// reviewer would expect.
//
// It holds only tests and their data: every source of difference that ports to z/OS
// are known to have, every kind of tampering that a verdict must never excuse, and
// pairs with nothing wrong. The expected answers were written down from
// docs/verdicts.md, not from the output of the comparator.
//
// The tests make the pairs: they compile, archive and pack with real tools in two
// folders, at two times, with scripts that really do what the pair is about.
// Objects and a program object for z/OS, which cannot be made here, come from the
// packages goff, obj and progobj beside this one and are edited byte by byte. A
// pair whose tool is not installed is skipped with a message. The test compares
// each pair both ways round and writes the table of docs/corpus.md. It fails below
// 95 % right answers, and at the first tampering that is not reported as different.
// With -keep it leaves the pairs in a folder, for use with cmp and diffoscope.
//
// The packages of the formats have tests of their own; those of the whole
// comparator are in orchestrator/compare.
package corpus
