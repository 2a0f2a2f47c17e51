// Package openapi describes the HTTP API as OpenAPI 3.1. Most of the
// description, openapi.json, is the same for every server. The server's
// commands, state and problems are added to it.
package openapi

import (
	_ "embed"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/chorus-services/swoosh/internal/canon"
)

//go:embed openapi.json
var fixed []byte

// Server holds what differs between the descriptions of two servers.
type Server struct {
	Version  string // the program's
	Commands []Command
	Domains  []Domain
	Problems []Problem
}

// Command is a command of the catalogue.
type Command struct {
	Name     string
	Summary  string
	Domain   string
	Region   string
	From     []string // phases
	To       []string
	Schema   jsontext.Value // JSON Schema of the payload, which is an object
	Refusals []string       // codes
	Role     string         // the least role a caller needs
	Timer    string         // when the server posts it by itself; empty: never
	Signed   string         // "may" or "must" be signed; empty: not
	Result   jsontext.Value // JSON Schema of the result; nil: none
}

// Domain is a part of the state's document.
type Domain struct {
	Name   string
	Fields []Member
	Tables []Member
}

// Member is a member of a domain. Schema is the JSON Schema of its value, or
// of a table's row, in which members that are zero are left out.
type Member struct {
	Name   string
	Schema jsontext.Value
	Key    jsontext.Value // JSON Schema of a table's keys
}

// Problem is a code of problem documents. Meaning and Next are sentences.
type Problem struct {
	Code    string
	Status  int
	Title   string
	Meaning string
	Next    string
}

// object is a decoded JSON object.
type object = map[string]any

// Document returns the description as canonical JSON. It fails if a schema
// nests too deeply for canonical JSON.
func Document(s Server) ([]byte, error) {
	d := decode(fixed).(object)
	at(d, "info")["version"] = s.Version
	components := at(d, "components")
	describeState(at(components, "schemas"), s.Domains)
	describeCommands(at(components, "schemas"), s.Commands)
	for _, p := range s.Problems {
		if _, fixed := at(components, "examples")[p.Code]; !fixed {
			p.addTo(d)
		}
	}
	describeProblems(components, s.Problems)
	for _, body := range at(d, "paths", "/command", "post", "requestBody", "content") {
		addExample(body.(object), at(components, "schemas"))
	}
	doc, err := canon.Canonicalize(encode(d))
	if err != nil {
		return nil, fmt.Errorf("the description of the API is not canonical JSON: %w", err)
	}
	return doc, nil
}

// at returns the object at a path of member names. It panics if there is none.
func at(o object, names ...string) object {
	for _, name := range names {
		o = o[name].(object)
	}
	return o
}

// decode decodes a JSON value, with objects as maps and arrays as []any. It
// panics if raw is not JSON, since all schemas come from the codecs.
func decode(raw []byte) (v any) {
	if err := json.Unmarshal(raw, &v); err != nil {
		panic(err)
	}
	return v
}

// encode encodes v as JSON. Bytes that are not UTF-8, which the summaries of an
// embedding program's commands may have, become U+FFFD.
func encode(v any) []byte {
	b, err := json.Marshal(v, jsontext.AllowInvalidUTF8(true))
	if err != nil {
		panic(err) // v is decoded JSON and text.
	}
	return b
}

const refPrefix = "#/components/schemas/"

func ref(name string) object { return object{"$ref": refPrefix + name} }

// describeCommands adds two schemas for each command: its payload's, named
// after the command, and its envelope's; and a third for its result, if it has
// one. Command becomes the choice of all envelopes.
func describeCommands(schemas object, commands []Command) {
	variants, mapping := []any{}, at(schemas, "Command", "discriminator", "mapping")
	for _, c := range commands {
		variant := "Command." + c.Name
		schemas[c.Name], schemas[variant] = c.schemas(schemas)
		if c.Result != nil {
			result := "Result." + c.Name
			schemas[result] = decode(c.Result)
			at(schemas, variant)["x-result"] = result
		}
		variants = append(variants, ref(variant))
		mapping[c.Name] = refPrefix + variant
	}
	at(schemas, "Command")["oneOf"] = variants
}

// schemas returns the schemas of the payload and of the envelope.
func (c Command) schemas(all object) (payload, envelope object) {
	payload = decode(c.Schema).(object)
	required := []any{"command"}
	if members, _ := payload["required"].([]any); len(members) > 0 {
		required = append(required, "payload")
	}
	envelope = object{
		"description": c.Summary, "type": "object",
		"allOf":      []any{ref("Envelope")},
		"properties": object{"command": object{"type": "string", "const": c.Name}, "payload": ref(c.Name)},
		"required":   required,
		"x-domain":   c.Domain, "x-region": c.Region, "x-from": c.From, "x-to": c.To,
		"x-refusals": c.Refusals, "x-role": c.Role,
	}
	if c.Timer != "" {
		envelope["x-timer"] = c.Timer
	}
	if c.Signed != "" {
		envelope["x-signed"] = c.Signed
	}
	if example, ok := exampleOf(payload, all); ok {
		payload["examples"] = []any{example}
		envelope["examples"] = []any{object{"command": c.Name, "payload": example}}
	}
	return payload, envelope
}

// describeState adds the domains to State, and their tables to the pattern of a
// row's path. Since the document leaves out zero values, a domain has no
// required members.
func describeState(schemas object, domains []Domain) {
	var tables []string
	for _, d := range domains {
		members := object{}
		for _, f := range d.Fields {
			members[f.Name] = decode(f.Schema)
		}
		for _, t := range d.Tables {
			keys := object{"allOf": []any{decode(t.Key), object{"pattern": "^[ -~]+$"}}}
			members[t.Name] = object{"type": "object", "additionalProperties": decode(t.Schema), "propertyNames": keys}
			tables = append(tables, "/"+d.Name+"/"+t.Name)
		}
		at(schemas, "State", "properties")[d.Name] = object{"type": "object", "properties": members, "additionalProperties": false}
	}
	slices.Sort(tables)
	at(schemas, "Expect", "properties", "path")["pattern"] = "^(" + strings.Join(tables, "|") + ")/([ -.0-}]|~[01])+$"
}

// addTo adds a code of a domain: to the lists of codes, and to the responses of
// the routes that ask domains, since a gate may refuse an import too.
func (p Problem) addTo(d object) {
	components := at(d, "components")
	at(components, "examples")[p.Code] = object{"value": object{"happened": "no"}}
	for _, list := range []object{
		at(components, "parameters", "code", "schema"), at(components, "schemas", "Problem", "properties", "code"), at(components, "schemas", "ProblemKind", "properties", "code"),
	} {
		list["enum"] = append(list["enum"].([]any), p.Code)
	}
	all, status := at(components, "responses"), strconv.Itoa(p.Status)
	for _, path := range []string{"/command", "/state"} {
		responses := at(d, "paths", path, "post", "responses")
		name, examples := p.Code, object{}
		if old, has := responses[status].(object); has {
			before := strings.TrimPrefix(old["$ref"].(string), responsePrefix)
			name = before + "." + p.Code
			maps.Copy(examples, at(all, before, "content", "application/problem+json", "examples"))
		}
		examples[p.Code] = object{"$ref": "#/components/examples/" + p.Code}
		all[name] = object{
			"headers": at(all, "internal", "headers"),
			"content": object{"application/problem+json": object{"schema": ref("Problem"), "examples": examples}},
		}
		responses[status] = object{"$ref": responsePrefix + name}
	}
}

const responsePrefix = "#/components/responses/"

// describeProblems completes the examples of the codes, and describes the
// responses, which are named after their codes.
func describeProblems(components object, problems []Problem) {
	titles := map[string]string{}
	for _, p := range problems {
		titles[p.Code] = p.Title
		example := at(components, "examples", p.Code)
		example["summary"], example["description"] = p.Meaning, p.Next
		maps.Copy(at(example, "value"), object{
			"type": "/problems/" + p.Code, "title": p.Title, "status": p.Status, "detail": p.Meaning, "code": p.Code,
		})
	}
	for name, response := range at(components, "responses") {
		var all []string
		for code := range strings.SplitSeq(name, ".") {
			all = append(all, titles[code])
		}
		response.(object)["description"] = strings.Join(all, "; ")
	}
}

// addExample adds an example to a body, if there is one for its schema. A body
// with x-item is text with one value of such a schema per line.
func addExample(body, schemas object) {
	item := body["schema"]
	names, lines := body["x-item"].([]any)
	if lines {
		item = ref(names[0].(string))
	}
	example, ok := exampleOf(item, schemas)
	if !ok {
		return
	}
	if body["example"] = example; lines {
		text, _ := canon.Canonicalize(encode(example)) // Document canonicalises it again and returns the error.
		body["example"] = string(text) + "\n"
	}
}
