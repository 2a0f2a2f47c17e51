package program

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"

	"github.com/chorus-services/swoosh"
	"github.com/chorus-services/swoosh/access"
)

func TestWhoReachesAnAddress(t *testing.T) {
	for _, ours := range []string{"127.0.0.1:8420", "127.9.9.9:0", "[::1]:1", "localhost:65535", "[::ffff:127.0.0.1]:1", "unix:/tmp/s", "unix:" + strings.Repeat("x", 107)} {
		require.NoError(t, checkListen(ours), ours)
		require.False(t, isOpenToOthers(ours), ours)
	}
	for _, open := range []string{":1", "0.0.0.0:1", "[::]:1", "10.0.0.1:1", "localhost.:1", "127.1:1", "example.org:1"} {
		require.NoError(t, checkListen(open), open)
		require.True(t, isOpenToOthers(open), open)
	}
	for _, none := range []string{"", "127.0.0.1", "127.0.0.1:-1", "127.0.0.1:65536", "unix:", "unix:" + strings.Repeat("x", 108)} {
		require.Equal(t, codeUsage, exitCode(checkListen(none)), none)
	}
}

// TestListenOnWhatANameStandsFor: an address that other machines reach has to be
// meant.
func TestListenOnWhatANameStandsFor(t *testing.T) {
	ln, err := listenOn("0.0.0.0:0", true, "")
	require.NoError(t, err)
	at := ln.Addr().String()
	require.NoError(t, ln.Close())
	_, err = listenOn(at, false, "")
	require.Equal(t, codeUsage, exitCode(err))
	require.ErrorContains(t, err, "which other machines reach: give 127.0.0.1 instead")
	ln, err = listenOn(at, true, "")
	require.NoError(t, err, "it was not kept")
	require.NoError(t, ln.Close())
}

// writeFile writes a file for this user only.
func writeFile(t testing.TB, name, text string) string {
	t.Helper()
	require.NoError(t, os.WriteFile(name, []byte(text), 0o600))
	return name
}

// certificate makes a self-signed certificate for 127.0.0.1, its own authority,
// in files of dir.
func certificate(t testing.TB, dir, name string, until time.Time) (cert, key string) {
	t.Helper()
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	c := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, NotBefore: time.Now().Add(-2 * time.Hour), NotAfter: until,
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, c, c, &k.PublicKey, k)
	require.NoError(t, err)
	private, err := x509.MarshalPKCS8PrivateKey(k)
	require.NoError(t, err)
	cert = writeFile(t, filepath.Join(dir, name+".cert"), string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})))
	key = writeFile(t, filepath.Join(dir, name+".key"), string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private})))
	return cert, key
}

// TestSettings: the flag wins, then the environment, then the file.
func TestSettings(t *testing.T) {
	file := writeFile(t, filepath.Join(t.TempDir(), "config"),
		`{"node-id":"file","rate":1.5,"max-recovery":"3s","insecure":true,"debug":false,"allow-origin":["https://a.example","https://b.example"],"log-level":"debug"}`)
	t.Setenv("SWOOSH_CONFIG", file)
	t.Setenv("SWOOSH_RATE", "2.5")
	t.Setenv("SWOOSH_NODE_ID", "env")
	t.Setenv("SWOOSH_LOG_LEVEL", "") // as if it were not there
	t.Setenv("SWOOSH_ADDR", "http://127.0.0.1:1")
	t.Setenv("SWOOSH_LISEN", "127.0.0.1:0")
	got := swooshRun(t, "", "serve", "--node-id", "flag", "--print-config=json")
	require.Equal(t, codeGood, got.code, got.err)
	require.Equal(t, "swoosh: the variable SWOOSH_LISEN has no meaning, did you mean SWOOSH_LISTEN? --help lists the variables\n", got.err)
	var rows map[string]struct {
		Value any
		From  string
	}
	require.NoError(t, json.Unmarshal([]byte(got.out), &rows))
	for name, want := range map[string][2]any{
		"node-id": {"flag", "--node-id"}, "rate": {2.5, "SWOOSH_RATE"}, "max-recovery": {"3s", file}, "insecure": {true, file}, "debug": {false, file},
		"allow-origin": {[]any{"https://a.example", "https://b.example"}, file}, "dir": {"./swoosh-data", "default"}, "log-level": {"debug", file},
	} {
		require.Equal(t, want, [2]any{rows[name].Value, rows[name].From}, name)
	}
	table := swooshRun(t, "", "serve", "--print-config")
	require.Regexp(t, `(?m)^SETTING +VALUE +FROM$`, table.out)
	require.Regexp(t, `(?m)^node-id +env +SWOOSH_NODE_ID$`, table.out)
	require.NoDirExists(t, "swoosh-data")

	require.Equal(t, codeGood, swooshRun(t, "", "serve", "--listen", "0.0.0.0:0", "--print-config").code, "the file says insecure")
	require.Equal(t, codeUsage, swooshRun(t, "", "serve", "--listen", "0.0.0.0:0", "--print-config", "--insecure=false").code)

	t.Setenv("SWOOSH_ALLOW_ORIGIN", "https://c.example,https://d.example")
	require.Regexp(t, `(?m)^allow-origin +\[https://c.example,https://d.example\] +SWOOSH_ALLOW_ORIGIN$`, swooshRun(t, "", "serve", "--print-config").out)
	for name, wrong := range map[string]string{
		"SWOOSH_MAX_RECOVERY": `"soon": give a duration, such as 500ms, 30s or 2m, from 1ms to 24h0m0s`, "SWOOSH_RATE": `"many": give a number from 0 to 1000000`,
		"SWOOSH_DEBUG": `"perhaps": give true or false`, "SWOOSH_MAX_STATE_BYTES": `"64MiB": give a whole number from 1 to 1125899906842624`,
	} {
		t.Run(name, func(t *testing.T) {
			t.Setenv(name, strings.Split(wrong, `"`)[1])
			got := swooshRun(t, "", "serve")
			require.Equal(t, codeUsage, got.code)
			require.Contains(t, got.err, "swoosh: "+name+" is "+wrong+"\n")
		})
	}
}

// TestPrintedConfigIsOne: a file of the printed values gives the same values.
func TestPrintedConfigIsOne(t *testing.T) {
	printed := func(args ...string) map[string]json.RawMessage {
		got := swooshRun(t, "", append([]string{"serve", "--print-config=json"}, args...)...)
		require.Equal(t, codeGood, got.code, got.err)
		var rows map[string]struct{ Value json.RawMessage }
		require.NoError(t, json.Unmarshal([]byte(got.out), &rows))
		values := map[string]json.RawMessage{}
		for name, row := range rows {
			values[name] = row.Value
		}
		return values
	}
	for _, flags := range [][]string{nil, {
		"--debug", "--rate=1e6", "--max-state-bytes=1125899906842624", "--max-recovery=1h2m3.004s", "--node-id=n-7", "--log-format=json",
		"--allow-origin=https://a.example", "--allow-origin=https://b.example",
	}} {
		want := printed(flags...)
		file, err := json.Marshal(want)
		require.NoError(t, err)
		require.Equal(t, want, printed("--config", writeFile(t, filepath.Join(t.TempDir(), "config"), string(file))))
	}
}

// TestReloadTellsWhatCannotBeRead of both, tokens and certificates.
func TestReloadTellsWhatCannotBeRead(t *testing.T) {
	dir := t.TempDir()
	f := serveFlags{tokenFile: writeFile(t, filepath.Join(dir, "tokens"), "boss admin 0123456789abcdef\n")}
	f.cert, f.key = certificate(t, dir, "good", time.Now().Add(time.Hour))
	d, err := f.door(slog.New(slog.DiscardHandler))
	require.NoError(t, err)
	require.NoError(t, d.reload())
	writeFile(t, f.tokenFile, "boss\n")
	writeFile(t, f.key, "")
	err = d.reload()
	require.ErrorContains(t, err, "tokens, line 1: it has 1 words")
	require.ErrorContains(t, err, "good.cert with "+f.key)

	figures := prometheus.NewPedanticRegistry()
	require.NoError(t, figures.Register(d.gauge()))
	failing := func() float64 {
		all, err := figures.Gather()
		require.NoError(t, err)
		return all[0].GetMetric()[0].GetGauge().GetValue()
	}
	require.EqualValues(t, 1, failing())
	require.Len(t, d.reasons(), 1)
	require.Contains(t, d.reasons()[0], "tokens, line 1: it has 1 words")
	require.Contains(t, d.reasons()[0], "good.cert with "+f.key)
	require.NotContains(t, d.reasons()[0], "\n")
	writeFile(t, f.tokenFile, "boss admin 0123456789abcdef\n")
	f.cert, f.key = certificate(t, dir, "good", time.Now().Add(time.Hour))
	require.NoError(t, d.reload())
	require.Zero(t, failing())
	require.Empty(t, d.reasons())
}

// TestChangesAreToldWithoutAQuestion: who mends a file looks into the log.
func TestChangesAreToldWithoutAQuestion(t *testing.T) {
	t.Parallel() // It waits for the second look.
	said := make(lineWriter)
	log := slog.New(slog.NewTextHandler(said, nil))
	f := serveFlags{tokenFile: writeFile(t, filepath.Join(t.TempDir(), "tokens"), "boss admin 0123456789abcdef\n")}
	d, err := f.door(log)
	require.NoError(t, err)
	e, err := swoosh.Open(context.Background(), swoosh.Options{Logger: slog.New(slog.DiscardHandler)}, parts()...)
	require.NoError(t, err)
	defer e.Close(context.Background())
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error)
	go func() {
		ended <- (&server{door: d, options: swoosh.Options{Logger: log}}).serve(ctx, &web{open: &connections{}}, e)
	}()
	writeFile(t, f.tokenFile, "junk\n")
	select {
	case line := <-said:
		require.Contains(t, line, "tokens, line 1: it has 1 words")
		require.Contains(t, line, "nobody else is let in")
	case <-time.After(startWait):
		require.Fail(t, "nothing is said")
	}
	cancel()
	require.NoError(t, <-ended)
}

// TestAnOpenDoorIsTold, whichever half of --insecure is used.
func TestAnOpenDoorIsTold(t *testing.T) {
	for _, test := range []struct {
		door door
		says string
	}{
		{door{listen: "127.0.0.1:0"}, ""},
		{door{listen: "unix:/run/s"}, ""},
		{door{listen: "0.0.0.0:0"}, "may do everything"},
		{door{listen: "0.0.0.0:0", certificates: &access.Certificates{}}, "may do everything"},
		{door{listen: "0.0.0.0:0", tokens: &access.Tokens{}}, "has the tokens"},
		{door{listen: "0.0.0.0:0", tokens: &access.Tokens{}, certificates: &access.Certificates{}}, ""},
	} {
		var text bytes.Buffer
		test.door.warn(slog.New(slog.NewTextHandler(&text, nil)))
		require.Contains(t, text.String(), test.says)
		require.Equal(t, test.says == "", text.Len() == 0, text.String())
	}
}

func TestModesAreTold(t *testing.T) {
	var text bytes.Buffer
	log := slog.New(slog.NewTextHandler(&text, nil))
	mode := "ready"
	for _, step := range []struct{ mode, says string }{
		{"ready", ""}, {"disk_full", `level=WARN msg="commands are refused" mode=disk_full why="One. Two."`}, {"disk_full", ""},
		{"read_only", "mode=read_only"}, {"ready", "accepted again"}, {"ready", ""},
	} {
		text.Reset()
		mode = tellMode(log, mode, swoosh.Health{Mode: step.mode, Reasons: []string{"One.", "Two."}})
		require.Contains(t, text.String(), step.says)
		require.Equal(t, step.says == "", text.Len() == 0, text.String())
	}
}

// TestGreeting is a line that can be run, whatever the door.
func TestGreeting(t *testing.T) {
	tcp, socket := &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 1}, &net.UnixAddr{Name: "/run/s", Net: "unix"}
	open := &server{build: build{Program: "swoosh"}, parts: parts()}
	closed := &server{build: open.build, parts: open.parts, door: door{tokens: &access.Tokens{}, certificates: &access.Certificates{}}}
	for want, got := range map[string]string{
		"listening on http://127.0.0.1:1 try: curl -H 'Content-Type: application/json' http://127.0.0.1:1/command -d ":                                            open.greeting(tcp),
		`listening on https://127.0.0.1:1 try: curl -H "Authorization: Bearer $SWOOSH_TOKEN" -H 'Content-Type: application/json' https://127.0.0.1:1/command -d `: closed.greeting(tcp),
		"listening on unix:/run/s try: curl --unix-socket /run/s -H 'Content-Type: application/json' http://localhost/command -d ":                                open.greeting(socket),
	} {
		require.True(t, strings.HasPrefix(got, want), got)
	}
}

// TestUnixSocket: for this user only, or for a group too; a dead server's is replaced,
// and goes when the server stops.
func TestUnixSocket(t *testing.T) {
	dir := openDir(t) // A test's own may be too long for a socket.
	socket := filepath.Join(dir, "s")
	address := unixPrefix + socket
	p := launch(t, filepath.Join(dir, "data"), "--listen", address)
	require.Equal(t, address, p.address(t))
	info, err := os.Stat(socket)
	require.NoError(t, err)
	require.Equal(t, os.FileMode(0o600), info.Mode().Perm())
	p.kill()
	require.FileExists(t, socket)

	id := os.Getgid()
	if os.Geteuid() == 0 {
		id = nobody
	}
	group, err := user.LookupGroupId(strconv.Itoa(id))
	require.NoError(t, err)
	p = launch(t, filepath.Join(dir, "data"), "--listen", address, "--socket-group", group.Name)
	p.address(t)
	info, err = os.Stat(socket)
	require.NoError(t, err)
	require.Equal(t, os.FileMode(0o660), info.Mode().Perm())
	require.EqualValues(t, id, info.Sys().(*syscall.Stat_t).Gid)
	if os.Geteuid() == 0 {
		code, said := runAs(t, nobody, dir, "health", "--addr", address)
		require.Equal(t, codeGood, code, said)
		code, said = runAs(t, nobody-1, dir, "health", "--addr", address)
		require.Equal(t, codeUnreachable, code, said)
		require.Contains(t, said, "s refuses this user: connect: permission denied: join the group of the socket, or use another address: --addr or SWOOSH_ADDR names another\n")
	}
	c := &http.Client{Transport: &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", socket)
	}}}
	r, err := c.Get("http://anything.example/livez")
	require.NoError(t, err)
	require.Equal(t, http.StatusOK, r.StatusCode)
	require.NoError(t, r.Body.Close())
	require.Equal(t, codeGood, p.stop(t, syscall.SIGTERM))
	require.NoFileExists(t, socket)
}

// TestTokensOfTheProgram: made by swoosh token, they let in with their role, over
// TLS; SIGHUP takes one away, and the role of another, from those who are in too.
func TestTokensOfTheProgram(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "tokens")
	secrets := map[string]string{}
	for _, role := range []string{"read", "write", "admin"} {
		got := swooshRun(t, "", "token", "a-"+role, role, "--token-file", file)
		require.Equal(t, codeGood, got.code, got.err)
		secrets[role] = strings.TrimSpace(got.out)
	}
	lines, err := os.ReadFile(file)
	require.NoError(t, err)
	require.NotContains(t, string(lines), secrets["read"])
	printed := swooshRun(t, "", "token", "b", "read")
	require.Contains(t, printed.err, "b read sha256:")

	until := time.Now().Add(time.Hour)
	cert, key := certificate(t, dir, "server", until)
	p := launch(t, filepath.Join(dir, "data"), "--token-file", file, "--tls-cert", cert, "--tls-key", key, "--debug")
	address := p.address(t)
	require.True(t, strings.HasPrefix(address, "https://"), address)
	roots := x509.NewCertPool()
	b, err := os.ReadFile(cert)
	require.NoError(t, err)
	require.True(t, roots.AppendCertsFromPEM(b))
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots}, ForceAttemptHTTP2: true}}
	ask := func(method, path, token, body string) (int, string) {
		q, err := http.NewRequest(method, address+path, strings.NewReader(body))
		require.NoError(t, err)
		q.Header.Set("Content-Type", "application/json")
		if token != "" {
			q.Header.Set("Authorization", "Bearer "+token)
		}
		r, err := client.Do(q)
		require.NoError(t, err)
		defer r.Body.Close()
		require.Equal(t, "HTTP/2.0", r.Proto)
		text, err := io.ReadAll(r.Body)
		require.NoError(t, err)
		return r.StatusCode, string(text)
	}
	const create, pause = `{"command":"project.create","payload":{"project":"p","name":"P"}}`, `{"command":"control.pause","payload":{"reason":"r"}}`
	for _, test := range []struct {
		method, path, token, body string
		status                    int
	}{
		{"GET", "/livez", "", "", 200},
		{"GET", "/state", "", "", 401},
		{"GET", "/state", "0123456789abcdef", "", 401},
		{"GET", "/state", secrets["read"], "", 200},
		{"POST", "/command", secrets["read"], create, 403},
		{"POST", "/command", secrets["write"], create, 200},
		{"POST", "/command", secrets["write"], pause, 403},
		{"POST", "/command", secrets["admin"], pause, 200},
		{"GET", "/debug/pprof", secrets["write"], "", 403},
		{"GET", "/debug/pprof", secrets["admin"], "", 200},
		{"GET", "/debug/pprof/goroutine?debug=1", secrets["admin"], "", 200},
		{"GET", "/debug/pprof/none", secrets["admin"], "", 404},
	} {
		status, text := ask(test.method, test.path, test.token, test.body)
		require.Equal(t, test.status, status, "%s %s: %s", test.method, test.path, text)
	}
	_, figures := ask("GET", "/metrics", secrets["read"], "")
	require.Contains(t, figures, fmt.Sprintf("\nswoosh_tls_certificate_expiry_timestamp_seconds %v\n", float64(until.Unix())))
	require.Contains(t, figures, "\nswoosh_index 2\n", "the engine's are there too")
	_, entry := ask("GET", "/log/1", secrets["read"], "")
	require.Contains(t, entry, `"actor":"a-write"`)

	begin := func(method, path, token string, body io.Reader) *http.Response {
		q, err := http.NewRequest(method, address+path, body)
		require.NoError(t, err)
		q.Header.Set("Authorization", "Bearer "+token)
		q.Header.Set("Content-Type", "application/x-ndjson")
		r, err := client.Do(q)
		require.NoError(t, err)
		t.Cleanup(func() { require.NoError(t, r.Body.Close()) })
		require.Equal(t, http.StatusOK, r.StatusCode)
		return r
	}
	body, send := io.Pipe()
	defer send.Close()
	stream, watch := begin("POST", "/command", secrets["write"], body), begin("GET", "/watch", secrets["read"], nil)

	kept := strings.SplitAfter(string(lines), "\n")
	writeFile(t, file, strings.Replace(kept[1], " write ", " read ", 1)+kept[2])
	require.NoError(t, p.cmd.Process.Signal(syscall.SIGHUP))
	require.Eventually(t, func() bool {
		status, _ := ask("GET", "/state", secrets["read"], "")
		return status == 401
	}, time.Minute, 10*time.Millisecond)
	for answer, want := range map[*http.Response]string{stream: `"code":"forbidden","happened":"no","line":1}`, watch: `"code":"unauthorized"`} {
		text, err := io.ReadAll(answer.Body)
		require.NoError(t, err)
		require.Contains(t, string(text), want)
	}
	require.Equal(t, codeGood, p.stop(t, syscall.SIGTERM))
	require.Contains(t, p.stderr.String(), "the certificate expires soon")
	require.NotContains(t, p.stderr.String(), "could not be printed")
}
