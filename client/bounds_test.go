package client_test

import (
	"bufio"
	"context"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/chorus-services/swoosh/client"
)

func large(bytes int) client.Command {
	return withSince(client.Command{Name: "tally.add", Payload: map[string]string{"tally": strings.Repeat("a", bytes)}})
}

// TestStreamIsBoundedInBytes: answers make room, and without answers no more
// commands are taken than fit.
func TestStreamIsBoundedInBytes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, _ := scripted(t, client.Retry{}, answersFive)
		ctx, cancel := context.WithCancel(t.Context())
		var given atomic.Int64
		commands := func(yield func(client.Command) bool) {
			for yield(large(1_500_000)) {
				given.Add(1)
			}
		}
		go func() {
			time.Sleep(time.Second)
			cancel()
		}()
		answered := 0
		for _, err := range c.Stream(ctx, commands) {
			if err == nil {
				answered++
				continue
			}
			require.ErrorIs(t, err, context.Canceled)
		}
		require.Equal(t, 5, answered)
		require.EqualValues(t, 5+2, given.Load(), "4 MiB have room for two")
	})
}

// answersFive answers five lines of a stream, reads on, and sends nothing more.
func answersFive(r *http.Request) (*http.Response, error) {
	answer, err := answers(200, "application/x-ndjson", "")(r)
	pr, pw := io.Pipe()
	answer.Body = pr
	go func() {
		lines := bufio.NewReader(r.Body)
		for n := 0; ; {
			line, err := lines.ReadString('\n')
			if err != nil {
				return
			}
			if n++; len(line) > 1 && n <= 5 {
				_, _ = io.WriteString(pw, taken+"\n")
			}
		}
	}()
	context.AfterFunc(r.Context(), func() { _ = pw.CloseWithError(context.Cause(r.Context())) })
	return answer, err
}

// TestStreamMakesRoom for more bytes than fit at once, and for a command larger
// than the window.
func TestStreamMakesRoom(t *testing.T) {
	commands := []client.Command{large(5 << 20)}
	for range 5 {
		commands = append(commands, large(1_500_000))
	}
	n := 0
	for a, err := range newSite(t, "").client().Stream(within(t), slices.Values(commands)) {
		require.NoError(t, err)
		require.Equal(t, client.TooLarge, a.Refused.Code)
		n++
	}
	require.Equal(t, 6, n)
}

// TestStreamLearns the newest stamp from its answers, without asking the server
// for it.
func TestStreamLearns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var lines []string
		c, s := scripted(t, client.Retry{}, answers(200, "application/json", "1"), talks(&lines, taken, taken, taken))
		commands := func(yield func(client.Command) bool) {
			for range 3 {
				time.Sleep(40 * time.Second)
				if !yield(add("a", 1)) {
					return
				}
			}
		}
		for _, err := range c.Stream(t.Context(), commands) {
			require.NoError(t, err)
		}
		require.Len(t, s.asked, 2)
	})
}

// TestErrorOfAStream names no line, since Again has them all, and says what
// happened to the connection.
func TestErrorOfAStream(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for answer, says := range map[string]string{
			`{"code":"disk_full","status":507,"happened":"no","detail":"d","line":1}`: "disk_full: d",
			"": "no complete answer came from http://swoosh.test: unexpected EOF",
		} {
			var lines []string
			c, _ := scripted(t, client.Retry{Attempts: 1}, talks(&lines, answer))
			for _, err := range c.Stream(t.Context(), slices.Values([]client.Command{keyed})) {
				var e *client.Error
				require.ErrorAs(t, err, &e)
				require.Zero(t, e.Line)
				require.ErrorContains(t, err, says)
				require.Len(t, e.Again, 1)
			}
		}
	})
}
