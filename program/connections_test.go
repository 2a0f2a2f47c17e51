package program

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// heldHTTP is a server with room for so many connections, whose requests of /held wait.
type heldHTTP struct {
	*web
	inside, end chan struct{}
}

func newHeldHTTP(t *testing.T, listen func() (net.Listener, error), most int) (h *heldHTTP, dial func() net.Conn) {
	t.Helper()
	ln, err := listen()
	require.NoError(t, err)
	h = &heldHTTP{inside: make(chan struct{}), end: make(chan struct{})}
	h.web = serveHTTP(ln, &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/held" {
			h.inside <- struct{}{}
			<-h.end
		}
	})}, nil)
	h.open.mu.Lock()
	h.open.most = most
	h.open.mu.Unlock()
	t.Cleanup(func() { _ = h.server.Close() })
	return h, func() net.Conn {
		c, err := net.Dial(ln.Addr().Network(), ln.Addr().String())
		require.NoError(t, err)
		t.Cleanup(func() { _ = c.Close() })
		return c
	}
}

func onLoopback() (net.Listener, error) { return net.Listen("tcp", "127.0.0.1:0") }

// ask sends a request and returns the status line; empty if the connection is closed.
func ask(c net.Conn, path string) string {
	if _, err := fmt.Fprintf(c, "GET %s HTTP/1.1\r\nHost: localhost\r\n\r\n", path); err != nil {
		return ""
	}
	b := make([]byte, 4096)
	n, _ := c.Read(b)
	line, _, _ := strings.Cut(string(b[:n]), "\r\n")
	return line
}

// TestIdleConnectionsMakeWay for new ones, the oldest first; those with a request
// do not.
func TestIdleConnectionsMakeWay(t *testing.T) {
	h, dial := newHeldHTTP(t, onLoopback, 3)
	silent, busy, kept := dial(), dial(), dial()
	answered := make(chan string, 1)
	require.NotEmpty(t, ask(kept, "/"))
	go func() { answered <- ask(busy, "/held") }()
	<-h.inside
	require.NotEmpty(t, ask(kept, "/"))

	require.NotEmpty(t, ask(dial(), "/"))
	require.Empty(t, ask(silent, "/"), "it has been quiet for the longest time")
	require.NotEmpty(t, ask(kept, "/"), "it has not")
	require.NotEmpty(t, ask(dial(), "/"))
	require.NotEmpty(t, ask(dial(), "/"))
	require.Empty(t, ask(kept, "/"), "now it has")
	h.end <- struct{}{}
	require.Contains(t, <-answered, "200")

	var log strings.Builder
	h.open.tell(slog.New(slog.NewTextHandler(&log, nil)))
	require.Contains(t, log.String(), "file descriptors")
	require.Contains(t, log.String(), "closed=3")
}

// TestBusyConnectionsStay: then a new one is closed.
func TestBusyConnectionsStay(t *testing.T) {
	h, dial := newHeldHTTP(t, onLoopback, 1)
	busy := dial()
	answered := make(chan string, 1)
	go func() { answered <- ask(busy, "/held") }()
	<-h.inside
	require.Empty(t, ask(dial(), "/"))
	close(h.end)
	require.Contains(t, <-answered, "200")
}

// farConn comes from another machine.
type farConn struct {
	net.Conn
	from string
}

func (c farConn) RemoteAddr() net.Addr { return &net.TCPAddr{IP: net.ParseIP(c.from)} }

// TestAnAddressHasHalf of the connections; the others' stay.
func TestAnAddressHasHalf(t *testing.T) {
	l := &connections{open: map[string]int{}, most: 6}
	come := func(from string) *openConn {
		mine, theirs := net.Pipe()
		t.Cleanup(func() { _ = theirs.Close() })
		return l.admit(farConn{mine, from})
	}
	first := come("192.0.2.1")
	other := come("192.0.2.2")
	for range 5 {
		require.NotNil(t, come("192.0.2.1"))
	}
	require.True(t, first.gone)
	require.False(t, other.gone)
	require.Equal(t, map[string]int{"192.0.2.1": 3, "192.0.2.2": 1}, l.open)
	for range 6 {
		require.NotNil(t, come("127.0.0.1"), "a proxy stands for many")
	}
	require.Equal(t, map[string]int{"": 6}, l.open, "all are the proxy's")
	require.Equal(t, 6, l.count)
	require.Equal(t, l.count, l.quiet.Len())
}

// TestSilentConnectionCostsAStopNothing, while one that speaks is answered.
func TestSilentConnectionCostsAStopNothing(t *testing.T) {
	h, dial := newHeldHTTP(t, onLoopback, 9)
	silent, busy := dial(), dial()
	answered := make(chan string, 1)
	go func() { answered <- ask(busy, "/held") }()
	<-h.inside
	drained := make(chan error, 1)
	go func() { drained <- h.drain(context.Background(), time.Hour, slog.New(slog.DiscardHandler)) }()
	_, err := silent.Read(make([]byte, 1))
	require.ErrorIs(t, err, io.EOF, "it ends before the request does")
	close(h.end)
	require.Contains(t, <-answered, "200")
	require.NoError(t, <-drained)
}

// TestSocketOfASuccessorStays: a stop removes the server's own socket only.
func TestSocketOfASuccessorStays(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	old, err := listenUnix(path, "")
	require.NoError(t, err)
	require.NoError(t, os.Remove(path))
	fresh, err := listenUnix(path, "")
	require.NoError(t, err)
	require.NoError(t, old.Close())
	require.FileExists(t, path)
	require.NoError(t, fresh.Close())
	require.NoFileExists(t, path)
}

// TestSignalsThatComeTogether are one.
func TestSignalsThatComeTogether(t *testing.T) {
	var all interrupts
	at := time.Unix(1e9, 0)
	require.False(t, all.next(at))
	require.False(t, all.next(at.Add(20*time.Millisecond)))
	require.False(t, all.next(at.Add(together)))
	require.True(t, all.next(at.Add(together+1)))
}
