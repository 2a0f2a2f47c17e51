package program

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"testing"
	"testing/iotest"

	"github.com/stretchr/testify/require"
)

// waiting is a stdin that nothing comes from.
type waiting struct{ read chan struct{} }

func newWaiting() *waiting { return &waiting{make(chan struct{}, 1)} }

func (w *waiting) Read([]byte) (int, error) {
	w.read <- struct{}{}
	select {} // A terminal is left like that too.
}

// TestStoppedWhileItWaits: ^C ends every command at once, says so in a line, and
// claims nothing that it does not know.
func TestStoppedWhileItWaits(t *testing.T) {
	asked := make(chan struct{}, 1)
	for name, test := range map[string]struct {
		args []string
		code int
		says string
	}{
		"a payload":       {[]string{"command", "x.y", "-"}, codeFailed, "swoosh: stopped\n"},
		"lines":           {[]string{"command", "-"}, codeFailed, "swoosh: stopped\n"},
		"an answer":       {[]string{"state"}, codeFailed, "swoosh: stopped\n"},
		"entries":         {[]string{"log"}, codeFailed, "swoosh: stopped\n"},
		"a watch":         {[]string{"watch", "--from", "1"}, codeGood, ""},
		"a result":        {[]string{"command", "x.y", "--key", "k-1"}, codeUnknown, "--key k-1 --key-since " + fakeHLC},
		"a document":      {[]string{"import", "-"}, codeUnknown, "run: swoosh state"},
		"another attempt": {[]string{"snapshot", "--retry", "1h"}, codeFailed, "swoosh: stopped\n"},
	} {
		t.Run(name, func(t *testing.T) {
			fake(t, func(w http.ResponseWriter, r *http.Request) {
				if name == "another attempt" {
					refuse(http.StatusServiceUnavailable, "starting", "no")(w, r)
					asked <- struct{}{}
					return
				}
				asked <- struct{}{}
				_, _ = io.Copy(io.Discard, r.Body) // It ends with the connection, if not before.
				<-r.Context().Done()
			})
			ctx, cancel := context.WithCancel(t.Context())
			stdin := newWaiting()
			var out, said bytes.Buffer
			ended := make(chan int, 1)
			go func() { ended <- run(ctx, test.args, streams{stdin, &out, &said}) }()
			if name == "a document" {
				<-asked // It is read before anything is sent.
			} else {
				select {
				case <-stdin.read:
				case <-asked:
				}
			}
			cancel()
			require.Equal(t, test.code, <-ended, said.String())
			require.Contains(t, said.String(), test.says)
			require.NotContains(t, said.String(), "canceled: start")
			for len(asked) > 0 {
				<-asked
			}
		})
	}
}

// full is a stdout that takes nothing.
type full struct{}

var errFull = errors.New("no space left")

func (full) Write([]byte) (int, error) { return 0, errFull }

// TestAnswerThatCannotBePrinted: what happened is not called a failure, which
// would say that it did not; and the reason is given once.
func TestAnswerThatCannotBePrinted(t *testing.T) {
	accepts := func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/command" {
			_ = http.NewResponseController(w).EnableFullDuplex() // The test sees it if anything here fails.
			_ = http.NewResponseController(w).Flush()
		}
		_, _ = io.Copy(io.Discard, r.Body)
		fmt.Fprintln(w, `{"index":7,"hlc":"`+fakeHLC+`"}`)
	}
	for _, test := range []struct {
		handler http.HandlerFunc
		stdin   string
		args    []string
		code    int
		says    string
	}{
		{accepts, "", []string{"command", "x.y"}, codeUnknown, "swoosh: the command is entry 7, but its answer cannot be printed: no space left\n"},
		{accepts, "", []string{"command", "x.y", "--json"}, codeUnknown, "swoosh: the command is entry 7, but its answer cannot be printed: no space left\n"},
		{accepts, "{}", []string{"import", "-"}, codeUnknown, "swoosh: the command is entry 7, but its answer cannot be printed: no space left\n"},
		{accepts, `{"command":"x.y"}`, []string{"command", "-"}, codeUnknown, "swoosh: the answer to line 1 cannot be printed: no space left; it and the lines after it may have been applied\n"},
		{accepts, `{"command":"x.y"}`, []string{"command", "-", "--json"}, codeUnknown, "swoosh: the answer to line 1 cannot be printed: no space left; it and the lines after it may have been applied\n"},
		{refuse(http.StatusConflict, "conflict", "no"), "", []string{"command", "x.y", "--json"}, codeFailed, "swoosh: conflict: the; reason\n"},
		{refuse(http.StatusInternalServerError, "outcome_unknown", "unknown"), "", []string{"command", "x.y", "--json", "--key", "k"}, codeUnknown, "swoosh: outcome_unknown: the; reason; to find out, send it again with --key k --key-since " + fakeHLC + "\n"},
		{accepts, "", []string{"log", "--json"}, codeFailed, "swoosh: no space left\n"},
	} {
		fake(t, test.handler)
		var said bytes.Buffer
		code := run(t.Context(), test.args, streams{bytes.NewReader([]byte(test.stdin)), full{}, &said})
		require.Equal(t, test.says, said.String(), test.args)
		require.Equal(t, test.code, code, test.args)
	}
}

// TestFollowBeginsWithTheFirstThatIsKept, which need not be the first there was.
func TestFollowBeginsWithTheFirstThatIsKept(t *testing.T) {
	for kept, from := range map[string]string{`{"index":5}` + "\n": "5", "": "1"} {
		watched := ""
		fake(t, func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/log" {
				fmt.Fprint(w, kept)
				return
			}
			watched = r.URL.Query().Get("from")
			refuse(http.StatusUnauthorized, "unauthorized", "no")(w, r)
		})
		require.Equal(t, codeFailed, swooshRun(t, "", "log", "--follow").code)
		require.Equal(t, from, watched)
	}
}

// TestPayloadThatIsTooLong is told so, and not that it is no JSON.
func TestPayloadThatIsTooLong(t *testing.T) {
	fake(t, func(http.ResponseWriter, *http.Request) { t.Error("nothing is to be sent") })
	got := swooshRun(t, `{"a":"`+string(bytes.Repeat([]byte("x"), payloadMaxBytes))+`"}`, "command", "x.y", "-")
	require.Equal(t, codeUsage, got.code)
	require.Equal(t, "swoosh: the payload has more than 2097152 bytes, which no server accepts: split it into several commands\n", got.err)
}

// TestStdinThatFails is not taken for its end.
func TestStdinThatFails(t *testing.T) {
	fake(t, func(w http.ResponseWriter, r *http.Request) {
		_ = http.NewResponseController(w).EnableFullDuplex() // The test sees it if anything here fails.
		_ = http.NewResponseController(w).Flush()
		_, _ = io.Copy(io.Discard, r.Body)
		fmt.Fprintln(w, `{"index":7}`)
	})
	for _, args := range [][]string{{"command", "-", "--json"}, {"command", "x.y", "-"}} {
		var out, said bytes.Buffer
		stdin := io.MultiReader(bytes.NewReader([]byte(`{"command":"x.y"}`+"\n")), iotest.ErrReader(errors.New("torn")))
		require.Equal(t, codeFailed, run(t.Context(), args, streams{stdin, &out, &said}))
		require.Contains(t, said.String(), "stdin")
		require.Contains(t, said.String(), "torn")
	}
}
