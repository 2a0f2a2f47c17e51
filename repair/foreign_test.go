package repair_test

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/chorus-services/swoosh"
	"github.com/chorus-services/swoosh/internal/testrun"
	"github.com/chorus-services/swoosh/repair"
)

// withDoors makes a directory of the program "doors 1.0.0", with an open door, and
// lets f go on.
func withDoors(t testing.TB, dir string, f func(e *swoosh.Engine)) {
	t.Helper()
	e, err := swoosh.Open(t.Context(), by("doors", "1.0.0", dir), first, doors)
	require.NoError(t, err)
	_, err = e.Submit(t.Context(), swoosh.Request{Command: "doors.open"})
	require.NoError(t, err)
	f(e)
	stop(t, e, dir)
}

func snapshot(t testing.TB) func(e *swoosh.Engine) {
	return func(e *swoosh.Engine) {
		_, err := e.Snapshot(t.Context())
		require.NoError(t, err)
	}
}

// TestForeignLogIsRefused: the stock program, which has no doors, refuses to touch
// a log with doors, whatever is accepted, and nothing offers to accept it.
func TestForeignLogIsRefused(t *testing.T) {
	testrun.SkipUnderRace(t)
	for name, tc := range map[string]struct {
		make  func(t *testing.T, dir string)
		lacks string
	}{
		"commands":           {func(t *testing.T, dir string) { withDoors(t, dir, func(*swoosh.Engine) {}) }, "command doors.open"},
		"commands and state": {func(t *testing.T, dir string) { withDoors(t, dir, snapshot(t)) }, "domain doors and its command doors.open"},
		"state in the snapshot that the log rests on": {func(t *testing.T, dir string) {
			withDoors(t, dir, func(e *swoosh.Engine) {
				_, err := e.Submit(t.Context(), swoosh.Request{Command: "shelf.put", Payload: []byte(`{"item":"a","n":4}`)})
				require.NoError(t, err)
				snapshot(t)(e)
			})
			mend(t, by("doors", "1.0.0", dir), acceptReducer, doubling, doors)
		}, "domain doors"},
		"state in an import": {func(t *testing.T, dir string) {
			var doc bytes.Buffer
			withDoors(t, filepath.Join(t.TempDir(), "source"), func(e *swoosh.Engine) {
				_, err := e.View().WriteTo(&doc)
				require.NoError(t, err)
			})
			e, err := swoosh.Open(t.Context(), by("doors", "1.0.0", dir), first, doors)
			require.NoError(t, err)
			_, err = e.Import(t.Context(), nil, &doc)
			require.NoError(t, err)
			require.NoError(t, e.Close(context.Background()))
		}, "domain doors"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "data")
			tc.make(t, dir)
			stock := by("stock", "3", dir)
			d := refuses(t, stock, doubling)
			require.Equal(t, swoosh.CauseForeign, d.Cause)
			require.Contains(t, d.Error(), "doors")
			require.Contains(t, d.Error(), "which stock lacks: use doors 1.0.0, which wrote it")
			_, err := repair.Verify(t.Context(), stock, doubling)
			require.EqualError(t, err, d.Error())

			before := tree(t, dir)
			for _, a := range []repair.Accept{{}, acceptLoss, acceptReducer, {Loss: true, Reducer: true}} {
				_, err := repair.Repair(t.Context(), stock, a, doubling)
				require.ErrorContains(t, err, tc.lacks)
				require.ErrorContains(t, err, "doors 1.0.0")
				require.NotContains(t, err.Error(), "--accept")
				var damage *swoosh.DamageError
				require.NotErrorAs(t, err, &damage, "the directory is not damaged")
				require.Equal(t, before, tree(t, dir))
			}
		})
	}
}

// TestForeignLogThatIsDamaged: with entries missing it is still not ours to mend.
func TestForeignLogThatIsDamaged(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	withDoors(t, dir, snapshot(t))
	removeLog(t, dir)
	before := tree(t, dir)
	_, err := repair.Repair(t.Context(), by("stock", "3", dir), repair.Accept{Loss: true, Reducer: true}, first)
	require.EqualError(t, err, "the log in "+dir+" was written by doors 1.0.0; stock lacks its domain doors: run, with doors 1.0.0: doors repair "+dir)
	require.Equal(t, before, tree(t, dir))
}

// TestDirectoryFromBefore has nothing that names a program.
func TestDirectoryFromBefore(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	e, err := swoosh.Open(t.Context(), by("", "", dir), first, doors)
	require.NoError(t, err)
	_, err = e.Submit(t.Context(), swoosh.Request{Command: "doors.open"})
	require.NoError(t, err)
	snapshot(t)(e)
	require.NoError(t, e.Close(context.Background()))
	require.NoError(t, os.Remove(filepath.Join(dir, "made_by")))
	require.Contains(t, refuses(t, by("stock", "3", dir), first).Next, "use the program that wrote it")
	_, err = repair.Repair(t.Context(), by("stock", "3", dir), acceptReducer, first)
	require.EqualError(t, err, "the log in "+dir+" was written by another program; stock lacks its domain doors and its command doors.open: repair it with the program that wrote it")
}

// TestAnotherBuildOfTheSameVersion: a command was taken out of a program whose
// version stayed the same, so naming the version alone would be no help.
func TestAnotherBuildOfTheSameVersion(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	withDoors(t, dir, func(*swoosh.Engine) {})
	same := by("doors", "1.0.0", dir)
	require.Equal(t, "another build of doors 1.0.0 wrote it: use that one, or add what this one lacks", refuses(t, same, first).Next)
	_, err := repair.Repair(t.Context(), same, acceptReducer, first)
	require.EqualError(t, err, "the log in "+dir+" was written by another build of doors 1.0.0; doors lacks its command doors.open: use that build, or add what this one lacks")
}

// TestMadeByNamesTheLastProgram, and survives a crash and a start that is refused.
func TestMadeByNamesTheLastProgram(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	withDoors(t, dir, func(*swoosh.Engine) {})
	for range 2 {
		b, err := os.ReadFile(filepath.Join(dir, "made_by"))
		require.NoError(t, err)
		require.Contains(t, string(b), `"program":"doors"`)
		require.Contains(t, string(b), `"version":"1.0.0"`)
		refuses(t, by("stock", "3", dir), first)
	}
	starts(t, by("doors", "1.1.0", dir), first, doors)
	require.Contains(t, refuses(t, by("stock", "3", dir), first).Next, "use doors 1.1.0, which wrote it")

	withoutFile := copied(t, dir)
	require.NoError(t, os.Remove(filepath.Join(withoutFile, "made_by")))
	require.Contains(t, refuses(t, by("stock", "3", withoutFile), first).Next, "the program that wrote it")
	e, err := swoosh.Open(t.Context(), by("doors", "1.2.0", withoutFile), first, doors)
	require.NoError(t, err)
	snapshot(t)(e)
	require.NoError(t, e.Close(context.Background()))
	require.NoError(t, os.Remove(filepath.Join(withoutFile, "made_by")))
	require.Contains(t, refuses(t, by("stock", "3", withoutFile), first).Next, "use doors 1.2.0, which wrote it", "the snapshot names it too")
}
