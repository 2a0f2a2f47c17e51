package swoosh_test

import (
	"bytes"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/chorus-services/swoosh"
	"github.com/chorus-services/swoosh/internal/canon"
	"github.com/chorus-services/swoosh/swooshtest"
)

// FuzzDecodeRequest: accepted input has the forms of the contract, and other
// input is refused as malformed_request. JSON that is not strict is refused as
// such, and strict JSON is read as its canonical form is.
func FuzzDecodeRequest(f *testing.F) {
	for _, seed := range []string{
		startA, addA, with(`"hlc":"0197a2b4c6d8-0003-n1"`), with(`"expect":{"index":0}`), with(`"expect":{"path":"/counter/counters/a","hash":""}`),
		with(`"idempotency_key":"k","key_since":"0197a2b4c000-0000-n1"`), with(`"evidence":["ucxl://x"]`), "[" + startA + "," + addA + "]", "[]", "{", deep(65),
		`{"payload":{"b":1,"a":"\u0041"},"command":"x"} `, `{"command":"x","payload":{"a":1,"a":2}}`, `{"command":"x","payload":1e99}`, "{\"command\":\"\xff\"}", startA + "x",
		`{"command":"x","payload":` + deep(63) + `}`, `{"command":"x","payload":` + deep(64) + `}`, `{"command":1,"payload":` + deep(64) + `}`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		r, err := swoosh.DecodeRequest(raw)
		if err != nil {
			require.True(t, swoosh.MalformedRequest.Is(err), err)
		} else {
			requireForms(t, r)
		}
		if strict, bad := canon.Canonicalize(raw); bad != nil {
			require.ErrorContains(t, err, bad.Error())
		} else {
			same, sameErr := swoosh.DecodeRequest(strict)
			require.Equal(t, err, sameErr)
			require.Equal(t, same, r)
		}
		rs, err := swoosh.DecodeBatch(raw)
		if err != nil {
			require.True(t, swoosh.MalformedRequest.Is(err) || swoosh.TooLarge.Is(err), err)
		}
		for _, r := range rs {
			requireForms(t, r)
		}
	})
}

func requireForms(t *testing.T, r swoosh.Request) {
	if r.IdempotencyKey != "" {
		require.NoError(t, swoosh.Key(r.IdempotencyKey).Validate())
	}
	for _, stamp := range []swoosh.Stamp{r.HLC, r.KeySince} {
		if stamp != (swoosh.Stamp{}) {
			again, err := swoosh.ParseStamp(stamp.String())
			require.NoError(t, err)
			require.Equal(t, stamp, again)
		}
	}
}

// FuzzHandler: every request gets an answer that the contract allows. It has a
// known status, a problem document for every refusal, and the position of the
// log, and it is never an internal error.
func FuzzHandler(f *testing.F) {
	e := swooshtest.Open(f, swoosh.Options{}, counter)
	api := swoosh.NewAPI(swoosh.APIOptions{Loopback: true, Logger: slog.New(slog.NewTextHandler(io.Discard, nil))})
	api.Attach(e)
	for _, seed := range []struct{ method, target, header, body string }{
		{"POST", "/command", "Idempotency-Key: k", startA},
		{"POST", "/command", "", "[" + addA + "," + addA + "]"},
		{"POST", "/command", `If-Match: "x"`, addA},
		{"POST", "/state", `If-Match: "x"`, `{"meta":{"version":1},"counter":{"total":7}}`},
		{"GET", "/state?path=/counter/counters&limit=2&after=a", "", ""},
		{"GET", "/state?at=000000000000-0000-a", "If-None-Match: *", ""},
		{"GET", "/state?min_index=1&timeout=1ms", "", ""},
		{"GET", "/log?from=1&limit=2", "Accept: application/x-ndjson", ""},
		{"HEAD", "/log/1", "", ""},
		{"OPTIONS", "/commands/counter.add", "Origin: http://localhost", ""},
		{"GET", "//x/../%2e/", "Host: evil", ""},
	} {
		f.Add(seed.method, seed.target, seed.header, []byte(seed.body))
	}
	f.Fuzz(func(t *testing.T, method, target, header string, body []byte) {
		r, err := http.NewRequest(method, target, bytes.NewReader(body))
		if err != nil || !strings.HasPrefix(target, "/") || strings.Contains(target, "timeout") || strings.HasPrefix(target, "/watch") {
			t.Skip("no request, or one that takes long")
		}
		r.Host = "localhost"
		r.Header.Set("Content-Type", "application/json")
		if name, value, ok := strings.Cut(header, ": "); ok && !strings.Contains(value, "ndjson") {
			r.Header[http.CanonicalHeaderKey(name)] = []string{value}
		}
		w := httptest.NewRecorder()
		api.ServeHTTP(w, r)
		require.NotEmpty(t, w.Header().Get("Swoosh-Index"))
		_, err = swoosh.ParseStamp(w.Header().Get("Swoosh-HLC"))
		require.NoError(t, err)
		switch {
		case w.Code < 400:
			require.Contains(t, []int{200, 204, 304}, w.Code)
		case method != http.MethodHead:
			(&reply{t: t, status: w.Code, header: w.Header(), body: w.Body.String()}).refusedSomehow()
		}
	})
}

// refusedSomehow requires a problem document that is not an internal error.
func (r *reply) refusedSomehow() {
	r.t.Helper()
	code, ok := r.object()["code"].(string)
	require.True(r.t, ok, r.body)
	r.refused(code, r.status)
	if code == "internal" {
		require.Contains(r.t, r.body, "counter.fail", "only the command that breaks down on purpose may")
	}
}
