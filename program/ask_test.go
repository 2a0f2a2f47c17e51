package program

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// TestAskOverTLS: the commands that ask find a server that wants a token, over
// TLS and over a socket.
func TestAskOverTLS(t *testing.T) {
	dir, err := os.MkdirTemp("", "swoosh-ask-")
	require.NoError(t, err)
	defer os.RemoveAll(dir)
	cert, key := certificate(t, dir, "server", time.Now().Add(time.Hour))
	file, socket := filepath.Join(dir, "tokens"), filepath.Join(dir, "s")
	token := strings.TrimSpace(swooshRun(t, "", "token", "boss", "admin", "--token-file", file).out)
	mine := writeFile(t, filepath.Join(dir, "mine"), token+"\n")
	payload := writeFile(t, filepath.Join(dir, "payload"), `{"project":"b","name":"B"}`)

	p := launch(t, filepath.Join(dir, "data"), "--token-file", file, "--tls-cert", cert, "--tls-key", key)
	t.Setenv("SWOOSH_ADDR", p.address(t))
	require.Contains(t, swooshRun(t, "", "state", "--addr", strings.Replace(os.Getenv("SWOOSH_ADDR"), "https", "http", 1)).err, "uses TLS: use an address that begins with https://")
	got := swooshRun(t, "", "state")
	require.Equal(t, codeUnreachable, got.code)
	require.Contains(t, got.err, "trust its authority: --ca-file or SWOOSH_CA_FILE names it")
	t.Setenv("SWOOSH_CA_FILE", cert)
	got = swooshRun(t, "", "state")
	require.Equal(t, codeFailed, got.code, got.err)
	require.Contains(t, got.err, "give your token in SWOOSH_TOKEN or --token-file")
	require.Equal(t, codeGood, swooshRun(t, "", "command", "project.create", `{"project":"a","name":"A"}`, "--token-file", mine).code)
	t.Setenv("SWOOSH_TOKEN", token)
	require.Equal(t, codeGood, swooshRun(t, "", "command", "project.create", "@"+payload).code)
	state := swooshRun(t, "", "state", "--path", "/project/projects/b")
	require.Contains(t, state.out, `"name": "B"`, state.err)
	require.Contains(t, swooshRun(t, "", "log", "--json").out, `"actor":"boss"`)
	for flags, want := range map[string]string{
		"--token-file " + file:      "not the server's token file",
		"--token-file missing":      "open missing: no such file or directory: check the path",
		"--token-file " + dir:       "is a directory: name a file",
		"--ca-file missing":         "open missing: no such file or directory: check the path",
		"--ca-file " + mine:         "holds no certificate",
		"--cert-file " + cert:       "go together",
		"--addr unix:":              "unix: has no socket path",
		"--addr ftp://127.0.0.1:80": "not a server's address",
	} {
		got := swooshRun(t, "", append([]string{"state"}, strings.Fields(flags)...)...)
		require.Equal(t, codeUsage, got.code, flags)
		require.Contains(t, got.err, want)
	}
	got = swooshRun(t, "", "command", "project.create", "@missing")
	require.Equal(t, codeUsage, got.code)
	require.Contains(t, got.err, "open missing")
	require.Equal(t, codeGood, p.stop(t, syscall.SIGTERM))

	q := launch(t, filepath.Join(dir, "data"), "--listen", unixPrefix+socket)
	t.Setenv("SWOOSH_ADDR", q.address(t))
	state = swooshRun(t, "", "state", "--path", "/project/projects/a")
	require.Equal(t, codeGood, state.code, state.err)
	require.Equal(t, codeGood, q.stop(t, syscall.SIGTERM))
	got = swooshRun(t, "", "state")
	require.Equal(t, codeUnreachable, got.code)
	require.Contains(t, got.err, "unix:"+socket)
}

// TestAskHowItIs: health, snapshot, one command explained, completion.
func TestAskHowItIs(t *testing.T) {
	p := launch(t, filepath.Join(t.TempDir(), "data"), "--node-id", "n-7")
	t.Setenv("SWOOSH_ADDR", p.address(t))
	require.Equal(t, codeGood, swooshRun(t, "", "command", "project.create", `{"project":"a","name":"A"}`).code)
	health := swooshRun(t, "", "health")
	require.Equal(t, codeGood, health.code, health.err)
	require.Regexp(t, `(?m)^mode +ready$`, health.out)
	require.Regexp(t, `(?m)^node +n-7$`, health.out)
	snapshot := swooshRun(t, "", "snapshot")
	require.Equal(t, codeGood, snapshot.code, snapshot.err)
	require.Regexp(t, `(?m)^entry +1$`, snapshot.out)
	require.Regexp(t, `(?m)^snapshot +1$`, swooshRun(t, "", "health").out)
	const when, where = "swoosh log --json lists the entries", "swoosh state without --path shows everything"
	for flags, next := range map[string]string{
		"--at 999": when, "--at abc": when, "--at=": when, "--path /nope": where, "--path nope": where, "--at 9 --path /nope": when + "; " + where,
	} {
		got := swooshRun(t, "", append([]string{"state"}, strings.Fields(flags)...)...)
		require.Equal(t, codeFailed, got.code)
		require.True(t, strings.HasSuffix(got.err, ": "+next+"\n"), got.err)
	}
	require.Equal(t, codeGood, p.stop(t, syscall.SIGTERM))
	got := swooshRun(t, "", "state", "--at", "999")
	require.Equal(t, codeUnreachable, got.code)
	require.NotContains(t, got.err, when)

	t.Setenv("SWOOSH_ADDR", "")
	one := swooshRun(t, "", "commands", "control.pause")
	require.Contains(t, one.out, "role:   admin\n")
	require.Contains(t, one.out, `"reason"`)
	wrong := swooshRun(t, "", "commands", "control.paus")
	require.Equal(t, codeUsage, wrong.code)
	require.Contains(t, wrong.err, "did you mean control.pause?")
	for _, shell := range []string{"bash", "zsh", "fish", "powershell"} {
		require.Contains(t, swooshRun(t, "", "completion", shell).out, "swoosh")
	}
	require.Contains(t, swooshRun(t, "", "completion", "bas").err, "did you mean bash?")
	require.Contains(t, swooshRun(t, "", "completion", "fish").out, "__fish_complete_directories")
	require.Contains(t, swooshRun(t, "", "__complete", "command", "contr").out, "control.pause\t")
}

func TestHealthOfAServerThatIsNotReady(t *testing.T) {
	fake(t, func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprint(w, `{"mode":"read_only","reasons":["The disk failed."],"index":7,"hlc":"0197a2b4c6d8-0000-n1"}`)
	})
	got := swooshRun(t, "", "health")
	require.Equal(t, codeFailed, got.code)
	require.Regexp(t, `(?m)^mode +read_only$`, got.out)
	require.Contains(t, got.err, "read_only: The disk failed.")
}

// TestWatchGoesOn over a restart of the server: each entry once, in order.
func TestWatchGoesOn(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	port := freePort(t)
	address := "http://127.0.0.1:" + port
	t.Setenv("SWOOSH_ADDR", address)
	serve := func() *process {
		p := launch(t, dir, "--listen", net.JoinHostPort("127.0.0.1", port))
		p.address(t)
		return p
	}
	create := func(n int) {
		got := swooshRun(t, "", "command", "project.create", fmt.Sprintf(`{"project":"p%d","name":"P"}`, n))
		require.Equal(t, codeGood, got.code, got.err)
	}
	require.Equal(t, codeUnreachable, swooshRun(t, "", "watch").code, "it is not there when it is first asked")
	p := serve()
	create(1)
	ctx, cancel := context.WithCancel(context.Background())
	seen := make(lineWriter, 100)
	ended := make(chan int, 1)
	go func() { ended <- run(ctx, []string{"watch", "--from", "1", "--json"}, streams{nil, seen, os.Stderr}) }()
	requireEntry := func(index int) {
		t.Helper()
		require.Contains(t, <-seen, fmt.Sprintf(`"index":%d,`, index))
	}
	requireEntry(1)
	create(2)
	requireEntry(2)
	p.kill()
	p = serve()
	create(3)
	create(4)
	requireEntry(3)
	requireEntry(4)
	require.Equal(t, codeGood, p.stop(t, syscall.SIGTERM))
	serve()
	create(5)
	requireEntry(5)
	cancel()
	require.Equal(t, codeGood, <-ended)
	require.Empty(t, seen)
	require.Equal(t, codeFailed, swooshRun(t, "", "watch", "--from", "99").code)
	require.Equal(t, codeUsage, swooshRun(t, "", "watch", "--from", "0").code)
}

// TestLinesAreBounded: of a line that is too long no more is kept than shows it.
func TestLinesAreBounded(t *testing.T) {
	in := &commandLines{r: bufio.NewReader(strings.NewReader(strings.Repeat("x", 9*lineMaxBytes) + "\nnext\n"))}
	line, err := in.next()
	require.NoError(t, err)
	require.Greater(t, len(line), lineMaxBytes)
	require.Less(t, len(line), lineMaxBytes+1<<16)
	line, err = in.next()
	require.NoError(t, err)
	require.Equal(t, "next\n", string(line))
}

// TestCommandStream: a line for each line, whether or not one is refused.
func TestCommandStream(t *testing.T) {
	p := launch(t, filepath.Join(t.TempDir(), "data"))
	t.Setenv("SWOOSH_ADDR", p.address(t))
	create := func(id string) string {
		return fmt.Sprintf(`{"command":"project.create","payload":{"project":%q,"name":"P"}}`+"\n", id)
	}
	got := swooshRun(t, create("a")+create("b"), "command", "-", "--json")
	require.Equal(t, codeGood, got.code, got.err)
	require.Equal(t, 2, strings.Count(got.out, `"changed":true`))
	wrong := `["no command"]` + "\n" + `{"command":"project.create","paylod":{}}` + "\n" + strings.Repeat("x", lineMaxBytes+9) + "\n"
	got = swooshRun(t, create("c")+create("a")+" \n"+wrong+strings.TrimSpace(create("d")), "command", "-", "--json")
	require.Equal(t, codeFailed, got.code)
	require.Contains(t, got.err, "of 6 commands 4 were refused")
	lines := strings.Split(strings.TrimSpace(got.out), "\n")
	require.Len(t, lines, 6)
	for i, want := range []string{`"index":3`, `"code":"conflict"`, `"code":"malformed_request"`, `paylod`, `more than 1048576 bytes`, `"index":4`} {
		require.Contains(t, lines[i], want)
	}
	for i, line := range []int{2, 4, 5, 6} {
		require.Contains(t, lines[i+1], fmt.Sprintf(`"line":%d`, line))
	}
	require.Equal(t, strings.Join([]string{
		"   LINE     ENTRY  OUTCOME             COMMAND",
		"      1         5  changed             project.create",
		"      3         -  malformed_request   the line is not a command: invalid character 'x' at start of value",
		"      4         -  unknown_command     x: ",
	}, "\n"), shorten(swooshRun(t, create("e")+"\nx\n"+`{"command":"x"}`, "command", "-").out, "x: "))
	require.Equal(t, codeUsage, swooshRun(t, "", "command", "-", "{}").code)
	require.Equal(t, codeUsage, swooshRun(t, "", "command", "-", "--key", "k").code)
	require.Equal(t, codeUsage, swooshRun(t, "", "command", "-", "--key-since", fakeHLC).code)
	require.Equal(t, codeUsage, swooshRun(t, "", "log", "--follow", "--limit", "3").code)

	ctx, cancel := context.WithCancel(context.Background())
	seen, ended := make(lineWriter, 100), make(chan int, 1)
	go func() { ended <- run(ctx, []string{"log", "--follow", "--json"}, streams{nil, seen, os.Stderr}) }()
	for index := 1; index <= 4; index++ {
		require.Contains(t, <-seen, fmt.Sprintf(`"index":%d,`, index))
	}
	cancel()
	require.Equal(t, codeGood, <-ended)

	fake(t, func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(http.StatusOK)
		_ = http.NewResponseController(w).EnableFullDuplex() // The test sees it if it fails.
		_ = http.NewResponseController(w).Flush()
		_, _ = io.Copy(io.Discard, r.Body)
		fmt.Fprint(w, `{"index":1}`+"\n"+`{"code":"key_expired","line":2,"happened":"unknown"}`+"\n")
	})
	unknown := swooshRun(t, `{"command":"a"}`+"\n"+`{"command":"b"}`, "command", "-")
	require.Equal(t, codeUnknown, unknown.code, unknown.err)
	require.Contains(t, unknown.err, "of 2 commands the outcome of 1 is unknown")
}

// shorten cuts text behind the first mark.
func shorten(text, mark string) string {
	before, _, _ := strings.Cut(text, mark)
	return before + mark
}

// TestCommandStreamGoesOn over a kill of the server: each line is answered, in
// order, and is in the log once.
func TestCommandStreamGoesOn(t *testing.T) {
	dir, port := filepath.Join(t.TempDir(), "data"), freePort(t)
	t.Setenv("SWOOSH_ADDR", "http://127.0.0.1:"+port)
	serve := func() *process {
		p := launch(t, dir, "--listen", net.JoinHostPort("127.0.0.1", port))
		p.address(t)
		return p
	}
	p := serve()
	stdin, lines := io.Pipe()
	answers, ended := make(lineWriter, 1000), make(chan int, 1)
	var said bytes.Buffer
	go func() {
		ended <- run(t.Context(), []string{"command", "-", "--json"}, streams{stdin, answers, &said})
	}()
	send := func(n int) {
		_, err := fmt.Fprintf(lines, `{"command":"project.create","payload":{"project":"p%d","name":"P"}}`+"\n", n)
		require.NoError(t, err)
	}
	for n := 1; n <= 20; n++ {
		send(n)
		if n == 10 {
			require.Contains(t, <-answers, `"index":1,`)
			p.kill()
			p = serve()
		}
	}
	require.NoError(t, lines.Close())
	require.Equal(t, codeGood, <-ended, said.String())
	require.Contains(t, said.String(), "swoosh: trying again: ")
	for n := 2; n <= 20; n++ {
		require.Contains(t, <-answers, fmt.Sprintf(`"index":%d,`, n))
	}
	require.Equal(t, 20, strings.Count(swooshRun(t, "", "log", "--json").out, "\n"))
	require.Equal(t, codeGood, p.stop(t, syscall.SIGTERM))
}

// TestCommandStreamThatIsLost names the first line that has no answer.
func TestCommandStreamThatIsLost(t *testing.T) {
	for _, test := range []struct {
		handler http.HandlerFunc
		code    int
		says    string
	}{
		{goAway, codeUnknown, "line 3 and those after it have no answer"},
		{refuse(http.StatusForbidden, "forbidden", "no"), codeFailed, "line 2 and those after it have not been applied"},
	} {
		fake(t, test.handler)
		got := swooshRun(t, "\n"+`{"command":"a"}`+"\n"+`{"command":"b"}`, "command", "-")
		require.Equal(t, test.code, got.code, got.err)
		require.Contains(t, got.err, test.says)
		require.Equal(t, 1, strings.Count(got.err, "\n"), got.err)
	}
}

// goAway answers a line of a stream and is gone.
func goAway(w http.ResponseWriter, r *http.Request) {
	rc := http.NewResponseController(w)
	_ = rc.EnableFullDuplex() // The test sees it if anything here fails.
	_ = rc.Flush()
	_, _ = r.Body.Read(make([]byte, 1))
	fmt.Fprintln(w, `{"index":1}`)
	_ = rc.Flush()
	panic(http.ErrAbortHandler)
}
