package swoosh_test

import (
	"cmp"
	"go/ast"
	"go/importer"
	"go/parser"
	"go/token"
	"go/types"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/chorus-services/swoosh/internal/testrun"
)

// floors are the root's files, lowest first. A file uses what its own floor and
// those below it declare, and nothing above.
var floors = []struct{ name, files string }{
	{"time and refusals", "doc hlc errors"},
	{"the state", "state table domain gate version answer document find"},
	{"the log", "wal badger_wal"},
	{"commands", "command signature envelope reducer"},
	{"snapshots and options", "snapshot options"},
	{"from log to state", "boot replay migrate"},
	{"the engine", "engine submit import read observe failure prove timer dry_run open retain"},
	{"the door", "api_door api_exchange api_flow"},
	{"routes", "api api_command api_state api_log api_status"},
}

// The limits of the root package.
const (
	filesMost = 41
	linesMost = 400
	knotMost  = 10 // files that use each other in a circle
)

// TestLayout checks that the root's files respect their floors, and limits how
// many there are, how long they are, and how entangled. With -v it prints the
// figures.
func TestLayout(t *testing.T) {
	testrun.SkipUnderRace(t)
	floorOf := map[string]int{}
	for i, f := range floors {
		for name := range strings.FieldsSeq(f.files) {
			floorOf[name+".go"] = i
		}
	}
	root := loadRoot(t)
	arrows, exported, lines := root.arrows(), root.exported(), 0
	for _, name := range root.names() {
		require.Contains(t, floorOf, name, "%s has no floor: add it to floors", name)
		require.LessOrEqual(t, root.lines(name), linesMost, "%s: divide it", name)
		lines += root.lines(name)
	}
	require.Len(t, floorOf, len(root.files), "floors names a file that is gone")
	require.LessOrEqual(t, len(root.files), filesMost)
	count := 0
	for from, all := range arrows {
		for to, names := range all {
			count++
			require.LessOrEqual(t, floorOf[to], floorOf[from], "%s (%s) uses %v of %s (%s), a floor above: move the name down",
				from, floors[floorOf[from]].name, slices.Sorted(maps.Keys(names)), to, floors[floorOf[to]].name)
		}
	}
	knots := knotsOf(root.names(), arrows)
	require.LessOrEqual(t, len(knots[0]), knotMost, "%v use each other in a circle", knots[0])
	t.Logf("%d files, %d lines, %d arrows, %d exported names", len(root.files), lines, count, exported)
	for _, k := range knots {
		if len(k) > 1 {
			t.Logf("knot of %d: %s", len(k), strings.Join(k, " "))
		}
	}
}

// sources is a type-checked package, by the names of its files.
type sources struct {
	fset  *token.FileSet
	files map[string]*ast.File
	info  *types.Info
	pkg   *types.Package
}

func loadRoot(t *testing.T) *sources {
	s := &sources{token.NewFileSet(), map[string]*ast.File{}, &types.Info{Uses: map[*ast.Ident]types.Object{}}, nil}
	paths, err := filepath.Glob("*.go")
	require.NoError(t, err)
	for _, path := range paths {
		if !strings.HasSuffix(path, "_test.go") {
			s.files[path], err = parser.ParseFile(s.fset, path, nil, 0)
			require.NoError(t, err)
		}
	}
	conf := types.Config{Importer: importer.ForCompiler(s.fset, "gc", compiled(t, "."))}
	s.pkg, err = conf.Check(module, s.fset, slices.Collect(maps.Values(s.files)), s.info)
	require.NoError(t, err)
	return s
}

func (s *sources) names() []string { return slices.Sorted(maps.Keys(s.files)) }

func (s *sources) lines(name string) int { return s.fset.File(s.files[name].Pos()).LineCount() }

func (s *sources) exported() (n int) {
	for _, name := range s.pkg.Scope().Names() {
		if ast.IsExported(name) {
			n++
		}
	}
	return n
}

// arrows returns what each file uses of each other one: names, fields and
// methods included.
func (s *sources) arrows() map[string]map[string]map[string]bool {
	arrows := map[string]map[string]map[string]bool{}
	for id, obj := range s.info.Uses {
		if obj.Pkg() != s.pkg || !obj.Pos().IsValid() {
			continue
		}
		from, to := s.fset.File(id.Pos()).Name(), s.fset.File(obj.Pos()).Name()
		if from == to {
			continue
		}
		if arrows[from] == nil {
			arrows[from] = map[string]map[string]bool{}
		}
		if arrows[from][to] == nil {
			arrows[from][to] = map[string]bool{}
		}
		arrows[from][to][obj.Name()] = true
	}
	return arrows
}

// knotsOf returns the strongly connected components of the files, largest first:
// files that reach each other.
func knotsOf(names []string, arrows map[string]map[string]map[string]bool) [][]string {
	reach := map[string]map[string]bool{}
	var visit func(from, at string)
	visit = func(from, at string) {
		for to := range arrows[at] {
			if !reach[from][to] {
				reach[from][to] = true
				visit(from, to)
			}
		}
	}
	for _, n := range names {
		reach[n] = map[string]bool{}
		visit(n, n)
	}
	var knots [][]string
	seen := map[string]bool{}
	for _, n := range names {
		if seen[n] {
			continue
		}
		knot := []string{n}
		for _, m := range names {
			if m != n && reach[n][m] && reach[m][n] {
				knot = append(knot, m)
				seen[m] = true
			}
		}
		knots = append(knots, knot)
	}
	slices.SortStableFunc(knots, func(a, b []string) int { return cmp.Compare(len(b), len(a)) })
	return knots
}
