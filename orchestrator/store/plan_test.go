// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

package store_test

import (
	"context"
	"database/sql"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/zfarm/zfarm/orchestrator/store"
	"github.com/zfarm/zfarm/orchestrator/store/storetest"
)

// large are the tables that grow with every build. No statement may scan one of them,
// except those in scans.
var (
	large = regexp.MustCompile(`(?i)\bSCAN (build|stage|need|attempt|step|log_chunk|event|audit|file|kept|b|s|n|a|f|k|t|d|r)\b|Seq Scan on (build|stage|need|attempt|step|log_chunk|event|audit|file|kept)\b`)
	// index is how SQLite reports a scan of a table in the order of an index, which is
	// right for a page or a partial index.
	index = regexp.MustCompile(`(?i) USING (COVERING )?INDEX `)
	scans = map[string]string{
		"countBuilds": "says how many there are",
		"tally":       "says how many there are in each state",
		"releases":    "lists all of a small table",
		"durations":   "reads all of a small table",
	}
	// through says which index a statement must find its rows by (an expression).
	through = map[string]string{
		"buildsOfPort": "build_port", "buildsOfOwner": "build_owner", "buildsInState": "build_state", "offers": "build_port",
		"buildOfIdentity": "build_identity", "buildOfInputs": "build_inputs", "oldBuilds": "build_ended", "livingBuilds": "build_living", "readyBuilds": "build_living",
		"dependants": "need_need", "eventsOf": "event_build", "readyRepeats": "stage_ready", "usedWorkers": "stage_used", "lostRepeats": "stage_ready", "countReady": "stage_ready", "oldLogs": "build_logs",
		"dueReady": "stage_ready", "dueMatch": "stage_ready", "dueRunning": "stage_running", "dueNeeds": "build_state|build_living",
		"dueProbes": "attempt_left", "leftOn": "attempt_left", "occupied": "attempt_left", "kept": "kept_digest", "freeSlot": "slot_stage",
	}
)

// statements returns the generated SQL by the name of its constant.
func statements(t *testing.T) map[string]string {
	t.Helper()
	names, err := filepath.Glob("query/*.sql.gen.go")
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]string{}
	for _, name := range names {
		file, err := parser.ParseFile(token.NewFileSet(), name, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(file, func(n ast.Node) bool {
			spec, ok := n.(*ast.ValueSpec)
			if !ok || len(spec.Values) != 1 {
				return true
			}
			if literal, ok := spec.Values[0].(*ast.BasicLit); ok && literal.Kind == token.STRING {
				text, err := strconv.Unquote(literal.Value)
				if err != nil {
					t.Fatal(err)
				}
				all[spec.Names[0].Name] = text
			}
			return true
		})
	}
	if len(all) < 60 {
		t.Fatalf("found %d statements only", len(all))
	}
	return all
}

var parameter = regexp.MustCompile(`[$](\d+)`)

func parameters(statement string) int {
	most := 0
	for _, m := range parameter.FindAllStringSubmatch(statement, -1) {
		n, _ := strconv.Atoi(m[1]) // digits, by the expression
		most = max(most, n)
	}
	return most
}

func TestEveryStatementHasAnIndex(t *testing.T) {
	t.Parallel()
	storetest.EachURL(t, func(t *testing.T, url string) {
		storetest.Open(t, url, store.Options{})
		conn, err := raw(t, url).Conn(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = conn.Close() }()
		explain := explainSQLite
		if !strings.HasPrefix(url, "sqlite:") {
			explain = explainPostgres
		}
		for name, statement := range statements(t) {
			if _, known := scans[name]; known || strings.Contains(statement, "INSERT INTO") {
				continue
			}
			plan, err := explain(t.Context(), conn, statement)
			if err != nil {
				t.Errorf("%s: %v", name, err)
				continue
			}
			if want := through[name]; !regexp.MustCompile(want).MatchString(strings.Join(plan, "\n")) {
				t.Errorf("%s does not use the index %s:\n%s", name, want, strings.Join(plan, "\n"))
			}
			for _, line := range plan {
				if large.MatchString(line) && !index.MatchString(line) {
					t.Errorf("%s reads a large table from end to end:\n%s", name, strings.Join(plan, "\n"))
					break
				}
			}
		}
	})
}

func explainSQLite(ctx context.Context, conn *sql.Conn, statement string) ([]string, error) {
	args := make([]any, parameters(statement))
	for i := range args {
		args[i] = 1
	}
	rows, err := conn.QueryContext(ctx, "EXPLAIN QUERY PLAN "+statement, args...)
	if err != nil {
		return nil, err
	}
	defer func() { _ = rows.Close() }()
	var plan []string
	for rows.Next() {
		var id, parent, unused int
		var detail string
		if err := rows.Scan(&id, &parent, &unused, &detail); err != nil {
			return nil, err
		}
		plan = append(plan, detail)
	}
	return plan, rows.Err()
}

// explainPostgres shows the plan for any parameters. The tables are empty here, so a
// scan would be cheapest: the test makes scans expensive.
func explainPostgres(ctx context.Context, conn *sql.Conn, statement string) ([]string, error) {
	args := ""
	if n := parameters(statement); n > 0 {
		args = "(" + strings.TrimSuffix(strings.Repeat("'1', ", n), ", ") + ")"
	}
	for _, s := range []string{"SET enable_seqscan = off", "SET plan_cache_mode = force_generic_plan", "PREPARE p AS " + statement} {
		if _, err := conn.ExecContext(ctx, s); err != nil {
			return nil, fmt.Errorf("%s: %w", s, err)
		}
	}
	rows, err := conn.QueryContext(ctx, "EXPLAIN EXECUTE p"+args)
	if err != nil {
		return nil, err
	}
	var plan []string
	for rows.Next() {
		var line string
		if err := rows.Scan(&line); err != nil {
			return nil, err
		}
		plan = append(plan, line)
	}
	if err := rows.Close(); err != nil {
		return nil, err
	}
	_, err = conn.ExecContext(ctx, "DEALLOCATE p")
	return plan, err
}
