package canon

import (
	"reflect"

	"github.com/go-json-experiment/json"
)

// SparseSchema returns the JSON Schema (2020-12) of the Sparse form. It requires no
// members, since zero ones are left out, but for those without which a list refuses
// an element.
func (c *Codec) SparseSchema() []byte {
	var schema any
	if err := json.Unmarshal(c.Schema(), &schema); err != nil {
		panic("canon: " + err.Error()) // Schema is canonical JSON.
	}
	requireNothing(schema)
	c.root.requireKeys(schema)
	raw, err := json.Marshal(schema)
	if err == nil {
		raw, err = Canonicalize(raw)
	}
	if err != nil {
		panic("canon: " + err.Error())
	}
	return raw
}

// requireNothing removes the lists of required members from a schema.
func requireNothing(schema any) {
	switch s := schema.(type) {
	case []any:
		for _, v := range s {
			requireNothing(v)
		}
	case map[string]any:
		if _, ok := s["required"].([]any); ok { // otherwise it is a property of that name
			delete(s, "required")
		}
		for _, v := range s {
			requireNothing(v)
		}
	}
}

// requireKeys adds to the schema of each list of structs which members its elements
// cannot do without.
func (p *plan) requireKeys(schema any) {
	s, _ := schema.(map[string]any)
	switch p.kind {
	case kindStruct:
		properties, _ := s["properties"].(map[string]any)
		for _, f := range p.fields {
			f.plan.requireKeys(properties[f.name])
		}
	case kindSlice:
		items, _ := s["items"].(map[string]any)
		if names := p.keys(); names != nil && items != nil {
			items["required"] = names
		}
		p.elem.requireKeys(s["items"])
	}
}

// keys returns the members that make the key of an element, as in a noun.List: its
// Validate refuses an element without one. Of elements that are valid otherwise it
// may refuse any, so it is asked with one that lacks nothing, and then without each.
func (p *plan) keys() (names []string) {
	if !p.validates || p.elem.kind != kindStruct {
		return nil
	}
	list := reflect.MakeSlice(p.typ, 1, 1)
	valid := func() bool { return list.Interface().(validator).Validate() == nil }
	for _, f := range p.elem.fields {
		f.plan.fill(list.Index(0).Field(f.index))
	}
	if !valid() {
		return nil
	}
	for _, f := range p.elem.fields {
		v := list.Index(0).Field(f.index)
		filled := reflect.ValueOf(v.Interface())
		if v.SetZero(); !valid() {
			names = append(names, f.name)
		}
		v.Set(filled)
	}
	return names
}

// fill makes a scalar that is not zero, if it would be valid.
func (p *plan) fill(v reflect.Value) {
	switch p.kind {
	case kindBool:
		v.SetBool(true)
	case kindString:
		v.SetString("a")
	case kindInt:
		v.SetInt(1)
	case kindUint:
		v.SetUint(1)
	}
	if p.validates && v.Interface().(validator).Validate() != nil {
		v.SetZero()
	}
}
