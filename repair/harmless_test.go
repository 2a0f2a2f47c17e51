package repair_test

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/chorus-services/swoosh"
	"github.com/chorus-services/swoosh/repair"
)

// imported returns a directory whose state was imported, and puts a file beside
// the import that no entry names, as a crash leaves it.
func imported(t *testing.T) (dir, left string, end swoosh.View) {
	t.Helper()
	e, err := swoosh.Open(t.Context(), swoosh.Options{}, first)
	require.NoError(t, err)
	var doc bytes.Buffer
	_, err = e.View().WriteTo(&doc)
	require.NoError(t, err)
	require.NoError(t, e.Close(context.Background()))
	dir = filepath.Join(t.TempDir(), "data")
	e, err = swoosh.Open(t.Context(), at(dir), first)
	require.NoError(t, err)
	_, err = e.Import(t.Context(), nil, &doc)
	require.NoError(t, err)
	require.NoError(t, e.Close(context.Background()))
	end = write(t, at(dir), first, 20, 3)
	left = filepath.Join(dir, "imports", "left.json")
	require.NoError(t, os.WriteFile(left, []byte("{}"), 0o600))
	return dir, left, end
}

func TestImportThatNoEntryNamesMovesToLost(t *testing.T) {
	dir, left, end := imported(t)
	files := func() int { return len(filesIn(t, filepath.Join(dir, "imports"))) }
	require.Equal(t, 2, files())
	require.Equal(t, end.StateHash(), starts(t, at(dir), first).StateHash())
	require.Equal(t, 2, files(), "a start leaves it")
	before := tree(t, dir)
	require.Len(t, explain(t, at(dir), first).Findings, 1)
	require.Equal(t, before, tree(t, dir), "explaining changes nothing")
	report := mend(t, at(dir), repair.Accept{Loss: true}, first)
	moved := filepath.Join(dir, "lost/log-1-imports-left.json")
	require.Equal(t, repair.Report{Wrote: []string{left[len(dir)+1:] + ", which no entry names, is " + moved}}, report)
	require.FileExists(t, moved)
	require.Equal(t, 1, files())
	require.Equal(t, end.StateHash(), starts(t, at(dir), first).StateHash())
	require.Equal(t, repair.Report{}, explain(t, at(dir), first))

	write(t, at(dir), first, 5)
	_, err := repair.Undo(at(dir), repair.Accept{})
	require.NoError(t, err, "no entry is in question")
	require.Equal(t, before["imports/left.json"], tree(t, dir)["imports/left.json"])
}

func TestImportThatNoEntryNamesStaysWhileSomethingIsWrong(t *testing.T) {
	dir, left, _ := imported(t)
	require.NotEmpty(t, explain(t, at(dir), strict).Next)
	require.FileExists(t, left)
	mend(t, at(dir), acceptReducer, strict)
	require.NoFileExists(t, left)
	require.FileExists(t, filepath.Join(dir, "lost/log-1-imports-left.json"))
	require.Len(t, filesIn(t, filepath.Join(dir, "imports")), 1, "what an entry names stays")
	_, err := repair.Undo(at(dir), repair.Accept{})
	require.NoError(t, err)
	require.FileExists(t, left)
}

func filesIn(t *testing.T, dir string) []os.DirEntry {
	t.Helper()
	all, err := os.ReadDir(dir)
	require.NoError(t, err)
	return all
}
