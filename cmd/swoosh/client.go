package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"

	"github.com/spf13/cobra"
)

// client is a thin HTTP client: one request, no second attempt.
type client struct{ connection }

// newClient gives a client, and cmd the flags that tell it where the server is.
func newClient(cmd *cobra.Command) *client {
	c := new(client)
	c.register(cmd.Flags())
	return c
}

// request is one question to the server.
type request struct {
	method, path string
	query        url.Values
	header       map[string]string
	body         io.Reader
	bytes        int64 // of the body; 0: not known

	// lost is the exit code where the question was sent and no answer came,
	// and hint the next step then.
	lost int
	hint string
}

// send gives the server's answer if it is a good one; the caller closes it.
func (c *client) send(ctx context.Context, r request) (*http.Response, error) {
	if err := c.open(); err != nil {
		return nil, err
	}
	q, err := http.NewRequestWithContext(ctx, r.method, c.base+r.path, r.body)
	if err != nil {
		return nil, exitf(codeUsage, "--addr %q: %w", c.name(), err)
	}
	if c.bearing != "" {
		q.Header.Set("Authorization", "Bearer "+c.bearing)
	}
	q.URL.RawQuery = r.query.Encode()
	for name, value := range r.header {
		q.Header.Set(name, value)
	}
	if r.bytes > 0 {
		q.ContentLength = r.bytes
	}
	answer, err := c.http.Do(q)
	if err != nil {
		return nil, r.noAnswer(c.name(), err)
	}
	if answer.StatusCode == http.StatusOK && answer.Header.Get("Swoosh-Index") != "" {
		return answer, nil
	}
	defer answer.Body.Close()
	return nil, r.refusal(c.name(), answer)
}

// noAnswer tells a server that is not there from one that went away.
func (r request) noAnswer(base string, err error) error {
	var dial *net.OpError
	if errors.As(err, &dial) && dial.Op == "dial" {
		return exitf(codeUnreachable, "%s cannot be reached: %w: start it with swoosh serve, or name another in --addr or SWOOSH_ADDR", base, dial.Err)
	}
	var asked *url.Error
	if errors.As(err, &asked) {
		err = asked.Err
	}
	if r.lost == codeUnknown {
		return exitf(codeUnknown, "outcome_unknown: no answer came from %s: %w%s", base, err, r.hint)
	}
	return exitf(r.lost, "no answer came from %s: %w", base, err)
}

// problem is a refusal as the server words it (RFC 9457).
type problem struct {
	Code     string `json:"code"`
	Detail   string `json:"detail"`
	Happened string `json:"happened"`
	Errors   []struct {
		Pointer string `json:"pointer"`
		Detail  string `json:"detail"`
	} `json:"errors"`
}

const problemMaxBytes = 1 << 20

// refusal makes an error of an answer that is not good.
func (r request) refusal(base string, answer *http.Response) error {
	var p problem
	err := json.NewDecoder(io.LimitReader(answer.Body, problemMaxBytes)).Decode(&p)
	if err != nil || p.Code == "" {
		return exitf(codeFailed, "%s answered %s, which is no answer of a swoosh server: does --addr or SWOOSH_ADDR name another program?", base, answer.Status)
	}
	if p.Happened == "unknown" {
		return exitf(codeUnknown, "%s: %s%s", p.Code, p.Detail, r.hint)
	}
	if p.Code == "unauthorized" {
		return exitf(codeFailed, "%s: %s: give your token in SWOOSH_TOKEN or --token-file", p.Code, p.Detail)
	}
	return exitf(codeFailed, "%s: %s%s", p.Code, p.Detail, fieldsOf(p))
}

// fieldsOf names what is wrong member by member, where the detail has room for
// one only.
func fieldsOf(p problem) string {
	if len(p.Errors) < 2 {
		return ""
	}
	var all []string
	for _, f := range p.Errors {
		all = append(all, f.Pointer+" "+f.Detail)
	}
	return " (" + strings.Join(all, "; ") + ")"
}

// cut is the error of an answer that ended too early.
func (r request) cut(err error) error {
	if r.lost == codeUnknown {
		return exitf(codeUnknown, "outcome_unknown: the answer was cut off: %w%s", err, r.hint)
	}
	return exitf(codeFailed, "the answer was cut off: %w", err)
}

// copyTo sends a request and writes the answer as it comes.
func (c *client) copyTo(ctx context.Context, w io.Writer, r request) error {
	answer, err := c.send(ctx, r)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	if _, err := io.Copy(w, answer.Body); err != nil {
		return r.cut(err)
	}
	return nil
}

// printJSON sends a request and prints the answer, a line, once it is whole.
func (c *client) printJSON(ctx context.Context, w io.Writer, r request) error {
	var answer strings.Builder
	if err := c.copyTo(ctx, &answer, r); err != nil {
		return err
	}
	_, err := fmt.Fprintln(w, strings.TrimSpace(answer.String()))
	return err
}
