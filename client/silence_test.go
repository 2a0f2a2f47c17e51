package client_test

import (
	"context"
	"io"
	"net/http"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/chorus-services/swoosh/client"
)

// TestSilentStreamIsTakenUpAgain has a server that begins its answer, takes a
// command, and says nothing more.
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
			require.ErrorContains(t, err, "has not answered for 1m5s")
			require.True(t, client.IsCode(err, client.NoAnswer))
		}
	})
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

// TestImportEndsWithItsContext, though nothing comes of the document.
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
