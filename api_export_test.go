package swoosh

import (
	"time"

	"github.com/chorus-services/swoosh/internal/door"
)

// SetHeartbeat changes how often a watch gets a comment.
func (a *API) SetHeartbeat(d time.Duration) { a.heartbeat = d }

// SetAskEvery changes how often the caller of a stream or a watch is identified
// again.
func (a *API) SetAskEvery(d time.Duration) { a.askEvery = d }

// SetUnreadMost changes how long the answers of a stream may be unread.
func (a *API) SetUnreadMost(d time.Duration) { a.unreadMost = d }

// SetStopGrace changes how long streams and watches have for their last
// answers.
func (a *API) SetStopGrace(d time.Duration) { a.stopGrace = d }

// SetRates sets the clock of the callers' rates, in Unix ms, and how a stream
// waits; nil if none does.
func (a *API) SetRates(nowMS func() int64, after func(time.Duration) <-chan time.Time) {
	a.rates.Now, a.rates.After = func() time.Time { return time.UnixMilli(nowMS()) }, after
}

// Buckets returns how many callers are remembered.
func (a *API) Buckets() int { return a.rates.Callers() }

// BucketsMax is how many there can be.
const BucketsMax = door.CallersMax

// The bounds of bodies, in bytes.
const (
	CommandMaxBytes   = commandMaxBytes
	BatchBodyMaxBytes = batchMaxBytes
)
