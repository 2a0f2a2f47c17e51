package swoosh

import (
	"time"

	"github.com/chorus-services/swoosh/internal/door"
)

// RetainNow removes what is not retained, and returns when that is done.
func (e *Engine) RetainNow() error { return e.retain() }

// SetHeartbeat sets the interval of comments in a watch.
func (a *API) SetHeartbeat(d time.Duration) { a.heartbeat = d }

// SetAskEvery sets the interval at which the caller of a stream or a watch is
// identified again.
func (a *API) SetAskEvery(d time.Duration) { a.askEvery = d }

// SetOutcomeMost sets how long an outcome may take before it is pending.
func (a *API) SetOutcomeMost(d time.Duration) { a.outcomeMost = d }

// SetUnreadMost sets how long the answers of a stream may stay unread.
func (a *API) SetUnreadMost(d time.Duration) { a.unreadMost = d }

// SetStopGrace sets the time that streams and watches have for their last
// answers.
func (a *API) SetStopGrace(d time.Duration) { a.stopGrace = d }

// SetRates sets the clock of the rates, in Unix ms, and the timer of waiting
// streams; nil if none waits.
func (a *API) SetRates(nowMS func() int64, after func(time.Duration) <-chan time.Time) {
	a.rates.Now, a.rates.After = func() time.Time { return time.UnixMilli(nowMS()) }, after
}

// SetFailures sets the clock by which callers that fail to authenticate are
// slowed down.
func (a *API) SetFailures(nowMS func() int64) {
	a.failures.Rates.Now = func() time.Time { return time.UnixMilli(nowMS()) }
}

// Buckets returns the number of remembered callers.
func (a *API) Buckets() int { return a.rates.Callers() }

// BucketsMax is the most callers that are remembered.
const BucketsMax = door.CallersMax

// The limits of bodies, in bytes.
const (
	CommandMaxBytes   = commandMaxBytes
	BatchBodyMaxBytes = batchMaxBytes
)

// SetFlow sets how many bytes bodies and answers on their way may take, of one caller
// as of all.
func (a *API) SetFlow(bytes int64) { a.flow = door.NewBudget(bytes, bytes) }

// FlowIsFree reports whether nothing of so many bytes is held.
func (a *API) FlowIsFree(bytes int64) bool {
	free := a.flow.Take(door.Caller{}, bytes)
	if free {
		a.flow.Give(door.Caller{}, bytes)
	}
	return free
}
