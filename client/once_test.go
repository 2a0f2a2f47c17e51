package client_test

import (
	"fmt"
	"iter"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/chorus-services/swoosh/client"
)

// requireOnce requires n entries that add 1 each, with different keys and with
// key_since.
func requireOnce(t *testing.T, s *site, n int) {
	keys, sum := map[string]bool{}, uint32(0)
	for _, e := range s.log() {
		require.NotEmpty(t, e.IdempotencyKey)
		require.NotEmpty(t, e.KeySince)
		require.False(t, keys[e.IdempotencyKey], "entry %d repeats a key", e.Index)
		keys[e.IdempotencyKey] = true
	}
	for _, row := range tally.Of(s.e.View()).Tallies.All() {
		sum += row.Count
	}
	require.Len(t, keys, n)
	require.EqualValues(t, n, sum)
}

// TestDoHappensOnce sends commands over connections that break anywhere: before
// the server has the request, before its answer, or within the answer.
func TestDoHappensOnce(t *testing.T) {
	s := newSite(t, "")
	proxy := newCutter(t, s.addr, randomCuts(7, 4000, 4000))
	c := s.client(proxy.url())
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for i := range 15 {
				result, err := c.Do(within(t), add(fmt.Sprintf("t%d", i), 1))
				if err != nil || result.Index == 0 {
					t.Errorf("%v: %v", result, err)
				}
			}
		})
	}
	wg.Wait()
	requireOnce(t, s, 120)
	require.Greater(t, proxy.cutSoFar(), 20)
}

func TestBatchHappensOnce(t *testing.T) {
	s := newSite(t, "")
	proxy := newCutter(t, s.addr, randomCuts(8, 5000, 5000))
	c := s.client(proxy.url())
	for range 20 {
		results, err := c.Batch(within(t), []client.Command{add("a", 1), add("b", 1), add("c", 1)})
		require.NoError(t, err)
		require.Len(t, results, 3)
		require.Equal(t, results[0].Index+2, results[2].Index)
	}
	require.Greater(t, proxy.cutSoFar(), 5)
	sum := uint32(0)
	for _, row := range tally.Of(s.e.View()).Tallies.All() {
		sum += row.Count
	}
	require.EqualValues(t, 60, sum)
	require.Len(t, s.log(), 60)
}

func adds(n int) iter.Seq[client.Command] {
	return func(yield func(client.Command) bool) {
		for i := range n {
			if !yield(add(fmt.Sprintf("t%d", i%10), 1)) {
				return
			}
		}
	}
}

// TestStreamHappensOnce cuts a stream anywhere, and restarts its server.
func TestStreamHappensOnce(t *testing.T) {
	const n = 3000
	s := newSite(t, t.TempDir())
	proxy := newCutter(t, s.addr, randomCuts(9, 200_000, 100_000))
	line, index := 0, uint64(0)
	for a, err := range s.client(proxy.url()).Stream(within(t), adds(n)) {
		require.NoError(t, err)
		require.Nil(t, a.Refused)
		line++
		require.Equal(t, line, a.Line)
		require.Greater(t, a.Result.Index, index)
		require.NotEmpty(t, a.Command.Key)
		index = a.Result.Index
		if line == n/2 {
			s.stop()
			s.start()
		}
	}
	require.Equal(t, n, line)
	requireOnce(t, s, n)
	require.Greater(t, proxy.cutSoFar(), 5)
	for i, e := range s.log() {
		require.Contains(t, string(e.Payload), fmt.Sprintf(`"t%d"`, i%10), "the order is that of the commands")
	}
}
