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

// parsePointer reads a JSON Pointer (RFC 6901); the empty one is the whole
// document.
func parsePointer(p string) ([]string, error) {
	if p == "" {
		return nil, nil
	}
	if p[0] != '/' {
		return nil, Errorf(MalformedRequest, "path %q is a JSON Pointer: it begins with a slash", p)
	}
	tokens := strings.Split(p[1:], "/")
	for i, t := range tokens {
		for rest := t; ; {
			_, after, found := strings.Cut(rest, "~")
			if !found {
				break
			}
			if after == "" || after[0] != '0' && after[0] != '1' {
				return nil, Errorf(MalformedRequest, "path %q is a JSON Pointer: in it ~ is written ~0, and a slash inside a name ~1", p)
			}
			rest = after
		}
		tokens[i] = strings.NewReplacer("~1", "/", "~0", "~").Replace(t)
	}
	return tokens, nil
}

// parseRowPath reads the pointer of a table's row.
func parseRowPath(p string) (domain, table, key string, err error) {
	tokens, err := parsePointer(p)
	if err != nil {
		return "", "", "", errors.New(asError(err, MalformedRequest).Detail)
	}
	if len(tokens) != 3 || tokens[2] == "" {
		return "", "", "", fmt.Errorf("must be the path of a row, /domain/table/key, not %q", p)
	}
	return tokens[0], tokens[1], tokens[2], nil
}

// Node is what stands at a pointer into a state.
type Node struct {
	view  View
	part  *part          // a domain; nil for the document and for a value
	table table          // nil for all but a table
	field *field         // of the table
	json  jsontext.Value // a row's, or a value's inside
	isRow bool
}

// Find gives what stands at a JSON Pointer (RFC 6901): the whole document for
// the empty one, a domain, a table (which may have no rows), a plain field, a
// row, or a value inside one. Errors are MalformedRequest and NotFound; a
// field at zero is not there.
func (v View) Find(pointer string) (Node, error) {
	tokens, err := parsePointer(pointer)
	if err != nil {
		return Node{}, err
	}
	n := Node{view: v}
	for i, t := range tokens {
		next, ok := n.child(t)
		if !ok {
			there := "the document"
			if i > 0 {
				there = "/" + strings.Join(escaped(tokens[:i]), "/")
			}
			return Node{}, Errorf(NotFound, "there is nothing at %s: %s has no member %q", pointer, there, t)
		}
		n = next
	}
	return n, nil
}

func escaped(tokens []string) []string {
	all := make([]string, len(tokens))
	for i, t := range tokens {
		all[i] = escapePointer(t)
	}
	return all
}

func (n Node) child(name string) (Node, bool) {
	switch {
	case n.json != nil:
		return n.inside(name)
	case n.table != nil:
		row, ok := n.table.get(name)
		if !ok {
			return Node{}, false
		}
		return Node{view: n.view, json: n.field.codec.Append(nil, row, canon.Sparse), isRow: true}, true
	case n.part != nil:
		return n.member(name)
	case name == "meta":
		return Node{view: n.view, json: n.view.appendMeta(nil)[len(`"meta":`):]}, true
	}
	for _, p := range n.view.state.parts {
		if p.def.name == name {
			return Node{view: n.view, part: p}, true
		}
	}
	return Node{}, false
}

func (n Node) member(name string) (Node, bool) {
	for i := range n.part.def.tables {
		if f := &n.part.def.tables[i]; f.name == name {
			return Node{view: n.view, table: n.part.tables[i], field: f}, true
		}
	}
	for i := range n.part.def.fields {
		if f := &n.part.def.fields[i]; f.name == name && n.part.plain[i].json != nil {
			return Node{view: n.view, json: n.part.plain[i].json}, true
		}
	}
	return Node{}, false
}

// inside steps into a row or a value.
func (n Node) inside(name string) (Node, bool) {
	d := jsontext.NewDecoder(bytes.NewReader(n.json))
	open, err := d.ReadToken()
	if err != nil || open.Kind() != '{' && open.Kind() != '[' {
		return Node{}, false
	}
	for i := 0; d.PeekKind() != '}' && d.PeekKind() != ']'; i++ {
		at := strconv.Itoa(i)
		if open.Kind() == '{' {
			t, err := d.ReadToken()
			if err != nil {
				return Node{}, false
			}
			at = t.String()
		}
		value, err := d.ReadValue()
		if err != nil {
			return Node{}, false
		}
		if at == name {
			return Node{view: n.view, json: value.Clone()}, true
		}
	}
	return Node{}, false
}

// IsRow tells whether the node is a row of a table.
func (n Node) IsRow() bool { return n.isRow }

// IsTable tells whether the node is a table.
func (n Node) IsTable() bool { return n.table != nil }

// Hash is SHA-256 of a row's canonical JSON; of every other node it is the
// state hash.
func (n Node) Hash() Hash {
	if n.isRow {
		return sha256.Sum256(n.json)
	}
	return n.view.state.hash
}

// WriteTo writes the node's canonical JSON; what may be large is streamed.
func (n Node) WriteTo(w io.Writer) (int64, error) {
	d := &documentWriter{w: w}
	switch {
	case n.json != nil:
		d.b = n.json
	case n.table != nil:
		d.table(n.table, n.field)
	case n.part != nil:
		d.part(n.part)
	default:
		return n.view.WriteTo(w)
	}
	d.flush(0)
	return d.n, d.err
}

// Page writes up to limit rows of a table whose keys come after a key:
// {"next":"<key>","rows":{…}}; next is left out on the last page.
func (n Node) Page(w io.Writer, after string, limit int) error {
	var keys []string
	more := false
	n.table.ascend(after, func(key string, _ reflect.Value) bool {
		switch {
		case key == after:
		case len(keys) == limit:
			more = true
			return false
		default:
			keys = append(keys, key)
		}
		return true
	})
	d := &documentWriter{w: w, b: []byte{'{'}}
	if more {
		d.b = canon.AppendString(append(d.b, `"next":`...), keys[len(keys)-1])
		d.b = append(d.b, ',')
	}
	d.b = append(d.b, `"rows":{`...)
	for i, key := range keys {
		if i > 0 {
			d.b = append(d.b, ',')
		}
		row, _ := n.table.get(key)
		d.b = append(canon.AppendString(d.b, key), ':')
		d.b = n.field.codec.Append(d.b, row, canon.Sparse)
		d.flush(documentBuffer)
	}
	d.b = append(d.b, "}}"...)
	d.flush(0)
	return d.err
}

// rowHash is SHA-256 of a row's canonical JSON as hex, empty if the row is not
// there; ok is false if there is no such table.
func (v View) rowHash(domain, table, key string) (hash string, ok bool) {
	n, found := Node{view: v}.child(domain)
	if !found || n.part == nil {
		return "", false
	}
	n, found = n.member(table)
	if !found || n.table == nil {
		return "", false
	}
	if n, found = n.child(key); !found {
		return "", true
	}
	return n.Hash().String(), true
}
