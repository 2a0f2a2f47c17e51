package client_test

import (
	"fmt"
	"slices"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/require"

	"github.com/chorus-services/swoosh/client"
)

// TestRowsAreOfOneState, although every row is changed after the first was
// yielded and the connection breaks.
func TestRowsAreOfOneState(t *testing.T) {
	s := newSite(t, "")
	fill(t, s.client(), 1500)
	cuts := 0
	proxy := newCutter(t, s.addr, func() (int64, int64) {
		if cuts++; cuts > 1 {
			return 1 << 20, 1 << 20
		}
		return 1 << 20, 20_000
	})
	n, last := 0, ""
	for row, err := range client.Rows[Tally](within(t), s.client(proxy.url()), "/tally/tallies", client.MinIndex(1500), client.IfNoneMatch(s.e.View().StateHash().String())) {
		require.NoError(t, err)
		require.Equal(t, fmt.Sprintf("t%d", row.Value.Count-100), row.Key)
		require.Greater(t, row.Key, last)
		if last = row.Key; n == 0 {
			fill(t, s.client(), 1600)
		}
		n++
	}
	require.Equal(t, 1500, n)
	require.Equal(t, 1, proxy.cutSoFar())
}

// TestRowsGoOnWhereTheyWere continues in the state in which reading began, or
// which the caller named.
func TestRowsGoOnWhereTheyWere(t *testing.T) {
	table := func(body string) reply { return answers(200, "application/json", body) }
	for _, test := range []struct {
		options    []client.ReadOption
		first, not string
	}{
		{nil, "GET /state?path=%2Fa%2Fb ", "GET /state?at=7&path=%2Fa%2Fb "},
		{[]client.ReadOption{client.MinIndex(3)}, "GET /state?min_index=3&path=%2Fa%2Fb ", "GET /state?at=7&path=%2Fa%2Fb "},
		{[]client.ReadOption{client.AtIndex(2)}, "GET /state?at=2&path=%2Fa%2Fb ", "GET /state?at=2&path=%2Fa%2Fb "},
	} {
		synctest.Test(t, func(t *testing.T) {
			c, s := scripted(t, client.Retry{Attempts: 3}, isNotThere, table(`{"k":1,"l":`), table(`{"k"`), table(`{"k":1,"l":2,"m":3`), table(`{"k":1,"l":2,"m":3}`))
			var keys []string
			for row, err := range client.Rows[int](t.Context(), c, "/a/b", test.options...) {
				require.NoError(t, err)
				require.Equal(t, len(keys)+1, row.Value)
				keys = append(keys, row.Key)
			}
			require.Equal(t, []string{"k", "l", "m"}, keys)
			require.Equal(t, []string{test.first, test.first, test.not, test.not, test.not}, s.bodies)
		})
	}
}

// TestRowsEnd with the first error, or as soon as the caller stops.
func TestRowsEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for body, code := range map[string]string{`{"a":}`: client.NotSwoosh, `7`: client.NotSwoosh, `{"a":"x"}`: client.Mistyped, `{"a":1`: client.NoAnswer} {
			c, s := scripted(t, client.Retry{Attempts: 3}, answers(200, "application/json", body))
			failed := 0
			for _, err := range client.Rows[int](t.Context(), c, "/a/b") {
				if err != nil {
					require.True(t, client.IsCode(err, code), err)
					failed++
				}
			}
			require.Equal(t, 1, failed)
			require.Equal(t, code == client.NoAnswer, len(s.asked) > 1, body)
		}
		c, s := scripted(t, client.Retry{}, answers(200, "application/json", `{"a":1,"b":2}`))
		for range client.Rows[int](t.Context(), c, "/a/b") {
			break
		}
		require.Len(t, s.asked, 1)
		c, _ = scripted(t, client.Retry{}, answers(200, "application/json", `{}`))
		for range client.Rows[int](t.Context(), c, "/a/b") {
			t.Fatal("an empty table has no row")
		}
	})
}

// TestPages: rows come in the order of their keys, a page after another.
func TestPages(t *testing.T) {
	s := newSite(t, "")
	fill(t, s.client(), 25)
	var keys []string
	after, pages := "", 0
	for {
		rows, next, err := client.Page[Tally](t.Context(), s.client(), "/tally/tallies", after, 10)
		require.NoError(t, err)
		for _, row := range rows {
			require.Equal(t, fmt.Sprintf("t%d", row.Value.Count-100), row.Key)
			keys = append(keys, row.Key)
		}
		if pages++; next == "" {
			break
		}
		require.Equal(t, keys[len(keys)-1], next)
		after = next
	}
	require.Equal(t, 3, pages)
	require.Len(t, keys, 25)
	require.True(t, slices.IsSorted(keys))
	_, _, err := client.Page[Tally](t.Context(), s.client(), "/tally/tallies", "", 0)
	require.True(t, client.IsCode(err, client.MalformedRequest), "%v", err)
	_, _, err = client.Page[int](t.Context(), s.client(), "/tally/tallies", "", 10)
	require.True(t, client.IsCode(err, client.Mistyped), "%v", err)
}
