// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

package parse

import (
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/zclconf/go-cty/cty"
	"github.com/zclconf/go-cty/cty/function"
	"github.com/zclconf/go-cty/cty/function/stdlib"
)

// pureFunction is a function of recipes, with a bound on its value. It depends
// on nothing but its arguments.
type pureFunction struct {
	function.Function
	// size returns the bound of the value from the bounds of the arguments.
	size func(args []bound) bound
}

// functions returns the functions that recipes may call.
func functions() map[string]pureFunction {
	return map[string]pureFunction{
		"concat":     {stdlib.ConcatFunc, sumSize},
		"contains":   {stdlib.ContainsFunc, func([]bound) bound { return bound{bytes: wordSize} }},
		"format":     {formatFunction(), formatSize},
		"join":       {stdlib.JoinFunc, joinSize},
		"length":     {stdlib.LengthFunc, func([]bound) bound { return bound{bytes: wordSize} }},
		"lower":      {stdlib.LowerFunc, caseSize},
		"replace":    {stdlib.ReplaceFunc, replaceSize},
		"reverse":    {stdlib.ReverseListFunc, sumSize},
		"split":      {stdlib.SplitFunc, splitSize},
		"trimprefix": {stdlib.TrimPrefixFunc, sumSize},
		"trimspace":  {stdlib.TrimSpaceFunc, sumSize},
		"trimsuffix": {stdlib.TrimSuffixFunc, sumSize},
		"upper":      {stdlib.UpperFunc, caseSize},
	}
}

// formatFunction supports %s, %q and %% only: widths and precisions would let
// short recipes make large values.
func formatFunction() function.Function {
	return function.New(&function.Spec{
		Description: "Puts strings into the places of %s and, quoted, %q.",
		Params:      []function.Parameter{{Name: "format", Type: cty.String}},
		VarParam:    &function.Parameter{Name: "args", Type: cty.String},
		Type:        function.StaticReturnType(cty.String),
		Impl: func(args []cty.Value, _ cty.Type) (cty.Value, error) {
			var texts []string
			for _, a := range args[1:] {
				texts = append(texts, a.AsString())
			}
			s, err := formatText(args[0].AsString(), texts)
			return cty.StringVal(s), err
		},
	})
}

func formatText(format string, args []string) (string, error) {
	var b strings.Builder
	used := 0
	for {
		plain, rest, found := strings.Cut(format, "%")
		b.WriteString(plain)
		if !found {
			break
		}
		if rest == "" || !strings.ContainsRune("sq%", rune(rest[0])) {
			return "", function.NewArgErrorf(0, "only %%s, %%q and %%%% are known; a percent sign itself is %%%%")
		}
		format = rest[1:]
		if rest[0] == '%' {
			b.WriteByte('%')
			continue
		}
		if used == len(args) {
			return "", function.NewArgError(0, errors.New("there are more places than arguments"))
		}
		if rest[0] == 'q' {
			b.WriteString(strconv.Quote(args[used]))
		} else {
			b.WriteString(args[used])
		}
		used++
	}
	if used < len(args) {
		return "", function.NewArgError(used+1, fmt.Errorf("there are %d places for %d arguments", used, len(args)))
	}
	return b.String(), nil
}

// sumSize is the size of functions whose value consists of their arguments.
func sumSize(args []bound) bound {
	var sum bound
	for _, a := range args {
		sum.bytes = plus(sum.bytes, a.bytes)
		sum.items = plus(sum.items, a.items)
		sum.elem = larger(sum.elem, a.elem)
	}
	return sum
}

// caseSize is the size of upper and lower: a letter may take three times the
// bytes in the other case.
func caseSize(args []bound) bound { return bound{bytes: times(3, sumSize(args).bytes)} }

func joinSize(args []bound) bound {
	if len(args) == 0 {
		return bound{}
	}
	sum := sumSize(args)
	return bound{bytes: plus(sum.bytes, times(sum.items, args[0].bytes))}
}

func splitSize(args []bound) bound {
	sum := sumSize(args)
	return bound{bytes: plus(sum.bytes, sum.bytes), items: plus(sum.bytes, 1), elem: &bound{bytes: sum.bytes}}
}

func replaceSize(args []bound) bound {
	if len(args) != 3 {
		return sumSize(args)
	}
	return bound{bytes: times(plus(args[0].bytes, 1), plus(args[2].bytes, 1))}
}

// formatSize is the size of format: each verb takes two characters of the
// format, and a quoted character becomes at most ten.
func formatSize(args []bound) bound {
	if len(args) == 0 {
		return bound{}
	}
	return bound{bytes: plus(args[0].bytes, times(10, sumSize(args[1:]).bytes))}
}
