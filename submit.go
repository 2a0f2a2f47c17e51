package swoosh

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"go.opentelemetry.io/otel/attribute"
)

// Submit applies one command and returns once its entry is durable. It is for
// any number of goroutines. An error is an *Error.
//
// If ctx ends before the writer took the command, it did not happen; after
// that the error's Unknown is set, and asking again with the same key tells.
func (e *Engine) Submit(ctx context.Context, r Request) (Result, error) {
	return e.submitFor(ctx, r, nil)
}

// submitFor is Submit for a caller who may send some commands only.
func (e *Engine) submitFor(ctx context.Context, r Request, may permit) (Result, error) {
	wait, err := e.submit(ctx, r, may, false)
	if err != nil {
		return Result{}, err
	}
	return wait(ctx)
}

// submitWaiting is submitFor for streams: it waits for room in the queue, and
// returns a function that waits for the answer.
func (e *Engine) submitWaiting(ctx context.Context, r Request, may permit) (func(context.Context) (Result, error), error) {
	return e.submit(ctx, r, may, true)
}

// submit enqueues a command, and returns a function that waits for the answer:
// call it once.
func (e *Engine) submit(ctx context.Context, r Request, may permit, wait bool) (func(context.Context) (Result, error), error) {
	ctx, end := e.span(ctx, "swoosh.submit", attribute.String("swoosh.command", r.Command))
	ended := func(result Result, err error) (Result, error) {
		e.count(r.Command, result, err)
		end(result.Index, err)
		return result, err
	}
	p, err := e.prepare(r, may)
	if err == nil {
		err = e.enqueue(ctx, p, wait)
	}
	if err != nil {
		_, err = ended(Result{}, err)
		return nil, err
	}
	return func(ctx context.Context) (Result, error) { return ended(p.one(e.wait(ctx, p))) }, nil
}

// SubmitBatch applies 1 to 1000 commands as one: in order, each seeing those
// before it, in one durable write, or none. The key, which may be empty, is
// for the whole; the requests have none, and only the first may have a
// KeySince. A refusal's Position says which command was refused.
func (e *Engine) SubmitBatch(ctx context.Context, key string, rs []Request) ([]Result, error) {
	return e.submitBatchFor(ctx, key, rs, nil)
}

// submitBatchFor is SubmitBatch for a caller who may send some commands only.
func (e *Engine) submitBatchFor(ctx context.Context, key string, rs []Request, may permit) (results []Result, err error) {
	ctx, end := e.span(ctx, "swoosh.submit_batch", attribute.Int("swoosh.commands", len(rs)))
	defer func() {
		e.countBatch(rs, results, err)
		if err != nil {
			end(0, err)
			return
		}
		end(results[len(results)-1].Index, nil)
	}()
	p, err := e.prepareBatch(key, rs, may)
	if err == nil {
		err = e.enqueue(ctx, p, false)
	}
	if err != nil {
		return nil, err
	}
	return e.wait(ctx, p)
}

func (p *pending) one(rs []Result, err error) (Result, error) {
	if err != nil {
		return Result{}, err
	}
	return rs[0], nil
}

func newPending(calls []*call, batch bool) *pending {
	first := calls[0].req
	p := &pending{calls: calls, batch: batch, key: first.IdempotencyKey, keySince: first.KeySince, done: make(chan struct{})}
	for _, c := range calls {
		p.bytes += int64(c.size)
	}
	return p
}

func (e *Engine) prepare(r Request, may permit) (*pending, error) {
	c, err := e.prepareCall(r, may)
	if err != nil {
		return nil, err
	}
	return newPending([]*call{c}, false), nil
}

// prepareCall decodes a request. Code of domains runs here: its panic is this
// command's failure alone.
func (e *Engine) prepareCall(r Request, may permit) (*call, error) {
	c, err := e.cat.prepareSafely(r, may)
	if err != nil {
		e.reportPanic(r.Command, err)
		return nil, err
	}
	return c, nil
}

func (cat *catalogue) prepareSafely(r Request, may permit) (c *call, err *Error) {
	defer caught(r.Command, &err)
	c, refused := cat.prepare(r, may)
	if refused != nil {
		return nil, asError(refused, Internal)
	}
	return c, nil
}

// askGuards has the guards judge the commands.
func (e *Engine) askGuards(ctx context.Context, calls []*call) (err *Error) {
	defer caught("a guard", &err)
	v := e.View()
	for _, c := range calls {
		c.verdicts = judge(ctx, e.o.Guards, c.req, v)
	}
	return nil
}

func (e *Engine) prepareBatch(key string, rs []Request, may permit) (*pending, error) {
	if len(rs) == 0 {
		return nil, Errorf(MalformedRequest, "a batch has 1 to %d commands, this one has none", batchMaxCommands)
	}
	if len(rs) > batchMaxCommands {
		return nil, batchTooLong(len(rs))
	}
	calls := make([]*call, len(rs))
	for i, r := range rs {
		if r.IdempotencyKey != "" || i > 0 && r.KeySince != (Stamp{}) {
			return nil, batchError(i, malformed([]FieldError{{Pointer: "/idempotency_key", Detail: "does not belong inside a batch: one key stands for the whole, with the first command's key_since"}}, ""))
		}
		if i == 0 {
			r.IdempotencyKey = key
		}
		var err error
		if calls[i], err = e.prepareCall(r, may); err != nil {
			return nil, batchError(i, asError(err, Internal))
		}
	}
	return newPending(calls, true), nil
}

// enqueue asks the guards and hands a submission to run. Without wait a full
// queue is Overloaded.
func (e *Engine) enqueue(ctx context.Context, p *pending, wait bool) error {
	if err := e.askGuards(ctx, p.calls); err != nil {
		e.reportPanic("guard", err)
		return err
	}
	if err := ctx.Err(); err != nil {
		return withdrawn(err)
	}
	e.intake.RLock()
	defer e.intake.RUnlock()
	if e.closed {
		return errShuttingDown()
	}
	p.bytes = min(p.bytes, queueMaxBytes)
	if !e.room.TryAcquire(p.bytes) {
		if !wait {
			return errOverloaded()
		}
		if err := e.acquire(ctx, p.bytes); err != nil {
			return err
		}
	}
	select {
	case e.queue <- p:
		return nil
	default:
	}
	err := errOverloaded()
	if wait {
		select {
		case e.queue <- p:
			return nil
		case <-ctx.Done():
			err = withdrawn(ctx.Err())
		case <-e.stopping:
			err = errShuttingDown()
		}
	}
	e.room.Release(p.bytes)
	return err
}

// acquire waits for room in the queue, until ctx or the intake ends.
func (e *Engine) acquire(ctx context.Context, bytes int64) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	stop := context.AfterFunc(e.stopped, func() { cancel(errShuttingDown()) })
	defer stop()
	if err := e.room.Acquire(ctx, bytes); err != nil {
		var e *Error
		if errors.As(context.Cause(ctx), &e) {
			return e
		}
		return withdrawn(err)
	}
	return nil
}

func errShuttingDown() *Error {
	return Errorf(ShuttingDown, "the server is stopping: try again after its restart")
}

func errOverloaded() *Error {
	return Errorf(Overloaded, "the queue is full: send the command again in a moment")
}

func withdrawn(cause error) *Error {
	return Errorf(Timeout, "the command was withdrawn before the writer took it: %w", cause)
}

// wait gives the answer to a submission that is in the queue.
func (e *Engine) wait(ctx context.Context, p *pending) ([]Result, error) {
	select {
	case <-p.done:
	case <-ctx.Done():
		if !p.taken.Swap(true) {
			e.room.Release(p.bytes)
			return nil, withdrawn(ctx.Err())
		}
		err := Errorf(Timeout, "the command was not durable in time: send it again with the same key, or look for its entry: %w", ctx.Err())
		err.Unknown = true
		return nil, err
	}
	if p.err != nil {
		return nil, p.err
	}
	if p.hit != 0 {
		return e.duplicate(p)
	}
	return p.results, nil
}

// duplicate answers a submission whose key the entry p.hit carries: with the
// first answer if the content is the same.
func (e *Engine) duplicate(p *pending) ([]Result, error) {
	entries, err := e.submission(p.hit)
	if errors.Is(err, errNoEntry) {
		expired := Errorf(KeyExpired, "the key belongs to entry %d, which a repair took out of the log: look whether the command happened", p.hit)
		expired.Unknown = true
		return nil, expired
	}
	if err != nil {
		return nil, Errorf(Internal, "the entry %d that carries the key cannot be read: %w", p.hit, err)
	}
	same := len(entries) == len(p.calls) && p.batch == (entries[0].Batch.Count > 0)
	for i := 0; same && i < len(entries); i++ {
		same = entries[i].sameContent(p.calls[i])
	}
	if !same {
		return nil, Errorf(IdempotencyKeyReused, "the key belongs to %s, entry %d, with other content: a new command needs a new key", entries[0].Command, p.hit)
	}
	results := make([]Result, len(entries))
	for i, x := range entries {
		results[i] = Result{x.Index, x.HLC, x.StateHash, x.Changed, true}
	}
	return results, nil
}

// submission reads the entry at index and the rest of its batch.
func (e *Engine) submission(index uint64) ([]*Entry, error) {
	var all []*Entry
	to := index
	for r, err := range e.wal.Read(index, index+batchMaxCommands) {
		if err != nil {
			return nil, err
		}
		if r.Index != index+uint64(len(all)) {
			break // a gap
		}
		x, err := DecodeEntry(r)
		if err != nil {
			return nil, err
		}
		if len(all) == 0 {
			to = x.BatchEnd()
		}
		if all = append(all, x); x.Index >= to {
			return all, nil
		}
	}
	return nil, fmt.Errorf("entry %d %w", index+uint64(len(all)), errNoEntry)
}

// sameContent compares what a key stands for: command, payload, signer,
// window_id, inputs_hash and evidence.
func (x *Entry) sameContent(c *call) bool {
	r := &c.req
	return x.Command == c.cmd.Name && string(x.Payload) == string(c.payload) &&
		x.Signer == r.Signer && x.WindowID == r.WindowID && x.InputsHash == r.InputsHash &&
		slices.Equal(x.Evidence, r.Evidence)
}
