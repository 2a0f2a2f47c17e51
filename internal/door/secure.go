package door

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"sync"
	"time"
)

// secure is a listener whose connections have done their TLS handshake.
type secure struct {
	net.Listener
	config *tls.Config
	limit  time.Duration
	failed func(net.Conn, error)

	ready    chan accepted
	stopping context.Context
	stop     context.CancelFunc
	running  sync.WaitGroup
}

type accepted struct {
	net.Conn
	err error
}

// Secure returns a listener of *tls.Conn for an http.Server's Serve. Each has done its
// handshake, for which it had limit, while others did theirs. failed is called with one
// whose handshake failed, before it is closed. Close ends the handshakes.
func Secure(ln net.Listener, config *tls.Config, limit time.Duration, failed func(net.Conn, error)) net.Listener {
	l := &secure{Listener: ln, config: config, limit: limit, failed: failed, ready: make(chan accepted)}
	l.stopping, l.stop = context.WithCancel(context.Background())
	l.running.Go(l.take)
	return l
}

// take begins the handshakes. An error is passed on before the next Accept, which may
// be too early.
func (l *secure) take() {
	for l.stopping.Err() == nil {
		c, err := l.Listener.Accept()
		if err != nil {
			l.hand(nil, err)
			continue
		}
		l.running.Go(func() { l.shake(c) })
	}
}

func (l *secure) shake(c net.Conn) {
	ctx, cancel := context.WithTimeout(l.stopping, l.limit)
	defer cancel()
	s := tls.Server(c, l.config)
	err := s.HandshakeContext(ctx)
	if err == nil && l.hand(s, nil) {
		return
	}
	if l.stopping.Err() == nil {
		defer context.AfterFunc(l.stopping, func() { _ = c.Close() })() // failed may take its time.
		l.failed(c, err)
	}
	_ = c.Close() // What was answered has arrived, or never will.
}

// hand reports whether Accept has returned a connection or an error.
func (l *secure) hand(c net.Conn, err error) bool {
	select {
	case l.ready <- accepted{c, err}:
		return true
	case <-l.stopping.Done():
		return false
	}
}

// Accept implements net.Listener.
func (l *secure) Accept() (net.Conn, error) {
	select {
	case a := <-l.ready:
		return a.Conn, a.err
	case <-l.stopping.Done():
		return nil, net.ErrClosed
	}
}

// Close implements net.Listener.
func (l *secure) Close() error {
	l.stop()
	err := l.Listener.Close()
	l.running.Wait()
	return err
}

// IsHTTP reports whether a handshake failed because HTTP is spoken without TLS.
func IsHTTP(err error) bool {
	var header tls.RecordHeaderError
	first := byte(0)
	if errors.As(err, &header) {
		first = header.RecordHeader[0]
	}
	return 'A' <= first && first <= 'Z' // A method begins so, and no record of TLS.
}

// lastWords is how long a client has to read its answer, and how much it may send
// meanwhile: what it has sent and nobody has read would take the answer away.
const (
	lastWordsTime  = 3 * time.Second
	lastWordsBytes = 32 << 20
)

// LastWords writes an answer to a connection that is closed after it.
func LastWords(c net.Conn, answer []byte) {
	_ = c.SetDeadline(time.Now().Add(lastWordsTime)) // Where any of it fails, there is no answer.
	_, _ = c.Write(answer)
	if half, ok := c.(interface{ CloseWrite() error }); ok {
		_ = half.CloseWrite()
	}
	_, _ = io.CopyN(io.Discard, c, lastWordsBytes)
}
