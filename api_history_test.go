package swoosh_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/chorus-services/swoosh"
)

// chainOf returns the chain of an entry.
func (s *site) chainOf(index int) string {
	s.t.Helper()
	return s.get(fmt.Sprint("/log/", index)).object()["chain"].(string)
}

func TestAfter(t *testing.T) {
	s := open(t, swoosh.Options{})
	s.must(startA)
	for range 4 {
		s.must(addA)
	}
	zeros, other := strings.Repeat("0", 64), strings.Repeat("7", 64)
	for from := 1; from <= 6; from++ {
		before := zeros
		if from > 1 {
			before = s.chainOf(from - 1)
		}
		require.EqualValues(t, 6, s.get(fmt.Sprintf("/log?from=%d&after=%s", from, before)).object()["next"])
		s.watch(fmt.Sprintf("?from=%d&after=%s", from, before)).event()
		for _, path := range []string{"/log", "/watch"} {
			s.get(fmt.Sprintf("%s?from=%d&after=%s", path, from, other)).refused("history_changed", http.StatusConflict)
		}
	}
	for _, path := range []string{"/log", "/watch"} {
		s.get(path+"?from=7&after="+other).refused("history_changed", http.StatusConflict)
		s.get(path+"?after="+other).refused("malformed_request", http.StatusBadRequest)
		s.get(path+"?from=2&after=x").refused("malformed_request", http.StatusBadRequest)
		s.get(path+"?from=x&after="+other).refused("malformed_request", http.StatusBadRequest)
	}
	w := s.watch("?from=3&after="+s.chainOf(2), "Last-Event-ID: 4")
	w.event()
	require.Contains(t, w.event(), "id: 5\n", "after is the chain before from, also of who reconnects")
	require.Equal(t, s.chainOf(5), s.get("/state").header.Get("Swoosh-Chain"))
	require.Empty(t, s.get("/state?at=2").header.Get("Swoosh-Chain"))
}

// TestAfterWhatIsNoLongerKept: the first entry that is kept says whether it follows
// one that is not.
func TestAfterWhatIsNoLongerKept(t *testing.T) {
	wal := swoosh.NewMemWAL()
	s := open(t, swoosh.Options{OpenWAL: func(string) (swoosh.WAL, error) { return wal, nil }})
	s.must(startA)
	for range 4 {
		s.must(addA)
	}
	second, third := s.chainOf(2), s.chainOf(3)
	require.NoError(t, wal.Trim(3))
	require.Equal(t, http.StatusOK, s.get("/log?from=3&after="+second).status)
	s.get("/log?from=3&after="+third).refused("history_changed", http.StatusConflict)
	s.get("/log?from=2&after="+third).refused("compacted", http.StatusGone)
	w := s.watch("?from=2&after="+third, "Last-Event-ID: 3")
	w.event()
	require.Contains(t, w.event(), "id: 4\n", "what would be compared is gone")
}

// TestExpectChain: it holds for one log alone.
func TestExpectChain(t *testing.T) {
	s := open(t, swoosh.Options{})
	s.must(startA)
	chain := s.chainOf(1)
	s.must(`{"command":"counter.add","payload":{"counter":"a","amount":1},"expect":{"chain":"` + chain + `"}}`)
	require.JSONEq(t, `{"chain":"`+chain+`"}`, text(s.get("/log/2").object()["expect"]))
	p := s.command(`{"command":"counter.add","payload":{"counter":"a","amount":1},"expect":{"chain":"`+chain+`"}}`).refused("stale_state", http.StatusPreconditionFailed)
	require.Equal(t, s.chainOf(2), p["chain"])
}

// TestPreconditionsAreNotIgnored: a route honours them, or refuses the request.
func TestPreconditionsAreNotIgnored(t *testing.T) {
	s := open(t, swoosh.Options{})
	s.must(startA)
	tag := s.get("/state").header.Get("ETag")
	for _, path := range []string{"/", "/state", "/commands", "/log", "/log/1", "/watch", "/health", "/readyz", "/openapi.json"} {
		s.get(path, "If-Match: "+tag).refused("malformed_request", http.StatusBadRequest)
		if path != "/state" {
			s.get(path, "If-None-Match: *").refused("malformed_request", http.StatusBadRequest)
		}
	}
	require.Equal(t, http.StatusNotModified, s.get("/state", "If-None-Match: "+tag).status)
	for _, header := range []string{"If-Match: " + tag, "If-None-Match: *"} {
		s.command(addA, header).refused("malformed_request", http.StatusBadRequest)
		s.ask("POST", "/command", addA, header, "Content-Type: application/x-ndjson").refused("malformed_request", http.StatusBadRequest)
		s.ask("POST", "/snapshot", "", header).refused("malformed_request", http.StatusBadRequest)
	}
	s.ask("POST", "/state", s.get("/state").body, "If-None-Match: *", "If-Match: "+tag).refused("malformed_request", http.StatusBadRequest)
}

// TestChallenge names an error if there are credentials (RFC 6750, 3).
func TestChallenge(t *testing.T) {
	s := guarded(t)
	require.Equal(t, "Bearer", s.get("/state").header.Get("WWW-Authenticate"))
	require.Equal(t, `Bearer error="invalid_token"`, s.get("/state", as("other")).header.Get("WWW-Authenticate"))
}

// TestKeyErrorNamesTheCharacter, not one of its bytes.
func TestKeyErrorNamesTheCharacter(t *testing.T) {
	require.ErrorContains(t, swoosh.Key("caf\u00e9").Validate(), "not '\u00e9'")
}

// TestImportValidatesZeros: a member or an element that is there is valid, zero or
// not, as the schema says.
func TestImportValidatesZeros(t *testing.T) {
	s := whole(t)
	d := describe(s)
	for _, c := range []struct{ row, pointer string }{
		{`"ingestion":{"a":{"sources":[""]}}`, "/project/ingestion/a/sources/0"},
		{`"ingestion":{"a":{"sources":[]}}`, "/project/ingestion/a/sources"},
		{`"ingestion":{"a":{"epoch":0}}`, "/project/ingestion/a/epoch"},
		{`"council":{"a":{"electorate":[""]}}`, "/project/council/a/electorate/0"},
		{`"council":{"a":{"quorum":0}}`, "/project/council/a/quorum"},
		{`"environment":{"a":{"resources":[{"name":""}]}}`, "/project/environment/a/resources/0/name"},
		{`"projects":{"a":{"name":""}}`, "/project/projects/a/name"},
	} {
		body := `{"meta":{"version":1},"project":{` + c.row + `}}`
		p := s.ask("POST", "/state", body).refused("invalid_state", http.StatusUnprocessableEntity)
		require.Equal(t, c.pointer, p["errors"].([]any)[0].(map[string]any)["pointer"], body)
		require.Error(t, d.checkValue([]byte(body), []string{"components", "schemas", "State"}), body)
	}
	p := s.ask("POST", "/state", `{"meta":{"version":1},"project":{"environment":{"a":{"resources":[{}]}}}}`).refused("invalid_state", http.StatusUnprocessableEntity)
	require.Equal(t, "/project/environment/a/resources", p["errors"].([]any)[0].(map[string]any)["pointer"])
}
