package repair_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/chorus-services/swoosh"
	"github.com/chorus-services/swoosh/repair"
)

func preflight(t testing.TB, o swoosh.Options, parts ...swoosh.Part) repair.PreflightReport {
	t.Helper()
	before := tree(t, o.Dir)
	r, err := repair.Preflight(t.Context(), o, parts...)
	require.NoError(t, err)
	require.Equal(t, before, tree(t, o.Dir))
	r.Seconds = 0
	return r
}

func TestPreflightOfTheSameProgram(t *testing.T) {
	dir, _ := written(t, 1, 2, snap, 3)
	require.Equal(t, repair.PreflightReport{First: 1, Through: 3, Last: 3}, preflight(t, at(dir), first))
	require.Equal(t, repair.PreflightReport{First: 1, Through: 3, Last: 3}, preflight(t, by("writer", "2", dir), tight))
}

// TestPreflightOfAStricterRule names what it would refuse, and goes on to the first
// entry with another state.
func TestPreflightOfAStricterRule(t *testing.T) {
	dir, _ := written(t, 1, 20, 3)
	want := &repair.Refusal{Index: 2, Command: "shelf.put", Why: "conflict: 20 is more than ten"}
	require.Equal(t, repair.PreflightReport{First: 1, Through: 3, Last: 3, Refused: want}, preflight(t, at(dir), tight))

	r := preflight(t, by("strict", "2", dir), strict)
	require.Equal(t, want, r.Refused)
	require.Equal(t, uint64(1), r.Through)
	require.Equal(t, []any{uint64(2), "shelf.put"}, []any{r.Differs.Index, r.Differs.Command})
	require.Contains(t, string(r.Differs.Patch), `{"op":"add","path":"/shelf/rows/i-1","value":{"n":10}}`)
	require.Contains(t, r.Differs.Next, "strict repair "+dir+" --accept-reducer")
}

// TestPreflightOfAForeignProgram has no patch: it cannot apply the entry.
func TestPreflightOfAForeignProgram(t *testing.T) {
	dir, _ := written(t, 1)
	r := preflight(t, by("other", "1", dir), doors)
	require.Equal(t, uint64(1), r.Differs.Index)
	require.Contains(t, r.Differs.Why, "shelf.put")
	require.Nil(t, r.Differs.Patch)
}

// TestPreflightOfANarrowedBase ends at the snapshot that the log rests on.
func TestPreflightOfANarrowedBase(t *testing.T) {
	dir, _ := written(t, 300, 5, snap)
	mend(t, at(dir), acceptReducer, doubling)
	r := preflight(t, by("narrow", "3", dir), narrow)
	require.Zero(t, r.Differs.Index)
	require.Contains(t, r.Differs.Why, "which the log rests on, does not fit the domains")
}

// TestPreflightOfDamage is an error, and so is a directory in use.
func TestPreflightOfDamage(t *testing.T) {
	dir, _ := written(t, 1, 2, 3)
	e, err := swoosh.Open(t.Context(), at(dir), first)
	require.NoError(t, err)
	_, err = repair.Preflight(t.Context(), at(dir), first)
	require.ErrorContains(t, err, "in use")
	stop(t, e, dir)
	lose(t, dir, 2)
	_, err = repair.Preflight(t.Context(), at(dir), first)
	var d *swoosh.DamageError
	require.ErrorAs(t, err, &d)
	require.Equal(t, []any{uint64(2), swoosh.CauseFiles}, []any{d.Index, d.Cause})
}

// TestVerifyAsksAgain what was accepted: a refusal is a finding between snapshots that
// this reducer made, information elsewhere, and no damage.
func TestVerifyAsksAgain(t *testing.T) {
	dir, _ := written(t, 20, snap, 3, 30, snap)
	r, err := repair.Verify(t.Context(), at(dir), tight)
	require.NoError(t, err)
	require.Equal(t, &repair.Refusal{Index: 3, Command: "shelf.put", Why: "conflict: 30 is more than ten", Same: true}, r.Refused)

	o := at(dir)
	o.ReducerVersion = "2"
	r, err = repair.Verify(t.Context(), o, tight)
	require.NoError(t, err)
	require.Equal(t, &repair.Refusal{Index: 1, Command: "shelf.put", Why: "conflict: 20 is more than ten"}, r.Refused)

	r, err = repair.Verify(t.Context(), at(dir), first)
	require.NoError(t, err)
	require.Nil(t, r.Refused)
}
