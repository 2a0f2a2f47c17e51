package swoosh_test

import (
	"bufio"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/chorus-services/swoosh"
)

// raw sends bytes as they are, and reads the answer while it sends. method is what the
// answer is read as one to.
func (s *site) raw(method, bytes string) *reply {
	s.t.Helper()
	c := s.dial()
	go func() { _, _ = io.WriteString(c, bytes) }() // It fails where the server refuses before the end.
	return s.readReply(c, method)
}

// dial connects, for a minute.
func (s *site) dial() net.Conn {
	s.t.Helper()
	c, err := net.Dial("tcp", s.addr)
	require.NoError(s.t, err)
	s.t.Cleanup(func() { _ = c.Close() })
	require.NoError(s.t, c.SetDeadline(time.Now().Add(time.Minute)))
	if s.tls != nil {
		c = tls.Client(c, s.tls)
	}
	return c
}

// overTLS serves the API at another address, over TLS.
func (s *site) overTLS() *site {
	s.t.Helper()
	made := httptest.NewTLSServer(nil) // It has a certificate.
	made.Close()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(s.t, err)
	c := *s
	c.addr = ln.Addr().String()
	c.url = "https://" + c.addr
	c.tls = made.Client().Transport.(*http.Transport).TLSClientConfig.Clone()
	c.tls.NextProtos, c.tls.ServerName = nil, "example.com"
	c.server = s.api.Server()
	config := &tls.Config{Certificates: made.TLS.Certificates, NextProtos: []string{"h2", "http/1.1"}}
	go func() { _ = c.server.Serve(s.api.TLSListener(ln, config)) }()
	s.t.Cleanup(func() { require.NoError(s.t, c.server.Close()) })
	return &c
}

// readReply reads an answer, after which the server must close the connection.
func (s *site) readReply(c net.Conn, method string) *reply {
	s.t.Helper()
	in := bufio.NewReader(c)
	resp, err := http.ReadResponse(in, &http.Request{Method: method})
	require.NoError(s.t, err)
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	require.NoError(s.t, err)
	return &reply{s.t, resp.StatusCode, resp.Header, string(body), resp.Trailer, resp.Close}
}

// TestUnheard sends requests that net/http refuses before the API sees them.
func TestUnheard(t *testing.T) {
	s := open(t, swoosh.Options{})
	s.must(startA)
	s.unheard()
	require.Regexp(t, `swoosh_refusals_total\{code="too_large"\} 4\n`, s.get("/metrics").body)
	within := s.overTLS()
	within.unheard()
	within.tls.NextProtos = []string{"http/1.1"}
	within.unheard()
	require.Regexp(t, `swoosh_refusals_total\{code="too_large"\} 12\n`, s.get("/metrics").body)
}

func (s *site) unheard() {
	const host = "Host: localhost\r\n"
	t := s.t
	t.Helper()
	for _, version := range []string{"1.0", "1.1"} {
		get := "GET /version HTTP/" + version + "\r\n"
		for name, c := range map[string]struct {
			request, code string
			status        int
			detail        string
		}{
			"no request":        {"\x16\x03\x01 hello\r\n\r\n", "malformed_request", 400, "its first line"},
			"no path":           {"GET HTTP/" + version + "\r\n" + host + "\r\n", "malformed_request", 400, "its first line"},
			"no header":         {get + host + "nothing\r\n\r\n", "malformed_request", 400, "its headers"},
			"a header's name":   {get + host + "a b: c\r\n\r\n", "malformed_request", 400, "invalid header name"},
			"a header's value":  {get + host + "a: \x01\r\n\r\n", "malformed_request", 400, "its headers"},
			"two hosts":         {get + host + host + "\r\n", "malformed_request", 400, "HTTP/1.1"},
			"another version":   {"GET / HTTP/3.7\r\n" + host + "\r\n", "malformed_request", 400, "unsupported protocol version"},
			"a length":          {get + host + "Content-Length: x\r\n\r\n", "malformed_request", 400, "its headers"},
			"large headers":     {get + host + "A: " + strings.Repeat("a", 128<<10) + "\r\n\r\n", "too_large", 413, "64 KiB"},
			"a large line":      {"GET /" + strings.Repeat("a", 128<<10) + " HTTP/" + version + "\r\n" + host + "\r\n", "too_large", 413, "64 KiB"},
			"an expectation":    {get + host + "Expect: more\r\n\r\n", "malformed_request", 400, "Expect"},
			"a coding":          {"POST /command HTTP/1.1\r\n" + host + "Transfer-Encoding: gzip\r\n\r\n", "malformed_request", 400, "Transfer-Encoding"},
			"no host, which is": {"GET /version HTTP/1.1\r\n\r\n", "malformed_request", 400, "missing required Host header"},
		} {
			r := s.raw(http.MethodGet, c.request)
			require.True(t, r.closed, name)
			p := r.refused(c.code, c.status)
			require.Contains(t, p["detail"], c.detail, name)
			require.Equal(t, "1", r.header.Get("Swoosh-Index"), name)
			require.Equal(t, s.e.View().At().String(), r.header.Get("Swoosh-HLC"), name)
			require.Equal(t, "no-store", r.header.Get("Cache-Control"), name)
			require.Equal(t, "nosniff", r.header.Get("X-Content-Type-Options"), name)
		}
	}

	r := s.raw(http.MethodGet, "GET /health HTTP/1.0\r\n\r\n") // An answer of the API's own passes, and one with "Content-Type: text/plain" too.
	require.Equal(t, http.StatusOK, r.status)
	require.Contains(t, s.raw(http.MethodGet, "GET /metrics HTTP/1.0\r\n\r\n").body, "# HELP")
}

// TestHandshakes: one that hangs blocks nobody, and ends with the server; one that fails
// is counted. Either version of HTTP is served.
func TestHandshakes(t *testing.T) {
	s := open(t, swoosh.Options{})
	within := s.overTLS()
	var hung []net.Conn
	for _, said := range []string{"", "\x16\x03\x01\x02\x00\x01"} {
		c, err := net.Dial("tcp", within.addr)
		require.NoError(t, err)
		defer c.Close()
		_, err = io.WriteString(c, said)
		require.NoError(t, err)
		hung = append(hung, c)
	}
	for _, two := range []bool{false, true} {
		c := &http.Client{Transport: &http.Transport{TLSClientConfig: within.tls.Clone(), ForceAttemptHTTP2: two, DisableKeepAlives: true}}
		r, err := c.Get(within.url + "/health")
		require.NoError(t, err)
		require.Equal(t, http.StatusOK, r.StatusCode)
		require.Equal(t, two, r.ProtoMajor == 2)
		require.NoError(t, r.Body.Close())
	}

	plain := *within
	plain.tls = nil
	for _, request := range []string{"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n", "POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 8000000\r\n\r\n" + strings.Repeat("a", 8000000)} {
		c := plain.dial()
		_, err := io.WriteString(c, request)
		require.NoError(t, err)
		require.Contains(t, s.readReply(c, http.MethodPost).refused("malformed_request", 400)["detail"], "this address uses TLS")
	}
	_, err := tls.Dial("tcp", within.addr, &tls.Config{})
	require.ErrorContains(t, err, "certificate")
	require.Eventually(t, func() bool {
		return strings.Contains(s.get("/metrics").body, "\nswoosh_tls_handshake_failures_total 3\n")
	}, time.Minute, time.Millisecond)

	require.NoError(t, within.server.Close())
	for _, c := range hung {
		require.NoError(t, c.SetDeadline(time.Now().Add(time.Minute)))
		_, err := io.Copy(io.Discard, c)
		require.NotErrorIs(t, err, os.ErrDeadlineExceeded)
	}
	require.Contains(t, s.get("/metrics").body, "\nswoosh_tls_handshake_failures_total 3\n", "the server ended those")
}

// TestRefusalsReachPlainClients: a client that writes its whole body before it reads
// gets the answer.
func TestRefusalsReachPlainClients(t *testing.T) {
	s := openAPI(t, swoosh.APIOptions{Loopback: true, Authenticate: keyring, Rate: 0.001})
	s.get("/state", as("write"))
	s.get("/state", as("admin"))
	const size = 8 << 20
	text := strings.Repeat(" ", size)
	chunked := strings.Repeat(fmt.Sprintf("%x\r\n%s\r\n", 1<<20, text[:1<<20]), size>>20) + "0\r\n\r\n"
	for name, c := range map[string]struct {
		s          *site
		line, more string
		status     int
	}{
		"starting":      {starting(t, swoosh.APIOptions{Loopback: true}), "POST /command", "", 503},
		"no token":      {s, "POST /command", "", 401},
		"role":          {s, "POST /state", as("read") + "\r\n", 403},
		"page":          {s, "POST /command", "Origin: http://evil.example\r\n", 403},
		"route":         {s, "POST /nothing", "", 404},
		"method":        {s, "DELETE /state", "", 405},
		"size":          {open(t, swoosh.Options{}), "POST /command", "Content-Type: application/json\r\n", 413},
		"media type":    {open(t, swoosh.Options{}), "POST /command", "", 415},
		"rate":          {s, "POST /command", as("write") + "\r\n", 429},
		"no body asked": {s, "GET /log/7", as("admin") + "\r\n", 429},
	} {
		for _, form := range []string{"HTTP/1.0", "HTTP/1.1", "chunked"} {
			head, body := fmt.Sprintf("%s %s\r\nHost: localhost\r\n%sContent-Length: %d\r\n\r\n", c.line, form, c.more, size), text
			if form == "chunked" {
				head, body = fmt.Sprintf("%s HTTP/1.1\r\nHost: localhost\r\n%sTransfer-Encoding: chunked\r\n\r\n", c.line, c.more), chunked
			}
			conn, err := net.Dial("tcp", c.s.addr)
			require.NoError(t, err)
			defer conn.Close()
			require.NoError(t, conn.SetDeadline(time.Now().Add(time.Minute)))
			_, err = io.WriteString(conn, head+body)
			require.NoError(t, err, "%s, %s", name, form)
			r := c.s.readReply(conn, http.MethodPost)
			require.Equal(t, c.status, r.status, "%s, %s: %s", name, form, r.body)
			require.Equal(t, "application/problem+json", r.header.Get("Content-Type"))
		}
	}
}

// TestRefusedBodiesAreReadToABound: a refused client cannot write for ever.
func TestRefusedBodiesAreReadToABound(t *testing.T) {
	s := open(t, swoosh.Options{})
	conn, err := net.Dial("tcp", s.addr)
	require.NoError(t, err)
	defer conn.Close()
	require.NoError(t, conn.SetDeadline(time.Now().Add(time.Minute)))
	_, err = fmt.Fprintf(conn, "POST /command HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n", int64(1)<<40)
	require.NoError(t, err)
	some, sent := make([]byte, 1<<20), 0
	for err == nil {
		_, err = conn.Write(some)
		sent++
	}
	require.NotErrorIs(t, err, os.ErrDeadlineExceeded)
	require.Less(t, sent, 100)
}
