package swoosh

import (
	"bytes"
	"context"
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"
)

// windowed is a domain that says yes to everything.
var windowed = NewDomain("windowed", On[windowedCommand]("go", "Nothing."))

type windowedState struct{}
type windowedCommand struct{}

func (windowedCommand) Check(View) error            { return nil }
func (windowedCommand) Apply(*windowedState, Stamp) {}

// TestWindowRebuilt: the log gives the same window as the one that lived,
// batches and all.
func TestWindowRebuilt(t *testing.T) {
	wall := int64(1_767_225_600_000)
	wal, store := NewMemWAL(), NewInMemorySnapshotStore()
	o := Options{Node: "test", Now: func() int64 { return wall }, Snapshots: store,
		OpenWAL: func(string) (WAL, error) { return wal, nil }}
	e, err := Open(context.Background(), o, windowed)
	require.NoError(t, err)
	one := Request{Command: "windowed.go"}
	for i := range 10 {
		wall += 4 * 3_600_000
		_, err := e.SubmitBatch(context.Background(), fmt.Sprint("k", i), []Request{one, one, one})
		require.NoError(t, err)
		_, err = e.Submit(context.Background(), one)
		require.NoError(t, err)
		if i == 5 {
			_, err := e.Snapshot(context.Background())
			require.NoError(t, err)
		}
	}
	require.NoError(t, e.Close(context.Background()))
	live := keysFile(t, e)
	require.NotZero(t, e.window.View().Since())
	for _, force := range []bool{false, true} {
		o.ForceReplay = force
		again, err := Open(context.Background(), o, windowed)
		require.NoError(t, err)
		require.NoError(t, again.Close(context.Background()))
		require.Equal(t, live, keysFile(t, again), "D4: replayed from nothing: %v", force)
	}
}

// keysFile is the key window of an engine that was closed, as it would be saved.
func keysFile(t require.TestingT, e *Engine) []byte {
	var b bytes.Buffer
	require.NoError(t, e.window.View().Write(&b, e.View().Index()))
	return b.Bytes()
}
