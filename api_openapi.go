package swoosh

import (
	"cmp"
	"fmt"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/chorus-services/swoosh/internal/canon"
)

// openAPIAbout says once what holds for every route.
const openAPIAbout = `HEAD works wherever GET does, without a body (not on /watch). OPTIONS answers 204 with Allow. ` +
	`Another method is refused as method_not_allowed, a path that is not listed as not_found. ` +
	`Every answer says where the log stands, in Swoosh-Index and Swoosh-HLC. ` +
	`Refusals are problem documents (RFC 9457); programs branch on code. ` +
	`Answers may get more members in later versions, so ignore those that you do not know; what is sent may have no others. ` +
	`x-role is the least role that a route or a command needs; a server that was started without tokens asks nobody. ` +
	`Where a body is text of many values, one a line or one an event, x-item is the schema of each.`

// getOpenAPI gives the contract as OpenAPI 3.1, canonical.
func (x *exchange) getOpenAPI() error {
	doc, err := canon.Canonicalize(encode(x.api.openAPI(x.engine)))
	if err != nil {
		return fmt.Errorf("the description of the API is not JSON: %w", err)
	}
	return x.json(http.StatusOK, jsontext.Value(doc))
}

// openAPI makes the document from the routes, the kinds, and the domains'
// lists.
func (a *API) openAPI(e *Engine) object {
	c := &components{object{}, members(), e.cat, e.defs}
	d := &openAPI{components: c, responses: object{}, parameters: object{}}
	d.refusals([]Kind{MethodNotAllowed}) // It belongs to no operation.
	paths := object{}
	for i := range a.routes {
		r := &a.routes[i]
		methods, ok := paths[r.path].(object)
		if !ok {
			methods = object{}
			paths[r.path] = methods
		}
		methods[strings.ToLower(r.method)] = d.operation(r)
	}
	return object{
		"openapi": "3.1.0",
		"info":    object{"title": "Swoosh", "version": cmp.Or(a.o.Version, "unknown"), "description": openAPIAbout},
		"servers": []any{object{"url": "/"}},
		"paths":   paths,
		"components": object{
			"schemas": c.schemas, "responses": d.responses, "parameters": d.parameters,
			"examples": c.problemExamples(), "headers": d.headers(),
			"securitySchemes": object{
				"token":       object{"type": "http", "scheme": "bearer", "description": "a token that the server knows, with a role"},
				"certificate": object{"type": "mutualTLS", "description": "a client certificate, whose common name the server knows"},
			},
		},
	}
}

// openAPI is a document that is being made.
type openAPI struct {
	*components
	responses, parameters object
}

func (d *openAPI) operation(r *route) object {
	o := object{"operationId": operationID(r), "summary": r.summary, "responses": d.answers(r)}
	if names := slices.Concat(pathVariables(r.path), r.parameters, r.headers); names != nil {
		var all []any
		for _, name := range names {
			all = append(all, d.parameter(name))
		}
		o["parameters"] = all
	}
	if r.takes != nil {
		o["requestBody"] = object{"required": true, "content": d.contents(r.takes, 0)}
	}
	if r.role != NoRole {
		roles := []string{r.role.String()}
		o["security"] = []any{object{"token": roles}, object{"certificate": roles}}
		o["x-role"] = r.role.String()
	}
	return o
}

var pathVariable = regexp.MustCompile(`\{([a-z]+)\}`)

func pathVariables(path string) (names []string) {
	for _, found := range pathVariable.FindAllStringSubmatch(path, -1) {
		names = append(names, found[1])
	}
	return names
}

// operationID is the method and the path in one word, such as getLogIndex.
func operationID(r *route) string {
	id := strings.ToLower(r.method)
	for _, word := range strings.FieldsFunc(r.path, func(c rune) bool { return c < 'a' || c > 'z' }) {
		id += strings.ToUpper(word[:1]) + word[1:]
	}
	if r.path == "/" {
		id += "Routes"
	}
	return id
}

// parameter gives a reference to what a name means.
func (d *openAPI) parameter(name string) any {
	p := parameters[name]
	d.parameters[name] = object{
		"name": name, "in": p.in, "required": p.in == "path", "description": p.description, "schema": p.form(d.components),
	}
	return object{"$ref": "#/components/parameters/" + name}
}

// answers are the responses of a route by status.
func (d *openAPI) answers(r *route) object {
	all := object{}
	byStatus := map[int][]Kind{}
	for _, k := range r.kinds() {
		byStatus[k.Status()] = append(byStatus[k.Status()], k)
	}
	for status, kinds := range byStatus {
		all[strconv.Itoa(status)] = d.refusals(kinds)
	}
	for _, g := range r.gives {
		status := cmp.Or(g.status, http.StatusOK)
		headers := headerRefs("Swoosh-Index", "Swoosh-HLC")
		if slices.Contains(r.headers, "If-None-Match") {
			headers = headerRefs("Swoosh-Index", "Swoosh-HLC", "ETag")
			all[strconv.Itoa(http.StatusNotModified)] = object{"description": http.StatusText(http.StatusNotModified), "headers": headers}
		}
		all[strconv.Itoa(status)] = object{
			"description": http.StatusText(status), "headers": headers, "content": d.contents(r.gives, g.status),
		}
	}
	return all
}

// contents are the bodies of a status by media type, an example each.
func (d *openAPI) contents(of []content, status int) object {
	all := object{}
	for _, one := range of {
		if one.status == status {
			all[one.media] = d.content(one)
		}
	}
	return all
}

func (d *openAPI) content(one content) object {
	if one.form == nil {
		return object{"schema": object{"type": "string"}, "example": one.sample}
	}
	schema := plainJSON(one.form(d.components))
	example, ok := d.example(schema)
	described := object{"schema": schema}
	if one.items {
		described = object{"schema": object{"type": "string"}, "x-item": schema}
		text, _ := canon.Canonicalize(encode(example))
		example = string(text) + "\n"
		if one.media == typeEvents {
			example = "id: 1\nevent: entry\ndata: " + string(text) + "\n\n"
		}
	}
	if ok {
		described["example"] = example
	}
	return described
}

// refusals gives a reference to the response for kinds of one status, which is
// named after their codes.
func (d *openAPI) refusals(kinds []Kind) any {
	slices.Sort(kinds)
	var codes, titles []string
	headers, examples := []string{"Swoosh-Index", "Swoosh-HLC"}, object{}
	for _, k := range slices.Compact(kinds) {
		codes, titles = append(codes, k.Code()), append(titles, k.Title())
		headers = append(headers, headersOf(k)...)
		examples[k.Code()] = object{"$ref": "#/components/examples/" + k.Code()}
	}
	name := strings.Join(codes, ".")
	d.responses[name] = object{
		"description": strings.Join(titles, "; "), "headers": headerRefs(headers...),
		"content": object{"application/problem+json": object{"schema": of[problem]()(d.components), "examples": examples}},
	}
	return object{"$ref": "#/components/responses/" + name}
}

// headersOf are those that a refusal of a kind brings.
func headersOf(k Kind) []string {
	switch k {
	case Unauthorized:
		return []string{"WWW-Authenticate"}
	case MethodNotAllowed:
		return []string{"Allow"}
	case UnsupportedMediaType:
		return []string{"Accept-Post"}
	case RateLimited:
		return []string{"Retry-After"}
	}
	if _, ok := retryAfter[k]; ok {
		return []string{"Retry-After"}
	}
	return nil
}

func headerRefs(names ...string) object {
	all := object{}
	for _, name := range names {
		all[name] = object{"$ref": "#/components/headers/" + name}
	}
	return all
}

func (d *openAPI) headers() object {
	text := object{"type": "string"}
	return object{
		"Swoosh-Index":     object{"required": true, "description": "the index of the log's last entry", "schema": of[uint64]()(d.components)},
		"Swoosh-HLC":       object{"required": true, "description": "the hlc of the log's last entry", "schema": of[Stamp]()(d.components)},
		"ETag":             object{"description": "of a row of a table its hash, else the state hash; in quotes", "schema": like(`^"`+hashPattern+`"$`, "")(d.components)},
		"Retry-After":      object{"description": "seconds to wait", "schema": like("^[0-9]+$", "")(d.components)},
		"WWW-Authenticate": object{"description": "Bearer", "schema": text},
		"Accept-Post":      object{"description": "the media types that the route takes", "schema": text},
		"Allow":            object{"description": "the methods that the path takes", "schema": text},
	}
}

// problemExamples have an example for every code.
func (c *components) problemExamples() object {
	all := object{}
	for i := range kinds {
		k := Kind(i)
		all[k.Code()] = object{"summary": k.Meaning(), "description": k.Next(), "value": newProblem(exampleError(k))}
	}
	return all
}

// exampleError is a refusal of a kind with the members that it brings.
func exampleError(k Kind) *Error {
	e := Errorf(k, "%s", k.Meaning())
	switch k {
	case InvalidPayload, MalformedRequest, InvalidState:
		e.Errors = []FieldError{{Pointer: "/payload/name", Detail: "is required"}}
	case InvalidPhase:
		e.Region, e.Phase, e.AllowedFrom = "council", "PLAN_ROLES", []string{"ELECT"}
	case Conflict:
		e.BlockedBy = []string{"council: ELECT"}
	case GuardRejected:
		e.Guards = []Verdict{{"quota", false, "the quota is used up"}}
	case StaleState:
		e.Index, e.StateHash = new(uint64(42)), new(Hash)
	case ClockSkew:
		e.HLC = Stamp{WallMS: 0x0197a2b4c6d8, Counter: 3, Node: "n1"}
	case Starting:
		e.Applied, e.Target = 1, 9
	case Internal:
		e.Instance = "5f0c2b7d9e1a4c36"
	}
	e.Unknown = k == KeyExpired || k == OutcomeUnknown
	return e
}
