package swoosh_test

import (
	"bufio"
	"context"
	"fmt"
	"math"
	"net/http"
	"os"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/chorus-services/swoosh"
	"github.com/chorus-services/swoosh/internal/durable"
	"github.com/chorus-services/swoosh/swooshtest"
	"github.com/chorus-services/swoosh/system"
)

// contract reads a table of the contract: its lines, and which of them are
// planned for later.
func contract(t *testing.T, file string) (lines []string, later map[string]bool) {
	f, err := os.Open(file)
	require.NoError(t, err)
	defer f.Close()
	later = map[string]bool{}
	for s := bufio.NewScanner(f); s.Scan(); {
		line, isLater := strings.CutSuffix(s.Text(), " later")
		if line == "" || line[0] == '#' {
			continue
		}
		lines = append(lines, line)
		later[line] = isLater
	}
	require.NotEmpty(t, lines)
	return lines, later
}

// TestContractCodes requires a case for every code of the contract, over a real
// listener.
func TestContractCodes(t *testing.T) {
	lines, later := contract(t, "testdata/api_codes.txt")
	for _, line := range lines {
		code, number, _ := strings.Cut(line, " ")
		status, err := strconv.Atoi(number)
		require.NoError(t, err)
		run, has := codeCases[code]
		require.NotEqual(t, later[line], has, "%s: a code has a case, unless it is marked as later", code)
		if has {
			t.Run(code, func(t *testing.T) { run(t).refused(code, status) })
		}
	}
	require.Len(t, later, len(lines), "a code stands there twice")
	for code := range codeCases {
		require.True(t, strings.Contains(strings.Join(lines, "\n")+" ", code+" "), "%s is not in the contract", code)
	}
}

// TestContractKinds compares the table of kinds with the contract's, in order.
func TestContractKinds(t *testing.T) {
	lines, _ := contract(t, "testdata/api_codes.txt")
	var kinds []string
	for _, k := range swoosh.Kinds()[1:] {
		if k == swoosh.OutcomeUnknown {
			kinds = append(kinds, fmt.Sprint(swoosh.Internal.Code(), " ", swoosh.Internal.Status()))
		}
		kinds = append(kinds, fmt.Sprint(k.Code(), " ", k.Status()))
	}
	require.Equal(t, lines, kinds)
}

// codeCases cause each code once.
var codeCases = map[string]func(t *testing.T) *reply{
	"malformed_request": func(t *testing.T) *reply { return open(t, swoosh.Options{}).command(`{`) },
	"unauthorized":      func(t *testing.T) *reply { return guarded(t).get("/state") },
	"forbidden":         func(t *testing.T) *reply { return open(t, swoosh.Options{}).get("/state", "Host: swoosh.example") },
	"bad_signature": func(t *testing.T) *reply {
		return open(t, swoosh.Options{}, club).command(`{"command":"club.say","payload":{"member":"ann"}}`)
	},
	"guard_rejected": func(t *testing.T) *reply {
		r := open(t, swoosh.Options{Guards: []swoosh.Guard{guard{"first", true}, guard{"second", false}}}).command(startA)
		require.Equal(t, []any{
			map[string]any{"guard": "first", "allowed": true, "reason": "because"},
			map[string]any{"guard": "second", "allowed": false, "reason": "because"},
		}, r.object()["guards"])
		return r
	},
	"unlicensed": func(t *testing.T) *reply {
		s := open(t, swoosh.Options{}, system.Parts()...)
		s.must(`{"command":"boot.revoke","payload":{"reason":"over"}}`)
		return s.command(startA)
	},
	"not_found":          func(t *testing.T) *reply { return open(t, swoosh.Options{}).command(addA) },
	"method_not_allowed": func(t *testing.T) *reply { return open(t, swoosh.Options{}).ask("DELETE", "/state", "") },
	"invalid_phase": func(t *testing.T) *reply {
		s := open(t, swoosh.Options{})
		s.must(startA)
		s.must(`{"command":"counter.add","payload":{"counter":"a","amount":1000}}`)
		r := s.command(addA)
		p := r.object()
		require.Equal(t, []any{"counter", "FULL", []any{"RUNNING"}}, []any{p["region"], p["phase"], p["allowed_from"]})
		return r
	},
	"history_changed": func(t *testing.T) *reply {
		return open(t, swoosh.Options{}).get("/log?from=1&after=" + strings.Repeat("7", 64))
	},
	"conflict": func(t *testing.T) *reply {
		s := open(t, swoosh.Options{})
		s.must(startA)
		return s.command(startA)
	},
	"key_expired": func(t *testing.T) *reply {
		clock := swooshtest.NewClock(1767225600000)
		s := open(t, swoosh.Options{Now: clock.Now})
		s.must(startA, "Idempotency-Key: old")
		clock.Advance(25 * time.Hour)
		s.must(addA)
		r := s.command(`{"command":"counter.add","payload":{"counter":"a","amount":1},"idempotency_key":"new","key_since":"000000000001-0000-x"}`)
		require.Equal(t, "unknown", r.object()["happened"])
		return r
	},
	"compacted": func(t *testing.T) *reply {
		wal := &trimmedWAL{WAL: swoosh.NewMemWAL()}
		s := starting(t, swoosh.APIOptions{})
		e, err := swoosh.Open(t.Context(), swoosh.Options{Node: "test", OpenWAL: func(string) (swoosh.WAL, error) { return wal, nil }}, counter)
		require.NoError(t, err)
		t.Cleanup(func() { require.NoError(t, e.Close(context.Background())) })
		s.api.Attach(e)
		s.must(startA)
		s.must(addA)
		wal.first.Store(2)
		s.get("/log?from=1").refused("compacted", http.StatusGone)
		s.get("/watch?from=1").refused("compacted", http.StatusGone)
		s.get("/log/2").ok("index", "hlc", "command", "payload", "changed", "state_hash", "chain")
		return s.get("/log/1")
	},
	"stale_state": func(t *testing.T) *reply {
		s := open(t, swoosh.Options{})
		expect := func(members string) map[string]any {
			return s.command(`{"command":"counter.start","payload":{"counter":"a"},"expect":{` + members + `}}`).object()
		}
		zeros, now := strings.Repeat("0", 64), s.e.View().StateHash().String()
		row := `"path":"/counter/counters/a","hash":"` + zeros + `"`
		for members, want := range map[string][]any{
			`"index":1`:                              {0.0, nil, nil, nil},
			`"state_hash":"` + zeros + `"`:           {nil, now, nil, nil},
			row:                                      {nil, nil, "/counter/counters/a", ""},
			`"index":0,` + row:                       {0.0, nil, "/counter/counters/a", ""},
			`"index":0,"state_hash":"` + zeros + `"`: {0.0, now, nil, nil},
			`"index":1,"state_hash":"` + now + `",` + row: {0.0, now, "/counter/counters/a", ""},
		} {
			p := expect(members)
			require.Equal(t, want, []any{p["index"], p["state_hash"], p["path"], p["hash"]}, "what was expected, as it is now: %s", members)
		}
		p := s.ask("POST", "/state", "{}", `If-Match: "`+zeros+`"`).refused("stale_state", http.StatusPreconditionFailed)
		require.Equal(t, []any{nil, now}, []any{p["index"], p["state_hash"]})
		return s.command(`{"command":"counter.start","payload":{"counter":"a"},"expect":{"index":1}}`)
	},
	"too_large": func(t *testing.T) *reply {
		r := open(t, swoosh.Options{}).command(strings.Repeat(" ", swoosh.BatchBodyMaxBytes+1))
		require.True(t, r.closed)
		return r
	},
	"unsupported_media_type": func(t *testing.T) *reply {
		r := open(t, swoosh.Options{}).command(startA, "Content-Type: text/plain")
		require.Equal(t, "application/json, application/x-ndjson", r.header.Get("Accept-Post"))
		require.Contains(t, r.object()["detail"], "curl -H 'Content-Type: application/json' http://127.0.0.1:")
		return r
	},
	"unknown_command": func(t *testing.T) *reply {
		r := open(t, swoosh.Options{}).command(`{"command":"counter.strat"}`)
		require.Contains(t, r.object()["detail"], "did you mean counter.start?")
		return r
	},
	"invalid_payload": func(t *testing.T) *reply {
		r := open(t, swoosh.Options{}).command(`{"command":"counter.start"}`)
		require.Equal(t, []any{map[string]any{"pointer": "/payload/counter", "detail": "is required"}}, r.object()["errors"])
		return r
	},
	"idempotency_key_reused": func(t *testing.T) *reply {
		s := open(t, swoosh.Options{})
		s.must(startA, "Idempotency-Key: k")
		return s.command(addA, "Idempotency-Key: k")
	},
	"state_hash_mismatch": func(t *testing.T) *reply {
		return open(t, swoosh.Options{}).ask("POST", "/state", `{"meta":{"version":1,"state_hash":"`+strings.Repeat("0", 64)+`","tables":[]}}`)
	},
	"invalid_state": func(t *testing.T) *reply {
		return open(t, swoosh.Options{}).ask("POST", "/state", `{"meta":{"version":2}}`)
	},
	"clock_skew": func(t *testing.T) *reply {
		r := open(t, swoosh.Options{}).command(`{"command":"counter.start","payload":{"counter":"a"},"hlc":"ffffffffffff-0000-x"}`)
		require.Regexp(t, `^[0-9a-f]{12}-[0-9a-f]{4}-test$`, r.object()["hlc"])
		return r
	},
	"quarantined": func(t *testing.T) *reply {
		s := open(t, swoosh.Options{}, system.Parts()...)
		s.must(`{"command":"policy.quarantine","payload":{"reason":"odd"}}`)
		return s.command(startA)
	},
	"paused": func(t *testing.T) *reply {
		s := open(t, swoosh.Options{}, system.Parts()...)
		s.must(`{"command":"control.pause","payload":{"reason":"lunch"}}`)
		s.ask("POST", "/state", `{}`).refused("paused", http.StatusLocked)
		return s.command(startA)
	},
	"precondition_required": func(t *testing.T) *reply {
		s := open(t, swoosh.Options{})
		s.must(startA)
		return s.ask("POST", "/state", `{}`)
	},
	"rate_limited": func(t *testing.T) *reply {
		s := openAPI(t, swoosh.APIOptions{Rate: 0.5})
		s.api.SetRates(swooshtest.NewClock(1).Now, nil)
		require.Equal(t, http.StatusOK, s.get("/").status)
		r := s.get("/")
		require.Equal(t, "2", r.header.Get("Retry-After"))
		return r
	},
	"internal": func(t *testing.T) *reply {
		r := open(t, swoosh.Options{}).command(`{"command":"counter.fail"}`)
		require.NotEmpty(t, r.object()["instance"])
		return r
	},
	"outcome_unknown": func(t *testing.T) *reply {
		s, wal := faulty(t)
		wal.Fail(false)
		r := s.command(startA)
		require.Equal(t, "unknown", r.object()["happened"])
		return r
	},
	"starting": func(t *testing.T) *reply {
		s := starting(t, swoosh.APIOptions{Loopback: true})
		require.Equal(t, []any{"Opening the log."}, s.get("/health").object()["reasons"])
		s.api.Progress(swoosh.Progress{Read: 5, Bytes: 9, HLC: swoosh.Stamp{Node: "test"}})
		require.Equal(t, []any{"Loading a snapshot: 5 of 9 bytes read."}, s.get("/health").object()["reasons"])
		s.api.Progress(swoosh.Progress{Applied: 1, Target: 9, Index: 4, HLC: swoosh.Stamp{WallMS: 7, Node: "test"}})
		require.Equal(t, []any{"Replaying the log: 1 of 9 entries done."}, s.get("/health").object()["reasons"])
		r := s.command(startA)
		require.EqualValues(t, 1, r.object()["applied"])
		require.EqualValues(t, 9, r.object()["target"])
		require.Equal(t, "4", r.header.Get("Swoosh-Index"))
		require.Equal(t, "1", r.header.Get("Retry-After"))
		return r
	},
	"shutting_down": func(t *testing.T) *reply {
		s := open(t, swoosh.Options{})
		s.api.Stop()
		r := s.command(startA)
		require.NotEmpty(t, r.header.Get("Retry-After"))
		return r
	},
	"read_only": func(t *testing.T) *reply {
		s, wal := faulty(t)
		wal.Fail(false)
		s.command(startA).refused("outcome_unknown", http.StatusInternalServerError)
		r := s.command(startA)
		require.NotEmpty(t, r.header.Get("Retry-After"))
		require.Equal(t, "no", r.object()["happened"])
		return r
	},
	"overloaded": overload,
	"timeout": func(t *testing.T) *reply {
		return open(t, swoosh.Options{}).get("/state?min_index=1&timeout=1ms")
	},
	"disk_full": func(t *testing.T) *reply {
		disk := &smallDisk{FS: durable.OS()}
		disk.free.Store(math.MaxInt64)
		s := open(t, swoosh.Options{Dir: t.TempDir(), FS: disk})
		disk.free.Store(swoosh.RoomBytes)
		s.ask("POST", "/state", `{}`).refused("disk_full", http.StatusInsufficientStorage)
		return s.command(startA)
	},
	"state_full": func(t *testing.T) *reply {
		s := open(t, swoosh.Options{MaxStateBytes: 10})
		s.ask("POST", "/state", `{"meta":{"version":1},"counter":{"counters":{"a":{"phase":"RUNNING"}}}}`).refused("state_full", http.StatusInsufficientStorage)
		s.ask("POST", "/command?dry_run=true", startA).refused("state_full", http.StatusInsufficientStorage)
		r := s.command(startA)
		require.Empty(t, r.header.Get("Retry-After"))
		return r
	},
}

// overload fills the queue behind a log that hangs.
func overload(t *testing.T) *reply {
	s, wal := faulty(t)
	reached := wal.Hold()
	blob := `{"command":"counter.blob","payload":{"blob":"` + strings.Repeat("x", 900_000) + `"}}`
	replies := make(chan *reply, 28)
	for range cap(replies) {
		go func() { replies <- s.command(blob) }()
	}
	<-reached
	r := <-replies // The first that is answered was refused.
	wal.Release()
	for range cap(replies) - 1 {
		<-replies
	}
	require.Equal(t, "1", r.header.Get("Retry-After"))
	return r
}

type guard struct {
	name  string
	allow bool
}

func (g guard) Name() string { return g.name }
func (g guard) Judge(context.Context, swoosh.Request, swoosh.View) []swoosh.Verdict {
	return []swoosh.Verdict{{Allowed: g.allow, Reason: "because"}}
}

// trimmedWAL is a log whose beginning is no longer kept.
type trimmedWAL struct {
	swoosh.WAL
	first atomic.Uint64
}

func (w *trimmedWAL) Bounds() (first, last uint64) {
	first, last = w.WAL.Bounds()
	return max(first, w.first.Load()), last
}

// smallDisk is a file system with little room.
type smallDisk struct {
	durable.FS
	free atomic.Uint64
}

func (d *smallDisk) Free(string) (uint64, error) { return d.free.Load(), nil }

// TestContractRoutes requires a case for every route of the contract, and that
// GET / lists exactly these.
func TestContractRoutes(t *testing.T) {
	lines, later := contract(t, "testdata/api_routes.txt")
	var served []string
	for _, line := range lines {
		run, has := routeCases[line]
		require.NotEqual(t, later[line], has, "%s: a route has a case, unless it is marked as later", line)
		if has {
			served = append(served, line)
			t.Run(strings.ReplaceAll(line, "/", "|"), func(t *testing.T) {
				s := open(t, swoosh.Options{})
				s.must(startA)
				run(s)
			})
		}
	}
	require.Len(t, routeCases, len(served), "a case belongs to no route")
	var list struct {
		Routes []struct{ Method, Path, Summary string }
	}
	open(t, swoosh.Options{}).get("/").json(&list)
	var listed []string
	for _, r := range list.Routes {
		listed = append(listed, r.Method+" "+r.Path)
	}
	require.ElementsMatch(t, served, listed)
}

// routeCases request each route once, from a server with one entry.
var routeCases = map[string]func(s *site){
	"GET /": func(s *site) { s.get("/").ok("routes") },
	"GET /state": func(s *site) {
		got := s.get("/state").ok("meta", "counter")
		require.Equal(s.t, map[string]any{"counters": map[string]any{"a": map[string]any{"phase": "RUNNING"}}}, got["counter"])
	},
	"POST /state": func(s *site) {
		doc := s.get("/state")
		got := s.ask("POST", "/state", doc.body, "If-Match: "+doc.header.Get("ETag")).ok("index", "hlc", "state_hash", "changed", "duplicate")
		require.Equal(s.t, false, got["changed"])
	},
	"POST /command": func(s *site) {
		got := s.command(addA).ok("index", "hlc", "state_hash", "changed", "duplicate")
		require.EqualValues(s.t, 2, got["index"])
	},
	"GET /commands": func(s *site) {
		var got struct{ Commands []map[string]any }
		s.get("/commands").json(&got)
		require.Len(s.t, got.Commands, 4)
		require.Equal(s.t, []any{"invalid_phase", "invalid_payload"}, nth(got.Commands, 1, "refusals")[1:])
	},
	"GET /commands/{name}": func(s *site) {
		got := s.get("/commands/counter.add").ok("name", "summary", "domain", "region", "from", "to", "schema", "refusals", "role")
		require.Equal(s.t, []any{"RUNNING"}, got["from"])
		require.Equal(s.t, []any{"FULL", "RUNNING"}, got["to"])
		require.Equal(s.t, []any{"not_found", "invalid_phase", "invalid_payload"}, got["refusals"])
		require.Equal(s.t, "write", got["role"])
		require.Equal(s.t, "object", got["schema"].(map[string]any)["type"])
		got = s.get("/commands/counter.start").object()
		require.Equal(s.t, []any{}, got["from"])
		s.get("/commands/counter.ad").refused("not_found", http.StatusNotFound)
		s.get("/commands/state.import").refused("not_found", http.StatusNotFound)
	},
	"GET /log": func(s *site) {
		got := s.get("/log").ok("entries", "next", "end")
		require.Len(s.t, got["entries"], 1)
	},
	"GET /outcome/{key}": func(s *site) {
		s.must(`{"command":"counter.blob","payload":{"blob":""}}`, "Idempotency-Key: outcome")
		s.get("/outcome/outcome").ok("index", "hlc", "state_hash", "changed")
	},
	"GET /log/{index}": func(s *site) {
		got := s.get("/log/1").ok("index", "hlc", "command", "payload", "changed", "state_hash", "chain")
		require.Equal(s.t, s.e.View().Chain().String(), got["chain"])
	},
	"GET /watch": func(s *site) {
		w := s.watch("?from=1")
		require.Equal(s.t, "retry: 1000", w.event())
		require.True(s.t, strings.HasPrefix(w.event(), "id: 1\nevent: entry\ndata: {"))
	},
	"GET /presence": func(s *site) { s.get("/presence").ok("since", "heard", "next") },
	"GET /receipt": func(s *site) {
		got := s.get("/receipt").ok("hub", "index", "chain", "hlc", "state_hash", "time", "key", "signature")
		require.Equal(s.t, []any{s.e.View().Chain().String(), s.get("/health").object()["receipt_key"]}, []any{got["chain"], got["key"]})
	},
	"POST /snapshot": func(s *site) {
		got := s.ask("POST", "/snapshot", "").ok("index", "hlc", "state_hash", "bytes")
		require.EqualValues(s.t, 1, got["index"])
	},
	"GET /livez":  func(s *site) { require.Equal(s.t, "{\"live\":true}\n", s.get("/livez").body) },
	"GET /readyz": func(s *site) { require.Equal(s.t, "{\"ready\":true}\n", s.get("/readyz").body) },
	"GET /health": func(s *site) {
		got := s.get("/health").ok("mode", "reasons", "index", "hlc", "state_hash", "chain", "hub", "node", "receipt_key", "snapshot", "set_aside", "history", "log", "state", "disk", "keys", "clock", "timers")
		require.Equal(s.t, []any{"ready", []any{}, []any{}}, []any{got["mode"], got["reasons"], got["set_aside"]})
	},
	"GET /metrics": func(s *site) {
		s.get("/log/99").refused("not_found", http.StatusNotFound)
		got := s.get("/metrics")
		require.Equal(s.t, 200, got.status)
		require.Contains(s.t, got.body, "swoosh_refusals_total{code=\"not_found\"} 1\n")
	},
	"GET /openapi.json":    func(s *site) { s.get("/openapi.json").ok("openapi", "info", "servers", "paths", "components") },
	"GET /problems":        func(s *site) { s.get("/problems").ok("problems") },
	"GET /problems/{code}": func(s *site) { s.get("/problems/internal").ok("code", "status", "title", "meaning", "next") },
	"GET /version": func(s *site) {
		got := s.get("/version").ok("version", "commit", "go", "format")
		require.Equal(s.t, []any{"v1", "abc"}, []any{got["version"], got["commit"]})
	},
}

// TestProblemsAreExplained reads what each code means, in the contract's order.
func TestProblemsAreExplained(t *testing.T) {
	lines, _ := contract(t, "testdata/api_codes.txt")
	s := open(t, swoosh.Options{})
	type explained struct {
		Code                 string
		Status               int
		Title, Meaning, Next string
	}
	var list struct{ Problems []explained }
	s.get("/problems").json(&list)
	said := map[string]bool{}
	for i, line := range lines {
		p := list.Problems[i]
		require.Equal(t, line, fmt.Sprint(p.Code, " ", p.Status))
		for _, words := range []string{p.Meaning, p.Next} {
			require.Regexp(t, `^[A-Z][^"]{20,180}\.$`, words, "a sentence")
			require.False(t, said[words], words)
			said[words] = true
		}
		var alone explained
		s.get("/problems/" + p.Code).json(&alone)
		require.Equal(t, p, alone)
		require.NotEmpty(t, p.Title)
	}
	require.Len(t, list.Problems, len(lines))
	s.get("/problems/conflict").ok("code", "status", "title", "meaning", "next")
	require.Contains(t, s.get("/problems/confilct").refused("not_found", http.StatusNotFound)["detail"], "did you mean conflict?")
	s.get("/problems/Conflict").refused("not_found", http.StatusNotFound)
}

func nth(list []map[string]any, i int, member string) []any { return list[i][member].([]any) }
