package swoosh

import (
	"cmp"
	"fmt"
	"net/http"
	"runtime"
	"slices"

	"github.com/go-json-experiment/json/jsontext"
)

// routeLine is a route in the list of GET /.
type routeLine struct {
	Method  string `json:"method"`
	Path    string `json:"path"`
	Summary string `json:"summary"`
	Role    string `json:"role,omitzero"` // left out: open to anybody
}

type routeList struct {
	Routes []routeLine `json:"routes"`
}

func (x *exchange) getRoutes() error {
	var all routeList
	for _, r := range x.api.routes {
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
	Applied *uint64 `json:"applied,omitzero"` // with Target: while it starts
	Target  *uint64 `json:"target,omitzero"`
}

func (x *exchange) getReady() error {
	var doc readiness
	if x.engine != nil {
		doc.Ready, doc.Reason = x.engine.Readiness()
	} else {
		p := x.api.booting()
		doc = readiness{Reason: Starting.Code(), Applied: &p.Applied, Target: &p.Target}
	}
	if doc.Ready {
		return x.json(http.StatusOK, doc)
	}
	return x.json(http.StatusServiceUnavailable, doc)
}

// booting is how far the boot has come, as far as it has told.
func (a *API) booting() Progress {
	if p := a.progress.Load(); p != nil {
		return *p
	}
	return Progress{}
}

func (p Progress) sentence() string {
	switch {
	case p.Bytes > 0:
		return fmt.Sprintf("A snapshot is being loaded: %d of %d bytes are read.", p.Read, p.Bytes)
	case p.Target > 0:
		return fmt.Sprintf("The log is being replayed: %d of %d entries are done.", p.Applied, p.Target)
	}
	return "The log is being opened."
}

// startingHealth is a Health whose state hash is not known yet.
type startingHealth struct {
	Health
	StateHash Hash `json:"state_hash,omitzero"`
}

func (x *exchange) getHealth() error {
	if x.engine != nil {
		return x.json(http.StatusOK, x.engine.Health())
	}
	p := x.api.booting()
	index, hlc := x.api.position()
	return x.json(http.StatusOK, startingHealth{Health: Health{
		Mode:    Starting.Code(),
		Reasons: []string{p.sentence()},
		Index:   index, HLC: hlc, Node: x.api.node(), Snapshot: HealthSnapshot{HLC: Stamp{Node: x.api.node()}},
		SetAside: []Aside{},
	}})
}

type version struct {
	Version string `json:"version"`
	Commit  string `json:"commit"`
	Go      string `json:"go"`
	Format  int    `json:"format"` // of the state's document
}

func (x *exchange) getVersion() error {
	return x.json(http.StatusOK, version{x.api.o.Version, x.api.o.Commit, runtime.Version(), documentFormat})
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
}

func newCommandDocument(c CommandInfo) commandDocument {
	return commandDocument{
		Name: c.Name, Summary: c.Summary, Domain: c.Domain, Region: c.Region,
		From: c.From, To: c.endings(), Schema: c.Schema, Refusals: c.refusals(), Role: c.Role().String(),
	}
}

// MarshalJSON gives what GET /commands/{name} answers.
func (c CommandInfo) MarshalJSON() ([]byte, error) { return encode(newCommandDocument(c)), nil }

// endings are all phases that the command may end in: those that it names, and
// for one that may stay those that it comes from.
func (c CommandInfo) endings() []string {
	ends := slices.Clone(c.To)
	for _, phase := range c.From {
		if c.Stay && !slices.Contains(ends, phase) {
			ends = append(ends, phase)
		}
	}
	return ends
}

// refusals are the codes that follow from the command's declaration, in the
// order of kinds. What every command may meet, from the forms of the envelope
// to the gates and the disk, is not repeated for each.
func (c CommandInfo) refusals() []string {
	all := append([]Kind{InvalidPayload}, c.refuses...)
	if len(c.From) > 0 {
		all = append(all, InvalidPhase)
	}
	slices.Sort(all)
	codes := []string{}
	for _, k := range slices.Compact(all) {
		codes = append(codes, k.Code())
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
