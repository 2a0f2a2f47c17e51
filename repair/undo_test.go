package repair_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/chorus-services/swoosh"
	"github.com/chorus-services/swoosh/internal/durable"
	"github.com/chorus-services/swoosh/internal/testrun"
	"github.com/chorus-services/swoosh/repair"
)

// accepted is a directory on which a stricter program accepted its reducer.
type accepted struct {
	dir           string
	before        map[string]string // its files, before the repair
	was, becomes  swoosh.Hash
	writer, later swoosh.Options // the program of old and the stricter one
}

func accept(t *testing.T) accepted {
	t.Helper()
	dir, end := written(t, 1, snap, 20, 3)
	a := accepted{dir: dir, before: tree(t, dir), was: end.StateHash(), writer: at(dir), later: by("later", "2.0.0", dir)}
	a.becomes = mend(t, a.later, acceptReducer, strict).Changes.Becomes
	return a
}

func TestRepairKeepsWhatItReplacesAndUndoPutsItBack(t *testing.T) {
	a := accept(t)
	require.Equal(t, a.before, inLost(tree(t, a.dir), 1), "nothing is lost")
	require.Equal(t, a.becomes, starts(t, a.later, strict).StateHash())

	report, err := repair.Undo(a.later, repair.Accept{})
	require.NoError(t, err)
	require.Equal(t, []string{"journal, log, newest, snapshots, made_by, as before the repair", "what the repair made, " + filepath.Join(a.dir, "lost/log-2")}, report.Wrote)
	require.Equal(t, a.before, outsideLost(tree(t, a.dir)), "nothing is lost")
	require.Equal(t, a.was, starts(t, a.writer, first).StateHash())
	_, err = repair.Verify(t.Context(), a.writer, first)
	require.NoError(t, err)
}

func TestUndoAfterNewEntries(t *testing.T) {
	a := accept(t)
	write(t, a.later, strict, 7, 8)
	before := tree(t, a.dir)
	_, err := repair.Undo(a.later, repair.Accept{})
	require.EqualError(t, err, "entries 5 to 6 were accepted after the repair; taking it back moves them to lost/: to accept that, run: later repair "+a.dir+" --undo --accept-loss")
	require.Equal(t, before, tree(t, a.dir))
	_, err = repair.Undo(a.later, acceptLoss)
	require.NoError(t, err)
	require.Equal(t, a.was, starts(t, a.writer, first).StateHash())
	var kept []uint64
	for rec, err := range repair.ReadLog(filepath.Join(a.dir, "lost/log-2"), 5) {
		require.NoError(t, err)
		kept = append(kept, rec.Index)
	}
	require.Equal(t, []uint64{5, 6}, kept)
}

// TestUndoOfAnUndo: there is none. The repair can be made again, and taken back
// again.
func TestUndoOfAnUndo(t *testing.T) {
	testrun.SkipUnderRace(t)
	a := accept(t)
	for range 2 {
		_, err := repair.Undo(a.later, repair.Accept{})
		require.NoError(t, err)
		before := tree(t, a.dir)
		_, err = repair.Undo(a.later, repair.Accept{})
		require.ErrorContains(t, err, "holds no repair that could be taken back")
		require.Equal(t, before, tree(t, a.dir))
		require.Equal(t, a.becomes, mend(t, a.later, acceptReducer, strict).Changes.Becomes)
		require.Equal(t, a.becomes, starts(t, a.later, strict).StateHash())
	}
}

func TestRepairsAreTakenBackOneByOne(t *testing.T) {
	a := accept(t)
	write(t, a.later, strict, 4)
	second := mend(t, a.writer, acceptReducer, doubling).Changes
	for _, part := range []swoosh.Part{strict, first} {
		_, err := repair.Undo(a.writer, acceptLoss)
		require.NoError(t, err)
		hash := starts(t, a.writer, part).StateHash()
		require.Equal(t, map[swoosh.Part]swoosh.Hash{strict: second.Was, first: a.was}[part], hash)
	}
}

// TestUndoOfALoss brings the damage back, and with it what could be saved of it in
// another way.
func TestUndoOfALoss(t *testing.T) {
	dir, _ := written(t, 1, snap, 2, 3)
	removeLog(t, dir)
	before := tree(t, dir)
	mend(t, at(dir), acceptLoss, first)
	write(t, at(dir), first, 4, snap)
	_, err := repair.Undo(at(dir), acceptLoss)
	require.NoError(t, err)
	require.Equal(t, before, outsideLost(tree(t, dir)))
	require.Contains(t, refuses(t, at(dir), first).Detail, "are missing")
}

func TestUndoNeedsAllThatWasReplaced(t *testing.T) {
	a := accept(t)
	lost := filepath.Join(a.dir, "lost/log-1")
	require.NoError(t, os.Rename(lost, lost+"-elsewhere"))
	before := tree(t, a.dir)
	_, err := repair.Undo(a.later, repair.Accept{})
	require.EqualError(t, err, lost+" is missing: put it back, the repair cannot be taken back without it")
	require.Equal(t, before, tree(t, a.dir))
	require.Equal(t, a.becomes, starts(t, a.later, strict).StateHash())
}

// TestKilledAtEveryStep ends a repair and an undo before each of their steps.
// Until the replacement is decided for, the directory is as it was. From then on
// no engine starts, until the next repair has finished it.
func TestKilledAtEveryStep(t *testing.T) {
	testrun.SkipUnderRace(t)
	original, end := written(t, 1, snap, 20, 3)
	repaired := copied(t, original)
	becomes := mend(t, at(repaired), acceptReducer, strict).Changes.Becomes
	was := end.StateHash()
	reduce := func(o swoosh.Options) error {
		_, err := repair.Repair(t.Context(), o, acceptReducer, strict)
		return err
	}
	undo := func(o swoosh.Options) error {
		_, err := repair.Undo(o, repair.Accept{})
		return err
	}
	for name, tc := range map[string]struct {
		dir          string
		do, back     func(swoosh.Options) error
		after        swoosh.Part
		was, becomes swoosh.Hash
	}{
		"repair": {original, reduce, undo, strict, was, becomes},
		"undo":   {repaired, undo, reduce, first, becomes, was},
	} {
		t.Run(name, func(t *testing.T) {
			seen := map[string]int{}
			for steps := 0; ; steps++ {
				dir := copied(t, tc.dir)
				o := at(dir)
				o.FS = &durable.Dying{FS: durable.OS(), Left: steps}
				err := tc.do(o)
				if err == nil {
					require.Greater(t, steps, 20, "it has steps")
					break
				}
				require.ErrorIs(t, err, durable.ErrDead, "step %d", steps)
				state := stateOf(t, copied(t, dir), [2]swoosh.Part{strict, first}, tc.was, tc.becomes)
				seen[state]++
				if state == "as before" {
					require.NoError(t, tc.do(at(dir)), "step %d", steps)
				} else if _, err := repair.Repair(t.Context(), at(dir), repair.Accept{}, tc.after); err != nil {
					require.NoError(t, err, "step %d", steps)
				}
				require.Equal(t, tc.becomes, starts(t, at(dir), tc.after).StateHash(), "step %d", steps)
				if _, err := os.Stat(filepath.Join(dir, "new")); err == nil {
					require.NoError(t, tc.back(at(dir)), "step %d: what is left of it is not in the way", steps)
					continue
				}
				if name == "repair" {
					require.Equal(t, outsideLost(tree(t, tc.dir)), inLost(tree(t, dir), 1), "step %d", steps)
				}
			}
			require.Greater(t, seen["as before"], 3)
			require.Greater(t, seen["broken off"], 10)
		})
	}
}

// stateOf starts both programs on a directory. What starts is at one hash: that of
// before, or that of after.
func stateOf(t *testing.T, dir string, programs [2]swoosh.Part, was, becomes swoosh.Hash) string {
	t.Helper()
	hashes := map[swoosh.Hash]bool{}
	for _, part := range programs {
		e, err := swoosh.Open(t.Context(), at(dir), part)
		if err == nil {
			hashes[e.View().StateHash()] = true
			require.NoError(t, e.Close(t.Context()))
			continue
		}
		var d *swoosh.DamageError
		require.ErrorAs(t, err, &d)
		if d.Detail == "a repair was broken off" {
			return "broken off"
		}
		require.Equal(t, swoosh.CauseReducer, d.Cause, err)
	}
	if hashes[was] {
		require.Equal(t, map[swoosh.Hash]bool{was: true}, hashes)
		return "as before"
	}
	require.Equal(t, map[swoosh.Hash]bool{becomes: true}, hashes)
	return "finished"
}
