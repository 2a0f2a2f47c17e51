package swoosh_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/chorus-services/swoosh"
)

// TestOrigins serves a page of a listed origin.
func TestOrigins(t *testing.T) {
	const page = "https://console.example"
	api := swoosh.APIOptions{Loopback: true, Authenticate: keyring, Origins: []string{"https://other.example", page}}
	s := openAPI(t, api)
	for name, r := range map[string]*reply{
		"an answer":            s.get("/state", "Origin: "+page, as("read")),
		"a command":            s.command(startA, "Origin: "+page, as("write")),
		"without a token":      s.get("/state", "Origin: "+page),
		"nothing there":        s.get("/nothing", "Origin: "+page),
		"while it starts":      starting(t, api).get("/state", "Origin: "+page),
		"of the other origins": s.get("/state", "Origin: https://other.example", as("read")),
	} {
		require.Contains(t, []string{page, "https://other.example"}, r.header.Get("Access-Control-Allow-Origin"), name)
		require.Equal(t, "Origin", r.header.Get("Vary"), name)
		require.Equal(t, "ETag, Retry-After, Swoosh-Chain, Swoosh-HLC, Swoosh-Index", r.header.Get("Access-Control-Expose-Headers"), name)
	}
	for _, origin := range []string{"https://evil.example", page + ":8443", page + "/", "http://console.example", "null"} {
		r := s.get("/state", "Origin: "+origin, as("admin"))
		r.refused("forbidden", http.StatusForbidden)
		requireUnshared(t, r)
		require.Equal(t, "Origin", r.header.Get("Vary"))
	}
	s.get("/state", "Origin: "+page, "Origin: https://evil.example", as("read")).refused("forbidden", http.StatusForbidden)
	requireUnshared(t, s.get("/state", as("read")))
	requireUnshared(t, s.get("/state", "Origin: "+s.url, as("read")))
	s.get("/state", "Origin: "+page, "Host: console.example", as("read")).refused("forbidden", http.StatusForbidden)
}

func requireUnshared(t *testing.T, r *reply) {
	t.Helper()
	for name := range r.header {
		require.False(t, strings.HasPrefix(name, "Access-Control-"), name)
	}
}

// TestPreflight sends what a browser sends before a page's request.
func TestPreflight(t *testing.T) {
	const page = "https://console.example"
	s := openAPI(t, swoosh.APIOptions{Loopback: true, Authenticate: keyring, Origins: []string{page}, Rate: 1})
	for range 3 {
		r := s.ask("OPTIONS", "/state", "", "Origin: "+page, "Access-Control-Request-Method: POST", "Access-Control-Request-Headers: authorization")
		require.Equal(t, http.StatusNoContent, r.status)
		require.Equal(t, page, r.header.Get("Access-Control-Allow-Origin"))
		require.Equal(t, "GET, HEAD, POST, OPTIONS", r.header.Get("Access-Control-Allow-Methods"))
		for _, name := range []string{"Authorization", "Content-Type", "Idempotency-Key", "If-Match", "If-None-Match", "Last-Event-ID"} {
			require.Contains(t, strings.Split(r.header.Get("Access-Control-Allow-Headers"), ", "), name)
		}
	}
	r := s.ask("OPTIONS", "/state", "", "Origin: https://evil.example", "Access-Control-Request-Method: POST")
	r.refused("forbidden", http.StatusForbidden)
	requireUnshared(t, r)
	plain := open(t, swoosh.Options{})
	r = plain.ask("OPTIONS", "/state", "", "Origin: "+plain.url, "Access-Control-Request-Method: POST")
	require.Equal(t, http.StatusNoContent, r.status)
	requireUnshared(t, r)
	require.Empty(t, plain.get("/state").header.Get("Vary"))
}
