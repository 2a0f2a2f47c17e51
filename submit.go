package swoosh

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"

	"go.opentelemetry.io/otel/attribute"
	"golang.org/x/sync/semaphore"
)

// Submit applies one command and returns once its entry is durable. It is safe
// for concurrent use. The error is an *Error.
//
// If ctx ends before the writer took the command, it did not happen. If ctx ends
// later, the error's Unknown is set; submit it again with the same key to learn
// the outcome.
func (e *Engine) Submit(ctx context.Context, r Request) (Result, error) {
	return e.submitFor(ctx, r, nil)
}

// submitFor is Submit for a caller that may not send every command.
func (e *Engine) submitFor(ctx context.Context, r Request, may permit) (Result, error) {
	t, err := e.submit(ctx, r, may, false)
	if err != nil {
		return Result{}, err
	}
	return t.wait(ctx)
}

// ticket stands for a command in the queue.
type ticket struct {
	engine  *Engine
	pending *pending
	span    span
}

// submit enqueues a command. With wait, as for streams, it waits for room.
func (e *Engine) submit(ctx context.Context, r Request, may permit, wait bool) (ticket, error) {
	ctx, span := e.span(ctx, "swoosh.submit", attribute.String("swoosh.command", r.Command))
	p, err := e.prepare(r, may)
	if err == nil {
		err = e.enqueue(ctx, p, wait)
	}
	if err != nil {
		e.count(r.Command, Result{}, err)
		span.end(0, err)
		return ticket{}, err
	}
	return ticket{e, p, span}, nil
}

// wait returns the answer. It must be called once.
func (t ticket) wait(ctx context.Context) (Result, error) {
	result, err := one(t.engine.wait(ctx, t.pending))
	t.engine.count(t.pending.calls[0].cmd.Name, result, err)
	t.span.end(result.Index, err)
	return result, err
}

// one returns the result of a submission of one command.
func one(rs []Result, err error) (Result, error) {
	if err != nil {
		return Result{}, err
	}
	return rs[0], nil
}

func (e *Engine) prepare(r Request, may permit) (*pending, error) {
	c, err := e.prepareCall(r, may)
	if err != nil {
		return nil, err
	}
	return newPending(false, c), nil
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

// enqueue checks signatures, asks the guards and hands a submission to run. Without wait a full
// queue is Overloaded.
func (e *Engine) enqueue(ctx context.Context, p *pending, wait bool) error {
	if err := e.judge(ctx, p); err != nil {
		return err
	}
	return e.intake.enqueue(ctx, p, wait)
}

// judge checks the signatures of a submission and asks the guards, on its caller's
// goroutine. The error is a panic of theirs, or a stop.
func (e *Engine) judge(ctx context.Context, p *pending) error {
	v := e.View()
	err := checkSignatures(p.calls, v)
	countSignatures(p.calls, e.meters)
	if guards := e.o.guards(); err == nil && len(guards) > 0 {
		asking, done := e.intake.during(ctx)
		defer done()
		err = askGuards(asking, p.calls, guards, v, e.judged)
		if err == nil && asking.Err() != nil { // What guards say of a question that is cut short is no verdict.
			return withdrawn(context.Cause(asking))
		}
	}
	if err != nil {
		e.reportPanic(p.calls[0].cmd.Name, err)
		return err
	}
	return nil
}

// wait returns the answer to a submission that is in the queue.
func (e *Engine) wait(ctx context.Context, p *pending) ([]Result, error) {
	select {
	case <-p.done:
	case <-ctx.Done():
		if e.intake.withdraw(p) {
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
	for _, c := range p.calls {
		if c.key != "" {
			e.o.Verified(e.View(), Signed{c.by, c.key})
		}
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
	same := p.onlyAsks() || len(entries) == len(p.calls) && p.batch == (entries[0].Batch.Count > 0)
	for i := 0; same && i < len(p.calls); i++ {
		same = entries[i].sameContent(p.calls[i])
	}
	if !same {
		return nil, Errorf(IdempotencyKeyReused, "the key belongs to %s, entry %d, with other content: a new command needs a new key", entries[0].Command, p.hit)
	}
	results := make([]Result, len(entries))
	for i, x := range entries {
		results[i] = Result{x.Index, x.HLC, x.StateHash, x.Changed, true, x.Result}
	}
	return results, nil
}

// SubmitBatch applies 1 to 1000 commands as one: in order, each seeing those
// before it, in one durable write, or none. The key, which may be empty, is
// for the whole; the requests have none, and only the first may have a
// KeySince. A refusal's Position says which command was refused.
func (e *Engine) SubmitBatch(ctx context.Context, key string, rs []Request) ([]Result, error) {
	return e.submitBatchFor(ctx, key, rs, nil)
}

// submitBatchFor is SubmitBatch for a caller that may not send every command.
func (e *Engine) submitBatchFor(ctx context.Context, key string, rs []Request, may permit) (results []Result, err error) {
	ctx, span := e.span(ctx, "swoosh.submit_batch", attribute.Int("swoosh.commands", len(rs)))
	defer func() {
		e.countBatch(rs, results, err)
		if err != nil {
			span.end(0, err)
			return
		}
		span.end(results[len(results)-1].Index, nil)
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

func (e *Engine) prepareBatch(key string, rs []Request, may permit) (*pending, error) {
	if len(rs) == 0 {
		return nil, Errorf(MalformedRequest, "a batch has 1 to %d commands: this one has none", batchMaxCommands)
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
	return newPending(true, calls...), nil
}

// pending is a submission: one command, an atomic batch, or an import.
type pending struct {
	calls    []*call
	batch    bool
	imported *importing
	key      string
	keySince Stamp
	bytes    int64
	taken    atomic.Bool // by run, or withdrawn by its caller: whoever is first
	done     chan struct{}

	// Written by run or commit before done is closed.
	results []Result
	err     *Error
	hit     uint64 // the entry that carried the key before; the caller compares

	only   [1]*call  // where calls is if there is one
	answer [1]Result // where results is if there is one
}

func newPending(batch bool, calls ...*call) *pending {
	first := &calls[0].req
	p := &pending{batch: batch, key: first.IdempotencyKey, keySince: first.KeySince, done: make(chan struct{})}
	p.calls, p.results = append(p.only[:0], calls...), p.answer[:0]
	for _, c := range calls {
		p.bytes += int64(c.size)
		c.by.InBatch = batch
	}
	return p
}

// index is that of the entry that the submission's answer names; 0 if it was
// refused.
func (p *pending) index() uint64 {
	if p.hit == 0 && len(p.results) > 0 {
		return p.results[0].Index
	}
	return p.hit
}

// release lets the callers of submissions go on, with the answers they hold.
func release(all ...*pending) {
	for _, p := range all {
		close(p.done)
	}
}

// Bounds of the queue.
const (
	queueMaxCommands = 4096
	queueMaxBytes    = 16 << 20
)

// intake is where submissions wait for run, bounded in commands and in bytes.
type intake struct {
	queue chan *pending
	room  *semaphore.Weighted // bytes in the queue
	ended context.Context     // ends when no more submissions are taken
	end   context.CancelFunc

	mu     sync.RWMutex // held for reading while something enters
	closed bool
}

func newIntake() *intake {
	ended, end := context.WithCancel(context.Background())
	return &intake{
		queue: make(chan *pending, queueMaxCommands), room: semaphore.NewWeighted(queueMaxBytes),
		ended: ended, end: end,
	}
}

func (in *intake) enqueue(ctx context.Context, p *pending, wait bool) error {
	if err := ctx.Err(); err != nil {
		return withdrawn(err)
	}
	in.mu.RLock()
	defer in.mu.RUnlock()
	if in.closed {
		return errShuttingDown()
	}
	p.bytes = min(p.bytes, queueMaxBytes)
	if err := in.acquire(ctx, p.bytes, wait); err != nil {
		return err
	}
	select {
	case in.queue <- p:
		return nil
	default:
	}
	err := errOverloaded()
	if wait {
		select {
		case in.queue <- p:
			return nil
		case <-ctx.Done():
			err = withdrawn(ctx.Err())
		case <-in.ended.Done():
			err = errShuttingDown()
		}
	}
	in.room.Release(p.bytes)
	return err
}

// acquire takes room in the queue. With wait it waits until ctx or the intake
// ends.
func (in *intake) acquire(ctx context.Context, bytes int64, wait bool) error {
	if in.room.TryAcquire(bytes) {
		return nil
	}
	if !wait {
		return errOverloaded()
	}
	ctx, done := in.during(ctx)
	defer done()
	if err := in.room.Acquire(ctx, bytes); err != nil {
		return withdrawn(context.Cause(ctx))
	}
	return nil
}

// during returns a context that ends with ctx, and when the intake does.
func (in *intake) during(ctx context.Context) (_ context.Context, done func()) {
	ctx, cancel := context.WithCancelCause(ctx)
	stop := context.AfterFunc(in.ended, func() { cancel(errShuttingDown()) })
	return ctx, func() { stop(); cancel(nil) }
}

// claim takes a submission out of the queue for run; nil if its caller withdrew
// it.
func (in *intake) claim(p *pending) *pending {
	if p == nil || p.taken.Swap(true) {
		return nil
	}
	in.room.Release(p.bytes)
	return p
}

// withdraw takes a submission back for its caller, unless run has claimed it.
func (in *intake) withdraw(p *pending) bool { return in.claim(p) != nil }

// unlessClosed calls f, before which the intake does not close. It reports
// whether it did.
func (in *intake) unlessClosed(f func()) bool {
	in.mu.RLock()
	defer in.mu.RUnlock()
	if !in.closed {
		f()
	}
	return !in.closed
}

// close takes no more submissions. Those in the queue are still reduced.
func (in *intake) close() {
	in.end()
	in.mu.Lock()
	defer in.mu.Unlock()
	if !in.closed {
		in.closed = true
		close(in.queue)
	}
}

// drained reports whether the queue is closed and empty.
func (in *intake) drained() bool {
	if in.ended.Err() == nil {
		return false
	}
	in.mu.RLock()
	defer in.mu.RUnlock()
	return in.closed && len(in.queue) == 0
}
