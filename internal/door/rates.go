// Package door holds what a server does with requests before it looks at what
// they ask for: it bounds rates, lines and waiting, and keeps foreign web pages
// out. It knows neither routes nor problem documents.
package door

import (
	linked "container/list"
	"math"
	"net"
	"net/http"
	"sync"
	"time"

	"golang.org/x/time/rate"
)

// CallersMax is how many callers Rates remembers. Beyond it, the one whose
// last request is the oldest is forgotten, which gives it a new burst.
const CallersMax = 10_000

// Rates bounds how often each caller may send a request: a token bucket each.
// It is safe for concurrent use.
type Rates struct {
	Now   func() time.Time                     // set before the first request
	After func(time.Duration) <-chan time.Time // for callers that wait; likewise

	limit rate.Limit // requests a second; 0: any number

	mu      sync.Mutex
	buckets map[Caller]*linked.Element
	recent  linked.List // of *bucket, the one used last in front
}

// Caller is a name or, for a caller without one, an address.
type Caller struct{ Name, Address string }

// CallerOf returns who a request is counted for: the name, or if it is empty,
// the address that the request came from, without the port.
func CallerOf(name string, r *http.Request) Caller {
	if name != "" {
		return Caller{Name: name}
	}
	address, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		address = r.RemoteAddr // of a socket without ports
	}
	return Caller{Address: address}
}

type bucket struct {
	caller  Caller
	limiter *rate.Limiter
}

// NewRates returns a bound of perSecond requests a second for each caller,
// with bursts of as many; 0: any number.
func NewRates(perSecond float64) *Rates {
	return &Rates{Now: time.Now, After: time.After, limit: rate.Limit(perSecond), buckets: map[Caller]*linked.Element{}}
}

// Admit counts a request and returns 0. If the caller has sent too many, it
// does not count it, and returns how long the caller has to wait.
func (r *Rates) Admit(c Caller) (wait time.Duration) {
	if r.limit <= 0 {
		return 0
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	now := r.Now()
	reserved := r.find(c).limiter.ReserveN(now, 1)
	if wait = reserved.DelayFrom(now); wait > 0 {
		reserved.CancelAt(now)
	}
	return wait
}

// Callers returns how many callers are remembered.
func (r *Rates) Callers() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.recent.Len()
}

// find returns the caller's bucket, a full one if it has none.
func (r *Rates) find(c Caller) *bucket {
	if e, ok := r.buckets[c]; ok {
		r.recent.MoveToFront(e)
		return e.Value.(*bucket)
	}
	b := &bucket{c, rate.NewLimiter(r.limit, int(max(1, math.Ceil(float64(r.limit)))))}
	r.buckets[c] = r.recent.PushFront(b)
	if r.recent.Len() > CallersMax {
		delete(r.buckets, r.recent.Remove(r.recent.Back()).(*bucket).caller)
	}
	return b
}
