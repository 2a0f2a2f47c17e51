package program

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/chorus-services/swoosh/internal/testrun"
)

const fakeHLC = "0197a2b4c6d8-0003-n1"

// fake is a server that is one as far as anybody asks whether it is, and answers
// everything else one way. It is asked once.
func fake(t *testing.T, handler http.HandlerFunc) {
	t.Helper()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Swoosh-Index", "7")
		w.Header().Set("Swoosh-HLC", fakeHLC)
		switch r.RequestURI {
		case "/version":
			fmt.Fprint(w, `{"version":"v1"}`)
		case "/state?path=%2Fmeta%2Fversion": // where the log stands
			fmt.Fprint(w, "1")
		default:
			handler(w, r)
		}
	}))
	t.Cleanup(s.Close)
	t.Setenv("SWOOSH_ADDR", s.URL)
	t.Setenv("SWOOSH_RETRY", "0")
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
		w.Header().Set("Connection", "close") // Else the rest of a stream would be read first.
		w.WriteHeader(status)
		fmt.Fprintf(w, `{"code":%q,"detail":"the\nreason","happened":%q}`, code, happened)
	}
}

func TestClientExitCodes(t *testing.T) {
	file := filepath.Join(t.TempDir(), "state.json")
	require.NoError(t, os.WriteFile(file, []byte("{}"), 0o600))
	commands := map[string][]string{
		"command":  {"command", "project.create", `{"project":"a"}`, "--key", "k-1", "--json"},
		"state":    {"state", "--path", "/project", "--json"},
		"log":      {"log", "--from", "7", "--json"},
		"import":   {"import", file, "--json"},
		"snapshot": {"snapshot", "--json"},
		"health":   {"health", "--json"},
	}
	changing := map[string]int{"command": codeUnknown, "import": codeUnknown}
	for _, test := range []struct {
		what    string
		handler http.HandlerFunc
		codes   map[string]int // where they differ
		code    int
		says    string
	}{
		{"good", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, `{"index":7,"mode":"ready"}`) }, nil, codeGood, ""},
		{"refused", refuse(http.StatusConflict, "conflict", "no"), nil, codeFailed, "swoosh: conflict: the; reason\n"},
		{"a domain's own", refuse(http.StatusPaymentRequired, "fee_due", "no"), nil, codeFailed, "swoosh: fee_due: the; reason\n"},
		{"starting", refuse(http.StatusServiceUnavailable, "starting", "no"), nil, codeFailed, "swoosh: starting: the; reason\n"},
		{"unknown", refuse(http.StatusInternalServerError, "outcome_unknown", "unknown"), nil, codeUnknown, "swoosh: outcome_unknown: the; reason"},
		{"hung up", hangUp, changing, codeUnreachable, "no complete answer came from http://127.0.0.1"},
		{"cut off", cutOff, changing, codeUnreachable, "no complete answer came from http://127.0.0.1"},
		{"redirected", func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/elsewhere", http.StatusFound) }, changing, codeFailed, "is not an answer of a swoosh server"},
		{"another program", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Del("Swoosh-Index")
			fmt.Fprintln(w, "<html>")
		}, changing, codeFailed, "is not an answer of a swoosh server"},
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
					require.Contains(t, got.err, "--key k-1 --key-since "+fakeHLC, "the key is needed to find out")
					require.Contains(t, got.out, `"happened":"unknown"`)
				}
				if want == codeGood {
					require.Contains(t, got.out, `"index":7`)
					require.Empty(t, got.err)
				} else {
					require.Equal(t, 1, strings.Count(got.err, "\n"), "one plain line: %s", got.err)
				}
			})
		}
	}
	for name, args := range commands {
		t.Run("nobody there "+name, func(t *testing.T) {
			got := swooshRun(t, "", append(args, "--addr", testrun.Address(t))...)
			require.Equal(t, codeUnreachable, got.code, got.err)
			require.Contains(t, got.err, "swoosh serve")
			require.Contains(t, got.err, "SWOOSH_ADDR")
			require.NotContains(t, got.err, "trying again", "who is not there at first is not waited for")
		})
	}
}

// TestTheAddressOfAnotherProgram is told before anything is sent there.
func TestTheAddressOfAnotherProgram(t *testing.T) {
	var posts atomic.Int64
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodGet {
			posts.Add(1)
		}
		fmt.Fprintln(w, "<html>")
	}))
	defer s.Close()
	got := swooshRun(t, "", "command", "x.y", "--addr", s.URL)
	require.Equal(t, codeFailed, got.code)
	require.Contains(t, got.err, "not an answer of a swoosh server: check the address")
	require.Contains(t, got.err, "--addr")
	require.Zero(t, posts.Load())
}

// TestAskedAgain: what passes is waited for, and said once.
func TestAskedAgain(t *testing.T) {
	calls := 0
	fake(t, func(w http.ResponseWriter, r *http.Request) {
		if calls++; calls < 3 {
			refuse(http.StatusServiceUnavailable, "starting", "no")(w, r)
			return
		}
		fmt.Fprint(w, `{"index":8,"changed":true}`)
	})
	got := swooshRun(t, "", "command", "x.y", "--retry", "1m")
	require.Equal(t, codeGood, got.code, got.err)
	require.Equal(t, "swoosh: trying again: starting: the; reason\n", got.err)
	require.Regexp(t, `(?m)^entry +8$`, got.out)
	require.Equal(t, 3, calls)
}

func TestCommandSends(t *testing.T) {
	var got struct {
		Command string          `json:"command"`
		Payload json.RawMessage `json:"payload"`
		Key     string          `json:"idempotency_key"`
		Since   string          `json:"key_since"`
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
		require.Regexp(t, `^[0-9a-f]{32}$`, got.Key)
		require.Equal(t, fakeHLC, got.Since)
		if test.want == "" {
			require.Empty(t, got.Payload)
		} else {
			require.JSONEq(t, test.want, string(got.Payload))
		}
	}
	first := got.Key
	swooshRun(t, "", "command", "x.y")
	require.NotEqual(t, first, got.Key, "each command has a new key")
	swooshRun(t, "", "command", "x.y", "--key", "mine", "--key-since", "000000000000-0000-n1")
	require.Equal(t, "mine", got.Key)
	require.Equal(t, "000000000000-0000-n1", got.Since)
}

func TestQuestionsSent(t *testing.T) {
	var asked *http.Request
	var body string
	fake(t, func(w http.ResponseWriter, r *http.Request) {
		b, _ := io.ReadAll(r.Body) // What is missing is missed below.
		asked, body = r, string(b)
		fmt.Fprint(w, "{\"index\":7}\n{\"index\":8}\n{\"index\":9}\n")
	})
	require.Equal(t, codeGood, swooshRun(t, "", "state").code)
	require.Equal(t, "/state", asked.RequestURI)
	swooshRun(t, "", "state", "--path", "", "--at", "4")
	require.Equal(t, "/state?at=4", asked.RequestURI)
	swooshRun(t, "", "state", "--path", "/a b", "--at", fakeHLC)
	require.Equal(t, "/state?at="+fakeHLC+"&path=%2Fa+b", asked.RequestURI)

	all := swooshRun(t, "", "log", "--json")
	require.Equal(t, "/log", asked.RequestURI)
	require.Equal(t, "application/x-ndjson", asked.Header.Get("Accept"))
	require.Equal(t, "{\"index\":7}\n{\"index\":8}\n{\"index\":9}\n", all.out)
	two := swooshRun(t, "", "log", "--from", "7", "--limit", "2", "--json")
	require.Equal(t, "/log?from=7", asked.RequestURI)
	require.Equal(t, "{\"index\":7}\n{\"index\":8}\n", two.out)
	require.Equal(t, all.out, swooshRun(t, "", "log", "--limit", "100000", "--json").out)

	file := filepath.Join(t.TempDir(), "state.json")
	require.NoError(t, os.WriteFile(file, []byte(`{"meta":{}}`), 0o600))
	hash := strings.Repeat("ab", 32)
	fake(t, func(w http.ResponseWriter, r *http.Request) {
		b, _ := io.ReadAll(r.Body)
		asked, body = r, string(b)
		fmt.Fprint(w, `{"index":1}`)
	})
	for _, given := range []string{hash, `"` + hash + `"`, hash + "\n"} {
		require.Equal(t, codeGood, swooshRun(t, "", "import", file, "--if-match", given).code)
		require.Equal(t, "POST /state", asked.Method+" "+asked.RequestURI)
		require.Equal(t, `"`+hash+`"`, asked.Header.Get("If-Match"))
		require.Equal(t, `{"meta":{}}`, body)
	}
	require.Equal(t, codeGood, swooshRun(t, "from stdin", "import", "-").code)
	require.Equal(t, "from stdin", body)
	require.Empty(t, asked.Header.Values("If-Match"))
}

// TestImportRefusedBeforeTheBody: a server that refuses without reading is heard.
func TestImportRefusedBeforeTheBody(t *testing.T) {
	file := filepath.Join(t.TempDir(), "state.json")
	require.NoError(t, os.WriteFile(file, make([]byte, 8<<20), 0o600))
	fake(t, refuse(http.StatusPreconditionFailed, "stale_state", "no"))
	got := swooshRun(t, "", "import", file)
	require.Equal(t, codeFailed, got.code, got.err)
	require.Contains(t, got.err, "swoosh: stale_state:")

	fake(t, refuse(http.StatusPreconditionRequired, "precondition_required", "no"))
	got = swooshRun(t, "", "import", file)
	require.Equal(t, codeFailed, got.code, got.err)
	require.Regexp(t, `^swoosh: precondition_required: .*: give it with --if-match\n$`, got.err)
}

func TestImportOfWrongFiles(t *testing.T) {
	calls := 0
	fake(t, func(http.ResponseWriter, *http.Request) { calls++ })
	for _, name := range []string{filepath.Join(t.TempDir(), "missing"), t.TempDir()} {
		got := swooshRun(t, "", "import", name)
		require.Equal(t, codeUsage, got.code, "as for every file that is named and cannot be read")
		require.Contains(t, got.err, name)
	}
	require.Zero(t, calls, "nothing is sent")
}

// TestImportOfWhatIsNoState names the file and what to give.
func TestImportOfWhatIsNoState(t *testing.T) {
	p := launch(t, filepath.Join(t.TempDir(), "data"))
	t.Setenv("SWOOSH_ADDR", p.address(t))
	altered := strings.Replace(swooshRun(t, "", "state", "--json").out, `"state_hash":"`, `"state_hash":"`+strings.Repeat("0", 64)+`","was":"`, 1)
	const form = ": give a document in the form that swoosh state prints"
	for text, want := range map[string][2]string{
		"hello":                    {"malformed_request: the body is not strict JSON: ", form},
		"[1]":                      {"invalid_state: the body must be an object", form},
		"{}":                       {"invalid_state: /meta must be an object with version", form},
		`{"meta":{"version":"x"}}`: {"invalid_state: /meta/version must be 1", form + "; if a newer swoosh wrote it, use that one"},
		`{"meta":{"version":2}}`:   {"invalid_state: /meta/version must be 1", form + "; if a newer swoosh wrote it, use that one"},
		altered:                    {"state_hash_mismatch: ", "leave the member out"},
	} {
		file := writeFile(t, filepath.Join(t.TempDir(), "t.txt"), text)
		got := swooshRun(t, "", "import", file)
		require.Equal(t, codeFailed, got.code)
		require.Regexp(t, "^swoosh: "+regexp.QuoteMeta(file+" cannot be imported: "+want[0])+".*"+regexp.QuoteMeta(want[1])+"\n$", got.err)
		require.Contains(t, swooshRun(t, text, "import", "-").err, "swoosh: stdin cannot be imported: ")
	}
}

// TestVariableThatMeansNothing is told once; those of the server, which may stand
// beside the client's, are not.
func TestVariableThatMeansNothing(t *testing.T) {
	fake(t, func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, `{"mode":"ready"}`) })
	for _, name := range []string{"SWOOSH_CONFIG", "SWOOSH_DIR", "SWOOSH_LISTEN", "SWOOSH_TOKEN_FILE", "SWOOSH_RATE"} {
		t.Setenv(name, "7")
	}
	for _, name := range []string{"SWOOSH_PORT", "SWOOSH_PORT_8420_TCP_ADDR", "SWOOSH_SERVICE_HOST", "SWOOSH_SERVICE_PORT_HTTP"} {
		t.Setenv(name, "from Kubernetes")
	}
	t.Setenv("SWOOSH_ADRR", "http://127.0.0.1:1")
	for _, args := range [][]string{{"health"}, {"state"}} {
		got := swooshRun(t, "", args...)
		require.Equal(t, codeGood, got.code, got.err)
		require.Equal(t, "swoosh: the variable SWOOSH_ADRR has no meaning, did you mean SWOOSH_ADDR? --help lists the variables\n", got.err)
	}
}

// TestAddress: flag and variable, with and without a scheme.
func TestAddress(t *testing.T) {
	fake(t, func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, `{"mode":"ready"}`) })
	whole := os.Getenv("SWOOSH_ADDR")
	for _, given := range []string{whole, whole + "/", strings.TrimPrefix(whole, "http://")} {
		t.Setenv("SWOOSH_ADDR", given)
		require.Equal(t, codeGood, swooshRun(t, "", "health").code, given)
		t.Setenv("SWOOSH_ADDR", "ftp://nowhere")
		require.Equal(t, codeGood, swooshRun(t, "", "health", "--addr", given).code, "the flag wins")
	}
	t.Setenv("SWOOSH_ADDR", "ftp://nowhere")
	wrong := swooshRun(t, "", "health")
	require.Equal(t, codeUsage, wrong.code)
	require.Contains(t, wrong.err, "SWOOSH_ADDR")
	t.Setenv("SWOOSH_ADDR", whole)
	t.Setenv("SWOOSH_RETRY", "soon")
	wrong = swooshRun(t, "", "health")
	require.Equal(t, codeUsage, wrong.code)
	require.Equal(t, `swoosh: SWOOSH_RETRY is "soon": give a duration, such as 500ms, 30s or 2m, from 0s to 24h0m0s`+"\n", wrong.err)
	t.Setenv("SWOOSH_RETRY", "0")
	require.Contains(t, swooshRun(t, "", "health", "--retry", "-1s").err, `--retry is "-1s": give a duration, such as 500ms, 30s or 2m, from 0s to 24h0m0s`)
}
