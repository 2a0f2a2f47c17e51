package project

import (
	"fmt"
	"slices"
	"strings"

	"github.com/chorus-services/swoosh"
	"github.com/chorus-services/swoosh/noun"
)

// itemsMax limits the items of a cycle, as the list of execution.plan does.
const itemsMax = 1000

// faultsMax limits the faults reported at once.
const faultsMax = 32

// faults lists what is wrong with a payload or an imported state, with pointers
// relative to its root.
type faults []swoosh.FieldError

// want adds a fault unless ok is true.
func (f *faults) want(ok bool, pointer, format string, args ...any) {
	if !ok && len(*f) < faultsMax {
		*f = append(*f, swoosh.FieldError{Pointer: pointer, Detail: fmt.Sprintf(format, args...)})
	}
}

// refuse returns the faults as an error, or nil if there are none.
func (f faults) refuse(kind swoosh.Kind) error {
	if f == nil {
		return nil
	}
	err := swoosh.Errorf(kind, "%s %s", f[0].Pointer, f[0].Detail)
	err.Errors = f
	return err
}

// Validate refuses an imported state whose rows contradict each other, since
// commands rely on rows being such as commands make them.
func (s State) Validate() error {
	return s.faults().refuse(swoosh.InvalidState)
}

var pointerEscapes = strings.NewReplacer("~", "~0", "/", "~1")

// rowAt returns the JSON Pointer (RFC 6901) of a row.
func rowAt(table, key string) string { return "/" + table + "/" + pointerEscapes.Replace(key) }

func (s State) faults() faults {
	var f faults
	for id, p := range s.Projects.All() {
		at := rowAt("projects", string(id))
		formed := id.Validate()
		f.want(formed == nil, at, "is not an id: it %v", formed)
		f.want(p.Name != "", at+"/name", "is required")
		f.want(!p.Created.IsZero(), at+"/created", "is required")
		f.want(p.Phase == Active || p.Phase == Archived, at+"/phase", "must be %s or %s", Active, Archived)
		if p.Phase == Archived {
			e, _ := s.Execution.Get(id)
			f.want(e.Phase == Idle, at+"/phase", "must not be %s while execution is %s", Archived, e.Phase)
		}
	}
	everyProject(&f, s, "ingestion", s.Ingestion, s.ingestionFaults)
	everyProject(&f, s, "council", s.Council, s.councilFaults)
	everyProject(&f, s, "environment", s.Environment, s.environmentFaults)
	everyProject(&f, s, "execution", s.Execution, s.executionFaults)
	s.strayFaults(&f)
	s.nodeFaults(&f)
	return f
}

// everyProject checks that a region's table has one row for each project, and
// calls ask for each row.
func everyProject[R any](f *faults, s State, region string, rows swoosh.Table[noun.ID, R], ask func(*faults, string, noun.ID, R)) {
	for id := range s.Projects.All() {
		_, ok := rows.Get(id)
		f.want(ok, rowAt(region, string(id)), "is required, since the project exists")
	}
	for id, row := range rows.All() {
		at := rowAt(region, string(id))
		_, ok := s.Projects.Get(id)
		f.want(ok, at, "must not exist without its project")
		ask(f, at, id, row)
	}
}

// strayFaults finds votes and items without a project. Those that have one are
// checked with its council and its execution.
func (s State) strayFaults(f *faults) {
	for k := range s.Votes.All() {
		project, _, _ := strings.Cut(string(k), ".")
		_, ok := s.Council.Get(noun.ID(project))
		f.want(ok, rowAt("votes", string(k)), "must not exist without the council of its project")
	}
	for k := range s.Items.All() {
		project, _, _ := strings.Cut(string(k), ".")
		_, ok := s.Execution.Get(noun.ID(project))
		f.want(ok, rowAt("items", string(k)), "must not exist without the execution of its project")
	}
}

// nodeFaults checks that electors and hosts have exactly the rows that the ACTIVE
// projects on a network ask for.
func (s State) nodeFaults(f *faults) {
	electors, hosts := map[NodeKey]bool{}, map[NodeKey]bool{}
	for id, p := range s.Projects.All() {
		if p.Network == "" || p.Phase != Active {
			continue
		}
		council, _ := s.Council.Get(id)
		for _, elector := range council.Electorate {
			electors[nodeKey(elector, id)] = true
			_, ok := s.Electors.Get(nodeKey(elector, id))
			f.want(ok, rowAt("electors", string(nodeKey(elector, id))), "is required, since the node is in the electorate")
		}
		environment, _ := s.Environment.Get(id)
		if node := host(environment.Provider); node != "" {
			hosts[nodeKey(node, id)] = true
			_, ok := s.Hosts.Get(nodeKey(node, id))
			f.want(ok, rowAt("hosts", string(nodeKey(node, id))), "is required, since the node is the provider")
		}
	}
	for k := range s.Electors.All() {
		f.want(electors[k], rowAt("electors", string(k)), "must be of an elector of an %s project on a network", Active)
	}
	for k := range s.Hosts.All() {
		f.want(hosts[k], rowAt("hosts", string(k)), "must be of the provider of an %s project on a network", Active)
	}
}

// phaseFaults checks what every region has: its phase, and the list of phases
// it entered.
func phaseFaults(f *faults, at, phase string, entered []Entered, known ...string) {
	f.want(slices.Contains(known, phase), at+"/phase", "must be one of %q", known)
	f.want(len(entered) > 0 && entered[len(entered)-1].Phase == phase, at+"/entered", "must end with the present phase")
	seen := map[string]bool{}
	for i, e := range entered {
		here := fmt.Sprintf("%s/entered/%d", at, i)
		f.want(slices.Contains(known, e.Phase) && !seen[e.Phase], here+"/phase", "must be one of %q, each at most once", known)
		f.want(!e.At.IsZero() && (i == 0 || e.At.After(entered[i-1].At)), here+"/at", "is required, and must be after the previous one")
		seen[e.Phase] = true
	}
}

func roundFaults(f *faults, pointer string, r Round, least Round) {
	f.want(r >= least, pointer, "must be an integer from %d", least)
}

func (s State) ingestionFaults(f *faults, at string, _ noun.ID, r Ingestion) {
	steps := []string{Discover, Fetch, Validate, Index, Ready}
	phaseFaults(f, at, r.Phase, r.Entered, steps...)
	roundFaults(f, at+"/epoch", r.Epoch, 1)
	step := slices.Index(steps, r.Phase)
	f.want((len(r.Sources) > 0) == (step >= 1), at+"/sources", "is required from %s on, and must not be given earlier", Fetch)
	f.want((r.ContentHash != "") == (step >= 2), at+"/content_hash", "is required from %s on, and must not be given earlier", Validate)
	f.want((r.IndexRef != "") == (step >= 4), at+"/index_ref", "is required in %s, and must not be given earlier", Ready)
}

func (s State) environmentFaults(f *faults, at string, _ noun.ID, r Environment) {
	steps := []string{Allocate, Provision, Healthcheck, Degraded, Ready}
	phaseFaults(f, at, r.Phase, r.Entered, steps...)
	roundFaults(f, at+"/generation", r.Generation, 1)
	step := slices.Index(steps, r.Phase)
	f.want((r.Provider != "") == (step >= 1), at+"/provider", "is required from %s on, and must not be given earlier", Provision)
	f.want(r.Resources == nil || step >= 1, at+"/resources", "must not be given before %s", Provision)
	f.want(r.Artifacts == nil || step >= 2, at+"/artifacts", "must not be given before %s", Healthcheck)
	f.want(r.Layers == nil || step >= 2, at+"/layers", "must not be given before %s", Healthcheck)
	if step < 2 {
		f.want(len(r.Probes) == 0, at+"/probes", "must not be given before %s", Healthcheck)
		return
	}
	ids := make(ProbeIDs, len(r.Probes))
	for i, p := range r.Probes {
		ids[i] = p.Probe
		f.want(p.Probe != "", fmt.Sprintf("%s/probes/%d/probe", at, i), "is required")
		f.want(p.reported() || !p.Healthy && p.Detail == "", fmt.Sprintf("%s/probes/%d/since", at, i), "is required with a report")
	}
	formed := ids.Validate()
	f.want(formed == nil, at+"/probes", "%v", formed)
	f.want(r.health() == r.Phase, at+"/phase", "must be %s according to the probes", r.health())
	f.want(r.Phase != Ready || allReported(r.Probes), at+"/phase", "must not be %s before every probe has reported", Ready)
}

func allReported(probes []Probe) bool {
	return !slices.ContainsFunc(probes, func(p Probe) bool { return !p.reported() })
}
