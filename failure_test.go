package swoosh_test

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/chorus-services/swoosh"
)

// TestAppendFails: after a failed sync the content of the disk is unknown, so
// no more commands are accepted, and each answer says whether its outcome is
// known.
func TestAppendFails(t *testing.T) {
	for _, test := range []struct {
		name  string
		lands bool
	}{{"lost", false}, {"landed", true}} {
		t.Run("D8/"+test.name, func(t *testing.T) { appendFails(t, test.lands) })
	}
}

func appendFails(t *testing.T, lands bool) {
	r := newRig(t, swoosh.Options{Dir: t.TempDir()})
	r.must(keyed("first", opening("a")))
	inFirst, bulk, inNext := pipelined(r,
		[]swoosh.Request{keyed("n", opening("b")), opening("b"), keyed("n", opening("b"))},
		[]swoosh.Request{keyed("m", opening("c")), keyed("n", opening("b")), keyed("m", opening("c")), opening("b"), paying("a", 1)})
	durable, flying := r.View(), r.appends()[2]
	r.wal.Fail(lands)
	r.wal.Step()

	inFirst[0].refused(t, swoosh.OutcomeUnknown)
	inFirst[1].refused(t, swoosh.ReadOnly)
	inFirst[2].refused(t, swoosh.OutcomeUnknown)
	for i, c := range bulk {
		if uint64(i) <= flying[1]-flying[0]-1 {
			c.refused(t, swoosh.OutcomeUnknown)
		} else {
			c.refused(t, swoosh.ReadOnly)
		}
	}
	inNext[0].refused(t, swoosh.ReadOnly)
	inNext[1].refused(t, swoosh.OutcomeUnknown)
	inNext[2].refused(t, swoosh.ReadOnly)
	inNext[3].refused(t, swoosh.ReadOnly)
	inNext[4].refused(t, swoosh.ReadOnly)

	require.Equal(t, uint64(1), r.must(keyed("first", opening("a"))).Index, "a durable key is answered")
	r.refused(swoosh.IdempotencyKeyReused, keyed("first", opening("z")))
	require.True(t, r.refused(swoosh.OutcomeUnknown, keyed("n", opening("b"))).Unknown)
	for _, req := range []swoosh.Request{keyed("m", opening("c")), paying("a", 1), opening("a")} {
		require.False(t, r.refused(swoosh.ReadOnly, req).Unknown)
	}
	_, err := r.Import(context.Background(), nil, strings.NewReader("{}"))
	requireKind(t, swoosh.ReadOnly, err)
	require.Len(t, r.appends(), 3, "nothing is appended after a failure")
	_, reason := r.Readiness()
	require.Equal(t, "read_only", reason)
	requireReadsAt(t, r, durable)

	r.restart()
	want := durable.Index()
	if lands {
		want = flying[1]
	}
	require.Equal(t, want, r.View().Index(), "D1")
	require.Equal(t, lands, r.must(keyed("n", opening("b"))).Duplicate, "D4")
	require.False(t, r.must(keyed("m", opening("c"))).Duplicate, "what was answered read_only did not happen")
}

// TestNoRoom: what the full disk has no room for is refused, and did not happen.
// Writes resume by themselves.
func TestNoRoom(t *testing.T) {
	r := newRig(t, swoosh.Options{Dir: t.TempDir()})
	r.must(keyed("first", opening("a")))
	inFirst, bulk, inNext := pipelined(r,
		[]swoosh.Request{keyed("n", opening("b")), opening("b"), keyed("n", opening("b"))},
		[]swoosh.Request{keyed("m", opening("c")), keyed("n", opening("b")), paying("a", 1)})
	durable := r.View()
	r.wal.Fill(true)
	r.wal.Release()
	for _, c := range slices.Concat(inFirst, bulk, inNext) {
		c.refused(t, swoosh.DiskFull)
	}
	r.refused(swoosh.DiskFull, keyed("n", opening("b")))
	require.Equal(t, uint64(1), r.must(keyed("first", opening("a"))).Index, "a durable key is answered")
	requireReadsAt(t, r, durable)
	r.wal.Fill(false)

	n := r.must(keyed("n", opening("b")))
	require.Equal(t, durable.Index()+1, n.Index, "D9: it resumes by itself")
	require.False(t, n.Duplicate, "D9: what was refused did not happen")
	require.True(t, r.must(keyed("n", opening("b"))).Duplicate, "D4")
	require.Equal(t, "ready", r.Health().Mode)
	end := r.View().StateHash()
	r.restart()
	require.Equal(t, end, r.View().StateHash(), "D3")
	require.True(t, r.must(keyed("n", opening("b"))).Duplicate, "D4")
}

// requireReadsAt wants every way of reading to end at v.
func requireReadsAt(t *testing.T, r *rig, v swoosh.View) {
	t.Helper()
	require.Equal(t, v, r.View(), "D7")
	past, err := r.ViewAt(context.Background(), v.Index()-1)
	require.NoError(t, err)
	require.Equal(t, v.Index()-1, past.Index())
	_, err = r.ViewAt(context.Background(), v.Index()+1)
	requireKind(t, swoosh.NotFound, err)
	at, err := r.IndexAt(context.Background(), swoosh.Stamp{WallMS: 1 << 47, Node: "x"})
	require.NoError(t, err)
	require.Equal(t, v.Index(), at)
	last := uint64(0)
	for rec, err := range r.Records(1, 1<<40) {
		require.NoError(t, err)
		last = rec.Index
	}
	require.Equal(t, v.Index(), last)
	info, err := r.Snapshot(context.Background())
	require.NoError(t, err)
	require.Equal(t, v.Index(), info.Index)
}

// TestStalled: a sync that hangs is no failure, but the server says that it is
// not ready.
func TestStalled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, swoosh.Options{})
		api := swoosh.NewAPI(swoosh.APIOptions{})
		api.Attach(r.Engine)
		ready := func() string {
			w := httptest.NewRecorder()
			api.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "http://localhost/readyz", nil))
			return fmt.Sprint(w.Code, " ", strings.TrimSpace(w.Body.String()))
		}
		reached := r.wal.Hold()
		answer := r.enqueue(opening("a"))
		<-reached
		time.Sleep(5 * time.Second)
		require.Equal(t, `200 {"ready":true}`, ready())
		time.Sleep(time.Second)
		require.Equal(t, `503 {"ready":false,"reason":"stalled"}`, ready())
		require.Equal(t, "stalled", r.Health().Mode)
		r.wal.Release()
		answer[0].result(t)
		require.Equal(t, `200 {"ready":true}`, ready())
		r.stop()
	})
}

// TestPanicInAGroup: a domain's panic in one command of a group is that command's
// failure alone.
func TestPanicInAGroup(t *testing.T) {
	var log strings.Builder
	r := newRig(t, swoosh.Options{Logger: slog.New(slog.NewTextHandler(&log, nil))})
	reached := r.wal.Hold()
	lead := r.enqueue(opening("a"))
	<-reached
	broken := func(key string, inApply bool) swoosh.Request {
		return keyed(key, swoosh.Request{Command: "ledger.break", Payload: breakDown{inApply}})
	}
	answers := r.enqueue(paying("a", 1), broken("x", false), paying("a", 2), broken("y", true), opening("b"))
	inBatch, err := r.EnqueueBatch("z", paying("a", 1000), opening("c"), broken("", true))
	require.NoError(t, err)
	batch := r.await(inBatch)
	answers = append(answers, r.enqueue(paying("b", 4))...)
	r.wal.Release()
	lead[0].result(t)
	for i, want := range []uint64{2, 0, 3, 0, 4, 5} {
		if want == 0 {
			answers[i].refused(t, swoosh.Internal)
			var e *swoosh.Error
			require.ErrorAs(t, answers[i].err, &e)
			require.NotEmpty(t, e.Instance)
			require.NotContains(t, e.Detail, "broke down", "what a domain panicked with is for the log")
			require.Contains(t, log.String(), e.Instance)
		} else {
			require.Equal(t, want, answers[i].result(t).Index, "D2")
		}
	}
	batch.refused(t, swoosh.Internal)
	v := r.View()
	require.Equal(t, [2]int32{3, 4}, [2]int32{balance(v, "a"), balance(v, "b")}, "D2")
	require.Equal(t, uint32(2), ledger.Of(v).Entries, "D2: plain fields")
	require.Equal(t, 2, ledger.Of(v).Accounts.Len(), "D2: rows")
	for _, key := range []string{"x", "y", "z"} {
		require.False(t, r.must(keyed(key, paying("a", 1))).Duplicate, "D2: the key was left behind")
	}
	require.Equal(t, 2, strings.Count(log.String(), "apply broke down"))
	hash := r.View().StateHash()
	r.o.ForceReplay = true
	r.restart()
	require.Equal(t, hash, r.View().StateHash(), "D3")
}
