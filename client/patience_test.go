package client_test

import (
	"context"
	"iter"
	"net/http"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/chorus-services/swoosh/client"
)

// slowly yields commands with a key_since, with long pauses.
func slowly(n int, pause time.Duration) iter.Seq[client.Command] {
	return func(yield func(client.Command) bool) {
		for range n {
			time.Sleep(pause)
			if command := add("a", 1); !yield(withSince(command)) {
				return
			}
		}
	}
}

func withSince(command client.Command) client.Command {
	command.KeySince = hlc
	return command
}

// TestStreamIsPatientAfterSilence: waiting for commands does not use up the
// budget, neither before the first command nor between two.
func TestStreamIsPatientAfterSilence(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var lines []string
		c, s := scripted(t, client.Retry{For: time.Minute}, isNotThere, talks(&lines, taken, ""), isNotThere, talks(&lines, taken))
		n := 0
		for _, err := range c.Stream(t.Context(), slowly(2, time.Hour)) {
			require.NoError(t, err)
			n++
		}
		require.Equal(t, 2, n)
		require.Len(t, s.asked, 4)
	})
}

// TestLogIsPatientWithItsReader, which handles an entry for so long that the
// connection is gone afterwards.
func TestLogIsPatientWithItsReader(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, s := scripted(t, client.Retry{For: time.Minute}, answers(200, "application/x-ndjson", "{\"index\":1}\n{"), isNotThere, answers(200, "application/x-ndjson", "{\"index\":2}\n"))
		n := 0
		for _, err := range c.Log(t.Context(), 1) {
			require.NoError(t, err)
			time.Sleep(time.Hour)
			n++
		}
		require.Equal(t, 2, n)
		require.Len(t, s.asked, 3)
	})
}

// TestStreamSpendsOneBudget if it cannot learn key_since: after giving up it
// does not start over, and Notify is not called for attempts that are not made.
func TestStreamSpendsOneBudget(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		told := 0
		c, s := scripted(t, client.Retry{Attempts: 3, Notify: func(*client.Error, time.Duration) { told++ }}, isNotThere)
		for _, err := range c.Stream(t.Context(), adds(5)) {
			require.True(t, client.IsCode(err, client.Unreachable), err)
		}
		require.Len(t, s.asked, 3)
		require.Equal(t, 2, told)
	})
}

// TestStreamThatFailsTakesNoMore: each command taken was answered or is in
// Again.
func TestStreamThatFailsTakesNoMore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, _ := scripted(t, client.Retry{Attempts: 1}, isNotThere)
		var given atomic.Int64
		commands := func(yield func(client.Command) bool) {
			for yield(withSince(add("a", 1))) {
				given.Add(1)
				time.Sleep(time.Second)
			}
		}
		for _, err := range c.Stream(t.Context(), commands) {
			var e *client.Error
			require.ErrorAs(t, err, &e)
			time.Sleep(time.Minute)
			require.Len(t, e.Again, int(given.Load()))
		}
	})
}

// TestLineOfWhatCannotBeSent: a command that cannot be encoded has a line
// number too.
func TestLineOfWhatCannotBeSent(t *testing.T) {
	wrong := withSince(client.Command{Name: "tally.add", Payload: func() {}})
	c, s := scripted(t, client.Retry{}, talks(new([]string)))
	var lines []int
	for a, err := range c.Stream(t.Context(), func(yield func(client.Command) bool) { _ = yield(wrong) && yield(wrong) }) {
		require.NoError(t, err)
		lines = append(lines, a.Line)
		require.Equal(t, a.Line, a.Refused.Line)
	}
	require.Equal(t, []int{1, 2}, lines)
	require.LessOrEqual(t, len(s.asked), 1)
}

// TestBudgetOfWhatLasts counts from the first failure.
func TestBudgetOfWhatLasts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, _ := scripted(t, client.Retry{For: 20 * time.Second}, isNotThere)
		began := time.Now()
		for _, err := range c.Stream(t.Context(), slowly(1, time.Hour)) {
			require.True(t, client.IsCode(err, client.Unreachable), err)
			require.InDelta(t, 15*time.Second, time.Since(began)-time.Hour, float64(5*time.Second))
		}
		began = time.Now()
		for _, err := range c.Log(t.Context(), 1) {
			require.True(t, client.IsCode(err, client.Unreachable), err)
			require.InDelta(t, 15*time.Second, time.Since(began), float64(5*time.Second))
		}
	})
}

// TestContextThatEndsWithTheAnswer is mentioned besides the refusal.
func TestContextThatEndsWithTheAnswer(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	c, _ := scripted(t, client.Retry{}, func(r *http.Request) (*http.Response, error) {
		cancel()
		return refuses("starting", 503)(r)
	})
	_, err := c.Do(ctx, keyed)
	require.True(t, client.IsCode(err, client.Starting), err)
	require.ErrorIs(t, err, context.Canceled)
}
