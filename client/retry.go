package client

import (
	"context"
	"errors"
	"math/rand/v2"
	"time"
)

// Retry limits how long a call retries until it has a final answer. Before each
// retry it waits for a random time, at most 100 ms at first and twice as long
// each time, up to 5 s, plus the time in the server's Retry-After. For a stream
// and a log, the budget starts at a failure and is full again after each
// answer. A watch has no budget.
//
// An attempt fails if the server is silent for 65 s; 45 s in a watch, and 10 s
// for Version, Ready, Health and finding the end of the log. Snapshot, Import
// and reading a past state have no such limit.
type Retry struct {
	Attempts int           // the most attempts; 0: as many as fit into For; 1: no retries
	For      time.Duration // time from the first attempt in which others may begin; 0 means 1 min

	// Notify is called before the pause of each retry, with the reason; nil:
	// not called. Calls from several goroutines may be concurrent.
	Notify func(why *Error, pause time.Duration)
}

const (
	firstPause   = 100 * time.Millisecond
	longestPause = 5 * time.Second
)

// backoff tracks one call's use of its budget.
type backoff struct {
	budget   Retry
	endless  bool      // no budget
	began    time.Time // zero: the budget starts with the next failure
	attempts int
}

func (c *Client) backoff() *backoff {
	return &backoff{budget: c.retry, began: time.Now()}
}

// patience returns a backoff for long calls, whose budget counts only from a
// failure, not while waiting for commands or for the caller to handle entries.
func (c *Client) patience() *backoff { return &backoff{budget: c.retry} }

// reset restores the budget after an answer of the server.
func (b *backoff) reset() { b.began, b.attempts = time.Time{}, 0 }

// errEnough is returned when the caller wants no more.
var errEnough = errors.New("the caller wants no more")

// again calls once until it succeeds, fails permanently, or the budget is used
// up.
func (c *Client) again(ctx context.Context, once func() error) error {
	return c.backoff().again(ctx, once)
}

// again calls once until it succeeds, returns errEnough, fails permanently, or
// the budget is used up.
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

// pause waits until the next attempt. It returns err if there must be none.
func (b *backoff) pause(ctx context.Context, err error) error {
	if e := asError(err); !e.passes() {
		return e
	}
	return b.wait(ctx, err)
}

// wait is pause for an error that always calls for another attempt.
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
