package client

import (
	"context"
	"errors"
	"io"
	"iter"
	"net/http"
	"time"
)

// Answer is the answer to a command of a stream.
type Answer struct {
	Line    int     // number of the command, from 1
	Command Command // as it was sent, with its key filled in
	Result  Result
	Refused *Error // nil: accepted; otherwise Result is zero
}

// Stream applies commands in order and yields their answers in order, each as
// soon as its command is durable, whether or not another command follows. A
// refusal is an answer too, and does not stop the following commands.
//
// If a connection breaks, or an answer is not there after 65 s, Stream
// reconnects and sends the unanswered commands again with their keys, so each
// is applied once. It does the same if the server cannot take a command now,
// because it is stopping or its disk is full; commands after it that were
// already taken keep their place in the log. Memory is limited: at most 256
// commands and 4 MiB are unanswered.
//
// The sequence ends with the first error. Its Again has the commands that were
// read from commands but not answered; no more are read after it.
//
// commands is called on its own goroutine, so it may block. After the stream
// has ended, it is stopped at the next command that it yields.
func (c *Client) Stream(ctx context.Context, commands iter.Seq[Command]) iter.Seq2[Answer, error] {
	return func(yield func(Answer, error) bool) {
		ctx, cancel := context.WithCancel(ctx)
		defer cancel()
		s := &stream{c: c, window: newWindow(), backoff: c.patience(), yield: yield}
		go s.take(ctx, commands)
		if err := s.run(ctx); err != nil {
			cancel() // Commands taken later would be missing in Again.
			yield(Answer{}, s.failed(err))
		}
	}
}

// stream is a call of Stream. Three goroutines share its window: take adds the
// commands, send sends them, and the caller's goroutine reads the answers.
type stream struct {
	c       *Client
	window  *window
	backoff *backoff
	yield   func(Answer, error) bool
}

// run uses one connection after the other until everything is answered.
func (s *stream) run(ctx context.Context) error {
	for {
		if first, err := s.window.first(ctx); first == nil {
			return err
		}
		err := s.connect(ctx)
		if err == errEnough {
			return nil
		}
		if err != nil {
			err = s.backoff.pause(ctx, err)
		}
		if err != nil {
			return err
		}
	}
}

// take encodes the commands and puts them into the window.
func (s *stream) take(ctx context.Context, commands iter.Seq[Command]) {
	n, hub := 0, noHub
	asks := s.c.signer != nil && s.c.signer.hub == ""
	if s.c.signer != nil && !asks {
		hub = s.c.signer.hub
	}
	for command := range commands {
		n++
		l := &line{n: n}
		var err error
		l.command, err = s.c.keyed(ctx, command)
		if err == nil && asks && hub == noHub { // It is asked again until the log has begun.
			hub, err = s.c.askHub(ctx)
		}
		if err != nil {
			s.window.end(err)
			return
		}
		var raw []byte
		if l.command, err = s.c.signer.signed(l.command, l.command, hub, nil); err == nil {
			raw, err = l.command.MarshalJSON()
		}
		if err != nil {
			l.refused = asError(err)
			l.refused.Line = n
		} else {
			l.raw = append(raw, '\n')
		}
		if !s.window.put(ctx, l) {
			return
		}
	}
	s.window.end(nil)
}

// connect sends the unanswered and the following commands over one connection,
// and passes on the answers. It returns nil when there is nothing more to
// answer.
func (s *stream) connect(ctx context.Context) error {
	ctx, cancel := context.WithCancelCause(ctx)
	body, out := io.Pipe()
	s.window.rewind()
	l := newLink(out)
	go s.send(ctx, l)
	held := time.AfterFunc(heldMost, func() { cancel(errHeld) })
	defer func() {
		cancel(nil)
		_ = body.Close() // It never fails (io.PipeReader).
		<-l.sent
	}()
	r := request{method: http.MethodPost, path: "/command", body: body, kind: "application/x-ndjson", quiet: quietMost, changes: true}
	answer, err := s.c.send(ctx, r)
	held.Stop()
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	close(l.begun)
	return s.readAnswers(ctx, r, answer.Body, 1+<-l.blanks)
}

// heldMost is how long a stream waits for its answer to begin. A server begins
// it at once.
const heldMost = 30 * time.Second

var errHeld = errors.New("the answer has not begun after " + heldMost.String() + ": check whether a proxy buffers the request")

// link is a connection of a stream.
type link struct {
	out    *io.PipeWriter
	begun  chan struct{} // closed when the answer has begun
	blanks chan int      // receives the number of blank lines sent before the commands
	sent   chan struct{} // closed when nothing more will be sent
}

func newLink(out *io.PipeWriter) *link {
	return &link{out, make(chan struct{}), make(chan int, 1), make(chan struct{})}
}

// blankEvery is the interval of blank lines until the answer begins.
const blankEvery = 250 * time.Millisecond

// begin waits until the answer begins, which it does before the server reads
// anything. Meanwhile it sends blank lines, because net/http notices a broken
// connection only when a write fails.
func (l *link) begin(ctx context.Context) bool {
	ticker := time.NewTicker(blankEvery)
	defer ticker.Stop()
	blanks := 0
	defer func() { l.blanks <- blanks }()
	for ; ; blanks++ {
		select {
		case <-l.begun:
			return true
		case <-ctx.Done():
			return false
		case <-ticker.C:
			if _, err := l.out.Write([]byte{'\n'}); err != nil {
				return false
			}
		}
	}
}

// send writes lines until there are no more, or the connection ends.
func (s *stream) send(ctx context.Context, l *link) {
	defer close(l.sent)
	if !l.begin(ctx) {
		_ = l.out.CloseWithError(io.ErrUnexpectedEOF)
		return
	}
	for next := s.window.send(ctx); next != nil; next = s.window.send(ctx) {
		if _, err := l.out.Write(next.raw); err != nil {
			return
		}
	}
	_ = l.out.CloseWithError(ctx.Err()) // It never fails (io.PipeWriter).
}

// readAnswers passes on the answers of one connection.
func (s *stream) readAnswers(ctx context.Context, r request, from io.Reader, due int) error {
	lines := newLineReader(from)
	for {
		l, _ := s.window.first(ctx)
		if l == nil {
			return nil // run determines why.
		}
		a := Answer{Line: l.n, Command: l.command, Refused: l.refused}
		if l.refused == nil {
			if err := s.readAnswer(r, lines, due, &a); err != nil {
				return r.cut(s.c.address, err)
			}
			l.complete(a.Refused)
			due++
		}
		s.window.answered()
		s.backoff.reset()
		if !s.yield(a, nil) {
			return errEnough
		}
	}
}

// readAnswer reads the answer to the line with number due on this connection. A
// refusal that may pass is returned as an error.
func (s *stream) readAnswer(r request, lines *lineReader, due int, a *Answer) error {
	raw, err := lines.next()
	if err != nil {
		return err
	}
	var kind struct {
		Code string `json:"code"`
	}
	if err := r.decode(s.c.address, raw, &kind); err != nil {
		return err
	}
	if kind.Code == "" {
		if err := r.decode(s.c.address, raw, &a.Result); err != nil {
			return err
		}
		s.c.learn(a.Result.HLC)
		return nil
	}
	problem, err := parseProblem(raw)
	switch {
	case err != nil || problem.Line != due:
		return failure(NotSwoosh, Unknown, err, "%s answered line %d with something that is not an answer to it: %s", s.c.address, due, raw)
	case problem.passes():
		return problem
	}
	problem.Line, a.Refused = a.Line, problem
	return nil
}

// failed completes the error that ends the stream.
func (s *stream) failed(err error) *Error {
	e, sent := asError(err), false
	e.Line = 0
	e.Happened = No
	if e.Again, sent = s.window.left(); sent {
		e.Happened = Unknown
	}
	return e
}
