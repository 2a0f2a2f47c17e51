package openapi_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/go-json-experiment/json/jsontext"
	"github.com/stretchr/testify/require"

	"github.com/chorus-services/swoosh/internal/openapi"
)

func document(t *testing.T, s openapi.Server) map[string]any {
	t.Helper()
	raw, err := openapi.Document(s)
	require.NoError(t, err)
	var doc map[string]any
	require.NoError(t, json.Unmarshal(raw, &doc))
	return doc
}

func at(v any, path ...string) any {
	for _, name := range path {
		v = v.(map[string]any)[name]
	}
	return v
}

// TestExamples: each command has an example if its schema allows one.
func TestExamples(t *testing.T) {
	for schema, want := range map[string]string{
		`{"type":"object","properties":{},"required":[]}`: `{}`,
		`{"type":"object","properties":{"b":{"type":"boolean"},"a":{"const":"x"},"n":{"type":"integer"}},"required":["n"],"minProperties":2}`:        `{"a":"x","n":1}`,
		`{"type":"object","properties":{"n":{"type":"integer","minimum":7},"b":{"type":"boolean"},"c":{"const":"x"}},"required":["n","b","c"]}`:      `{"n":7,"b":false,"c":"x"}`,
		`{"type":"object","properties":{"l":{"type":"array","minItems":1,"items":{"enum":["y","z"]}},"o":{"type":"string"}},"required":["l"]}`:       `{"l":["y"]}`,
		`{"type":"object","properties":{"s":{"type":"string","pattern":"^\\u0041","maxLength":5}},"required":["s"]}`:                                 `{"s":"Alpha"}`,
		`{"type":"object","properties":{"s":{"type":"string","pattern":"^only this$"}},"required":["s"]}`:                                            ``,
		`{"type":"object","properties":{"l":{"type":"array","minItems":2,"items":{"type":"boolean"}}},"required":["l"]}`:                             ``,
		`{"type":"object","properties":{"s":{"type":"string","pattern":"(?=ecma)"}},"required":["s"]}`:                                               ``,
		`{"type":"object","properties":{"s":{"oneOf":[{"type":"string","pattern":"^[0-9]$"},{"type":"integer"}]}},"required":["s"],"examples":[]}`:   `{"s":"1"}`,
		`{"type":"object","properties":{"a":{"examples":["x","y"]},"b":{"examples":["x","y"]},"c":{"examples":["x","y"]}},"required":["b","a","c"]}`: `{"b":"x","a":"y","c":"x"}`,
	} {
		doc := document(t, openapi.Server{Commands: []openapi.Command{{Name: "a.b", Schema: jsontext.Value(schema)}}})
		payload := at(doc, "components", "schemas", "a.b").(map[string]any)
		body := at(doc, "paths", "/command", "post", "requestBody", "content").(map[string]any)
		if want == "" {
			require.Empty(t, payload["examples"], schema)
			require.NotContains(t, at(doc, "components", "schemas", "Command.a.b"), "examples")
			require.NotContains(t, body["application/json"], "example")
			require.NotContains(t, body["application/x-ndjson"], "example")
			continue
		}
		got, err := json.Marshal(payload["examples"])
		require.NoError(t, err)
		require.JSONEq(t, "["+want+"]", string(got), schema)
		require.Equal(t, at(body, "application/json", "example", "payload"), payload["examples"].([]any)[0])
		require.JSONEq(t, `{"command":"a.b","payload":`+want+`}`, at(body, "application/x-ndjson", "example").(string))
	}
}

// TestState: a table describes its rows and its keys.
func TestState(t *testing.T) {
	row, key := `{"type":"object"}`, `{"maxLength":3,"type":"string"}`
	table := openapi.Member{Name: "t", Schema: jsontext.Value(row), Key: jsontext.Value(key)}
	doc := document(t, openapi.Server{Domains: []openapi.Domain{
		{Name: "b", Tables: []openapi.Member{table}},
		{Name: "a", Fields: []openapi.Member{{Name: "f", Schema: jsontext.Value(key)}}, Tables: []openapi.Member{table}},
	}})
	got, err := json.Marshal(at(doc, "components", "schemas", "State", "properties", "a", "properties"))
	require.NoError(t, err)
	require.JSONEq(t, `{"f":`+key+`,"t":{"type":"object","additionalProperties":`+row+`,"propertyNames":{"allOf":[`+key+`,{"pattern":"^[ -~]+$"}]}}}`, string(got))
	require.True(t, strings.HasPrefix(at(doc, "components", "schemas", "Expect", "properties", "path", "pattern").(string), "^(/a/t|/b/t)/"))
}

// TestExtensionsReferToNothing: a generator resolves references wherever they stand,
// but in a member that begins with x- it does not look for what they mean.
func TestExtensionsReferToNothing(t *testing.T) {
	result := jsontext.Value(`{"type":"object"}`)
	doc := document(t, openapi.Server{Commands: []openapi.Command{{Name: "a.b", Schema: result, Result: result, Timer: "x", Signed: "may"}}})
	var walk func(v any, at string, extension bool)
	walk = func(v any, at string, extension bool) {
		switch v := v.(type) {
		case []any:
			for i, one := range v {
				walk(one, fmt.Sprint(at, "/", i), extension)
			}
		case map[string]any:
			for name, one := range v {
				require.False(t, extension && name == "$ref", at)
				walk(one, at+"/"+name, extension || strings.HasPrefix(name, "x-"))
			}
		}
	}
	walk(doc, "", false)
}

// TestProblems: each example is complete, and each response has a title.
func TestProblems(t *testing.T) {
	doc := document(t, openapi.Server{Version: "v9", Problems: []openapi.Problem{
		{Code: "forbidden", Status: 403, Title: "No", Meaning: "It is refused.", Next: "Ask."}, {Code: "unlicensed", Title: "Neither"}, {Code: "guard_rejected", Title: "Nor"}, {Code: "bad_signature", Title: "Nobody"},
	}})
	require.Equal(t, "v9", at(doc, "info", "version"))
	require.Equal(t, map[string]any{"summary": "It is refused.", "description": "Ask.", "value": map[string]any{
		"type": "/problems/forbidden", "title": "No", "status": 403.0, "detail": "It is refused.", "code": "forbidden", "happened": "no",
	}}, at(doc, "components", "examples", "forbidden"))
	require.Equal(t, "No; Nobody; Nor; Neither", at(doc, "components", "responses", "forbidden.bad_signature.guard_rejected.unlicensed", "description"))
}

// TestSummariesMayHoldAnyBytes, but schemas must not nest too deeply.
func TestSummariesMayHoldAnyBytes(t *testing.T) {
	empty := jsontext.Value(`{"type":"object"}`)
	doc := document(t, openapi.Server{Commands: []openapi.Command{{Name: "a.b", Summary: "\xff", Schema: empty}}})
	require.Equal(t, "\ufffd", at(doc, "components", "schemas", "Command.a.b", "description"))
	deep := jsontext.Value(strings.Repeat(`{"items":`, 99) + `{}` + strings.Repeat(`}`, 99))
	_, err := openapi.Document(openapi.Server{Commands: []openapi.Command{{Name: "a.b", Schema: deep}}})
	require.ErrorContains(t, err, "not canonical JSON")
}
