package program

import (
	lists "container/list"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// spareFiles is how many files the server can open beside those that are open and
// its connections: a file of each copy of the log, a snapshot, a table.
const spareFiles = 16

// connections is a listener that keeps connections from taking the descriptors that
// the log needs. If there are as many as there may be, the one that has had no
// request for the longest time makes way; if all have one, the new one is closed.
type connections struct {
	net.Listener

	mu      sync.Mutex
	open    map[string]int // how many, by the other machine's address
	count   int
	quiet   lists.List // of *openConn: those without a request, the one that has been so longest first
	most    int        // at a time; an address that is not this machine's has half
	stopped bool
	closed  int // for want of descriptors, since tell
}

// openConn is an open connection.
type openConn struct {
	net.Conn
	of    *connections
	from  string      // the other machine's address; empty if it is this one
	heard atomic.Bool // whether it has sent anything since its TLS handshake

	// Guarded by the lock of of.
	requests int            // under way
	quiet    *lists.Element // nil: a request is under way, or it is closed
	gone     bool
}

// limitConnections returns a listener whose connections leave descriptors for files.
func limitConnections(ln net.Listener) *connections {
	l := &connections{Listener: ln, open: map[string]int{}}
	l.measure()
	return l
}

// measure sets how many connections there may be: as many as the process may have
// descriptors, without those of open files and of files to come. Each change of the
// log opens its tables beside those that are open.
func (l *connections) measure() {
	allowed, used, err := descriptors()
	if err != nil {
		return // There is no descriptor to count them with: what was found before holds.
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	files := max(0, used-l.count)
	l.most = max(1, allowed-files-max(spareFiles, files-spareFiles))
}

// descriptors returns how many descriptors the process may have, and has.
func descriptors() (allowed, used int, err error) {
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		return 0, 0, err
	}
	names, err := os.ReadDir("/dev/fd")
	return int(min(limit.Cur, 1<<30)), len(names), err
}

// checkDescriptors fails if the server could not open its files.
func checkDescriptors() error {
	allowed, used, err := descriptors()
	if err == nil && allowed-used >= 2*spareFiles {
		return nil
	}
	if err != nil && !errors.Is(err, syscall.EMFILE) {
		return nil // It cannot be told.
	}
	return exitf(codeFailed, "this process may have %d open files, which is too few: allow %d or more (ulimit -n, or LimitNOFILE in systemd)", allowed, used+3*spareFiles)
}

// Accept returns the next connection that is admitted.
func (l *connections) Accept() (net.Conn, error) {
	for {
		c, err := l.Listener.Accept()
		switch {
		case err == nil:
			if k := l.admit(c); k != nil {
				return k, nil
			}
			_ = c.Close() // Nothing was sent.
		case !outOfDescriptors(err) || !l.makeWay():
			return nil, err
		}
	}
}

func outOfDescriptors(err error) bool {
	return errors.Is(err, syscall.EMFILE) || errors.Is(err, syscall.ENFILE)
}

// admit returns a connection that there is room for, or nil.
func (l *connections) admit(c net.Conn) *openConn {
	k := &openConn{Conn: c, of: l, from: farAddress(c)}
	l.mu.Lock()
	defer l.mu.Unlock()
	if k.from != "" && l.open[k.from] >= max(1, l.most/2) && !l.closeOldest(k.from) || l.count >= l.most && !l.closeOldest("") {
		l.closed++
		return nil
	}
	l.open[k.from]++
	l.count++
	k.quiet = l.quiet.PushBack(k)
	if l.stopped {
		k.hurry()
	}
	return k
}

// farAddress returns the address of another machine; empty if a connection comes
// from this one, where a proxy may stand for many.
func farAddress(c net.Conn) string {
	if a, ok := c.RemoteAddr().(*net.TCPAddr); ok && !a.IP.IsLoopback() {
		return a.IP.String()
	}
	return ""
}

// makeWay is closeOldest for a caller without the lock.
func (l *connections) makeWay() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.closeOldest("")
}

// closeOldest closes the connection, from an address or with "" of all, that has had
// no request for the longest time. It reports whether there is one. The caller holds
// the lock.
func (l *connections) closeOldest(from string) bool {
	for e := l.quiet.Front(); e != nil; e = e.Next() {
		if k := e.Value.(*openConn); from == "" || k.from == from {
			l.forget(k)
			l.closed++
			_ = k.Conn.Close() // It is closed in any case.
			return true
		}
	}
	return false
}

// forget takes out a connection that is being closed. The caller holds the lock.
func (l *connections) forget(k *openConn) {
	if k.gone {
		return
	}
	k.gone = true
	l.count--
	if l.open[k.from]--; l.open[k.from] == 0 {
		delete(l.open, k.from)
	}
	k.setQuiet(false)
}

// setQuiet notes whether a connection has no request. The caller holds the lock.
func (c *openConn) setQuiet(quiet bool) {
	switch {
	case quiet && c.quiet == nil && !c.gone:
		c.quiet = c.of.quiet.PushBack(c)
	case !quiet && c.quiet != nil:
		c.of.quiet.Remove(c.quiet)
		c.quiet = nil
	}
}

// tell logs how many connections were closed for want of descriptors.
func (l *connections) tell(log *slog.Logger) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed > 0 {
		log.Warn("connections were closed: the process may have no more file descriptors (ulimit -n)", "closed", l.closed, "open", l.count, "most", l.most)
	}
	l.closed = 0
}

// hurryFor is how long a connection that has sent nothing may take for its first
// byte when the server stops.
const hurryFor = 100 * time.Millisecond

// stop makes the connections that have sent nothing end soon.
func (l *connections) stop() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.stopped = true
	for e := l.quiet.Front(); e != nil; e = e.Next() {
		e.Value.(*openConn).hurry()
	}
}

// hurry makes a connection that has sent nothing end soon. The caller holds the lock.
func (c *openConn) hurry() {
	if !c.heard.Load() {
		_ = c.Conn.SetReadDeadline(time.Now().Add(hurryFor)) // It fails if the connection is closed.
	}
}

// SetReadDeadline is net.Conn's. While the server stops, a connection that has sent
// nothing keeps the deadline that hurry gave it.
func (c *openConn) SetReadDeadline(t time.Time) error {
	c.of.mu.Lock()
	defer c.of.mu.Unlock()
	if c.of.stopped && !c.heard.Load() {
		return nil
	}
	return c.Conn.SetReadDeadline(t)
}

// Read is net.Conn's.
func (c *openConn) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	if n > 0 {
		c.heard.Store(true)
	}
	return n, err
}

// Close is net.Conn's.
func (c *openConn) Close() error {
	c.of.mu.Lock()
	c.of.forget(c)
	c.of.mu.Unlock()
	return c.Conn.Close()
}

// CloseWrite closes the writing side; the HTTP server looks for it.
func (c *openConn) CloseWrite() error {
	half, ok := c.Conn.(interface{ CloseWrite() error })
	if !ok {
		return fmt.Errorf("closing one side: %w", errors.ErrUnsupported)
	}
	return half.CloseWrite()
}

// connectionKey is the key of a request's connection in its context.
type connectionKey struct{}

// inContext keeps a connection in the context of its requests.
func inContext(ctx context.Context, c net.Conn) context.Context {
	for {
		outer, ok := c.(interface{ NetConn() net.Conn })
		if !ok {
			break
		}
		c = outer.NetConn()
	}
	if open, ok := c.(*openConn); ok {
		open.shaken()
	}
	return context.WithValue(ctx, connectionKey{}, c)
}

// shaken notes that what a connection has sent so far is its handshake. A stop that came
// meanwhile left it alone.
func (c *openConn) shaken() {
	c.of.mu.Lock()
	defer c.of.mu.Unlock()
	c.heard.Store(false)
	if c.of.stopped {
		c.hurry()
	}
}

// begin notes that a request is under way on its connection, until end is called.
func begin(r *http.Request) (end func()) {
	c, ok := r.Context().Value(connectionKey{}).(*openConn)
	if !ok {
		return func() {}
	}
	c.count(1)
	return func() { c.count(-1) }
}

func (c *openConn) count(n int) {
	c.of.mu.Lock()
	defer c.of.mu.Unlock()
	c.requests += n
	c.setQuiet(c.requests == 0)
}
