package swoosh_test

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/chorus-services/swoosh"
	"github.com/chorus-services/swoosh/internal/durable"
	"github.com/chorus-services/swoosh/noun"
	"github.com/chorus-services/swoosh/swooshtest"
)

// rig is an engine with the ledger, whose log can be held up and broken and
// whose clock stands still. What a closed engine leaves can be opened again.
type rig struct {
	*swoosh.Engine
	t      testing.TB
	o      swoosh.Options
	wal    *swooshtest.FaultWAL
	clock  *swooshtest.Clock
	mu     sync.Mutex
	groups [][2]uint64 // first and last index of every append that was begun
}

// newRig opens an engine in memory; o.Dir puts it on the disk.
func newRig(t testing.TB, o swoosh.Options) *rig {
	t.Helper()
	r := &rig{t: t, o: o, clock: swooshtest.NewClock(1_767_225_600_000)}
	r.o.Node = "test"
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

// appends gives first and last index of every append so far.
func (r *rig) appends() [][2]uint64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.groups)
}

func (r *rig) boot() {
	r.t.Helper()
	var err error
	r.Engine, err = swoosh.Open(context.Background(), r.o, ledger)
	require.NoError(r.t, err)
}

// restart closes the engine and opens it again.
func (r *rig) restart() {
	r.t.Helper()
	r.stop()
	r.boot()
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

// refused wants a command to be refused so, and to leave nothing.
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

// coming is an answer that is awaited.
type coming struct {
	results []swoosh.Result
	err     error
	durable uint64 // the last durable entry when the answer came
	done    chan struct{}
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

// answered tells whether the answer has come.
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

// Requests of the ledger.

func opening(id noun.ID) swoosh.Request {
	return swoosh.Request{Command: "ledger.open", Payload: openAccount{id}}
}

func paying(id noun.ID, amount int32) swoosh.Request {
	return swoosh.Request{Command: "ledger.deposit", Payload: deposit{Account: id, Amount: amount}}
}

func keyed(key string, req swoosh.Request) swoosh.Request {
	req.IdempotencyKey = key
	return req
}

// bulkyBytes is less than a bulky command takes in the log.
const bulkyBytes = 32 * 2044

// bulky gives a command much evidence, so that few fill a group.
func bulky(req swoosh.Request) swoosh.Request {
	for i := range 32 {
		req.Evidence = append(req.Evidence, noun.Ref(fmt.Sprintf("%04d", i)+strings.Repeat("x", 2040)))
	}
	return req
}

func balance(v swoosh.View, id noun.ID) int32 {
	a, _ := ledger.Of(v).Accounts.Get(id)
	return a.Balance
}

// copyTree copies a directory as it lies there, as kill -9 would leave it;
// zeros take no room.
func copyTree(t testing.TB, from string) (to string) {
	t.Helper()
	to = filepath.Join(t.TempDir(), "copy")
	require.NoError(t, filepath.WalkDir(from, func(path string, d os.DirEntry, err error) error {
		if err != nil || !d.IsDir() {
			return err
		}
		entries, err := os.ReadDir(path)
		if err != nil {
			return err
		}
		var files []string
		for _, e := range entries {
			if !e.IsDir() {
				files = append(files, e.Name())
			}
		}
		return durable.CopyFiles(durable.OS(), path, to+strings.TrimPrefix(path, from), files)
	}))
	return to
}

// TestAnswersWaitForTheSync holds a group at every step of its commit, and
// boots what kill -9 would leave there.
func TestAnswersWaitForTheSync(t *testing.T) {
	dir, marked := t.TempDir(), make(chan struct{}, 1)
	var atMark func()
	r := newRig(t, swoosh.Options{Dir: dir, Published: func(swoosh.View) {
		if atMark != nil {
			atMark()
			marked <- struct{}{}
		}
	}})
	r.must(opening("a"))
	first := r.View()
	mark := func() string { return readText(t, filepath.Join(dir, "mark")) }
	unmarked := mark()
	copies := map[string]string{}
	var answer *coming
	untouched := func(when string) {
		require.Equal(t, unmarked, mark(), "D1: the mark moved %s", when)
		require.False(t, answer.answered(), "D1: answered %s", when)
		require.Equal(t, first, r.View(), "D7: read %s", when)
		index, err := r.IndexAt(context.Background(), swoosh.Stamp{WallMS: 1 << 47, Node: "x"})
		require.NoError(t, err)
		require.Equal(t, uint64(1), index, "D7: found by its time %s", when)
		_, last := r.Bounds()
		require.Equal(t, uint64(1), last, "D7: listed %s", when)
		require.NoError(t, r.WaitIndex(context.Background(), 1))
	}
	before, after := r.wal.Hold(), r.wal.HoldAfter()
	atMark = func() {
		assert.NotEqual(t, unmarked, mark(), "D1: the mark is written before the answers")
		assert.False(t, answer.answered(), "D1: answered before the mark")
		copies["after the mark"] = copyTree(t, dir)
		assert.False(t, answer.answered(), "D1: answered before it is published")
	}
	answer = r.enqueue(keyed("k", paying("a", 5)))[0]
	<-before
	untouched("before the append")
	copies["before the append"] = copyTree(t, dir)
	r.wal.Step()
	<-after
	untouched("before the append returned")
	copies["after the append"] = copyTree(t, dir)
	r.wal.Release()
	<-marked
	result := answer.result(t)
	require.Equal(t, uint64(2), result.Index)
	require.Equal(t, int32(5), balance(r.View(), "a"))
	atMark = nil

	for when, dir := range copies {
		t.Run("D1/kill "+when, func(t *testing.T) {
			c := newRig(t, swoosh.Options{Dir: dir})
			want, again := first.StateHash(), when != "before the append"
			if again {
				want = result.StateHash
			}
			require.Equal(t, want, c.View().StateHash(), "D3")
			retried := c.must(keyed("k", paying("a", 5)))
			require.Equal(t, again, retried.Duplicate, "D4")
			require.Equal(t, result.StateHash, retried.StateHash, "D4")
			require.Equal(t, uint64(2), c.View().Index())
		})
	}
}

func readText(t testing.TB, name string) string {
	t.Helper()
	b, err := os.ReadFile(name)
	require.NoError(t, err)
	return string(b)
}

// TestGroupForms: what arrives during a sync shares the next one.
func TestGroupForms(t *testing.T) {
	r := newRig(t, swoosh.Options{})
	reached := r.wal.Hold()
	answers := r.enqueue(opening("a"))
	<-reached
	for range 50 {
		answers = append(answers, r.enqueue(paying("a", 1))...)
	}
	r.wal.Release()
	for i, c := range answers {
		require.Equal(t, uint64(i+1), c.result(t).Index)
	}
	require.Equal(t, [][2]uint64{{1, 1}, {2, 51}}, r.appends())
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

// barrier returns once the writer has taken all that was enqueued: a key that
// is durable, that of entry 1, is answered at once.
func (r *rig) barrier() {
	r.t.Helper()
	require.True(r.t, r.must(keyed("first", opening("a"))).Duplicate)
}

// TestRefusalsWait: an answer, a refusal too, comes after what it rests on is
// durable.
func TestRefusalsWait(t *testing.T) {
	t.Run("D7/on their own group", func(t *testing.T) {
		r := newRig(t, swoosh.Options{})
		r.must(keyed("first", opening("a")))
		reached := r.wal.Hold()
		lead := r.enqueue(paying("a", 0))
		<-reached
		answers := r.enqueue(keyed("k", opening("b")), opening("b"), keyed("k", opening("b")), keyed("k", opening("c")))
		r.wal.Step()
		lead[0].result(t)
		<-reached
		for _, c := range answers {
			require.False(t, c.answered())
		}
		r.wal.Release()
		require.False(t, answers[0].result(t).Duplicate)
		answers[1].refused(t, swoosh.Conflict)
		require.True(t, answers[2].result(t).Duplicate)
		answers[3].refused(t, swoosh.IdempotencyKeyReused)
	})
	t.Run("D7/on the group in flight", func(t *testing.T) {
		r := newRig(t, swoosh.Options{})
		r.must(keyed("first", opening("a")))
		inFirst, bulk, inNext := pipelined(r,
			[]swoosh.Request{keyed("k", opening("b"))},
			[]swoosh.Request{opening("b"), keyed("k", opening("b")), keyed("k", opening("c")), opening("c"), opening("c")})
		for _, c := range inNext {
			require.False(t, c.answered(), "answered before the group in flight is durable")
		}
		r.wal.Step()
		b := inFirst[0].result(t)
		<-bulk[0].done
		r.wal.Release()
		inNext[0].refused(t, swoosh.Conflict)
		require.Equal(t, b.Index, inNext[1].result(t).Index)
		inNext[2].refused(t, swoosh.IdempotencyKeyReused)
		c := inNext[3].result(t)
		inNext[4].refused(t, swoosh.Conflict)
		require.GreaterOrEqual(t, inNext[4].durable, c.Index)
		for _, x := range inNext {
			require.GreaterOrEqual(t, x.durable, b.Index)
		}
	})
	t.Run("a refusal that rests on nothing is answered at once", func(t *testing.T) {
		r := newRig(t, swoosh.Options{})
		r.must(opening("a"))
		r.wal.Hold()
		r.refused(swoosh.Conflict, opening("a"))
		r.refused(swoosh.InvalidPayload, swoosh.Request{Command: "ledger.open"})
		require.Len(t, r.appends(), 1)
	})
}

// TestClose: it finishes what was taken, leaves no goroutine, and may be
// called again.
func TestClose(t *testing.T) {
	t.Run("leaves nothing running", func(t *testing.T) {
		running := goleak.IgnoreCurrent()
		r := newRig(t, swoosh.Options{Dir: t.TempDir()})
		r.must(opening("a"))
		require.NoError(t, r.Close(context.Background()))
		require.NoError(t, r.Close(context.Background()), "a second Close has nothing to do")
		goleak.VerifyNone(t, running)
		_, err := r.Submit(context.Background(), paying("a", 1))
		requireKind(t, swoosh.ShuttingDown, err)
		requireKind(t, swoosh.ShuttingDown, r.WaitIndex(context.Background(), 2))
		require.Equal(t, uint64(1), r.View().Index(), "what is in memory can be read")
		_, err = r.ViewAt(context.Background(), 0)
		require.Error(t, err)
	})
	t.Run("D1/finishes what it has", func(t *testing.T) {
		r := newRig(t, swoosh.Options{})
		reached := r.wal.Hold()
		answers := r.enqueue(opening("a"))
		<-reached
		answers = append(answers, r.enqueue(paying("a", 1), paying("a", 2))...)
		ctx, cancel := context.WithCancel(context.Background())
		cancel()
		require.ErrorIs(t, r.Close(ctx), context.Canceled)
		_, err := r.Submit(context.Background(), paying("a", 1))
		requireKind(t, swoosh.ShuttingDown, err)
		r.wal.Release()
		require.NoError(t, r.Close(context.Background()))
		for i, c := range answers {
			require.Equal(t, uint64(i+1), c.result(t).Index)
		}
	})
}
