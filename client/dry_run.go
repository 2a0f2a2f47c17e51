package client

import (
	"bytes"
	"context"
	"net/http"
	"net/url"

	"github.com/go-json-experiment/json/jsontext"
)

// Trial is what commands would do.
type Trial struct {
	Results []TrialResult  // of each command
	Patch   jsontext.Value // a JSON Patch (RFC 6902): makes the state that State reads the one after
}

// TrialResult is what a command would do.
type TrialResult struct {
	Changed bool           `json:"changed"`
	Result  jsontext.Value `json:"result,omitzero"` // what it would answer; nil if it has none
}

// DryRun asks what a command would do to the present state, or several as an atomic
// batch, and does nothing. It fails with the refusal that would come. The key of a
// command is not looked up, but approvals may be for it.
func (c *Client) DryRun(ctx context.Context, commands ...Command) (Trial, error) {
	body := []byte{'['}
	for i, command := range commands {
		if len(commands) > 1 {
			command.Key = ""
		}
		if i > 0 {
			body = append(body, ',')
		}
		raw, err := command.MarshalJSON()
		if err != nil {
			return Trial{}, err
		}
		body = append(body, raw...)
	}
	body = append(body, ']')
	if len(commands) == 1 {
		body = body[1 : len(body)-1]
	}
	var answer struct {
		TrialResult
		Results []TrialResult  `json:"results"`
		Patch   jsontext.Value `json:"patch"`
	}
	err := c.again(ctx, func() error {
		r := request{method: http.MethodPost, path: "/command", query: url.Values{"dry_run": {"true"}}, body: bytes.NewReader(body), kind: "application/json", quiet: quietMost}
		return c.ask(ctx, r, &answer)
	})
	if err != nil {
		return Trial{}, err
	}
	if answer.Results == nil {
		answer.Results = []TrialResult{answer.TrialResult}
	}
	return Trial{answer.Results, answer.Patch}, nil
}
