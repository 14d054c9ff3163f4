// Copyright The zfarm Authors
// SPDX-License-Identifier: Apache-2.0

package zfarm_test

import (
	"bytes"
	"encoding/json"
	"flag"
	"go/ast"
	"go/parser"
	"go/token"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "write golden files anew")

const module = "github.com/zfarm/zfarm/"

// onlyIn says which packages of ours may import a heavy or dangerous module,
// tests included, and why nobody else may.
var onlyIn = []struct {
	module string
	in     []string
	reason string
}{
	{"github.com/sigstore/", []string{"attest/cosign"}, "a move to another signer touches one package"},
	{"golang.org/x/crypto/ssh", []string{"workers/ssh", "workers/sshtest"}, "one place speaks SSH and knows its traps"},
	{"github.com/pkg/sftp", []string{"workers/ssh", "workers/sshtest"}, "one place speaks SFTP and knows its traps"},
	{"github.com/hashicorp/go-plugin", []string{"plugins/host", "plugins/serve", "plugins/wire"}, "authors and the rest of the farm see plain Go"},
	{"google.golang.org/grpc", []string{"plugins/host", "plugins/serve", "plugins/wire"}, "the protocol ends at the door"},
	{"github.com/hashicorp/hcl/v2", []string{"recipes/parse", "recipes/schema", "recipes/diagnostics", "orchestrator/farmfile"}, "recipes and farms are values; only their readers know syntax"},
	{"github.com/zclconf/go-cty", []string{"recipes/parse", "recipes/schema", "orchestrator/farmfile"}, "recipes and farms are values; only their readers know syntax"},
	{"database/sql", []string{"orchestrator/store"}, "SQL lives in one place"},
	{"github.com/riverqueue/river", []string{"orchestrator/store"}, "the queue only wakes; nobody else knows which one it is"},
	{"github.com/jackc/pgx/v5", []string{"orchestrator/store"}, "SQL lives in one place"},
	{"modernc.org/sqlite", []string{"orchestrator/store"}, "SQL lives in one place"},
	{"github.com/pressly/goose/v3", []string{"orchestrator/store"}, "SQL lives in one place"},
	{"github.com/danielgtaylor/huma/v2", []string{"orchestrator/api/server"}, "operations are a table; only the server knows what serves it"},
	{"github.com/coreos/go-oidc/v3", []string{"orchestrator/api/server"}, "who asks is settled at the door"},
	{"github.com/prometheus", []string{"orchestrator/api/server"}, "metrics are a page of the API"},
	{"github.com/robfig/cron/v3", []string{"orchestrator/farmfile"}, "times of day are part of a syntax"},
	{"github.com/ProtonMail/go-crypto", []string{"recipes/source"}, "upstream signatures are checked in one place"},
	{"github.com/stretchr/testify", nil, "the standard library and go-cmp say it as well"},
	{"github.com/spf13/cobra", []string{"cmd/zfarm"}, "flags belong to the command line"},
	{"golang.org/x/term", []string{"cmd/zfarm", "attest/keys"}, "libraries neither prompt nor draw, but for the one that asks for passwords"},
}

type room struct {
	pkg    string
	may    []string
	reason string
}

// mayImport says which packages of ours a package may import in its code: each
// by its whole path, since what lies below a package is another room. A row
// whose name ends with "/..." is for all packages below that have none of
// their own. A package that is not listed here is a new room: give it a row.
var mayImport = []room{
	{"attest/digest", nil, "the ground floor"},
	{"attest", []string{"attest/digest"}, "words and two interfaces"},
	{"attest/statement", []string{"attest", "attest/digest", "recipes"}, "composes bytes, signs nothing; names variations as recipes do"},
	{"attest/keys", nil, "names keys, signs nothing"},
	{"attest/cosign", []string{"attest", "attest/digest", "attest/keys", "attest/statement"}, "an adapter: knows no other"},
	{"attest/kit", []string{"attest", "attest/digest", "attest/keys", "attest/statement", "workers/codepage"}, "lays out what others made; its report is safe to show"},
	{"recipes", []string{"attest/digest", "recipes/nearest", "workers/codepage"}, "values, and text of them that is safe to show"},
	{"recipes/nearest", nil, "words; whoever reports an unknown name may use it"},
	{"recipes/diagnostics", []string{"workers/codepage"}, "shows faults of any HCL, knows no language"},
	{"recipes/schema", nil, "knows syntax, no plugin"},
	{"recipes/parse", []string{"attest/digest", "recipes", "recipes/diagnostics", "recipes/nearest", "recipes/schema"}, "knows syntax, no plugin"},
	{"recipes/source/xzfile", nil, "a format; those who read source archives and those who compare use it"},
	{"recipes/source", []string{"attest/digest", "recipes", "recipes/source/xzfile", "workers/codepage"}, "fetches, builds nothing"},
	{"recipes/ports", nil, "recipes are data"},
	{"workers", []string{"attest/digest"}, "words and the contract"},
	{"workers/codepage", nil, "bytes to text"},
	{"workers/humanize", nil, "values to text; below everybody who writes a sentence"},
	{"workers/runner", []string{"attest/digest", "workers", "workers/codepage"}, "knows hosts as an interface"},
	{"workers/local", []string{"attest/digest", "workers", "workers/runner"}, "an adapter: knows no other"},
	{"workers/ssh", []string{"attest/digest", "workers", "workers/codepage", "workers/humanize", "workers/runner"}, "an adapter: knows no other"},
	{"workers/workertest", []string{"attest/digest", "workers"}, "the contract as a test"},
	{"workers/sshtest", []string{"workers/codepage", "workers/ssh"}, "servers for tests"},
	{"plugins", []string{"attest/digest", "workers"}, "authors need no more"},
	{"plugins/suite", []string{"plugins"}, "reads reports"},
	{"plugins/wire", []string{"attest/digest", "plugins", "workers"}, "the protocol"},
	{"plugins/serve", []string{"plugins", "plugins/wire"}, "the author's side of the protocol"},
	{"plugins/host", []string{"attest/digest", "plugins", "plugins/wire", "workers"}, "an adapter: knows no other"},
	{"plugins/plugintest", []string{"attest/digest", "plugins", "plugins/host", "plugins/serve", "workers"}, "runs an author's plugin as the farm does"},
	{"plugins/autotools", []string{"plugins", "plugins/make", "workers"}, "a plugin sees what any author sees"},
	{"plugins/make", []string{"plugins", "plugins/suite", "workers"}, "a plugin sees what any author sees"},
	{"plugins/script", []string{"plugins", "plugins/suite", "workers"}, "a plugin sees what any author sees"},
	{"workers/pool", []string{"workers", "workers/codepage", "workers/humanize"}, "shares connections, makes none"},
	{"orchestrator", []string{"attest/digest", "plugins", "recipes", "workers"}, "values and pure functions"},
	{"orchestrator/schedule", []string{"recipes", "workers"}, "pure"},
	{"orchestrator/store", []string{"attest/digest", "orchestrator", "orchestrator/store/query", "orchestrator/strictjson", "workers", "workers/codepage"}, "remembers, decides nothing; cuts foreign text as everybody does"},
	{"orchestrator/store/query", nil, "generated"},
	{"orchestrator/store/storetest", []string{"orchestrator/store"}, "databases for tests"},
	{"orchestrator/farmfile", []string{"attest/digest", "attest/keys", "orchestrator/schedule", "recipes/diagnostics", "recipes/nearest", "recipes/parse", "workers"}, "knows syntax, opens nothing"},
	{"orchestrator/api/wire", []string{"attest/digest"}, "what clients see is nobody's database row"},
	{"orchestrator/api/server", []string{"attest/digest", "orchestrator", "orchestrator/api/intake", "orchestrator/api/wire", "orchestrator/engine", "orchestrator/schedule", "orchestrator/store", "recipes", "workers", "workers/codepage"}, "the door of the farm"},
	{"orchestrator/api/client", []string{"attest/digest", "orchestrator/api/wire", "workers/codepage"}, "a program that asks a farm links no farm"},
	{"orchestrator/api/intake", nil, "archives from strangers"},
	{"orchestrator/plan", []string{"recipes", "workers"}, "pure"},
	{"orchestrator/strictjson", nil, "pure; knows no format"},
	{"orchestrator/compare", []string{"orchestrator/compare/judge", "orchestrator/compare/tree", "orchestrator/compare/verdict"}, "the front: knows neither formats nor builds"},
	{"orchestrator/compare/tree", []string{
		"attest/digest", "orchestrator/compare/bytediff", "orchestrator/compare/format",
		"orchestrator/compare/format/compress", "orchestrator/compare/format/container", "orchestrator/compare/format/pax",
		"orchestrator/compare/format/registry", "orchestrator/compare/judge", "orchestrator/compare/verdict",
		"workers/codepage", "workers/humanize",
	}, "finds the members that differ; spools what it opens"},
	{"orchestrator/compare/judge", []string{
		"orchestrator/compare/bytediff", "orchestrator/compare/format", "orchestrator/compare/format/jsontext",
		"orchestrator/compare/format/registry", "orchestrator/compare/format/span", "orchestrator/compare/judge/stamp",
		"orchestrator/compare/judge/textdiff", "orchestrator/compare/verdict", "workers/codepage", "workers/humanize",
	}, "explains what differs in what it is handed"},
	{"orchestrator/compare/judge/...", nil, "text and times, not files"},
	{"orchestrator/compare/report", []string{"orchestrator/compare/format", "orchestrator/compare/format/registry", "orchestrator/compare/verdict", "workers/codepage", "workers/humanize"}, "reads verdicts only, and what their fields are called"},
	{"orchestrator/compare/verdict", []string{"workers/codepage"}, "the values of a comparison"},
	{"orchestrator/compare/bytediff", nil, "bytes, whatever they mean"},
	{"orchestrator/compare/format", []string{"orchestrator/compare/format/container", "orchestrator/compare/format/span"}, "what a format tells"},
	{"orchestrator/compare/format/stream", []string{"orchestrator/compare/format", "orchestrator/compare/format/container", "orchestrator/compare/format/exact", "recipes/source/xzfile"}, "reads xz by the parts that source archives are read by"},
	{"orchestrator/compare/format/registry", []string{
		"orchestrator/compare/format", "orchestrator/compare/format/ar", "orchestrator/compare/format/compress",
		"orchestrator/compare/format/cpio", "orchestrator/compare/format/elf", "orchestrator/compare/format/goff",
		"orchestrator/compare/format/jsontext", "orchestrator/compare/format/obj", "orchestrator/compare/format/pax",
		"orchestrator/compare/format/progobj", "orchestrator/compare/format/pyc", "orchestrator/compare/format/rpm",
		"orchestrator/compare/format/sidedeck", "orchestrator/compare/format/stream", "orchestrator/compare/format/zip",
	}, "the list of formats; the only one that knows them all"},
	{"orchestrator/compare/format/rpm", []string{"orchestrator/compare/format", "orchestrator/compare/format/container", "orchestrator/compare/format/cpio", "orchestrator/compare/format/exact", "orchestrator/compare/format/stream"}, "holds a cpio that is a stream"},
	{"orchestrator/compare/format/formattest", []string{"orchestrator/compare/format", "orchestrator/compare/format/container", "orchestrator/compare/format/jsontext", "orchestrator/compare/format/pax", "orchestrator/compare/format/span"}, "the contract of a format as a test"},
	{"orchestrator/compare/format/...", []string{"orchestrator/compare/format", "orchestrator/compare/format/container", "orchestrator/compare/format/span", "orchestrator/compare/format/exact", "orchestrator/compare/format/idr"}, "says what bytes are; neither pairs, judges nor reports"},
	{"orchestrator/compare/corpus", nil, "pairs for tests"},
	{"orchestrator/artifacts", []string{"attest/digest"}, "bytes by digest"},
	{"orchestrator/artifacts/artifactstest", []string{"attest/digest"}, "what every store must do, as a test"},
	{"orchestrator/packaging", []string{"attest/digest", "orchestrator/compare/format/compress", "orchestrator/compare/format/pax"}, "writes the released form"},
	{"orchestrator/attempt", []string{"attest/digest", "orchestrator", "orchestrator/compare/format/pax", "orchestrator/plan", "plugins", "recipes", "workers"}, "knows workers and plugins as interfaces"},
	{"orchestrator/stagevalue", []string{"attest/digest", "orchestrator", "orchestrator/attempt", "orchestrator/compare", "orchestrator/packaging", "orchestrator/schedule", "orchestrator/strictjson", "plugins", "recipes"}, "pure; what is written down to be read again later"},
	{"orchestrator/engine", []string{
		"attest", "attest/digest", "attest/kit", "attest/statement", "orchestrator", "orchestrator/attempt",
		"orchestrator/compare", "orchestrator/compare/report", "orchestrator/packaging", "orchestrator/plan",
		"orchestrator/schedule", "orchestrator/stagevalue", "orchestrator/store", "plugins", "recipes", "recipes/source",
		"workers",
	}, "decides; adapters are handed to it"},
	{"orchestrator/farm", []string{
		"attest", "attest/cosign", "attest/digest", "attest/keys", "attest/kit", "attest/statement", "orchestrator",
		"orchestrator/api/server", "orchestrator/api/wire", "orchestrator/artifacts", "orchestrator/attempt",
		"orchestrator/engine", "orchestrator/farmfile", "orchestrator/store", "plugins", "plugins/host", "recipes",
		"recipes/diagnostics", "recipes/parse", "recipes/schema", "recipes/source", "workers", "workers/local",
		"workers/pool", "workers/runner", "workers/ssh",
	}, "puts a farm together; only cmd imports it"},
	{"cmd/zfarm", []string{
		"attest", "attest/cosign", "attest/digest", "attest/keys", "attest/kit", "attest/statement", "orchestrator",
		"orchestrator/api/client", "orchestrator/api/intake", "orchestrator/api/server", "orchestrator/api/wire",
		"orchestrator/compare", "orchestrator/compare/report", "orchestrator/engine", "orchestrator/farm",
		"orchestrator/farmfile", "orchestrator/store", "plugins", "plugins/autotools", "plugins/host", "plugins/make",
		"plugins/script", "plugins/serve", "recipes", "recipes/parse", "workers", "workers/codepage", "workers/humanize",
	}, "flags, printing and exit codes; nothing imports it"},
}

// linksNone says what a package must not link, however far below it: its
// users get none of it.
var linksNone = []struct {
	pkg     string
	without []string
	reason  string
}{
	{"orchestrator/api/client", []string{
		module + "orchestrator/store", module + "orchestrator/engine", module + "orchestrator/api/server", module + "recipes", module + "plugins",
		"database/sql", "modernc.org/sqlite", "github.com/jackc/pgx/v5", "github.com/riverqueue/river",
		"github.com/prometheus", "github.com/danielgtaylor/huma/v2", "github.com/coreos/go-oidc/v3",
	}, "a program that asks a farm links no farm"},
}

// adapters are wired together by orchestrator/farm and cmd only: a test or
// another program opens a whole farm through the former, and everybody else
// sees interfaces.
var adapters = []string{"workers/ssh", "workers/local", "plugins/host", "attest/cosign", "orchestrator/farm"}

// pure packages reach nothing of the world, neither by themselves nor through
// what they link. What is compared and packaged is larger than memory, and so
// two packages may spool to temporary files.
var pure = struct {
	pkgs, spools []string
	// never is what they must not link, however far below them.
	never []string
	// without is what no package of ours that they link may import: libraries
	// link some of it, for instance "os" through "fmt", and do not reach out.
	without []string
}{
	pkgs: []string{
		"orchestrator", "orchestrator/plan", "orchestrator/schedule", "orchestrator/stagevalue", "orchestrator/strictjson", "orchestrator/packaging",
		"orchestrator/compare", "recipes", "attest/statement", "plugins/suite",
	},
	spools: []string{"orchestrator/compare/tree", "orchestrator/packaging"},
	never: []string{
		"net", "os/exec", "os/signal", "log/slog", "log/syslog", "database/sql", "plugin",
		"golang.org/x/net", "golang.org/x/sys", "golang.org/x/crypto/ssh", "github.com/pkg/sftp", "google.golang.org/grpc", "github.com/hashicorp/go-plugin",
	},
	without: []string{"os", "os/user", "syscall", "log", "math/rand", "math/rand/v2", "crypto/rand"},
}

type listed struct {
	ImportPath   string
	Name, Doc    string
	Imports      []string
	TestImports  []string
	XTestImports []string
}

func (p listed) rel() string { return strings.TrimPrefix(p.ImportPath, module) }

func packages(t *testing.T) []listed {
	t.Helper()
	return list(t, "-json=ImportPath,Name,Doc,Imports,TestImports,XTestImports", "./...")
}

func list(t *testing.T, args ...string) []listed {
	t.Helper()
	cmd := exec.Command("go", append([]string{"list"}, args...)...)
	var complaint strings.Builder
	cmd.Stderr = &complaint
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("listing packages: %v: %s", err, complaint.String())
	}
	var all []listed
	dec := json.NewDecoder(bytes.NewReader(out))
	for {
		var p listed
		if err := dec.Decode(&p); err == io.EOF {
			return all
		} else if err != nil {
			t.Fatal(err)
		}
		all = append(all, p)
	}
}

// under reports whether the package or module path is prefix or lies below it.
func under(name, prefix string) bool {
	return name == prefix || strings.HasPrefix(name, strings.TrimSuffix(prefix, "/")+"/")
}

func TestHeavyModulesStayInTheirRoom(t *testing.T) {
	for _, p := range packages(t) {
		for _, imported := range slices.Concat(p.Imports, p.TestImports, p.XTestImports) {
			for _, row := range onlyIn {
				if under(imported, row.module) && !slices.ContainsFunc(row.in, func(r string) bool { return under(p.rel(), r) }) {
					t.Errorf("%s imports %s, which only %v may: %s", p.rel(), imported, row.in, row.reason)
				}
			}
		}
	}
}

func TestFloors(t *testing.T) {
	unused := map[string][]string{}
	for _, r := range mayImport {
		unused[r.pkg] = append([]string{"itself"}, r.may...)
	}
	for _, p := range packages(t) {
		if p.rel() == strings.TrimSuffix(module, "/") {
			continue
		}
		row := roomOf(p.rel())
		if row < 0 {
			t.Errorf("%s has no row in mayImport: say what it may import, and why", p.rel())
			continue
		}
		r := mayImport[row]
		used := []string{"itself"}
		for _, imported := range p.Imports {
			ours, ok := strings.CutPrefix(imported, module)
			if ok && !slices.Contains(r.may, ours) {
				t.Errorf("%s imports %s and may import only %v: %s", p.rel(), ours, r.may, r.reason)
			}
			used = append(used, ours)
		}
		unused[r.pkg] = slices.DeleteFunc(unused[r.pkg], func(m string) bool { return slices.Contains(used, m) })
	}
	for _, r := range mayImport {
		if len(unused[r.pkg]) > 0 {
			t.Errorf("the row of %s in mayImport allows %v, which nobody uses: a door that is not needed is walled up", r.pkg, unused[r.pkg])
		}
	}
}

func TestAdaptersAreWiredInOnePlace(t *testing.T) {
	for _, r := range mayImport {
		for _, may := range r.may {
			if slices.Contains(adapters, may) && r.pkg != "orchestrator/farm" && r.pkg != "cmd/zfarm" && !forTests(module+r.pkg) {
				t.Errorf("the row of %s in mayImport allows the adapter %s", r.pkg, may)
			}
		}
	}
}

func TestClientsLinkNoFarm(t *testing.T) {
	for _, row := range linksNone {
		out, err := exec.Command("go", "list", "-deps", "./"+row.pkg).Output()
		if err != nil {
			t.Fatalf("listing what %s links: %v", row.pkg, err)
		}
		linked := strings.Fields(string(out))
		if !slices.Contains(linked, module+row.pkg) {
			t.Errorf("the list of what %s links lacks itself", row.pkg)
		}
		for _, pkg := range linked {
			if slices.ContainsFunc(row.without, func(w string) bool { return under(pkg, w) }) {
				t.Errorf("%s links %s: %s", row.pkg, pkg, row.reason)
			}
		}
	}
}

// roomOf returns the row of a package, or the row for all that lies below a
// package above it, which ends with "/..."; -1 if there is none.
func roomOf(pkg string) int {
	if i := slices.IndexFunc(mayImport, func(r room) bool { return r.pkg == pkg }); i >= 0 {
		return i
	}
	for i, r := range mayImport {
		if prefix, ok := strings.CutSuffix(r.pkg, "/..."); ok && under(pkg, prefix) && pkg != prefix {
			return i
		}
	}
	return -1
}

func TestTestPackagesAreForTests(t *testing.T) {
	for _, p := range packages(t) {
		for _, imported := range p.Imports {
			if under(imported, module) && forTests(imported) && !forTests(p.ImportPath) {
				t.Errorf("%s imports %s outside its tests", p.rel(), imported)
			}
		}
	}
}

// forTests reports whether a package is there for tests, as net/http/httptest is.
func forTests(pkg string) bool {
	return strings.HasSuffix(pkg, "test") && pkg != module+"attest"
}

func TestPurePackagesReachNothing(t *testing.T) {
	all := linkable(t)
	for _, p := range all {
		if !slices.ContainsFunc(pure.pkgs, func(r string) bool {
			return p.rel() == r || r == "orchestrator/compare" && under(p.rel(), r) && !forTests(p.ImportPath)
		}) {
			continue
		}
		via := map[string]string{}
		reach(all, p.ImportPath, via)
		for pkg := range via {
			switch {
			case unclean(pkg, pure.never):
				t.Errorf("%s is pure and links %s, by %s", p.rel(), pkg, way(via, pkg))
			case under(pkg, module) && !slices.Contains(pure.spools, all[pkg].rel()):
				for _, imported := range all[pkg].Imports {
					if unclean(imported, pure.without) {
						t.Errorf("%s is pure and %s imports %s, by %s", p.rel(), all[pkg].rel(), imported, way(via, pkg))
					}
				}
			}
		}
	}
}

// linkable returns our packages and all that they link, by import path.
func linkable(t *testing.T) map[string]listed {
	t.Helper()
	all := map[string]listed{}
	for _, p := range list(t, "-deps", "-json=ImportPath,Imports", "./...") {
		all[p.ImportPath] = p
	}
	return all
}

// reach notes of all that a package links which package imports it.
func reach(all map[string]listed, pkg string, via map[string]string) {
	if _, ok := via[pkg]; !ok {
		via[pkg] = ""
	}
	for _, imported := range all[pkg].Imports {
		if _, seen := via[imported]; !seen {
			via[imported] = pkg
			reach(all, imported, via)
		}
	}
}

// way is the chain of imports that leads to a package.
func way(via map[string]string, pkg string) string {
	chain := pkg
	for at := via[pkg]; at != ""; at = via[at] {
		chain = at + " -> " + chain
	}
	return strings.ReplaceAll(chain, module, "")
}

// unclean reports whether a package is one of the refused: net, but not
// net/url, and all of a module.
func unclean(pkg string, refused []string) bool {
	return slices.ContainsFunc(refused, func(r string) bool { return pkg == r || strings.Contains(r, ".") && under(pkg, r) })
}

func TestEveryPackageSaysWhatItIs(t *testing.T) {
	for _, p := range packages(t) {
		want := "Package " + p.Name + " "
		if p.Name == "main" {
			want = "Command "
		}
		if !strings.HasPrefix(p.Doc, want) {
			t.Errorf("%s: its package comment should begin with %q, is %q", p.rel(), want, p.Doc)
		}
	}
}

// sources returns the files git would track, by slash-separated name.
func sources(t *testing.T) []string {
	t.Helper()
	var names []string
	err := filepath.WalkDir(".", func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && (d.Name() == ".git" || d.Name() == "testdata") {
			return filepath.SkipDir
		}
		if d.Type().IsRegular() {
			names = append(names, filepath.ToSlash(name))
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return names
}

func TestEverySourceNamesItsLicence(t *testing.T) {
	header := regexp.MustCompile(`\A(#!.*\n)?(//|#|--) Copyright The zfarm Authors\n(//|#|--) SPDX-License-Identifier: Apache-2\.0\n`)
	generated := regexp.MustCompile(`\A(// Copyright The zfarm Authors\n// SPDX[^\n]*\n\n?)?// Code generated `)
	for _, name := range sources(t) {
		switch filepath.Ext(name) {
		case ".go", ".sh", ".proto":
		default:
			continue
		}
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		if !header.Match(text) && !generated.Match(text) {
			t.Errorf("%s does not begin with the licence header", name)
		}
	}
}

// programs are packages that are the main of somebody's plugin.
var programs = []string{"plugins/serve", "plugins/plugintest"}

// TestLibrariesAreSilent keeps printing and logging out of everything but the
// command: a library returns what it knows, or writes to what it is given.
func TestLibrariesAreSilent(t *testing.T) {
	for _, name := range sources(t) {
		if !strings.HasSuffix(name, ".go") || strings.HasSuffix(name, "_test.go") || strings.HasPrefix(name, "cmd/") ||
			strings.Contains(name, "testdata/") || strings.HasSuffix(name, ".pb.go") || slices.Contains(programs, path.Dir(name)) {
			continue
		}
		set := token.NewFileSet()
		file, err := parser.ParseFile(set, name, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		for _, n := range loud(file) {
			t.Errorf("%s: %s", set.Position(n.at), n.what)
		}
	}
}

type noise struct {
	at   token.Pos
	what string
}

// loud returns where a file prints, logs or ends the program by itself. Names
// are those of packages, whatever the file calls them.
func loud(file *ast.File) []noise {
	refused := regexp.MustCompile(`^(fmt\.Print(f|ln)?|log\.[A-Z]\w*|log/slog\.((Debug|Info|Warn|Error)(Context)?|Log|LogAttrs|Default|SetDefault|With)|os\.(Exit|Stdout|Stderr)|syscall\.(Exit|Stdout|Stderr))$`)
	var found []noise
	imports := map[string]string{}
	for _, i := range file.Imports {
		imported := strings.Trim(i.Path.Value, "`\"")
		name := path.Base(imported)
		if i.Name != nil {
			name = i.Name.Name
		}
		if name == "." {
			found = append(found, noise{i.Pos(), "import of all names of " + imported})
		}
		imports[name] = imported
	}
	ast.Inspect(file, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.SelectorExpr:
			if x, ok := n.X.(*ast.Ident); ok && x.Obj == nil && refused.MatchString(imports[x.Name]+"."+n.Sel.Name) {
				found = append(found, noise{n.Pos(), imports[x.Name] + "." + n.Sel.Name})
			}
		case *ast.CallExpr:
			if f, ok := n.Fun.(*ast.Ident); ok && f.Obj == nil && (f.Name == "print" || f.Name == "println") {
				found = append(found, noise{n.Pos(), f.Name})
			}
		}
		return true
	})
	return found
}

func TestNoiseIsHeard(t *testing.T) {
	for _, tt := range []struct{ imports, body, want string }{
		{`"log"`, `log.Print(1)`, "log.Print"},
		{`l "log"`, `l.Print(1)`, "log.Print"},
		{`"log"`, `f(log.Printf)`, "log.Printf"},
		{`"fmt"; "os"`, `fmt.Fprintln(os.Stderr, 1)`, "os.Stderr"},
		{`"io"; system "os"`, `io.WriteString(system.Stdout, "")`, "os.Stdout"},
		{`"os"`, `os.Exit(1)`, "os.Exit"},
		{`"fmt"`, `fmt.Print(1)`, "fmt.Print"},
		{`"fmt"`, `fmt.Println(1)`, "fmt.Println"},
		{`f "fmt"`, `f.Printf("")`, "fmt.Printf"},
		{`s "log/slog"`, `s.Info("")`, "log/slog.Info"},
		{`"log/slog"`, `slog.Default().Info("")`, "log/slog.Default"},
		{`. "fmt"`, `Println(1)`, "import of all names of fmt"},
		{``, `println(1)`, "println"},
		{``, `print(1)`, "print"},
		{`"fmt"; "os"; "log/slog"`, `var b *os.File; fmt.Fprintln(b, os.Args); slog.New(nil).Info("")`, ""},
		{`"fmt"`, `var log interface{ Print(...any) }; log.Print(fmt.Sprint(1))`, ""},
		{``, `println := func(int) {}; println(1)`, ""},
	} {
		file, err := parser.ParseFile(token.NewFileSet(), "a.go", "package a; import ("+tt.imports+"); func a() {"+tt.body+"}", 0)
		if err != nil {
			t.Fatal(err)
		}
		var have []string
		for _, n := range loud(file) {
			have = append(have, n.what)
		}
		if diff := cmp.Diff(tt.want, strings.Join(have, ", ")); diff != "" {
			t.Errorf("what is loud in %s (-want +have):\n%s", tt.body, diff)
		}
	}
}

// TestOneWriterOfJSON keeps the command from writing JSON that is not safe to show.
func TestOneWriterOfJSON(t *testing.T) {
	const writer = "cmd/zfarm/json.go"
	found := false
	for _, name := range sources(t) {
		if path.Dir(name) != path.Dir(writer) || !strings.HasSuffix(name, ".go") || strings.HasSuffix(name, "_test.go") {
			continue
		}
		file, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.ImportsOnly)
		if err != nil {
			t.Fatal(err)
		}
		imports := slices.ContainsFunc(file.Imports, func(i *ast.ImportSpec) bool { return i.Path.Value == `"encoding/json"` })
		found = found || imports && name == writer
		if imports && name != writer {
			t.Errorf("%s imports encoding/json: write JSON by the functions of %s, which escape what a terminal obeys", name, writer)
		}
	}
	if !found {
		t.Errorf("%s imports no encoding/json; which file is the writer now?", writer)
	}
}

// TestExternalModules keeps a list of every module that is linked into the
// binary, so that a new one is seen in review.
func TestExternalModules(t *testing.T) {
	const golden = "testdata/modules.txt"
	cmd := exec.Command("go", "list", "-deps", "-f", "{{with .Module}}{{if not .Main}}{{.Path}}{{end}}{{end}}", "./cmd/zfarm")
	cmd.Env = append(os.Environ(), "GOOS=linux", "GOARCH=amd64")
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("listing modules: %v", err)
	}
	names := strings.Fields(string(out))
	slices.Sort(names)
	have := strings.Join(slices.Compact(names), "\n") + "\n"
	if *update {
		if err := os.WriteFile(golden, []byte(have), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), have); diff != "" {
		t.Errorf("modules linked into the binary (-want +have); if they are wanted, go test -run TestExternalModules . -update:\n%s", diff)
	}
}
