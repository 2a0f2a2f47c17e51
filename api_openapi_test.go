package swoosh_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/gowebpki/jcs"
	"github.com/stretchr/testify/require"

	"github.com/chorus-services/swoosh"
	"github.com/chorus-services/swoosh/approval"
	"github.com/chorus-services/swoosh/fleet"
	"github.com/chorus-services/swoosh/internal/testrun"
	"github.com/chorus-services/swoosh/project"
	"github.com/chorus-services/swoosh/system"
)

// whole serves all domains of the repository.
func whole(t testing.TB) *site {
	return open(t, swoosh.Options{}, append(system.Parts(), fleet.Domain, project.Domain, approval.Domain)...)
}

// goPattern matches character escapes of JSON Schema patterns (ECMA-262), which
// Go writes differently.
var goPattern = regexp.MustCompile(`\\\\u([0-9a-f]{4})`)

func TestOpenAPIIsValid(t *testing.T) {
	for _, s := range []*site{whole(t), open(t, swoosh.Options{})} {
		text := goPattern.ReplaceAllString(s.get("/openapi.json").body, `\\x{$1}`)
		doc, err := openapi3.NewLoader().LoadFromData([]byte(text))
		require.NoError(t, err)
		require.True(t, doc.IsOpenAPI31OrLater())
		require.NoError(t, doc.Validate(t.Context(), openapi3.EnableExamplesValidation()))
		require.Equal(t, "v1", doc.Info.Version)
	}
}

func TestOpenAPIIsTheSameEachTime(t *testing.T) {
	first := whole(t).get("/openapi.json").body
	require.Equal(t, first, whole(t).get("/openapi.json").body)
	canonical, err := jcs.Transform([]byte(first))
	require.NoError(t, err)
	require.Equal(t, string(canonical)+"\n", first)
	require.Less(t, len(first), 192<<10, "a person reads it")
	require.NotContains(t, first, "http://", "it needs no other page")
}

// TestOpenAPIHasEveryRoute with its summary and the role that it needs.
func TestOpenAPIHasEveryRoute(t *testing.T) {
	s := whole(t)
	d := describe(s)
	var listed []string
	for path, methods := range d.object("paths") {
		for method := range methods.(map[string]any) {
			listed = append(listed, strings.ToUpper(method)+" "+path)
		}
	}
	var list struct {
		Routes []struct{ Method, Path, Summary string }
	}
	s.get("/").json(&list)
	for _, r := range list.Routes {
		require.Equal(t, r.Summary, d.object("paths", r.Path, strings.ToLower(r.Method))["summary"])
	}
	routes, _ := contract(t, "testdata/api_routes.txt")
	require.ElementsMatch(t, routes, listed)
	for route, needed := range least(t) {
		method, path, _ := strings.Cut(route, " ")
		if method == "COMMAND" {
			continue
		}
		operation := d.object("paths", path, strings.ToLower(method))
		if needed == "anybody" {
			require.NotContains(t, operation, "x-role", route)
			require.Equal(t, []any{}, operation["security"], route)
			continue
		}
		require.Equal(t, needed, operation["x-role"], route)
		require.Equal(t, []any{map[string]any{"token": []any{needed}}}, operation["security"], route)
	}
}

// TestOpenAPIHasEveryCode, each with an example and in a response.
func TestOpenAPIHasEveryCode(t *testing.T) {
	d := describe(whole(t))
	lines, _ := contract(t, "testdata/api_codes.txt")
	lines = append(lines, "window_closed 423", "approval_needed 403") // of the stock domains
	answered := map[string]bool{}
	for name := range d.object("components", "responses") {
		for _, code := range strings.Split(name, ".") {
			answered[code] = true
		}
	}
	for _, line := range lines {
		code, _, _ := strings.Cut(line, " ")
		example := d.object("components", "examples", code)
		value := example["value"].(map[string]any)
		require.Equal(t, line, fmt.Sprint(value["code"], " ", value["status"]))
		require.NoError(t, d.fits(value, "components", "schemas", "Problem"))
		require.NotEmpty(t, example["description"])
		require.True(t, answered[code], "%s is in no response", code)
	}
	require.Len(t, d.object("components", "examples"), len(lines))
	require.Len(t, answered, len(lines))
}

// TestOpenAPIHasEveryCommand, as in the catalogue, with an example that the
// server accepts as well formed.
func TestOpenAPIHasEveryCommand(t *testing.T) {
	s := whole(t)
	d := describe(s)
	var list struct {
		Commands []struct {
			Name, Summary, Domain, Region, Role string
			From, To, Refusals                  []string
			Schema                              json.RawMessage
		}
	}
	s.get("/commands").json(&list)
	require.Len(t, d.object("components", "schemas", "Command")["oneOf"], len(list.Commands))
	for _, c := range list.Commands {
		payload := d.object("components", "schemas", c.Name)
		examples := payload["examples"].([]any)
		delete(payload, "examples")
		require.JSONEq(t, string(c.Schema), text(payload))

		variant := d.object("components", "schemas", "Command."+c.Name)
		require.JSONEq(t, text([]any{c.Summary, c.Domain, c.Region, c.Role, c.From, c.To, c.Refusals}), text([]any{
			variant["description"], variant["x-domain"], variant["x-region"], variant["x-role"], variant["x-from"], variant["x-to"], variant["x-refusals"]}))
		example := variant["examples"].([]any)[0].(map[string]any)
		require.Equal(t, c.Name, example["command"])
		require.Equal(t, examples[0], example["payload"])
		require.NoError(t, d.fits(example, "components", "schemas", "Command"))
		r := s.command(text(example))
		require.NotContains(t, []int{400, 422}, r.status, r.body)
	}
}

// TestCommandsAreTakenAsDescribed changes the example of every command in many
// ways: the server refuses what does not fit the document, and nothing else.
func TestCommandsAreTakenAsDescribed(t *testing.T) {
	testrun.SkipUnderRace(t)
	s := whole(t)
	d := describe(s)
	examples := envelopes
	for _, ref := range d.object("components", "schemas", "Command")["oneOf"].([]any) {
		variant := strings.TrimPrefix(ref.(map[string]any)["$ref"].(string), "#/components/schemas/")
		examples = append(examples, text(d.object("components", "schemas", variant)["examples"].([]any)[0]))
	}
	asked := map[bool]int{}
	for _, example := range examples {
		var body any
		require.NoError(t, json.Unmarshal([]byte(example), &body))
		for _, body := range spoiled(body) {
			fits := d.fits(body, "components", "schemas", "Command") == nil
			r := s.command(text(body))
			formed := r.status < 400 || !slices.Contains([]any{"malformed_request", "unknown_command", "invalid_payload"}, r.object()["code"])
			require.Equal(t, formed, fits, "%s\n%s", text(body), r.body)
			asked[fits]++
		}
	}
	require.Greater(t, asked[true], 100)
	require.Greater(t, asked[false], 1000)
}

// envelopes have the members that are allowed besides command and payload.
var envelopes = []string{
	`{"command":"control.resume","idempotency_key":"k","key_since":"0197a2b4c000-0000-n1","hlc":"000000000001-ffff-a-b"}`,
	`{"command":"control.resume","signer":"n","signature":"c2lnbg==","window_id":"w","evidence":["a","b"]}`,
	`{"command":"control.resume","expect":{"index":9},"inputs_hash":"` + strings.Repeat("0a", 32) + `"}`,
	`{"command":"control.resume","expect":{"state_hash":"` + strings.Repeat("0a", 32) + `","index":0}}`,
	`{"command":"control.resume","expect":{"path":"/project/projects/alpha","hash":""},"signature":"c2ln"}`,
}

// spoiled returns v with each of its values replaced, left out, or joined by an
// unknown member.
func spoiled(v any) []any {
	all := []any{v, "", "a b", "ü", "-", "\\", "\"", "\u0000", "\u0085", "/x", true, 0.0, -1.0, 1e15, 1e16, 0.5, []any{}, []any{"x", "x"}, map[string]any{}, map[string]any{"x": 1.0}}
	for _, n := range []int{63, 64, 255, 256, 257, 1024, 1025, 2048, 2049} {
		all = append(all, strings.Repeat("x", n))
	}
	switch v := v.(type) {
	case map[string]any:
		for name, value := range v {
			for _, other := range spoiled(value)[1:] {
				all = append(all, changed(v, name, other))
			}
			all = append(all, changed(v, name, nil))
		}
		all = append(all, changed(v, "unknown", "x"))
	case []any:
		for i, value := range v {
			for _, other := range spoiled(value)[1:] {
				list := slices.Clone(v)
				list[i] = other
				all = append(all, list)
			}
		}
	}
	return all
}

// changed returns object with one member changed, or removed if the new value
// is nil.
func changed(object map[string]any, name string, value any) map[string]any {
	other := maps.Clone(object)
	if other[name] = value; value == nil {
		delete(other, name)
	}
	return other
}

func text(v any) string {
	b, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return string(b)
}
