// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

// Package nearest finds the known word that an unknown word probably means, so
// that every error about a misspelt name ends with the same advice. It knows
// nothing of recipes, farm files or their syntax.
package nearest

import (
	"fmt"
	"strings"
)

const (
	maxWord = 200 // bytes; a longer word is not compared
	maxList = 16  // a longer list of words is not shown
)

// Hint returns the advice to append to "there is no such name", with a space
// before it: the name that was probably meant; else all names, if they are
// few; else "".
func Hint(given string, names []string) string {
	if name := Word(given, names); name != "" {
		return fmt.Sprintf(" Did you mean %q?", name)
	}
	if len(names) == 0 || len(names) > maxList {
		return ""
	}
	return " Known here: " + strings.Join(names, ", ") + "."
}

// OneOf returns the advice for a word of a fixed list: the word that was
// probably meant; else all of them.
func OneOf(given string, words []string) string {
	if Word(given, words) != "" {
		return Hint(given, words)
	}
	return " Known are: " + strings.Join(words, ", ") + "."
}

// Word returns the name most similar to given; "" if none is similar.
func Word(given string, names []string) string {
	if len(given) > maxWord {
		return ""
	}
	best, distance := "", 1<<30
	for _, name := range names {
		d := edits(given, name)
		if len(given) >= 3 && strings.HasPrefix(name, given) {
			d = min(d, 1)
		}
		if d < distance && d <= (max(len(given), len(name))+1)/3 {
			best, distance = name, d
		}
	}
	return best
}

// edits returns how many letters to insert, delete, replace or swap with their
// neighbour to turn a into b.
func edits(a, b string) int {
	var before, row []int
	next := make([]int, len(b)+1)
	for j := range next {
		next[j] = j
	}
	for i := range len(a) {
		before, row, next = row, next, make([]int, len(b)+1)
		next[0] = i + 1
		for j := range len(b) {
			change := row[j]
			if a[i] != b[j] {
				change++
			}
			next[j+1] = min(change, row[j+1]+1, next[j]+1)
			if i > 0 && j > 0 && a[i] == b[j-1] && a[i-1] == b[j] {
				next[j+1] = min(next[j+1], before[j-1]+1)
			}
		}
	}
	return next[len(b)]
}
