package swoosh_test

import (
	"iter"
	"net/http"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/chorus-services/swoosh"
)

// heldWAL holds reads up.
type heldWAL struct {
	swoosh.WAL
	hold    atomic.Bool
	reading chan struct{} // a value for each read that is held
	release chan struct{}
}

func (w *heldWAL) Read(from, to uint64) iter.Seq2[swoosh.Record, error] {
	if w.hold.Load() {
		w.reading <- struct{}{}
		<-w.release
	}
	return w.WAL.Read(from, to)
}

// held serves three entries of a log whose reads are held from now on.
func held(t *testing.T, o swoosh.APIOptions) (*site, *heldWAL) {
	wal := &heldWAL{WAL: swoosh.NewMemWAL(), reading: make(chan struct{}, 100), release: make(chan struct{})}
	o.Authenticate = keyring
	s := starting(t, o).attach(swoosh.Options{OpenWAL: func(string) (swoosh.WAL, error) { return wal, nil }})
	s.must(startA, as("write"))
	s.must(addA, as("write"))
	s.must(addA, as("write"))
	wal.hold.Store(true)
	t.Cleanup(func() { wal.hold.Store(false) })
	return s, wal
}

// TestPastStatesOfOneCaller: a caller has two requests for past states, and others
// still get theirs.
func TestPastStatesOfOneCaller(t *testing.T) {
	s, wal := held(t, swoosh.APIOptions{})
	ask := func(who string, replies chan *reply) { replies <- s.get("/state?at=1", as(who)) }
	mine, others := make(chan *reply, 3), make(chan *reply, 1)
	for range 3 {
		go ask("read", mine)
	}
	r := <-mine // The first that is answered was refused.
	r.refused("overloaded", http.StatusServiceUnavailable)
	require.Equal(t, "1", r.header.Get("Retry-After"))
	<-wal.reading
	go ask("write", others)
	wal.hold.Store(false)
	close(wal.release)
	for _, r := range []*reply{<-mine, <-mine, <-others} {
		require.Equal(t, http.StatusOK, r.status, r.body)
	}
}

// TestPastStateTakesTooLong in the line of others.
func TestPastStateTakesTooLong(t *testing.T) {
	s, wal := held(t, swoosh.APIOptions{RequestTimeout: 50 * time.Millisecond})
	first := make(chan *reply, 1)
	go func() { first <- s.get("/state?at=1", as("read")) }()
	<-wal.reading
	s.get("/state?at=2", as("read")).refused("timeout", http.StatusServiceUnavailable)
	wal.hold.Store(false)
	close(wal.release)
	<-first
}
