package door

import (
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"
)

// The headers that pages of other origins may send and read, besides those that
// every page may.
const (
	pageMaySend = "Authorization, Content-Type, Idempotency-Key, If-Match, If-None-Match, Last-Event-ID"
	pageMayRead = "ETag, Retry-After, Swoosh-Chain, Swoosh-HLC, Swoosh-Index"
)

// Origins are the origins of web pages that may use the server, besides its
// own, each as a browser sends it, such as https://console.example.
type Origins []string

// IsLoopback reports whether a Host is localhost or a loopback address, with or
// without a port.
func IsLoopback(host string) bool {
	host = hostname(host)
	ip, err := netip.ParseAddr(host)
	return strings.EqualFold(host, "localhost") || err == nil && ip.IsLoopback()
}

// Hosts are names that a request may give as its Host, besides localhost and
// addresses. Case does not matter.
type Hosts []string

// Admit reports whether no web page can have led a browser to the request by DNS
// rebinding: its Host is in the list, or not a name. With loopback, an address must
// be a loopback one. A Host that is missing is admitted, since browsers always send
// one, and so is any on a socket of the file system, which browsers do not reach.
func (h Hosts) Admit(r *http.Request, loopback bool) bool {
	local, _ := r.Context().Value(http.LocalAddrContextKey).(net.Addr)
	if r.Host == "" || IsLoopback(r.Host) || local != nil && local.Network() == "unix" {
		return true
	}
	host := hostname(r.Host)
	_, err := netip.ParseAddr(host)
	return err == nil && !loopback || slices.ContainsFunc(h, func(name string) bool { return strings.EqualFold(name, host) })
}

// hostname returns a Host without its port, and without the brackets of an address.
func hostname(host string) string {
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	return strings.TrimSuffix(strings.TrimPrefix(host, "["), "]")
}

// OwnOrigin returns the origin of the server's own pages, according to the
// request's Host.
func OwnOrigin(r *http.Request) string {
	if r.TLS != nil {
		return "https://" + r.Host
	}
	return "http://" + r.Host
}

// Foreign returns an Origin header of the request that is neither the server's
// own nor in the list. found is false if there is none.
func (o Origins) Foreign(r *http.Request) (origin string, found bool) {
	for _, origin := range r.Header.Values("Origin") {
		if !strings.EqualFold(origin, OwnOrigin(r)) && !slices.Contains(o, origin) {
			return origin, true
		}
	}
	return "", false
}

// FromElsewhere returns the Sec-Fetch-Site header of a request that a browser sends
// for a page, a link or an image of another origin than the server's own, unless
// the origin is listed. found is false if there is none (Fetch Metadata Request
// Headers, 2.3).
func (o Origins) FromElsewhere(r *http.Request) (site string, found bool) {
	for _, site := range r.Header.Values("Sec-Fetch-Site") {
		if site != "same-origin" && site != "none" && !slices.Contains(o, r.Header.Get("Origin")) {
			return site, true
		}
	}
	return "", false
}

// Share lets a page of a listed origin read the answer (Fetch Standard, 3.3,
// the CORS protocol).
func (o Origins) Share(answer http.Header, r *http.Request) {
	if len(o) == 0 {
		return
	}
	answer.Set("Vary", "Origin")
	if origin := r.Header.Get("Origin"); slices.Contains(o, origin) {
		answer.Set("Access-Control-Allow-Origin", origin)
		answer.Set("Access-Control-Expose-Headers", pageMayRead)
	}
}

// AnswerPreflight sets the headers that say what a page may send, if Share has
// shared the answer. A preflight has no token, since the browser sends it
// before the actual request.
func AnswerPreflight(answer http.Header, r *http.Request) {
	if answer.Get("Access-Control-Allow-Origin") == "" || r.Header.Get("Access-Control-Request-Method") == "" {
		return
	}
	answer.Del("Access-Control-Expose-Headers")
	answer.Set("Access-Control-Allow-Methods", answer.Get("Allow"))
	answer.Set("Access-Control-Allow-Headers", pageMaySend)
	answer.Set("Access-Control-Max-Age", "600")
}
