// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"strings"
	"testing"
)

// TestTransactionsUseOneConnection: code inside Store.Update calls its Tx, never the
// Store. The Store would take a second connection, see a different state than the
// transaction, and wait for ever where connections are few.
func TestTransactionsUseOneConnection(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	fset, within := token.NewFileSet(), 0
	for _, name := range files {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		file, err := parser.ParseFile(fset, name, nil, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(file, func(n ast.Node) bool {
			var params *ast.FuncType
			var body *ast.BlockStmt
			switch f := n.(type) {
			case *ast.FuncDecl:
				params, body = f.Type, f.Body
			case *ast.FuncLit:
				params, body = f.Type, f.Body
			}
			if params == nil || !takesTx(params) {
				return true
			}
			within++
			ast.Inspect(body, func(n ast.Node) bool {
				call, ok := n.(*ast.CallExpr)
				if !ok {
					return true
				}
				method, ok := call.Fun.(*ast.SelectorExpr)
				if !ok {
					return true
				}
				if of, ok := method.X.(*ast.SelectorExpr); ok && of.Sel.Name == "Store" {
					t.Errorf("%s: Store.%s is called within a transaction: use the Tx", fset.Position(call.Pos()), method.Sel.Name)
				}
				return true
			})
			return true
		})
	}
	if within < 10 {
		t.Errorf("only %d functions take a Tx: this test looks for the wrong type", within)
	}
}

func takesTx(f *ast.FuncType) bool {
	for _, p := range f.Params.List {
		star, ok := p.Type.(*ast.StarExpr)
		if !ok {
			continue
		}
		if of, ok := star.X.(*ast.SelectorExpr); ok && of.Sel.Name == "Tx" {
			return true
		}
	}
	return false
}
