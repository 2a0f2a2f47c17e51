package swoosh

import (
	"encoding"
	"reflect"
	"regexp"
	"slices"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/chorus-services/swoosh/internal/canon"
)

// object is a JSON object that is being made.
type object = map[string]any

// form gives the JSON Schema (2020-12) of a value; what has a name goes to the
// components.
type form func(*components) any

// components are the schemas that have names.
type components struct {
	schemas object
	members map[string]form
	cat     *catalogue
	defs    []*definition
}

// named gives a reference to a schema, which is made once.
func (c *components) named(name string, build func() any) any {
	if _, ok := c.schemas[name]; !ok {
		c.schemas[name] = nil // A form that holds itself ends here.
		c.schemas[name] = plainJSON(build())
	}
	return object{"$ref": schemaPrefix + name}
}

const schemaPrefix = "#/components/schemas/"

// plainJSON gives a value as a decoder of JSON would: all objects are maps and
// all lists are []any.
func plainJSON(v any) (plain any) {
	if err := json.Unmarshal(encode(v), &plain); err != nil {
		panic(err) // Only our own types come here.
	}
	return plain
}

// of is the form of a Go type.
func of[T any]() form {
	return func(c *components) any { return c.schema(reflect.TypeFor[T]()) }
}

func oneOf(forms ...form) form { return some("oneOf", forms) }
func anyOf(forms ...form) form { return some("anyOf", forms) }

func some(which string, forms []form) form {
	return func(c *components) any {
		var all []any
		for _, f := range forms {
			all = append(all, f(c))
		}
		return object{which: all}
	}
}

// anyValue is the form of every value of canonical JSON.
func anyValue(*components) any {
	return object{"description": "with path: the value that is there", "type": []string{"array", "boolean", "number", "object", "string"}}
}

// like is the form of a string with a pattern and an example; either may be
// empty.
func like(pattern, example string) form {
	s := object{"type": "string"}
	if pattern != "" {
		s["pattern"] = pattern
	}
	if example != "" {
		s["examples"] = []string{example}
	}
	return func(*components) any { return s }
}

// oneWord is the form of a string that is one of a few.
func oneWord(words func() []string) form {
	return func(*components) any { return object{"type": "string", "enum": words()} }
}

func problemCodes() []string {
	all := make([]string, len(kinds))
	for k := range kinds {
		all[k] = kinds[k].code
	}
	slices.Sort(all)
	return all
}

const (
	hashPattern = `[0-9a-f]{64}`
	hlcPattern  = `[0-9a-f]{12}-[0-9a-f]{4}-[a-z0-9-]{1,63}`
	sampleHash  = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"
	sampleHLC   = "0197a2b4c6d8-0003-n1"
)

// nouns are the types whose form their Go type does not tell. Hash and Stamp
// stand in states, whose schema_hash is kept, so their schemas there stay as
// they are.
var nouns = map[reflect.Type]struct {
	name string
	form form
}{
	reflect.TypeFor[Hash]():       {"Hash", like("^"+hashPattern+"$", sampleHash)},
	reflect.TypeFor[Stamp]():      {"HLC", like("^"+hlcPattern+"$", sampleHLC)},
	reflect.TypeFor[Key]():        {"Key", like(`^[!#-\[\]-~]{1,255}$`, "0f6c2a")},
	reflect.TypeFor[base64Text](): {"Base64", like(`^([A-Za-z0-9+/]{4})*([A-Za-z0-9+/]{4}|[A-Za-z0-9+/]{3}=|[A-Za-z0-9+/]{2}==)$`, "c2lnbmVk")},
}

// documents are the types that have a component of their own.
var documents = map[reflect.Type]string{
	reflect.TypeFor[Result]():          "Result",
	reflect.TypeFor[entryDocument]():   "Entry",
	reflect.TypeFor[problem]():         "Problem",
	reflect.TypeFor[startingHealth]():  "Health",
	reflect.TypeFor[commandDocument](): "CatalogueCommand",
	reflect.TypeFor[kindDocument]():    "ProblemKind",
	reflect.TypeFor[envelope]():        "Envelope",
	reflect.TypeFor[expectEnvelope]():  "Expect",
}

// members are those whose form their Go type does not tell, by Go type and
// name.
func members() map[string]form {
	return map[string]form{
		"problem.code":              oneWord(problemCodes),
		"kindDocument.code":         oneWord(problemCodes),
		"problem.type":              like("^/problems/[a-z_]+$", "/problems/conflict"),
		"problem.happened":          oneWord(func() []string { return []string{"no", "unknown"} }),
		"problem.hash":              like("^("+hashPattern+")?$", sampleHash),
		"startingHealth.mode":       oneWord(func() []string { return modes }),
		"readiness.reason":          oneWord(func() []string { return modes[1:] }),
		"commandDocument.role":      oneWord(func() []string { return roleNames[RoleRead:] }),
		"routeLine.role":            oneWord(func() []string { return roleNames[RoleRead:] }),
		"HealthKeys.since":          of[Stamp](),
		"envelope.expect":           of[expectEnvelope](),
		"entryDocument.expect":      of[expectEnvelope](),
		"expectEnvelope.state_hash": of[Hash](),
		"expectEnvelope.index":      of[uint64](),
		"expectEnvelope.path":       rowPath,
		"expectEnvelope.hash":       like("^("+hashPattern+")?$", sampleHash),
	}
}

// rowPath is the form of a JSON Pointer of a table's row.
func rowPath(c *components) any {
	return like("^("+strings.Join(c.cat.tables, "|")+")/([ -.0-}]|~[01])+$", "")(c)
}

var textType = reflect.TypeFor[encoding.TextMarshaler]()

// schema gives the JSON Schema of a Go type. What payloads and states are made
// of the codecs describe themselves.
func (c *components) schema(t reflect.Type) any {
	if t.Kind() == reflect.Pointer {
		return c.schema(t.Elem())
	}
	if noun, ok := nouns[t]; ok {
		return c.named(noun.name, func() any { return noun.form(c) })
	}
	_, describes := reflect.Zero(t).Interface().(interface{ JSONSchema() string })
	switch {
	case t == reflect.TypeFor[jsontext.Value]():
		return jsonObject(c)
	case describes || t.Implements(textType):
	case t.Kind() == reflect.Slice:
		return object{"type": "array", "items": c.schema(t.Elem())}
	case t.Kind() == reflect.Struct:
		if name, ok := documents[t]; ok {
			return c.named(name, func() any { return c.structure(t) })
		}
		return c.structure(t)
	}
	return jsontext.Value(canon.For(t).Schema())
}

// structure gives the schema of an object as its encoder writes it. What is
// sent may have no other members; answers may get more in later versions.
func (c *components) structure(t reflect.Type) any {
	properties, required := object{}, []string{}
	for _, f := range reflect.VisibleFields(t) {
		name, options, _ := strings.Cut(f.Tag.Get("json"), ",")
		if name == "" {
			continue // embedded: its fields are visible too
		}
		if form, ok := c.members[t.Name()+"."+name]; ok {
			properties[name] = form(c)
		} else {
			properties[name] = c.schema(f.Type)
		}
		if !strings.HasPrefix(options, "omit") {
			required = append(required, name)
		}
	}
	s := object{"type": "object", "properties": properties, "required": required}
	switch t {
	case reflect.TypeFor[envelope]():
		s["additionalProperties"] = false
	case reflect.TypeFor[expectEnvelope]():
		s["additionalProperties"], s["minProperties"] = false, 1
		s["dependentRequired"] = object{"path": []string{"hash"}, "hash": []string{"path"}}
	}
	return s
}

// commandForm is a command with its envelope, whichever it is.
func commandForm(c *components) any {
	return c.named("Command", func() any {
		variants, mapping := []any{}, object{}
		for _, name := range c.cat.names {
			variant := c.variant(newCommandDocument(c.cat.byName[name].CommandInfo))
			variants = append(variants, variant)
			mapping[name] = variant.(object)["$ref"]
		}
		return object{"oneOf": variants, "discriminator": object{"propertyName": "command", "mapping": mapping}}
	})
}

// variant is the envelope of one command. The payload's schema stands under
// the command's name, as GET /commands gives it, with an example.
func (c *components) variant(d commandDocument) any {
	payload := c.named(d.Name, func() any {
		s := plainJSON(d.Schema).(object)
		if example, ok := c.example(s); ok {
			s["examples"] = []any{example}
		}
		return s
	})
	return c.named("Command."+d.Name, func() any {
		required := []string{"command"}
		if len(c.schemas[d.Name].(object)["required"].([]any)) > 0 {
			required = append(required, "payload")
		}
		s := object{
			"description": d.Summary,
			"allOf":       []any{of[envelope]()(c)},
			"properties":  object{"command": object{"const": d.Name}, "payload": payload},
			"required":    required,
			"x-domain":    d.Domain, "x-region": d.Region, "x-from": d.From, "x-to": d.To,
			"x-refusals": d.Refusals, "x-role": d.Role,
		}
		if example, ok := c.example(payload); ok {
			s["examples"] = []any{object{"command": d.Name, "payload": example}}
		}
		return s
	})
}

// batchForm is an atomic batch.
func batchForm(c *components) any {
	return object{"type": "array", "items": commandForm(c), "minItems": 1, "maxItems": batchMaxCommands}
}

// stateForm is the document of the whole state. It leaves zero values out, so
// nothing of a domain is required.
func stateForm(c *components) any {
	return c.named("State", func() any {
		hash := of[Hash]()(c)
		properties := object{"meta": object{
			"type": "object", "required": []string{"version"},
			"properties": object{
				"version": object{"const": documentFormat}, "schema_hash": hash, "state_hash": hash,
				"tables": object{"type": "array", "items": object{"type": "string"}},
			},
		}}
		for _, d := range c.defs {
			properties[d.name] = d.schema()
		}
		return object{"type": "object", "properties": properties, "required": []string{"meta"}, "additionalProperties": false}
	})
}

// schema gives the JSON Schema of a domain's part of the state.
func (d *definition) schema() any {
	properties := object{}
	for _, f := range d.fields {
		properties[f.name] = f.schema()
	}
	for _, t := range d.tables {
		properties[t.name] = object{"type": "object", "additionalProperties": t.schema()}
	}
	return object{"type": "object", "properties": properties, "additionalProperties": false}
}

func (f field) schema() any { return sparse(plainJSON(jsontext.Value(f.codec.Schema()))) }

// sparse takes out of a schema what says that members are required.
func sparse(schema any) any {
	switch s := schema.(type) {
	case []any:
		for _, v := range s {
			sparse(v)
		}
	case object:
		if _, ok := s["required"].([]any); ok {
			delete(s, "required")
		}
		for _, v := range s {
			sparse(v)
		}
	}
	return schema
}

// samples are strings that fit most forms.
var samples = []string{"alpha", "Alpha", "1", sampleHash, sampleHLC}

// example gives a small value that fits a schema. It is made of the schema's
// own examples where there are some; ok is false where it needs one and has
// none: an embedder's noun may have a form of its own.
func (c *components) example(schema any) (_ any, ok bool) {
	s, _ := schema.(object)
	if ref, isRef := s["$ref"].(string); isRef {
		return c.example(c.schemas[strings.TrimPrefix(ref, schemaPrefix)])
	}
	if value, has := s["const"]; has {
		return value, true
	}
	for _, list := range []string{"examples", "enum"} {
		if values, _ := s[list].([]any); len(values) > 0 {
			return values[0], true
		}
	}
	for _, list := range []string{"oneOf", "anyOf", "allOf"} {
		if forms, _ := s[list].([]any); len(forms) > 0 {
			return c.example(forms[0])
		}
	}
	switch s["type"] {
	case "object":
		return c.exampleObject(s)
	case "array":
		item, ok := c.example(s["items"])
		least, _ := s["minItems"].(float64)
		return []any{item}, ok && least <= 1
	case "integer":
		low, _ := s["minimum"].(float64)
		return max(low, 1), true
	case "boolean":
		return false, true
	case "string":
		return exampleString(s)
	}
	return nil, false
}

// exampleObject has the members that are required, and no others.
func (c *components) exampleObject(s object) (_ any, ok bool) {
	properties, _ := s["properties"].(object)
	required, _ := s["required"].([]any)
	value := object{}
	for _, name := range required {
		if value[name.(string)], ok = c.example(properties[name.(string)]); !ok {
			return nil, false
		}
	}
	return value, true
}

// ecmaEscape is how JSON Schema names a character in a pattern (ECMA-262).
var ecmaEscape = regexp.MustCompile(`\\u([0-9a-fA-F]{4})`)

func exampleString(s object) (_ any, ok bool) {
	pattern, _ := s["pattern"].(string)
	re, err := regexp.Compile(ecmaEscape.ReplaceAllString(pattern, `\x{$1}`))
	if err != nil {
		return nil, false
	}
	least, _ := s["minLength"].(float64)
	most, limited := s["maxLength"].(float64)
	for _, sample := range samples {
		n := float64(len(sample))
		if re.MatchString(sample) && n >= least && (n <= most || !limited) {
			return sample, true
		}
	}
	return nil, false
}
