// The fixtures of these tests: a toy domain in several versions, and a directory
// that one of them wrote. Damage of single bits and torn files is tested in the
// root, whose harness can make it.
package repair_test

import (
	"context"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/chorus-services/swoosh"
	"github.com/chorus-services/swoosh/internal/record"
	"github.com/chorus-services/swoosh/internal/testlog"
	"github.com/chorus-services/swoosh/noun"
	"github.com/chorus-services/swoosh/repair"
	"github.com/chorus-services/swoosh/swooshtest"
)

// shelf is the toy's state, with rows of any number.
type shelf struct {
	Rows swoosh.Table[noun.ID, row] `json:"rows"`
}

type row struct {
	N int32 `json:"n"`
}

// put is the payload of shelf.put in each version.
type put struct {
	Item noun.ID `json:"item"`
	N    int32   `json:"n"`
}

// The versions: first takes any number, tight refuses more than ten, strict also
// keeps no more than ten, doubling keeps twice the number, narrow has rows that hold
// no more than 255.
var (
	first    = swoosh.NewDomain("shelf", swoosh.On[firstPut]("put", "Set a number."))
	tight    = swoosh.NewDomain("shelf", swoosh.On[tightPut]("put", "Set a number up to ten."))
	strict   = swoosh.NewDomain("shelf", swoosh.On[strictPut]("put", "Set a number up to ten."))
	doubling = swoosh.NewDomain("shelf", swoosh.On[doublingPut]("put", "Set a number, twice."))
	narrow   = swoosh.NewDomain("shelf", swoosh.On[narrowPut]("put", "Set a small number."))
)

type firstPut put

func (c firstPut) Check(swoosh.View) error        { return nil }
func (c firstPut) Apply(s *shelf, _ swoosh.Stamp) { s.Rows.Put(c.Item, row{c.N}) }

type strictPut put

func (c strictPut) Check(swoosh.View) error {
	if c.N > 10 {
		return swoosh.Errorf(swoosh.Conflict, "%d is more than ten", c.N)
	}
	return nil
}
func (c strictPut) Apply(s *shelf, _ swoosh.Stamp) { s.Rows.Put(c.Item, row{min(c.N, 10)}) }

type tightPut put

func (c tightPut) Check(v swoosh.View) error      { return strictPut(c).Check(v) }
func (c tightPut) Apply(s *shelf, _ swoosh.Stamp) { s.Rows.Put(c.Item, row{c.N}) }

type doublingPut put

func (c doublingPut) Check(swoosh.View) error        { return nil }
func (c doublingPut) Apply(s *shelf, _ swoosh.Stamp) { s.Rows.Put(c.Item, row{2 * c.N}) }

type narrowShelf struct {
	Rows swoosh.Table[noun.ID, narrowRow] `json:"rows"`
}

type narrowRow struct {
	N small `json:"n"`
}

type small uint8

type narrowPut put

func (c narrowPut) Check(swoosh.View) error { return nil }
func (c narrowPut) Apply(s *narrowShelf, _ swoosh.Stamp) {
	s.Rows.Put(c.Item, narrowRow{small(min(c.N, 10))})
}

// doors is a domain that no version of the toy has.
type doorsState struct {
	Opened uint32 `json:"opened"`
}

var doors = swoosh.NewDomain("doors", swoosh.On[openDoor]("open", "Open a door."))

type openDoor struct{}

func (openDoor) Check(swoosh.View) error             { return nil }
func (openDoor) Apply(s *doorsState, _ swoosh.Stamp) { s.Opened++ }

// at returns options for a directory, for a program that no other test has.
func at(dir string) swoosh.Options {
	return swoosh.Options{
		Dir: dir, Node: "test", Program: "writer", Version: "1.0.0", Commit: "c0ffee", MaxRecovery: time.Hour,
		Now: swooshtest.NewClock(1767225600000).Now, Logger: slog.New(slog.DiscardHandler),
	}
}

// by returns options for a directory, for another program.
func by(program, version, dir string) swoosh.Options {
	o := at(dir)
	o.Program, o.Version = program, version
	return o
}

// snap among the numbers of write saves a snapshot.
const snap = -1

// write submits puts: the n-th number is that of item i-n.
func write(t testing.TB, o swoosh.Options, part swoosh.Part, numbers ...int32) swoosh.View {
	t.Helper()
	e, err := swoosh.Open(t.Context(), o, part)
	require.NoError(t, err)
	for n, number := range numbers {
		if number == snap {
			_, err = e.Snapshot(t.Context())
		} else {
			_, err = e.Submit(t.Context(), swoosh.Request{Command: "shelf.put", Payload: fmt.Appendf(nil, `{"item":"i-%d","n":%d}`, n, number)})
		}
		require.NoError(t, err)
	}
	v := e.View()
	stop(t, e, o.Dir)
	return v
}

// stop closes an engine, and removes the snapshot that this saves: tests are about
// the entries after the last one that they ask for.
func stop(t testing.TB, e *swoosh.Engine, dir string) {
	t.Helper()
	snapshots := func() []string {
		names, err := filepath.Glob(filepath.Join(dir, "snapshots", "*"))
		require.NoError(t, err)
		return names
	}
	before := snapshots()
	require.NoError(t, e.Close(context.Background()))
	for _, name := range snapshots() {
		if !slices.Contains(before, name) {
			require.NoError(t, os.Remove(name))
		}
	}
}

// written returns a directory with puts of version first. An explanation has run
// on it, so that Badger has arranged its files as it does for one who looks.
func written(t testing.TB, numbers ...int32) (dir string, end swoosh.View) {
	t.Helper()
	dir = filepath.Join(t.TempDir(), "data")
	end = write(t, at(dir), first, numbers...)
	explain(t, at(dir), first)
	return dir, end
}

func explain(t testing.TB, o swoosh.Options, parts ...swoosh.Part) repair.Report {
	t.Helper()
	r, err := repair.Repair(t.Context(), o, repair.Accept{}, parts...)
	require.NoError(t, err)
	return r
}

var acceptReducer, acceptLoss = repair.Accept{Reducer: true}, repair.Accept{Loss: true}

func mend(t testing.TB, o swoosh.Options, a repair.Accept, parts ...swoosh.Part) repair.Report {
	t.Helper()
	r, err := repair.Repair(t.Context(), o, a, parts...)
	require.NoError(t, err)
	require.Empty(t, r.Next)
	return r
}

// starts opens an engine and returns its state.
func starts(t testing.TB, o swoosh.Options, parts ...swoosh.Part) swoosh.View {
	t.Helper()
	e, err := swoosh.Open(t.Context(), o, parts...)
	require.NoError(t, err)
	defer stop(t, e, o.Dir)
	return e.View()
}

// refuses wants that no engine starts, and returns why.
func refuses(t testing.TB, o swoosh.Options, parts ...swoosh.Part) *swoosh.DamageError {
	t.Helper()
	e, err := swoosh.Open(t.Context(), o, parts...)
	if err == nil {
		require.NoError(t, e.Close(context.Background()))
	}
	var d *swoosh.DamageError
	require.ErrorAs(t, err, &d)
	return d
}

// tree returns the files below a directory by their names, without the lock. A
// log stands for the entries in it: both copies rewrite their files whenever they
// like.
func tree(t testing.TB, dir string) map[string]string {
	t.Helper()
	files := map[string]string{}
	require.NoError(t, filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		name := strings.TrimPrefix(path, dir+"/")
		switch {
		case err != nil || d.Name() == "lock" || d.Name() == "receipt_key":
			return err
		case d.IsDir() && isLog(path, name):
			var entries strings.Builder
			for rec, err := range repair.ReadLog(path, 1) {
				require.NoError(t, err)
				entries.Write(append(rec.AppendJSON(nil), '\n'))
			}
			files[name+"/entries"] = entries.String()
			return fs.SkipDir
		case d.IsDir() && journalName.MatchString(name):
			files[name] = "a journal"
			return fs.SkipDir
		case d.IsDir():
			return nil
		}
		b, err := os.ReadFile(path)
		files[name] = string(b)
		return err
	}))
	return files
}

var logName, journalName = regexp.MustCompile(`^log$|^lost/log-\d+$`), regexp.MustCompile(`^journal$|^lost/log-\d+-journal$`)

// copies are the folders of a log's copies.
var copies = []string{"journal", "log", "newest"}

func removeLog(t testing.TB, dir string) {
	t.Helper()
	for _, name := range copies {
		require.NoError(t, os.RemoveAll(filepath.Join(dir, name)))
	}
}

// lose removes entries from both copies of a log.
func lose(t testing.TB, dir string, indexes ...uint64) {
	t.Helper()
	testlog.Rewrite(t, dir, func(all []record.Record) []record.Record {
		return slices.DeleteFunc(all, func(r record.Record) bool { return slices.Contains(indexes, r.Index) })
	})
}

func isLog(path, name string) bool {
	_, err := os.Stat(filepath.Join(path, "MANIFEST"))
	return err == nil && logName.MatchString(name)
}

// copied returns a copy of a directory.
func copied(t testing.TB, dir string) string {
	t.Helper()
	to := filepath.Join(t.TempDir(), "copy")
	require.NoError(t, os.CopyFS(to, os.DirFS(dir)))
	return to
}

// inLost returns the part of a tree that a repair of a number replaced, by the
// names that it had.
func inLost(files map[string]string, number int) map[string]string {
	before := map[string]string{}
	prefix := fmt.Sprintf("lost/log-%d", number)
	for name, content := range files {
		rest, ok := strings.CutPrefix(name, prefix)
		switch {
		case !ok || rest == "-replacement.json":
		case rest[0] == '/':
			before["log"+rest] = content
		default:
			before[rest[1:]] = content
		}
	}
	return before
}

// outsideLost returns the part of a tree that is in use.
func outsideLost(files map[string]string) map[string]string {
	rest := map[string]string{}
	for name, content := range files {
		if !strings.HasPrefix(name, "lost/") {
			rest[name] = content
		}
	}
	return rest
}
