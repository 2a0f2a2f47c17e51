package client

import (
	"bytes"
	"context"
	"errors"
	"io"
	"iter"
	"strconv"

	"github.com/go-json-experiment/json/jsontext"
)

// Row is a row of a table.
type Row[T any] struct {
	Key   string
	Value T
}

// Rows yields the rows of a table in the order of their keys, holding one row
// at a time. All rows are from one state, however long the reading takes: if
// the connection breaks, Rows continues in that state after the last row. It
// fails with Compacted if that state is no longer kept. IfNoneMatch has no
// effect. The sequence ends with the first error.
func Rows[T any](ctx context.Context, c *Client, table string, options ...ReadOption) iter.Seq2[Row[T], error] {
	return func(yield func(Row[T], error) bool) {
		t := &tableReader{c: c, read: newRead(table, options), backoff: c.patience()}
		delete(t.read.header, "If-None-Match")
		t.give = func(key string, raw []byte) bool {
			row := Row[T]{Key: key}
			err := decodeInto(raw, table+"/"+key, &row.Value)
			return yield(row, err) && err == nil
		}
		err := t.backoff.again(ctx, func() error { return t.once(ctx) })
		if err != nil {
			yield(Row[T]{}, err)
		}
	}
}

// Page returns the rows of a table that come after a key, at most limit of them: 1 to
// 10 000. The empty key comes before all others. next is the key to go on after, and empty
// after the last page. Each page is of the state as it is then.
func Page[T any](ctx context.Context, c *Client, table, after string, limit int) (rows []Row[T], next string, err error) {
	var page struct {
		Next string         `json:"next"`
		Rows jsontext.Value `json:"rows"`
	}
	raw, _, err := c.readAll(ctx, newRead(table, []ReadOption{parameter("after", after), parameter("limit", strconv.Itoa(limit))}))
	if err == nil {
		err = decodeInto(raw, table, &page)
	}
	if err != nil {
		return nil, "", err
	}
	t := &tableReader{backoff: c.backoff()}
	t.give = func(key string, raw []byte) bool {
		row := Row[T]{Key: key}
		err = decodeInto(raw, table+"/"+key, &row.Value)
		rows = append(rows, row)
		return err == nil
	}
	if broken := t.rows(bytes.NewReader(page.Rows)); err == nil && broken != nil {
		err = failure(NotSwoosh, No, broken, "%s answered with something that is not a page: %v", c.address, broken)
	}
	return rows, page.Next, err
}

// tableReader passes on the rows of a table and knows which was last.
type tableReader struct {
	c       *Client
	read    request
	backoff *backoff
	give    func(key string, raw []byte) bool
	had     bool // a row has been received
	last    string
}

// once reads from one connection.
func (t *tableReader) once(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel() // The caller may stop early.
	answer, err := t.c.send(ctx, t.read)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	if !t.read.query.Has("at") {
		t.read.query.Set("at", strconv.FormatUint(newMeta(answer).Index, 10))
		t.read.query.Del("min_index")
	}
	err = t.rows(answer.Body)
	var bad *jsontext.SyntacticError
	switch {
	case errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, io.EOF):
		return t.read.cut(t.c.address, io.ErrUnexpectedEOF)
	case errors.As(err, &bad):
		return failure(NotSwoosh, No, err, "%s answered with something that is not a table: %v", t.c.address, err)
	}
	return err
}

// rows passes on the rows that have not been received before.
func (t *tableReader) rows(from io.Reader) error {
	d := jsontext.NewDecoder(from, jsontext.AllowDuplicateNames(true)) // Otherwise the decoder would remember every key.
	switch begin, err := d.ReadToken(); {
	case err != nil:
		return err
	case begin.Kind() != '{':
		return &jsontext.SyntacticError{Err: errors.New("it is not an object")}
	}
	for isNew := !t.had; d.PeekKind() == '"'; {
		name, err := d.ReadToken()
		if err != nil {
			return err
		}
		key := name.String()
		raw, err := d.ReadValue()
		switch {
		case err != nil:
			return err
		case !isNew:
			isNew = key == t.last
			continue
		}
		t.had, t.last = true, key
		t.backoff.reset()
		if !t.give(key, raw) {
			return errEnough
		}
	}
	_, err := d.ReadToken()
	return err
}
