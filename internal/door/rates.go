// Package door handles requests before their content matters: it limits rates,
// lines and waiting times, and keeps out foreign web pages. It knows neither
// routes nor problem documents.
package door

import (
	linked "container/list"
	"math"
	"net"
	"net/http"
	"net/netip"
	"sync"
	"time"

	"golang.org/x/time/rate"
)

// CallersMax is how many callers Rates remembers. Beyond that it forgets the
// one whose last request is oldest, which then starts with a full bucket again.
const CallersMax = 10_000

// Rates limits how often each caller may send a request, by a token bucket for
// each. It is safe for concurrent use.
type Rates struct {
	Now   func() time.Time                     // set before the first request
	After func(time.Duration) <-chan time.Time // for callers that wait; set before the first request

	limit rate.Limit // requests per second; 0: no limit
	burst int        // requests at once

	mu      sync.Mutex
	buckets map[Caller]*linked.Element
	recent  linked.List // of *bucket, most recently used first
}

// Caller is a name or, for callers without one, an address.
type Caller struct{ Name, Address string }

// CallerOf returns the caller to count a request for: the name or, if it is
// empty, the client's address; of IPv6 its network of 64 bits, since whoever has
// one address of it has them all.
func CallerOf(name string, r *http.Request) Caller {
	if name != "" {
		return Caller{Name: name}
	}
	address := AddressOf(r)
	if ip, err := netip.ParseAddr(address); err == nil && ip.Is6() && !ip.Is4In6() && !ip.IsLoopback() {
		network, _ := ip.WithZone("").Prefix(64) // It fails beyond 128 bits only.
		address = network.String()
	}
	return Caller{Address: address}
}

// AddressOf returns the client's address without the port.
func AddressOf(r *http.Request) string {
	address, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		return r.RemoteAddr // a socket without ports
	}
	return address
}

type bucket struct {
	caller  Caller
	limiter *rate.Limiter
}

// NewRates returns a limit of perSecond requests per second for each caller,
// with bursts of the same size; 0 means no limit.
func NewRates(perSecond float64) *Rates {
	burst := int(max(1, math.Ceil(perSecond)))
	return &Rates{Now: time.Now, After: time.After, limit: rate.Limit(perSecond), burst: burst, buckets: map[Caller]*linked.Element{}}
}

// Admit counts a request and returns 0. If the caller has sent too many, it
// does not count the request and returns how long to wait.
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

// Callers returns the number of remembered callers.
func (r *Rates) Callers() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.recent.Len()
}

// find returns the caller's bucket, creating a full one if there is none.
func (r *Rates) find(c Caller) *bucket {
	if e, ok := r.buckets[c]; ok {
		r.recent.MoveToFront(e)
		return e.Value.(*bucket)
	}
	b := &bucket{c, rate.NewLimiter(r.limit, r.burst)}
	r.buckets[c] = r.recent.PushFront(b)
	if r.recent.Len() > CallersMax {
		delete(r.buckets, r.recent.Remove(r.recent.Back()).(*bucket).caller)
	}
	return b
}
