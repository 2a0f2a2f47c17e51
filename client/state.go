package client

import (
	"context"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"github.com/go-json-experiment/json"
)

// Meta says which state was read.
type Meta struct {
	Index uint64 // of the log's last entry; the state's, unless AtIndex or AtHLC was asked for
	HLC   string // likewise
	// ETag is the row's hash if a row of a table was read, else the state's. It
	// goes into Expect.Hash or Expect.StateHash, and into IfNoneMatch.
	ETag        string
	NotModified bool // IfNoneMatch holds: nothing was read
}

// ReadOption says which state is to be read; by default the newest.
type ReadOption func(*read)

type read struct {
	query  url.Values
	header map[string]string
}

func parameter(name, value string) ReadOption {
	return func(r *read) { r.query.Set(name, value) }
}

// AtIndex reads the state as it was after that entry. The error is Compacted
// where it is no longer kept.
func AtIndex(index uint64) ReadOption { return parameter("at", strconv.FormatUint(index, 10)) }

// AtHLC reads the state as it was after the newest entry that is not after hlc.
func AtHLC(hlc string) ReadOption { return parameter("at", hlc) }

// MinIndex waits until that entry is applied, within the budget of Retry: with
// a Result's Index one reads one's own writes.
func MinIndex(index uint64) ReadOption {
	return parameter("min_index", strconv.FormatUint(index, 10))
}

// IfNoneMatch reads only what is not as an earlier Meta.ETag says.
func IfNoneMatch(etag string) ReadOption {
	return func(r *read) { r.header["If-None-Match"] = `"` + etag + `"` }
}

// newRead gives the request for what stands at a JSON Pointer.
func newRead(pointer string, options []ReadOption) request {
	r := read{url.Values{}, map[string]string{}}
	for _, o := range options {
		o(&r)
	}
	if pointer != "" {
		r.query.Set("path", pointer)
	}
	quiet := quietMost
	if r.query.Has("at") {
		quiet = 0 // A state of long ago takes as long as its replay.
	}
	return request{method: http.MethodGet, path: "/state", query: r.query, header: r.header, quiet: quiet}
}

// State gives what stands at a JSON Pointer (RFC 6901) as canonical JSON
// (RFC 8785), all of it at the empty one; the caller closes it. It is asked for
// again until the answer begins. An answer that is cut off later gives an error
// in place of io.EOF. With IfNoneMatch it may be empty: see Meta.NotModified.
func (c *Client) State(ctx context.Context, pointer string, options ...ReadOption) (io.ReadCloser, Meta, error) {
	var answer *http.Response
	err := c.again(ctx, func() (err error) {
		answer, err = c.send(ctx, newRead(pointer, options))
		return err
	})
	if err != nil {
		return nil, Meta{}, err
	}
	return answer.Body, newMeta(answer), nil
}

func newMeta(answer *http.Response) Meta {
	m := Meta{HLC: answer.Header.Get("Swoosh-HLC"), ETag: strings.Trim(answer.Header.Get("ETag"), `"`)}
	m.Index, _ = position(answer) // send has looked at it.
	m.NotModified = answer.StatusCode == http.StatusNotModified
	return m
}

// readAll is State, held whole.
func (c *Client) readAll(ctx context.Context, r request) (raw []byte, m Meta, err error) {
	err = c.again(ctx, func() error {
		answer, err := c.send(ctx, r)
		if err != nil {
			return err
		}
		defer answer.Body.Close()
		m = newMeta(answer)
		raw, err = io.ReadAll(answer.Body)
		return err
	})
	return raw, m, err
}

// Get reads what stands at a JSON Pointer into a T. Members that T does not
// have are passed over; those with a zero value are left out by the server, and
// keep their zero value. A struct needs tags, such as `json:"name"`: names are
// compared to the letter. NotFound: nothing stands there. Mistyped: it does not fit
// T.
func Get[T any](ctx context.Context, c *Client, pointer string, options ...ReadOption) (T, Meta, error) {
	var value T
	raw, m, err := c.readAll(ctx, newRead(pointer, options))
	if err == nil && !m.NotModified {
		err = decodeInto(raw, pointer, &value)
	}
	return value, m, err
}

func decodeInto[T any](raw []byte, pointer string, value *T) error {
	if err := json.Unmarshal(raw, value); err != nil {
		return failure(Mistyped, No, err, "what stands at %q does not fit %T: %v", pointer, *value, err)
	}
	return nil
}
