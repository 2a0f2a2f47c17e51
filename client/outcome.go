package client

import (
	"context"
	"net/http"
	"net/url"
)

// Outcome is what became of an idempotency key.
type Outcome struct {
	Pending bool     // not decided yet: ask again
	Results []Result // of the command, or of each of the batch
}

// Outcome returns what became of the command, or of the batch, with a key; it
// changes nothing. It fails with NotFound if the server knows no entry with the
// key: then an attempt that is still on its way may land later.
func (c *Client) Outcome(ctx context.Context, key string) (o Outcome, err error) {
	var answer struct {
		Result
		Results []Result `json:"results"`
		Pending bool     `json:"pending"`
	}
	err = c.again(ctx, func() error {
		r := request{method: http.MethodGet, path: "/outcome/" + url.PathEscape(key), quiet: quietMost, also: http.StatusAccepted}
		return c.ask(ctx, r, &answer)
	})
	switch {
	case err != nil:
		return Outcome{}, err
	case answer.Pending:
		return Outcome{Pending: true}, nil
	case answer.Results == nil:
		answer.Results = []Result{answer.Result}
	}
	return Outcome{Results: answer.Results}, nil
}
