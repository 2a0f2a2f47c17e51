package swooshtest

import (
	"context"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/chorus-services/swoosh"
)

// Migrate opens an engine of parts on what a program of old domains left: history submits
// what that one had in its log before it stopped in order. So it runs the migrations that the
// parts declare, as the first start after an upgrade does. The engine is that of Open, in
// memory, and the clock of both is the same.
//
// It starts the new program a second time from what the old one left, which must lead to the
// same state: a migration may use nothing but its argument.
func Migrate(t testing.TB, o swoosh.Options, old []swoosh.Part, history func(*swoosh.Engine), parts ...swoosh.Part) *swoosh.Engine {
	t.Helper()
	if o.Now == nil {
		o.Now = NewClock(1767225600000).Now
	}
	var ends []swoosh.Hash
	for {
		wal, store := swoosh.NewMemWAL(), swoosh.NewInMemorySnapshotStore()
		o.OpenWAL, o.Snapshots = func(string) (swoosh.WAL, error) { return wal, nil }, store
		o.Node, o.Logger = "test", newLogger(t)
		before, err := swoosh.Open(context.Background(), o, old...)
		require.NoError(t, err)
		history(before)
		require.NoError(t, before.Close(context.Background()))
		e := Open(t, o, parts...)
		if ends = append(ends, e.View().StateHash()); len(ends) == 2 {
			require.Equal(t, ends[0], ends[1], "two migrations of the same data differ: a step, or the history, depends on something else, such as chance or the order of a map")
			return e
		}
	}
}
