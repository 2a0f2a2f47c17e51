package swoosh

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"io"
	"net/http"
	"sync"
	"sync/atomic"

	"github.com/go-json-experiment/json/jsontext"
	"golang.org/x/sync/semaphore"

	"github.com/chorus-services/swoosh/internal/canon"
	"github.com/chorus-services/swoosh/internal/door"
)

// batch applies an atomic batch.
func (x *exchange) batch(ctx context.Context, key string, raw []byte) error {
	rs, err := x.readBatch(raw)
	if err != nil {
		return err
	}
	results, err := x.engine.submitBatchFor(ctx, key, rs, x.caller.mayCommand)
	if err != nil {
		return err
	}
	b := []byte(`{"results":[`)
	for i, r := range results {
		if i > 0 {
			b = append(b, ',')
		}
		b = appendResult(b, r)
	}
	x.accepted(append(b, "]}\n"...))
	return nil
}

// readOne decodes a command, whose key may come in the header.
func (x *exchange) readOne(key string, raw []byte) (Request, error) {
	r, err := decodeCommand(raw)
	if err == nil && key != "" && r.IdempotencyKey != "" && key != r.IdempotencyKey {
		err = malformed([]FieldError{{Pointer: "/idempotency_key", Detail: "differs from the header Idempotency-Key: send the key once"}}, "")
	}
	r.IdempotencyKey, r.Actor = cmp.Or(key, r.IdempotencyKey), x.caller.Name
	return r, err
}

// readBatch decodes an atomic batch, whose key comes in the header.
func (x *exchange) readBatch(raw []byte) ([]Request, error) {
	rs, err := decodeBatch(raw)
	if err != nil {
		return nil, err
	}
	for i, r := range rs {
		rs[i].Actor = x.caller.Name
		if r.IdempotencyKey != "" {
			return nil, batchError(i, malformed([]FieldError{{Pointer: "/idempotency_key", Detail: "is not allowed inside a batch: send the key of the whole batch in the header Idempotency-Key"}}, ""))
		}
		if i > 0 && r.KeySince != (Stamp{}) {
			return nil, batchError(i, malformed([]FieldError{{Pointer: "/key_since", Detail: "is allowed only in the first command of a batch: it belongs to the key of the whole batch"}}, ""))
		}
	}
	return rs, nil
}

// wantsDryRun reports whether the query asks for a dry run.
func (x *exchange) wantsDryRun() (bool, error) {
	query, err := x.parseQuery()
	text, given := query["dry_run"]
	if err == nil && given && text != "true" && text != "false" {
		err = Errorf(MalformedRequest, "the parameter dry_run is %s: it must be true or false", canon.Quote(text))
	}
	return text == "true", err
}

// trial is the answer to a dry run of a command, or with Results of a batch.
type trial struct {
	DryRun  bool           `json:"dry_run"`
	Changed *bool          `json:"changed,omitzero"`
	Result  jsontext.Value `json:"result,omitzero"`
	Results []TrialResult  `json:"results,omitzero"`
	Patch   jsontext.Value `json:"patch"`
}

// dryRun answers what a command or a batch would do.
func (x *exchange) dryRun(ctx context.Context, key string, raw []byte, isBatch bool) (err error) {
	rs := make([]Request, 1)
	if isBatch {
		rs, err = x.readBatch(raw)
	} else {
		rs[0], err = x.readOne(key, raw)
	}
	if err != nil {
		return err
	}
	t, err := x.engine.dryRun(ctx, key, rs, isBatch, x.caller.mayCommand)
	if err != nil {
		return err
	}
	doc := trial{DryRun: true, Results: t.Results, Patch: t.Patch}
	if !isBatch {
		doc.Changed, doc.Result, doc.Results = &t.Results[0].Changed, t.Results[0].Result, nil
	}
	return x.json(http.StatusOK, doc)
}

// batchMaxBytes limits the body of an atomic batch.
const batchMaxBytes = 2 << 20

func batchTooLarge() *Error {
	return Errorf(TooLarge, "an atomic batch may have at most %d bytes: split it, or stream the commands as %s", batchMaxBytes, typeNDJSON)
}

// Limits on the lines of a stream that are waiting for the disk.
const (
	streamWindowLines = 1024
	streamWindowBytes = 4 << 20
	streamLineBytes   = 512 // added for each line
)

// blanks is JSON's white space within a line.
const blanks = " \t\r"

// stream is a POST of commands, one per line. Three goroutines pass the lines
// on: read submits them, settle waits for the results in order, and the handler
// writes the answers. Each has a limit, so if the client does not read its
// answers, its lines are not read either.
type stream struct {
	x       *exchange
	ctx     context.Context // ends when the stream takes no more lines
	cancel  context.CancelFunc
	window  *semaphore.Weighted
	pending chan pendingLine
	out     *door.Outbox
	caller  atomic.Pointer[Caller] // of the next line

	haltOnce sync.Once
	halted   *Error // why the stream takes no more lines; nil: nothing to send. Read after ctx has ended
	untaken  int    // the first line not taken; set by read before it closes pending
	whole    bool   // the body was read to its end; set as untaken is
}

// pendingLine is a line whose answer is not written yet.
type pendingLine struct {
	number int
	bytes  int64
	ctx    context.Context // ends when its answer is due
	ticket ticket
	err    error // set if the line was refused at once
}

// stream answers each line, in order, as soon as its command is durable.
func (x *exchange) stream() error {
	if dry, err := x.wantsDryRun(); err != nil {
		return err
	} else if dry {
		return Errorf(MalformedRequest, "a stream has no dry run: send one command, or an atomic batch as %s", typeJSON)
	}
	if err := x.refuseConditions(); err != nil {
		return err
	}
	if err := x.refuseHeader("Idempotency-Key", "use the member idempotency_key of each line"); err != nil {
		return err
	}
	if err := x.rc.EnableFullDuplex(); err != nil {
		return Errorf(Internal, "the connection cannot be read and written at the same time: %w", err)
	}
	if err := x.hold(commandMaxBytes); err != nil { // a line that has not ended
		return err
	}
	x.endless = true
	defer x.deadlines.Write(x.rc, x.stopGrace)()
	x.beginStream()
	s := &stream{x: x, window: semaphore.NewWeighted(streamWindowBytes), pending: make(chan pendingLine, streamWindowLines)}
	s.ctx, s.cancel = context.WithCancel(context.WithoutCancel(x.r.Context()))
	defer s.cancel()
	s.out = door.NewOutbox(x.unreadMost, func() { door.CutWrite(x.rc, 0) })
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

// beginStream sends the header before it reads the first line: a client may
// wait for the header, or for 100 Continue, before it writes.
func (x *exchange) beginStream() {
	if x.r.Header.Get("Expect") != "" && x.r.ProtoMajor == 1 {
		x.w.WriteHeader(http.StatusContinue)
	}
	x.w.Header().Set("Content-Type", typeNDJSON)
	x.w.WriteHeader(http.StatusOK)
	_ = x.rc.Flush() // If the connection is gone, writing the first answer fails.
}

// halt makes the stream take no more lines. Lines already taken are still
// answered. why is nil if the client is gone.
func (s *stream) halt(why *Error) {
	s.haltOnce.Do(func() {
		s.halted = why
		s.cancel()
		s.x.deadlines.CutRead(s.x.rc)
	})
}

// identified sets the caller of the following lines, or halts the stream if the
// caller has lost access.
func (s *stream) identified(c Caller, err error) {
	if err != nil {
		s.halt(s.x.asError(err))
		return
	}
	s.caller.Store(&c)
}

// read takes lines until the body ends or the stream is halted.
func (s *stream) read() {
	defer close(s.pending)
	lines := door.NewLines(s.x.r.Body, commandMaxBytes)
	for {
		s.x.deadlines.Read(s.x.rc, 0)
		raw, err := lines.Next()
		if s.untaken = lines.Number; s.ctx.Err() != nil {
			return
		}
		switch {
		case err == io.EOF:
			s.whole = true
			s.x.deadlines.ReadDone(s.x.rc)
			return
		case err == door.ErrLineTooLong:
			s.enqueue(pendingLine{err: commandTooLarge()})
		case err != nil && s.x.isStopping():
			s.halt(errShuttingDown())
			return
		case err != nil:
			s.halt(nil)
			return
		case len(bytes.Trim(raw, blanks)) > 0:
			if !s.submit(raw) {
				return
			}
		}
	}
}

// submit submits a line and reports whether the stream goes on.
func (s *stream) submit(raw []byte) bool {
	line := pendingLine{bytes: min(int64(len(raw))+streamLineBytes, streamWindowBytes)}
	if !s.pace() || s.window.Acquire(s.ctx, line.bytes) != nil {
		return false
	}
	line.ticket, line.err = s.submitCommand(raw)
	if s.ctx.Err() != nil && line.err != nil || ShuttingDown.Is(line.err) {
		s.window.Release(line.bytes)
		s.halt(errShuttingDown())
		return false
	}
	s.enqueue(line)
	return true
}

// pace waits until the caller's rate allows another request, since each line
// counts as one. It reports whether the stream goes on.
func (s *stream) pace() bool {
	rates := s.x.rates
	for {
		wait := rates.Admit(door.CallerOf(s.caller.Load().Name, s.x.r))
		if wait == 0 {
			return true
		}
		select {
		case <-rates.After(wait):
		case <-s.ctx.Done():
			return false
		case <-s.x.stopping:
			s.halt(errShuttingDown())
			return false
		}
	}
}

// submitCommand submits the command of a line. A panic fails this line only.
func (s *stream) submitCommand(raw []byte) (t ticket, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = s.x.panicked(p)
		}
	}()
	if bytes.TrimLeft(raw, blanks)[0] == '[' {
		return ticket{}, Errorf(MalformedRequest, "a line is one command, not an array: send an atomic batch in its own request, as %s", typeJSON)
	}
	r, err := decodeCommand(raw)
	if err != nil {
		return ticket{}, err
	}
	caller := s.caller.Load()
	r.Actor = caller.Name
	return s.x.engine.submit(s.ctx, r, caller.mayCommand, true)
}

// enqueue passes the last line read to settle.
func (s *stream) enqueue(line pendingLine) {
	line.number, line.ctx = s.untaken, s.x.timeouts.Context(s.x.r.Context())
	s.pending <- line
}

// settle answers the lines in order. It always drains pending, so that read is
// never stuck.
func (s *stream) settle() {
	var b []byte
	for line := range s.pending {
		b = s.appendAnswer(b[:0], line)
		s.out.Put(b)
	}
	if !s.whole && s.halted != nil {
		p := s.x.problem(s.halted)
		p.Line = s.untaken
		s.out.Put(encode(p))
	}
	s.out.Close()
}

func (s *stream) appendAnswer(b []byte, line pendingLine) []byte {
	result, err := s.result(line)
	s.window.Release(line.bytes)
	if err == nil {
		return append(appendResult(b, result), '\n')
	}
	e := s.x.asError(err)
	if e.Kind == ReadOnly || e.Kind == OutcomeUnknown {
		s.halt(Errorf(ReadOnly, "the server has become read-only and did not take this line or any after it: fix the disk, restart the server, then send them again"))
	}
	p := s.x.problem(e)
	p.Line = line.number
	return append(b, encode(p)...)
}

// result waits for a line's result, with the timeout of a single command.
func (s *stream) result(line pendingLine) (r Result, err error) {
	if line.err != nil {
		return Result{}, line.err
	}
	defer func() {
		if p := recover(); p != nil {
			err = s.x.panicked(p)
		}
	}()
	return line.ticket.wait(line.ctx)
}

// write sends the answers until all are sent, or the connection fails.
func (s *stream) write() {
	for {
		piece, ok := s.out.Next()
		if !ok {
			return
		}
		_, err := s.x.w.Write(piece)
		if err = errors.Join(err, s.x.rc.Flush()); err != nil {
			s.out.Abandon()
			s.halt(nil)
			return
		}
	}
}
