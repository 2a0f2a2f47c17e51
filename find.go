package swoosh

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"io"
	"strconv"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/chorus-services/swoosh/internal/canon"
)

// Value is the target of a JSON Pointer in a View: the document, a domain, a
// table, a row, or a value inside one of them. It is encoded only when written.
type Value struct {
	view View
	kind valueKind

	state *domainState // of a domain
	table table        // of a table
	json  string       // of a row, or of a value inside one or inside a plain field: canonical
}

type valueKind uint8

const (
	documentValue valueKind = iota
	domainValue
	tableValue
	rowValue
	innerValue
)

// Find returns the value at a JSON Pointer (RFC 6901); "" is the whole
// document. An empty table is found, as {}. A zero field is not, like
// everything else that the document leaves out. Array elements are found by
// index.
//
// Find fails with MalformedRequest if the pointer is malformed, and with
// NotFound if it leads to nothing. The error then names the longest part that
// leads to something.
func (v View) Find(pointer string) (Value, error) {
	tokens, err := parsePointer(pointer)
	if err != nil {
		return Value{}, err
	}
	found, n := v.find(tokens)
	if n < len(tokens) {
		return Value{}, nothingAt(pointer, tokens, n)
	}
	return found, nil
}

// parsePointer is canon.ParsePointer, failing with MalformedRequest.
func parsePointer(p string) ([]string, error) {
	tokens, err := canon.ParsePointer(p)
	if err != nil {
		return nil, Errorf(MalformedRequest, "path %s %w", canon.Quote(p), err)
	}
	return tokens, nil
}

// find follows tokens as far as they lead, and returns how many it followed.
func (v View) find(tokens []string) (found Value, n int) {
	found = Value{view: v}
	for i, token := range tokens {
		next, ok := found.child(token)
		if !ok {
			return found, i
		}
		found = next
	}
	return found, len(tokens)
}

func nothingAt(pointer string, tokens []string, found int) *Error {
	there, what := "", "the document"
	for _, token := range tokens[:found] {
		there = canon.AppendPointer(there, token)
	}
	if there != "" {
		what = canon.Quote(there)
	}
	return Errorf(NotFound, "there is nothing at path %s: %s exists, but has no %s; zero members are left out", canon.Quote(pointer), what, canon.Quote(tokens[found]))
}

// child returns the member or element of v that a token names.
func (v Value) child(token string) (Value, bool) {
	switch v.kind {
	case documentValue:
		return v.domain(token)
	case domainValue:
		return v.member(token)
	case tableValue:
		json, ok := v.table.get(token)
		return Value{view: v.view, kind: rowValue, json: json}, ok
	}
	json, ok := descend(v.json, token)
	return Value{view: v.view, kind: innerValue, json: json}, ok
}

func (v Value) domain(name string) (Value, bool) {
	if name == "meta" {
		// appendMeta appends name and value: inside braces, an object to descend into.
		json, ok := descend(string(append(v.view.appendMeta([]byte{'{'}), '}')), name)
		return Value{view: v.view, kind: innerValue, json: json}, ok
	}
	for _, p := range v.view.state.domains {
		if p.def.name == name {
			return Value{view: v.view, kind: domainValue, state: p}, true
		}
	}
	return Value{}, false
}

// member returns a table or a plain field of a domain.
func (v Value) member(name string) (Value, bool) {
	p := v.state
	for i := range p.def.tables {
		if p.def.tables[i].name == name {
			return Value{view: v.view, kind: tableValue, table: p.tables[i]}, true
		}
	}
	for i := range p.def.fields {
		if p.def.fields[i].name == name && p.plain[i] != "" {
			return Value{view: v.view, kind: innerValue, json: p.plain[i]}, true
		}
	}
	return Value{}, false
}

// descend returns a member or an element of a value in canonical JSON.
func descend(json, token string) (string, bool) {
	d := jsontext.NewDecoder(bytes.NewBufferString(json))
	open, err := d.ReadToken()
	switch {
	case err != nil:
		return "", false
	case open.Kind() == jsontext.KindBeginObject:
		return memberOf(d, token)
	case open.Kind() == jsontext.KindBeginArray:
		return elementOf(d, token)
	}
	return "", false
}

func memberOf(d *jsontext.Decoder, name string) (string, bool) {
	for d.PeekKind() == jsontext.KindString {
		token, err := d.ReadToken()
		if err != nil {
			return "", false
		}
		if token.String() == name {
			value, err := d.ReadValue()
			return string(value), err == nil
		}
		if err := d.SkipValue(); err != nil {
			return "", false
		}
	}
	return "", false
}

// elementOf returns the element at an index in the form of RFC 6901: no sign
// and no leading zeros. "-", the element after the last, is never found.
func elementOf(d *jsontext.Decoder, index string) (string, bool) {
	i, err := strconv.ParseUint(index, 10, 31)
	if err != nil || len(index) > 1 && index[0] == '0' {
		return "", false
	}
	for ; d.PeekKind() != jsontext.KindEndArray; i-- {
		value, err := d.ReadValue()
		if err != nil || i == 0 {
			return string(value), err == nil
		}
	}
	return "", false
}

// WriteTo writes the value as canonical JSON, without a trailing newline. It
// streams documents, domains and tables row by row.
func (v Value) WriteTo(w io.Writer) (int64, error) {
	d := &documentWriter{w: w}
	switch v.kind {
	case documentValue:
		return v.view.WriteTo(w)
	case domainValue:
		d.domain(v.state)
	case tableValue:
		d.table(v.table)
	default:
		d.b = append(d.b, v.json...)
	}
	d.flush(0)
	return d.n, d.err
}

// IsRow reports whether v is a row of a table.
func (v Value) IsRow() bool { return v.kind == rowValue }

// IsTable reports whether v is a table. Only tables have pages.
func (v Value) IsTable() bool { return v.kind == tableValue }

// Hash returns the value's ETag: for a row the SHA-256 of its canonical JSON,
// otherwise the state hash.
func (v Value) Hash() Hash {
	if v.kind == rowValue {
		return sha256.Sum256([]byte(v.json))
	}
	return v.view.StateHash()
}

// pageMax limits a page, in rows.
const pageMax = 10_000

// Page writes up to limit rows of a table, 1 to 10 000, starting after the key
// after, as the canonical JSON {"next":…,"rows":{…}}. next is the last key
// written; pass it as after to continue. The last page has no next. Page fails
// with MalformedRequest, before it writes anything, if v is not a table or
// limit is out of range.
func (v Value) Page(w io.Writer, after string, limit int) error {
	if !v.IsTable() {
		return Errorf(MalformedRequest, "only a table has pages: leave out after and limit, or name a table by path")
	}
	if limit < 1 || limit > pageMax {
		return Errorf(MalformedRequest, "limit must be from 1 to %d, not %d", pageMax, limit)
	}
	d := &documentWriter{w: w}
	d.b = append(d.b, '{')
	if next := v.pageEnd(after, limit); next != "" {
		d.b = append(canon.AppendString(append(d.b, `"next":`...), next), ',')
	}
	d.b = append(d.b, `"rows":`...)
	d.rows(v.table, after, limit)
	d.b = append(d.b, '}')
	d.flush(0)
	return d.err
}

// pageEnd returns the last key of a page, or "" if no row follows the page.
func (v Value) pageEnd(after string, limit int) (end string) {
	more := false
	v.table.ascend(after, func(key, _ string) bool {
		switch {
		case key == after:
		case limit == 0:
			more = true
		default:
			end = key
			limit--
		}
		return !more
	})
	if !more {
		return ""
	}
	return end
}

// parseRowPath parses the JSON Pointer of a table's row. The error's text
// follows a name for p.
func parseRowPath(p string) (domain, table, key string, err error) {
	tokens, err := canon.ParsePointer(p)
	if err != nil {
		return "", "", "", err
	}
	if len(tokens) != 3 {
		return "", "", "", fmt.Errorf("must be the JSON Pointer of a table's row, such as /domain/table/key, not %s", canon.Quote(p))
	}
	if err := checkTableKey(tokens[2]); err != nil {
		return "", "", "", fmt.Errorf("must be the JSON Pointer of a table's row, but %s %w", canon.Quote(tokens[2]), err)
	}
	return tokens[0], tokens[1], tokens[2], nil
}

// rowHash returns the hash of a row as text, or "" if there is no such row. ok
// is false if there is no such table.
func (v View) rowHash(domain, table, key string) (hash string, ok bool) {
	found, n := v.find([]string{domain, table})
	if n < 2 || !found.IsTable() {
		return "", false
	}
	row, there := found.child(key)
	if !there {
		return "", true
	}
	return row.Hash().String(), true
}
