package swoosh

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/chorus-services/swoosh/internal/canon"
)

// documentFormat is meta.version of a state's document.
const documentFormat = 1

// WriteTo writes the document: the state as canonical JSON, without a newline
// at its end. Equal content gives equal bytes.
func (v View) WriteTo(w io.Writer) (int64, error) {
	d := &documentWriter{w: w}
	members := slices.Clone(v.state.parts)
	slices.SortFunc(members, func(a, b *part) int { return strings.Compare(a.def.name, b.def.name) })
	d.b = append(d.b, '{')
	comma, metaDone := "", false
	for _, p := range members {
		if !metaDone && p.def.name > "meta" {
			d.b = v.appendMeta(append(d.b, comma...))
			comma, metaDone = ",", true
		}
		d.b = append(append(d.b, comma...), '"')
		d.b = append(append(d.b, p.def.name...), `":`...)
		d.part(p)
		comma = ","
	}
	if !metaDone {
		d.b = v.appendMeta(append(d.b, comma...))
	}
	d.b = append(d.b, '}')
	d.flush(0)
	return d.n, d.err
}

func (v View) appendMeta(b []byte) []byte {
	b = append(b, `"meta":{"schema_hash":"`...)
	b = append(b, schemaHash(v.state.defs()).String()...)
	b = append(b, `","state_hash":"`...)
	b = append(b, v.state.hash.String()...)
	b = append(b, `","tables":[`...)
	for i, t := range tablePointers(v.state.defs()) {
		if i > 0 {
			b = append(b, ',')
		}
		b = canon.AppendString(b, t)
	}
	b = append(b, `],"version":`...)
	b = strconv.AppendInt(b, documentFormat, 10)
	return append(b, '}')
}

// tablePointers are the JSON Pointers of all tables, sorted.
func tablePointers(defs []*definition) []string {
	var all []string
	for _, d := range defs {
		for _, t := range d.tables {
			all = append(all, "/"+d.name+"/"+t.name)
		}
	}
	slices.Sort(all)
	return all
}

// documentWriter streams a document through a small buffer.
type documentWriter struct {
	w   io.Writer
	b   []byte
	n   int64
	err error
}

func (d *documentWriter) flush(keep int) {
	if d.err == nil && len(d.b) > keep {
		n, err := d.w.Write(d.b)
		d.n, d.err, d.b = d.n+int64(n), err, d.b[:0]
	}
}

const documentBuffer = 32 << 10

// part writes the JSON of a part: its fields and tables in the order of their
// names; zero fields and empty tables are left out.
func (d *documentWriter) part(p *part) {
	d.b = append(d.b, '{')
	comma := false
	member := func(name string) {
		if comma {
			d.b = append(d.b, ',')
		}
		comma = true
		d.b = append(append(append(d.b, '"'), name...), `":`...)
	}
	fields, tables := p.plain, p.tables
	for len(fields)+len(tables) > 0 {
		i, k := len(p.plain)-len(fields), len(p.tables)-len(tables)
		if len(tables) == 0 || len(fields) > 0 && p.def.fields[i].name < p.def.tables[k].name {
			if fields[0].json != nil {
				member(p.def.fields[i].name)
				d.b = append(d.b, fields[0].json...)
			}
			fields = fields[1:]
			continue
		}
		if tables[0].length() > 0 {
			member(p.def.tables[k].name)
			d.table(tables[0], &p.def.tables[k])
		}
		tables = tables[1:]
	}
	d.b = append(d.b, '}')
}

func (d *documentWriter) table(t table, f *field) { d.rows(t, f, "", t.length()) }

// rows writes an object of the first rows after a key, at most so many.
func (d *documentWriter) rows(t table, f *field, after string, most int) {
	d.b = append(d.b, '{')
	written := 0
	t.ascend(after, func(key string, value reflect.Value) bool {
		if written == most || d.err != nil {
			return false
		}
		if key == after {
			return true
		}
		if written > 0 {
			d.b = append(d.b, ',')
		}
		written++
		d.b = append(canon.AppendString(d.b, key), ':')
		d.b = f.codec.Append(d.b, value, canon.Sparse)
		d.flush(documentBuffer)
		return true
	})
	d.b = append(d.b, '}')
}

// maxFaults is how many faults of a document are named.
const maxFaults = 32

// decodeDocument reads a document, the next value of d, into s: a fresh state
// that may change and that the caller settles. Rows are read one by one, so a
// document of any size takes no memory beside its state. What does not fit the
// domains is named by pointers from the document's root, up to 32 faults;
// whether the rows fit each other is asked only where nothing else is wrong.
// meta is given as it stands there, nil where it does not. err is bad syntax,
// or an error of d's reader.
func decodeDocument(d *jsontext.Decoder, s *State) (meta jsontext.Value, errs []FieldError, err error) {
	r := &documentReader{in: d, state: s}
	if err := r.document(); err != nil {
		return nil, nil, err
	}
	if r.faults == nil {
		r.validate()
	}
	return r.meta, r.faults, nil
}

// documentReader is the state of one decodeDocument. Its methods return an
// error for bad syntax alone.
type documentReader struct {
	in     *jsontext.Decoder
	state  *State
	meta   jsontext.Value
	faults []FieldError
}

// fail notes what is wrong with the value at a pointer, as long as there is
// room.
func (r *documentReader) fail(at string, faults ...FieldError) {
	room := maxFaults - len(r.faults)
	r.faults = append(r.faults, prefixed(faults[:min(room, len(faults))], at)...)
}

// object reads the members of the next value, which stands at a pointer.
func (r *documentReader) object(at string, member func(name string) error) error {
	found, err := readMembers(r.in, member)
	if err == nil && !found {
		r.fail(at, FieldError{Detail: "must be an object"})
	}
	return err
}

// unknown skips a member that nothing is known of.
func (r *documentReader) unknown(at, name, what string, known []string) error {
	if near := canon.Nearest(name, known); near != "" {
		what += fmt.Sprintf(" (did you mean %q?)", near)
	}
	r.fail(pointerTo(at, name), FieldError{Detail: "is not " + what})
	return r.in.SkipValue()
}

func (r *documentReader) document() error {
	return r.object("", func(name string) error {
		if name == "meta" {
			meta, err := r.in.ReadValue()
			r.meta = meta.Clone()
			return err
		}
		known := []string{"meta"}
		for _, p := range r.state.parts {
			if p.def.name == name {
				return r.part(p)
			}
			known = append(known, p.def.name)
		}
		return r.unknown("", name, "a domain of this server", known)
	})
}

func (r *documentReader) part(p *part) (err error) {
	p.write(func() {
		err = r.object("/"+p.def.name, func(name string) error { return r.member(p, name) })
	})
	return err
}

// member reads a table or a plain field of a part.
func (r *documentReader) member(p *part, name string) error {
	var known []string
	at := pointerTo("/"+p.def.name, name)
	for i := range p.def.tables {
		f := &p.def.tables[i]
		if f.name == name {
			return r.object(at, func(key string) error { return r.row(p.tables[i], f, at, key) })
		}
		known = append(known, f.name)
	}
	for i := range p.def.fields {
		f := &p.def.fields[i]
		if f.name == name {
			value := p.value.Field(f.at)
			if faults := r.value(f.codec, value); faults != nil {
				value.SetZero()
				r.fail(at, faults...)
			}
			return nil
		}
		known = append(known, f.name)
	}
	return r.unknown("/"+p.def.name, name, "a member of this domain", known)
}

// errFaults keeps a row with faults out of its table.
var errFaults = errors.New("the row has faults")

func (r *documentReader) row(t table, f *field, table, key string) error {
	at := pointerTo(table, key)
	if err := t.(keyed).checkKey(key); err != nil {
		r.fail(at, FieldError{Detail: err.Error()})
		return r.in.SkipValue()
	}
	_ = t.load(key, func(v reflect.Value) error {
		faults := r.value(f.codec, v)
		if faults == nil {
			return nil
		}
		r.fail(at, faults...)
		return errFaults
	})
	return nil
}

// value decodes the next value of the stream and has it validated, as the
// codec does with all that is inside it. What is bad syntax the next read
// finds again.
func (r *documentReader) value(c *canon.Codec, v reflect.Value) []FieldError {
	if faults := c.DecodeFrom(r.in, v, canon.Sparse); faults != nil {
		return faults
	}
	noun, ok := v.Addr().Interface().(Validator)
	if !ok || c.IsZero(v) {
		return nil
	}
	return faultsOf(noun.Validate())
}

// validate asks every domain whether its rows fit each other.
func (r *documentReader) validate() {
	for _, p := range r.state.parts {
		r.fail("/"+p.def.name, faultsOf(p.def.validate(p))...)
	}
}

// keyed is a table that says which keys it takes.
type keyed interface{ checkKey(key string) error }

// checkKey says why no row can have this key, or nil.
func (t *Table[K, V]) checkKey(key string) error {
	if err := checkTableKey(key); err != nil {
		return err
	}
	if noun, ok := any(K(key)).(Validator); ok {
		if err := noun.Validate(); err != nil {
			return fmt.Errorf("is a table's key: it %w", err)
		}
	}
	return nil
}

// pointerTo is the JSON Pointer of a member.
func pointerTo(at, name string) string { return string(jsontext.Pointer(at).AppendToken(name)) }

// readMembers reads the next value of d, and has each of its members read; if
// it is not an object it is skipped.
func readMembers(d *jsontext.Decoder, member func(name string) error) (object bool, err error) {
	if d.PeekKind() != jsontext.KindBeginObject {
		return false, d.SkipValue()
	}
	if _, err := d.ReadToken(); err != nil {
		return true, err
	}
	for d.PeekKind() == jsontext.KindString {
		name, err := d.ReadToken()
		if err != nil {
			return true, err
		}
		if err := member(name.String()); err != nil {
			return true, err
		}
	}
	_, err = d.ReadToken()
	return true, err
}

// ComputeStateHash computes the state hash of a document as View.WriteTo gives
// it, from nothing but the document: its meta.tables says which members are
// tables, whatever domains there are. The hash is
//
//	hex SHA-256("swoosh state 1\n" ‖ the 32 bytes of sum, big-endian)
//
// where sum adds up, as big-endian integers mod 2^256, SHA-256 of the canonical
// JSON (RFC 8785) of [domain, table, key, row] for every row and of [domain,
// "", field, value] for every plain field. Members that are zero are left out
// first, but no row is. The error names what is not as in a document.
func ComputeStateHash(document []byte) (Hash, error) {
	hash, err := hashDocument(document)
	if err != nil {
		return Hash{}, fmt.Errorf("swoosh: %w", err)
	}
	return hash, nil
}

// hashDocument is ComputeStateHash; an error about a member is a FieldError.
func hashDocument(document []byte) (Hash, error) {
	tables, err := documentTables(document)
	if err != nil {
		return Hash{}, err
	}
	h := documentHasher{in: jsontext.NewDecoder(bytes.NewBuffer(document)), tables: tables}
	if err := h.document(); err != nil {
		return Hash{}, err
	}
	return h.sum.hash(), nil
}

var tablesCodec = canon.For(reflect.TypeFor[[]string]())

// documentTables gives what meta.tables lists.
func documentTables(document []byte) (tables map[string]bool, err error) {
	d := jsontext.NewDecoder(bytes.NewBuffer(document))
	_, err = readMembers(d, func(name string) error {
		if name != "meta" {
			return d.SkipValue()
		}
		_, err := readMembers(d, func(name string) error {
			if name != "tables" {
				return d.SkipValue()
			}
			raw, err := d.ReadValue()
			if err == nil {
				tables, err = readTables(raw)
			}
			return err
		})
		return err
	})
	if err == nil && tables == nil {
		err = FieldError{Pointer: "/meta/tables", Detail: "is missing: it lists the JSON Pointers of the tables"}
	}
	return tables, err
}

func readTables(raw []byte) (map[string]bool, error) {
	var list []string
	if faults := tablesCodec.Decode(raw, reflect.ValueOf(&list).Elem(), canon.Full); faults != nil {
		return nil, prefixed(faults, "/meta/tables")[0]
	}
	tables := make(map[string]bool, len(list))
	for i, t := range list {
		if tokens, err := cutPointer(t); err != nil || len(tokens) != 2 {
			return nil, FieldError{
				Pointer: fmt.Sprintf("/meta/tables/%d", i),
				Detail:  fmt.Sprintf("must be the JSON Pointer of a table, as /project/projects is, not %s", quoted(t)),
			}
		}
		tables[t] = true
	}
	return tables, nil
}

// documentHasher is the state of one ComputeStateHash.
type documentHasher struct {
	in     *jsontext.Decoder
	tables map[string]bool // by JSON Pointer
	sum    sum
}

func (h *documentHasher) document() error {
	err := h.object("", func(domain string) error {
		if domain == "meta" {
			return h.in.SkipValue()
		}
		at := pointerTo("", domain)
		return h.object(at, func(member string) error { return h.member(pointerTo(at, member), domain, member) })
	})
	if err != nil {
		return err
	}
	if _, err := h.in.ReadToken(); err != io.EOF {
		return fmt.Errorf("bytes follow the document, at byte %d", h.in.InputOffset())
	}
	return nil
}

func (h *documentHasher) object(at string, member func(name string) error) error {
	object, err := readMembers(h.in, member)
	if err == nil && !object {
		err = FieldError{Pointer: at, Detail: "must be an object"}
	}
	return err
}

// member adds the rows of a table, or a plain field.
func (h *documentHasher) member(at, domain, name string) error {
	if h.tables[at] {
		return h.object(at, func(key string) error {
			return h.add(pointerTo(at, key), domain, name, key)
		})
	}
	return h.add(at, domain, "", name)
}

// add reads the next value and adds its digest. table is empty for a plain
// field, which has none if it is zero.
func (h *documentHasher) add(at, domain, table, key string) error {
	raw, err := h.in.ReadValue()
	if err != nil {
		return err
	}
	value, err := canon.StripZero(raw)
	if err != nil {
		return fmt.Errorf("%s: %w", quoted(at), err)
	}
	if table == "" && isZeroJSON(value) {
		return nil
	}
	d := digest(sha256.Sum256(append(append(digestPrefix(domain, table, key), value...), ']')))
	h.sum.add(&d)
	return nil
}

// isZeroJSON tells whether a canonical value is one that is left out.
func isZeroJSON(b []byte) bool {
	switch string(b) {
	case `""`, "0", "false", "[]", "{}":
		return true
	}
	return false
}
