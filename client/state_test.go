package client_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/require"

	"github.com/chorus-services/swoosh/client"
)

// fill adds n tallies, t0 with 1 and so on, one per entry.
func fill(t *testing.T, c *client.Client, n int) {
	commands := func(yield func(client.Command) bool) {
		for i := range n {
			if !yield(add(fmt.Sprintf("t%d", i), uint32(i)+100)) {
				return
			}
		}
	}
	for a, err := range c.Stream(within(t), commands) {
		require.NoError(t, err)
		require.Nil(t, a.Refused)
	}
}

func TestGet(t *testing.T) {
	s := newSite(t, "")
	c := s.client()
	fill(t, c, 3)
	ctx := within(t)

	row, m, err := client.Get[Tally](ctx, c, "/tally/tallies/t2")
	require.NoError(t, err)
	require.Equal(t, Tally{Count: 102}, row)
	require.EqualValues(t, 3, m.Index)
	require.Len(t, m.ETag, 64)
	require.False(t, m.NotModified)

	_, again, err := client.Get[Tally](ctx, c, "/tally/tallies/t2", client.IfNoneMatch(m.ETag))
	require.NoError(t, err)
	require.True(t, again.NotModified)
	require.Equal(t, m.ETag, again.ETag)

	table, _, err := client.Get[map[string]Tally](ctx, c, "/tally/tallies", client.AtIndex(2))
	require.NoError(t, err)
	require.Equal(t, map[string]Tally{"t0": {100}, "t1": {101}}, table)
	table, _, err = client.Get[map[string]Tally](ctx, c, "/tally/tallies", client.AtHLC(m.HLC))
	require.NoError(t, err)
	require.Len(t, table, 3)

	_, _, err = client.Get[Tally](ctx, c, "/tally/tallies/none")
	require.True(t, client.IsCode(err, client.NotFound), err)
	_, _, err = client.Get[Tally](ctx, c, "no pointer")
	require.True(t, client.IsCode(err, client.MalformedRequest), err)
	_, _, err = client.Get[[]int](ctx, c, "/tally/tallies/t2")
	require.True(t, client.IsCode(err, client.Mistyped), err)
}

// TestReadYourWrites waits for an entry that is applied during the wait.
func TestReadYourWrites(t *testing.T) {
	s := newSite(t, "")
	c := s.client()
	go func() { _, _ = c.Do(context.WithoutCancel(t.Context()), add("a", 7)) }()
	row, m, err := client.Get[Tally](within(t), c, "/tally/tallies/a", client.MinIndex(1))
	require.NoError(t, err)
	require.EqualValues(t, 7, row.Count)
	require.EqualValues(t, 1, m.Index)
}

func TestStateIsTheDocument(t *testing.T) {
	s := newSite(t, "")
	c := s.client()
	fill(t, c, 3)
	body, m, err := c.State(within(t), "")
	require.NoError(t, err)
	document, err := io.ReadAll(body)
	require.NoError(t, err)
	require.NoError(t, body.Close())
	require.Equal(t, s.e.View().StateHash().String(), m.ETag)

	// Import it into another server as its genesis. A second import without
	// ifMatch is refused.
	other := newSite(t, "").client()
	result, err := other.Import(within(t), strings.NewReader(string(document)), "")
	require.NoError(t, err)
	require.Equal(t, m.ETag, result.StateHash)
	_, err = other.Import(within(t), strings.NewReader(string(document)), "")
	require.True(t, client.IsCode(err, client.PreconditionRequired), err)
	_, err = other.Import(within(t), strings.NewReader(string(document)), m.ETag)
	require.NoError(t, err)
}

// TestStateThatIsCutOff: an incomplete answer is an error.
func TestStateThatIsCutOff(t *testing.T) {
	s := newSite(t, "")
	fill(t, s.client(), 2000)
	proxy := newCutter(t, s.addr, func() (int64, int64) { return 1 << 20, 20_000 })
	c := newClient(t, proxy.url(), client.Options{Retry: client.Retry{Attempts: 2}})
	body, _, err := c.State(within(t), "")
	require.NoError(t, err)
	_, err = io.ReadAll(body)
	require.True(t, client.IsCode(err, client.NoAnswer), err)
	require.NoError(t, body.Close())
	_, _, err = client.Get[map[string]Tally](within(t), c, "/tally/tallies")
	require.True(t, client.IsCode(err, client.NoAnswer), err)
}

func TestRows(t *testing.T) {
	s := newSite(t, "")
	c := s.client(newCutter(t, s.addr, randomCuts(13, 1<<20, 60_000)).url())
	fill(t, s.client(), 1234)
	seen, last := map[string]bool{}, ""
	for row, err := range client.Rows[Tally](within(t), c, "/tally/tallies", client.AtIndex(1200)) {
		require.NoError(t, err)
		require.Equal(t, fmt.Sprintf("t%d", row.Value.Count-100), row.Key)
		require.Greater(t, row.Key, last)
		seen[row.Key], last = true, row.Key
	}
	require.Len(t, seen, 1200)
	for range client.Rows[Tally](within(t), s.client(), "/tally/tallies") {
		break
	}
	for row, err := range client.Rows[[]int](within(t), c, "/tally/tallies") {
		require.Equal(t, "t0", row.Key)
		require.True(t, client.IsCode(err, client.Mistyped), err)
	}
	for _, err := range client.Rows[Tally](within(t), c, "/tally/none") {
		require.True(t, client.IsCode(err, client.NotFound), err)
	}
}

// TestUpdate: many read a row and write a value based on it at the same time,
// and no update is lost.
func TestUpdate(t *testing.T) {
	s := newSite(t, "")
	c := s.client()
	var mu sync.Mutex
	decided := 0
	double := func(row *Tally) (client.Command, error) {
		mu.Lock()
		defer mu.Unlock()
		decided++
		if row == nil {
			return add("a", 1), nil
		}
		return add("a", row.Count), nil
	}
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 2 {
				if _, err := client.Update(within(t), c, "/tally/tallies/a", double); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	row, _, err := client.Get[Tally](within(t), c, "/tally/tallies/a")
	require.NoError(t, err)
	require.EqualValues(t, 1<<15, row.Count)
	require.Greater(t, decided, 16)
	requireOnceEach(t, s)

	_, err = client.Update(within(t), c, "/tally/tallies/a", func(*Tally) (client.Command, error) { return client.Command{}, io.EOF })
	require.Equal(t, io.EOF, err, "what decide says is given as it is")
}

// requireOnceEach requires that no key occurs twice.
func requireOnceEach(t *testing.T, s *site) {
	keys := map[string]bool{}
	for _, e := range s.log() {
		require.False(t, keys[e.IdempotencyKey])
		keys[e.IdempotencyKey] = true
	}
}

func TestUpdateGivesUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		moves := func(r *http.Request) (*http.Response, error) {
			if r.Method == http.MethodGet {
				return answers(200, "application/json", "{}", `ETag: "e"`)(r)
			}
			return refuses("stale_state", 412)(r)
		}
		c, s := scripted(t, client.Retry{Attempts: 3}, moves)
		_, err := client.Update(t.Context(), c, "/a/b/c", func(*Tally) (client.Command, error) { return keyed, nil })
		require.True(t, client.IsCode(err, client.StaleState), err)
		require.Len(t, s.asked, 6)
		require.Contains(t, s.bodies[1], `"expect":{"path":"/a/b/c","hash":"e"}`)
	})
}

// TestExpect sends every form of Expect.
func TestExpect(t *testing.T) {
	c := newSite(t, "").client()
	command := add("a", 1)
	command.Expect = &client.Expect{Index: new(uint64), Path: "/tally/tallies/a"} // an empty log, no such row
	result, err := c.Do(within(t), command)
	require.NoError(t, err)
	command.Expect = &client.Expect{StateHash: result.StateHash}
	_, err = c.Do(within(t), command)
	require.NoError(t, err)
	_, err = c.Do(within(t), command)
	var e *client.Error
	require.ErrorAs(t, err, &e)
	require.Equal(t, client.StaleState, e.Code)
	require.Len(t, e.StateHash, 64)
	command.Expect = &client.Expect{Path: "/tally/tallies/a"}
	_, err = c.Do(within(t), command)
	require.ErrorAs(t, err, &e)
	require.Len(t, *e.Hash, 64)
	require.Equal(t, "/tally/tallies/a", e.Path)
}
