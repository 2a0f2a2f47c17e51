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
	Index uint64 // of the log's last entry, which is the state's unless AtIndex or AtHLC was used
	HLC   string // of the same entry
	Chain string // of the same entry, for AfterChain; empty for a state of the past
	// ETag is the row's hash if a row of a table was read, otherwise the
	// state's. Use it in Expect.Hash or Expect.StateHash, and in IfNoneMatch.
	ETag        string
	NotModified bool // the value has the ETag given to IfNoneMatch: nothing was read
}

// ReadOption selects the state to read. The default is the newest.
type ReadOption func(*read)

type read struct {
	query  url.Values
	header map[string]string
}

func parameter(name, value string) ReadOption {
	return func(r *read) { r.query.Set(name, value) }
}

// AtIndex reads the state as it was after an entry. The read fails with
// Compacted if that state is no longer kept.
func AtIndex(index uint64) ReadOption { return parameter("at", strconv.FormatUint(index, 10)) }

// AtHLC reads the state as it was after the last entry whose hlc is at most
// hlc.
func AtHLC(hlc string) ReadOption { return parameter("at", hlc) }

// MinIndex waits until an entry is applied, within the budget of Retry. Use it
// with a Result's Index to read your own writes.
func MinIndex(index uint64) ReadOption {
	return parameter("min_index", strconv.FormatUint(index, 10))
}

// IfNoneMatch reads the value only if it no longer has an earlier Meta.ETag.
func IfNoneMatch(etag string) ReadOption {
	return func(r *read) { r.header["If-None-Match"] = `"` + etag + `"` }
}

// newRead returns the request for the value at a JSON Pointer.
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
		quiet = 0 // A past state takes as long as its replay.
	}
	return request{method: http.MethodGet, path: "/state", query: r.query, header: r.header, quiet: quiet}
}

// State returns the value at a JSON Pointer (RFC 6901) as canonical JSON (RFC
// 8785); the empty pointer means the whole state. The caller must close it.
// State retries until the answer begins; if the answer is cut off later, Read
// returns an error instead of io.EOF. With IfNoneMatch the value may be empty:
// see Meta.NotModified.
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
	m := Meta{HLC: answer.Header.Get("Swoosh-HLC"), Chain: answer.Header.Get("Swoosh-Chain"), ETag: strings.Trim(answer.Header.Get("ETag"), `"`)}
	m.Index, _ = position(answer) // send has checked it.
	m.NotModified = answer.StatusCode == http.StatusNotModified
	return m
}

// readAll is State, but reads the whole value.
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

// Get reads the value at a JSON Pointer into a T. It ignores members that T
// does not have. The server leaves out members with a zero value, so they keep
// theirs. The fields of a struct need tags, such as `json:"name"`, since names
// are case-sensitive. Get fails with NotFound if there is no value, and with
// Mistyped if it does not fit T.
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
		return failure(Mistyped, No, err, "the value at %q does not fit %T: %v", pointer, *value, err)
	}
	return nil
}
