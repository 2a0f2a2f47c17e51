package swoosh_test

import (
	"context"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/chorus-services/swoosh"
	"github.com/chorus-services/swoosh/swooshtest"
)

func TestOutcomeIsTheFirstAnswer(t *testing.T) {
	r := deskRig(t)
	one := r.must(keyed("one", taking("a")))
	two, err := r.SubmitBatch(t.Context(), "two", []swoosh.Request{taking("b"), {Command: "desk.close"}})
	require.NoError(t, err)
	r.refused(swoosh.Conflict, keyed("three", taking("c")))
	for range 2 {
		one.Duplicate, two[0].Duplicate, two[1].Duplicate = true, true, true
		got, err := r.Outcome(t.Context(), "one")
		require.NoError(t, err)
		require.Equal(t, []swoosh.Result{one}, got)
		got, err = r.Outcome(t.Context(), "two")
		require.NoError(t, err)
		require.Equal(t, two, got)
		for _, unknown := range []string{"three", "never"} {
			_, err = r.Outcome(t.Context(), unknown)
			requireKind(t, swoosh.NotFound, err)
		}
		require.Equal(t, uint64(3), r.View().Index(), "it leaves no entry")
		r.restart()
	}
	_, err = r.Outcome(t.Context(), "no key")
	requireKind(t, swoosh.MalformedRequest, err)
}

func TestOutcomeRestsOnTheDisk(t *testing.T) {
	r := deskRig(t)
	reached := r.wal.Hold()
	command := r.enqueue(keyed("one", taking("a")))[0]
	<-reached
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := r.Outcome(gone, "one")
	requireKind(t, swoosh.Timeout, err)
	asked := make(chan []swoosh.Result)
	go func() {
		got, _ := r.Outcome(context.Background(), "one")
		asked <- got
	}()
	r.wal.Release()
	require.Equal(t, command.result(t).Index, (<-asked)[0].Index)

	r.wal.Fail(true)
	r.enqueue(keyed("two", taking("b")))[0].refused(t, swoosh.OutcomeUnknown)
	_, err = r.Outcome(t.Context(), "two")
	requireKind(t, swoosh.OutcomeUnknown, err)
	_, err = r.Outcome(t.Context(), "never")
	requireKind(t, swoosh.NotFound, err)
	_, err = r.Outcome(t.Context(), "one")
	require.NoError(t, err, "what was durable before is known")
}

func TestTheAPITellsOutcomes(t *testing.T) {
	wal := swooshtest.NewFaultWAL(swoosh.NewMemWAL())
	s := open(t, swoosh.Options{Snapshots: swoosh.NewInMemorySnapshotStore(), OpenWAL: func(string) (swoosh.WAL, error) { return wal, nil }}, desk)
	const key = "a/b%20?~"
	ask := func() *reply { return s.get("/outcome/a%2Fb%2520%3F~") }
	ask().refused("not_found", http.StatusNotFound)
	reached := wal.Hold()
	done := make(chan *reply)
	go func() { done <- s.command(`{"command":"desk.take","payload":{"who":"a"}}`, "Idempotency-Key: "+key) }()
	<-reached
	s.api.SetOutcomeMost(time.Millisecond)
	pending := ask()
	require.Equal(t, http.StatusAccepted, pending.status, pending.body)
	require.Equal(t, `{"pending":true}`, text(pending.object()))
	s.api.SetOutcomeMost(time.Minute)
	wal.Release()
	landed := (<-done).object()
	delete(landed, "duplicate")
	require.Equal(t, text(landed), text(ask().ok("index", "hlc", "state_hash", "changed", "result")))
	s.command(`[`+startA+`,`+addA+`]`, "Idempotency-Key: two")
	require.Len(t, s.get("/outcome/two").ok("results")["results"], 2)
	s.get("/outcome/%20").refused("malformed_request", http.StatusBadRequest)
}
