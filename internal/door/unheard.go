package door

import (
	"bytes"
	"net"
	"strconv"
)

// Unheard is a listener for an http.Server that refuses some requests itself, before
// any handler hears of them: those that it cannot read, or whose headers are too
// large. Answer returns what is written instead of such a refusal, header included.
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
	return &unheardConn{c, l.Answer}, nil
}

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

// CloseWrite closes the writing side; http.Server looks for it, so that its last answer
// arrives.
func (c *unheardConn) CloseWrite() error {
	if half, ok := c.Conn.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return nil
}

// The header of http.Server's refusals, and how it answers HTTP where TLS is spoken.
const (
	refusalHeader = "Content-Type: text/plain; charset=utf-8\r\nConnection: close\r\n\r\n"
	plainRefusal  = "\r\nClient sent an HTTP request to an HTTPS server."
)

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
	if bytes.HasPrefix(rest, []byte(plainRefusal)) {
		return status, "this address uses TLS: use an address that begins with https://", true
	}
	return status, string(text), status == 417 || bytes.HasPrefix(rest, []byte(refusalHeader))
}
