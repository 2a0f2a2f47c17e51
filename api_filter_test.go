package swoosh_test

import (
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/stretchr/testify/require"

	"github.com/chorus-services/swoosh"
	"github.com/chorus-services/swoosh/noun"
)

// filtered is an entry as the log shows it, and the page around entries.
type (
	filtered struct {
		Index   uint64 `json:"index"`
		Command string `json:"command"`
		Key     string `json:"idempotency_key"`
	}
	filteredPage struct {
		Entries []filtered `json:"entries"`
		Next    uint64     `json:"next"`
		End     bool       `json:"end"`
	}
)

func (s *site) filtered(query string) (p filteredPage) {
	s.get("/log?" + query).json(&p)
	return p
}

// springs has a payload with the members that a filter looks for.
type springs struct {
	Command string `json:"command"`
	HLC     string `json:"hlc"`
	Key     string `json:"idempotency_key"`
}

func (springs) Check(swoosh.View) error         { return nil }
func (springs) Apply(*tallyState, swoosh.Stamp) {}

var trap = swoosh.NewDomain("trap", swoosh.On[springs]("spring", "Be taken for another entry."))

// TestLogFilters holds filtered pages against the whole log, whose entries have
// everything that could be taken for a command or a key.
func TestLogFilters(t *testing.T) {
	s := open(t, swoosh.Options{Guards: []swoosh.Guard{guard{"hlc", true}}}, tally, trap)
	s.must(startA)
	text := `{"blob":"\"command\":\"tally.tally\",\"hlc\":\"x\",\"idempotency_key\":\"k1\""}`
	index, row := uint64(0), strings.Trim(s.get("/state?path=/counter/counters/a").header.Get("ETag"), `"`)
	for i, r := range []swoosh.Request{
		{Command: "counter.blob", Payload: []byte(text), IdempotencyKey: "k1", Actor: `x","command":"tally.tally`},
		{Command: "counter.blob", Payload: []byte(text), Evidence: []noun.Ref{`"command":"tally.tally"`, `"idempotency_key":"k2"`}},
		{Command: "tally.tally", IdempotencyKey: "k10", Signer: "command", HLC: s.e.View().At()},
		{Command: "tally.tally", IdempotencyKey: "hlc", Expect: swoosh.Expect{Index: &index, Path: "/counter/counters/a", Hash: row}},
		{Command: "counter.add", Payload: []byte(`{"counter":"a","amount":1}`), IdempotencyKey: "command"},
		{Command: "trap.spring", Payload: []byte(`{"command":"tally.tally","hlc":"x","idempotency_key":"k1"}`)},
	} {
		index = s.e.View().Index()
		_, err := s.e.Submit(t.Context(), r)
		require.NoError(t, err, i)
	}
	_, err := s.e.SubmitBatch(t.Context(), "k2", []swoosh.Request{{Command: "tally.tally"}, {Command: "counter.blob", Payload: []byte(text)}})
	require.NoError(t, err)

	whole := s.filtered("").Entries
	require.Len(t, whole, 9)
	pick := func(wants func(filtered) bool) []filtered {
		return slices.DeleteFunc(slices.Clone(whole), func(e filtered) bool { return !wants(e) })
	}
	for query, wants := range map[string]func(filtered) bool{
		"commands=tally.tally":             func(e filtered) bool { return e.Command == "tally.tally" },
		"commands=counter.add,tally.tally": func(e filtered) bool { return e.Command == "tally.tally" || e.Command == "counter.add" },
		"commands=counter.*":               func(e filtered) bool { return strings.HasPrefix(e.Command, "counter.") },
		"commands=tally.*,counter.start":   func(e filtered) bool { return e.Command == "tally.tally" || e.Command == "counter.start" },
		"key=k1":                           func(e filtered) bool { return e.Key == "k1" },
		"key=k2":                           func(e filtered) bool { return e.Key == "k2" || e.Index == 9 },
		"key=k2&commands=counter.*":        func(e filtered) bool { return e.Index == 9 },
		"commands=log.*":                   func(e filtered) bool { return false },
		"commands=log.migrate":             func(e filtered) bool { return false },
		"key=hlc":                          func(e filtered) bool { return e.Key == "hlc" },
		"key=command":                      func(e filtered) bool { return e.Key == "command" },
		"key=k":                            func(e filtered) bool { return false },
		"key=k1&commands=tally.tally":      func(e filtered) bool { return false },
		"key=k10&commands=tally.*":         func(e filtered) bool { return e.Key == "k10" },
		"commands=log.loss,state.*":        func(e filtered) bool { return false },
	} {
		p := s.filtered(query)
		require.ElementsMatch(t, pick(wants), p.Entries, query)
		require.Equal(t, []any{uint64(10), true}, []any{p.Next, p.End}, query)
		lines := strings.Count(s.get("/log?"+query, "Accept: application/x-ndjson").body, "\n")
		require.Equal(t, len(p.Entries), lines, query)
	}

	require.Equal(t, []filtered{whole[8]}, s.filtered("key=k2&from=9").Entries, "inside the batch")
	require.Empty(t, s.filtered("key=k1&from=9").Entries)
	require.Empty(t, s.filtered("key=k2&from=10").Entries)
	w := s.watch("?from=9&key=k2")
	w.event()
	require.Contains(t, w.event(), "id: 9\n")

	p := s.filtered("commands=tally.tally&limit=1&from=2")
	require.Equal(t, filteredPage{[]filtered{{4, "tally.tally", "k10"}}, 5, false}, p)
	require.Equal(t, filteredPage{[]filtered{{5, "tally.tally", "hlc"}}, 6, false}, s.filtered("commands=tally.tally&limit=1&from=5"))

	for given, says := range map[string]string{
		"counter.ad": "did you mean counter.add?", "conter.*": "did you mean counter.*?", "log.los": "did you mean log.loss?",
		"": "is no command", "*": "is no command", "counter*": "is no command", "counter.add,": "is no command",
	} {
		for _, path := range []string{"/log", "/watch"} {
			problem := s.get(path+"?commands="+url.QueryEscape(given)).refused("malformed_request", http.StatusBadRequest)
			require.Contains(t, problem["detail"], says, given)
		}
	}
	s.get("/log?key=").refused("malformed_request", http.StatusBadRequest)
}

// TestLogReadsNoMoreThanAPage although nothing in it is wanted.
func TestLogReadsNoMoreThanAPage(t *testing.T) {
	s := open(t, swoosh.Options{}, tally)
	batch := slices.Repeat([]swoosh.Request{{Command: "tally.tally"}}, swoosh.BatchMaxCommands)
	for range swoosh.PageMostRead/swoosh.BatchMaxCommands + 1 {
		_, err := s.e.SubmitBatch(t.Context(), "", batch)
		require.NoError(t, err)
	}
	s.must(startA)
	require.Equal(t, filteredPage{[]filtered{}, swoosh.PageMostRead + 1, false}, s.filtered("commands=counter.*"))
	last := s.e.View().Index()
	p := s.filtered(fmt.Sprint("commands=counter.*&from=", swoosh.PageMostRead+1))
	require.Equal(t, filteredPage{[]filtered{{last, "counter.start", ""}}, last + 1, true}, p)
	r := s.get("/log?commands=counter.*", "Accept: application/x-ndjson")
	require.Equal(t, 1, strings.Count(r.body, "\n"), "lines go to the end")
	require.Equal(t, fmt.Sprint(last+1), r.trailer.Get("Swoosh-Next"))
	r = s.get("/log?from=9&limit=2", "Accept: application/x-ndjson")
	require.Equal(t, []any{2, "11"}, []any{strings.Count(r.body, "\n"), r.trailer.Get("Swoosh-Next")})
}

// TestWatchFilters: comments say how far the log was read.
func TestWatchFilters(t *testing.T) {
	s := open(t, swoosh.Options{}, tally)
	s.api.SetHeartbeat(time.Millisecond)
	s.must(startA)
	s.must(addA)
	w := s.watch("?from=1&commands=tally.*")
	require.Equal(t, "retry: 1000", w.event())
	for e := w.event(); e != ":\nid: 2"; e = w.event() {
		require.Regexp(t, `^:\nid: [01]$`, e)
	}
	s.must(`{"command":"tally.tally"}`)
	s.must(addA)
	var entry filtered
	for {
		if _, data, found := strings.Cut(w.event(), "id: 3\nevent: entry\ndata: "); found {
			require.NoError(t, json.Unmarshal([]byte(data), &entry))
			break
		}
	}
	require.Equal(t, "tally.tally", entry.Command)
	for e := w.event(); e != ":\nid: 4"; e = w.event() {
		require.Equal(t, ":\nid: 3", e)
	}
}
