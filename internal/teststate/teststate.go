// Package teststate tests that the State of /openapi.json and an import of a state
// say the same of each member.
package teststate

import (
	"bytes"
	"encoding/json"
	"errors"
	"maps"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"github.com/stretchr/testify/require"

	"github.com/chorus-services/swoosh"
	"github.com/chorus-services/swoosh/swooshtest"
)

// State has the State that a server describes.
type State struct {
	schema object // as JSON
	check  *jsonschema.Schema
}

type object = map[string]any

// ecmaEscape matches character escapes of JSON Schema patterns (ECMA-262), which
// Go writes differently.
var ecmaEscape = regexp.MustCompile(`\\u([0-9a-f]{4})`)

// Of returns the State of an engine.
func Of(t testing.TB, e *swoosh.Engine) *State {
	t.Helper()
	api := swoosh.NewAPI(swoosh.APIOptions{Loopback: true})
	api.Attach(e)
	t.Cleanup(api.Stop) // before the engine is closed
	answer := httptest.NewRecorder()
	api.ServeHTTP(answer, httptest.NewRequest("GET", "http://localhost/openapi.json", nil))
	document, err := jsonschema.UnmarshalJSON(answer.Body)
	require.NoError(t, err)
	c := jsonschema.NewCompiler()
	c.UseRegexpEngine(func(pattern string) (jsonschema.Regexp, error) {
		return regexp.Compile(ecmaEscape.ReplaceAllString(pattern, `\x{$1}`))
	})
	require.NoError(t, c.AddResource("openapi.json", document))
	s := &State{}
	s.check, err = c.Compile("openapi.json#/components/schemas/State")
	require.NoError(t, err)
	s.schema = document.(object)["components"].(object)["schemas"].(object)["State"].(object)
	return s
}

// Fits returns how a document differs from the schema.
func (s *State) Fits(document []byte) error {
	value, err := jsonschema.UnmarshalJSON(bytes.NewReader(document))
	if err != nil {
		return err
	}
	return s.check.Validate(value)
}

// RequireSame makes a state of the parts that has everything, changes it in one place
// at a time, across each bound and up to it, and requires that the schema refuses what
// an import refuses, and nothing else. What State.Validate says of the members
// together is left out, and what no schema can say: sizes in bytes, and elements
// that differ but have the same key.
func RequireSame(t *testing.T, parts ...swoosh.Part) {
	t.Helper()
	e := swooshtest.Open(t, swoosh.Options{}, parts...)
	s := Of(t, e)
	domains := maps.Clone(s.schema["properties"].(object))
	delete(domains, "meta")
	said := map[bool]int{}
	for name, domain := range domains {
		whole := sample(t, domain.(object))
		for i, value := range append([]any{whole}, changed(t, domain.(object), whole)...) {
			document := object{"meta": object{"version": 1}, name: value}
			text, err := json.Marshal(document)
			require.NoError(t, err)
			refused := s.Fits(text)
			faults := importFaults(t, e, document)
			require.Equal(t, faults == nil, refused == nil, "an import says %v, the schema %v, of\n%.2000s", faults, refused, text)
			require.True(t, i > 0 || faults == nil, "%v", faults)
			said[faults == nil]++
		}
	}
	t.Logf("%d documents were taken, %d refused", said[true], said[false])
	require.Greater(t, min(said[true], said[false]), 10)
}

// importFaults returns what an import refuses of a document before it asks the
// domains: it does not ask them because of a domain that is not there, and changes
// nothing.
func importFaults(t *testing.T, e *swoosh.Engine, document object) (faults []swoosh.FieldError) {
	document = maps.Clone(document)
	document["~"] = object{}
	text, err := json.Marshal(document)
	require.NoError(t, err)
	_, err = e.Import(t.Context(), nil, bytes.NewReader(text))
	var refused *swoosh.Error
	require.True(t, errors.As(err, &refused), "%v", err)
	require.True(t, swoosh.InvalidState.Is(err), "%v", err)
	for _, f := range refused.Errors {
		if f.Pointer != "/~0" {
			faults = append(faults, f)
		}
	}
	return faults
}

// words are strings, of which some fit any schema of a stock type.
var words = []string{
	"a", "n1", "n4294967295", "n4294967296", "n01", "localhost", "open", "admin", "n1.n2", "a.n1", "n1.a", "n1.n9999999999", "session-1", "", "-", "a-", "A", "a b", " ", "ä", "~", "a/b", "a\n", "\x00", "\u007f", "\u0085", "\u2028", "a.b", "a..b", "a.b.c", "a.b.c.d", "a.b.c.d.e", ".b",
	"node:n1", "node:n4294967295", "node:n4294967296", "node:n01", "node:a", "owner:a", "owner:", "owner:-a", "project:" + strings.Repeat("a", 63), "project:" + strings.Repeat("a", 64), "tag:a",
	"0197a2b4c6d8-0003-n1", "0197A2b4c6d8-0003-n1", "0197a2b4c6d8-0003-", "0197a2b4c6d8-0003-n.1", "0197a2b4c6d8-003-n1", "x0197a2b4c6d8-0003-n1",
	"0197a2b4c6d8-0003-" + strings.Repeat("n", 63), "0197a2b4c6d8-0003-" + strings.Repeat("n", 64),
	"execution.submit", "execution.submit.alpha", "execution.submit.a.b", "execution.submit.", "execution.Submit", "policy.release", "fleet.register", "fleet.register.alpha", "fleet.registered",
	strings.Repeat("0a", 32) + ".n1", strings.Repeat("0a", 32) + ".n9999999999", strings.Repeat("0a", 32) + "n1", strings.Repeat("0A", 32) + ".n1",
	content("a.b", "k", "{}"), content("a.b", "k", "[]"), content("a.b", "", "{}"), content("a.b", "k k", "{}"), content("a", "k", "{}"), content("a.b", "k", "{\"a\":\"\u2028\"}"), content("a.b", "k", "{}") + " ",
	strings.Repeat("0a", 32), strings.Repeat("0A", 32), strings.Repeat("0a", 31), strings.Repeat("a", 63) + ".b", strings.Repeat("a", 64) + ".b",
}

// content returns the text of a command that approvals are asked for.
func content(command, key, payload string) string {
	return `{"command":"` + command + `","idempotency_key":"` + key + `","key_since":"0197a2b4c6d8-0003-n1","payload":` + payload + `}`
}

// fits reports whether a value fits the part of a schema.
func fits(t *testing.T, schema object, value any) bool {
	c := jsonschema.NewCompiler()
	c.UseRegexpEngine(func(pattern string) (jsonschema.Regexp, error) {
		return regexp.Compile(ecmaEscape.ReplaceAllString(pattern, `\x{$1}`))
	})
	require.NoError(t, c.AddResource("part.json", schema))
	part, err := c.Compile("part.json")
	require.NoError(t, err)
	return part.Validate(value) == nil
}

// word returns a string that fits a schema.
func word(t *testing.T, schema object) string {
	for _, w := range words {
		if fits(t, schema, w) {
			return w
		}
	}
	require.Fail(t, "no word fits", "%v", schema)
	return ""
}

// sample returns a value that has everything.
func sample(t *testing.T, schema object) any {
	switch schema["type"] {
	case "object":
		value := object{}
		for name, member := range properties(schema) {
			value[name] = sample(t, member.(object))
		}
		if row, ok := schema["additionalProperties"].(object); ok {
			value[word(t, schema["propertyNames"].(object))] = sample(t, row)
		}
		return value
	case "array":
		return []any{sample(t, schema["items"].(object))}
	case "integer":
		return max(bound(schema, "minimum", 1), 1)
	case "boolean":
		return true
	case "string":
		return word(t, schema)
	}
	return object{"any": []any{1}}
}

func properties(schema object) object {
	all, _ := schema["properties"].(object)
	return all
}

// bound returns a number of a schema.
func bound(schema object, name string, none int64) int64 {
	if n, ok := schema[name].(json.Number); ok {
		i, _ := n.Int64()
		return i
	}
	return none
}

// changed returns the value with one change each.
func changed(t *testing.T, schema object, value any) []any {
	all := []any{nil, true, 0, -1, 1, 0.5, 1e15, int64(1)<<53 - 1, "x", []any{}, []any{nil}, object{}, object{"unknown": 1}}
	switch v := value.(type) {
	case object:
		for name, member := range properties(schema) {
			rest := maps.Clone(v)
			delete(rest, name)
			all = append(all, rest)
			all = with(all, v, name, changed(t, member.(object), v[name]))
		}
		all = with(all, v, "unknown", []any{1, object{}})
		if row, isTable := schema["additionalProperties"].(object); isTable {
			key := word(t, schema["propertyNames"].(object))
			all = with(all, v, key, changed(t, row, v[key]))
			for _, w := range words {
				all = append(all, object{w: v[key]})
			}
		}
	case []any:
		items := schema["items"].(object)
		for _, one := range changed(t, items, v[0]) {
			all = append(all, []any{one})
		}
		all = append(all, []any{v[0], v[0]})
		if most := int(bound(schema, "maxItems", 0)); most > 0 {
			all = append(all, several(items, v[0], most), several(items, v[0], most+1))
		}
	case string:
		for _, w := range words {
			all = append(all, w)
		}
		least, most := int(bound(schema, "minLength", 1)), int(bound(schema, "maxLength", 100))
		for _, n := range []int{max(least-1, 0), least, most, most + 1} {
			all = append(all, strings.Repeat("a", n))
			if most < 1<<16 { // beyond, bytes are counted
				all = append(all, strings.Repeat("ä", n))
			}
		}
	case int64:
		low, high := bound(schema, "minimum", 0), bound(schema, "maximum", 0)
		all = append(all, low-1, low, high, high+1, high/2)
	}
	return all
}

// with adds the object with one member replaced by each of the values.
func with(all []any, o object, name string, values []any) []any {
	for _, v := range values {
		other := maps.Clone(o)
		other[name] = v
		all = append(all, other)
	}
	return all
}

// several returns so many elements with different keys.
func several(items object, one any, n int) []any {
	list := make([]any, n)
	for i := range list {
		name := "e" + strings.Repeat("x", i%50) + string(rune('a'+i/50%26))
		o, ok := one.(object)
		if !ok {
			list[i] = name
			continue
		}
		o = maps.Clone(o)
		keys, _ := items["required"].([]any)
		for _, key := range keys {
			o[key.(string)] = name
		}
		list[i] = o
	}
	return list
}
