package program

import (
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// TestGuardsCheck says whether a file is one that the server takes.
func TestGuardsCheck(t *testing.T) {
	file := filepath.Join(t.TempDir(), "guards.json")
	writeFile(t, file, `{"rules":[{"name":"a","on":"project.*","allow":"actor != ''"},{"name":"b","on":"*","url":"http://127.0.0.1:1/"}]}`)
	got := swooshRun(t, "", "guards", "check", file)
	require.Equal(t, codeGood, got.code, got.err)
	require.Equal(t, file+" is good, rules: a, b\n", got.out)
	require.JSONEq(t, `{"rules":["a","b"]}`, swooshRun(t, "", "guards", "check", file, "--json").out)
	writeFile(t, file, `{"rules":[]}`)
	require.Equal(t, file+" is good, rules: none\n", swooshRun(t, "", "guards", "check", file).out)
	require.JSONEq(t, `{"rules":[]}`, swooshRun(t, "", "guards", "check", file, "--json").out)
	for text, want := range map[string]string{
		`{"rules":[{"name":"a","on":"projct.create","allow":"true"}]}`:        `: rule a: on: there is no command "projct.create": did you mean project.create?`,
		`{"rules":[{"name":"a","on":"policy.quarantine","allow":"false"}]}`:   `: rule a: on: no guard is asked about the commands of policy`,
		`{"rules":[{"name":"a","on":"project.create","allow":"payload."}]}`:   `: rule a: allow, column 9: Syntax error`,
		`{"rules":[{"name":"a","on":"project.create","allow":"acto == ''"}]}`: `: rule a: allow, column 1: undeclared reference to 'acto'`,
	} {
		writeFile(t, file, text)
		got := swooshRun(t, "", "guards", "check", file)
		require.Equal(t, codeUsage, got.code)
		require.Contains(t, got.err, file+want)
	}
}

// guardedServer is a server whose commands a file judges.
type guardedServer struct {
	*process
	t             *testing.T
	address, file string
}

func launchGuarded(t *testing.T, rules string, flags ...string) *guardedServer {
	g := &guardedServer{t: t, file: writeFile(t, filepath.Join(t.TempDir(), "guards.json"), rules)}
	g.process = launch(t, filepath.Join(t.TempDir(), "data"), append(flags, "--guards", g.file)...)
	g.address = g.process.address(t)
	return g
}

func (g *guardedServer) post(command string) (status int, answer string) {
	r, err := http.Post(g.address+"/command", "application/json", strings.NewReader(command))
	require.NoError(g.t, err)
	return r.StatusCode, read(g.t, r)
}

func (g *guardedServer) get(path string) string {
	r, err := http.Get(g.address + path)
	require.NoError(g.t, err)
	return read(g.t, r)
}

func read(t *testing.T, r *http.Response) string {
	defer r.Body.Close()
	b, err := io.ReadAll(r.Body)
	require.NoError(t, err)
	return string(b)
}

func (g *guardedServer) replace(rules string) {
	writeFile(g.t, g.file+".new", rules)
	require.NoError(g.t, os.Rename(g.file+".new", g.file))
}

const alpha, pause = `{"command":"project.create","payload":{"project":"alpha","name":"A"}}`, `{"command":"control.pause","payload":{"reason":"x"}}`

// TestServeWithGuards: verdicts are in answers, entries and metrics; a file is read again
// when it changes, and a bad one leaves the old rules in force.
func TestServeWithGuards(t *testing.T) {
	g := launchGuarded(t, `{"rules":[{"name":"no-alpha","on":"project.create","rows":{"p":"'/project/projects/' + payload.project"},"allow":"rows.p == null && payload.project != 'alpha'","reason":"alpha is taken"}]}`)
	status, answer := g.post(alpha)
	require.Equal(t, http.StatusForbidden, status, answer)
	require.Contains(t, answer, `"guards":[{"guard":"no-alpha","allowed":false,"reason":"alpha is taken"}]`)
	status, answer = g.post(strings.Replace(alpha, "alpha", "beta", 1))
	require.Equal(t, http.StatusOK, status, answer)
	require.Contains(t, g.get("/log?from=1"), `"guards":[{"allowed":true,"guard":"no-alpha","reason":""}]`)
	metrics := g.get("/metrics")
	require.Contains(t, metrics, `swoosh_guard_verdicts_total{rule="no-alpha",verdict="allowed"} 1`)
	require.Contains(t, metrics, `swoosh_guard_verdicts_total{rule="no-alpha",verdict="refused"} 1`)
	require.Contains(t, metrics, `swoosh_guard_seconds_count{rule="no-alpha"} 2`)
	require.Contains(t, metrics, `swoosh_reload_failing 0`)

	g.replace(`{"rules":[{"name":"all","on":"*","allow":"fals"}]}`)
	require.Eventually(t, func() bool {
		return strings.Contains(g.get("/health"), "The rules of --guards could not be reloaded, and the old ones stay in force")
	}, time.Minute, 50*time.Millisecond)
	require.Contains(t, g.get("/health"), "rule all: allow, column 1: undeclared reference to 'fals'")
	require.Contains(t, g.get("/metrics"), `swoosh_reload_failing 1`)
	status, _ = g.post(alpha)
	require.Equal(t, http.StatusForbidden, status)

	g.replace(`{"rules":[{"name":"all","on":"*","allow":"false"}]}`)
	require.Eventually(t, func() bool { return strings.Contains(g.get("/metrics"), `swoosh_reload_failing 0`) }, time.Minute, 50*time.Millisecond)
	status, answer = g.post(strings.Replace(alpha, "alpha", "gamma", 1))
	require.Equal(t, http.StatusForbidden, status)
	require.Contains(t, answer, "it is not so that false")
	status, answer = g.post(pause)
	require.Equal(t, http.StatusOK, status, answer)
	require.Equal(t, codeGood, g.stop(t, syscall.SIGTERM))
	require.Contains(t, g.stderr.String(), "the old rules stay in force")
}

// TestHangingServiceWedgesNothing: while questions hang, other commands are taken, the
// pause among them, and a stop is in order and waits for none of them.
func TestHangingServiceWedgesNothing(t *testing.T) {
	asked := make(chan struct{}, 100)
	s := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		asked <- struct{}{}
		<-r.Context().Done()
	}))
	t.Cleanup(s.Close)
	g := launchGuarded(t, `{"rules":[{"name":"slow","on":"project.create","timeout":"10s","on_failure":"allow","url":"`+s.URL+`"}]}`)
	answers := make(chan string, 8)
	for range cap(answers) {
		go func() {
			r, err := http.Post(g.address+"/command", "application/json", strings.NewReader(alpha))
			if err != nil {
				answers <- err.Error()
				return
			}
			answers <- read(t, r)
		}()
	}
	for range cap(answers) {
		<-asked
	}
	status, answer := g.post(pause)
	require.Equal(t, http.StatusOK, status, answer)
	require.Contains(t, answer, `"index":1`)
	require.Equal(t, codeGood, g.stop(t, syscall.SIGTERM), "in order")
	for range cap(answers) {
		require.Contains(t, <-answers, `"code":"shutting_down"`)
	}
	require.NotContains(t, g.stderr.String(), "requests take too long", "the questions had 10 s")
}
