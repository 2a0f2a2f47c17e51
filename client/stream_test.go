package client_test

import (
	"context"
	"io"
	"iter"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/chorus-services/swoosh"
	"github.com/chorus-services/swoosh/client"
	"github.com/chorus-services/swoosh/internal/testrun"
	"github.com/chorus-services/swoosh/swooshtest"
)

// TestStreamRefusals: a refused line is an answer, in its place.
func TestStreamRefusals(t *testing.T) {
	s := newSite(t, "")
	commands := []client.Command{
		add("a", 1), add("a", 13), {Name: "tally.sub"}, {Name: "tally.add", Payload: func() {}}, add("a", 2), {Name: "tally.add", Payload: []byte("{\n")},
	}
	var codes []string
	for a, err := range s.client().Stream(within(t), slices.Values(commands)) {
		require.NoError(t, err)
		code := ""
		if a.Refused != nil {
			code = a.Refused.Code
			require.Equal(t, client.No, a.Refused.Happened)
		}
		codes = append(codes, code)
		require.Equal(t, len(codes), a.Line)
		require.Equal(t, commands[a.Line-1].Name, a.Command.Name)
	}
	require.Equal(t, []string{"", client.Conflict, client.UnknownCommand, client.InvalidPayload, "", client.InvalidPayload}, codes)
}

// TestStreamAnswersAtOnce: an answer comes even if no command follows.
func TestStreamAnswersAtOnce(t *testing.T) {
	s := newSite(t, "")
	commands := make(chan client.Command, 1)
	commands <- add("a", 1)
	n := 0
	for a, err := range s.client().Stream(within(t), received(commands)) {
		require.NoError(t, err)
		require.EqualValues(t, n+1, a.Result.Index)
		if n++; n == 3 {
			close(commands)
			continue
		}
		commands <- add("a", 1)
	}
	require.Equal(t, 3, n)
}

func received(commands <-chan client.Command) iter.Seq[client.Command] {
	return func(yield func(client.Command) bool) {
		for command := range commands {
			if !yield(command) {
				return
			}
		}
	}
}

func TestEmptyStreamAsksNobody(t *testing.T) {
	c, s := scripted(t, client.Retry{}, isNotThere)
	for range c.Stream(t.Context(), adds(0)) {
		t.Fatal("there is no answer to nothing")
	}
	require.Empty(t, s.asked)
}

// TestStreamIsBounded: without answers, no more commands are taken than fit.
func TestStreamIsBounded(t *testing.T) {
	wal := swooshtest.NewFaultWAL(swoosh.NewMemWAL())
	s := &site{t: t, addr: testrun.Address(t), options: swoosh.Options{Node: "test", Logger: silent, OpenWAL: func(string) (swoosh.WAL, error) { return wal, nil }}}
	s.start()
	t.Cleanup(s.stop)
	held := wal.Hold()
	full := make(chan struct{})
	var taken atomic.Int64
	commands := func(yield func(client.Command) bool) {
		for range 2000 {
			if taken.Add(1) == 257 {
				close(full)
			}
			if !yield(add("a", 1)) {
				return
			}
		}
	}
	go func() {
		<-held
		<-full
		wal.Release()
	}()
	answered := 0
	for a, err := range s.client().Stream(within(t), commands) {
		require.NoError(t, err)
		answered = a.Line
		require.LessOrEqual(t, taken.Load(), int64(a.Line+256+1), "one more is held until there is room")
	}
	require.Equal(t, 2000, answered)
	requireOnce(t, s, 2000)
}

// TestStreamThatIsLeft leaves no goroutine behind, even if the commands block.
func TestStreamThatIsLeft(t *testing.T) {
	s := newSite(t, "")
	commands := make(chan client.Command, 5)
	for range 5 {
		commands <- add("a", 1)
	}
	for a, err := range s.client().Stream(within(t), received(commands)) {
		require.NoError(t, err)
		if a.Line == 2 {
			break
		}
	}
	close(commands)
	ctx, cancel := context.WithCancel(within(t))
	defer cancel()
	for a, err := range s.client().Stream(ctx, adds(1<<30)) {
		if err != nil {
			require.ErrorIs(t, err, context.Canceled)
			break
		}
		if a.Line == 100 {
			cancel()
		}
	}
}

// talks is a server of streams. It reads a line and sends the next of its
// answers, until there are no more. N in an answer stands for the line's
// number; an empty answer ends the connection.
func talks(lines *[]string, given ...string) reply {
	return func(r *http.Request) (*http.Response, error) {
		answer, err := answers(200, "application/x-ndjson", "")(r)
		pr, pw := io.Pipe()
		answer.Body = pr
		go func() {
			var line []byte
			n := 0
			for one := []byte{0}; len(given) > 0; {
				if _, err := r.Body.Read(one); err != nil {
					break
				}
				if line = append(line, one[0]); one[0] != '\n' {
					continue
				}
				if n++; len(line) == 1 {
					line = nil
					continue
				}
				*lines = append(*lines, string(line))
				line = nil
				if given[0] == "" {
					break
				}
				if _, err := io.WriteString(pw, strings.ReplaceAll(given[0], "N", strconv.Itoa(n))+"\n"); err != nil {
					break
				}
				given = given[1:]
			}
			_ = pw.Close()
		}()
		return answer, err
	}
}

const taken = `{"index":7,"hlc":"` + hlc + `","state_hash":"s","changed":true,"duplicate":false}`

// TestStreamGoesOn sends unanswered commands again, with the same keys: after a
// missing answer, and after one that may pass.
func TestStreamGoesOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var lines []string
		full := `{"code":"disk_full","status":507,"happened":"no","detail":"d","line":1}`
		c, _ := scripted(t, client.Retry{}, answers(200, "application/json", "1"), isNotThere, refuses("starting", 503),
			talks(&lines, taken), loses, talks(&lines, full), talks(&lines, taken, taken))
		n := 0
		for a, err := range c.Stream(t.Context(), adds(3)) {
			require.NoError(t, err)
			require.Nil(t, a.Refused)
			n++
		}
		require.Equal(t, 3, n)
		require.Len(t, lines, 4)
		require.Equal(t, lines[1], lines[2], "the line that the disk had no room for is sent again")
		require.NotEqual(t, lines[2], lines[3])
	})
}

// TestStreamThatBeginsLate: until the answer begins, the client sends blank
// lines, which the server counts.
func TestStreamThatBeginsLate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var lines []string
		refusal := `{"code":"conflict","status":409,"happened":"no","detail":"d","line":N}`
		late := func(r *http.Request) (*http.Response, error) {
			answer, err := talks(&lines, refusal, taken, refusal)(r)
			time.Sleep(time.Second)
			return answer, err
		}
		c, _ := scripted(t, client.Retry{}, answers(200, "application/json", "1"), late)
		n := 0
		for a, err := range c.Stream(t.Context(), adds(3)) {
			require.NoError(t, err)
			n++
			require.Equal(t, n != 2, a.Refused != nil)
			if a.Refused != nil {
				require.Equal(t, n, a.Refused.Line, "the caller's number")
			}
		}
		require.Equal(t, 3, n)
	})
}

// TestStreamWhetherItHappened checks that Happened is about all attempts of a
// line.
func TestStreamWhetherItHappened(t *testing.T) {
	for code, happened := range map[string]string{
		client.Forbidden: client.Unknown, client.StaleState: client.No,
		"newer_one": client.Unknown, `queue_empty","domain":"jobs`: client.No,
	} {
		synctest.Test(t, func(t *testing.T) {
			var lines []string
			refusal := `{"code":"` + code + `","status":400,"happened":"no","detail":"d","line":N}`
			c, _ := scripted(t, client.Retry{}, answers(200, "application/json", "1"), talks(&lines, ""), talks(&lines, refusal))
			for a, err := range c.Stream(t.Context(), adds(1)) {
				require.NoError(t, err)
				require.Equal(t, happened, a.Refused.Happened)
				require.Equal(t, happened == client.Unknown, len(a.Refused.Again) == 1)
			}
		})
	}
}

// TestStreamGivesUp and returns the unanswered commands.
func TestStreamGivesUp(t *testing.T) {
	for name, test := range map[string]struct {
		answers  func(lines *[]string) reply
		code     string
		happened string
	}{
		"no connection": {func(*[]string) reply { return isNotThere }, client.Unreachable, client.No},
		"no answer":     {func(l *[]string) reply { return talks(l, taken, "") }, client.NoAnswer, client.Unknown},
		"another's":     {func(l *[]string) reply { return talks(l, taken, `{"code":"conflict","happened":"no","line":9}`) }, client.NotSwoosh, client.Unknown},
		"at the door":   {func(*[]string) reply { return refuses("unauthorized", 401) }, client.Unauthorized, client.No},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var lines []string
				c, _ := scripted(t, client.Retry{Attempts: 3}, answers(200, "application/json", "1"), test.answers(&lines))
				answered := 0
				for _, err := range c.Stream(t.Context(), adds(5)) {
					if err == nil {
						answered++
						continue
					}
					var e *client.Error
					require.ErrorAs(t, err, &e)
					require.Equal(t, test.code, e.Code)
					require.Equal(t, test.happened, e.Happened)
					require.LessOrEqual(t, len(e.Again), 5-answered)
					require.NotEmpty(t, e.Again)
					require.Len(t, e.Again[0].Key, 32)
				}
				require.Equal(t, test.happened == client.Unknown, answered == 1)
			})
		})
	}
}

// TestStreamNeedsItsFirstStamp: nothing is sent without key_since.
func TestStreamNeedsItsFirstStamp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, s := scripted(t, client.Retry{For: 10 * time.Second}, isNotThere)
		began, failed := time.Now(), 0
		for _, err := range c.Stream(t.Context(), adds(5)) {
			require.True(t, client.IsCode(err, client.Unreachable), err)
			failed++
		}
		require.Equal(t, 1, failed)
		require.LessOrEqual(t, time.Since(began), 10*time.Second)
		require.NotContains(t, strings.Join(s.bodies, ""), "/command")
	})
}

// TestStreamOverDeadConnections gives up on connections that end before the
// answer begins, even while no command follows.
func TestStreamOverDeadConnections(t *testing.T) {
	s := newSite(t, "")
	proxy := newCutter(t, s.addr, func() (int64, int64) { return 1 << 20, 1 })
	c := newClient(t, proxy.url(), client.Options{Retry: client.Retry{Attempts: 3}})
	commands := make(chan client.Command, 1)
	command := add("a", 1)
	command.KeySince = hlc
	commands <- command
	defer close(commands)
	for _, err := range c.Stream(within(t), received(commands)) {
		var e *client.Error
		require.ErrorAs(t, err, &e)
		require.Equal(t, client.NoAnswer, e.Code)
		require.Equal(t, client.No, e.Happened, "no command was sent")
		require.NotErrorIs(t, err, context.DeadlineExceeded)
	}
}

// TestStreamThatIsHeldBack: with a proxy that waits for the whole request, the
// stream would wait forever.
func TestStreamThatIsHeldBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, s := scripted(t, client.Retry{Attempts: 2}, func(r *http.Request) (*http.Response, error) {
			<-r.Context().Done()
			_ = r.Body.Close() // As a transport does.
			return nil, context.Cause(r.Context())
		})
		for _, err := range c.Stream(t.Context(), slices.Values([]client.Command{keyed})) {
			require.ErrorContains(t, err, "check whether a proxy buffers the request")
			require.True(t, client.IsCode(err, client.NoAnswer))
		}
		require.Len(t, s.asked, 2)
		require.InDelta(t, 30*time.Second, s.waits()[0], float64(500*time.Millisecond))
	})
}
