package canon

import (
	"encoding"
	"fmt"
	"reflect"
	"strconv"
)

// Append appends v, which must be of the codec's type, in the form of RFC 8785.
// Raw JSON (not a JSON) is copied as it is, so the caller must make it canonical; empty raw
// JSON that is not left out becomes null. Append panics if v has no JSON: an
// integer beyond ±(2^53-1) without the tag option string, or an error from
// MarshalText.
func (c *Codec) Append(b []byte, v reflect.Value, m Mode) []byte {
	if c.root.hasText && !v.CanAddr() {
		// Calling the text methods through a pointer avoids boxing every text.
		held := reflect.New(c.typ).Elem()
		held.Set(v)
		v = held
	}
	return c.root.append(b, v, m)
}

func (p *plan) append(b []byte, v reflect.Value, m Mode) []byte {
	switch p.kind {
	case kindBool:
		return strconv.AppendBool(b, v.Bool())
	case kindString:
		return AppendString(b, v.String())
	case kindInt:
		n := v.Int()
		return p.appendInteger(b, n < 0, magnitude(n))
	case kindUint:
		return p.appendInteger(b, false, v.Uint())
	case kindText:
		return p.appendTextOf(b, v)
	case kindRaw:
		if v.Len() == 0 {
			return append(b, "null"...)
		}
		return append(b, v.Bytes()...)
	case kindJSON:
		return appendJSON(b, v)
	case kindSlice:
		return p.appendSlice(b, v, m)
	default:
		return p.appendStruct(b, v, m)
	}
}

// magnitude returns |n|, even for the smallest int64.
func magnitude(n int64) uint64 {
	if n < 0 {
		return -uint64(n)
	}
	return uint64(n)
}

func (p *plan) appendInteger(b []byte, neg bool, abs uint64) []byte {
	if !p.holds(neg, abs) {
		panic(fmt.Sprintf("canon: a %s is beyond ±(2^53-1): bound it by Validate, or use the tag option string", p.typ))
	}
	if p.quoted {
		b = append(b, '"')
	}
	if neg {
		b = append(b, '-')
	}
	b = strconv.AppendUint(b, abs, 10)
	if p.quoted {
		b = append(b, '"')
	}
	return b
}

// holds reports whether an integer is in the range of the plan.
func (p *plan) holds(neg bool, abs uint64) bool {
	if neg {
		return abs <= p.low
	}
	return abs <= p.high
}

func (p *plan) appendTextOf(b []byte, v reflect.Value) []byte {
	ptr := v.Addr().Interface()
	if !p.appends {
		text, err := ptr.(encoding.TextMarshaler).MarshalText()
		p.mustText(err)
		return appendText(b, text)
	}
	start := len(b)
	b, err := ptr.(encoding.TextAppender).AppendText(append(b, '"'))
	p.mustText(err)
	if text := b[start+1:]; !isPlain(text) {
		return appendText(b[:start], append([]byte(nil), text...))
	}
	return append(b, '"')
}

func (p *plan) mustText(err error) {
	if err != nil {
		panic(fmt.Sprintf("canon: the text of a %s: %v", p.typ, err))
	}
}

// isPlain reports whether a text needs no escapes in a JSON string.
func isPlain(text []byte) bool {
	for _, c := range text {
		if c < ' ' || c == '"' || c == '\\' || c > '~' {
			return false
		}
	}
	return true
}

func (p *plan) appendSlice(b []byte, v reflect.Value, m Mode) []byte {
	b = append(b, '[')
	for i := range v.Len() {
		if i > 0 {
			b = append(b, ',')
		}
		b = p.elem.append(b, v.Index(i), m)
	}
	return append(b, ']')
}

func (p *plan) appendStruct(b []byte, v reflect.Value, m Mode) []byte {
	b = append(b, '{')
	begin := len(b)
	for i := range p.fields {
		f := &p.fields[i]
		value := v.Field(f.index)
		if f.omits(m) && f.plan.isZero(value) {
			continue
		}
		mark := len(b)
		if mark > begin {
			b = append(b, ',')
		}
		b = append(b, f.key...)
		start := len(b)
		b = f.plan.append(b, value, m)
		if m == Sparse && f.plan.kind == kindStruct && len(b)-start == len("{}") {
			b = b[:mark]
		}
	}
	return append(b, '}')
}

// omits reports whether to check for zero before writing the value. In Sparse
// mode, a struct is written first and removed if it was empty: checking first
// would walk it once for each level above it.
func (f *field) omits(m Mode) bool {
	if m == Sparse {
		return f.plan.kind != kindStruct
	}
	return f.omitZero
}

// IsZero reports whether Sparse leaves out v, which must be of the codec's
// type. A text type is zero if Go's zero value is, regardless of its own IsZero
// method; otherwise content would be lost.
func (c *Codec) IsZero(v reflect.Value) bool { return c.root.isZero(v) }

func (p *plan) isZero(v reflect.Value) bool {
	switch p.kind {
	case kindStruct:
		for i := range p.fields {
			if f := &p.fields[i]; !f.plan.isZero(v.Field(f.index)) {
				return false
			}
		}
		return true
	case kindSlice, kindRaw:
		return v.Len() == 0
	}
	return v.IsZero()
}
