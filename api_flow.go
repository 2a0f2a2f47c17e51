package swoosh

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/chorus-services/swoosh/internal/door"
)

// What bodies and answers on their way may take: bytes of memory, of all callers and
// of each. A client that keeps its server waiting takes nothing from the others.
const (
	flowMost   = 512 << 20
	flowOfEach = 128 << 20

	logHolds    = 512 << 10        // about what a part of the log takes until it is read
	headerBytes = 64 << 10         // the most that the first line and the headers of a request have
	bodyHolds   = 8 << 10          // a body that is no larger is not counted
	bodyRate    = 8 << 10          // bytes a second that a body arrives at, at least, after RequestTimeout
	headersMost = 10 * time.Second // until the headers of a request, or a TLS handshake, must have come
	answerShort = 4 << 10          // bytes that net/http buffers, so that their write never waits
	answerLong  = 64 << 10         // bytes after which the caller is asked about again
)

// What is read of the body of a refused request, how long, and how long for nothing.
// So many may be read at once, of all callers and of each.
const (
	drainBytes  = 32 << 20
	drainTime   = 3 * time.Second
	drainPause  = time.Second / 2
	drainsMost  = 256
	drainsOfOne = 32
)

// hold counts bytes of memory that the request takes until its end.
func (x *exchange) hold(bytes int64) error {
	if !x.flow.Take(door.CallerOf(x.caller.Name, x.r), bytes) {
		return Errorf(Overloaded, "bodies and answers on their way take all the memory that they may have, %d MiB of one caller: send the request again in a moment", flowOfEach>>20)
	}
	x.held += bytes
	return nil
}

// letGo ends what the request holds, and the checks of its caller.
func (x *exchange) letGo() {
	if x.held > 0 {
		x.flow.Give(door.CallerOf(x.caller.Name, x.r), x.held)
	}
	if x.asked != nil {
		x.asked()
	}
}

var errCut = errors.New("the caller may not read any more")

// send writes a piece of an answer. One with an end must be read in time, and by
// somebody who may: each piece within unreadMost, a long answer while the caller has
// access.
func (x *exchange) send(b []byte) (int, error) {
	if x.sent += len(b); x.endless || x.sent <= answerShort {
		return x.w.ResponseWriter.Write(b)
	}
	if x.sent > answerLong && x.asked == nil && x.route != nil && x.route.role != NoRole {
		x.asked = x.askAgain(func(_ Caller, err error) {
			if err != nil {
				x.cut.Store(true)
				door.CutWrite(x.rc, 0)
			}
		})
	}
	if x.cut.Load() {
		return 0, errCut
	}
	door.CutWrite(x.rc, x.unreadMost)
	n, err := x.w.ResponseWriter.Write(b)
	if err == nil && !x.cut.Load() {
		_ = x.rc.SetWriteDeadline(time.Time{}) // The connection's next answer has its own.
	}
	return n, err
}

// unheard returns the answer to a request that net/http refuses by itself, with a
// status of its own and perhaps a reason.
func (s *service) unheard(status int, why string) []byte {
	e := Errorf(MalformedRequest, "the request is not of HTTP/1.1 or HTTP/1.0: %s", cmp.Or(why, "correct its first line and its headers"))
	switch status {
	case http.StatusExpectationFailed:
		e = Errorf(MalformedRequest, "the header Expect is not understood: leave it out, or send 100-continue")
	case http.StatusNotImplemented:
		e = Errorf(MalformedRequest, "the Transfer-Encoding is not understood: send the body as chunked, or with its Content-Length")
	case http.StatusRequestHeaderFieldsTooLarge:
		e = Errorf(TooLarge, "the first line and the headers of a request may have %d KiB: send less, a large value in the body", headerBytes>>10)
	}
	return s.rawAnswer(e)
}

// rawAnswer returns a refusal as bytes of HTTP/1.1.
func (s *service) rawAnswer(e *Error) []byte {
	s.refusals.WithLabelValues(e.Kind.Code()).Inc()
	body := encode(s.newProblem(e))
	index, hlc := s.position()
	answer := http.Response{
		StatusCode: e.Kind.Status(), ProtoMajor: 1, ProtoMinor: 1, Close: true,
		Header: http.Header{
			"Cache-Control": noStore, "Content-Type": {typeProblem}, "Date": {time.Now().UTC().Format(http.TimeFormat)},
			"Swoosh-Hlc": {hlc.String()}, "Swoosh-Index": {strconv.FormatUint(index, 10)}, "X-Content-Type-Options": noSniff,
		},
		ContentLength: int64(len(body)), Body: io.NopCloser(bytes.NewReader(body)),
	}
	var b bytes.Buffer
	_ = answer.Write(&b) // A buffer takes everything.
	return b.Bytes()
}

// shakeFailed answers HTTP where TLS is spoken, and counts and logs all failures.
func (s *service) shakeFailed(c net.Conn, err error) {
	s.handshakes.Inc()
	s.o.Logger.Debug("a TLS handshake failed", "from", c.RemoteAddr().String(), "why", err)
	if door.IsHTTP(err) {
		door.LastWords(c, s.rawAnswer(Errorf(MalformedRequest, "this address uses TLS: use an address that begins with https://")))
	}
}

// leaveBody allows answering before the body has been read: the answer is sent
// at once and the connection is closed after it. Otherwise net/http would first
// wait for the rest of the body, which the client may never send. On HTTP/2 a
// stream ends by itself, and doing more would keep the answer from the client.
func (x *exchange) leaveBody() {
	if x.bodyRead || x.r.ProtoMajor > 1 {
		return
	}
	x.bodyRead, x.left = true, true
	if x.w.status == 0 {
		x.w.Header().Set("Connection", "close")
	}
	// Exceeding this limit makes net/http close the connection gently enough
	// for the client to receive the answer.
	limit := http.MaxBytesReader(x.w.ResponseWriter, io.NopCloser(strings.NewReader("x")), 0)
	_, _ = limit.Read(make([]byte, 1))
	x.deadlines.CutRead(x.rc)
}

// drain reads on after a refusal and drops what comes, for some time. A client that
// writes its whole body before it reads would otherwise find the connection reset, and
// not the answer. One that expects 100 Continue looks before it writes.
func (x *exchange) drain() {
	caller := door.CallerOf(x.caller.Name, x.r)
	if !x.refused || !x.left || x.r.Header.Get("Expect") != "" || !x.drains.Take(caller, 1) {
		return
	}
	defer x.drains.Give(caller, 1)
	defer x.deadlines.CutRead(x.rc)
	err := x.rc.Flush()
	some := make([]byte, 16<<10)
	for began, got := time.Now(), 0; err == nil && got < drainBytes && time.Since(began) < drainTime; {
		x.deadlines.Read(x.rc, drainPause)
		var n int
		n, err = x.r.Body.Read(some)
		got += n
	}
}

// rest holds a watcher back after a piece, if commands are being written.
func (x *exchange) rest(ctx context.Context, bytes int) {
	if !x.engine.isWriting() {
		return
	}
	if wait := x.pace.Sent(bytes); wait > 0 {
		select {
		case <-time.After(wait):
		case <-ctx.Done():
		case <-x.stopping:
		}
	}
}

// body is a request's body. A read fails if nothing arrives for RequestTimeout, if the
// whole arrives too slowly, or when the server stops.
type body struct {
	x     *exchange
	began time.Time
	got   int
	err   *Error // of the read that failed
}

// Read returns errors that can be sent to the client.
func (b *body) Read(p []byte) (int, error) {
	x := b.x
	if b.began.IsZero() {
		b.began = time.Now()
	}
	left := x.o.RequestTimeout + time.Duration(b.got)*time.Second/bodyRate - time.Since(b.began)
	slow := left < x.o.RequestTimeout/2
	x.deadlines.Read(x.rc, max(1, min(left, x.o.RequestTimeout)))
	n, err := x.r.Body.Read(p)
	b.got += n
	switch {
	case err == nil:
		return n, nil
	case err == io.EOF:
		x.bodyRead = true
		x.deadlines.ReadDone(x.rc)
		return n, err
	case x.isStopping():
		b.err = errShuttingDown()
	case errors.Is(err, os.ErrDeadlineExceeded) && slow:
		b.err = Errorf(Timeout, "the body arrives too slowly, %d bytes so far: after %s it must come at %d bytes a second", b.got, x.o.RequestTimeout, bodyRate)
	case errors.Is(err, os.ErrDeadlineExceeded):
		b.err = Errorf(Timeout, "no part of the body arrived for %s: send the request again", x.o.RequestTimeout)
	default:
		b.err = Errorf(MalformedRequest, "the request body was cut short: %w", err)
	}
	return n, b.err
}

// awaitTurn waits for the engine, and until the caller's rate allows one more
// request: a browser's EventSource takes a refusal as final. Comments show that the
// server is alive.
func (x *exchange) awaitTurn(ctx context.Context) error {
	for {
		wait := x.rates.Admit(door.CallerOf(x.caller.Name, x.r))
		if wait == 0 {
			break
		}
		if err := hold(ctx, x, x.rates.After(wait)); err != nil {
			return err
		}
	}
	for x.engine == nil {
		if err := hold(ctx, x, x.ready); err != nil {
			return err
		}
		x.engine = x.attached.Load()
	}
	return nil
}

// hold sends comments until c has something, or the watch ends.
func hold[T any](ctx context.Context, x *exchange, c <-chan T) error {
	for err := x.beginEvents(); err == nil; err = x.event([]byte(":\n\n")) {
		select {
		case <-c:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		case <-x.stopping:
			return errShuttingDown()
		case <-time.After(x.heartbeat):
		}
	}
	return errClientGone
}

// errClientGone ends a watch that cannot be written.
var errClientGone = errors.New("the client is gone")

// beginEvents begins the answer of a watch, unless it has begun.
func (x *exchange) beginEvents() error {
	if x.w.status != 0 {
		return nil
	}
	x.endless = true
	x.w.Header().Set("Content-Type", typeEvents)
	return x.event([]byte("retry: 1000\n\n"))
}

// event sends a piece of a watch at once.
func (x *exchange) event(b []byte) error {
	x.deadlines.Extend(x.rc, x.heartbeat+x.unreadMost) // The next event comes within a heartbeat.
	_, err := x.w.Write(b)
	return errors.Join(err, x.rc.Flush())
}
