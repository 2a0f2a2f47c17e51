package program

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/chorus-services/swoosh"
	"github.com/chorus-services/swoosh/internal/testrun"
	"github.com/chorus-services/swoosh/swooshtest"
)

const create = `{"command":"project.create","payload":{"project":"alpha","name":"Alpha"}}`

func post(address string) (*http.Response, error) {
	return http.Post(address+"/command", "application/json", strings.NewReader(create))
}

// running is a server inside the test's process.
type running struct {
	stop    func()
	line    lineWriter // what it printed
	outcome chan error // of run
}

// start runs a server with options of the test's.
func start(t *testing.T, o swoosh.Options, shutdownTimeout time.Duration) *running {
	t.Helper()
	return startOn(t, "127.0.0.1:0", o, shutdownTimeout)
}

func startOn(t *testing.T, listen string, o swoosh.Options, shutdownTimeout time.Duration) *running {
	t.Helper()
	o.Logger = slog.New(slog.DiscardHandler)
	ctx, cancel := context.WithCancel(context.Background())
	r := &running{stop: cancel, line: make(lineWriter, 1), outcome: make(chan error, 1)}
	s := &server{door: door{listen: listen}, shutdownTimeout: shutdownTimeout, options: o, parts: parts(), out: r.line, line: newStatus(io.Discard)}
	go func() { r.outcome <- s.run(ctx) }()
	t.Cleanup(cancel)
	return r
}

func (r *running) address() string { return strings.Fields(<-r.line)[2] }

func TestServeFromStartToStop(t *testing.T) {
	for _, s := range []syscall.Signal{syscall.SIGTERM, syscall.SIGINT} {
		t.Run(s.String(), func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "data")
			defer syscall.Umask(syscall.Umask(0)) // What is closed to others is the server's own doing.
			p := launch(t, dir, "--log-format", "json", "--node-id", "n-7")
			address := p.address(t)
			answer, err := post(address)
			require.NoError(t, err)
			defer answer.Body.Close()
			require.Equal(t, http.StatusOK, answer.StatusCode)
			checkModes(t, dir)
			t.Setenv("SWOOSH_ADDR", address)
			state := swooshRun(t, "", "state", "--path", "/project/projects/alpha")
			require.Equal(t, codeGood, state.code, state.err)
			require.Contains(t, state.out, "-n-7")

			require.Equal(t, codeGood, p.stop(t, s), &p.stderr)
			require.Empty(t, p.rest, "one line on stdout")
			for line := range strings.Lines(p.stderr.String()) {
				require.True(t, json.Valid([]byte(line)), "a log line in JSON: %s", line)
			}
			require.Equal(t, codeUnreachable, swooshRun(t, "", "state").code)
			verified := swooshRun(t, "", "verify", dir)
			require.Equal(t, codeGood, verified.code, verified.err)
			require.Contains(t, verified.out, "entries 1 to 1")
		})
	}
}

// checkModes holds a directory to 0700 for directories and 0600 for files.
func checkModes(t *testing.T, dir string) {
	t.Helper()
	require.NoError(t, filepath.WalkDir(dir, func(name string, e fs.DirEntry, err error) error {
		require.NoError(t, err)
		info, err := e.Info()
		require.NoError(t, err)
		want := fs.FileMode(0o600)
		if e.IsDir() {
			want = 0o700
		}
		require.Equal(t, want, info.Mode().Perm(), name)
		return nil
	}))
}

// TestBuildsThatCannotBeTold from others say what that costs.
func TestBuildsThatCannotBeTold(t *testing.T) {
	for commit, told := range map[string]bool{noCommit: true, "abc" + withChanges: true, "abc": false} {
		var log strings.Builder
		b := build{Program: "swoosh", Version: "v1", Commit: commit}
		o := (&app{build: b}).options()
		o.Dir, o.Logger = directory(t), slog.New(slog.NewTextHandler(&log, nil))
		ctx, cancel := context.WithCancel(t.Context())
		s := &server{build: b, door: door{listen: "127.0.0.1:0"}, shutdownTimeout: time.Minute, options: o, parts: parts(), out: stopper{cancel}, line: newStatus(io.Discard)}
		require.NoError(t, s.run(ctx))
		require.Equal(t, told, strings.Contains(log.String(), "each start proves the whole history again: build it from"), log.String())
	}
}

// stopper stops a server when it has started.
type stopper struct{ stop func() }

func (s stopper) Write(b []byte) (int, error) {
	s.stop()
	return len(b), nil
}

func TestTheLineToTryWorks(t *testing.T) {
	if _, err := exec.LookPath("curl"); err != nil {
		t.Skip("curl is not here")
	}
	r := start(t, swoosh.Options{Dir: t.TempDir()}, time.Minute)
	line := <-r.line
	require.Equal(t, 1, strings.Count(line, "\n"))
	_, try, found := strings.Cut(line, "try: ")
	require.True(t, found, line)
	out, err := exec.Command("bash", "-c", strings.Replace(try, "curl ", "curl -sS ", 1)).CombinedOutput()
	require.NoError(t, err, "%s", out)
	require.Contains(t, string(out), `"index":1`)
	r.stop()
	require.NoError(t, <-r.outcome)
}

func TestServeAnswersWhileItStarts(t *testing.T) {
	opening, open := make(chan struct{}), make(chan struct{})
	o := swoosh.Options{OpenWAL: func(string) (swoosh.WAL, error) {
		close(opening)
		<-open
		return swoosh.NewMemWAL(), nil
	}}
	// The address is not printed yet, so it has to be known.
	address := testrun.Address(t)
	r := startOn(t, address, o, time.Minute)
	<-opening

	alive, err := http.Get("http://" + address + "/livez")
	require.NoError(t, err)
	defer alive.Body.Close()
	require.Equal(t, http.StatusOK, alive.StatusCode)
	t.Setenv("SWOOSH_ADDR", address)
	t.Setenv("SWOOSH_RETRY", "0")
	got := swooshRun(t, "", "state")
	require.Equal(t, codeFailed, got.code)
	require.Contains(t, got.err, "swoosh: starting:")
	require.Empty(t, r.line, "no address is printed before commands are accepted")

	close(open)
	require.Equal(t, "http://"+address, r.address())
	require.Equal(t, codeGood, swooshRun(t, "", "state").code)
	r.stop()
	require.NoError(t, <-r.outcome)
}

// TestBootTellsHowFarItIs: before the engine is attached the API knows of it.
func TestBootTellsHowFarItIs(t *testing.T) {
	s := &server{options: swoosh.Options{Dir: directory(t), ForceReplay: true, Logger: slog.New(slog.DiscardHandler)}, parts: parts(), line: newStatus(io.Discard)}
	api := swoosh.NewAPI(swoosh.APIOptions{})
	e, err := s.boot(context.Background(), api)
	require.NoError(t, err)
	defer e.Close(context.Background())
	ready := httptest.NewRecorder()
	api.Server().Handler.ServeHTTP(ready, httptest.NewRequest(http.MethodGet, "http://localhost/readyz", nil))
	require.JSONEq(t, `{"ready":false,"reason":"starting","applied":3,"target":3}`, ready.Body.String())
}

// TestBootError: only a start that was stopped, and failed for that, is good.
func TestBootError(t *testing.T) {
	s := &server{options: swoosh.Options{Logger: slog.New(slog.DiscardHandler)}}
	stopped, cancel := context.WithCancel(context.Background())
	cancel()
	full := errors.New("the disk is full")
	require.NoError(t, s.bootError(stopped, fmt.Errorf("replay: %w", context.Canceled)))
	require.ErrorIs(t, s.bootError(stopped, full), full)
	require.ErrorIs(t, s.bootError(context.Background(), context.Canceled), context.Canceled)
	damage := &swoosh.DamageError{}
	require.ErrorIs(t, s.bootError(stopped, errors.Join(context.Canceled, damage)), damage)
}

// TestForeignHost: a web page must not reach a server without tokens by rebinding DNS,
// whatever the server listens on.
func TestForeignHost(t *testing.T) {
	for _, listen := range []string{"127.0.0.1:0", "0.0.0.0:0"} {
		r := startOn(t, listen, swoosh.Options{}, time.Minute)
		_, port, err := net.SplitHostPort(strings.TrimPrefix(r.address(), "http://"))
		require.NoError(t, err)
		q, err := http.NewRequest(http.MethodGet, "http://127.0.0.1:"+port+"/state", nil)
		require.NoError(t, err)
		q.Host = "swoosh.example"
		answer, err := http.DefaultClient.Do(q)
		require.NoError(t, err)
		require.NoError(t, answer.Body.Close())
		require.Equal(t, http.StatusForbidden, answer.StatusCode, listen)
		r.stop()
		require.NoError(t, <-r.outcome)
	}
}

func TestStopWhileStarting(t *testing.T) {
	dir := directory(t)
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	var errs bytes.Buffer
	code := run(ctx, []string{"serve", "--dir", dir, "--listen", "127.0.0.1:0", "--force-replay"}, streams{nil, io.Discard, &errs})
	require.Equal(t, codeGood, code, errs.String())
	require.Contains(t, errs.String(), "stopped while starting")
	require.Equal(t, codeGood, swooshRun(t, "", "verify", dir).code)
}

// closing is a log that notes its Close.
type closing struct {
	swoosh.WAL
	closed atomic.Bool
}

func (c *closing) Close() error {
	c.closed.Store(true)
	return c.WAL.Close()
}

func TestStopWaitsForWhatIsUnderWay(t *testing.T) {
	wal := swooshtest.NewFaultWAL(swoosh.NewMemWAL())
	closed := &closing{WAL: wal}
	r := start(t, swoosh.Options{OpenWAL: func(string) (swoosh.WAL, error) { return closed, nil }}, time.Minute)
	address := r.address()
	held := wal.Hold()
	answered := make(chan int, 1)
	go func() {
		answer, err := post(address)
		if err != nil {
			answered <- 0
			return
		}
		_ = answer.Body.Close() // Only the status is of interest.
		answered <- answer.StatusCode
	}()
	<-held
	r.stop()
	require.Empty(t, r.outcome)
	wal.Release()
	require.Equal(t, http.StatusOK, <-answered)
	require.NoError(t, <-r.outcome)
	require.True(t, closed.closed.Load(), "the engine was closed")
}

func TestStopEndsStreamsAndWatches(t *testing.T) {
	r := start(t, swoosh.Options{}, time.Hour)
	address := r.address()

	body, send := io.Pipe()
	defer send.Close()
	stream, err := http.Post(address+"/command", "application/x-ndjson", body)
	require.NoError(t, err)
	defer stream.Body.Close()
	_, err = io.WriteString(send, create+"\n")
	require.NoError(t, err)
	answers := bufio.NewScanner(stream.Body)
	require.True(t, answers.Scan())
	require.Contains(t, answers.Text(), `"index":1`)

	watch, err := http.Get(address + "/watch?from=1")
	require.NoError(t, err)
	defer watch.Body.Close()

	half, err := net.Dial("tcp", strings.TrimPrefix(address, "http://"))
	require.NoError(t, err)
	defer half.Close()
	_, err = io.WriteString(half, "POST /command HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n{")
	require.NoError(t, err)

	r.stop()
	require.NoError(t, <-r.outcome)
	require.True(t, answers.Scan())
	require.Contains(t, answers.Text(), "shutting_down")
	require.False(t, answers.Scan(), "the stream ends after it")
	events, err := io.ReadAll(watch.Body)
	require.NoError(t, err)
	require.Contains(t, string(events), "event: problem")
}

// TestStopWithASlowReader: who does not take an answer is cut off in time for the
// engine to be closed in order.
func TestStopWithASlowReader(t *testing.T) {
	t.Parallel() // It waits.
	within := 30 * time.Second
	if testrun.Race() {
		within = time.Minute
	}
	r := start(t, swoosh.Options{}, within) // A fifth of it is for what comes after the reader.
	address := r.address()
	var lines, sources strings.Builder
	for i := range 64 {
		fmt.Fprintf(&sources, `,"oci://r/%s:v%d"`, strings.Repeat("x", 900), i)
	}
	for i := range 200 {
		fmt.Fprintf(&lines, `{"command":"project.create","payload":{"project":"p%d","name":"P"}}`+"\n", i)
		fmt.Fprintf(&lines, `{"command":"ingestion.resolve","payload":{"project":"p%d","sources":[%s]}}`+"\n", i, sources.String()[1:])
	}
	answer, err := http.Post(address+"/command", "application/x-ndjson", strings.NewReader(lines.String()))
	require.NoError(t, err)
	answers, err := io.ReadAll(answer.Body)
	require.NoError(t, errors.Join(err, answer.Body.Close()))
	require.Equal(t, 400, strings.Count(string(answers), `"changed":true`), string(answers[:min(400, len(answers))]))

	conn, err := net.Dial("tcp", strings.TrimPrefix(address, "http://"))
	require.NoError(t, err)
	defer conn.Close()
	require.NoError(t, conn.(*net.TCPConn).SetReadBuffer(1<<16))
	_, err = io.WriteString(conn, "GET /state HTTP/1.1\r\nHost: localhost\r\n\r\n")
	require.NoError(t, err)
	_, err = conn.Read(make([]byte, 1)) // The rest, 12 MB, fits into no buffer.
	require.NoError(t, err)
	begun := time.Now()
	r.stop()
	require.NoError(t, <-r.outcome)
	require.Greater(t, time.Since(begun), 100*time.Millisecond, "it was waited for")
}

func TestStopThatCannotEnd(t *testing.T) {
	wal := swooshtest.NewFaultWAL(swoosh.NewMemWAL())
	r := start(t, swoosh.Options{OpenWAL: func(string) (swoosh.WAL, error) { return wal, nil }}, 100*time.Millisecond)
	address := r.address()
	held := wal.Hold()
	defer wal.Release()
	go func() {
		if answer, err := post(address); err == nil {
			_ = answer.Body.Close() // It is cut off, or was never sent.
		}
	}()
	<-held
	r.stop()
	err := <-r.outcome
	require.ErrorIs(t, err, context.DeadlineExceeded)
	require.Equal(t, codeFailed, exitCode(err))
	require.Contains(t, err.Error(), "what was acknowledged is kept")
}

// heldVariable makes the test's program a server whose log never answers. On
// stdout it says when a command hangs, and what it logs from then on.
const heldVariable = "SWOOSH_TEST_HELD"

func heldServer() int {
	ctx, stop := untilSignal(context.Background())
	defer stop()
	wal := swooshtest.NewFaultWAL(swoosh.NewMemWAL())
	held := wal.Hold()
	line := make(lineWriter)
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin)
		os.Exit(codeFailed + 100) // The test is gone.
	}()
	go func() {
		text := <-line
		go func() {
			_, _ = post(strings.Fields(text)[2]) // It is never answered.
		}()
		<-held
		fmt.Println("held") // The test waits for it, or fails.
	}()
	s := &server{
		door: door{listen: "127.0.0.1:0"}, shutdownTimeout: time.Hour, parts: parts(), out: line, line: newStatus(io.Discard),
		options: swoosh.Options{
			Logger:  slog.New(slog.NewTextHandler(os.Stdout, nil)),
			OpenWAL: func(string) (swoosh.WAL, error) { return wal, nil },
		},
	}
	return exitCode(s.run(ctx))
}

// lineWriter hands over what is written.
type lineWriter chan string

func (w lineWriter) Write(b []byte) (int, error) {
	w <- string(b)
	return len(b), nil
}

func TestSecondSignalEndsAtOnce(t *testing.T) {
	self, err := os.Executable()
	require.NoError(t, err)
	cmd := exec.Command(self)
	cmd.Env = append(os.Environ(), heldVariable+"=1")
	stdin, err := cmd.StdinPipe()
	require.NoError(t, err)
	defer stdin.Close()
	stdout, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	giveUp := time.AfterFunc(startWait, func() { _ = cmd.Process.Kill() })
	defer giveUp.Stop()
	lines := bufio.NewScanner(stdout)
	for _, sign := range []string{"held", "msg=stopping"} {
		for !strings.Contains(lines.Text(), sign) {
			require.True(t, lines.Scan(), "it ended without %q", sign)
		}
		require.NoError(t, cmd.Process.Signal(syscall.SIGTERM))
		time.Sleep(together + together/10) // Sooner, the second one would belong to the first.
	}
	for lines.Scan() {
	}
	_ = cmd.Wait() // How it ended is in ProcessState.
	require.Equal(t, codeFailed, cmd.ProcessState.ExitCode(), "a time-out kills it: -1")
}

func TestDrainCutsOffSlowReaders(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	writing := make(chan struct{}, 1)
	w := serveHTTP(ln, asItIs, &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		for {
			if _, err := w.Write(make([]byte, 1<<20)); err != nil {
				return
			}
			select {
			case writing <- struct{}{}:
			default:
			}
		}
	})})
	conn, err := net.Dial("tcp", ln.Addr().String())
	require.NoError(t, err)
	defer conn.Close()
	_, err = io.WriteString(conn, "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
	require.NoError(t, err)
	<-writing
	require.NoError(t, w.drain(context.Background(), 50*time.Millisecond, slog.New(slog.DiscardHandler)))
}

func TestDrainOfRequestsThatDoNotEnd(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	inside, end := make(chan struct{}), make(chan struct{})
	defer close(end)
	w := serveHTTP(ln, asItIs, &http.Server{Handler: http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
		close(inside)
		<-end
	})})
	go func() {
		if answer, err := http.Get("http://" + ln.Addr().String()); err == nil {
			_ = answer.Body.Close()
		}
	}()
	<-inside
	ctx, cancel := context.WithTimeout(context.Background(), 100*time.Millisecond)
	defer cancel()
	require.ErrorIs(t, w.drain(ctx, 50*time.Millisecond, slog.New(slog.DiscardHandler)), context.DeadlineExceeded)
}

// brokenListener is one whose Accept fails.
type brokenListener struct{ net.Listener }

var errBroken = errors.New("broken")

func (brokenListener) Accept() (net.Conn, error) { return nil, errBroken }

func TestServingThatBreaksIsTold(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer ln.Close()
	w := serveHTTP(brokenListener{ln}, asItIs, &http.Server{Handler: http.NotFoundHandler()})
	require.ErrorIs(t, <-w.ended, errBroken)
}
