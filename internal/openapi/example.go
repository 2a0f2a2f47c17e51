package openapi

import (
	"maps"
	"reflect"
	"regexp"
	"slices"
	"strings"
)

// samples are strings that match the patterns of most schemas.
var samples = []string{
	"alpha", "Alpha", "1", "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08", "0197a2b4c6d8-0003-n1",
}

// exampleOf returns a small value that fits a schema, preferably the schema's
// own example. ok is false if it finds none, for example if no sample matches
// the pattern of an embedding program's string type.
func exampleOf(schema any, schemas object) (_ any, ok bool) {
	s, _ := schema.(object)
	if ref, isRef := s["$ref"].(string); isRef {
		return exampleOf(schemas[strings.TrimPrefix(ref, refPrefix)], schemas)
	}
	if value, has := s["const"]; has {
		return value, true
	}
	for _, list := range []string{"examples", "enum"} {
		if values, _ := s[list].([]any); len(values) > 0 {
			return values[0], true
		}
	}
	for _, list := range []string{"oneOf", "anyOf"} {
		if forms, _ := s[list].([]any); len(forms) > 0 {
			return exampleOf(forms[0], schemas)
		}
	}
	switch s["type"] {
	case "object":
		return exampleObject(s, schemas)
	case "array":
		item, ok := exampleOf(s["items"], schemas)
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

// exampleObject returns an object with the required members only, and as many more as it
// must have. Members that have the same examples get different ones, as far as there are
// any.
func exampleObject(s, schemas object) (_ any, ok bool) {
	properties, _ := s["properties"].(object)
	required, _ := s["required"].([]any)
	value := object{}
	names := make([]string, len(required))
	for i, name := range required {
		names[i] = name.(string)
	}
	least, _ := s["minProperties"].(float64)
	for _, name := range slices.Sorted(maps.Keys(properties)) {
		if len(names) < int(least) && !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	for _, name := range names {
		property := properties[name]
		member, ok := exampleOf(property, schemas)
		if !ok {
			return nil, false
		}
		own, _ := property.(object)
		examples, _ := own["examples"].([]any)
		if i := slices.IndexFunc(examples, func(x any) bool { return !has(value, x) }); i >= 0 {
			member = examples[i]
		}
		value[name] = member
	}
	return value, true
}

// has reports whether a member of an object has a value.
func has(o object, value any) bool {
	for _, v := range o {
		if reflect.DeepEqual(v, value) {
			return true
		}
	}
	return false
}

// ecmaEscape matches a character escape in a JSON Schema pattern (ECMA-262).
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
