package door

import (
	"runtime"
	"time"

	"golang.org/x/time/rate"
)

// The pace of watchers. A piece costs its bytes, and as much again as waking a
// watcher and a write cost.
const (
	paceBytes = 16 << 20 // a second, for each processor
	paceBurst = 2 << 20  // more than one piece
	pieceCost = 8 << 10
)

// Pace bounds what all watchers together are sent while commands are written,
// so that a thousand of them do not take the machine from the writer. It is safe
// for concurrent use.
type Pace struct{ limiter *rate.Limiter }

// NewPace returns a pace of 16 MiB a second for each processor.
func NewPace() Pace {
	return Pace{rate.NewLimiter(rate.Limit(paceBytes*runtime.GOMAXPROCS(0)), paceBurst)}
}

// Sent counts a piece of at most 1 MiB, and returns how long its watcher waits
// before the next.
func (p Pace) Sent(bytes int) time.Duration {
	return p.limiter.ReserveN(time.Now(), min(bytes+pieceCost, paceBurst)).Delay()
}
