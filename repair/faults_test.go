package repair_test

import (
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
	"github.com/chorus-services/swoosh/internal/testrun"
	"github.com/chorus-services/swoosh/repair"
)

// crashed returns a directory with n entries as a kill leaves it.
func crashed(t *testing.T, n int) (dir string) {
	t.Helper()
	running := filepath.Join(t.TempDir(), "running")
	e, err := swoosh.Open(t.Context(), at(running), first)
	require.NoError(t, err)
	for i := 1; i <= n; i++ {
		_, err = e.Submit(t.Context(), swoosh.Request{Command: "shelf.put", Payload: fmt.Appendf(nil, `{"item":"i-%d","n":3}`, i)})
		require.NoError(t, err)
	}
	dir = filepath.Join(t.TempDir(), "data")
	clone(t, running, dir)
	require.NoError(t, e.Close(context.Background()))
	return dir
}

// TestEntriesInLostAreNeverReplaced by those of a later repair that finds fewer.
func TestEntriesInLostAreNeverReplaced(t *testing.T) {
	dir := crashed(t, 10)
	lose(t, dir, 4)
	mend(t, at(dir), acceptLoss, first)
	lines := func(name string) int {
		b, err := os.ReadFile(filepath.Join(dir, "lost", name))
		require.NoError(t, err)
		return strings.Count(string(b), "\n")
	}
	require.Equal(t, 6, lines("entries-5-10.ndjson"))
	_, err := repair.Undo(at(dir), acceptLoss)
	require.NoError(t, err)
	lose(t, dir, 7)
	mend(t, at(dir), acceptLoss, first)
	require.Equal(t, 6, lines("entries-5-10.ndjson"))
	require.Equal(t, 5, lines("entries-5-10-2.ndjson"))
}

// TestLostIndexesAreNotGivenOutAgain: the entries after those that are lost were
// acknowledged all the same.
func TestLostIndexesAreNotGivenOutAgain(t *testing.T) {
	dir := crashed(t, 10)
	lose(t, dir, 5)
	report := mend(t, at(dir), acceptLoss, first)
	require.Contains(t, report.Findings, "What entries 5 to 10 did is lost.")
	require.Equal(t, uint64(11), starts(t, at(dir), first).Index())
}

// TestUndoThatIsBrokenOffTakesBackOneRepair, however often it is called to finish.
func TestUndoThatIsBrokenOffTakesBackOneRepair(t *testing.T) {
	testrun.SkipUnderRace(t)
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
	testrun.SkipUnderRace(t)
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

// TestBothCopiesAreMissing: made_by shows that they were there. No program takes
// the directory for a new one, or for an empty log that is sound.
func TestBothCopiesAreMissing(t *testing.T) {
	dir, _ := written(t, 1, 2)
	removeLog(t, dir)
	missing := filepath.Join(dir, "journal") + " and " + filepath.Join(dir, "log") + " are missing"
	require.Equal(t, missing, refuses(t, at(dir), first).Detail)
	_, err := repair.Verify(t.Context(), at(dir), first)
	require.ErrorContains(t, err, missing)
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
	require.Contains(t, report.Findings, "Snapshot 4, which the log rested on, is missing or damaged. Put it back before you accept anything: look for it in "+filepath.Join(a.dir, "aside")+" and in your backups.")
	require.NotEmpty(t, report.Next)
}

// TestLogThatSaysNothing: files of a log that are there and hold nothing are damage, and so
// is their absence where something else shows that there was a log. No program takes the
// directory for a new one.
func TestLogThatSaysNothing(t *testing.T) {
	everyFile := func(t *testing.T, dir string, do func(name string) error) {
		for _, c := range copies {
			names, err := filepath.Glob(filepath.Join(dir, c, "*"))
			require.NoError(t, err)
			require.NotEmpty(t, names)
			for _, name := range names {
				require.NoError(t, do(name))
			}
		}
	}
	for name, spoil := range map[string]func(t *testing.T, dir string){
		"empty files": func(t *testing.T, dir string) {
			everyFile(t, dir, func(name string) error { return os.Truncate(name, 0) })
		},
		"empty folders": func(t *testing.T, dir string) { everyFile(t, dir, os.Remove) },
		"no folders":    func(t *testing.T, dir string) { removeLog(t, dir) },
		"an empty journal": func(t *testing.T, dir string) {
			removeLog(t, dir)
			require.NoError(t, os.Mkdir(filepath.Join(dir, "journal"), 0o700))
		},
		"an empty tail": func(t *testing.T, dir string) {
			everyFile(t, dir, func(name string) error { return os.Truncate(name, 0) })
			require.NoError(t, os.RemoveAll(filepath.Join(dir, "journal")))
			require.NoError(t, os.RemoveAll(filepath.Join(dir, "log")))
		},
	} {
		for _, witness := range []string{"node", "made_by", "snapshots"} {
			t.Run(name+" beside "+witness, func(t *testing.T) {
				dir := crashed(t, 3)
				if witness == "snapshots" {
					dir = filepath.Join(t.TempDir(), "data")
					write(t, at(dir), first, 1, 2, snap)
				}
				if witness != "made_by" {
					require.NoError(t, os.Remove(filepath.Join(dir, "made_by")))
				}
				require.NoError(t, os.WriteFile(filepath.Join(dir, "node"), []byte("test\n"), 0o600))
				spoil(t, dir)
				if witness == "node" && !strings.HasPrefix(name, "empty files") && name != "an empty tail" {
					require.Zero(t, starts(t, at(dir), first).Index(), "a start that was killed early leaves this too")
					return
				}
				found := refuses(t, at(dir), first)
				require.Equal(t, uint64(1), found.Index)
				_, err := repair.Verify(t.Context(), at(dir), first)
				require.EqualError(t, err, found.Error())
				report := explain(t, at(dir), first)
				require.Equal(t, "writer repair "+dir+" --accept-loss", report.Next)
				if witness != "snapshots" {
					require.Equal(t, []string{found.Detail + ".", "Nothing says how many entries the log had. What they did is lost."}, report.Findings)
				}
				mend(t, at(dir), acceptLoss, first)
				want := uint64(1) // The entry that says so is the first one.
				if witness == "snapshots" {
					want = 3
				}
				require.Equal(t, want, starts(t, at(dir), first).Index())
				_, err = repair.Verify(t.Context(), at(dir), first)
				require.NoError(t, err)
			})
		}
	}
}

// TestDamagedNode: the last entry's stamp has the id, so a start writes the file anew. A
// look says so and changes nothing. Without an entry the operator has to say it.
func TestDamagedNode(t *testing.T) {
	for name, content := range map[string]string{"zeros": strings.Repeat("\x00", 10), "empty": "", "no id": "UPPER\n"} {
		t.Run(name, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "data")
			o := at(dir)
			o.Node = ""
			write(t, o, first, 1, 2)
			file := filepath.Join(dir, "node")
			sound, err := os.ReadFile(file)
			require.NoError(t, err)
			require.NoError(t, os.WriteFile(file, []byte(content), 0o600))
			_, err = repair.Verify(t.Context(), o, first)
			require.ErrorContains(t, err, file+" is damaged")
			require.ErrorContains(t, err, "serve writes it anew")
			report := explain(t, o, first)
			require.Len(t, report.Findings, 1)
			require.Contains(t, report.Findings[0], "The server writes it anew when it starts")
			require.Empty(t, report.Next)
			kept, err := os.ReadFile(file)
			require.NoError(t, err)
			require.Equal(t, content, string(kept))

			other := o
			other.Dir = copied(t, dir)
			mend(t, other, acceptReducer, doubling) // It adds an entry, whose stamp has the node.
			kept, err = os.ReadFile(filepath.Join(other.Dir, "node"))
			require.NoError(t, err)
			require.Equal(t, string(sound), string(kept))
			require.Equal(t, string(sound), starts(t, other, doubling).At().Node+"\n")

			require.Equal(t, uint64(2), starts(t, o, first).Index())
			kept, err = os.ReadFile(file)
			require.NoError(t, err)
			require.Equal(t, string(sound), string(kept))
			_, err = repair.Verify(t.Context(), o, first)
			require.NoError(t, err)
		})
	}
	dir := filepath.Join(t.TempDir(), "data")
	o := at(dir)
	o.Node = ""
	write(t, o, first)
	require.NoError(t, os.WriteFile(filepath.Join(dir, "node"), nil, 0o600))
	found := refuses(t, o, first)
	require.Contains(t, found.Next, "write the node's id into it")
	_, err := repair.Verify(t.Context(), o, first)
	require.EqualError(t, err, found.Error())
	_, err = repair.Repair(t.Context(), o, acceptLoss, first)
	require.EqualError(t, err, found.Error())
}
