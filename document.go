package swoosh

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/chorus-services/swoosh/internal/canon"
	"github.com/chorus-services/swoosh/internal/statehash"
)

// documentFormat is the meta.version of a document.
const documentFormat = 1

// WriteTo writes the document: the state as canonical JSON, without a trailing
// newline. States with equal content have equal documents.
func (v View) WriteTo(w io.Writer) (int64, error) {
	d := &documentWriter{w: w}
	members := slices.Clone(v.state.domains)
	slices.SortFunc(members, func(a, b *domainState) int { return strings.Compare(a.def.name, b.def.name) })
	d.b = append(d.b, '{')
	comma, metaDone := "", false
	for _, p := range members {
		if !metaDone && p.def.name > "meta" {
			d.b = v.appendMeta(append(d.b, comma...))
			comma, metaDone = ",", true
		}
		d.b = append(append(d.b, comma...), '"')
		d.b = append(append(d.b, p.def.name...), `":`...)
		d.domain(p)
		comma = ","
	}
	if !metaDone {
		d.b = v.appendMeta(append(d.b, comma...))
	}
	d.b = append(d.b, '}')
	d.flush(0)
	return d.n, d.err
}

// Bytes returns the size of the state: of the canonical JSON of [domain, table, key,
// row] of every row and [domain, "", field, value] of every plain field. Those are the
// bytes that the state hash covers, and a little more than the document has.
func (v View) Bytes() int64 { return v.state.sum.Bytes }

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

// tablePointers returns the JSON Pointers of all tables, sorted.
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

// documentWriter writes a document through a small buffer. After an error it
// writes nothing more.
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

// domain writes a domain's object: its fields and tables, sorted by name, leaving
// out zero fields and empty tables.
func (d *documentWriter) domain(p *domainState) {
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
			if fields[0] != "" {
				member(p.def.fields[i].name)
				d.b = append(d.b, fields[0]...)
			}
			fields = fields[1:]
			continue
		}
		if tables[0].length() > 0 {
			member(p.def.tables[k].name)
			d.table(tables[0])
		}
		tables = tables[1:]
	}
	d.b = append(d.b, '}')
}

func (d *documentWriter) table(t table) { d.rows(t, "", t.length()) }

// rows writes an object with up to most rows, starting after the key after.
func (d *documentWriter) rows(t table, after string, most int) {
	d.b = append(d.b, '{')
	written := 0
	t.ascend(after, func(key, json string) bool {
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
		d.b = append(d.b, json...)
		d.flush(documentBuffer)
		return true
	})
	d.b = append(d.b, '}')
}

// maxFaults limits the faults reported for one document.
const maxFaults = 32

// decodeDocument reads a document, the next value of d, into s: a new state,
// which the caller settles. It decodes row by row, so that a document takes no
// memory besides its state. faults lists up to 32 members that do not fit the
// domains; only if there are none does it call the domains' Validate. meta is
// the member meta, or nil. err is a syntax error, or an error of d's reader.
func decodeDocument(d *jsontext.Decoder, s *state) (meta jsontext.Value, faults []FieldError, err error) {
	r := &documentReader{in: d, state: s}
	if err = r.read(); err == nil && r.faults == nil {
		r.validate()
	}
	return r.meta, r.faults, err
}

// loadDocument is decodeDocument for what View.WriteTo wrote: it was valid, and is
// not validated again. If this very build wrote it, rows are not even decoded: the
// state hash proves them.
func loadDocument(d *jsontext.Decoder, s *state, ours bool) (faults []FieldError, err error) {
	r := &documentReader{in: d, state: s, stored: true, trusting: ours}
	err = r.read()
	return r.faults, err
}

// documentReader is one run of decodeDocument or loadDocument. Its methods return
// an error only for bad syntax; everything else goes to faults.
type documentReader struct {
	in       *jsontext.Decoder
	state    *state
	trusting bool             // rows are not decoded
	stored   bool             // nothing is validated
	digests  *statehash.Adder // of the rows
	b        []byte           // a row that is being loaded
	meta     jsontext.Value
	gone     []goneMember // of data of the past
	faults   []FieldError
}

func (r *documentReader) read() error {
	r.digests = statehash.NewAdder()
	err := r.document()
	r.state.sum = r.digests.Sum()
	err = cmp.Or(err, r.sumPast())
	r.state.hash = r.state.sum.Hash()
	return err
}

// fail adds faults of the value at a pointer, until there are maxFaults.
func (r *documentReader) fail(at string, faults ...FieldError) {
	room := maxFaults - len(r.faults)
	r.faults = append(r.faults, prefixed(faults[:min(room, len(faults))], at)...)
}

// object reads the next value, which must be an object, and calls member after
// each name. at is its pointer.
func (r *documentReader) object(at string, member func(name string) error) error {
	found, err := canon.ReadMembers(r.in, member)
	if err == nil && !found {
		r.fail(at, FieldError{Detail: "must be an object"})
	}
	return err
}

// unknown skips a member that does not exist, and suggests a known name.
func (r *documentReader) unknown(at, name, what string, known []string) error {
	if near := canon.Nearest(name, known); near != "" {
		what += fmt.Sprintf(" (did you mean %q?)", near)
	}
	r.fail(canon.AppendPointer(at, name), FieldError{Detail: "is not " + what})
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
		for _, p := range r.state.domains {
			if p.def.name == name {
				return r.domain(p)
			}
			known = append(known, p.def.name)
		}
		return r.unknown("", name, "a domain of this server", known)
	})
}

func (r *documentReader) domain(p *domainState) (err error) {
	if p.def.past {
		return r.pastDomain(p)
	}
	p.write(func() {
		err = r.object("/"+p.def.name, func(name string) error { return r.member(p, name) })
	})
	return err
}

// member reads a table or a plain field of a domain.
func (r *documentReader) member(p *domainState, name string) error {
	var known []string
	at := canon.AppendPointer("/"+p.def.name, name)
	for i := range p.def.tables {
		f := &p.def.tables[i]
		if f.name == name {
			return r.object(at, func(key string) error { return r.row(p, i, at, key) })
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

// errFaults keeps a row with faults out of the table.
var errFaults = errors.New("the row has faults")

// row reads a row of a domain's i-th table.
func (r *documentReader) row(p *domainState, i int, table, key string) (err error) {
	var json string
	if r.trusting {
		key, json, err = r.load(p.tables[i], key)
	} else {
		json, err = r.decode(p.tables[i], &p.def.tables[i], canon.AppendPointer(table, key), key)
	}
	if err == nil {
		r.digests.Add(p.def.name, p.def.tables[i].name, key, json)
	}
	if err == errFaults {
		return nil
	}
	return err
}

func (r *documentReader) load(t table, key string) (kept, json string, err error) {
	value, err := r.in.ReadValue()
	if err == nil {
		r.b = append(append(r.b[:0], key...), value...)
		kept, json, err = t.load(r.b, len(key))
	}
	return kept, json, err
}

func (r *documentReader) decode(t table, f *field, at, key string) (json string, err error) {
	if err := t.(keyed).checkKey(key); err != nil && !r.stored {
		r.fail(at, FieldError{Detail: err.Error()})
		return "", cmp.Or(r.in.SkipValue(), errFaults)
	}
	return t.decode(key, func(v reflect.Value) error {
		faults := r.value(f.codec, v)
		if faults == nil {
			return nil
		}
		r.fail(at, faults...)
		return errFaults
	})
}

// value decodes and validates the next value; the codec itself validates only
// the value's members. Bad syntax is left for the next read to find again.
func (r *documentReader) value(c *canon.Codec, v reflect.Value) []FieldError {
	if r.stored {
		return c.DecodeFrom(r.in, v, canon.Stored)
	}
	if faults := c.DecodeFrom(r.in, v, canon.Sparse); faults != nil {
		return faults
	}
	noun, ok := v.Addr().Interface().(Validator)
	if !ok || v.Kind() == reflect.Struct && c.IsZero(v) {
		return nil // A row may be {}; other zeros are left out, or have to be valid.
	}
	return faultsOf(noun.Validate())
}

// validate calls the Validate of every domain's state.
func (r *documentReader) validate() {
	for _, p := range r.state.domains {
		r.fail("/"+p.def.name, faultsOf(p.def.validate(p))...)
	}
}

// ComputeStateHash computes the state hash of a document that View.WriteTo
// wrote. It needs no domains: meta.tables lists the tables. The hash is
//
//	hex SHA-256("swoosh state 1\n" ‖ the 32 bytes of sum, big-endian)
//
// where sum adds up, as big-endian integers mod 2^256, SHA-256 of the canonical
// JSON (RFC 8785) of [domain, table, key, row] for every row and of [domain,
// "", field, value] for every plain field. Members count as they stand: WriteTo
// leaves out those that are zero. The error names the member that is wrong.
func ComputeStateHash(document []byte) (Hash, error) {
	hash, err := statehash.OfDocument(document)
	if err != nil {
		return Hash{}, fmt.Errorf("swoosh: %w", err)
	}
	return hash, nil
}

// lacksOf reads a document and returns the domains that it has a state of and that
// are not among defs.
func lacksOf(in *jsontext.Decoder, defs []*definition) (lacks []string) {
	_, _ = canon.ReadMembers(in, func(domain string) error { // Its syntax was found good before.
		if domain == "meta" || slices.ContainsFunc(defs, func(d *definition) bool { return d.name == domain }) {
			return in.SkipValue()
		}
		empty := true
		found, err := canon.ReadMembers(in, func(string) error {
			empty = false
			return in.SkipValue()
		})
		if !found || !empty {
			lacks = append(lacks, domain)
		}
		return err
	})
	return lacks
}

// nameAll names one thing or several: "command a", "commands a, b".
func nameAll(what string, names []string) string {
	if len(names) > 1 {
		what += "s"
	}
	return what + " " + strings.Join(names, ", ")
}
