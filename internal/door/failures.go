package door

import (
	"net/http"
	"sync/atomic"
	"time"

	"golang.org/x/time/rate"
)

// An address may fail to authenticate so often at once, and then once a second. The
// log gets so many lines about refused callers at once, and then one a second.
const (
	failuresBurst = 60
	linesBurst    = 60
)

// Failures slows down addresses that fail to authenticate, and bounds what the log
// says of refused callers. It is safe for concurrent use. It remembers CallersMax
// addresses.
type Failures struct {
	Rates  *Rates // by address
	lines  *rate.Limiter
	unsaid atomic.Int64 // refusals without a line since the last one with
}

// NewFailures returns a Failures that has seen none.
func NewFailures() *Failures {
	r := NewRates(1)
	r.burst = failuresBurst
	return &Failures{Rates: r, lines: rate.NewLimiter(1, linesBurst)}
}

// Count counts a failure. If there were too many from the request's address, it
// returns how long the caller should wait before the next.
func (f *Failures) Count(r *http.Request) (wait time.Duration) {
	return f.Rates.Admit(CallerOf("", r))
}

// Say reports whether the log may have a line about a refusal, and how many had
// none since the last.
func (f *Failures) Say() (say bool, unsaid int64) {
	if !f.lines.AllowN(f.Rates.Now(), 1) {
		f.unsaid.Add(1)
		return false, 0
	}
	return true, f.unsaid.Swap(0)
}
