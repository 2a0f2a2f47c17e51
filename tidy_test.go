package swoosh_test

import (
	"bufio"
	"go/ast"
	"go/importer"
	"go/parser"
	"go/token"
	"go/types"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/chorus-services/swoosh/internal/testrun"
)

const module = "github.com/chorus-services/swoosh"

// TestImportArrows checks that every package imports only the packages of this
// module that it may. Arrows point down only.
func TestImportArrows(t *testing.T) {
	testrun.SkipUnderRace(t)
	internal := []string{"internal/canon", "internal/durable", "internal/statehash", "internal/keywindow", "internal/home", "internal/door", "internal/meter", "internal/openapi", "internal/store", "internal/record", "internal/twin", "internal/ahead"}
	engine := append([]string{"", "noun", "repair"}, internal...)
	allowed := map[string][]string{
		"internal/canon":     {},
		"internal/durable":   {},
		"internal/badgerlog": {"internal/durable"},
		"internal/record":    {},
		"internal/journal":   {"internal/durable"},
		"internal/twin":      {"internal/durable", "internal/badgerlog", "internal/journal", "internal/record"},
		"internal/ahead":     {},
		"internal/home":      {"internal/durable", "internal/badgerlog", "internal/journal"},
		"internal/statehash": {"internal/canon"},
		"internal/keywindow": {},
		"internal/door":      {"internal/canon"},
		"internal/meter":     {},
		"internal/openapi":   {"internal/canon"},
		"internal/store":     {"internal/durable"},
		"internal/testlog":   {"internal/durable", "internal/record", "internal/twin"},
		"internal/testrun":   {"internal/durable"},
		"internal/teststate": {"", "swooshtest"},
		"internal/bench":     {""},
		"noun":               {"internal/canon"},
		"":                   append([]string{"noun", "internal/badgerlog", "internal/journal", "internal/twin"}, internal...),
		"repair":             append([]string{"", "internal/twin"}, internal...),
		"chart":              {""},
		"system":             {"", "noun"},
		"project":            {"", "noun", "fleet", "system"},
		"fleet":              {"", "noun"},
		"internal/pilot":     {"", "noun", "fleet"},
		"approval":           {"", "noun", "project", "fleet", "system"},
		"swooshtest":         {"", "noun"},
		"access":             {"", "internal/reload"},
		"guard":              {"", "internal/canon", "internal/reload"},
		"internal/reload":    {},
		"client":             {},
		"agent":              {"", "client", "internal/durable"},
		"program":            append([]string{"access", "agent", "approval", "chart", "client", "fleet", "guard", "system", "internal/bench", "internal/pilot"}, engine...),
		"cmd/swoosh":         {"program", "system", "fleet", "project", "approval"},
		"examples/fleet":     {"agent", "client"},
		"examples/follow":    {"client"},
		"examples/embedded":  {"", "noun", "program"},
		"examples/deploy":    {"", "noun", "program"},
		"examples/flags":     {"", "noun", "program"},
		"examples/queue":     {"", "noun", "program"},
		"examples/upgrade":   {"", "noun", "program"},
	}
	out, err := exec.Command("go", "list", "-f", `{{.ImportPath}} {{join .Imports " "}}`, "./...").Output()
	require.NoError(t, err)
	for line := range strings.Lines(string(out)) {
		words := strings.Fields(line)
		pkg := ours(words[0])
		may, known := allowed[pkg]
		require.True(t, known, "package %q has no place in the map of imports: add it here and in the README", pkg)
		for _, imported := range words[1:] {
			if strings.HasPrefix(imported, module) {
				require.Contains(t, may, ours(imported), "%q must not import it", pkg)
			}
		}
	}
}

func ours(path string) string { return strings.TrimPrefix(strings.TrimPrefix(path, module), "/") }

// TestPurePackages checks that domains are deterministic: no clock, randomness,
// files, goroutines, or map order.
func TestPurePackages(t *testing.T) {
	testrun.SkipUnderRace(t)
	lawful := []string{"bytes", "cmp", "errors", "fmt", "iter", "math", "math/bits", "slices", "strconv", "strings", "unicode", "unicode/utf8", module, module + "/noun"}
	signatures := []string{"crypto/ed25519", "encoding/base64", "encoding/hex", "filippo.io/edwards25519"} // which fleet checks
	inMain := []string{"context", "crypto/sha256", "encoding/binary", module + "/program"}                 // where the domain stands in package main
	for _, dir := range []string{"system", "project", "examples/embedded", "examples/queue", "examples/flags", "examples/deploy", "fleet", "approval"} {
		lawful := slices.Clone(lawful)
		switch {
		case strings.HasPrefix(dir, "examples/"):
			lawful = append(lawful, inMain...)
		case dir == "fleet":
			lawful = append(lawful, signatures...)
		case dir == "approval":
			lawful = append(lawful, module+"/fleet", module+"/project", module+"/system")
		case dir == "project":
			lawful = append(lawful, module+"/fleet", module+"/system")
		}
		requireNoMapRange(t, dir)
		for name, file := range parseDir(t, dir) {
			for _, i := range file.Imports {
				path, err := strconv.Unquote(i.Path.Value)
				require.NoError(t, err)
				require.Contains(t, lawful, path, "%s: a domain may not import it", name)
			}
			requirePure(t, name, file)
		}
	}
	for name, file := range parseDir(t, ".") {
		if slices.Contains([]string{"reducer.go", "table.go", "state.go", "document.go", "find.go"}, name) {
			requirePure(t, name, file)
			for _, i := range file.Imports {
				require.NotContains(t, []string{`"time"`, `"os"`, `"math/rand"`, `"math/rand/v2"`, `"crypto/rand"`, `"sync"`}, i.Path.Value, name)
			}
		}
	}
}

// TestDirectoriesAreMadeDurably, each level of them: with durable.MkdirAll, and with
// no file system's own.
func TestDirectoriesAreMadeDurably(t *testing.T) {
	testrun.SkipUnderRace(t)
	for _, dir := range packages(t) {
		if strings.HasPrefix(dir, "internal/durable") || strings.HasPrefix(dir, "internal/powercut") {
			continue
		}
		for name, file := range parseDir(t, dir) {
			ast.Inspect(file, func(n ast.Node) bool {
				if s, ok := n.(*ast.SelectorExpr); ok && s.Sel.Name == "MkdirAll" {
					from, _ := s.X.(*ast.Ident)
					require.True(t, from != nil && from.Name == "durable", "%s/%s: MkdirAll alone may be undone by a power cut", dir, name)
				}
				return true
			})
		}
	}
}

func requirePure(t *testing.T, name string, file *ast.File) {
	ast.Inspect(file, func(n ast.Node) bool {
		switch n.(type) {
		case *ast.GoStmt, *ast.SelectStmt, *ast.ChanType:
			require.Failf(t, "not deterministic", "%s: %T", name, n)
		}
		return true
	})
}

// requireNoMapRange finds loops over maps. Looking up a key is allowed, but
// depending on the order is not.
func requireNoMapRange(t *testing.T, dir string) {
	fset, files := token.NewFileSet(), []*ast.File{}
	names, err := filepath.Glob(filepath.Join(dir, "*.go"))
	require.NoError(t, err)
	for _, name := range names {
		if !strings.HasSuffix(name, "_test.go") {
			f, err := parser.ParseFile(fset, name, nil, 0)
			require.NoError(t, err)
			files = append(files, f)
		}
	}
	info := &types.Info{Types: map[ast.Expr]types.TypeAndValue{}}
	conf := types.Config{Importer: importer.ForCompiler(fset, "gc", compiled(t, dir))}
	_, err = conf.Check(dir, fset, files, info)
	require.NoError(t, err)
	for _, f := range files {
		ast.Inspect(f, func(n ast.Node) bool {
			if r, ok := n.(*ast.RangeStmt); ok {
				_, isMap := info.TypeOf(r.X).Underlying().(*types.Map)
				require.False(t, isMap, "%s: a range over a map is not deterministic", fset.Position(r.Pos()))
			}
			return true
		})
	}
}

// compiled finds the compiled packages that dir needs.
func compiled(t *testing.T, dir string) importer.Lookup {
	out, err := exec.Command("go", "list", "-export", "-deps", "-f", "{{.ImportPath}}={{.Export}}", "./"+dir).Output()
	require.NoError(t, err)
	exports := map[string]string{}
	for line := range strings.Lines(string(out)) {
		path, file, _ := strings.Cut(strings.TrimSpace(line), "=")
		exports[path] = file
	}
	return func(path string) (io.ReadCloser, error) { return os.Open(exports[path]) }
}

// TestEveryPublicNameHasAComment keeps the documentation whole.
func TestEveryPublicNameHasAComment(t *testing.T) {
	testrun.SkipUnderRace(t)
	for _, dir := range packages(t) {
		documented := false
		for name, file := range parseDir(t, dir) {
			documented = documented || file.Doc != nil
			for _, d := range file.Decls {
				requireComment(t, filepath.Join(dir, name), d)
			}
		}
		require.True(t, documented, "package %s has no package comment", dir)
	}
}

func requireComment(t *testing.T, name string, d ast.Decl) {
	switch d := d.(type) {
	case *ast.FuncDecl:
		if d.Name.IsExported() && receiverIsPublic(d) && d.Doc == nil && !isConventional(d.Name.Name) {
			require.Failf(t, "no comment", "%s: %s", name, d.Name.Name)
		}
	case *ast.GenDecl:
		for _, s := range d.Specs {
			if ts, ok := s.(*ast.TypeSpec); ok && ts.Name.IsExported() {
				require.True(t, d.Doc != nil || ts.Doc != nil, "%s: type %s has no comment", name, ts.Name.Name)
			}
			if vs, ok := s.(*ast.ValueSpec); ok && vs.Names[0].IsExported() {
				require.True(t, d.Doc != nil || vs.Doc != nil || vs.Comment != nil, "%s: %s has no comment", name, vs.Names[0].Name)
			}
		}
	}
}

func receiverIsPublic(d *ast.FuncDecl) bool {
	if d.Recv == nil {
		return true
	}
	public := false
	ast.Inspect(d.Recv.List[0].Type, func(n ast.Node) bool {
		if id, ok := n.(*ast.Ident); ok && !public {
			public = id.IsExported()
			return false
		}
		return true
	})
	return public
}

// isConventional names the methods of a domain's list, whose meaning is the
// engine's and the same everywhere.
func isConventional(method string) bool {
	return slices.Contains([]string{"Check", "Apply", "Answer", "Phase", "Validate", "Refuse", "React", "Key", "JSONSchema", "Error", "Unwrap"}, method)
}

// TestDurabilityNamesItsTests checks that each promise in DURABILITY.md names
// tests, and that they exist.
func TestDurabilityNamesItsTests(t *testing.T) {
	testrun.SkipUnderRace(t)
	page, err := os.ReadFile("DURABILITY.md")
	require.NoError(t, err)
	var tests strings.Builder
	for _, dir := range packages(t) {
		names, err := filepath.Glob(filepath.Join(dir, "*_test.go"))
		require.NoError(t, err)
		for _, name := range names {
			source, err := os.ReadFile(name)
			require.NoError(t, err)
			tests.Write(source)
		}
	}
	promises := regexp.MustCompile(`(?m)^\| \*\*(D[1-9])\*\* .*$`).FindAllStringSubmatch(string(page), -1)
	require.Len(t, promises, 9)
	for _, p := range promises {
		named := regexp.MustCompile("`(Test[A-Za-z0-9]+)`").FindAllStringSubmatch(p[0], -1)
		require.NotEmpty(t, named, "%s names no test", p[1])
		for _, n := range named {
			require.Contains(t, tests.String(), "func "+n[1]+"(t *testing.T)", p[1])
		}
	}
}

// TestFilesCanBeHeldInTheHead limits the length of files.
func TestFilesCanBeHeldInTheHead(t *testing.T) {
	testrun.SkipUnderRace(t)
	for _, dir := range packages(t) {
		names, err := filepath.Glob(filepath.Join(dir, "*.go"))
		require.NoError(t, err)
		for _, name := range names {
			f, err := os.Open(name)
			require.NoError(t, err)
			lines := 0
			for s := bufio.NewScanner(f); s.Scan(); {
				lines++
			}
			require.NoError(t, f.Close())
			most := linesMost
			if strings.HasSuffix(name, "_test.go") {
				most = 600
			}
			require.LessOrEqual(t, lines, most, "%s: divide it", name)
		}
	}
}

// packages returns the folders with Go files.
func packages(t *testing.T) []string {
	var dirs []string
	require.NoError(t, filepath.WalkDir(".", func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && path != "." && (strings.HasPrefix(d.Name(), ".") || d.Name() == "testdata" || d.Name() == "swoosh-data") {
			return fs.SkipDir
		}
		if dir := filepath.Dir(path); strings.HasSuffix(path, ".go") && !slices.Contains(dirs, dir) {
			dirs = append(dirs, dir)
		}
		return nil
	}))
	return dirs
}

func parseDir(t *testing.T, dir string) map[string]*ast.File {
	names, err := filepath.Glob(filepath.Join(dir, "*.go"))
	require.NoError(t, err)
	require.NotEmpty(t, names, dir)
	files := map[string]*ast.File{}
	for _, name := range names {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		f, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.ParseComments)
		require.NoError(t, err)
		files[filepath.Base(name)] = f
	}
	return files
}
