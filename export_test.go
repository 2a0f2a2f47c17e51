package swoosh

import (
	"context"
	"reflect"

	"github.com/chorus-services/swoosh/internal/badgerlog"
	"github.com/chorus-services/swoosh/internal/keywindow"
)

// Limits of the queue and of a group, and the disk's reserve.
const (
	QueueMaxCommands = queueMaxCommands
	QueueMaxBytes    = queueMaxBytes
	BatchMaxCommands = batchMaxCommands
	PageMostRead     = pageMostRead
	GroupMaxBytes    = groupMaxBytes
	MaxEntryBytes    = maxEntryBytes
	ResultMaxBytes   = resultMaxBytes
	DiskReserve      = diskReserve
	RoomBytes        = badgerlog.RoomBytes
)

// Kinds returns the engine's kinds, Internal first.
func Kinds() []Kind { return kinds }

// Answer waits for the answer to a submission.
type Answer func(context.Context) ([]Result, error)

// Enqueue passes a command to the writer without waiting for the answer, so
// that a test controls the order.
func (e *Engine) Enqueue(r Request) (Answer, error) {
	p, err := e.prepare(r, nil)
	return e.enqueued(p, err)
}

// EnqueueBatch is Enqueue for an atomic batch.
func (e *Engine) EnqueueBatch(key string, rs ...Request) (Answer, error) {
	p, err := e.prepareBatch(key, rs, nil)
	return e.enqueued(p, err)
}

func (e *Engine) enqueued(p *pending, err error) (Answer, error) {
	if err == nil {
		err = e.enqueue(context.Background(), p, false)
	}
	if err != nil {
		return nil, err
	}
	return func(ctx context.Context) ([]Result, error) { return e.wait(ctx, p) }, nil
}

// SubmitWaiting is Submit for streams.
func (e *Engine) SubmitWaiting(ctx context.Context, r Request) (func(context.Context) (Result, error), error) {
	t, err := e.submit(ctx, r, nil, true)
	return t.wait, err
}

// Queued counts the submissions that the writer has not taken.
func (e *Engine) Queued() int { return len(e.intake.queue) }

// SetWindowMax changes how many keys the window holds. Call it before the
// first command.
func (e *Engine) SetWindowMax(n int) { e.window = keywindow.New(n, keywindow.Stamp{}) }

// LayOut declares a domain whose state has a type that cannot be written in
// source.
func LayOut(state reflect.Type) { new(definition).layOut(state) }

// NewClock is newClock.
var NewClock = newClock
