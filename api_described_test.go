package swoosh_test

import (
	"bytes"
	"cmp"
	"fmt"
	"io"
	"mime"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"github.com/stretchr/testify/require"

	"github.com/chorus-services/swoosh"
	"github.com/chorus-services/swoosh/internal/testrun"
	"github.com/chorus-services/swoosh/project"
	"github.com/chorus-services/swoosh/swooshtest"
)

// description is a document of GET /openapi.json to compare answers with.
type description struct {
	doc      map[string]any
	compiler *jsonschema.Compiler

	mu      sync.Mutex
	answers map[string]int // that were held against it, by operation, status and code
}

// describe reads the document. It closes objects: members that the document
// allows for the future must not occur now.
func describe(s *site) *description {
	s.t.Helper()
	parsed, err := jsonschema.UnmarshalJSON(strings.NewReader(s.get("/openapi.json").body))
	require.NoError(s.t, err)
	closed, err := jsonschema.UnmarshalJSON(strings.NewReader(s.get("/openapi.json").body))
	require.NoError(s.t, err)
	closeObjects(closed)
	d := &description{doc: parsed.(map[string]any), compiler: jsonschema.NewCompiler(), answers: map[string]int{}}
	d.compiler.UseRegexpEngine(func(pattern string) (jsonschema.Regexp, error) {
		return regexp.Compile(regexp.MustCompile(`\\u([0-9a-f]{4})`).ReplaceAllString(pattern, `\x{$1}`))
	})
	require.NoError(s.t, d.compiler.AddResource("openapi.json", closed))
	return d
}

func closeObjects(v any) {
	switch v := v.(type) {
	case []any:
		for _, one := range v {
			closeObjects(one)
		}
	case map[string]any:
		_, isOpen := v["additionalProperties"]
		if _, whole := v["allOf"]; !isOpen && !whole && v["type"] == "object" && v["properties"] != nil {
			v["additionalProperties"] = false
		}
		for _, one := range v {
			closeObjects(one)
		}
	}
}

// object returns the object at a path of member names. It follows references.
func (d *description) object(path ...string) map[string]any {
	o, _ := d.find(path...)
	if o == nil {
		panic(fmt.Sprintf("the document has no %v", path))
	}
	return o
}

func (d *description) find(path ...string) (o map[string]any, at string) {
	o, at = d.doc, "#"
	for _, name := range path {
		o, _ = o[name].(map[string]any)
		at += "/" + strings.NewReplacer("~", "~0", "/", "~1").Replace(name)
		if ref, ok := o["$ref"].(string); ok {
			o, at = d.find(strings.Split(ref, "/")[1:]...)
		}
	}
	return o, at
}

// fits checks a value against the schema at a path.
func (d *description) fits(value any, path ...string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	_, at := d.find(path...)
	schema, err := d.compiler.Compile("openapi.json" + at)
	if err != nil {
		return err
	}
	return schema.Validate(value)
}

// operation returns the document's path and method for a request, or "" if it
// has none.
func (d *description) operation(r *http.Request) (path, method string) {
	method = strings.ToLower(r.Method)
	if method == "head" && r.URL.Path != "/watch" {
		method = "get"
	}
	asked := strings.Split(r.URL.EscapedPath(), "/")
	for path, methods := range d.object("paths") {
		same := len(asked) == strings.Count(path, "/")+1 && methods.(map[string]any)[method] != nil
		for i, part := range strings.Split(path, "/") {
			same = same && (part == asked[i] || strings.HasPrefix(part, "{") && asked[i] != "")
		}
		if same {
			return path, method
		}
	}
	return "", method
}

// check returns how an answer differs from the document. An answer that was cut
// off, or not read to its end, has only its beginning checked.
func (d *description) check(r *http.Request, resp *http.Response, body []byte, cut bool) error {
	status := strconv.Itoa(resp.StatusCode)
	path, method := d.operation(r)
	where := []string{"paths", path, method, "responses", status}
	if path == "" {
		where = []string{"components", "responses", map[int]string{
			404: "not_found", 405: "method_not_allowed", 403: "forbidden", 503: "starting", 204: "options"}[resp.StatusCode]}
	}
	if method == "options" && resp.StatusCode == 204 {
		return nil
	}
	response, _ := d.find(where...)
	if response == nil {
		return fmt.Errorf("the status is not in the document")
	}
	if err := d.checkHeaders(resp.Header, where); err != nil {
		return err
	}
	if response["content"] == nil || r.Method == http.MethodHead {
		if len(body) > 0 {
			return fmt.Errorf("there is a body")
		}
		return nil
	}
	kind, _, err := mime.ParseMediaType(resp.Header.Get("Content-Type"))
	where = append(where, "content", kind)
	if content, _ := d.find(where...); content == nil || err != nil {
		return fmt.Errorf("the media type %q is not in the document: %v", kind, err)
	}
	d.count(fmt.Sprint(method, " ", path, " ", status))
	return d.checkBody(body, cut, where, r)
}

func (d *description) count(what string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.answers[what]++
}

func (d *description) checkHeaders(given http.Header, response []string) error {
	where := append(response, "headers")
	for name := range d.object(where...) {
		header := d.object(append(where, name)...)
		value := given.Get(name)
		switch {
		case value == "" && header["required"] == true:
			return fmt.Errorf("the header %s is missing", name)
		case value == "":
			continue
		}
		var typed any = value
		if d.object(append(where, name, "schema")...)["type"] == "integer" {
			n, err := strconv.ParseFloat(value, 64)
			if err != nil {
				return err
			}
			typed = n
		}
		if err := d.fits(typed, append(where, name, "schema")...); err != nil {
			return fmt.Errorf("the header %s: %w", name, err)
		}
	}
	return nil
}

func (d *description) checkBody(body []byte, cut bool, where []string, r *http.Request) error {
	content := d.object(where...)
	if names, ok := content["x-item"].([]any); ok {
		for _, item := range items(string(body), cut) {
			if err := d.checkItem([]byte(item), names); err != nil {
				return fmt.Errorf("%w: %s", err, item)
			}
		}
		return nil
	}
	if cut || where[len(where)-1] == "text/plain" {
		return nil
	}
	if r.URL.Path == "/state" && r.Method == http.MethodGet && !r.URL.Query().Has("path") && !strings.Contains(where[len(where)-1], "problem") {
		if err := d.checkValue(body, []string{"components", "schemas", "State"}); err != nil {
			return err
		}
	}
	if err := d.checkValue(body, append(where, "schema")); err != nil {
		return err
	}
	if examples, ok := content["examples"].(map[string]any); ok {
		code := regexp.MustCompile(`"code":"([a-z_]+)"`).FindStringSubmatch(string(body))[1]
		if d.count(code); examples[code] == nil {
			return fmt.Errorf("the code %s is not in the document", code)
		}
	}
	return nil
}

// checkItem checks a value of a stream, which fits one of the named schemas.
func (d *description) checkItem(raw []byte, names []any) (err error) {
	for _, name := range names {
		if err = d.checkValue(raw, []string{"components", "schemas", name.(string)}); err == nil {
			return nil
		}
	}
	return err
}

func (d *description) checkValue(raw []byte, where []string) error {
	value, err := jsonschema.UnmarshalJSON(bytes.NewReader(raw))
	if err != nil {
		return err
	}
	return d.fits(value, where...)
}

// items are the lines of a stream, or the data of a watch's events.
func items(body string, cut bool) (all []string) {
	lines := strings.SplitAfter(body, "\n")
	for _, line := range lines {
		if cut && !strings.HasSuffix(line, "\n") || line == "" {
			continue
		}
		line = strings.TrimSuffix(line, "\n")
		data, isEvent := strings.CutPrefix(line, "data: ")
		if isEvent || strings.HasPrefix(line, "{") {
			all = append(all, data)
		}
	}
	return all
}

// RoundTrip sends a request, and checks the answer when it has been read.
func (c *checked) RoundTrip(r *http.Request) (*http.Response, error) {
	resp, err := c.inner.RoundTrip(r)
	if err == nil {
		resp.Body = &checkedBody{ReadCloser: resp.Body, resp: resp, c: c}
	}
	return resp, err
}

// checked is a client's transport that fails the test for answers that are not
// as described.
type checked struct {
	t     *testing.T
	d     *description
	inner http.RoundTripper
}

type checkedBody struct {
	io.ReadCloser
	c    *checked
	resp *http.Response
	read bytes.Buffer
	done bool
}

func (b *checkedBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	b.read.Write(p[:n])
	if err != nil {
		b.check(err != io.EOF)
	}
	return n, err
}

func (b *checkedBody) Close() error {
	b.check(true)
	return b.ReadCloser.Close()
}

func (b *checkedBody) check(cut bool) {
	if b.done {
		return
	}
	b.done = true
	if err := b.c.d.check(b.resp.Request, b.resp, b.read.Bytes(), cut); err != nil {
		b.c.t.Errorf("%s %s: %s: %v\n%.2000s", b.resp.Request.Method, b.resp.Request.URL, b.resp.Status, err, b.read.String())
	}
}

// hold checks every answer in the test against the document.
func (d *description) hold(t *testing.T) {
	inner := noRedirects.Transport
	noRedirects.Transport = &checked{t, d, inner}
	t.Cleanup(func() { noRedirects.Transport = inner })
}

// TestAnswersAreAsDescribed runs the tests with the most requests again, and
// every scenario of the domains, and checks each answer against the document.
func TestAnswersAreAsDescribed(t *testing.T) {
	testrun.SkipUnderRace(t)
	d := describe(whole(t))
	d.hold(t)
	for name, test := range map[string]func(*testing.T){
		"codes": TestContractCodes, "routes": TestContractRoutes, "problems": TestProblemsAreExplained,
		"roles": TestRoles, "command roles": TestCommandRoles, "order of access": TestOrderOfAccess,
		"malformed": TestMalformedCommands, "lawful": TestLawfulCommands, "headers": TestHeadersOfCommands, "batch": TestBatch,
		"stream": TestStream, "watch": TestWatch, "log": TestLog, "log lines": TestLogWithoutLines,
		"state": TestGetState, "parameters": TestBadParametersAreFoundFirst, "pages": TestStatePages, "etags": TestStateETags,
		"import": TestPostState, "import faults": TestImportFaults, "import order": TestImportIsRefusedInOrder,
		"head": TestHead, "methods": TestMethods, "paths": TestPathsHaveOneSpelling, "media types": TestMediaTypes,
		"starting": TestStarting, "readyz": TestReadyz, "door": TestOrderAtTheDoor, "rate": TestRate,
	} {
		t.Run(name, test)
	}
	t.Run("ranges", func(t *testing.T) { askParameters(t, d) })
	for _, dir := range []string{"project", "system", "approval"} {
		files, err := filepath.Glob(dir + "/testdata/scenario/*.txt")
		require.NoError(t, err)
		for _, file := range files {
			t.Run(file, func(t *testing.T) { askScenario(t, d, file) })
		}
	}
	d.requireAllAsked(t)
}

// requireAllAsked requires that every operation and every code was answered.
func (d *description) requireAllAsked(t *testing.T) {
	total := 0
	for path, methods := range d.object("paths") {
		for method := range methods.(map[string]any) {
			answered := d.answers[fmt.Sprint(method, " ", path, " 200")]
			require.NotZero(t, answered, "%s %s", method, path)
		}
	}
	for code := range d.object("components", "examples") {
		require.NotZero(t, d.answers[code], code)
	}
	for _, n := range d.answers {
		total += n
	}
	require.Greater(t, total, 1000)
}

// askParameters sends each integer parameter at and beyond the limits of its
// range.
func askParameters(t *testing.T, d *description) {
	s := whole(t)
	for path, methods := range d.object("paths") {
		get, _ := methods.(map[string]any)["get"].(map[string]any)
		parameters, _ := get["parameters"].([]any)
		for i := range parameters {
			name := strings.TrimPrefix(parameters[i].(map[string]any)["$ref"].(string), "#/components/parameters/")
			p := d.object("components", "parameters", name)
			schema := p["schema"].(map[string]any)
			if schema["type"] != "integer" || p["in"] != "query" {
				continue
			}
			low, high := fmt.Sprint(schema["minimum"]), fmt.Sprint(schema["maximum"])
			for value, lawful := range map[string]bool{low: true, high: true, next(low, -1): false, next(high, 1): false, "x": false, "": false, "01": false} {
				query := map[string]string{"limit": "path=/project/projects&", "min_index": "timeout=1ms&"}[name]
				if path != "/state" {
					query = ""
				}
				ctx := within(t)
				r := s.request("GET", path+"?"+query+name+"="+value, strings.NewReader("")).WithContext(ctx)
				resp, err := noRedirects.Do(r)
				require.NoError(t, err)
				require.Equal(t, !lawful, resp.StatusCode == http.StatusBadRequest, r.URL)
				require.NoError(t, resp.Body.Close())
			}
		}
	}
}

func next(n string, step int) string {
	i, _ := strconv.Atoi(n)
	return strconv.Itoa(i + step)
}

// askScenario sends the commands of a scenario to a server and reads the
// entries. Accepted commands must fit the document.
func askScenario(t *testing.T, d *description, file string) {
	clock := swooshtest.NewClock(1767225600000)
	s := open(t, swoosh.Options{Now: clock.Now}, project.Domain)
	if !strings.HasPrefix(file, "project") {
		s = whole(t)
	}
	lines, err := os.ReadFile(file)
	require.NoError(t, err)
	var block []string
	output := false
	for _, line := range strings.Split(string(lines), "\n") {
		switch {
		case line == "----":
			s.scenarioStep(d, clock, filepath.Dir(file), strings.Join(block, "\n"))
			block, output = nil, true
		case line == "":
			output = false
		case !output && line[0] != '#':
			block = append(block, line)
		}
	}
	s.get("/state")
	s.get("/log?limit=10000")
	s.get("/log", "Accept: application/x-ndjson")
	s.get("/log/1")
	s.get("/state?path=/meta/tables")
}

func (s *site) scenarioStep(d *description, clock *swooshtest.Clock, dir, step string) {
	word, rest, _ := strings.Cut(strings.ReplaceAll(step, "\n", " "), " ")
	switch word {
	case "advance":
		by, err := time.ParseDuration(rest)
		require.NoError(s.t, err)
		clock.Advance(by)
	case "state":
		s.get("/state?path=" + rest)
	case "import":
		s.ask("POST", "/state", rest, "If-Match: "+s.get("/state").header.Get("ETag"))
	case "given":
		lines, err := os.ReadFile(filepath.Join(dir, "given", rest+".txt"))
		require.NoError(s.t, err)
		for _, line := range strings.Split(string(lines), "\n") {
			if line != "" && line[0] != '#' {
				s.scenarioStep(d, clock, dir, line)
			}
		}
	default:
		body := rest
		if word != "post" {
			body = `{"command":"` + word + `","payload":` + cmp.Or(rest, "{}") + `}`
		}
		if r := s.command(body); r.status == http.StatusOK {
			require.NoError(s.t, d.checkValue([]byte(body), []string{"paths", "/command", "post", "requestBody", "content", "application/json", "schema"}))
		}
	}
}
