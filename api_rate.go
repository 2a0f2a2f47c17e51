package swoosh

import (
	linked "container/list"
	"math"
	"sync"
	"time"

	"golang.org/x/time/rate"
)

// bucketsMax is how many callers are remembered. Beyond it the one that asked
// longest ago is forgotten, which gives it a new burst.
const bucketsMax = 10_000

// rates bounds how often each caller may ask: a token bucket each.
type rates struct {
	limit rate.Limit // requests a second; 0: any number
	now   func() time.Time
	after func(time.Duration) <-chan time.Time

	mu      sync.Mutex
	buckets map[bucketKey]*linked.Element
	recent  linked.List // of *bucket, the one used last in front
}

// bucketKey is a name or, for those without one, an address.
type bucketKey struct{ name, address string }

type bucket struct {
	key     bucketKey
	limiter *rate.Limiter
}

func newRates(limit float64) *rates {
	return &rates{limit: rate.Limit(limit), now: time.Now, after: time.After, buckets: map[bucketKey]*linked.Element{}}
}

// take counts a request of a caller and gives 0; or it does not, and gives how
// long the caller has to wait.
func (r *rates) take(key bucketKey) time.Duration {
	if r.limit <= 0 {
		return 0
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	now := r.now()
	taken := r.find(key).limiter.ReserveN(now, 1)
	wait := taken.DelayFrom(now)
	if wait > 0 {
		taken.CancelAt(now)
	}
	return wait
}

// find gives the caller's bucket, a full one if it has none.
func (r *rates) find(key bucketKey) *bucket {
	if e, ok := r.buckets[key]; ok {
		r.recent.MoveToFront(e)
		return e.Value.(*bucket)
	}
	b := &bucket{key, rate.NewLimiter(r.limit, int(max(1, math.Ceil(float64(r.limit)))))}
	r.buckets[key] = r.recent.PushFront(b)
	if r.recent.Len() > bucketsMax {
		delete(r.buckets, r.recent.Remove(r.recent.Back()).(*bucket).key)
	}
	return b
}
