package swoosh_test

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/chorus-services/swoosh"
	"github.com/chorus-services/swoosh/swooshtest"
	"github.com/chorus-services/swoosh/system"
)

// least reads the table of the least role for each route and command.
func least(t *testing.T) map[string]string {
	lines, _ := contract(t, "testdata/api_roles.txt")
	roles := map[string]string{}
	for _, line := range lines {
		at := strings.LastIndex(line, " ")
		require.NotContains(t, roles, line[:at])
		roles[line[:at]] = line[at+1:]
	}
	return roles
}

// callers are the columns of the table: no token, an unknown token, then each
// role.
var callers = []string{"", "wrong", "read", "node", "write", "admin"}

// answers are the statuses for the callers, by the least role needed: 401, 403,
// or 0 for neither.
var answers = map[string][]int{
	"anybody": {0, 0, 0, 0, 0, 0},
	"read":    {401, 401, 0, 0, 0, 0},
	"node":    {401, 401, 403, 0, 0, 0},
	"write":   {401, 401, 403, 403, 0, 0},
	"admin":   {401, 401, 403, 403, 403, 0},
}

// TestRoles requests every route in every role.
func TestRoles(t *testing.T) {
	roles := least(t)
	routes, _ := contract(t, "testdata/api_routes.txt")
	for _, route := range routes {
		require.Contains(t, roles, route, "say in api_roles.txt who may")
	}
	s := guarded(t)
	s.must(startA, as("write"))
	var list struct {
		Routes []struct{ Method, Path, Role string }
	}
	s.get("/", as("read")).json(&list)
	require.NotEmpty(t, list.Routes)
	for _, route := range list.Routes {
		needed, known := roles[route.Method+" "+route.Path]
		require.True(t, known, "say in api_roles.txt who may %s %s", route.Method, route.Path)
		require.Equal(t, strings.Replace(needed, "anybody", "", 1), route.Role)
		for i, want := range answers[needed] {
			if route.Path == "/command" && callers[i] == "node" {
				needed, want = "write", http.StatusForbidden // What is asked has no signature.
			}
			requireAdmitted(t, askRoute(s, route.Method, route.Path, callers[i]), needed, want)
		}
	}
}

// askRoute requests a route and reads the head of the answer and, of a problem,
// the body.
func askRoute(s *site, method, path, token string) *reply {
	ctx, cancel := context.WithCancel(within(s.t))
	defer cancel()
	path = strings.NewReplacer("{name}", "counter.add", "{index}", "1", "{code}", "conflict").Replace(path)
	body := map[string]string{"/command": addA, "/state": "{}"}
	r := s.request(method, path, strings.NewReader(body[path]), as(token)).WithContext(ctx)
	if method == http.MethodGet {
		r = s.request(method, path, strings.NewReader(""), as(token)).WithContext(ctx)
	}
	if token == "" {
		r.Header.Del("Authorization")
	}
	if path != "/watch" {
		return s.send(r)
	}
	resp, err := noRedirects.Do(r)
	require.NoError(s.t, err)
	defer resp.Body.Close()
	got := &reply{t: s.t, status: resp.StatusCode, header: resp.Header}
	if got.status != http.StatusOK {
		return s.send(r)
	}
	return got
}

// requireAdmitted requires a refusal with a status, or none if it is 0.
func requireAdmitted(t *testing.T, r *reply, needed string, want int) {
	t.Helper()
	switch want {
	case http.StatusUnauthorized:
		r.refused("unauthorized", want)
		require.Regexp(t, `^Bearer( error="invalid_token")?$`, r.header.Get("WWW-Authenticate"))
	case http.StatusForbidden:
		require.Contains(t, r.refused("forbidden", want)["detail"], " needs the role "+needed+", ")
	default:
		require.NotContains(t, []int{http.StatusUnauthorized, http.StatusForbidden}, r.status, r.body)
	}
}

// TestCommandRoles sends every command in every role: alone, in a batch, and in
// a stream.
func TestCommandRoles(t *testing.T) {
	roles := least(t)
	s := guarded(t)
	var list struct {
		Commands []struct{ Name, Role string }
	}
	s.get("/commands", as("read")).json(&list)
	require.NotEmpty(t, list.Commands)
	blob := with(`"signer":"s"`)
	for _, c := range list.Commands {
		needed, known := roles["COMMAND "+c.Name]
		require.True(t, known, "say in api_roles.txt who may %s", c.Name)
		require.Equal(t, needed, c.Role)
		command := `{"command":"` + c.Name + `","payload":{"x":1}}`
		allowed, refused := `"invalid_payload"`, ` needs the role admin, \"the-write\" has write`
		for _, token := range []string{"write", "admin"} {
			want, status, code := allowed, http.StatusUnprocessableEntity, "invalid_payload"
			if needed == "admin" && token == "write" {
				want, status, code = refused, http.StatusForbidden, "forbidden"
			}
			s.command(command, as(token)).refused(code, status)
			require.EqualValues(t, 1, s.command("["+blob+","+command+"]", as(token)).refused(code, status)["position"])
			lines := s.ask("POST", "/command", blob+"\n"+command+"\n"+blob, as(token), "Content-Type: application/x-ndjson")
			got := strings.Split(lines.body, "\n")
			require.Contains(t, got[0], `"index":`)
			require.Contains(t, got[1], want)
			require.Contains(t, got[1], `"line":2`)
			require.Contains(t, got[2], `"index":`, "a refused line does not stop the ones after it")
		}
	}
}

// TestOrderOfAccess breaks one more rule each time, first of access and then of
// the handler.
func TestOrderOfAccess(t *testing.T) {
	s := openAPI(t, swoosh.APIOptions{Authenticate: keyring, Rate: 1}, system.Parts()...)
	s.api.SetRates(swooshtest.NewClock(1).Now, nil)
	text := "Content-Type: text/plain"
	s.ask("BREW", "/nothing", "x", text).refused("not_found", 404)
	s.ask("BREW", "/command", "x", text).refused("method_not_allowed", 405)
	s.ask("POST", "/command", "x", text).refused("unauthorized", 401)
	for range 3 {
		s.ask("POST", "/command", "x", text, as("read")).refused("forbidden", 403)
	}
	s.ask("POST", "/command", "x", text, as("write")).refused("unsupported_media_type", 415)
	s.ask("POST", "/command", "x", text, as("write")).refused("rate_limited", 429)

	s = guarded(t)
	pause := func(payload, members string) *reply {
		return s.command(`{"command":"control.pause","payload":`+payload+members+`}`, as("write"))
	}
	pause(`{"reason":1,"reason":1}`, "").refused("malformed_request", 400)
	pause(`{}`, `,"expect":{"path":"/x","hash":""}`).refused("malformed_request", 400)
	pause(`{}`, `,"expect":{"index":9}`).refused("forbidden", 403)
	s.command(`{"command":"control.puase"}`, as("write")).refused("unknown_command", 422)
	s.must(`{"command":"control.pause","payload":{"reason":"lunch"},"idempotency_key":"k"}`, as("admin"))
	pause(`{"reason":"lunch"}`, `,"idempotency_key":"k"`).refused("forbidden", 403)
	require.NoError(t, func() error { // Who embeds the engine asks nobody.
		_, err := s.e.Submit(t.Context(), swoosh.Request{Command: "control.resume", Actor: "the-write"})
		return err
	}())
}

// TestOrderInABatch: commands are checked one by one, and the error names the
// first that is refused.
func TestOrderInABatch(t *testing.T) {
	s := guarded(t)
	const privileged, unknown, invalid = `{"command":"control.pause"}`, `{"command":"control.puase"}`, `{"command":"counter.add","payload":{"x":1}}`
	for _, tt := range []struct {
		commands []string
		code     string
		status   int
		position int
	}{
		{[]string{addA, privileged, unknown}, "forbidden", 403, 1},
		{[]string{unknown, privileged}, "unknown_command", 422, 0},
		{[]string{invalid, privileged}, "invalid_payload", 422, 0},
		{[]string{privileged, invalid}, "forbidden", 403, 0},
	} {
		r := s.command("["+strings.Join(tt.commands, ",")+"]", as("write"))
		require.EqualValues(t, tt.position, r.refused(tt.code, tt.status)["position"], tt.commands)
	}
}

// TestActor finds the caller's name in the log.
func TestActor(t *testing.T) {
	s := guarded(t)
	s.must(startA, as("write"))
	s.command("["+addA+","+addA+"]", as("admin")).ok("results")
	s.ask("POST", "/command", addA, as("write"), "Content-Type: application/x-ndjson")
	state := s.get("/state", as("read"))
	s.ask("POST", "/state", state.body, as("admin"), "If-Match: "+state.header.Get("ETag")).ok("index", "hlc", "state_hash", "changed", "duplicate")
	for i, actor := range []string{"the-write", "the-admin", "the-admin", "the-write", "the-admin"} {
		require.Equal(t, actor, s.get(fmt.Sprint("/log/", i+1), as("read")).object()["actor"], i)
	}
	s = open(t, swoosh.Options{})
	s.must(startA)
	require.NotContains(t, s.get("/log/1").object(), "actor", "nobody was asked for a name")
}

// TestOpenRoutesAskNobody for a token, even while the server starts.
func TestOpenRoutesAskNobody(t *testing.T) {
	s := starting(t, swoosh.APIOptions{Authenticate: func(*http.Request) (swoosh.Caller, error) { panic("asked") }})
	s.get("/livez").ok("live")
	s.get("/version").ok("version", "commit", "go", "format")
	require.Equal(t, http.StatusServiceUnavailable, s.get("/readyz").status)
	s = starting(t, swoosh.APIOptions{Authenticate: keyring})
	s.get("/health").refused("unauthorized", 401)
	s.get("/state").refused("starting", 503)
	s.get("/health", as("read")).ok("mode", "reasons", "index", "hlc", "node", "snapshot", "set_aside", "history", "log", "state", "disk", "keys", "clock", "timers")
}

// TestAuthenticateRefuses with its own text, and its own kind if it has one.
func TestAuthenticateRefuses(t *testing.T) {
	s := guarded(t)
	require.Equal(t, "there is no token: send Authorization: Bearer <token>", s.get("/state").refused("unauthorized", 401)["detail"])
	s = openAPI(t, swoosh.APIOptions{Authenticate: func(*http.Request) (swoosh.Caller, error) {
		return swoosh.Caller{}, swoosh.Errorf(swoosh.Overloaded, "the directory of callers does not answer: ask again")
	}})
	require.Equal(t, "1", s.get("/state").header.Get("Retry-After"))
	s = openAPI(t, swoosh.APIOptions{Authenticate: func(*http.Request) (swoosh.Caller, error) { return swoosh.Caller{Name: "x"}, nil }})
	require.Contains(t, s.get("/state").refused("forbidden", 403)["detail"], `needs the role read, "x" has none`)
}

// TestRoleNode posts what is signed, where a signature is taken and checked.
func TestRoleNode(t *testing.T) {
	s := openAPI(t, swoosh.APIOptions{Authenticate: keyring}, append(system.Parts(), club, secretary)...)
	s.must(fmt.Sprintf(`{"command":"club.join","payload":{"member":"ann","key":"%x"}}`, keyOf("ann").Public()), as("write"))
	n := 0
	post := func(command, payload, token string, forge bool) *reply {
		n++
		r := swoosh.Request{Command: command, Payload: []byte(payload), Signer: "ann", IdempotencyKey: fmt.Sprint(n), KeySince: s.e.View().At()}
		r = signed(t, r, content(r, s.e.View().Hub(), nil))
		if forge {
			r.Signature = "AAAA"
		}
		return s.command(fmt.Sprintf(`{"command":%q,"payload":%s,"idempotency_key":%q,"key_since":%q,"signer":"ann","signature":%q}`,
			command, payload, r.IdempotencyKey, r.KeySince, r.Signature), as(token))
	}
	const ann = `{"member":"ann"}`
	require.Equal(t, http.StatusOK, post("club.say", ann, "node", false).status)
	require.Equal(t, http.StatusOK, post("club.say", ann, "write", false).status)
	post("club.say", ann, "node", true).refused("bad_signature", 403)
	post("club.say", ann, "read", false).refused("forbidden", 403)
	post("club.join", `{"key":"k","member":"bob"}`, "node", false).refused("forbidden", 403)
	post("boot.revoke", `{"reason":"r"}`, "node", false).refused("forbidden", 403)
	require.Contains(t, s.command(`{"command":"club.shout","payload":`+ann+`}`, as("node")).refused("forbidden", 403)["detail"],
		"club.shout without a signature needs the role write, \"the-node\" has node: sign it")
	say := s.get("/commands/club.say", as("node")).object()
	require.Equal(t, []any{"node", "must"}, []any{say["role"], say["signed"]})

	plain := openAPI(t, swoosh.APIOptions{Authenticate: keyring}, minutes) // Nobody checks a signature there.
	plain.command(`{"command":"minutes.note","signer":"ann","signature":"AAAA"}`, as("node")).refused("forbidden", 403)
}

// TestNeeds: without a signature, the command is an admin's.
func TestNeeds(t *testing.T) {
	hall := swoosh.NewDomain("hall", swoosh.On[setTrap]("rule", "Rule.", swoosh.Needs(swoosh.RoleAdmin)))
	s := openAPI(t, swoosh.APIOptions{Authenticate: keyring}, hall)
	s.command(`{"command":"hall.rule"}`, as("write")).refused("forbidden", 403)
	s.must(`{"command":"hall.rule"}`, as("admin"))
	require.Equal(t, "admin", s.get("/commands/hall.rule", as("read")).object()["role"])
}

// TestRolesByName parses what String returns.
func TestRolesByName(t *testing.T) {
	for _, role := range []swoosh.Role{swoosh.RoleRead, swoosh.RoleNode, swoosh.RoleWrite, swoosh.RoleAdmin} {
		got, err := swoosh.ParseRole(role.String())
		require.NoError(t, err)
		require.Equal(t, role, got)
	}
	for _, name := range []string{"", "none", "Admin", "root"} {
		_, err := swoosh.ParseRole(name)
		require.ErrorContains(t, err, "use read, node, write or admin")
	}
}
