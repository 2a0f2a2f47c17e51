package repair_test

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/chorus-services/swoosh"
	"github.com/chorus-services/swoosh/internal/durable"
	"github.com/chorus-services/swoosh/repair"
)

// crashed returns a directory with n entries as a kill leaves it. With marked it has
// the mark of that entry, as a power cut may leave it.
func crashed(t *testing.T, n, marked int) (dir string) {
	t.Helper()
	running := filepath.Join(t.TempDir(), "running")
	e, err := swoosh.Open(t.Context(), at(running), first)
	require.NoError(t, err)
	var mark []byte
	for i := 1; i <= n; i++ {
		_, err = e.Submit(t.Context(), swoosh.Request{Command: "shelf.put", Payload: fmt.Appendf(nil, `{"item":"i-%d","n":3}`, i)})
		require.NoError(t, err)
		if i == marked {
			mark, err = os.ReadFile(filepath.Join(running, "mark"))
			require.NoError(t, err)
		}
	}
	dir = filepath.Join(t.TempDir(), "data")
	clone(t, running, dir)
	require.NoError(t, e.Close(context.Background()))
	if mark != nil {
		require.NoError(t, os.WriteFile(filepath.Join(dir, "mark"), mark, 0o600))
	}
	return dir
}

// spoil damages an entry in a memtable file.
func spoil(t *testing.T, folder string, index int) {
	t.Helper()
	names, err := filepath.Glob(filepath.Join(folder, "*.mem"))
	require.NoError(t, err)
	hits := 0
	for _, name := range names {
		b, err := os.ReadFile(name)
		require.NoError(t, err)
		if at := bytes.Index(b, fmt.Appendf(nil, `"index":%d,`, index)); at > 0 {
			f, err := os.OpenFile(name, os.O_RDWR, 0)
			require.NoError(t, err)
			_, err = f.WriteAt([]byte("!"), int64(at))
			require.NoError(t, err)
			require.NoError(t, f.Close())
			hits++
		}
	}
	require.Equal(t, 1, hits)
}

// TestEntriesInLostAreNeverReplaced by those of a later repair that finds fewer.
func TestEntriesInLostAreNeverReplaced(t *testing.T) {
	dir := crashed(t, 10, 0)
	spoil(t, filepath.Join(dir, "log"), 4)
	mend(t, at(dir), acceptLoss, first)
	lines := func(name string) int {
		b, err := os.ReadFile(filepath.Join(dir, "lost", name))
		require.NoError(t, err)
		return strings.Count(string(b), "\n")
	}
	require.Equal(t, 6, lines("entries-5-10.ndjson"))
	_, err := repair.Undo(at(dir), acceptLoss)
	require.NoError(t, err)
	spoil(t, filepath.Join(dir, "unclean"), 7)
	mend(t, at(dir), acceptLoss, first)
	require.Equal(t, 6, lines("entries-5-10.ndjson"))
	require.Equal(t, 5, lines("entries-5-10-2.ndjson"))
}

// TestIndexesAfterTheMarkAreNotGivenOutAgain: a power cut may take the mark back,
// and the entries after it were acknowledged all the same.
func TestIndexesAfterTheMarkAreNotGivenOutAgain(t *testing.T) {
	dir := crashed(t, 10, 6)
	spoil(t, filepath.Join(dir, "log"), 5)
	report := mend(t, at(dir), acceptLoss, first)
	require.Contains(t, report.Findings, "What entries 5 to 10 did is lost.")
	require.Equal(t, uint64(11), starts(t, at(dir), first).Index())
}

// TestUndoCountsEntriesThatCannotBeRead among those that were accepted since.
func TestUndoCountsEntriesThatCannotBeRead(t *testing.T) {
	a := accept(t)
	write(t, a.later, strict, 7, 8)
	require.NoError(t, os.RemoveAll(filepath.Join(a.dir, "log")))
	_, err := repair.Undo(a.later, repair.Accept{})
	require.ErrorContains(t, err, "entries 5 to 6 were accepted after the repair")
}

// TestUndoThatIsBrokenOffTakesBackOneRepair, however often it is called to finish.
func TestUndoThatIsBrokenOffTakesBackOneRepair(t *testing.T) {
	a := accept(t)
	write(t, a.later, strict, 4)
	was := mend(t, a.writer, acceptReducer, doubling).Changes.Was
	brokenOff := 0
	for steps := 0; ; steps += 5 {
		dir := copied(t, a.dir)
		o := by("later", "2.0.0", dir)
		o.FS = &durable.Dying{FS: durable.OS(), Left: steps}
		_, err := repair.Undo(o, repair.Accept{})
		if err == nil {
			break
		}
		if _, err := os.Stat(filepath.Join(dir, "new", "replacement.json")); err != nil {
			continue
		}
		brokenOff++
		report, err := repair.Undo(at(dir), repair.Accept{})
		require.NoError(t, err)
		require.Equal(t, []string{"the undoing of repair 2, which was broken off, is finished; what it replaced is " + filepath.Join(dir, "lost/log-3")}, report.Wrote)
		require.Equal(t, was, starts(t, at(dir), strict).StateHash())
	}
	require.Greater(t, brokenOff, 2)
}

// TestFullDiskAtEveryStep fails one write or other operation after the other, once.
func TestFullDiskAtEveryStep(t *testing.T) {
	original, _ := written(t, 1, snap, 20, 3)
	becomes := mend(t, at(copied(t, original)), acceptReducer, strict).Changes.Becomes
	before := tree(t, original)
	failed := 0
	for steps := 0; ; steps += 7 {
		dir := copied(t, original)
		full := &durable.Dying{FS: durable.OS(), Left: steps, Writes: true, Once: syscall.ENOSPC}
		o := at(dir)
		o.FS = full
		_, err := repair.Repair(t.Context(), o, acceptReducer, strict)
		if full.Left >= 0 {
			require.NoError(t, err)
			break
		}
		require.NoDirExists(t, filepath.Join(dir, "new.tmp"), "it would keep the disk full")
		if err != nil {
			failed++
			require.ErrorIs(t, err, syscall.ENOSPC, "step %d", steps)
			_, err = repair.Repair(t.Context(), at(dir), acceptReducer, strict)
			require.NoError(t, err, "step %d", steps)
		}
		require.Equal(t, before, inLost(tree(t, dir), 1), "step %d", steps)
		require.Equal(t, becomes, starts(t, at(dir), strict).StateHash(), "step %d", steps)
	}
	require.Greater(t, failed, 5)
}

// TestLogAndMarkAreMissing: made_by shows that they were there. No program takes the
// directory for a new one, or for an empty log that is sound.
func TestLogAndMarkAreMissing(t *testing.T) {
	dir, _ := written(t, 1, 2)
	require.NoError(t, os.RemoveAll(filepath.Join(dir, "log")))
	require.NoError(t, os.Remove(filepath.Join(dir, "mark")))
	require.NoError(t, os.Mkdir(filepath.Join(dir, "snapshots"), 0o700))
	require.Contains(t, refuses(t, at(dir), first).Detail, "log and the mark are missing")
	_, err := repair.Verify(t.Context(), at(dir), first)
	require.ErrorContains(t, err, "log and the mark are missing")
	require.Equal(t, "writer repair "+dir+" --accept-loss", explain(t, at(dir), first).Next)
	mend(t, at(dir), acceptLoss, first)
	require.Equal(t, uint64(1), starts(t, at(dir), first).Index())
	_, err = repair.Verify(t.Context(), at(dir), first)
	require.NoError(t, err)
}

// TestSnapshotOfAReducerIsMissing: without it the entries before it would be reduced
// by rules that they were never under. The report says so, before it is accepted.
func TestSnapshotOfAReducerIsMissing(t *testing.T) {
	a := accept(t)
	require.NoError(t, os.RemoveAll(filepath.Join(a.dir, "snapshots")))
	require.Equal(t, swoosh.CauseReducer, refuses(t, a.later, strict).Cause)
	report := explain(t, a.later, strict)
	require.Contains(t, report.Findings, "Snapshot 4, which the log rested on, is missing. Put it back before you accept anything: look for it in "+filepath.Join(a.dir, "aside")+" and in your backups.")
	require.NotEmpty(t, report.Next)
}

// TestCopyOfTheNewestFilesIsKept if it may hold what the log does not: the mark
// cannot tell, since a power cut took it back, or it is damaged.
func TestCopyOfTheNewestFilesIsKept(t *testing.T) {
	for name, marked := range map[string]int{"mark taken back": 6, "mark damaged": 0} {
		t.Run(name, func(t *testing.T) {
			dir := crashed(t, 10, marked)
			spoil(t, filepath.Join(dir, "log"), 8)
			if marked == 0 {
				require.NoError(t, os.WriteFile(filepath.Join(dir, "mark"), make([]byte, 1024), 0o600))
			}
			require.Equal(t, uint64(7), starts(t, at(dir), first).Index())
			var kept []uint64
			for rec := range repair.ReadLog(filepath.Join(dir, "lost/unclean-1"), 8) {
				kept = append(kept, rec.Index)
			}
			require.Equal(t, []uint64{9, 10}, kept[:2])
			require.NoDirExists(t, filepath.Join(dir, "unclean"))
		})
	}
	dir := crashed(t, 10, 10)
	starts(t, at(dir), first)
	require.NoDirExists(t, filepath.Join(dir, "lost"), "nothing is missing")
}
