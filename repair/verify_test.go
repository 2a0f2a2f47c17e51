package repair_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/chorus-services/swoosh/repair"
)

func TestVerifyOfWhatIsNoDirectory(t *testing.T) {
	empty, missing := t.TempDir(), filepath.Join(t.TempDir(), "missing")
	_, err := repair.Verify(t.Context(), at(empty), first)
	require.ErrorContains(t, err, empty+" is not a swoosh directory, it has no log: name the directory")
	require.Empty(t, tree(t, empty))
	_, err = repair.Verify(t.Context(), at(missing), first)
	require.ErrorContains(t, err, missing+" is not a directory: name the directory")
	require.NoDirExists(t, missing)
	other := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(other, "notes.txt"), nil, 0o600))
	_, err = repair.Verify(t.Context(), at(other), first)
	require.ErrorContains(t, err, "not a swoosh directory")
}

// TestVerifyOfALookAlike: a name of ours in a directory that is not ours, and a
// copy that lost its log, are not called a sound and empty log.
func TestVerifyOfALookAlike(t *testing.T) {
	for _, names := range [][]string{{"node"}, {"lock", "node"}, {"node", "ls"}, {"log", "ls"}, {"snapshots", "ls"}, {"log/app.log"}, {"log/000001.sst", "log/app.log"}} {
		dir := t.TempDir()
		for _, name := range names {
			require.NoError(t, os.MkdirAll(filepath.Dir(filepath.Join(dir, name)), 0o700))
			require.NoError(t, os.WriteFile(filepath.Join(dir, name), []byte("x"), 0o600))
		}
		before := tree(t, dir)
		_, err := repair.Verify(t.Context(), at(dir), first)
		require.ErrorContains(t, err, "not a swoosh directory", "%v", names)
		_, err = repair.Repair(t.Context(), at(dir), repair.Accept{}, first)
		require.ErrorContains(t, err, "not a swoosh directory", "%v", names)
		require.Equal(t, before, tree(t, dir))
	}
}

func TestVerifyOfAnEmptyLog(t *testing.T) {
	dir := t.TempDir()
	empty := write(t, at(dir), first)
	report, err := repair.Verify(t.Context(), at(dir), first)
	require.NoError(t, err)
	require.Zero(t, report.Entries)
	require.Equal(t, empty.StateHash(), report.StateHash)
}

func TestRepairOfWhatIsNoDirectory(t *testing.T) {
	_, err := repair.Repair(t.Context(), at(t.TempDir()), acceptLoss, first)
	require.ErrorContains(t, err, "not a swoosh directory")
	missing := filepath.Join(t.TempDir(), "missing")
	_, err = repair.Repair(t.Context(), at(missing), acceptLoss, first)
	require.ErrorContains(t, err, "is not a directory")
	require.NoDirExists(t, missing)
}
