package swoosh

import (
	"net"
	"net/netip"
	"slices"
	"strings"
)

// Headers that a web page may send, and those that it may read, beside the
// ones that every page may.
const (
	pageMaySend = "Authorization, Content-Type, Idempotency-Key, If-Match, If-None-Match, Last-Event-ID"
	pageMayRead = "ETag, Retry-After, Swoosh-HLC, Swoosh-Index"
)

// checkPage keeps web pages out, but those of the server itself and of the
// origins that are named: a browser names the page's origin, and the host that
// it believes to speak to.
func (x *exchange) checkPage() error {
	if x.api.o.Loopback && !isLoopback(x.r.Host) {
		return Errorf(Forbidden, "the Host %s is not a loopback name or address: use localhost or 127.0.0.1", shown(x.r.Host))
	}
	own := "http://" + x.r.Host
	if x.r.TLS != nil {
		own = "https://" + x.r.Host
	}
	for _, origin := range x.r.Header.Values("Origin") {
		if !strings.EqualFold(origin, own) && !slices.Contains(x.api.o.Origins, origin) {
			return Errorf(Forbidden, "the Origin %s is foreign: only pages of %s may ask, and of origins that the server was started with", shown(origin), own)
		}
	}
	return nil
}

func isLoopback(host string) bool {
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	ip, err := netip.ParseAddr(strings.TrimSuffix(strings.TrimPrefix(host, "["), "]"))
	return strings.EqualFold(host, "localhost") || err == nil && ip.Unmap().IsLoopback()
}

// shareAnswer lets a page of a named origin read the answer, whichever it is
// (Fetch Standard, 3.3, the CORS protocol).
func (x *exchange) shareAnswer() {
	if len(x.api.o.Origins) == 0 {
		return
	}
	h := x.w.Header()
	h.Set("Vary", "Origin")
	if origin := x.r.Header.Get("Origin"); slices.Contains(x.api.o.Origins, origin) {
		h.Set("Access-Control-Allow-Origin", origin)
		h.Set("Access-Control-Expose-Headers", pageMayRead)
	}
}

// answerPreflight tells a browser what a page may send. It asks without a
// token, before the request that has one.
func (x *exchange) answerPreflight() {
	h := x.w.Header()
	if h.Get("Access-Control-Allow-Origin") == "" || x.r.Header.Get("Access-Control-Request-Method") == "" {
		return
	}
	h.Del("Access-Control-Expose-Headers")
	h.Set("Access-Control-Allow-Methods", h.Get("Allow"))
	h.Set("Access-Control-Allow-Headers", pageMaySend)
	h.Set("Access-Control-Max-Age", "600")
}
