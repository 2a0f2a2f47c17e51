package swoosh_test

import (
	"context"
	"io"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/chorus-services/swoosh"
)

// busyStore is a store that can open no file while busy is set, as in a process
// that has too many open.
type busyStore struct {
	swoosh.SnapshotStore
	busy atomic.Bool
}

func (s *busyStore) Open(name string) (io.ReadCloser, int64, error) {
	if s.busy.Load() {
		return nil, 0, syscall.EMFILE
	}
	return s.SnapshotStore.Open(name)
}

// TestRefusedImportKeepsWhatAnEntryNames although the file cannot be opened when
// the same state is imported again.
func TestRefusedImportKeepsWhatAnEntryNames(t *testing.T) {
	store := &busyStore{SnapshotStore: swoosh.NewInMemorySnapshotStore()}
	r := newRig(t, swoosh.Options{Snapshots: store})
	doc := document(t, r.View())
	_, err := importOf(r, nil, doc)
	require.NoError(t, err)
	now := r.View().StateHash()
	reached := r.wal.Hold()
	r.enqueue(opening("a"))
	<-reached
	store.busy.Store(true)
	body, feed := io.Pipe()
	late := make(chan error, 1)
	go func() {
		_, err := r.Import(context.Background(), &now, body)
		late <- err
	}()
	_, err = io.WriteString(feed, doc) // What is published still has the hash.
	require.NoError(t, err)
	r.wal.Release()
	require.NoError(t, r.WaitIndex(context.Background(), 2))
	require.NoError(t, feed.Close())
	requireKind(t, swoosh.StaleState, <-late)
	store.busy.Store(false)
	end := r.View().StateHash()
	r.o.ForceReplay = true
	r.restart()
	require.Equal(t, end, r.View().StateHash(), "D3")
}

// closedGate refuses every import.
type closedGate struct{}

func (closedGate) Refuse(_ ledgerState, _ swoosh.View, c swoosh.Command) error {
	if c.Name == swoosh.ImportCommand {
		return swoosh.Errorf(swoosh.Conflict, "no imports any more")
	}
	return nil
}

// TestReplayAsksNoGates of an import either, and names it if it is told to ask.
func TestReplayAsksNoGates(t *testing.T) {
	store, log := swoosh.NewInMemorySnapshotStore(), swoosh.NewMemWAL()
	r := newRig(t, swoosh.Options{Snapshots: store})
	doc := document(t, r.View())
	_, err := importOf(r, nil, doc)
	require.NoError(t, err)
	require.NoError(t, swoosh.CopyLog(log, r.wal))
	strict := swoosh.NewDomain("ledger",
		swoosh.On[openAccount]("open", "Open an account."),
		swoosh.On[deposit]("deposit", "Add to an account."),
		swoosh.Gate[closedGate](),
	)
	for _, ask := range []bool{false, true} {
		p, err := swoosh.NewReplay(swoosh.Options{Snapshots: store}, log, strict)
		require.NoError(t, err)
		var refused []uint64
		if ask {
			p.Ask(func(x *swoosh.Entry, why error) {
				require.ErrorContains(t, why, "no imports any more")
				refused = append(refused, x.Index)
			})
		}
		for rec, err := range log.Read(1, 1) {
			require.NoError(t, err)
			_, err = p.Next(rec)
			require.NoError(t, err)
		}
		require.NoError(t, p.Check())
		require.Equal(t, ask, len(refused) == 1)
	}
}
