package swoosh_test

import (
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/chorus-services/swoosh"
	"github.com/chorus-services/swoosh/internal/testrun"
	"github.com/chorus-services/swoosh/repair"
	"github.com/chorus-services/swoosh/swooshtest"
)

// bankAt returns options for a directory of the bank, for a program of a commit.
func bankAt(dir, commit string) swoosh.Options {
	return swoosh.Options{
		Dir: dir, Node: "test", Now: swooshtest.NewClock(1_767_225_600_000).Now, Logger: textLogger(io.Discard),
		Program: "bank", Version: "1." + commit, Commit: commit,
	}
}

// bankDirectory returns a directory with the bank's history.
func bankDirectory(t *testing.T) string {
	dir := filepath.Join(t.TempDir(), "data")
	bankNow = bankThen
	e, err := swoosh.Open(t.Context(), bankAt(dir, "old"), bank)
	require.NoError(t, err)
	for i := range bankMoves {
		move(t, e, i)
	}
	closeEngine(t, e)
	return dir
}

func preflight(t *testing.T, dir string, rules bankRules) repair.PreflightReport {
	t.Helper()
	bankNow = rules
	r, err := repair.Preflight(t.Context(), bankAt(dir, "new"), bank)
	require.NoError(t, err)
	require.Equal(t, uint64(len(bankMoves)), r.Last)
	return r
}

// everyByte returns all files below a directory.
func everyByte(t *testing.T, dir string) map[string]string {
	all := map[string]string{}
	require.NoError(t, filepath.Walk(dir, func(path string, info os.FileInfo, err error) error {
		if err != nil || info.IsDir() {
			all[path] = "directory"
			return err
		}
		b, err := os.ReadFile(path)
		all[path] = string(b)
		return err
	}))
	return all
}

// TestEditsAreFoundBeforeTheUpgrade: each edit of a rule that shows on the history is
// found at its entry, refactorings are clean, and no byte of the directory changes.
func TestEditsAreFoundBeforeTheUpgrade(t *testing.T) {
	was := hashes(t, bankThen)
	dir := bankDirectory(t)
	before := everyByte(t, dir)
	made := 0
	for name, rules := range bankEdits() {
		if made++; testrun.LeaveOut(made) {
			continue
		}
		want := firstOther(was, hashes(t, rules))
		r := preflight(t, dir, rules)
		require.Nil(t, r.Refused, name)
		if strings.HasPrefix(name, "same") {
			require.True(t, r.IsClean(), name)
			require.Equal(t, r.Last, r.Through, name)
			continue
		}
		require.NotNil(t, r.Differs, name)
		require.Equal(t, want, r.Differs.Index, name)
		require.Equal(t, want-1, r.Through, name)
		require.Contains(t, r.Differs.Why, "bank.move says state_hash "+was[want-1].String(), name)
	}
	require.Equal(t, before, everyByte(t, dir))
}

// TestPreflightSaysWhatDiffers, with the rows that this program changes.
func TestPreflightSaysWhatDiffers(t *testing.T) {
	dir := bankDirectory(t)
	was, now := hashes(t, bankThen), hashes(t, healing)
	d := preflight(t, dir, healing).Differs
	require.NotNil(t, d)
	require.Equal(t, "bank.move", d.Command)
	require.JSONEq(t, `[
		{"op":"replace","path":"/meta/state_hash","value":"`+now[2].String()+`"},
		{"op":"replace","path":"/bank/moves","value":3},
		{"op":"add","path":"/bank/accounts/a2","value":{"balance":9,"last":10}}
	]`, string(d.Patch), "the log's entry 3 gives %s", was[2])
}

// TestPreflightNamesATightenedRule and goes on: what was accepted stays.
func TestPreflightNamesATightenedRule(t *testing.T) {
	dir := bankDirectory(t)
	r := preflight(t, dir, bankRules{moveAsEver, 8})
	require.NotNil(t, r.Refused)
	require.Equal(t, &repair.Refusal{Index: 3, Command: "bank.move", Why: r.Refused.Why}, r.Refused)
	require.Contains(t, r.Refused.Why, "9 is more than 8")
	require.Nil(t, r.Differs)
	require.Equal(t, r.Last, r.Through)
}
