package main

import (
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// fake is a server that answers one way.
func fake(t *testing.T, handler http.HandlerFunc) {
	t.Helper()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Swoosh-Index", "7")
		handler(w, r)
	}))
	t.Cleanup(s.Close)
	t.Setenv("SWOOSH_ADDR", s.URL)
}

func hangUp(w http.ResponseWriter, r *http.Request) {
	_, _ = io.Copy(io.Discard, r.Body) // So that the question was sent as a whole.
	panic(http.ErrAbortHandler)
}

func cutOff(w http.ResponseWriter, r *http.Request) {
	_, _ = io.Copy(io.Discard, r.Body)
	w.Header().Set("Content-Length", "100")
	_, _ = io.WriteString(w, `{"index":`)
	_ = http.NewResponseController(w).Flush() // If it fails the test sees it.
	panic(http.ErrAbortHandler)
}

func refuse(status int, code, happened string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/problem+json")
		w.WriteHeader(status)
		fmt.Fprintf(w, `{"code":%q,"detail":"the\nreason","happened":%q}`, code, happened)
	}
}

func TestClientExitCodes(t *testing.T) {
	file := filepath.Join(t.TempDir(), "state.json")
	require.NoError(t, os.WriteFile(file, []byte("{}"), 0o600))
	commands := map[string][]string{
		"command": {"command", "project.create", `{"project":"a"}`, "--key", "k-1"},
		"state":   {"state", "--path", "/project"},
		"log":     {"log", "--from", "3"},
		"import":  {"import", file},
	}
	for _, test := range []struct {
		what    string
		handler http.HandlerFunc
		codes   map[string]int // where they differ
		code    int
		says    string
	}{
		{"good", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, `{"index":7}`) }, nil, codeGood, ""},
		{"refused", refuse(http.StatusConflict, "conflict", "no"), nil, codeFailed, "swoosh: conflict: the; reason\n"},
		{"starting", refuse(http.StatusServiceUnavailable, "starting", "no"), nil, codeFailed, "swoosh: starting: the; reason\n"},
		{"unknown", refuse(http.StatusInternalServerError, "outcome_unknown", "unknown"), nil, codeUnknown, "swoosh: outcome_unknown: the; reason"},
		{"hung up", hangUp, map[string]int{"command": codeUnknown, "import": codeUnknown}, codeUnreachable, "no answer came from http://127.0.0.1"},
		{"cut off", cutOff, map[string]int{"command": codeUnknown, "import": codeUnknown}, codeFailed, "the answer was cut off"},
		{"redirected", func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/elsewhere", http.StatusFound) }, nil, codeFailed, "is no answer of a swoosh server"},
		{"another program", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Del("Swoosh-Index")
			fmt.Fprintln(w, "<html>")
		}, nil, codeFailed, "is no answer of a swoosh server"},
	} {
		for name, args := range commands {
			t.Run(test.what+" "+name, func(t *testing.T) {
				fake(t, test.handler)
				want, differs := test.codes[name]
				if !differs {
					want = test.code
				}
				got := swooshRun(t, "", args...)
				require.Equal(t, want, got.code, got.err)
				require.Contains(t, got.err, test.says)
				if want == codeUnknown && name == "command" {
					require.Contains(t, got.err, "--key k-1", "the key is needed to find out")
				}
				if want == codeGood {
					require.Equal(t, "{\"index\":7}\n", got.out)
					require.Empty(t, got.err)
				} else {
					require.Equal(t, 1, strings.Count(got.err, "\n"), "one plain line: %s", got.err)
				}
			})
		}
	}
	for name, args := range commands {
		t.Run("nobody there "+name, func(t *testing.T) {
			ln, err := net.Listen("tcp", "127.0.0.1:0")
			require.NoError(t, err)
			require.NoError(t, ln.Close())
			got := swooshRun(t, "", append(args, "--addr", ln.Addr().String())...)
			require.Equal(t, codeUnreachable, got.code, got.err)
			require.Contains(t, got.err, "swoosh serve")
		})
	}
}

func TestCommandSends(t *testing.T) {
	var got struct {
		Command string          `json:"command"`
		Payload json.RawMessage `json:"payload"`
		Key     string          `json:"idempotency_key"`
	}
	calls, asked, wrong := 0, "", error(nil)
	fake(t, func(w http.ResponseWriter, r *http.Request) {
		calls++
		asked = r.Method + " " + r.RequestURI + " " + r.Header.Get("Content-Type")
		got.Payload = nil
		wrong = json.NewDecoder(r.Body).Decode(&got)
		fmt.Fprint(w, `{"index":1}`)
	})
	for _, test := range []struct {
		stdin string
		args  []string
		want  string
	}{
		{"", []string{`{"a":1,"b":"<é>"}`}, `{"a":1,"b":"<é>"}`},
		{"{\"a\":\n2}\n", []string{"-"}, `{"a":2}`},
		{"", nil, ""},
	} {
		calls = 0
		require.Equal(t, codeGood, swooshRun(t, test.stdin, append([]string{"command", "x.y"}, test.args...)...).code)
		require.NoError(t, wrong)
		require.Equal(t, 1, calls)
		require.Equal(t, "POST /command application/json", asked)
		require.Equal(t, "x.y", got.Command)
		require.Regexp(t, `^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$`, got.Key)
		if test.want == "" {
			require.Empty(t, got.Payload)
		} else {
			require.JSONEq(t, test.want, string(got.Payload))
		}
	}
	first := got.Key
	swooshRun(t, "", "command", "x.y")
	require.NotEqual(t, first, got.Key, "each command has a new key")
	swooshRun(t, "", "command", "x.y", "--key", "mine")
	require.Equal(t, "mine", got.Key)
}

func TestQuestionsSent(t *testing.T) {
	var asked *http.Request
	var body string
	fake(t, func(w http.ResponseWriter, r *http.Request) {
		b, _ := io.ReadAll(r.Body) // What is missing is missed below.
		asked, body = r, string(b)
		fmt.Fprint(w, "{\"index\":1}\n{\"index\":2}\n{\"index\":3}\n")
	})
	require.Equal(t, codeGood, swooshRun(t, "", "state").code)
	require.Equal(t, "/state", asked.RequestURI)
	swooshRun(t, "", "state", "--path", "", "--at", "4")
	require.Equal(t, "/state?at=4&path=", asked.RequestURI)

	all := swooshRun(t, "", "log")
	require.Equal(t, "/log", asked.RequestURI)
	require.Equal(t, "application/x-ndjson", asked.Header.Get("Accept"))
	require.Equal(t, 3, strings.Count(all.out, "\n"))
	two := swooshRun(t, "", "log", "--from", "7", "--limit", "2")
	require.Equal(t, "/log?from=7", asked.RequestURI)
	require.Equal(t, "{\"index\":1}\n{\"index\":2}\n", two.out)
	require.Equal(t, all.out, swooshRun(t, "", "log", "--limit", "100000").out)

	file := filepath.Join(t.TempDir(), "state.json")
	require.NoError(t, os.WriteFile(file, []byte(`{"meta":{}}`), 0o600))
	hash := strings.Repeat("ab", 32)
	for _, given := range []string{hash, `"` + hash + `"`} {
		require.Equal(t, codeGood, swooshRun(t, "", "import", file, "--if-match", given).code)
		require.Equal(t, "POST /state", asked.Method+" "+asked.RequestURI)
		require.Equal(t, `"`+hash+`"`, asked.Header.Get("If-Match"))
		require.Equal(t, `{"meta":{}}`, body)
		require.EqualValues(t, len(body), asked.ContentLength)
	}
	swooshRun(t, "", "import", file)
	require.Empty(t, asked.Header.Get("If-Match"))
}

func TestImportRefusedBeforeTheBody(t *testing.T) {
	file := filepath.Join(t.TempDir(), "large.json")
	require.NoError(t, os.WriteFile(file, make([]byte, 8<<20), 0o600))
	fake(t, refuse(http.StatusPreconditionFailed, "stale_state", "no"))
	got := swooshRun(t, "", "import", file)
	require.Equal(t, codeFailed, got.code)
	require.Contains(t, got.err, "swoosh: stale_state:")
}

func TestImportOfWrongFiles(t *testing.T) {
	calls := 0
	fake(t, func(http.ResponseWriter, *http.Request) { calls++ })
	for _, name := range []string{filepath.Join(t.TempDir(), "missing"), t.TempDir()} {
		got := swooshRun(t, "", "import", name)
		require.Equal(t, codeFailed, got.code)
		require.Contains(t, got.err, name)
	}
	require.Zero(t, calls, "nothing is sent")
}

func TestAddress(t *testing.T) {
	for given, want := range map[string]string{
		"":                       defaultAddress,
		"127.0.0.1:9":            "http://127.0.0.1:9",
		"http://[::1]:9/":        "http://[::1]:9",
		"https://swoosh.example": "https://swoosh.example",
	} {
		t.Setenv("SWOOSH_ADDR", given)
		var c connection
		require.NoError(t, c.open())
		require.Equal(t, want, c.base)
	}
	c := connection{address: "localhost:1"}
	require.NoError(t, c.open())
	require.Equal(t, "http://localhost:1", c.base, "the flag wins")
}
