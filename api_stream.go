package swoosh

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/semaphore"
)

// What a stream may have on its way to the disk: lines, and their bytes.
const (
	streamWindowLines = 1024
	streamWindowBytes = 4 << 20
	streamLineBytes   = 512 // what a line takes beside its bytes
)

// blanks are the white space of JSON that a line can hold.
const blanks = " \t\r"

// stream is a POST of commands, a line each. Three goroutines pass it on:
// read submits the lines, settle waits for the answers in their order, and the
// handler writes them. Each is bounded, so a client that does not read its
// answers is not read either.
type stream struct {
	x      *exchange
	ctx    context.Context // ends when no more lines are to be taken
	cancel context.CancelFunc
	window *semaphore.Weighted
	asked  chan asked
	out    *outbox
	caller atomic.Pointer[Caller] // of the next line

	haltOnce sync.Once
	halted   *Error // why no more lines are taken; read after ctx has ended
	untaken  int    // first line that was not taken; written by read before it closes asked
	whole    bool   // the body was read to its end; likewise
}

// asked is a line on its way.
type asked struct {
	line     int
	bytes    int64
	deadline time.Time
	wait     func(context.Context) (Result, error)
	err      error // of a line that was refused at once
}

// stream answers a line by a line, in order, as soon as each is durable.
func (x *exchange) stream() error {
	if _, err := x.parseQuery(); err != nil {
		return err
	}
	if err := x.refuseHeader("If-Match", "the member expect is the way"); err != nil {
		return err
	}
	if err := x.refuseHeader("Idempotency-Key", "the keys of a stream stand in its lines, as idempotency_key"); err != nil {
		return err
	}
	if err := x.rc.EnableFullDuplex(); err != nil {
		return Errorf(Internal, "the connection cannot be read and written at once: %w", err)
	}
	defer x.api.deadlines.write(x.rc, x.api.stopGrace)()
	x.beginStream()
	s := &stream{x: x, window: semaphore.NewWeighted(streamWindowBytes), asked: make(chan asked, streamWindowLines)}
	s.ctx, s.cancel = context.WithCancel(context.WithoutCancel(x.r.Context()))
	defer s.cancel()
	s.out = newOutbox(x.api.unreadMost, func() { _ = x.rc.SetWriteDeadline(longAgo) })
	s.caller.Store(&x.caller)
	defer x.askAgain(s.identified)()
	go s.read()
	settled := make(chan struct{})
	go func() {
		defer close(settled)
		s.settle()
	}()
	s.write()
	<-settled
	x.bodyRead = s.whole
	x.leaveBody()
	return nil
}

// beginStream sends the header before the first line is read: a client may
// wait for it before it writes, and one that asked whether to go on is told.
func (x *exchange) beginStream() {
	if x.r.Header.Get("Expect") != "" && x.r.ProtoMajor == 1 {
		x.w.WriteHeader(http.StatusContinue)
	}
	x.w.Header().Set("Content-Type", typeNDJSON)
	x.w.WriteHeader(http.StatusOK)
	_ = x.rc.Flush() // A connection that is gone fails at the first answer.
}

// halt ends the taking of lines. What has been taken is still answered.
func (s *stream) halt(why *Error) {
	s.haltOnce.Do(func() {
		s.halted = why
		s.cancel()
		s.x.api.deadlines.cutRead(s.x.rc)
	})
}

// identified notes who sends the lines from now on, or ends the stream of a
// caller who may send none any more.
func (s *stream) identified(c Caller, err error) {
	if err != nil {
		s.halt(s.x.asError(err))
		return
	}
	s.caller.Store(&c)
}

// read takes the lines until the body ends, or nobody is to be served.
func (s *stream) read() {
	defer close(s.asked)
	lines := lineReader{r: bufio.NewReaderSize(s.x.r.Body, 64<<10)}
	for {
		s.x.api.deadlines.read(s.x.rc, 0)
		raw, err := lines.next()
		if s.untaken = lines.n; s.ctx.Err() != nil {
			return
		}
		switch {
		case err == io.EOF:
			s.whole = true
			s.x.api.deadlines.doneReading(s.x.rc)
			return
		case err == errLineTooLong:
			s.ask(asked{err: bodyTooLarge(commandMaxBytes)})
		case err != nil && s.x.api.isStopping():
			s.halt(errShuttingDown())
			return
		case err != nil:
			s.halt(nil) // The client has gone.
			return
		case len(bytes.Trim(raw, blanks)) > 0:
			if !s.take(raw) {
				return
			}
		}
	}
}

// take submits a line. It tells whether the stream goes on.
func (s *stream) take(raw []byte) bool {
	a := asked{bytes: min(int64(len(raw))+streamLineBytes, streamWindowBytes)}
	if !s.pace() || s.window.Acquire(s.ctx, a.bytes) != nil {
		return false
	}
	a.wait, a.err = s.submit(raw)
	if s.ctx.Err() != nil && a.err != nil || ShuttingDown.Is(a.err) {
		s.window.Release(a.bytes)
		s.halt(errShuttingDown())
		return false
	}
	s.ask(a)
	return true
}

// pace waits until the caller may send one request more: a line counts as one.
// It tells whether the stream goes on.
func (s *stream) pace() bool {
	rates := s.x.api.rates
	for {
		wait := rates.take(s.x.bucket(*s.caller.Load()))
		if wait == 0 {
			return true
		}
		select {
		case <-rates.after(wait):
		case <-s.ctx.Done():
			return false
		case <-s.x.api.stopping:
			s.halt(errShuttingDown())
			return false
		}
	}
}

// submit hands a line's command in. A panic is this line's failure alone.
func (s *stream) submit(raw []byte) (wait func(context.Context) (Result, error), err error) {
	defer func() {
		if p := recover(); p != nil {
			err = s.x.panicked(p)
		}
	}()
	r, err := decodeLine(raw)
	if err != nil {
		return nil, err
	}
	s.caller.Load().sign(&r)
	return s.x.engine.submitWaiting(s.ctx, r)
}

// ask passes the line read last on to settle.
func (s *stream) ask(a asked) {
	a.line, a.deadline = s.untaken, time.Now().Add(s.x.api.o.RequestTimeout)
	s.asked <- a
}

// decodeLine reads a line's command.
func decodeLine(raw []byte) (Request, error) {
	if bytes.TrimLeft(raw, blanks)[0] == '[' {
		return Request{}, Errorf(MalformedRequest, "a line is one command, not an array: send an atomic batch alone, as %s", typeJSON)
	}
	return DecodeRequest(raw)
}

// settle answers the lines in their order. It always empties asked, so read
// never waits for it in vain.
func (s *stream) settle() {
	var b []byte
	for a := range s.asked {
		b = s.answer(b[:0], a)
		s.out.put(b)
	}
	if !s.whole && s.halted != nil {
		p := s.x.problem(s.halted)
		p.Line = s.untaken
		s.out.put(encode(p))
	}
	s.out.close()
}

func (s *stream) answer(b []byte, a asked) []byte {
	result, err := s.result(a)
	s.window.Release(a.bytes)
	if err == nil {
		return append(appendResult(b, result), '\n')
	}
	e := s.x.asError(err)
	if e.Kind == ReadOnly || e.Kind == OutcomeUnknown {
		s.halt(Errorf(ReadOnly, "the server has turned read-only: this line and those after it were not taken; see to the disk, restart the server, then send them again"))
	}
	p := s.x.problem(e)
	p.Line = a.line
	return append(b, encode(p)...)
}

// result waits for the answer to a line, as long as for a single command.
func (s *stream) result(a asked) (r Result, err error) {
	if a.err != nil {
		return Result{}, a.err
	}
	defer func() {
		if p := recover(); p != nil {
			err = s.x.panicked(p)
		}
	}()
	ctx, cancel := context.WithDeadline(context.WithoutCancel(s.ctx), a.deadline)
	defer cancel()
	return a.wait(ctx)
}

// write sends the answers until all are sent or the client takes no more.
func (s *stream) write() {
	piece := make([]byte, 0, outboxPiece)
	for ok := true; ; {
		if piece, ok = s.out.take(piece); !ok {
			return
		}
		_, err := s.x.w.Write(piece)
		if err = errors.Join(err, s.x.rc.Flush()); err != nil {
			s.out.fail()
			s.halt(nil)
			return
		}
	}
}

// lineReader reads the lines of a stream, each at most commandMaxBytes long.
type lineReader struct {
	r   *bufio.Reader
	buf []byte
	n   int // of the line read last, from 1
}

var errLineTooLong = errors.New("the line is too long")

// next gives a line without its end. The last one needs none, if the body
// ended in order. The bytes are good until the next call.
func (l *lineReader) next() ([]byte, error) {
	l.n++
	l.buf = l.buf[:0]
	long := false
	for {
		piece, err := l.r.ReadSlice('\n')
		if long = long || len(l.buf)+len(bytes.TrimSuffix(piece, []byte("\n"))) > commandMaxBytes; !long {
			l.buf = append(l.buf, piece...)
		}
		switch {
		case err == bufio.ErrBufferFull:
			continue
		case err == io.EOF && (long || len(l.buf) > 0), err == nil:
			if long {
				return nil, errLineTooLong
			}
			return bytes.TrimSuffix(l.buf, []byte("\n")), nil
		}
		return nil, err
	}
}
