package swoosh_test

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/chorus-services/swoosh"
)

func TestStreamAnswersLineByLine(t *testing.T) {
	s := open(t, swoosh.Options{}).stream()
	s.send(startA + "\n")
	s.index(1)
	s.send(addA + "\n" + addA + "\n")
	s.index(2)
	s.index(3)
	s.send(addA[:20])
	s.send(addA[20:] + "\n")
	s.index(4)
	require.NoError(t, s.to.Close())
	require.Nil(t, s.answer())
}

func TestStream(t *testing.T) {
	t.Run("100 lines, 100 answers in order", func(t *testing.T) {
		got := open(t, swoosh.Options{}).whole(startA + "\n" + strings.Repeat(addA+"\n", 99))
		require.Len(t, got, 100)
		for i, line := range got {
			require.Contains(t, line, fmt.Sprintf(`{"index":%d,`, i+1))
		}
	})
	t.Run("a refused line does not stop those after it", func(t *testing.T) {
		s := open(t, swoosh.Options{}).stream()
		long := `{"command":"` + strings.Repeat("x", swoosh.CommandMaxBytes) + `"}`
		for i, c := range []struct{ line, code string }{
			{addA, "not_found"},
			{`{`, "malformed_request"},
			{`[` + startA + `]`, "malformed_request"},
			{` [`, "malformed_request"},
			{"\f", "malformed_request"},
			{`{"command":"x.y"}`, "unknown_command"},
			{`{"command":"counter.fail"}`, "internal"},
			{`{"command":"counter.start"}`, "invalid_payload"},
			{long, "too_large"},
		} {
			s.send(c.line + "\n")
			s.refused(c.code, i+1)
		}
		s.send(startA + "\n")
		s.index(1)
		s.send(startA + "\n")
		s.refused("conflict", 11)
	})
	t.Run("blank lines count and are not answered", func(t *testing.T) {
		got := open(t, swoosh.Options{}).whole("\n  \t\r\n" + startA + "\r\n\n" + startA + "\n\n")
		require.Len(t, got, 2)
		require.Contains(t, got[0], `"index":1`)
		require.Contains(t, got[1], `"line":5`)
	})
	t.Run("a last line without newline counts", func(t *testing.T) {
		require.Len(t, open(t, swoosh.Options{}).whole(startA+"\n"+addA), 2)
	})
	t.Run("and is dropped if the body did not end in order", func(t *testing.T) {
		s := open(t, swoosh.Options{})
		conn, err := net.Dial("tcp", s.addr)
		require.NoError(t, err)
		defer conn.Close()
		fmt.Fprintf(conn, "POST /command HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/x-ndjson\r\nContent-Length: 9999\r\n\r\n%s\n%s", startA, addA)
		require.NoError(t, conn.(*net.TCPConn).CloseWrite())
		got, err := io.ReadAll(conn)
		require.NoError(t, err)
		require.Contains(t, string(got), `{"index":1,`)
		require.NotContains(t, string(got), `"line"`)
		require.EqualValues(t, 1, s.e.View().Index())
	})
	t.Run("empty", func(t *testing.T) {
		s := open(t, swoosh.Options{})
		require.Empty(t, s.whole(""))
		require.Empty(t, s.whole("\n"))
	})
	t.Run("keys stand in the lines", func(t *testing.T) {
		s := open(t, swoosh.Options{})
		line := `{"command":"counter.start","payload":{"counter":"a"},"idempotency_key":"k"}` + "\n"
		got := s.whole(line + line)
		require.Contains(t, got[0], `"duplicate":false`)
		require.Contains(t, got[1], `"duplicate":true`)
		for _, h := range []string{"Idempotency-Key: k", `If-Match: "k"`} {
			s.ask("POST", "/command", line, "Content-Type: application/x-ndjson", h).refused("malformed_request", http.StatusBadRequest)
		}
		s.ask("POST", "/command?x=1", line, "Content-Type: application/x-ndjson").refused("malformed_request", http.StatusBadRequest)
	})
	t.Run("a line of 1,000,000 bytes passes, one more does not", func(t *testing.T) {
		s := open(t, swoosh.Options{})
		line := blobOf(swoosh.CommandMaxBytes)
		require.Contains(t, s.whole(line + "\n")[0], `"index":1`)
		require.Contains(t, s.whole(line + " \n" + startA)[0], `"too_large"`)
		require.Contains(t, s.whole(line + " ")[0], `"too_large"`)
		require.EqualValues(t, 2, s.e.View().Index())
	})
	t.Run("a client that asks whether to go on is told", func(t *testing.T) {
		s := open(t, swoosh.Options{})
		conn, err := net.Dial("tcp", s.addr)
		require.NoError(t, err)
		defer conn.Close()
		fmt.Fprintf(conn, "POST /command HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/x-ndjson\r\nExpect: 100-continue\r\nContent-Length: %d\r\n\r\n", len(startA))
		in := bufio.NewReader(conn)
		line, err := in.ReadString('\n')
		require.NoError(t, err)
		require.Equal(t, "HTTP/1.1 100 Continue\r\n", line)
		_, err = io.WriteString(conn, startA)
		require.NoError(t, err)
		rest, err := io.ReadAll(in)
		require.NoError(t, err)
		require.Contains(t, string(rest), "HTTP/1.1 200 OK\r\n")
		require.Contains(t, string(rest), `{"index":1,`)
	})
}

// blobOf is a command of n bytes.
func blobOf(n int) string {
	const head, tail = `{"command":"counter.blob","payload":{"blob":"`, `"}}`
	return head + strings.Repeat("x", n-len(head)-len(tail)) + tail
}

func TestStreamStops(t *testing.T) {
	t.Run("it says which line it has not taken", func(t *testing.T) {
		site := open(t, swoosh.Options{})
		s := site.stream()
		s.send(startA + "\n\n" + addA + "\n")
		s.index(1)
		s.index(2)
		site.api.Stop()
		s.refused("shutting_down", 4)
		require.Nil(t, s.answer())
	})
	t.Run("read-only: what was taken is answered, then the first line that was not", func(t *testing.T) {
		site, wal := faulty(t)
		s := site.stream()
		s.send(startA + "\n")
		s.index(1)
		wal.Fail(false)
		s.send(addA + "\n")
		require.Equal(t, "unknown", s.refused("outcome_unknown", 2)["happened"])
		require.Equal(t, "no", s.refused("read_only", 3)["happened"])
		require.Nil(t, s.answer())
	})
	t.Run("what was taken before the stop is answered after it", func(t *testing.T) {
		site, wal := faulty(t)
		s := site.stream()
		reached := wal.Hold()
		s.send(startA + "\n")
		<-reached
		site.api.Stop()
		wal.Release()
		s.index(1)
		s.refused("shutting_down", 2)
		require.Nil(t, s.answer())
	})
}

// TestStreamWaitsWhereOthersAreOverloaded sends more commands than fit in the
// queue.
func TestStreamWaitsWhereOthersAreOverloaded(t *testing.T) {
	site, wal := faulty(t)
	reached := wal.Hold()
	const lines = 28
	body := strings.Repeat(blobOf(900_000)+"\n", lines)
	answered := make(chan []string)
	go func() { answered <- site.whole(body) }()
	<-reached
	wal.Release()
	got := <-answered
	require.Len(t, got, lines)
	for i, line := range got {
		require.Contains(t, line, fmt.Sprintf(`{"index":%d,`, i+1))
	}
}

// flood opens a stream and writes lines that are refused, without reading,
// until writing fails or makes no progress for patience.
func flood(conn net.Conn, patience time.Duration) error {
	fmt.Fprintf(conn, "POST /command HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/x-ndjson\r\nTransfer-Encoding: chunked\r\n\r\n")
	lines := bytes.Repeat([]byte("{}\n"), 10_000)
	chunk := append(append(fmt.Appendf(nil, "%x\r\n", len(lines)), lines...), "\r\n"...)
	err := conn.(*net.TCPConn).SetReadBuffer(4096)
	for err == nil {
		_ = conn.SetWriteDeadline(time.Now().Add(patience)) // A closed connection fails at the write.
		_, err = conn.Write(chunk)
	}
	return err
}

// TestStreamUnread writes without reading: the server stops reading and finally
// closes the connection.
func TestStreamUnread(t *testing.T) {
	s := open(t, swoosh.Options{})
	s.api.SetUnreadMost(50 * time.Millisecond)
	conn, err := net.Dial("tcp", s.addr)
	require.NoError(t, err)
	defer conn.Close()
	err = flood(conn, 20*time.Second)
	require.NotErrorIs(t, err, os.ErrDeadlineExceeded, "the server neither reads nor closes")
}

// TestStopLetsTheServerShutDown stops a server during every kind of request
// that could delay it.
func TestStopLetsTheServerShutDown(t *testing.T) {
	before := goleak.IgnoreCurrent()
	s := starting(t, swoosh.APIOptions{})
	e, err := swoosh.Open(t.Context(), swoosh.Options{Node: "test"}, counter)
	require.NoError(t, err)
	s.api.Attach(e)
	s.api.SetStopGrace(50 * time.Millisecond)

	half, err := net.Dial("tcp", s.addr)
	require.NoError(t, err)
	defer half.Close()
	fmt.Fprintf(half, "POST /command HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 99\r\n\r\n{")
	unread, err := net.Dial("tcp", s.addr)
	require.NoError(t, err)
	defer unread.Close()
	require.ErrorIs(t, flood(unread, 300*time.Millisecond), os.ErrDeadlineExceeded, "the server stops reading")
	stream, watch := s.stream(), s.watch("?from=1") // Both are answered, so the two before them were accepted.
	stream.send(startA + "\n")
	stream.index(1)
	require.Contains(t, watch.event()+watch.event(), "id: 1\n")

	s.api.Stop()
	require.NoError(t, s.server.Shutdown(within(t)))
	require.NoError(t, e.Close(within(t)))
	stream.refused("shutting_down", 2)
	require.Nil(t, stream.answer())
	require.Contains(t, watch.event(), "shutting_down")
	noRedirects.CloseIdleConnections()
	require.NoError(t, stream.to.Close())
	goleak.VerifyNone(t, before)
}

// TestStopCutsHalfReadBodies stops a server while a client sends slowly.
func TestStopCutsHalfReadBodies(t *testing.T) {
	for _, path := range []string{"/command", "/state"} {
		t.Run(path[1:], func(t *testing.T) {
			s := open(t, swoosh.Options{})
			r, w := io.Pipe()
			defer w.Close()
			q := s.request("POST", path, r).WithContext(within(t))
			got := make(chan *reply)
			go func() { got <- s.send(q) }()
			_, err := io.WriteString(w, `{"command":`)
			require.NoError(t, err)
			s.api.Stop()
			(<-got).refused("shutting_down", http.StatusServiceUnavailable)
		})
	}
}
