package client

import (
	"context"
	"errors"
	"math/rand/v2"
	"time"
)

// Retry is how long a call goes on asking until there is an answer that will
// stay so. Between two attempts it waits for a random time, at most 100 ms at
// first and twice as long each time, up to 5 s; and as long as the server's
// Retry-After says. A stream and a log begin their budget with a failure, and
// have the whole of it again after each answer; a watch needs none.
//
// An attempt has failed when the server says nothing for 65 s; 45 s in a watch, 10 s
// for Version, Ready, Health and where the log ends. Snapshot, Import and a state of
// long ago take as long as they take.
type Retry struct {
	Attempts int           // most attempts; 0: as many as fit into For; 1: never ask again
	For      time.Duration // no attempt begins later than that after the first; 0 means 1 min

	// Notify is told why another attempt is made, before the pause; nil: nobody
	// is. Calls of several goroutines come side by side.
	Notify func(why *Error, pause time.Duration)
}

const (
	firstPause   = 100 * time.Millisecond
	longestPause = 5 * time.Second
)

// backoff is one call's use of its budget.
type backoff struct {
	budget   Retry
	endless  bool      // there is no budget
	began    time.Time // zero: with the next failure
	attempts int
}

func (c *Client) backoff() *backoff {
	return &backoff{budget: c.retry, began: time.Now()}
}

// patience is a backoff for what may last: the budget is for failures alone, not
// for the time that commands take to come, or entries to be worked on.
func (c *Client) patience() *backoff { return &backoff{budget: c.retry} }

// reset begins anew, since the server gave an answer.
func (b *backoff) reset() { b.began, b.attempts = time.Time{}, 0 }

// errEnough says that the caller wants no more.
var errEnough = errors.New("the caller wants no more")

// again calls once until it succeeds, fails for good, or the budget ends.
func (c *Client) again(ctx context.Context, once func() error) error {
	return c.backoff().again(ctx, once)
}

// again calls once until it succeeds, is enough, fails for good, or the budget
// ends.
func (b *backoff) again(ctx context.Context, once func() error) error {
	for {
		err := once()
		if err == nil || err == errEnough {
			return nil
		}
		if err = b.pause(ctx, err); err != nil {
			return err
		}
	}
}

// pause waits until the next attempt. It gives err if there is to be none.
func (b *backoff) pause(ctx context.Context, err error) error {
	if e := asError(err); !e.passes() {
		return e
	}
	return b.wait(ctx, err)
}

// wait is pause for an error that calls for another attempt in any case.
func (b *backoff) wait(ctx context.Context, err error) error {
	e := asError(err)
	pause := e.after + rand.N(min(firstPause<<min(b.attempts, 10), longestPause))
	if b.attempts++; b.began.IsZero() {
		b.began = time.Now()
	}
	switch {
	case ctx.Err() != nil:
		return e.because(context.Cause(ctx))
	case b.endless:
	case b.attempts == b.budget.Attempts, time.Since(b.began)+pause > b.budget.For:
		return e
	}
	if b.budget.Notify != nil {
		b.budget.Notify(e, pause)
	}
	timer := time.NewTimer(pause)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return e.because(context.Cause(ctx))
	}
}
