// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

package parse

import (
	"bytes"
	"fmt"
	"unicode/utf8"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
)

// Bounds on what HCL's parser gets. It recurses as deep as its input nests,
// and a goroutine whose stack overflows cannot be recovered. It also takes
// quadratic time in the number of pieces of one string.
const (
	maxRecipe    = 1 << 20 // bytes
	maxTokens    = 200_000
	maxDepth     = 40  // brackets in brackets
	maxOperators = 100 // operators of one expression, between two commas
	maxPieces    = 4000
	maxDigits    = 40
	maxIdent     = 200 // bytes
)

// Guard returns an error if a source, of whatever kind, must not be passed to
// HCL's parser: because of control characters that a reader would not see, or
// because it is deeper or longer than the parser can handle. There is at most
// one diagnostic; its text speaks of a recipe. It has filename in its place.
func Guard(src []byte, filename string) hcl.Diagnostics {
	if len(src) > maxRecipe {
		return hcl.Diagnostics{problem(nil, "Recipe too large", "A recipe may have %d bytes at most.", maxRecipe)}
	}
	if d := guardCharacters(src, filename); d != nil {
		return hcl.Diagnostics{d}
	}
	// The parser reports what the scanner finds, too.
	tokens, _ := hclsyntax.LexConfig(src, filename, hcl.InitialPos)
	if len(tokens) > maxTokens {
		return hcl.Diagnostics{problem(tokens[maxTokens].Range.Ptr(), "Recipe too large",
			"A recipe may have %d words and signs at most; this is where there are more.", maxTokens)}
	}
	g := nesting{levels: []level{{}}}
	for _, token := range tokens {
		if summary, detail := g.checkToken(token); summary != "" {
			return hcl.Diagnostics{problem(token.Range.Ptr(), summary, "%s", detail)}
		}
	}
	return nil
}

// guardCharacters refuses characters that a reader of the recipe would not
// see: controls, and marks that change the direction of text. It refuses
// carriage returns, too, because they would end up in strings of several
// lines.
func guardCharacters(src []byte, filename string) *hcl.Diagnostic {
	line, start := 1, 0 // of the current line
	for i := 0; i < len(src); {
		r, size := utf8.DecodeRune(src[i:])
		summary, detail := refusedCharacter(r, size)
		if summary != "" {
			from := hcl.Pos{Line: line, Column: utf8.RuneCount(src[start:i]) + 1, Byte: i}
			to := hcl.Pos{Line: line, Column: from.Column + 1, Byte: i + size}
			return problem(&hcl.Range{Filename: filename, Start: from, End: to}, summary, "%s", detail)
		}
		i += size
		if r == '\n' {
			line, start = line+1, i
		}
	}
	return nil
}

// refusedCharacter returns what is wrong with a character of size bytes; the
// summary is "" if nothing is.
func refusedCharacter(r rune, size int) (summary, detail string) {
	switch {
	case r == utf8.RuneError && size == 1:
		return "Invalid character", "A recipe is UTF-8 text; this byte is not."
	case r == '\r':
		return "Invalid line end", `Lines of a recipe end with a newline only; "zfarm recipe fmt" removes the carriage returns.`
	case r < ' ' && r != '\n' && r != '\t', 0x7f <= r && r < 0xa0,
		0x200e <= r && r <= 0x200f, 0x202a <= r && r <= 0x202e, 0x2066 <= r && r <= 0x2069:
		return "Invalid character", fmt.Sprintf("A reader does not see %U. In a string, write it as \\u%04x.", r, r)
	}
	return "", ""
}

// problem returns an error.
func problem(at *hcl.Range, summary, format string, args ...any) *hcl.Diagnostic {
	return &hcl.Diagnostic{Severity: hcl.DiagError, Summary: summary, Detail: fmt.Sprintf(format, args...), Subject: at}
}

// nesting tracks the brackets of a source.
type nesting struct{ levels []level }

// level is the inside of one pair of brackets.
type level struct {
	open      hclsyntax.TokenType
	operators int // since the last comma, or the last newline if that ends an item
	pieces    int // of a string
}

// checkToken processes one token. The summary is not "" if a bound is exceeded.
func (g *nesting) checkToken(token hclsyntax.Token) (summary, detail string) {
	top := &g.levels[len(g.levels)-1]
	switch token.Type {
	case hclsyntax.TokenComma:
		top.operators = 0
	case hclsyntax.TokenNewline:
		if top.open != hclsyntax.TokenOParen && top.open != hclsyntax.TokenOBrack {
			top.operators = 0
		}
	case hclsyntax.TokenTemplateControl:
		return "Directive in a string", `A recipe has no %{ } directives. Write an expression such as ${join(" ", [for x in list : x])}, or %%{ for the two characters.`
	case hclsyntax.TokenNumberLit:
		if len(token.Bytes) > maxDigits || bytes.ContainsAny(token.Bytes, "eE") {
			return "Invalid number", fmt.Sprintf("Write the number out, in at most %d digits and without an exponent.", maxDigits)
		}
	case hclsyntax.TokenIdent:
		if len(token.Bytes) > maxIdent {
			return "Name too long", fmt.Sprintf("A name may have %d bytes at most.", maxIdent)
		}
	case hclsyntax.TokenQuotedLit, hclsyntax.TokenStringLit:
		if top.pieces++; top.pieces > maxPieces {
			return "String too long", fmt.Sprintf("A string may have %d lines or pieces at most. Put long scripts into a file among the patches.", maxPieces)
		}
	}
	if isOperator(token.Type) {
		if top.operators++; top.operators > maxOperators {
			return "Expression too long", fmt.Sprintf("An expression may have %d operators at most. Split it up.", maxOperators)
		}
	}
	return g.bracket(token.Type)
}

// bracket opens or closes a level. It ignores a closing bracket of another
// kind: the parser reports it, and may have gone one level deeper.
func (g *nesting) bracket(t hclsyntax.TokenType) (summary, detail string) {
	if closes(t) != hclsyntax.TokenNil {
		g.levels = append(g.levels, level{open: t})
		if len(g.levels)-1 > maxDepth {
			return "Nested too deeply", fmt.Sprintf("A recipe may have %d brackets within each other at most.", maxDepth)
		}
		return "", ""
	}
	if top := len(g.levels) - 1; top > 0 && closes(g.levels[top].open) == t {
		g.levels = g.levels[:top]
	}
	return "", ""
}

// closes returns the token that closes t; TokenNil if t opens nothing.
func closes(t hclsyntax.TokenType) hclsyntax.TokenType {
	switch t {
	case hclsyntax.TokenOBrace:
		return hclsyntax.TokenCBrace
	case hclsyntax.TokenOBrack:
		return hclsyntax.TokenCBrack
	case hclsyntax.TokenOParen:
		return hclsyntax.TokenCParen
	case hclsyntax.TokenOQuote:
		return hclsyntax.TokenCQuote
	case hclsyntax.TokenOHeredoc:
		return hclsyntax.TokenCHeredoc
	case hclsyntax.TokenTemplateInterp:
		return hclsyntax.TokenTemplateSeqEnd
	}
	return hclsyntax.TokenNil
}

// isOperator reports whether each further t makes the parser, or the walk over
// its result, go deeper without opening a bracket.
func isOperator(t hclsyntax.TokenType) bool {
	switch t {
	case hclsyntax.TokenStar, hclsyntax.TokenSlash, hclsyntax.TokenPlus, hclsyntax.TokenMinus, hclsyntax.TokenPercent,
		hclsyntax.TokenEqualOp, hclsyntax.TokenNotEqual, hclsyntax.TokenLessThan, hclsyntax.TokenLessThanEq,
		hclsyntax.TokenGreaterThan, hclsyntax.TokenGreaterThanEq, hclsyntax.TokenAnd, hclsyntax.TokenOr, hclsyntax.TokenBang,
		hclsyntax.TokenDot, hclsyntax.TokenQuestion, hclsyntax.TokenColon, hclsyntax.TokenDoubleColon,
		hclsyntax.TokenOBrack, hclsyntax.TokenOParen:
		return true
	}
	return false
}
