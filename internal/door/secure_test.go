package door

import (
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// TestSecure: a handshake that takes too long ends, an error of the listener is passed
// on and others come after it, and Close ends what is under way.
func TestSecure(t *testing.T) {
	made := httptest.NewTLSServer(nil) // It has a certificate.
	made.Close()
	l, failed := &faultyListener{next: make(chan func() (net.Conn, error))}, make(chan error)
	come := func() net.Conn {
		mine, theirs := net.Pipe()
		t.Cleanup(func() { _ = mine.Close() })
		require.NoError(t, mine.SetDeadline(time.Now().Add(time.Minute)))
		l.next <- func() (net.Conn, error) { return theirs, nil }
		return mine
	}
	s := Secure(l, made.TLS, time.Millisecond, func(_ net.Conn, err error) { failed <- err })
	silent := come()
	require.ErrorContains(t, <-failed, "deadline")
	_, err := silent.Read(make([]byte, 1))
	require.ErrorIs(t, err, io.EOF)
	l.next <- func() (net.Conn, error) { return nil, errFault }
	_, err = s.Accept()
	require.ErrorIs(t, err, errFault)
	require.NoError(t, s.Close())

	l = &faultyListener{next: make(chan func() (net.Conn, error))}
	s = Secure(l, made.TLS, time.Hour, func(_ net.Conn, err error) { failed <- err })
	silent = come()
	done := tls.Client(come(), &tls.Config{InsecureSkipVerify: true})
	go func() { _, _ = done.Write([]byte("a")) }()
	c, err := s.Accept()
	require.NoError(t, err)
	require.True(t, c.(*tls.Conn).ConnectionState().HandshakeComplete)
	require.NoError(t, s.Close())
	_, err = silent.Read(make([]byte, 1))
	require.ErrorIs(t, err, io.EOF)
	_, err = s.Accept()
	require.ErrorIs(t, err, net.ErrClosed)
}

var errFault = errors.New("fault")

// faultyListener accepts what a test says.
type faultyListener struct {
	net.Listener
	next chan func() (net.Conn, error)
}

func (l *faultyListener) Accept() (net.Conn, error) {
	next, ok := <-l.next
	if !ok {
		return nil, net.ErrClosed
	}
	return next()
}

func (l *faultyListener) Close() error {
	close(l.next)
	return nil
}
