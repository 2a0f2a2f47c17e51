package swoosh_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/chorus-services/swoosh"
	"github.com/chorus-services/swoosh/system"
)

func TestGetState(t *testing.T) {
	s := open(t, swoosh.Options{})
	require.Equal(t, "{}", s.get("/state?path=/counter").body)
	s.must(startA)
	s.must(`{"command":"counter.add","payload":{"counter":"a","amount":2,"mark":["x"]}}`)
	whole := s.get("/state")
	require.False(t, strings.HasSuffix(whole.body, "\n"))
	require.Equal(t, `"`+s.e.View().StateHash().String()+`"`, whole.header.Get("ETag"))
	row := s.get("/state?path=/counter/counters/a")
	require.Equal(t, `{"count":2,"marks":["x"],"phase":"RUNNING"}`, row.body)
	require.NotEqual(t, whole.header.Get("ETag"), row.header.Get("ETag"))
	for path, want := range map[string]string{
		"":                                       whole.body,
		"/meta/tables":                           `["/counter/counters"]`,
		"/counter/total":                         "2",
		"/counter/counters/a/marks/0":            `"x"`,
		"%2Fcounter%2Fcounters%2Fa":              row.body,
		"/counter/counters":                      `{"a":` + row.body + `}`,
		"/counter/counters/a/count":              "2",
		"/counter/counters&limit=1":              `{"rows":{"a":` + row.body + `}}`,
		"/counter/counters&at=0":                 "{}",
		"/counter/counters/a&at=2":               row.body,
		"/counter/total&min_index=2":             "2",
		"/counter/counters&after=a":              `{"rows":{}}`,
		"/meta/version&at=1":                     "1",
		"/counter/counters/a/phase":              `"RUNNING"`,
		"/counter/total&timeout=1ms&min_index=0": "2",
	} {
		r := s.get("/state?path=" + path)
		require.Equal(t, http.StatusOK, r.status, path+r.body)
		require.Equal(t, want, r.body, path)
		if !strings.Contains(path, "at=") && !strings.HasSuffix(path, "a") {
			require.Equal(t, whole.header.Get("ETag"), r.header.Get("ETag"), path)
		}
	}
	for _, path := range []string{"/nothing", "/counter/nothing", "/counter/counters/b", "/counter/counters/a/marks/1", "/counter/counters/a/marks/-", "/", "/counter/counters/a/count/0"} {
		s.get("/state?path="+path).refused("not_found", http.StatusNotFound)
	}
	for _, query := range []string{
		"path=counter", "path=/~2", "at=x", "at=", "at=01", "at=1&min_index=1", "at=1&timeout=1s", "min_index=x", "min_index=", "timeout=1s",
		"min_index=0&timeout=0", "min_index=0&timeout=0.5ms", "min_index=0&timeout=61s", "min_index=0&timeout=5", "after=a", "limit=1",
		"path=/counter/counters&limit=0", "path=/counter/counters&limit=10001", "path=/counter/counters/a&limit=1", "path=/counter&after=x",
		"path=&path=", "Path=/counter", "pth=/counter", "at=000000000000-0000-TEST", "at=ffff-0-x", "a;b", "path=%zz",
	} {
		s.get("/state?"+query).refused("malformed_request", http.StatusBadRequest)
	}
	require.Contains(t, s.get("/state?pth=x").object()["detail"], "did you mean path?")
}

// TestBadParametersAreFoundFirst, before waiting for an entry and before
// looking for a value.
func TestBadParametersAreFoundFirst(t *testing.T) {
	s := open(t, swoosh.Options{})
	for _, position := range []string{"min_index=9&timeout=60s", "at=99999"} {
		for _, bad := range []string{"path=x", "path=/x~", "path=/counter/total&limit=1", "path=/nothing&after=a", "after=a", "path=/counter/counters&limit=0", "path=/x~&limit=1"} {
			s.get("/state?"+position+"&"+bad).refused("malformed_request", http.StatusBadRequest)
		}
	}
	s.get("/state?at=99999&path=/counter/counters&limit=1").refused("not_found", http.StatusNotFound)
}

// TestIndexes: an index means the same everywhere, an integer up to 2^53-1.
func TestIndexes(t *testing.T) {
	s := open(t, swoosh.Options{})
	expect := func(index string) *reply {
		return s.command(`{"command":"counter.blob","payload":{"blob":""},"expect":{"index":` + index + `}}`)
	}
	for name, c := range map[string]struct {
		ask      func(index string) *reply
		greatest string // what 2^53-1 is told
	}{
		"log":           {func(index string) *reply { return s.get("/log/" + index) }, "not_found"},
		"log from":      {func(index string) *reply { return s.get("/log?from=" + index) }, "not_found"},
		"watch from":    {func(index string) *reply { return s.get("/watch?from=" + index) }, "not_found"},
		"Last-Event-ID": {func(index string) *reply { return s.get("/watch", "Last-Event-ID: "+index) }, "not_found"},
		"min_index":     {func(index string) *reply { return s.get("/state?timeout=1ms&min_index=" + index) }, "timeout"},
		"at":            {func(index string) *reply { return s.get("/state?at=" + index) }, "not_found"},
		"expect":        {expect, "stale_state"},
	} {
		t.Run(name, func(t *testing.T) {
			require.Equal(t, c.greatest, c.ask("9007199254740991").object()["code"])
			for _, index := range []string{"9007199254740992", "18446744073709551615", "18446744073709551616", "99999999999999999999999", "-1", "01", "1.5"} {
				r := c.ask(index)
				r.t = t
				r.refused("malformed_request", http.StatusBadRequest)
			}
		})
	}
}

func TestStatePages(t *testing.T) {
	s := open(t, swoosh.Options{})
	for i := range 7 {
		s.must(fmt.Sprintf(`{"command":"counter.start","payload":{"counter":"c%d"}}`, i))
	}
	var got []string
	for query := "limit=3"; ; {
		var page struct {
			Rows map[string]any
			Next string
		}
		s.get("/state?path=/counter/counters&" + query).json(&page)
		require.LessOrEqual(t, len(page.Rows), 3)
		for key := range page.Rows {
			got = append(got, key)
		}
		if page.Next == "" {
			break
		}
		query = "limit=3&after=" + page.Next
	}
	require.ElementsMatch(t, []string{"c0", "c1", "c2", "c3", "c4", "c5", "c6"}, got)
}

func TestStateThen(t *testing.T) {
	s := open(t, swoosh.Options{})
	var states []*reply
	var stamps []string
	states, stamps = append(states, s.get("/state")), append(stamps, "")
	for _, body := range []string{startA, addA, addA} {
		stamps = append(stamps, s.must(body).HLC)
		states = append(states, s.get("/state"))
	}
	for i, was := range states {
		for _, at := range []string{fmt.Sprint(i), stamps[i]} {
			if at == "" {
				continue
			}
			r := s.get("/state?at=" + at)
			require.Equal(t, was.body, r.body, at)
			require.Equal(t, was.header.Get("ETag"), r.header.Get("ETag"))
			require.Equal(t, "3", r.header.Get("Swoosh-Index"), "the answer says where the log stands, not where the caller looks")
		}
	}
	require.Equal(t, states[0].body, s.get("/state?at=000000000001-0000-x").body)
	require.Equal(t, states[3].body, s.get("/state?at=ffffffffffff-ffff-x").body)
	s.get("/state?at=4").refused("not_found", http.StatusNotFound)

	s.ask("POST", "/command", "["+addA+","+addA+","+addA+"]").ok("results")
	require.Contains(t, s.get("/state?at=5").refused("malformed_request", http.StatusBadRequest)["detail"], "4 to 6")
	require.Equal(t, http.StatusOK, s.get("/state?at=6").status)
}

func TestStateETags(t *testing.T) {
	s := open(t, swoosh.Options{})
	s.must(startA)
	for _, path := range []string{"/state", "/state?path=/counter/counters/a", "/state?at=0", "/state?path=/counter/total&at=1"} {
		etag := s.get(path).header.Get("ETag")
		if etag == "" {
			continue
		}
		for tags, want := range map[string]int{
			etag: 304, `"x", ` + etag: 304, "W/" + etag: 304, "*": 304, `"x"`: 200, "x": 200, strings.Trim(etag, `"`): 200,
		} {
			r := s.get(path, "If-None-Match: "+tags)
			require.Equal(t, want, r.status, tags)
			require.Equal(t, etag, r.header.Get("ETag"))
			require.Equal(t, "no-cache", r.header.Get("Cache-Control"))
			require.Equal(t, want == 304, r.body == "")
		}
	}
	s.get("/state?path=/nothing", "If-None-Match: *").refused("not_found", http.StatusNotFound)
	row := strings.Trim(s.get("/state?path=/counter/counters/a").header.Get("ETag"), `"`)
	expect := func(hash string) string {
		return `{"command":"counter.add","payload":{"counter":"a","amount":1},"expect":{"path":"/counter/counters/a","hash":"` + hash + `"}}`
	}
	s.must(expect(row))
	p := s.command(expect(row)).refused("stale_state", http.StatusPreconditionFailed)
	require.Equal(t, "/counter/counters/a", p["path"])
	require.Equal(t, strings.Trim(s.get("/state?path=/counter/counters/a").header.Get("ETag"), `"`), p["hash"])
	p = s.command(strings.Replace(expect(row), "counters/a", "counters/z", 1)).refused("stale_state", http.StatusPreconditionFailed)
	require.Equal(t, "", p["hash"], "an empty hash says that the row is not there")
}

func TestMinIndexWaits(t *testing.T) {
	s := open(t, swoosh.Options{})
	got := make(chan *reply)
	go func() { got <- s.get("/state?min_index=1&timeout=60s") }()
	s.must(startA)
	r := <-got
	require.Equal(t, http.StatusOK, r.status)
	require.Equal(t, "1", r.header.Get("Swoosh-Index"))
	require.Equal(t, "no", s.get("/state?min_index=2&timeout=1ms").refused("timeout", http.StatusServiceUnavailable)["happened"])
	go func() { got <- s.get("/state?min_index=9&timeout=60s") }()
	s.api.Stop()
	(<-got).refused("shutting_down", http.StatusServiceUnavailable)
}

func TestPostState(t *testing.T) {
	from := open(t, swoosh.Options{})
	from.must(startA)
	doc := from.get("/state")
	hash := from.e.View().StateHash().String()

	s := open(t, swoosh.Options{})
	for _, header := range []string{"Idempotency-Key: k", "If-Match: " + hash, `If-Match: "x"`, `If-Match: W/"` + hash + `"`, "If-Match: *", `If-Match: "` + strings.ToUpper(hash) + `"`, `If-Match: "` + hash + `", "` + hash + `"`} {
		s.ask("POST", "/state", doc.body, header).refused("malformed_request", http.StatusBadRequest)
	}
	s.ask("POST", "/state?x=1", doc.body).refused("malformed_request", http.StatusBadRequest)
	s.ask("POST", "/state", doc.body, `If-Match: "`+hash+`"`).refused("stale_state", http.StatusPreconditionFailed)
	s.ask("POST", "/state", doc.body[1:]).refused("malformed_request", http.StatusBadRequest)
	got := s.ask("POST", "/state", doc.body).ok("index", "hlc", "state_hash", "changed", "duplicate")
	require.Equal(t, []any{1.0, hash, true}, []any{got["index"], got["state_hash"], got["changed"]})
	require.Equal(t, doc.body, s.get("/state").body)
	require.Equal(t, "state.import", s.get("/log/1").object()["command"])
	s.ask("POST", "/state", doc.body).refused("precondition_required", http.StatusPreconditionRequired)
	p := s.ask("POST", "/state", strings.Replace(doc.body, `"RUNNING"`, `1`, 1), "If-Match: "+doc.header.Get("ETag")).status
	require.Contains(t, []int{422}, p)
	s.command(`{"command":"state.import"}`).refused("unknown_command", http.StatusUnprocessableEntity)

	s.ask("POST", "/state", doc.body, `If-Match: "x"`).refused("malformed_request", http.StatusBadRequest)

	small := open(t, swoosh.Options{MaxStateBytes: s.e.View().Bytes()})
	small.ask("POST", "/state", doc.body+strings.Repeat(" ", 2<<20)).refused("too_large", http.StatusRequestEntityTooLarge)
	small.ask("POST", "/state", doc.body).ok("index", "hlc", "state_hash", "changed", "duplicate")
}

// TestRefusedImportIsAnsweredBeforeItsBody sends Expect: 100-continue with a
// large body.
func TestRefusedImportIsAnsweredBeforeItsBody(t *testing.T) {
	s := open(t, swoosh.Options{})
	s.must(startA)
	r := s.request("POST", "/state", unread{t}).WithContext(within(t))
	r.ContentLength = 1000
	r.Header.Set("Expect", "100-continue")
	client := &http.Client{Transport: &http.Transport{ExpectContinueTimeout: 1 << 40}}
	resp, err := client.Do(r)
	require.NoError(t, err)
	defer resp.Body.Close()
	require.Equal(t, http.StatusPreconditionRequired, resp.StatusCode)
}

// unread is a body that must not be read.
type unread struct{ t *testing.T }

func (u unread) Read([]byte) (int, error) {
	u.t.Error("the body was sent")
	return 0, http.ErrBodyNotAllowed
}

// TestImportFaults: the error names each wrong member of a document.
func TestImportFaults(t *testing.T) {
	s := open(t, swoosh.Options{})
	zeros := strings.Repeat("0", 64)
	for body, want := range map[string][]string{
		`[]`:                                  {"invalid_state", "", "the body must be an object"},
		`"x"`:                                 {"invalid_state", "", "the body must be an object"},
		`{}`:                                  {"invalid_state", "/meta", "/meta must be an object with version"},
		`{"meta":null}`:                       {"invalid_state", "/meta", "/meta must be an object with version"},
		`{"meta":{}}`:                         {"invalid_state", "/meta/version", "/meta/version must be 1"},
		`{"meta":{"version":1},"counter":[]}`: {"invalid_state", "/counter", "/counter must be an object"},
		`{"meta":{"version":1},"countre":{}}`: {"invalid_state", "/countre", "/countre is not a domain of this server (did you mean \"counter\"?)"},
		`{"meta":{"version":1,"state_hash":"` + zeros + `"}}`:                               {"invalid_state", "/meta/tables", "/meta/tables is missing: it lists the JSON Pointers of the tables"},
		`{"meta":{"version":1,"state_hash":"` + zeros + `","tables":"x"}}`:                  {"invalid_state", "/meta/tables", "/meta/tables must be an array, not a string"},
		`{"meta":{"version":1,"state_hash":"` + zeros + `","tables":["/a"]}}`:               {"invalid_state", "/meta/tables/0", "/meta/tables/0 must be the JSON Pointer of a table, such as /domain/table, not \"/a\""},
		`{"meta":{"version":1,"state_hash":"` + zeros + `","tables":[]},"counter":1}`:       {"invalid_state", "/counter", "/counter must be an object"},
		`{"meta":{"version":2,"state_hash":"` + zeros[1:] + `"}}`:                           {"malformed_request", "/meta/state_hash", "/meta/state_hash must be 64 lower-case hex digits"},
		`{"meta":{"version":1,"state_hash":"` + strings.Repeat("A", 64) + `","tables":[]}}`: {"malformed_request", "/meta/state_hash", "/meta/state_hash must be 64 lower-case hex digits"},
		`{"meta":{"version":1,"state_hash":1}}`:                                             {"malformed_request", "/meta/state_hash", "/meta/state_hash must be 64 lower-case hex digits"},
		`{"meta":{"version":1,"state_hash":null}}`:                                          {"malformed_request", "/meta/state_hash", "/meta/state_hash must be 64 lower-case hex digits"},
	} {
		p := s.ask("POST", "/state", body).object()
		pointer := p["errors"].([]any)[0].(map[string]any)["pointer"]
		require.Equal(t, want, []string{p["code"].(string), pointer.(string), p["detail"].(string)}, body)
	}
	require.Zero(t, s.e.View().Index())
}

// TestImportIsRefusedInOrder: reasons that refuse every import come before a
// malformed header.
func TestImportIsRefusedInOrder(t *testing.T) {
	wrong := `If-Match: "x"`
	s := open(t, swoosh.Options{}, system.Parts()...)
	s.must(`{"command":"control.pause","payload":{"reason":"lunch"}}`)
	s.ask("POST", "/state", "{", wrong).refused("paused", http.StatusLocked)
	s.must(`{"command":"policy.quarantine","payload":{"reason":"odd"}}`)
	s.ask("POST", "/state", "{", wrong).refused("quarantined", http.StatusLocked)

	broken, wal := faulty(t)
	wal.Fail(false)
	broken.command(startA).refused("outcome_unknown", http.StatusInternalServerError)
	broken.ask("POST", "/state", "{", wrong).refused("read_only", http.StatusServiceUnavailable)
}
