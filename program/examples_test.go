package program

import (
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"
)

// lossy forwards to a server and loses answers: of the commands it delivers, the
// first answer never comes, the second breaks off, the third is a 503; each watch
// ends after four entries.
type lossy struct {
	to       http.Handler
	commands atomic.Int64
}

func newLossy(t testing.TB, server string) string {
	t.Helper()
	to, err := url.Parse(server)
	require.NoError(t, err)
	proxy := httputil.NewSingleHostReverseProxy(to)
	proxy.FlushInterval = -1
	s := httptest.NewServer(&lossy{to: proxy})
	t.Cleanup(func() {
		s.CloseClientConnections() // A watch would go on to its next heartbeat.
		s.Close()
	})
	return s.URL
}

func (l *lossy) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.URL.Path == "/watch" {
		w = &cutting{ResponseWriter: w}
	}
	if r.URL.Path != "/command" {
		l.to.ServeHTTP(w, r)
		return
	}
	switch l.commands.Add(1) {
	case 1:
		l.to.ServeHTTP(httptest.NewRecorder(), r)
		panic(http.ErrAbortHandler)
	case 2:
		answer := httptest.NewRecorder()
		l.to.ServeHTTP(answer, r)
		maps.Copy(w.Header(), answer.Header())
		_, _ = w.Write(answer.Body.Bytes()[:answer.Body.Len()/2])
		_ = http.NewResponseController(w).Flush()
		panic(http.ErrAbortHandler)
	case 3:
		w.Header().Set("Content-Type", "application/problem+json")
		w.WriteHeader(http.StatusServiceUnavailable)
		fmt.Fprint(w, `{"code":"overloaded","status":503,"happened":"no"}`)
	default:
		l.to.ServeHTTP(w, r)
	}
}

// cutting is an answer that breaks off after its fourth entry.
type cutting struct {
	http.ResponseWriter
	entries int
}

func (c *cutting) Write(b []byte) (int, error) {
	for from := 0; ; c.entries++ {
		at := strings.Index(string(b[from:]), "event: entry\n")
		if at < 0 {
			return c.ResponseWriter.Write(b)
		}
		if from += at + 1; c.entries == 4 {
			_, _ = c.ResponseWriter.Write(b[:from-1])
			_ = http.NewResponseController(c.ResponseWriter).Flush()
			panic(http.ErrAbortHandler)
		}
	}
}

func (c *cutting) Unwrap() http.ResponseWriter { return c.ResponseWriter }

// pythonClient drives examples/client.py through what a service does.
const pythonClient = `
import sys; sys.dont_write_bytecode = True; sys.path.insert(0, "../examples")
import client
c = client.Client(sys.argv[1])
first = c.command("project.create", {"project": "p0", "name": "P"})
assert first["index"] == 1 and first["duplicate"], first
for n in range(1, 11):
    assert not c.command("project.create", {"project": f"p{n}", "name": "P"})["duplicate"]
try:
    c.command("project.create", {"project": "p1", "name": "P"}); sys.exit("no refusal")
except ValueError as e:
    assert e.args[0]["code"] == "conflict", e
watch = c.watch(1)
print([next(watch)["index"] for _ in range(11)])
`

// shellClient does the same with examples/client.sh.
const shellClient = `
set -euo pipefail
export SWOOSH_ADDR=$1
client=../examples/client.sh
[[ $($client command project.create '{"project":"p0","name":"P"}' once) == '{"index":1,'*'"duplicate":true}' ]]
for n in {1..10}; do
	[[ $($client command project.create "{\"project\":\"p$n\",\"name\":\"P\"}") == *'"duplicate":false}' ]]
done
if $client command project.create '{"project":"p1","name":"P"}' 2>/tmp/refusal.$$; then echo 'no refusal'; exit 1; fi
grep -q '"code":"conflict"' /tmp/refusal.$$; rm /tmp/refusal.$$
[[ $($client get '/state?path=/project/projects/p1') == *'"name":"P"'* ]]
seen=$(mktemp)
$client watch 1 >"$seen" 2>/dev/null &
until (($(wc -l <"$seen") >= 11)); do sleep 0.1; done
kill %1
jq -c .index "$seen" | jq -sc .
rm "$seen"
`

// TestClientsOfExamples: what they send applies once, and what they follow they
// see once, over answers that get lost.
func TestClientsOfExamples(t *testing.T) {
	for name, command := range map[string][]string{
		"python": {"python3", "-c", pythonClient},
		"shell":  {"bash", "-c", shellClient, "client"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := launch(t, t.TempDir()+"/data")
			cmd := exec.Command(command[0], append(command[1:], newLossy(t, p.address(t)))...)
			var said strings.Builder
			cmd.Stderr = &said
			out, err := cmd.Output()
			require.NoError(t, err, said.String())
			require.Equal(t, "[1,2,3,4,5,6,7,8,9,10,11]", strings.ReplaceAll(strings.TrimSpace(string(out)), " ", ""))
		})
	}
}

// TestClientsOfExamplesAreShort: they are there to be read.
func TestClientsOfExamplesAreShort(t *testing.T) {
	for _, name := range []string{"client.py", "client.sh"} {
		b, err := os.ReadFile("../examples/" + name)
		require.NoError(t, err)
		lines := 0
		for line := range strings.Lines(string(b)) {
			if line = strings.TrimSpace(line); line != "" && !strings.HasPrefix(line, "#") {
				lines++
			}
		}
		require.LessOrEqual(t, lines, 35, name)
	}
}
