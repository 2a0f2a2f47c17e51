package swoosh_test

import (
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/chorus-services/swoosh"
	"github.com/chorus-services/swoosh/swooshtest"
)

// TestPresence answers what the program says of its nodes.
func TestPresence(t *testing.T) {
	s := open(t, swoosh.Options{})
	require.JSONEq(t, `{"since":1,"heard":{"":100},"next":"n2"}`, s.get("/presence").body)
	require.JSONEq(t, `{"since":1,"heard":{"n1":7},"next":"n2"}`, s.get("/presence?after=n1&limit=7").body)
	s.get("/presence?limit=0").refused("malformed_request", 400)

	without := swoosh.NewAPI(swoosh.APIOptions{Loopback: true})
	without.Attach(swooshtest.Open(t, swoosh.Options{}, counter))
	t.Cleanup(without.Stop)
	answer := httptest.NewRecorder()
	without.ServeHTTP(answer, httptest.NewRequest("GET", "http://localhost/presence", nil))
	require.Equal(t, 404, answer.Code)
	require.Contains(t, answer.Body.String(), "its program is without the domain fleet")
}

// TestWatchersAreLimited: one more is refused, and one that ends makes room.
func TestWatchersAreLimited(t *testing.T) {
	s := openAPI(t, swoosh.APIOptions{Loopback: true, Watchers: 2})
	watch := func() (status int, end func() error) {
		resp, err := noRedirects.Do(s.request("GET", "/watch?commands=counter.*", strings.NewReader("")).WithContext(within(t)))
		require.NoError(t, err)
		return resp.StatusCode, resp.Body.Close
	}
	first, end := watch()
	require.Equal(t, 200, first)
	s.watch("")
	more, _ := watch()
	require.Equal(t, 503, more)
	require.Contains(t, s.get("/watch").refused("overloaded", 503)["detail"], "2 watches are open")
	require.NoError(t, end())
	require.Eventually(t, func() bool {
		again, end := watch()
		return again == 200 || end() != nil
	}, time.Minute, time.Millisecond)
}
