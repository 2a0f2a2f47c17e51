package client_test

import (
	"context"
	"io"
	"iter"
	"net/http"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/chorus-services/swoosh/client"
)

// TestSilentStreamIsTakenUpAgain: the server begins its answer, takes a
// command, and then falls silent.
func TestSilentStreamIsTakenUpAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hangs := func(r *http.Request) (*http.Response, error) {
			answer, err := answers(200, "application/x-ndjson", "")(r)
			pr, pw := io.Pipe()
			answer.Body = pr
			go func() { _, _ = io.Copy(io.Discard, r.Body) }()
			context.AfterFunc(r.Context(), func() { _ = pw.CloseWithError(context.Cause(r.Context())) })
			return answer, err
		}
		var lines []string
		c, s := scripted(t, client.Retry{}, hangs, talks(&lines, taken))
		for _, err := range c.Stream(t.Context(), slices.Values([]client.Command{keyed})) {
			require.NoError(t, err)
		}
		require.Len(t, lines, 1)
		require.InDelta(t, 65*time.Second, s.waits()[0], float64(500*time.Millisecond))

		c, _ = scripted(t, client.Retry{Attempts: 1}, hangs)
		for _, err := range c.Stream(t.Context(), slices.Values([]client.Command{keyed})) {
			require.ErrorContains(t, err, "has sent nothing for 1m5s")
			require.True(t, client.IsCode(err, client.NoAnswer))
		}
	})
}

// TestSilentServer uses a server that takes requests and never answers.
func TestSilentServer(t *testing.T) {
	silent := func(r *http.Request) (*http.Response, error) {
		<-r.Context().Done()
		return nil, context.Cause(r.Context())
	}
	last := func(seq iter.Seq2[client.Entry, error]) (err error) {
		for _, err = range seq {
		}
		return err
	}
	for name, test := range map[string]struct {
		most time.Duration // until it counts as gone
		call func(ctx context.Context, c *client.Client) error
	}{
		"Health":   {10 * time.Second, func(ctx context.Context, c *client.Client) error { _, err := c.Health(ctx); return err }},
		"Ready":    {10 * time.Second, func(ctx context.Context, c *client.Client) error { _, err := c.Ready(ctx); return err }},
		"Version":  {10 * time.Second, func(ctx context.Context, c *client.Client) error { _, err := c.Version(ctx); return err }},
		"Commands": {65 * time.Second, func(ctx context.Context, c *client.Client) error { _, err := c.Commands(ctx); return err }},
		"CommandInfo": {65 * time.Second, func(ctx context.Context, c *client.Client) error {
			_, err := c.CommandInfo(ctx, "x")
			return err
		}},
		"Do": {65 * time.Second, func(ctx context.Context, c *client.Client) error { _, err := c.Do(ctx, keyed); return err }},
		"Do without KeySince": {10 * time.Second, func(ctx context.Context, c *client.Client) error {
			_, err := c.Do(ctx, client.Command{Name: "x"})
			return err
		}},
		"Get": {65 * time.Second, func(ctx context.Context, c *client.Client) error {
			_, _, err := client.Get[any](ctx, c, "/x")
			return err
		}},
		"Log": {65 * time.Second, func(ctx context.Context, c *client.Client) error { return last(c.Log(ctx, 1)) }},
		"Stream": {30 * time.Second, func(ctx context.Context, c *client.Client) error {
			return streamed(c.Stream(ctx, slices.Values([]client.Command{keyed})))
		}},
		"Stream, no key": {10 * time.Second, func(ctx context.Context, c *client.Client) error {
			return streamed(c.Stream(ctx, slices.Values([]client.Command{{Name: "x"}})))
		}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c, _ := scripted(t, client.Retry{Attempts: 1}, silent)
				began := time.Now()
				err := test.call(t.Context(), c)
				require.True(t, client.IsCode(err, client.NoAnswer), "%v", err)
				require.InDelta(t, test.most, time.Since(began), float64(time.Second))
			})
		})
	}
	synctest.Test(t, func(t *testing.T) {
		c, _ := scripted(t, client.Retry{Attempts: 1}, silent)
		ctx, cancel := context.WithTimeout(t.Context(), 24*time.Hour)
		defer cancel()
		_, _, err := client.Get[any](ctx, c, "/x", client.AtIndex(1))
		require.ErrorIs(t, err, context.DeadlineExceeded, "a state of long ago takes its time")
	})
}

func streamed(answers iter.Seq2[client.Answer, error]) (err error) {
	for _, err = range answers {
	}
	return err
}

// TestAnswerThatFallsSilent in the middle, and an answer that is read slowly.
func TestAnswerThatFallsSilent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		pr, pw := io.Pipe()
		half := func(r *http.Request) (*http.Response, error) {
			answer, err := answers(200, "application/json", "")(r)
			answer.Body = pr
			context.AfterFunc(r.Context(), func() { _ = pw.CloseWithError(context.Cause(r.Context())) })
			return answer, err
		}
		c, _ := scripted(t, client.Retry{Attempts: 1}, half)
		state, _, err := c.State(t.Context(), "")
		require.NoError(t, err)
		for range 3 {
			time.Sleep(time.Hour)
			go func() { _, _ = io.WriteString(pw, "{") }()
			_, err = state.Read(make([]byte, 1))
			require.NoError(t, err, "who reads slowly is waited for")
		}
		began := time.Now()
		_, err = state.Read(make([]byte, 1))
		require.ErrorContains(t, err, "has sent nothing for 1m5s")
		require.Equal(t, 65*time.Second, time.Since(began))
		require.NoError(t, state.Close())
	})
}

// TestNothingIsAskedOnceItsContextHasEnded, so Happened is No.
func TestNothingIsAskedOnceItsContextHasEnded(t *testing.T) {
	c, s := scripted(t, client.Retry{})
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := c.Do(ctx, keyed)
	require.ErrorIs(t, err, context.Canceled)
	var e *client.Error
	require.ErrorAs(t, err, &e)
	require.Equal(t, client.No, e.Happened)
	require.Empty(t, e.Again)
	require.Empty(t, s.asked)
}

// TestQuietStreamIsLeftAlone while no answer is due.
func TestQuietStreamIsLeftAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var lines []string
		c, s := scripted(t, client.Retry{}, talks(&lines, taken, taken))
		for _, err := range c.Stream(t.Context(), slowly(2, time.Hour)) {
			require.NoError(t, err)
			time.Sleep(time.Hour)
		}
		require.Len(t, s.asked, 1)
	})
}

// TestImportEndsWithItsContext, even while the document's reader blocks.
func TestImportEndsWithItsContext(t *testing.T) {
	s := newSite(t, "")
	ctx, cancel := context.WithCancel(within(t))
	document, never := io.Pipe()
	defer never.Close()
	go func() {
		for _, piece := range []string{"{", "", ""} {
			_, _ = io.WriteString(never, piece) // Until it is read, and the next is waited for.
		}
		cancel()
	}()
	_, err := s.client().Import(ctx, document, "")
	require.ErrorIs(t, err, context.Canceled)
}
