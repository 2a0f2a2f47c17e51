package door

import (
	"bytes"
	"crypto/tls"
	"net"
	"strconv"
)

// Unheard is a listener for an http.Server that refuses some requests itself, before
// any handler hears of them: those that it cannot read, or whose headers are too
// large. Answer returns what is written instead of such a refusal, header included.
// Connections of TLS must have done their handshake. HTTP/2 has no such refusals.
type Unheard struct {
	net.Listener
	Answer func(status int, why string) []byte // why may be empty
}

// Accept implements net.Listener.
func (l Unheard) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	plain := unheardConn{c, l.Answer}
	t, ok := c.(*tls.Conn)
	switch {
	case !ok:
		return &plain, nil
	case t.ConnectionState().NegotiatedProtocol == "h2":
		return c, nil // http.Server must see what it is.
	}
	return &unheardTLS{plain, t}, nil
}

// unheardTLS is a connection within TLS, whose state http.Server asks for.
type unheardTLS struct {
	unheardConn
	within *tls.Conn
}

// ConnectionState is tls.Conn's.
func (c *unheardTLS) ConnectionState() tls.ConnectionState { return c.within.ConnectionState() }

type unheardConn struct {
	net.Conn
	answer func(int, string) []byte
}

// Write is net.Conn's. http.Server writes each of its refusals at once.
func (c *unheardConn) Write(b []byte) (int, error) {
	status, why, ok := refusal(b)
	if !ok {
		return c.Conn.Write(b)
	}
	if _, err := c.Conn.Write(c.answer(status, why)); err != nil {
		return 0, err
	}
	return len(b), nil
}

// NetConn returns the connection within, as tls.Conn's does.
func (c *unheardConn) NetConn() net.Conn { return c.Conn }

// CloseWrite closes the writing side; http.Server looks for it, so that its last answer
// arrives.
func (c *unheardConn) CloseWrite() error {
	if half, ok := c.Conn.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return nil
}

// refusalHeader is the header of http.Server's refusals.
const refusalHeader = "Content-Type: text/plain; charset=utf-8\r\nConnection: close\r\n\r\n"

// refusal reports whether bytes are a refusal of http.Server's own. No answer of a
// handler is taken for one: it has other headers in front, and no handler says 417.
func refusal(b []byte) (status int, why string, ok bool) {
	if !bytes.HasPrefix(b, []byte("HTTP/1.")) {
		return 0, "", false
	}
	line, rest, _ := bytes.Cut(b, []byte("\r\n"))
	if len(line) < len("HTTP/1.1 400") {
		return 0, "", false
	}
	if status, _ = strconv.Atoi(string(line[9:12])); status < 400 {
		return 0, "", false
	}
	_, text, _ := bytes.Cut(line, []byte(": "))
	return status, string(text), status == 417 || bytes.HasPrefix(rest, []byte(refusalHeader))
}
