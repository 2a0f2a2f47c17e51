package swoosh_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/chorus-services/swoosh"
)

// TestWindowRebuilt: the log gives the same window as the one that lived,
// batches and all.
func TestWindowRebuilt(t *testing.T) {
	store := swoosh.NewInMemorySnapshotStore()
	r := newRig(t, swoosh.Options{Snapshots: store})
	r.must(opening("a"))
	one := paying("a", 1)
	for i := range 10 {
		r.clock.Advance(4 * time.Hour)
		_, err := r.SubmitBatch(context.Background(), fmt.Sprint("k", i), []swoosh.Request{one, one, one})
		require.NoError(t, err)
		r.must(one)
		if i == 5 {
			r.snapshot()
		}
	}
	require.NotEmpty(t, r.Health().Keys.Since)
	// saved returns the key window as the engine saves it, and takes it away.
	saved := func() string {
		name := fmt.Sprintf("snapshots/snapshot-%020d.json", r.snapshot().Index)
		keys := string(readStored(t, store, keysBeside(name)))
		require.NoError(t, store.Remove(name))
		require.NoError(t, store.Remove(keysBeside(name)))
		return keys
	}
	live, replayed := saved(), r.replays()
	for force, entries := range map[bool]uint64{false: 16, true: 41} {
		r.o.ForceReplay = force
		r.restart()
		require.Equal(t, entries, *replayed)
		require.Equal(t, live, saved(), "D4: replayed from nothing: %v", force)
	}
}
