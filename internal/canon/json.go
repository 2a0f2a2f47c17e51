package canon

import (
	"bytes"
	"fmt"
	"reflect"

	"github.com/go-json-experiment/json/jsontext"
)

// The bounds of a JSON. A state's document adds its own levels to those of the
// value, and must stay within MaxDepth.
const (
	jsonMaxBytes = 64 << 10
	jsonMaxDepth = 32
)

// JSON is any JSON value, in canonical form (RFC 8785): at most 64 KiB (65536
// bytes) in that form, and at most 32 levels of arrays and objects. Values that
// mean the same are equal by ==. The zero JSON is null.
type JSON struct {
	text string // canonical; "" for null
}

// ParseJSON returns the value of a JSON text. The text must be strict JSON, in
// any form. The error is a FieldError that says what is wrong, and where.
func ParseJSON(text string) (JSON, error) {
	canonical, err := rewrite([]byte(text), jsonMaxDepth)
	if err != nil {
		return JSON{}, err
	}
	if fault := tooLong(canonical); fault != nil {
		return JSON{}, *fault
	}
	return jsonOf(canonical), nil
}

// jsonOf returns the value of a canonical text.
func jsonOf(canonical []byte) JSON {
	if string(canonical) == "null" {
		return JSON{}
	}
	return JSON{string(canonical)}
}

func tooLong(canonical []byte) *FieldError {
	if len(canonical) <= jsonMaxBytes {
		return nil
	}
	return &FieldError{Detail: fmt.Sprintf("must have at most %d bytes of canonical JSON, not %d", jsonMaxBytes, len(canonical))}
}

// String returns the canonical text.
func (j JSON) String() string {
	if j.text == "" {
		return "null"
	}
	return j.text
}

// MarshalJSON returns the canonical text, for encoding/json.
func (j JSON) MarshalJSON() ([]byte, error) { return []byte(j.String()), nil }

// UnmarshalJSON parses as ParseJSON does, for encoding/json.
func (j *JSON) UnmarshalJSON(text []byte) (err error) {
	*j, err = ParseJSON(string(text))
	return err
}

// JSONSchema returns the form as JSON Schema 2020-12, which cannot express the
// bounds.
func (JSON) JSONSchema() string { return `{}` }

var jsonType = reflect.TypeFor[JSON]()

// appendJSON appends the text of a JSON.
func appendJSON(b []byte, v reflect.Value) []byte {
	if text := v.Field(0).String(); text != "" {
		return append(b, text...)
	}
	return append(b, "null"...)
}

// json decodes the next value into a JSON.
func (s *decoding) json(v reflect.Value) error {
	canonical, err := s.canonical(jsonMaxDepth)
	if canonical == nil || err != nil {
		return err
	}
	if fault := tooLong(canonical); fault != nil {
		s.failAt(*fault)
		return nil
	}
	*v.Addr().Interface().(*JSON) = jsonOf(canonical)
	return nil
}

// raw stores a value as canonical JSON.
func (s *decoding) raw(v reflect.Value) error {
	if s.in.PeekKind() == jsontext.KindNull {
		s.fail("must be a value, not null")
		return s.in.SkipValue()
	}
	canonical, err := s.canonical(MaxDepth)
	if canonical == nil || err != nil {
		return err
	}
	v.SetBytes(bytes.Clone(canonical))
	return nil
}

// canonical returns the next value in canonical form, valid until the next read;
// nil if it has a fault.
func (s *decoding) canonical(levels int) ([]byte, error) {
	w := writer{in: s.in, base: s.in.StackDepth(), levels: levels, out: s.kept.value[:0], kept: s.kept}
	err := w.value(0)
	s.kept.value = w.out[:0]
	if err != nil {
		return nil, err
	}
	if w.refused != nil {
		s.failAt(*w.refused)
		return nil, nil
	}
	return w.out, nil
}
