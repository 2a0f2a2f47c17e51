package swoosh_test

import (
	"context"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/chorus-services/swoosh"
)

// TestAnswersWaitForTheSync holds a group at every step of its commit, and
// boots what kill -9 would leave there.
func TestAnswersWaitForTheSync(t *testing.T) {
	dir, published := t.TempDir(), make(chan struct{}, 1)
	var atPublish func()
	r := newRig(t, swoosh.Options{Dir: dir, Published: func(swoosh.View) {
		if atPublish != nil {
			atPublish()
			published <- struct{}{}
		}
	}})
	r.must(opening("a"))
	first := r.View()
	copies := map[string]string{}
	var answer *coming
	untouched := func(when string) {
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
	atPublish = func() {
		assert.False(t, answer.answered(), "D1: answered before it is published")
	}
	answer = r.enqueue(keyed("k", paying("a", 5)))[0]
	<-before
	untouched("before the append")
	copies["before the append"] = crashed(t, dir)
	r.wal.Step()
	<-after
	untouched("before the append returned")
	copies["after the append"] = crashed(t, dir)
	r.wal.Release()
	<-published
	result := answer.result(t)
	require.Equal(t, uint64(2), result.Index)
	require.Equal(t, int32(5), balance(r.View(), "a"))
	copies["after the answer"] = crashed(t, dir)
	atPublish = nil

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
