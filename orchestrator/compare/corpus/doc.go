// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

// Package corpus is the comparator's examination: pairs of artifacts in which
// a difference was planted on purpose, each with the verdict and the finding
// that a careful person would want to read.
//
// There is nothing here but tests and their data. Every source of difference
// that ports to z/OS are known to have stands in it, every way to tamper with
// an artifact that a verdict must never excuse, and pairs that nothing is
// wrong with. What is expected was written down from docs/verdicts.md, not
// from what the comparator says.
//
// Pairs are made when the tests run: compiled, archived and packed with real
// tools in two folders, at two times, by scripts that really do what they are
// blamed for. Objects and a program object for z/OS that cannot be made here
// are those of the packages goff, obj and progobj beside this one, and are
// edited byte by byte. A pair whose tool is not installed is skipped, and says
// so. The judge compares each pair both ways round and keeps the table of
// docs/corpus.md; it fails below 95 % right answers, and at the first tampering
// that is not told as different. With -keep it leaves the pairs in a folder, for
// cmp and diffoscope to look at.
//
// The packages of the formats have tests of their own; those of the comparator
// are in orchestrator/compare.
package corpus
