package program

import (
	"context"
	"crypto/tls"
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

	"github.com/chorus-services/swoosh"
	"github.com/chorus-services/swoosh/access"
)

// heldHTTP is a server with room for so many connections, whose requests of /held wait.
type heldHTTP struct {
	*web
	inside, end chan struct{}
}

func newHeldHTTP(t *testing.T, tlsToo bool, most int) (h *heldHTTP, dial func() net.Conn) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	quiet, certificates := slog.New(slog.DiscardHandler), (*access.Certificates)(nil)
	if tlsToo {
		cert, key := certificate(t, t.TempDir(), "server", time.Now().Add(time.Hour))
		certificates, err = access.OpenCertificates(cert, key, "", quiet)
		require.NoError(t, err)
	}
	within := (&door{certificates: certificates}).listener(swoosh.NewAPI(swoosh.APIOptions{Logger: quiet}))
	h = &heldHTTP{inside: make(chan struct{}), end: make(chan struct{})}
	h.web = serveHTTP(ln, within, &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/held" {
			h.inside <- struct{}{}
			<-h.end
		}
	})})
	h.open.mu.Lock()
	h.open.most = most
	h.open.mu.Unlock()
	t.Cleanup(func() { _ = h.server.Close() })
	return h, func() net.Conn {
		c, err := net.Dial("tcp", ln.Addr().String())
		require.NoError(t, err)
		t.Cleanup(func() { _ = c.Close() })
		require.NoError(t, c.SetDeadline(time.Now().Add(time.Minute)))
		if tlsToo {
			c := tls.Client(c, &tls.Config{InsecureSkipVerify: true})
			require.NoError(t, c.Handshake())
			return c
		}
		return c
	}
}

// setStopped returns what it was.
func (l *connections) setStopped(to bool) (was bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	was, l.stopped = l.stopped, to
	return was
}

func asItIs(ln net.Listener) net.Listener { return ln }

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
	for _, tlsToo := range []bool{false, true} {
		idleConnectionsMakeWay(t, tlsToo)
	}
}

func idleConnectionsMakeWay(t *testing.T, tlsToo bool) {
	t.Helper()
	h, dial := newHeldHTTP(t, tlsToo, 3)
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
	h, dial := newHeldHTTP(t, false, 1)
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
	for _, tlsToo := range []bool{false, true} {
		h, dial := newHeldHTTP(t, tlsToo, 9)
		silent, busy := dial(), dial()
		answered := make(chan string, 1)
		go func() { answered <- ask(busy, "/held") }()
		<-h.inside
		h.open.stop() // Shutdown would end it too, after five seconds.
		_, err := silent.Read(make([]byte, 1))
		require.ErrorIs(t, err, io.EOF, "TLS: %v", tlsToo)
		close(h.end)
		require.Contains(t, <-answered, "200")
		h.open.setStopped(false)
		require.NoError(t, h.drain(context.Background(), time.Hour, slog.New(slog.DiscardHandler)))
		require.True(t, h.open.setStopped(true), "a stop begins so")
	}
}

// TestStopDuringAHandshake: the connection that is silent after it ends as soon as others.
func TestStopDuringAHandshake(t *testing.T) {
	l := &connections{open: map[string]int{}, most: 6}
	mine, theirs := net.Pipe()
	t.Cleanup(func() { _ = theirs.Close() })
	c := l.admit(mine)
	go func() { _, _ = theirs.Write([]byte("hello")) }()
	_, err := c.Read(make([]byte, 5))
	require.NoError(t, err)

	l.stop()
	inContext(t.Context(), c)
	require.NoError(t, c.SetReadDeadline(time.Now().Add(time.Hour)), "the server sets one for each request")
	defer time.AfterFunc(time.Minute, func() { _ = theirs.Close() }).Stop()
	_, err = c.Read(make([]byte, 1))
	require.ErrorIs(t, err, os.ErrDeadlineExceeded)
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
