// The fixtures of these tests, one for each way to look at an engine:
//
//   - newRig (harness_test.go): an engine in this process, whose log can be held
//     up and broken and whose clock stands still;
//   - openVault, live (harness_disk_test.go): a directory to crash, damage and
//     repair;
//   - open (harness_api_test.go): an engine behind its API, over HTTP;
//   - swooshtest.Open, as an embedder uses it, where nothing of this is needed.
//
// The domains are in harness_domains_test.go: the ledger, and the counter, which
// has phases, behind the API. Tests of unexported things have the orchard, in
// harness_orchard_test.go.
package swoosh_test

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/chorus-services/swoosh"
	"github.com/chorus-services/swoosh/swooshtest"
)

// rig is an engine with the ledger, whose log can be held up and broken and
// whose clock stands still. What a closed engine leaves can be opened again.
type rig struct {
	*swoosh.Engine
	t      testing.TB
	o      swoosh.Options
	parts  []swoosh.Part
	wal    *swooshtest.FaultWAL
	clock  *swooshtest.Clock
	mu     sync.Mutex
	groups [][2]uint64 // first and last index of every append that was begun
}

// newRig opens an engine in memory; o.Dir puts it on the disk. Parts are its
// domains, if they are not the ledger alone.
func newRig(t testing.TB, o swoosh.Options, parts ...swoosh.Part) *rig {
	t.Helper()
	r := &rig{t: t, o: o, clock: swooshtest.NewClock(1_767_225_600_000)}
	r.o.Node = "test"
	if r.parts = parts; parts == nil {
		r.parts = []swoosh.Part{ledger}
	}
	if r.o.Now == nil {
		r.o.Now = r.clock.Now
	}
	if r.o.Logger == nil {
		r.o.Logger = slog.New(slog.DiscardHandler)
	}
	inMemory := swoosh.NewMemWAL()
	if o.Dir == "" && o.Snapshots == nil {
		r.o.Snapshots = swoosh.NewInMemorySnapshotStore()
	}
	r.o.OpenWAL = func(dir string) (swoosh.WAL, error) {
		wal, err := inMemory, error(nil)
		if o.Dir != "" {
			if wal, err = swoosh.OpenBadgerWAL(dir, r.o.Logger); err != nil {
				return nil, err
			}
		}
		r.wal = swooshtest.NewFaultWAL(wal)
		return tallied{r.wal, r}, nil
	}
	r.boot()
	t.Cleanup(func() {
		r.wal.Release()
		_ = r.Close(context.Background()) // A test that wants to know closes it itself.
	})
	return r
}

// tallied counts the appends.
type tallied struct {
	swoosh.WAL
	r *rig
}

func (w tallied) Append(group []swoosh.Record) error {
	w.r.mu.Lock()
	w.r.groups = append(w.r.groups, [2]uint64{group[0].Index, group[len(group)-1].Index})
	w.r.mu.Unlock()
	return w.WAL.Append(group)
}

// appends returns first and last index of every append so far.
func (r *rig) appends() [][2]uint64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.groups)
}

func (r *rig) boot() {
	r.t.Helper()
	var err error
	r.Engine, err = swoosh.Open(context.Background(), r.o, r.parts...)
	require.NoError(r.t, err)
}

// restart closes the engine and opens it again.
func (r *rig) restart() {
	r.t.Helper()
	r.stop()
	r.boot()
}

// kill stops the engine as kill -9 does: what is opened next is a copy of the
// directory, as it was before the stop.
func (r *rig) kill() {
	r.t.Helper()
	dir := crashed(r.t, r.o.Dir)
	r.stop()
	r.o.Dir = dir
}

func (r *rig) stop() {
	r.t.Helper()
	r.wal.Release()
	require.NoError(r.t, r.Close(context.Background()))
}

// must applies a command that is accepted.
func (r *rig) must(req swoosh.Request) swoosh.Result {
	r.t.Helper()
	result, err := r.Submit(context.Background(), req)
	require.NoError(r.t, err)
	return result
}

// refused requires that a command is refused with this kind and leaves no
// trace.
func (r *rig) refused(kind swoosh.Kind, req swoosh.Request) *swoosh.Error {
	r.t.Helper()
	index, hash := r.View().Index(), r.View().StateHash()
	_, err := r.Submit(context.Background(), req)
	requireKind(r.t, kind, err)
	require.Equal(r.t, index, r.View().Index())
	require.Equal(r.t, hash, r.View().StateHash())
	var e *swoosh.Error
	require.ErrorAs(r.t, err, &e)
	return e
}

func requireKind(t testing.TB, kind swoosh.Kind, err error) {
	t.Helper()
	require.Error(t, err)
	require.True(t, kind.Is(err), "wanted %s, not %v", kind.Code(), err)
}

// enqueue hands commands to the writer, in order.
func (r *rig) enqueue(reqs ...swoosh.Request) []*coming {
	r.t.Helper()
	var all []*coming
	for _, req := range reqs {
		wait, err := r.Enqueue(req)
		require.NoError(r.t, err)
		all = append(all, r.await(wait))
	}
	return all
}

func (r *rig) await(wait swoosh.Answer) *coming {
	c := &coming{done: make(chan struct{})}
	wal := r.wal
	go func() {
		defer close(c.done)
		c.results, c.err = wait(context.Background())
		_, c.durable = wal.Bounds()
	}()
	return c
}

// coming is an answer that a test waits for.
type coming struct {
	results []swoosh.Result
	err     error
	durable uint64 // the last durable entry when the answer came
	done    chan struct{}
}

// answered reports whether the answer has come.
func (c *coming) answered() bool {
	select {
	case <-c.done:
		return true
	default:
		return false
	}
}

func (c *coming) result(t testing.TB) swoosh.Result {
	t.Helper()
	<-c.done
	require.NoError(t, c.err)
	return c.results[0]
}

func (c *coming) refused(t testing.TB, kind swoosh.Kind) {
	t.Helper()
	<-c.done
	requireKind(t, kind, c.err)
	var e *swoosh.Error
	require.ErrorAs(t, c.err, &e)
	require.Equal(t, kind == swoosh.OutcomeUnknown, e.Unknown, "whether it may have happened")
}

// barrier waits until the writer has taken everything enqueued. It sends a
// durable key, that of entry 1, which is answered at once.
func (r *rig) barrier() {
	r.t.Helper()
	require.True(r.t, r.must(keyed("first", opening("a"))).Duplicate)
}

// pipelined brings an engine to where a full group is held at its append and
// the next one is being reduced. first and next are enqueued at the begin of
// each; the flying group is r.appends()'s last.
func pipelined(r *rig, first, next []swoosh.Request) (inFirst, bulk, inNext []*coming) {
	r.t.Helper()
	reached := r.wal.Hold()
	lead := r.enqueue(paying("a", 0))[0]
	<-reached
	inFirst = r.enqueue(first...)
	for i := range swoosh.GroupMaxBytes/bulkyBytes + 4 {
		bulk = append(bulk, r.enqueue(bulky(keyed(fmt.Sprintf("bulk-%d", i), paying("a", 1))))...)
	}
	r.wal.Step()
	<-lead.done
	<-reached
	inNext = r.enqueue(next...)
	r.barrier()
	require.False(r.t, bulk[0].answered())
	return inFirst, bulk, inNext
}

// snapshots lists the files of the newest snapshots, oldest first.
func (r *rig) snapshots() []string {
	r.t.Helper()
	names, err := filepath.Glob(filepath.Join(r.o.Dir, "snapshots", "snapshot-*.json"))
	require.NoError(r.t, err)
	return names
}

func (r *rig) snapshot() swoosh.SnapshotInfo {
	r.t.Helper()
	info, err := r.Snapshot(context.Background())
	require.NoError(r.t, err)
	require.Equal(r.t, r.View().StateHash(), info.StateHash)
	return info
}

// generations makes n snapshots with an entry between, and an entry after the last.
func (r *rig) generations(n int) {
	r.t.Helper()
	r.must(opening("a"))
	for range n {
		r.must(paying("a", 1))
		r.snapshot()
	}
	r.must(paying("a", 1))
}

// replays counts the entries that the next boots replay.
func (r *rig) replays() *uint64 {
	n := new(uint64)
	r.o.Progress = func(p swoosh.Progress) { *n = p.Applied }
	return n
}

// entry reads one entry.
func (r *rig) entry(index uint64) *swoosh.Entry {
	r.t.Helper()
	for rec, err := range r.Records(index, index) {
		require.NoError(r.t, err)
		x, err := swoosh.DecodeEntry(rec)
		require.NoError(r.t, err)
		return x
	}
	require.Fail(r.t, "there is no entry", "%d", index)
	return nil
}

// document is a state as POST /state takes it.
func document(t require.TestingT, v swoosh.View) string {
	var b bytes.Buffer
	_, err := v.WriteTo(&b)
	require.NoError(t, err)
	return b.String()
}

func importOf(r *rig, ifMatch *swoosh.Hash, doc string) (swoosh.Result, error) {
	return r.Import(context.Background(), ifMatch, strings.NewReader(doc))
}

func readText(t testing.TB, name string) string {
	t.Helper()
	b, err := os.ReadFile(name)
	require.NoError(t, err)
	return string(b)
}
