// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

package parse

import (
	"errors"
	"fmt"
	"strings"
)

// Bounds on a licence expression.
const (
	maxLicence      = 500 // bytes
	maxLicenceDepth = 16  // parentheses
)

// parseLicence checks the syntax of a licence expression (SPDX 2.3, annex D)
// and returns it with single spaces. It does not check that a licence is on
// the SPDX list, so that a new list needs no new farm.
func parseLicence(s string) (string, error) {
	if len(s) > maxLicence {
		return "", fmt.Errorf("this one has %d characters, more than %d", len(s), maxLicence)
	}
	spaced := strings.NewReplacer("(", " ( ", ")", " ) ").Replace(s)
	l := licence{words: strings.Fields(spaced)}
	if err := l.expression(0); err != nil {
		return "", err
	}
	if l.next() != "" {
		return "", l.unexpected("AND, OR or WITH")
	}
	return strings.NewReplacer("( ", "(", " )", ")").Replace(strings.Join(l.words, " ")), nil
}

// licence parses the words of an expression.
type licence struct {
	words []string
	at    int
}

func (l *licence) next() string {
	if l.at == len(l.words) {
		return ""
	}
	return l.words[l.at]
}

func (l *licence) unexpected(want string) error {
	switch word := l.next(); {
	case word == "":
		return fmt.Errorf("it ends where %s is wanted", want)
	case isOperatorWord(strings.ToUpper(word)) && !isOperatorWord(word):
		return fmt.Errorf("write %s in capitals", strings.ToUpper(word))
	default:
		return fmt.Errorf("%q stands where %s is wanted", word, want)
	}
}

func isOperatorWord(s string) bool { return s == "AND" || s == "OR" || s == "WITH" }

// expression reads terms between AND and OR, whose precedence does not matter
// here.
func (l *licence) expression(depth int) error {
	if depth > maxLicenceDepth {
		return errors.New("it has too many parentheses")
	}
	for {
		if err := l.term(depth); err != nil {
			return err
		}
		if l.next() != "AND" && l.next() != "OR" {
			return nil
		}
		l.at++
	}
}

func (l *licence) term(depth int) error {
	if l.next() == "(" {
		l.at++
		if err := l.expression(depth + 1); err != nil {
			return err
		}
		if l.next() != ")" {
			return l.unexpected("a closing parenthesis")
		}
		l.at++
		return nil
	}
	if err := l.name("the name of a licence"); err != nil || l.next() != "WITH" {
		return err
	}
	l.at++
	return l.name("the name of an exception")
}

func (l *licence) name(want string) error {
	word := l.next()
	id := strings.TrimSuffix(word, "+")
	if document, ref, ok := strings.Cut(id, ":"); ok {
		if name, ok := strings.CutPrefix(document, "DocumentRef-"); ok && isPlainName(name, ".-", ".-", maxLicence) {
			id = ref
		}
	}
	if isOperatorWord(strings.ToUpper(word)) || !isPlainName(id, "", ".-", maxLicence) {
		return l.unexpected(want)
	}
	l.at++
	return nil
}
