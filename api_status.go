package swoosh

import (
	"cmp"
	"context"
	"fmt"
	"net/http"
	"net/http/pprof"
	"net/url"
	"runtime"
	runtimepprof "runtime/pprof"
	"slices"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/chorus-services/swoosh/internal/canon"
	"github.com/chorus-services/swoosh/internal/openapi"
)

// routeLine is a route in the list of GET /.
type routeLine struct {
	Method  string `json:"method"`
	Path    string `json:"path"`
	Summary string `json:"summary"`
	Role    string `json:"role,omitzero"` // empty: open to all
}

type routeList struct {
	Routes []routeLine `json:"routes"`
}

func (x *exchange) getRoutes() error {
	var all routeList
	for _, r := range x.routes {
		l := routeLine{Method: r.method, Path: r.path, Summary: r.summary}
		if r.role != NoRole {
			l.Role = r.role.String()
		}
		all.Routes = append(all.Routes, l)
	}
	return x.json(http.StatusOK, all)
}

type liveness struct {
	Live bool `json:"live"`
}

func (x *exchange) getLive() error {
	return x.json(http.StatusOK, liveness{true})
}

// readiness is the document of GET /readyz.
type readiness struct {
	Ready   bool    `json:"ready"`
	Reason  string  `json:"reason,omitzero"`
	Applied *uint64 `json:"applied,omitzero"` // like Target, only while the server starts
	Target  *uint64 `json:"target,omitzero"`
}

func (x *exchange) getReady() error {
	var doc readiness
	if x.engine != nil {
		doc.Ready, doc.Reason = x.engine.Readiness()
	} else {
		p := x.booting()
		doc = readiness{Reason: Starting.Code(), Applied: &p.Applied, Target: &p.Target}
	}
	if doc.Ready {
		return x.json(http.StatusOK, doc)
	}
	return x.json(http.StatusServiceUnavailable, doc)
}

func (p Progress) sentence() string {
	switch {
	case p.Bytes > 0:
		return fmt.Sprintf("Loading a snapshot: %d of %d bytes read.", p.Read, p.Bytes)
	case p.Target > 0:
		return fmt.Sprintf("Replaying the log: %d of %d entries done.", p.Applied, p.Target)
	}
	return "Opening the log."
}

// startingHealth is the Health of a server that is starting, whose state and log
// are not known yet.
type startingHealth struct {
	Health
	StateHash Hash `json:"state_hash,omitzero"`
	Chain     Hash `json:"chain,omitzero"`
	Hub       Hash `json:"hub,omitzero"`
}

func (x *exchange) getHealth() error {
	var more []string
	if x.o.Reasons != nil {
		more = x.o.Reasons()
	}
	if x.engine != nil {
		h := x.engine.Health()
		if x.caller.Role < RoleAdmin {
			for i, reason := range h.Reasons {
				h.Reasons[i] = x.withoutDirectory(reason)
			}
		}
		h.Reasons = append(h.Reasons, more...)
		return x.json(http.StatusOK, h)
	}
	p := x.booting()
	h := startingHealth{Health: Health{
		Mode:    Starting.Code(),
		Reasons: append([]string{p.sentence()}, more...),
		Index:   p.Index, HLC: p.HLC, Node: x.node(),
		SetAside: []Aside{}, Timers: []TimerHealth{},
	}}
	h.Log.First, h.Log.Copies, h.History.State = 1, 1, "proving"
	h.Snapshot.HLC = Stamp{Node: x.node()}
	return x.json(http.StatusOK, h)
}

type version struct {
	Version string `json:"version"`
	Commit  string `json:"commit"`
	Go      string `json:"go"`
	Format  int    `json:"format"` // of the state's document
}

func (x *exchange) getVersion() error {
	return x.json(http.StatusOK, version{x.o.Version, x.o.Commit, runtime.Version(), documentFormat})
}

// commandDocument is a command in the catalogue.
type commandDocument struct {
	Name     string         `json:"name"`
	Summary  string         `json:"summary"`
	Domain   string         `json:"domain"`
	Region   string         `json:"region"`
	From     []string       `json:"from"`
	To       []string       `json:"to"`
	Schema   jsontext.Value `json:"schema"`
	Refusals []string       `json:"refusals"`
	Role     string         `json:"role"`
	Timer    string         `json:"timer,omitzero"`
	Signed   string         `json:"signed,omitzero"` // "may" or "must"; absent: it takes no signature
	Result   jsontext.Value `json:"result,omitzero"` // schema; absent: the command has no result
}

func newCommandDocument(c CommandInfo) commandDocument {
	return commandDocument{
		Name: c.Name, Summary: c.Summary, Domain: c.Domain, Region: c.Region,
		From: c.From, To: c.endings(), Schema: c.Schema, Refusals: c.refusals(), Role: roleFor(c, c.Signed == "must").String(),
		Timer: c.Timer, Signed: c.Signed, Result: c.Result,
	}
}

// MarshalJSON returns what GET /commands/{name} answers.
func (c CommandInfo) MarshalJSON() ([]byte, error) { return encode(newCommandDocument(c)), nil }

// endings returns the phases that the command may end in: those in To and, if
// it may stay, those in From.
func (c CommandInfo) endings() []string {
	ends := slices.Clone(c.To)
	for _, phase := range c.From {
		if c.Stay && !slices.Contains(ends, phase) {
			ends = append(ends, phase)
		}
	}
	return ends
}

// refusals returns the codes that the command's declaration implies, in the
// order of kinds, the domain's own last. It omits those that any command may be refused with, such as
// a malformed envelope, a gate, or a full disk.
func (c CommandInfo) refusals() []string {
	given := append([]Kind{InvalidPayload}, c.refuses...)
	if len(c.From) > 0 {
		given = append(given, InvalidPhase)
	}
	if c.Signed != "" {
		given = append(given, BadSignature)
	}
	codes := []string{}
	for _, k := range slices.Concat(kinds, c.refuses) {
		if slices.Contains(given, k) && !slices.Contains(codes, k.Code()) {
			codes = append(codes, k.Code())
		}
	}
	return codes
}

type commandList struct {
	Commands []commandDocument `json:"commands"`
}

func (x *exchange) getCommands() error {
	var all commandList
	for _, c := range x.engine.Commands() {
		all.Commands = append(all.Commands, newCommandDocument(c))
	}
	return x.json(http.StatusOK, all)
}

func (x *exchange) getCommand() error {
	c, err := x.engine.cat.find(x.variable("name"))
	if err != nil {
		return Errorf(NotFound, "%s", cmp.Or(asError(err, NotFound).Detail, "there is no such command"))
	}
	return x.json(http.StatusOK, newCommandDocument(c.CommandInfo))
}

func (x *exchange) getPresence() error {
	if x.o.Presence == nil {
		return Errorf(NotFound, "this server has no nodes: its program is without the domain fleet")
	}
	limit, err := x.limit()
	if err != nil {
		return err
	}
	return x.json(http.StatusOK, x.o.Presence(x.query["after"], limit))
}

func (x *exchange) getReceipt() error { return x.json(http.StatusOK, x.engine.Receipt()) }

// landed is a command that was applied.
type landed struct {
	Index     uint64         `json:"index"`
	HLC       Stamp          `json:"hlc"`
	StateHash Hash           `json:"state_hash"`
	Changed   bool           `json:"changed"`
	Result    jsontext.Value `json:"result,omitzero"`
}

// getOutcome answers with what became of an idempotency key.
func (x *exchange) getOutcome() error {
	key, err := url.PathUnescape(x.variable("key"))
	if err != nil {
		return Errorf(MalformedRequest, "the path cannot be read: %w", err)
	}
	ctx, cancel := context.WithTimeout(x.r.Context(), x.outcomeMost)
	defer cancel()
	results, err := x.engine.Outcome(ctx, key)
	switch {
	case Timeout.Is(err) && x.r.Context().Err() == nil:
		return x.json(http.StatusAccepted, map[string]bool{"pending": true})
	case err != nil:
		return err
	}
	all := make([]landed, len(results))
	for i, r := range results {
		all[i] = landed{r.Index, r.HLC, r.StateHash, r.Changed, r.Result}
	}
	if len(all) == 1 {
		return x.json(http.StatusOK, all[0])
	}
	return x.json(http.StatusOK, map[string][]landed{"results": all})
}

// getOpenAPI answers with the contract as OpenAPI 3.1, in canonical JSON.
func (x *exchange) getOpenAPI() error {
	server := openapi.Server{Version: cmp.Or(x.o.Version, "unknown")}
	for _, c := range x.engine.Commands() {
		server.Commands = append(server.Commands, openapi.Command(newCommandDocument(c)))
	}
	for _, d := range x.engine.defs {
		server.Domains = append(server.Domains, openapi.Domain{Name: d.name, Fields: membersOf(d.fields), Tables: membersOf(d.tables)})
	}
	for _, k := range x.kinds() {
		server.Problems = append(server.Problems, openapi.Problem(newKindDocument(k)))
	}
	doc, err := openapi.Document(server)
	if err != nil {
		return err
	}
	return x.json(http.StatusOK, jsontext.Value(doc))
}

func membersOf(fields []field) (all []openapi.Member) {
	for _, f := range fields {
		m := openapi.Member{Name: f.name, Schema: f.codec.SparseSchema()}
		if f.key != nil {
			m.Key = canon.For(f.key).Schema()
		}
		all = append(all, m)
	}
	return all
}

// kinds returns the engine's kinds and then those of the domains.
func (x *exchange) kinds() []Kind { return slices.Concat(kinds, x.engine.cat.kinds) }

type problemList struct {
	Problems []kindDocument `json:"problems"`
}

// getProblems lists the codes, in the order of their statuses.
func (x *exchange) getProblems() error {
	var all problemList
	for _, k := range x.kinds() {
		all.Problems = append(all.Problems, newKindDocument(k))
	}
	slices.SortStableFunc(all.Problems, func(a, b kindDocument) int { return a.Status - b.Status })
	return x.json(http.StatusOK, all)
}

func (x *exchange) getProblemKind() error {
	code := x.variable("code")
	var codes []string
	for _, k := range x.kinds() {
		if codes = append(codes, k.Code()); k.Code() == code {
			return x.json(http.StatusOK, newKindDocument(k))
		}
	}
	hint := "GET /problems lists them all"
	if near := canon.Nearest(code, codes); near != "" {
		hint = fmt.Sprintf("did you mean %s? %s", near, hint)
	}
	return Errorf(NotFound, "there is no code %s: %s", canon.Quote(code), hint)
}

func (x *exchange) getMetrics() error {
	x.metrics.ServeHTTP(x.w, x.r)
	return nil
}

// debugRoutes are served with APIOptions.Debug. They are not part of the
// contract: neither GET / nor the OpenAPI document lists them.
func debugRoutes() []route {
	return []route{
		{http.MethodGet, "/debug/pprof", "list the profiles", (*exchange).getProfiles, afterReplay, RoleAdmin, nil, nil},
		{http.MethodGet, "/debug/pprof/{profile}", "take one profile", (*exchange).getProfile, afterReplay, RoleAdmin, []string{"debug", "gc", "seconds"}, nil},
	}
}

func (x *exchange) getProfiles() error {
	var names []string
	for _, p := range runtimepprof.Profiles() {
		names = append(names, p.Name())
	}
	return x.json(http.StatusOK, map[string][]string{"profiles": append(names, "profile", "trace")})
}

// getProfile serves one profile: a name that getProfiles lists, "profile" for
// the CPU profile, or "trace" for an execution trace. The last two run for the
// parameter seconds.
func (x *exchange) getProfile() error {
	switch name := x.variable("profile"); {
	case name == "profile":
		pprof.Profile(x.w, x.r)
	case name == "trace":
		pprof.Trace(x.w, x.r)
	case runtimepprof.Lookup(name) != nil:
		pprof.Handler(name).ServeHTTP(x.w, x.r)
	default:
		return Errorf(NotFound, "there is no profile %s: GET /debug/pprof lists them", canon.Quote(name))
	}
	return nil
}
