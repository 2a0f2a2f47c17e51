package client_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/chorus-services/swoosh/client"
)

// TestWatchOverRestarts follows a growing log while the server is restarted
// with the same directory and port, and connections are cut.
func TestWatchOverRestarts(t *testing.T) {
	const n, restarts = 400, 3
	s := newSite(t, t.TempDir())
	proxy := newCutter(t, s.addr, randomCuts(11, 1<<20, 40_000))
	ctx := within(t)
	posted := make(chan error, 1)
	c := s.client()
	go func() {
		for i := range n {
			if _, err := c.Do(ctx, add(fmt.Sprintf("t%d", i%10), 1)); err != nil {
				posted <- err
				return
			}
		}
		posted <- nil
	}()
	due := uint64(1)
	for e, err := range s.client(proxy.url()).Watch(ctx, 1) {
		require.NoError(t, err)
		require.Equal(t, due, e.Index)
		require.Equal(t, "tally.add", e.Command)
		if due == n {
			break
		}
		if due%(n/(restarts+1)) == 0 {
			s.stop()
			s.start()
		}
		due++
	}
	require.NoError(t, <-posted)
	require.Greater(t, proxy.cutSoFar(), 3)
	requireOnce(t, s, n)
}

// TestWatchFromNow begins with the first entry after the call, even if its
// first connections break before any entry.
func TestWatchFromNow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, s := scripted(t, client.Retry{}, isNotThere, answers(200, "application/json", "1"), isNotThere, events(), events(entry(8), problem("compacted", 410)))
		for e, err := range c.Watch(t.Context(), 0) {
			if err == nil {
				require.EqualValues(t, 8, e.Index)
				continue
			}
			require.True(t, client.IsCode(err, client.Compacted), err)
		}
		require.Equal(t, []string{
			"GET /state?path=%2Fmeta%2Fversion ", "GET /state?path=%2Fmeta%2Fversion ",
			"GET /watch?from=8 ", "GET /watch?from=8 ", "GET /watch?from=8 ",
		}, s.bodies)
	})
}

func TestLog(t *testing.T) {
	s := newSite(t, "")
	for a, err := range s.client().Stream(within(t), adds(300)) {
		require.NoError(t, err)
		require.Nil(t, a.Refused)
	}
	proxy := newCutter(t, s.addr, randomCuts(12, 1<<20, 40_000))
	for _, from := range []uint64{0, 1, 250, 301} {
		due := max(from, 1)
		for e, err := range s.client(proxy.url()).Log(within(t), from) {
			require.NoError(t, err)
			require.Equal(t, due, e.Index)
			require.JSONEq(t, fmt.Sprintf(`{"tally":"t%d","amount":1}`, (due-1)%10), string(e.Payload))
			require.Len(t, e.Chain, 64)
			require.NotEmpty(t, e.IdempotencyKey)
			due++
		}
		require.EqualValues(t, 301, due)
	}
	require.Positive(t, proxy.cutSoFar())
	for range s.client().Log(within(t), 1) {
		break // It leaves nothing behind.
	}
	for _, err := range s.client().Log(within(t), 302) {
		require.True(t, client.IsCode(err, client.NotFound), err)
	}
}

// TestLogThatIsCutOff does not accept a line without an end.
func TestLogThatIsCutOff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		lines := func(body string) reply { return answers(200, "application/x-ndjson", body) }
		c, s := scripted(t, client.Retry{}, lines("{\"index\":5}\n{\"ind"), lines("{\"index\":6}\n{\"index\":7}"), lines("{\"index\":7}\n"))
		var indexes []uint64
		for e, err := range c.Log(t.Context(), 5) {
			require.NoError(t, err)
			indexes = append(indexes, e.Index)
		}
		require.Equal(t, []uint64{5, 6, 7}, indexes)
		require.Equal(t, []string{"GET /log?from=5 ", "GET /log?from=6 ", "GET /log?from=7 "}, s.bodies)
	})
}

// events is a complete answer of GET /watch.
func events(parts ...string) reply {
	return answers(200, "text/event-stream", "retry: 1000\n\n"+strings.Join(parts, ""))
}

func entry(index int) string {
	return fmt.Sprintf("id: %d\nevent: entry\ndata: {\"index\":%d,\"hlc\":%q,\"command\":\"x.y\"}\n\n", index, index, hlc)
}

func problem(code string, status int) string {
	return fmt.Sprintf("event: problem\ndata: {\"code\":%q,\"status\":%d,\"happened\":\"no\",\"detail\":\"d\"}\n\n", code, status)
}

// watched returns what a watch from 5 yields until it ends.
func watched(t *testing.T, answers ...reply) (indexes []uint64, s *script, err error) {
	c, s := scripted(t, client.Retry{}, answers...)
	for e, err := range c.Watch(t.Context(), 5) {
		if err != nil {
			return indexes, s, err
		}
		indexes = append(indexes, e.Index)
	}
	return indexes, s, nil
}

func TestWatchGoesOnWhereItWas(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		indexes, s, err := watched(t,
			isNotThere, events(), loses, events(":\n\n", entry(5), entry(6)),
			isProxy, events(entry(7), "id: 8\nevent: entry\ndata: {\"index\":8"), // cut off
			events(entry(8), problem("shutting_down", 503)), refuses("starting", 503),
			events("event: unheard\ndata: of\n\n", entry(9), problem("compacted", 410)))
		require.True(t, client.IsCode(err, client.Compacted), err)
		require.Equal(t, []uint64{5, 6, 7, 8, 9}, indexes)
		var had []string
		for _, h := range s.headers {
			had = append(had, h.Get("Last-Event-ID"))
		}
		require.Equal(t, []string{"", "", "", "", "6", "6", "7", "8", "8"}, had)
	})
}

// TestWatchIsPatient outlasts every budget.
func TestWatchIsPatient(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		c, _ := scripted(t, client.Retry{Attempts: 2}, func(r *http.Request) (*http.Response, error) {
			if time.Since(began) < time.Hour {
				return isNotThere(r)
			}
			return refuses("unauthorized", 401)(r)
		})
		for _, err := range c.Watch(t.Context(), 1) {
			require.True(t, client.IsCode(err, client.Unauthorized), err)
		}
		require.GreaterOrEqual(t, time.Since(began), time.Hour)
	})
}

func TestWatchEndsWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, _ := scripted(t, client.Retry{}, isNotThere)
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		for _, err := range c.Watch(ctx, 1) {
			require.ErrorIs(t, err, context.DeadlineExceeded)
		}
	})
}

// TestQuietWatchIsTakenUpAgain: a watch reconnects after a connection that died
// silently.
func TestQuietWatchIsTakenUpAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hangs := func(r *http.Request) (*http.Response, error) {
			answer, err := events(entry(5))(r)
			pr, pw := io.Pipe()
			context.AfterFunc(r.Context(), func() { _ = pw.CloseWithError(r.Context().Err()) })
			answer.Body = struct {
				io.Reader
				io.Closer
			}{io.MultiReader(answer.Body, pr), pr}
			return answer, err
		}
		indexes, s, err := watched(t, hangs, events(entry(6), problem("compacted", 410)))
		require.True(t, client.IsCode(err, client.Compacted), err)
		require.Equal(t, []uint64{5, 6}, indexes)
		require.InDelta(t, 45*time.Second, s.waits()[0], float64(100*time.Millisecond))
	})
}

// TestWatchBelievesNoOther detects entries that a swoosh server does not send.
func TestWatchBelievesNoOther(t *testing.T) {
	for name, body := range map[string]string{
		"repeats":       entry(5) + entry(5),
		"goes back":     entry(4),
		"leaves out":    entry(6),
		"no JSON":       "event: entry\ndata: {\n\n",
		"no problem":    "event: problem\ndata: {}\n\n",
		"too long":      strings.Repeat("x", 3<<20) + "\n\n",
		"too much":      strings.Repeat("data: "+strings.Repeat("x", 1<<20)+"\n", 3) + "\n",
		"index is null": "event: entry\ndata: {}\n\n",
	} {
		t.Run(name, func(t *testing.T) {
			_, s, err := watched(t, events(body))
			require.True(t, client.IsCode(err, client.NotSwoosh), err)
			require.Len(t, s.asked, 1)
		})
	}
	loss := "event: entry\ndata: {\"index\":9,\"command\":\"log.loss\"}\n\n"
	indexes, _, err := watched(t, events(entry(5), loss, entry(10), problem("compacted", 410)))
	require.True(t, client.IsCode(err, client.Compacted), err)
	require.Equal(t, []uint64{5, 9, 10}, indexes, "log.loss says what is missing")
}
