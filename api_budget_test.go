package swoosh_test

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"iter"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
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
	submit(t, s.e, "counter.start", []byte(`{"counter":"a"}`))
	submit(t, s.e, "counter.add", []byte(`{"counter":"a","amount":1}`))
	submit(t, s.e, "counter.add", []byte(`{"counter":"a","amount":1}`))
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
	second := s.get("/state?at=2", as("read")).refused("timeout", http.StatusServiceUnavailable)
	require.Contains(t, second["detail"], "the past state was not made within 50ms")
	wal.hold.Store(false)
	close(wal.release)
	late := (<-first).refused("timeout", http.StatusServiceUnavailable)
	require.Contains(t, late["detail"], "the past state was not made within 50ms")
}

// dial sends the beginning of a request over a connection of its own.
func dial(t *testing.T, s *site, begin string) *net.TCPConn {
	conn, err := net.Dial("tcp", s.addr)
	require.NoError(t, err)
	t.Cleanup(func() { conn.Close() })
	require.NoError(t, conn.SetDeadline(time.Now().Add(time.Minute)))
	_, err = io.WriteString(conn, begin)
	require.NoError(t, err)
	return conn.(*net.TCPConn)
}

// aBody begins a batch of 60 kB.
const aBody = "POST /command HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 60000\r\n\r\n["

// TestBodyThatDrips has an end, though a part of it comes all the time.
func TestBodyThatDrips(t *testing.T) {
	s := starting(t, swoosh.APIOptions{RequestTimeout: time.Second}).attach(swoosh.Options{})
	conn := dial(t, s, aBody)
	ended := make(chan struct{})
	go func() {
		for {
			select {
			case <-ended:
				return
			case <-time.After(50 * time.Millisecond):
				_, _ = conn.Write([]byte(" "))
			}
		}
	}()
	resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
	close(ended)
	require.NoError(t, err)
	require.Equal(t, http.StatusServiceUnavailable, resp.StatusCode)
	body, _ := io.ReadAll(resp.Body)
	require.Contains(t, string(body), `"timeout"`)
}

// TestBodiesShareTheirMemory: a body that does not come leaves room to those of others
// only up to a bound, and gives it back.
func TestBodiesShareTheirMemory(t *testing.T) {
	const bytes = 200_000
	s := open(t, swoosh.Options{})
	s.api.SetFlow(bytes)
	half := dial(t, s, aBody)
	require.Eventually(t, func() bool { return !s.api.FlowIsFree(bytes) }, time.Minute, time.Millisecond)
	r := s.command("[" + strings.Repeat(" ", 60_000))
	r.refused("overloaded", http.StatusServiceUnavailable)
	s.must(startA)
	half.Close()
	require.Eventually(t, func() bool { return s.api.FlowIsFree(bytes) }, time.Minute, time.Millisecond)
	s.command("["+strings.Repeat(" ", 60_000)).refused("malformed_request", http.StatusBadRequest)
}

// TestStreamsShareTheirMemory as bodies do.
func TestStreamsShareTheirMemory(t *testing.T) {
	s := open(t, swoosh.Options{})
	s.api.SetFlow(swoosh.CommandMaxBytes)
	s.stream()
	s.ask("POST", "/command", startA, "Content-Type: application/x-ndjson").refused("overloaded", http.StatusServiceUnavailable)
}

const flow = 1 << 20

// unreadLog serves somebody who asks for 18 MB of the log and does not read it.
func unreadLog(t *testing.T, s *site) {
	for i := range 20 {
		s.must(`{"command":"counter.blob","payload":{"blob":"` + fmt.Sprint(i) + strings.Repeat("x", 900_000) + `"}}`)
	}
	s.api.SetFlow(flow)
	conn := dial(t, s, "")
	require.NoError(t, conn.SetReadBuffer(4096))
	_, err := io.WriteString(conn, "GET /log HTTP/1.1\r\nHost: localhost\r\n\r\n")
	require.NoError(t, err)
	require.Eventually(t, func() bool { return !s.api.FlowIsFree(flow) }, time.Minute, time.Millisecond)
}

// TestUnreadAnswerIsCut after a while.
func TestUnreadAnswerIsCut(t *testing.T) {
	s := open(t, swoosh.Options{})
	s.api.SetUnreadMost(50 * time.Millisecond)
	unreadLog(t, s)
	require.Eventually(t, func() bool { return s.api.FlowIsFree(flow) }, time.Minute, time.Millisecond)
}

// TestUnreadWatchIsCut too: it holds memory and a connection.
func TestUnreadWatchIsCut(t *testing.T) {
	registry := prometheus.NewRegistry()
	s := open(t, swoosh.Options{Metrics: registry})
	s.api.SetUnreadMost(50 * time.Millisecond)
	s.api.SetHeartbeat(50 * time.Millisecond)
	for i := range 20 {
		s.must(`{"command":"counter.blob","payload":{"blob":"` + fmt.Sprint(i) + strings.Repeat("x", 900_000) + `"}}`)
	}
	conn := dial(t, s, "")
	require.NoError(t, conn.SetReadBuffer(4096))
	_, err := io.WriteString(conn, "GET /watch?from=1 HTTP/1.1\r\nHost: localhost\r\n\r\n")
	require.NoError(t, err)
	_, err = conn.Read(make([]byte, 1)) // It has begun.
	require.NoError(t, err)
	require.Eventually(t, func() bool { return figure(t, registry, "swoosh_watchers") == 0 }, time.Minute, time.Millisecond)
}

// TestRevokedAnswerIsCut though nobody reads it.
func TestRevokedAnswerIsCut(t *testing.T) {
	s, g := kept(t, swoosh.RoleWrite)
	s.api.SetUnreadMost(time.Hour)
	unreadLog(t, s)
	g.say(swoosh.Caller{}, errors.New("the token is unknown: ask for one"))
	require.Eventually(t, func() bool { return s.api.FlowIsFree(flow) }, time.Minute, time.Millisecond)
}

// TestKeyInATrailer is refused: it would be too late for an earlier attempt.
func TestKeyInATrailer(t *testing.T) {
	s := open(t, swoosh.Options{})
	r := s.request("POST", "/command", io.MultiReader(strings.NewReader(startA)))
	r.Trailer = http.Header{"Idempotency-Key": {"k"}}
	s.send(r).refused("malformed_request", http.StatusBadRequest)
	require.Zero(t, s.e.View().Index())
}
