package canon

import (
	"fmt"
	"reflect"
	"strconv"
)

// Schema returns the canonical JSON Schema (2020-12) of the Full form. Nested
// types are inlined. A type with a JSONSchema() string method is described by
// its result. Schema panics if that is not JSON.
func (c *Codec) Schema() []byte { return c.schema() }

func (p *plan) schemaBytes() []byte { return p.appendSchema(nil) }

type describer interface{ JSONSchema() string }

func (p *plan) appendSchema(b []byte) []byte {
	if own, ok := reflect.New(p.typ).Interface().(describer); ok && !p.quoted {
		text, err := Canonicalize([]byte(own.JSONSchema()))
		if err != nil {
			panic(fmt.Sprintf("canon: JSONSchema of %s: %v", p.typ, err))
		}
		return append(b, text...)
	}
	switch p.kind {
	case kindBool:
		return append(b, `{"type":"boolean"}`...)
	case kindInt, kindUint:
		return p.appendIntegerSchema(b)
	case kindRaw:
		return append(b, `{"type":["array","boolean","number","object","string"]}`...)
	case kindSlice:
		b = p.elem.appendSchema(append(b, `{"items":`...))
		return append(b, `,"type":"array"}`...)
	case kindStruct:
		return p.appendObjectSchema(b)
	}
	return append(b, `{"type":"string"}`...)
}

func (p *plan) appendIntegerSchema(b []byte) []byte {
	switch {
	case p.quoted && p.kind == kindInt:
		return append(b, `{"pattern":"^(0|-?[1-9][0-9]*)$","type":"string"}`...)
	case p.quoted:
		return append(b, `{"pattern":"^(0|[1-9][0-9]*)$","type":"string"}`...)
	}
	b = strconv.AppendUint(append(b, `{"maximum":`...), p.high, 10)
	b = append(append(b, `,"minimum":`...), p.lowText()...)
	return append(b, `,"type":"integer"}`...)
}

func (p *plan) appendObjectSchema(b []byte) []byte {
	b = append(b, `{"additionalProperties":false,"properties":{`...)
	for i, f := range p.fields {
		if i > 0 {
			b = append(b, ',')
		}
		b = f.plan.appendSchema(append(b, f.key...))
	}
	b = append(b, `},"required":[`...)
	begin := len(b)
	for _, f := range p.fields {
		if f.omitZero {
			continue
		}
		if len(b) > begin {
			b = append(b, ',')
		}
		b = AppendString(b, f.name)
	}
	return append(b, `],"type":"object"}`...)
}
