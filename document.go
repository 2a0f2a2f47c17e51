package swoosh

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"reflect"
	"strings"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/chorus-services/swoosh/internal/canon"
)

// maxDocumentErrors bounds what a refusal of a document lists.
const maxDocumentErrors = 32

// documentReader builds a state from a document's tokens, a row at a time.
type documentReader struct {
	d    *jsontext.Decoder
	s    *State
	meta jsontext.Value
	errs []FieldError
}

// decodeDocument reads a state's document, the decoder's next value, into s, a
// fresh state that may change; the caller settles it. It gives the member meta
// as it is, and what does not fit the domains; err is for what is no JSON
// object.
func decodeDocument(d *jsontext.Decoder, s *State) (meta jsontext.Value, errs []FieldError, err error) {
	r := &documentReader{d: d, s: s}
	if err := r.object("", r.domain); err != nil {
		return nil, nil, err
	}
	if r.errs == nil {
		for _, p := range s.parts {
			if err := p.def.validate(p); err != nil {
				r.refuseAll("/"+p.def.name, asError(err, InvalidState))
			}
		}
	}
	return r.meta, r.errs, nil
}

func (r *documentReader) refuse(pointer, detail string) {
	if len(r.errs) < maxDocumentErrors {
		r.errs = append(r.errs, FieldError{Pointer: pointer, Detail: detail})
	}
}

// refuseAll takes over what a domain's Validate says; its pointers begin at the
// domain.
func (r *documentReader) refuseAll(at string, err *Error) {
	for _, f := range err.Errors {
		r.refuse(at+f.Pointer, f.Detail)
	}
	if err.Errors == nil {
		r.refuse(at, err.Detail)
	}
}

// object reads an object and has each member's value read by member.
func (r *documentReader) object(at string, member func(at, name string) error) error {
	if r.d.PeekKind() != '{' {
		if _, err := r.d.ReadValue(); err != nil {
			return err
		}
		if at == "" {
			return errors.New("it is not a JSON object")
		}
		r.refuse(at, "must be an object")
		return nil
	}
	if _, err := r.d.ReadToken(); err != nil {
		return err
	}
	for r.d.PeekKind() == '"' {
		t, err := r.d.ReadToken()
		if err != nil {
			return err
		}
		name := t.String()
		if err := member(at+"/"+escapePointer(name), name); err != nil {
			return err
		}
	}
	_, err := r.d.ReadToken()
	return err
}

func (r *documentReader) domain(at, name string) error {
	if name == "meta" {
		v, err := r.d.ReadValue()
		r.meta = v.Clone()
		return err
	}
	for _, p := range r.s.parts {
		if p.def.name == name {
			return r.object(at, func(at, name string) error { return r.member(p, at, name) })
		}
	}
	r.refuse(at, "is not a domain of this server")
	return r.d.SkipValue()
}

// member reads a plain field or a table of a part.
func (r *documentReader) member(p *part, at, name string) error {
	for i := range p.def.fields {
		if f := &p.def.fields[i]; f.name == name {
			p.write(func() { r.value(f, p.value.Field(f.at), at) })
			return nil
		}
	}
	for i := range p.def.tables {
		if f := &p.def.tables[i]; f.name == name {
			return r.object(at, func(at, key string) error {
				p.write(func() { r.row(p.tables[i], f, at, key) })
				return nil
			})
		}
	}
	r.refuse(at, fmt.Sprintf("is not a member of domain %s", p.def.name))
	return r.d.SkipValue()
}

func (r *documentReader) value(f *field, v reflect.Value, at string) bool {
	errs := f.codec.DecodeFrom(r.d, v, canon.Sparse)
	for _, e := range errs {
		r.refuse(at+e.Pointer, e.Detail)
	}
	return errs == nil
}

func (r *documentReader) row(t table, f *field, at, key string) {
	if err := checkTableKey(key); err != nil {
		r.refuse(at, err.Error())
	}
	errBad := errors.New("refused")
	_ = t.load(key, func(v reflect.Value) error { // Its errors are in r.errs.
		if !r.value(f, v, at) || len(r.errs) > 0 {
			return errBad
		}
		return nil
	})
}

// ComputeStateHash computes the state hash of a document as View.WriteTo gives
// it, from nothing but the document: its meta.tables says which members are
// tables. Members with a zero value do not count. DURABILITY.md has the
// formula.
func ComputeStateHash(document []byte) (Hash, error) {
	h := &documentHasher{}
	if err := h.readTables(document); err != nil {
		return Hash{}, err
	}
	err := eachMember(document, func(domain string, value jsontext.Value) error {
		if domain == "meta" {
			return nil
		}
		return eachMember(value, func(name string, value jsontext.Value) error {
			return h.member(domain, name, value)
		})
	})
	return h.sum.hash(), err
}

type documentHasher struct {
	tables map[string]bool
	sum    sum
}

func (h *documentHasher) readTables(document []byte) error {
	h.tables = map[string]bool{}
	return eachMember(document, func(name string, meta jsontext.Value) error {
		if name != "meta" {
			return nil
		}
		return eachMember(meta, func(name string, value jsontext.Value) error {
			if name != "tables" {
				return nil
			}
			d := jsontext.NewDecoder(bytes.NewReader(value))
			for {
				t, err := d.ReadToken()
				if err != nil {
					return nil // The end: the value was read before.
				}
				if t.Kind() == '"' {
					h.tables[t.String()] = true
				}
			}
		})
	})
}

func (h *documentHasher) member(domain, name string, value jsontext.Value) error {
	if h.tables["/"+escapePointer(domain)+"/"+escapePointer(name)] {
		return eachMember(value, func(key string, row jsontext.Value) error {
			return h.add(domain, name, key, row)
		})
	}
	stripped, err := canon.StripZero(value)
	if err != nil {
		return err
	}
	switch string(stripped) {
	case `""`, "0", "false", "[]", "{}":
		return nil
	}
	return h.add(domain, "", name, stripped)
}

func (h *documentHasher) add(domain, table, key string, value jsontext.Value) error {
	stripped, err := canon.StripZero(value)
	if err != nil {
		return err
	}
	d := digest(sha256.Sum256(append(append(digestPrefix(domain, table, key), stripped...), ']')))
	h.sum.add(&d)
	return nil
}

// eachMember gives the members of a JSON object.
func eachMember(object []byte, yield func(name string, value jsontext.Value) error) error {
	d := jsontext.NewDecoder(bytes.NewReader(object))
	if t, err := d.ReadToken(); err != nil || t.Kind() != '{' {
		return errors.New("a state's document, its domains and its tables are JSON objects")
	}
	for d.PeekKind() == '"' {
		t, err := d.ReadToken()
		if err != nil {
			return err
		}
		name := t.String()
		value, err := d.ReadValue()
		if err != nil {
			return err
		}
		if err := yield(name, value.Clone()); err != nil {
			return err
		}
	}
	_, err := d.ReadToken()
	return err
}

func escapePointer(token string) string {
	return strings.NewReplacer("~", "~0", "/", "~1").Replace(token)
}
