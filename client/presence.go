package client

import (
	"context"
	"net/http"
	"net/url"
)

// Presence says when the server last verified a signature of each node, be it of a
// command that it accepted or not. The server keeps it in memory only.
type Presence struct {
	Since int64             `json:"since"` // ms; when the server began to
	Heard map[string]uint64 `json:"heard"` // ms, by the signer's name; absent: not since
	Next  string            `json:"next"`  // the name to go on after; empty: there is no more
}

// Presence returns a page of the server's presence, in the order of the names, after a
// name. It fails with NotFound if the server has none.
func (c *Client) Presence(ctx context.Context, after string) (p Presence, err error) {
	err = c.again(ctx, func() error {
		r := request{method: http.MethodGet, path: "/presence", quiet: quietMost}
		if after != "" {
			r.query = url.Values{"after": {after}}
		}
		return c.ask(ctx, r, &p)
	})
	return p, err
}
