package swoosh_test

import (
	"bytes"
	"context"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/require"

	"github.com/chorus-services/swoosh"
	"github.com/chorus-services/swoosh/internal/durable"
	"github.com/chorus-services/swoosh/noun"
)

// TestStopSavesASnapshot of the log's end, unless the last one is of it: the next
// start has nothing to replay.
func TestStopSavesASnapshot(t *testing.T) {
	r := newRig(t, swoosh.Options{Dir: t.TempDir()})
	r.stop()
	require.Empty(t, r.snapshots(), "nothing has changed")
	r.boot()
	r.must(opening("a"))
	r.must(paying("a", 1))
	hash := r.View().StateHash()
	replayed := r.replays()
	for range 2 {
		r.restart()
		require.Len(t, r.snapshots(), 1)
		require.Equal(t, hash, r.View().StateHash())
		require.Zero(t, *replayed)
	}
	r.must(paying("a", 1))
	r.snapshot()
	r.stop()
	require.Len(t, r.snapshots(), 2, "there is one of the end")

	t.Run("D8/not after a failed sync", func(t *testing.T) {
		r := newRig(t, swoosh.Options{Dir: t.TempDir()})
		r.must(opening("a"))
		r.wal.Fail(true)
		_, err := r.Submit(context.Background(), paying("a", 1))
		requireKind(t, swoosh.OutcomeUnknown, err)
		r.stop()
		require.Empty(t, r.snapshots())
	})
}

// heldStore is a store whose Save waits.
type heldStore struct {
	swoosh.SnapshotStore
	saving chan struct{} // gets one when a Save has begun
	saved  chan struct{} // closed when it may go on
	saves  atomic.Int64
}

func newHeldStore() *heldStore {
	return &heldStore{SnapshotStore: swoosh.NewInMemorySnapshotStore(), saving: make(chan struct{}, 100), saved: make(chan struct{})}
}

func (s *heldStore) Save(name string, write func(swoosh.SnapshotFile) error) error {
	s.saves.Add(1)
	s.saving <- struct{}{}
	<-s.saved
	return s.SnapshotStore.Save(name, write)
}

// TestCloseEndsWithItsContext also after the last command, while a snapshot is
// being written; it waits for that snapshot before it lets go of the files.
func TestCloseEndsWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := newHeldStore()
		r := newRig(t, swoosh.Options{Snapshots: store})
		r.must(opening("a"))
		snapshot, closed := make(chan error, 1), make(chan error, 1)
		go func() {
			_, err := r.Snapshot(context.Background())
			snapshot <- err
		}()
		<-store.saving
		gone, cancel := context.WithCancel(context.Background())
		cancel()
		require.ErrorIs(t, r.Close(gone), context.Canceled)
		go func() { closed <- r.Close(context.Background()) }()
		synctest.Wait()
		require.Empty(t, closed, "the snapshot is not saved yet")
		close(store.saved)
		require.NoError(t, <-snapshot)
		require.NoError(t, <-closed)
		require.NoError(t, r.Close(context.Background()), "it is closed")
	})
}

// TestNothingIsWrittenAfterClose: another engine may have the directory then.
func TestNothingIsWrittenAfterClose(t *testing.T) {
	store := newHeldStore()
	close(store.saved)
	r := newRig(t, swoosh.Options{Snapshots: store})
	r.must(opening("a"))
	doc, hash := document(t, r.View()), r.View().StateHash()
	body, feed := io.Pipe()
	late := make(chan error, 1)
	go func() {
		_, err := r.Import(context.Background(), &hash, body)
		late <- err
	}()
	_, err := feed.Write([]byte(doc[:1])) // The import is under way.
	require.NoError(t, err)
	gone, cancel := context.WithCancel(context.Background())
	cancel()
	require.ErrorIs(t, r.Close(gone), context.Canceled)
	_, err = feed.Write([]byte(doc[1:]))
	require.NoError(t, err)
	require.NoError(t, feed.Close())
	requireKind(t, swoosh.ShuttingDown, <-late)
	require.NoError(t, r.Close(context.Background()))

	saves := store.saves.Load()
	_, err = r.Snapshot(context.Background())
	requireKind(t, swoosh.ShuttingDown, err)
	_, err = importOf(r, &hash, doc)
	requireKind(t, swoosh.ShuttingDown, err)
	require.Equal(t, saves, store.saves.Load())
}

// TestRefusalsDoNotHoldUpAGroup: a reduced command does not wait for later
// commands that make no entry, however many there are.
func TestRefusalsDoNotHoldUpAGroup(t *testing.T) {
	const enough = 10 * swoosh.QueueMaxCommands
	var r *rig
	var storm atomic.Bool
	var refused, before atomic.Int64
	r = newRig(t, swoosh.Options{
		Now: func() int64 { // The writer asks for the time once a command.
			if storm.Load() && refused.Add(1) < enough {
				_, _ = r.Enqueue(paying("nobody", 1))
			}
			return 1_767_225_600_000
		},
		Published: func(swoosh.View) { before.CompareAndSwap(0, refused.Load()) },
	})
	storm.Store(true)
	r.must(opening("a"))
	require.Less(t, before.Load(), int64(enough))
}

// TestCallerKeepsItsMemory: what a caller does to its slices and pointers while
// its command is under way does not reach the log.
func TestCallerKeepsItsMemory(t *testing.T) {
	r := newRig(t, swoosh.Options{})
	r.wal.Hold()
	first := r.enqueue(opening("first"))
	index, req := uint64(1), opening("a")
	req.Evidence = noun.Refs{"ucxl://before"}
	req.Expect = swoosh.Expect{Index: &index}
	second := r.enqueue(req)
	req.Evidence[0], index = "ucxl://after", 77
	r.wal.Release()
	first[0].result(t)
	second[0].result(t)
	require.Equal(t, noun.Refs{"ucxl://before"}, r.entry(2).Evidence)
}

// trapGate panics when a state is to be replaced.
type trapGate struct{}

func (trapGate) Refuse(_ trapState, _ swoosh.View, c swoosh.Command) error {
	if strings.HasPrefix(c.Name, "state.") {
		panic("the gate broke down")
	}
	return nil
}

type trapState struct {
	Set bool `json:"set"`
}

type setTrap struct{}

func (setTrap) Check(swoosh.View) error            { return nil }
func (setTrap) Apply(s *trapState, _ swoosh.Stamp) { s.Set = true }

// TestImportPanics: a gate that breaks down fails the import alone.
func TestImportPanics(t *testing.T) {
	trap := swoosh.NewDomain("trap", swoosh.On[setTrap]("set", "Set it."), swoosh.Gate[trapGate]())
	e, err := swoosh.Open(context.Background(), swoosh.Options{Logger: textLogger(io.Discard)}, trap)
	require.NoError(t, err)
	defer closeEngine(t, e)
	_, err = e.Import(context.Background(), nil, strings.NewReader(document(t, e.View())))
	requireKind(t, swoosh.Internal, err)
	submit(t, e, "trap.set", nil)
}

// TestReopenedWhileChildrenStart: a child that is being started holds copies of
// all files for a moment, locks included.
func TestReopenedWhileChildrenStart(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	var starters sync.WaitGroup
	for range 4 {
		starters.Go(func() {
			for ctx.Err() == nil {
				_ = exec.Command("true").Run() // That it starts is all that matters.
			}
		})
	}
	defer starters.Wait()
	defer cancel()
	dir := t.TempDir()
	for range 60 {
		wal, err := swoosh.OpenBadgerWAL(dir, slog.New(slog.DiscardHandler))
		require.NoError(t, err)
		require.NoError(t, wal.Close())
	}
	wal, err := swoosh.OpenBadgerWAL(dir, slog.New(slog.DiscardHandler))
	require.NoError(t, err)
	defer func() { require.NoError(t, wal.Close()) }()
	_, err = swoosh.OpenBadgerWAL(dir, slog.New(slog.DiscardHandler))
	require.ErrorIs(t, err, durable.ErrLocked)
}

// TestFullDisk: opening needs a little room, closing needs none.
func TestFullDisk(t *testing.T) {
	disk := &room{FS: durable.OS()}
	o := vault(t.TempDir())
	var logged bytes.Buffer
	o.FS, o.Logger = disk, textLogger(&logged)
	disk.free.Store(swoosh.RoomBytes - 1)
	_, err := swoosh.Open(context.Background(), o, ledger)
	require.ErrorContains(t, err, o.Dir+", but opening its log needs 1048576")
	left, err := os.ReadDir(o.Dir)
	require.NoError(t, err)
	require.Empty(t, left, "D9: nothing is touched")

	disk.free.Store(1 << 40)
	e, err := swoosh.Open(context.Background(), o, ledger)
	require.NoError(t, err)
	_, err = e.Submit(context.Background(), opening("a"))
	require.NoError(t, err)
	disk.free.Store(0)
	closeEngine(t, e)
	require.Contains(t, logged.String(), "the stop saves no snapshot")
	files := listing(t, o.Dir)
	require.NotContains(t, files, "snapshots/snapshot-00000000000000000001.json")
	_, err = swoosh.Open(context.Background(), o, ledger)
	require.ErrorContains(t, err, "only 0 bytes are free in "+o.Dir)
	require.Equal(t, files, listing(t, o.Dir), "D9: nothing is touched")
	require.EqualValues(t, 1, requireVerified(t, o.Dir).Last, "D1: nothing acknowledged is lost")
}

// TestManyRestartsLeaveFewTables: a start that finds no tail, as after a power cut, makes a
// table of few entries.
func TestManyRestartsLeaveFewTables(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	for n := range 12 {
		require.NoError(t, os.RemoveAll(filepath.Join(dir, "newest")))
		e := openVault(t, dir)
		if n == 0 {
			submit(t, e, "ledger.open", openAccount{"a"})
		}
		put(t, e, n)
		closeEngine(t, e)
	}
	tables, err := filepath.Glob(filepath.Join(dir, "log", "*.sst"))
	require.NoError(t, err)
	require.NotEmpty(t, tables)
	require.LessOrEqual(t, len(tables), 3)
	requireVerified(t, dir)
}
