package program

import (
	"encoding/json"
	"fmt"
	"regexp"
	"slices"

	"github.com/chorus-services/swoosh"
)

// sample is a command with a payload for help texts. The engine knows no domain,
// so the payload is made from the command's JSON Schema.
type sample struct {
	name, domain, payload string
}

// sampleOf returns a sample of the first command that creates something, else of
// the first that every writer may send. ok is false if no payload can be made.
func sampleOf(parts []swoosh.Part) (s sample, ok bool) {
	all := swoosh.Describe(parts...)
	all = slices.DeleteFunc(all, func(c swoosh.CommandInfo) bool {
		return c.Privileged || c.Signed == "must" || c.Needs > swoosh.RoleWrite
	})
	slices.SortStableFunc(all, func(a, b swoosh.CommandInfo) int {
		switch {
		case a.Creates == b.Creates:
			return 0
		case a.Creates:
			return -1
		}
		return 1
	})
	for _, c := range all {
		if payload, ok := samplePayload(c.Schema); ok {
			return sample{c.Name, c.Domain, payload}, true
		}
	}
	return sample{}, false
}

// schema is what a sample needs of a JSON Schema.
type schema struct {
	Type       string             `json:"type"`
	Properties map[string]*schema `json:"properties"`
	Required   []string           `json:"required"`
	Items      *schema            `json:"items"`
	MinItems   int                `json:"minItems"`
	Minimum    json.Number        `json:"minimum"`
	MinLength  int                `json:"minLength"`
	MaxLength  *int               `json:"maxLength"`
	Pattern    string             `json:"pattern"`
}

// samplePayload returns a payload that a schema allows, with the required members
// only. ok is false if it finds none.
func samplePayload(of []byte) (payload string, ok bool) {
	var s schema
	if json.Unmarshal(of, &s) != nil {
		return "", false
	}
	v, ok := s.sample()
	if !ok {
		return "", false
	}
	b, err := json.Marshal(v)
	return string(b), err == nil
}

func (s *schema) sample() (v any, ok bool) {
	switch s.Type {
	case "object":
		object := map[string]any{}
		for _, name := range s.Required {
			if s.Properties[name] == nil {
				return nil, false
			}
			if object[name], ok = s.Properties[name].sample(); !ok {
				return nil, false
			}
		}
		return object, true
	case "array":
		array := []any{}
		if s.MinItems > 0 {
			if s.MinItems > 1 || s.Items == nil {
				return nil, false
			}
			item, ok := s.Items.sample()
			return append(array, item), ok
		}
		return array, true
	case "string":
		return s.sampleString()
	case "integer":
		if s.Minimum != "" {
			return s.Minimum, true
		}
		return 1, true
	case "boolean":
		return true, true
	}
	return nil, false
}

// unicodeEscape is a character in a pattern of JSON Schema; Go writes it \x{0000}.
var unicodeEscape = regexp.MustCompile(`\\u([0-9a-f]{4})`)

// sampleString returns the first word that fits: for names, numbers and hashes.
func (s *schema) sampleString() (v any, ok bool) {
	pattern, err := regexp.Compile(unicodeEscape.ReplaceAllString(s.Pattern, `\x{$1}`))
	if err != nil {
		return nil, false
	}
	for _, word := range []string{"demo", "1", "demo-demo-demo-demo", fmt.Sprintf("%064d", 0)} {
		if len(word) >= s.MinLength && (s.MaxLength == nil || len(word) <= *s.MaxLength) && pattern.MatchString(word) {
			return word, true
		}
	}
	return nil, false
}

// commandExamples are the examples of the command that sends commands.
func (a *app) commandExamples() string {
	stream := "  {program} command - --json < commands.ndjson"
	s, ok := sampleOf(a.parts)
	if !ok {
		return stream
	}
	return fmt.Sprintf("  {program} command %s '%s'\n  {program} command %s - < payload.json\n", s.name, s.payload, s.name) + stream
}

// stateExamples are the examples of the command that prints the state.
func (a *app) stateExamples() string {
	part := "/meta"
	if s, ok := sampleOf(a.parts); ok {
		part = "/" + s.domain
	}
	return "  {program} state --path " + part + "\n  {program} state --at 2 --json > state-2.json"
}

// explainExample is the example of the command that explains a command.
func (a *app) explainExample() string {
	s, ok := sampleOf(a.parts)
	if !ok {
		return "  {program} commands --json | jq -r '.commands[].name'"
	}
	return "  {program} commands " + s.name + " --json | jq .schema"
}
