package repair_test

import (
	"context"
	"errors"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/chorus-services/swoosh"
	"github.com/chorus-services/swoosh/noun"
	"github.com/chorus-services/swoosh/repair"
)

// rows returns the shelf's rows.
func rows(v swoosh.View, part interface{ Of(swoosh.View) shelf }) map[noun.ID]int32 {
	all := map[noun.ID]int32{}
	s := part.Of(v)
	for k, r := range s.Rows.All() {
		all[k] = r.N
	}
	return all
}

func TestChangesOfAStricterRule(t *testing.T) {
	dir, end := written(t, 1, 20, 3)
	o := by("strict", "2", dir)
	require.Equal(t, uint64(2), refuses(t, o, strict).Index)
	want := &repair.Changes{Entry: 2, Was: end.StateHash(), Refused: 1, Rows: []string{"/shelf/rows/i-2"}, Count: 1}
	explained := explain(t, o, strict)
	require.Equal(t, "strict repair "+dir+" --accept-reducer", explained.Next)
	want.Becomes = explained.Changes.Becomes
	require.Equal(t, want, explained.Changes)
	require.Contains(t, explained.Findings, "Entry 2 has no effect any more: the state differs: shelf.put was accepted, replay refuses it: conflict: 20 is more than ten")

	require.Equal(t, want, mend(t, o, acceptReducer, strict).Changes)
	after := starts(t, o, strict)
	require.Equal(t, want.Becomes, after.StateHash())
	require.Equal(t, map[noun.ID]int32{"i-0": 1, "i-2": 3}, rows(after, strict))
}

func TestChangesCountEachEntryOfABatch(t *testing.T) {
	dir, _ := written(t, 1)
	e, err := swoosh.Open(t.Context(), at(dir), first)
	require.NoError(t, err)
	var batch []swoosh.Request
	for _, payload := range []string{`{"item":"a","n":5}`, `{"item":"b","n":20}`, `{"item":"c","n":30}`} {
		batch = append(batch, swoosh.Request{Command: "shelf.put", Payload: []byte(payload)})
	}
	_, err = e.SubmitBatch(context.Background(), "", batch)
	require.NoError(t, err)
	stop(t, e, dir)
	got := explain(t, at(dir), strict).Changes
	require.Equal(t, uint64(3), got.Entry)
	require.Equal(t, uint64(3), got.Refused)
	require.Equal(t, []string{"/shelf/rows/a"}, got.Rows, "the others were never made")
}

// Changes of arithmetic: the old domains are gone, and what they made of the
// entries after the snapshot with them.
func TestChangesOfOtherArithmetic(t *testing.T) {
	dir, end := written(t, 1, 2, snap, 3, 0, 4)
	o := at(dir)
	got := mend(t, o, acceptReducer, doubling).Changes
	after := starts(t, o, doubling)
	require.Equal(t, &repair.Changes{
		Entry: 3, Was: end.StateHash(), Becomes: after.StateHash(), Rows: []string{"/shelf/rows/i-3", "/shelf/rows/i-4", "/shelf/rows/i-5"}, Count: 3,
	}, got)
	require.Equal(t, map[noun.ID]int32{"i-0": 1, "i-1": 2, "i-3": 6, "i-4": 0, "i-5": 8}, rows(after, doubling))
}

// TestChangesOfANarrowedRow has a log that rests on a snapshot with a row that
// does not fit any more.
func TestChangesOfANarrowedRow(t *testing.T) {
	for name, after := range map[string][]int32{"nothing after it": nil, "entries after it": {snap, snap, 3}} {
		t.Run(name, func(t *testing.T) {
			dir, _ := written(t, 300, 5, snap)
			mend(t, at(dir), acceptReducer, doubling)
			end := write(t, at(dir), doubling, after...)
			o := by("narrow", "3", dir)
			require.Equal(t, swoosh.CauseReducer, refuses(t, o, narrow).Cause)
			got := mend(t, o, acceptReducer, narrow).Changes
			require.Zero(t, got.Entry)
			require.Equal(t, end.StateHash(), got.Was)
			require.Contains(t, got.Rows, "/shelf/rows/i-0")
			require.NotContains(t, got.Rows, "/shelf/rows/i-1")
			v := starts(t, o, narrow)
			require.Equal(t, got.Becomes, v.StateHash())
		})
	}
}

func TestConfirmStopsBeforeAnythingIsWritten(t *testing.T) {
	dir, _ := written(t, 1, 20, 3)
	before := tree(t, dir)
	no := errors.New("no")
	var asked repair.Report
	a := repair.Accept{Reducer: true, Confirm: func(r repair.Report) error {
		asked = r
		return no
	}}
	report, err := repair.Repair(t.Context(), at(dir), a, strict)
	require.ErrorIs(t, err, no)
	require.Equal(t, asked, report)
	require.NotNil(t, report.Changes)
	require.Equal(t, "writer repair "+dir+" --accept-reducer", report.Next)
	require.Equal(t, before, tree(t, dir))
}
