package canon

import (
	"bytes"
	"encoding"
	"errors"
	"fmt"
	"reflect"
	"strconv"

	"github.com/go-json-experiment/json/jsontext"
)

// maxErrors limits the faults reported for one document.
const maxErrors = 32

// Decode decodes raw, JSON in any form, into v, which must be settable and of
// the codec's type. Names are case-sensitive. Decode returns the faults in the
// order of the document, up to 32: unknown or missing members, values of the
// wrong type (null is, but for a JSON), integers with a fraction or out of range, and
// errors of Validate for values inside v. It does not call Validate for v
// itself. If raw is not JSON, that is the only fault, at "".
//
// Absent members become zero, and an empty array becomes a nil slice. v shares
// no memory with raw. After an error, v's content is unspecified.
func (c *Codec) Decode(raw []byte, v reflect.Value, m Mode) []FieldError {
	in := openReader(raw)
	defer in.close()
	s := decoding{in: &in.dec, mode: m, kept: &in.kept}
	err := s.top(c.root, v)
	if err == nil {
		err = in.end()
	}
	return s.result(err)
}

// DecodeFrom is Decode for the next value of a stream. Pointers are relative to
// that value. After faults, d is positioned after the value; after bad syntax
// or an error of d's reader, the next read of d returns that error again.
// Duplicate names are refused unless d's options allow them.
func (c *Codec) DecodeFrom(d *jsontext.Decoder, v reflect.Value, m Mode) []FieldError {
	s := decoding{in: d, mode: m, kept: new(kept)}
	return s.result(s.top(c.root, v))
}

// decoding is one run of Decode. Its methods return an error only for bad
// syntax, after which nothing more can be read.
type decoding struct {
	in     *jsontext.Decoder
	mode   Mode
	faults []FieldError
	failed int // faults found, including those beyond maxErrors
	*kept
}

func (s *decoding) result(err error) []FieldError {
	if err != nil {
		return []FieldError{{Detail: syntaxText(err)}}
	}
	return s.faults
}

func (s *decoding) top(p *plan, v reflect.Value) error {
	v.SetZero()
	return s.decode(p, v)
}

// fail records a fault of the current value. Callers that hold the value
// prepend their part of the pointer with within.
func (s *decoding) fail(format string, args ...any) {
	s.failed++
	if len(s.faults) < maxErrors {
		s.faults = append(s.faults, FieldError{Detail: fmt.Sprintf(format, args...)})
	}
}

// failAt is fail for a fault inside the current value.
func (s *decoding) failAt(f FieldError) {
	s.failed++
	if len(s.faults) < maxErrors {
		s.faults = append(s.faults, f)
	}
}

// within prepends a reference token to the pointers of the faults from index
// first on.
func (s *decoding) within(first int, token string) {
	for i := range s.faults[first:] {
		f := &s.faults[first+i]
		f.Pointer = AppendPointer("", token) + f.Pointer
	}
}

// value decodes and validates a part of the document. mayBeZero says that a struct
// that is zero need not be valid, since it could have been left out.
func (s *decoding) value(p *plan, v reflect.Value, mayBeZero bool) error {
	failed := s.failed
	if err := s.decode(p, v); err != nil {
		return err
	}
	if !p.validates || s.mode >= Stored || s.failed > failed || mayBeZero && p.kind == kindStruct && p.isZero(v) {
		return nil
	}
	if err := v.Addr().Interface().(validator).Validate(); err != nil {
		s.invalid(err)
	}
	return nil
}

// invalid records an error of Validate.
func (s *decoding) invalid(err error) {
	var part FieldError
	if errors.As(err, &part) {
		s.failAt(part)
	} else {
		s.fail("%s", err.Error())
	}
}

func (s *decoding) decode(p *plan, v reflect.Value) error {
	switch p.kind {
	case kindStruct:
		return s.object(p, v)
	case kindSlice:
		return s.array(p, v)
	case kindRaw:
		return s.raw(v)
	case kindJSON:
		return s.json(v)
	}
	raw, err := s.in.ReadValue()
	if err != nil {
		return err
	}
	s.scalar(p, v, raw)
	return nil
}

func (s *decoding) scalar(p *plan, v reflect.Value, raw []byte) {
	switch {
	case kindOf(raw) != p.wants():
		s.mistyped(p, raw)
	case p.kind == kindBool:
		v.SetBool(raw[0] == 't')
	case p.kind == kindString:
		v.SetString(string(s.content(raw)))
	case p.kind == kindText:
		if err := v.Addr().Interface().(encoding.TextUnmarshaler).UnmarshalText(s.content(raw)); err != nil {
			s.fail("%s", err.Error())
		}
	case p.quoted:
		s.integer(p, v, raw, readDecimal(s.content(raw)))
	default:
		s.integer(p, v, raw, readInteger(raw))
	}
}

// wants returns the JSON kind that the plan of a scalar expects.
func (p *plan) wants() jsontext.Kind {
	switch {
	case p.kind == kindBool:
		return jsontext.KindTrue
	case (p.kind == kindInt || p.kind == kindUint) && !p.quoted:
		return jsontext.KindNumber
	}
	return jsontext.KindString
}

// kindOf returns the kind of a value that was read; false counts as true.
func kindOf(raw []byte) jsontext.Kind {
	switch c := raw[0]; {
	case c == '-' || c >= '0' && c <= '9':
		return jsontext.KindNumber
	case c == 'f':
		return jsontext.KindTrue
	default:
		return jsontext.Kind(c)
	}
}

// content returns the text between the quotes, valid until the next read.
func (s *decoding) content(raw []byte) []byte {
	if bytes.IndexByte(raw, '\\') < 0 {
		return raw[1 : len(raw)-1]
	}
	s.scratch = unquote(s.scratch[:0], raw)
	return s.scratch
}

func (s *decoding) integer(p *plan, v reflect.Value, raw []byte, n integer) {
	switch {
	case n.fault != "":
		s.fail("%s, not %s", n.fault, shown(raw))
	case n.huge || !p.holds(n.neg, n.abs):
		s.fail("must be from %s to %s, not %s", p.lowText(), strconv.FormatUint(p.high, 10), shown(raw))
	case p.kind == kindUint:
		v.SetUint(n.abs)
	case n.neg:
		v.SetInt(-int64(n.abs))
	default:
		v.SetInt(int64(n.abs))
	}
}

// lowText returns the smallest integer of the plan, in decimal.
func (p *plan) lowText() string {
	if p.low == 0 {
		return "0"
	}
	return "-" + strconv.FormatUint(p.low, 10)
}

func (s *decoding) mistyped(p *plan, raw []byte) {
	s.fail("must be %s, not %s", p.typeText(), typeOf(raw))
}

// opens reads p's opening bracket. If there is another value instead, opens
// reads and refuses it, and returns false.
func (s *decoding) opens(p *plan, bracket jsontext.Kind) (bool, error) {
	if s.in.PeekKind() == bracket {
		_, err := s.in.ReadToken()
		return true, err
	}
	raw, err := s.in.ReadValue()
	if err == nil {
		s.mistyped(p, raw)
	}
	return false, err
}

func (s *decoding) array(p *plan, v reflect.Value) error {
	if ok, err := s.opens(p, jsontext.KindBeginArray); !ok || err != nil {
		return err
	}
	for i := 0; s.in.PeekKind() != jsontext.KindEndArray; i++ {
		if i == v.Cap() {
			v.Grow(1)
		}
		v.SetLen(i + 1)
		first := len(s.faults)
		if err := s.value(p.elem, v.Index(i), false); err != nil {
			return err
		}
		if len(s.faults) > first {
			s.within(first, strconv.Itoa(i))
		}
	}
	_, err := s.in.ReadToken()
	return err
}

func (s *decoding) object(p *plan, v reflect.Value) error {
	if ok, err := s.opens(p, jsontext.KindBeginObject); !ok || err != nil {
		return err
	}
	var few [64]bool
	seen := few[:]
	if len(p.fields) > len(few) {
		seen = make([]bool, len(p.fields))
	}
	for next := 0; s.in.PeekKind() != jsontext.KindEndObject; next++ {
		raw, err := s.in.ReadValue()
		if err != nil {
			return err
		}
		name := s.content(raw)
		if next = p.find(name, next); next < 0 {
			next, err = s.unknown(p, string(name), v, seen)
		} else {
			err = s.member(p, next, v, seen)
		}
		if err != nil {
			return err
		}
	}
	s.missing(p, seen)
	_, err := s.in.ReadToken()
	return err
}

// find returns the index of a name, or -1. Canonical JSON has its members in
// the order of the fields, so the guess is mostly right.
func (p *plan) find(name []byte, guess int) int {
	if guess < len(p.fields) && p.fields[guess].name == string(name) {
		return guess
	}
	if i, ok := p.byName[string(name)]; ok {
		return i
	}
	return -1
}

// member reads the value of a plan's i-th field.
func (s *decoding) member(p *plan, i int, v reflect.Value, seen []bool) error {
	f, first := &p.fields[i], len(s.faults)
	if seen[i] && s.mode == Renamed {
		s.fail("is there twice, also by a name of old")
		s.within(first, f.name)
		return s.in.SkipValue()
	}
	seen[i] = true
	if err := s.value(f.plan, v.Field(f.index), s.mode == Sparse); err != nil {
		return err
	}
	if len(s.faults) > first {
		s.within(first, f.name)
	}
	return nil
}

// unknown reads a member that the plan lacks. It returns the index of the field that
// it is now; beyond all of them if it is none.
func (s *decoding) unknown(p *plan, name string, v reflect.Value, seen []bool) (now int, err error) {
	if i, old := p.old[name]; old && s.mode == Renamed {
		if i == removedMember {
			return len(p.fields), s.in.SkipValue()
		}
		return i, s.member(p, i, v, seen)
	}
	if s.mode == Logged {
		return len(p.fields), s.in.SkipValue()
	}
	first := len(s.faults)
	if first < maxErrors {
		s.fail("is not a member of this object%s", p.hint(name))
		s.within(first, name)
	} else {
		s.failed++
	}
	return len(p.fields), s.in.SkipValue()
}

// missing records the absent members that Full requires.
func (s *decoding) missing(p *plan, seen []bool) {
	if s.mode != Full {
		return
	}
	for i := range p.fields {
		if !seen[i] && !p.fields[i].omitZero {
			first := len(s.faults)
			s.fail("is required")
			s.within(first, p.fields[i].name)
		}
	}
}
