package swoosh

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"reflect"
	"strconv"
	"strings"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/chorus-services/swoosh/internal/canon"
)

// parsePointer reads a JSON Pointer (RFC 6901) as reference tokens; "" has
// none, it is the whole document.
func parsePointer(p string) ([]string, error) {
	tokens, err := cutPointer(p)
	if err != nil {
		return nil, Errorf(MalformedRequest, "path %s %w", quoted(p), err)
	}
	return tokens, nil
}

// unescape reads left to right, so that ~01 is ~1 and no slash.
var unescape = strings.NewReplacer("~1", "/", "~0", "~")

// cutPointer is parsePointer with the rest of a sentence for an error.
func cutPointer(p string) ([]string, error) {
	if p == "" {
		return nil, nil
	}
	if p[0] != '/' {
		return nil, errors.New("must begin with a slash, as /project/projects does")
	}
	for rest := p; ; {
		at := strings.IndexByte(rest, '~')
		if at < 0 {
			break
		}
		if rest = rest[at+1:]; rest == "" || rest[0] != '0' && rest[0] != '1' {
			return nil, errors.New("has a ~ before neither 0 nor 1: write ~0 for ~, and ~1 for a slash inside a name (RFC 6901)")
		}
	}
	tokens := strings.Split(p[1:], "/")
	for i, t := range tokens {
		tokens[i] = unescape.Replace(t)
	}
	return tokens, nil
}

// parseRowPath reads the JSON Pointer of a table's row. The error is the rest
// of a sentence about it.
func parseRowPath(p string) (domain, table, key string, err error) {
	tokens, err := cutPointer(p)
	if err != nil {
		return "", "", "", err
	}
	if len(tokens) != 3 {
		return "", "", "", fmt.Errorf("must be the JSON Pointer of a table's row, as /project/projects/alpha is, not %s", quoted(p))
	}
	if err := checkTableKey(tokens[2]); err != nil {
		return "", "", "", fmt.Errorf("must be the JSON Pointer of a table's row, but %s %w", quoted(tokens[2]), err)
	}
	return tokens[0], tokens[1], tokens[2], nil
}

// quotedMax bounds what an error repeats of its cause, in bytes.
const quotedMax = 256

func quoted(s string) string {
	if len(s) > quotedMax {
		return strconv.Quote(s[:quotedMax]) + "…"
	}
	return strconv.Quote(s)
}

// Node is what stands at a JSON Pointer in a View: the document, a domain, a
// table, a row, or a value in one of them. It is rendered when it is written.
type Node struct {
	view View
	kind nodeKind

	part  *part         // of a domain
	table table         // of a table
	field *field        // of a table and of a row: the table's
	row   reflect.Value // of a row
	json  []byte        // of a value: canonical
}

type nodeKind uint8

const (
	documentNode nodeKind = iota
	domainNode
	tableNode
	rowNode
	valueNode
)

// Find gives what stands at a JSON Pointer (RFC 6901); "" is the whole
// document. A table without rows is there, and {}; a plain field at zero is
// not, nor is anything else that the document leaves out. Elements of arrays
// are named by index.
//
// It refuses with MalformedRequest what is no JSON Pointer, and with NotFound,
// naming the longest part of the pointer that is there, where nothing is.
func (v View) Find(pointer string) (Node, error) {
	tokens, err := parsePointer(pointer)
	if err != nil {
		return Node{}, err
	}
	n, found := v.find(tokens)
	if found < len(tokens) {
		return Node{}, nothingAt(pointer, tokens, found)
	}
	return n, nil
}

// find goes down as far as there is something, and says how many tokens that
// were.
func (v View) find(tokens []string) (n Node, found int) {
	n = Node{view: v}
	for i, token := range tokens {
		next, ok := n.child(token)
		if !ok {
			return n, i
		}
		n = next
	}
	return n, len(tokens)
}

func nothingAt(pointer string, tokens []string, found int) *Error {
	there, what := "", "the document"
	for _, token := range tokens[:found] {
		there = pointerTo(there, token)
	}
	if there != "" {
		what = quoted(there)
	}
	return Errorf(NotFound, "there is nothing at path %s: %s is there, but has no %s; members that are zero are left out", quoted(pointer), what, quoted(tokens[found]))
}

// child gives what has this name, or this index, in n.
func (n Node) child(token string) (Node, bool) {
	switch n.kind {
	case documentNode:
		return n.domain(token)
	case domainNode:
		return n.member(token)
	case tableNode:
		row, ok := n.table.get(token)
		return Node{view: n.view, kind: rowNode, field: n.field, row: row}, ok
	}
	json, ok := descend(n.render(), token)
	return Node{view: n.view, kind: valueNode, json: json}, ok
}

func (n Node) domain(name string) (Node, bool) {
	if name == "meta" {
		// The member and its name: as an object it has meta for a child.
		json, ok := descend(append(n.view.appendMeta([]byte{'{'}), '}'), name)
		return Node{view: n.view, kind: valueNode, json: json}, ok
	}
	for _, p := range n.view.state.parts {
		if p.def.name == name {
			return Node{view: n.view, kind: domainNode, part: p}, true
		}
	}
	return Node{}, false
}

// member gives a table or a plain field of a domain.
func (n Node) member(name string) (Node, bool) {
	p := n.part
	for i := range p.def.tables {
		if f := &p.def.tables[i]; f.name == name {
			return Node{view: n.view, kind: tableNode, table: p.tables[i], field: f}, true
		}
	}
	for i := range p.def.fields {
		if p.def.fields[i].name == name && p.plain[i].json != nil {
			return Node{view: n.view, kind: valueNode, json: p.plain[i].json}, true
		}
	}
	return Node{}, false
}

// descend gives a member or an element of a value in canonical JSON.
func descend(json []byte, token string) ([]byte, bool) {
	d := jsontext.NewDecoder(bytes.NewBuffer(json))
	open, err := d.ReadToken()
	switch {
	case err != nil:
		return nil, false
	case open.Kind() == jsontext.KindBeginObject:
		return memberOf(d, token)
	case open.Kind() == jsontext.KindBeginArray:
		return elementOf(d, token)
	}
	return nil, false
}

func memberOf(d *jsontext.Decoder, name string) ([]byte, bool) {
	for d.PeekKind() == jsontext.KindString {
		token, err := d.ReadToken()
		if err != nil {
			return nil, false
		}
		if token.String() == name {
			value, err := d.ReadValue()
			return bytes.Clone(value), err == nil
		}
		if err := d.SkipValue(); err != nil {
			return nil, false
		}
	}
	return nil, false
}

// elementOf knows an index by RFC 6901: no sign, no leading zeros, and "-", the
// element after the last, is never there.
func elementOf(d *jsontext.Decoder, index string) ([]byte, bool) {
	i, err := strconv.ParseUint(index, 10, 31)
	if err != nil || len(index) > 1 && index[0] == '0' {
		return nil, false
	}
	for ; d.PeekKind() != jsontext.KindEndArray; i-- {
		value, err := d.ReadValue()
		if err != nil || i == 0 {
			return bytes.Clone(value), err == nil
		}
	}
	return nil, false
}

// render gives the canonical JSON of a row or a value.
func (n Node) render() []byte {
	if n.kind == rowNode {
		return n.field.codec.Append(nil, n.row, canon.Sparse)
	}
	return n.json
}

// WriteTo writes the node as canonical JSON, without a newline at its end.
// What may be large is streamed, row by row.
func (n Node) WriteTo(w io.Writer) (int64, error) {
	d := &documentWriter{w: w}
	switch n.kind {
	case documentNode:
		return n.view.WriteTo(w)
	case domainNode:
		d.part(n.part)
	case tableNode:
		d.table(n.table, n.field)
	default:
		d.b = append(d.b, n.render()...)
	}
	d.flush(0)
	return d.n, d.err
}

// IsRow tells whether n is a row of a table.
func (n Node) IsRow() bool { return n.kind == rowNode }

// IsTable tells whether n is a table, which has pages.
func (n Node) IsTable() bool { return n.kind == tableNode }

// Hash is the node's ETag: for a row SHA-256 of its canonical JSON, for every
// other node the state hash.
func (n Node) Hash() Hash {
	if n.kind == rowNode {
		return sha256.Sum256(n.render())
	}
	return n.view.StateHash()
}

// pageMax bounds a page, in rows.
const pageMax = 10_000

// Page writes the first rows of a table whose keys are after a key, at most
// limit (1 to 10 000), as {"next":…,"rows":{…}}, canonical: next is the last
// key, from which the next page goes on, and left out where there is none. It
// refuses with MalformedRequest, before it writes, what is no table and a limit
// out of range.
func (n Node) Page(w io.Writer, after string, limit int) error {
	if !n.IsTable() {
		return Errorf(MalformedRequest, "only a table has pages: leave after and limit out, or name a table by path")
	}
	if limit < 1 || limit > pageMax {
		return Errorf(MalformedRequest, "limit must be from 1 to %d, not %d", pageMax, limit)
	}
	d := &documentWriter{w: w}
	d.b = append(d.b, '{')
	if next := n.pageEnd(after, limit); next != "" {
		d.b = append(canon.AppendString(append(d.b, `"next":`...), next), ',')
	}
	d.b = append(d.b, `"rows":`...)
	d.rows(n.table, n.field, after, limit)
	d.b = append(d.b, '}')
	d.flush(0)
	return d.err
}

// pageEnd gives the last key of a page; "" if no row follows it.
func (n Node) pageEnd(after string, limit int) (end string) {
	more := false
	n.table.ascend(after, func(key string, _ reflect.Value) bool {
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

// rowHash gives the hash of a row as text, "" if it is not there; ok is false
// if there is no such table.
func (v View) rowHash(domain, table, key string) (hash string, ok bool) {
	n, found := v.find([]string{domain, table})
	if found < 2 || !n.IsTable() {
		return "", false
	}
	row, there := n.child(key)
	if !there {
		return "", true
	}
	return row.Hash().String(), true
}
