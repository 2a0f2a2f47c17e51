package client_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/chorus-services/swoosh/client"
)

// TestPresence is read page by page.
func TestPresence(t *testing.T) {
	page := func(body string) reply { return answers(200, "application/json", body) }
	c, s := scripted(t, client.Retry{Attempts: 1}, page(`{"since":7,"heard":{"n1":9},"next":"n1"}`), page(`{"since":7,"heard":{}}`))
	p, err := c.Presence(t.Context(), "", 1)
	require.NoError(t, err)
	require.Equal(t, client.Presence{Since: 7, Heard: map[string]uint64{"n1": 9}, Next: "n1"}, p)
	p, err = c.Presence(t.Context(), p.Next, 1)
	require.NoError(t, err)
	require.Equal(t, client.Presence{Since: 7, Heard: map[string]uint64{}}, p)
	require.Equal(t, []string{"GET /presence?after=&limit=1 ", "GET /presence?after=n1&limit=1 "}, s.bodies)
}
