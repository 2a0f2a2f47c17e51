package client

import (
	"context"
	"net/http"
	"net/url"
	"strconv"
)

// Presence says when the server last accepted a command that each node signed. The server
// keeps it in memory only.
type Presence struct {
	Since int64             `json:"since"` // ms; when the server began to
	Heard map[string]uint64 `json:"heard"` // ms, by the signer's name; absent: not since
	Next  string            `json:"next"`  // the name to go on after; empty: there is no more
}

// Presence returns a page of the server's presence: up to limit names, 1 to 10 000, in
// their order, after a name. It fails with NotFound if the server has none.
func (c *Client) Presence(ctx context.Context, after string, limit int) (p Presence, err error) {
	err = c.again(ctx, func() error {
		query := url.Values{"after": {after}, "limit": {strconv.Itoa(limit)}}
		return c.ask(ctx, request{method: http.MethodGet, path: "/presence", query: query, quiet: quietMost}, &p)
	})
	return p, err
}
