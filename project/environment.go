package project

import (
	"slices"

	"github.com/chorus-services/swoosh"
	"github.com/chorus-services/swoosh/noun"
)

// The phases of region environment, besides READY.
const (
	Allocate    = "ALLOCATE"
	Provision   = "PROVISION"
	Healthcheck = "HEALTHCHECK"
	Degraded    = "DEGRADED"
)

// Environment is where a project runs.
type Environment struct {
	Phase      string              `json:"phase"`
	Generation Round               `json:"generation"`
	Entered    []Entered           `json:"entered"`
	Provider   noun.Ref            `json:"provider"`
	Resources  noun.List[Resource] `json:"resources"`
	Artifacts  noun.Refs           `json:"artifacts"`
	Layers     noun.Refs           `json:"layers"`
	Probes     []Probe             `json:"probes"` // in the order provisioned
	Reason     noun.Text           `json:"reason"` // of the last release
}

// Resource is something requested from the provider, such as cpu: 2.
type Resource struct {
	Name  noun.ID   `json:"name"`
	Value noun.Text `json:"value"`
}

// Key returns the name, so that each resource is requested once.
func (r Resource) Key() string { return string(r.Name) }

// ProbeIDs lists 1 to 64 probes, without duplicates. environment.provision
// fixes the list: otherwise the first good report would make the environment
// READY, and a removed probe would keep it DEGRADED forever.
type ProbeIDs []noun.ID

const probesMax = 64

// Validate returns an error if the list as a whole is wrong.
func (p ProbeIDs) Validate() error { return noun.CheckList(p, probesMax) }

// JSONSchema returns the form as JSON Schema 2020-12.
func (ProbeIDs) JSONSchema() string { return noun.ListSchema[noun.ID](probesMax) }

// Probe is the last report of a probe.
type Probe struct {
	Probe   noun.ID      `json:"probe"`
	Healthy bool         `json:"healthy"`
	Detail  noun.Text    `json:"detail"`
	Since   swoosh.Stamp `json:"since"` // when the probe first reported this; zero before its first report
}

func (p Probe) reported() bool { return !p.Since.IsZero() }

// after returns the probe after a report. Since is the stamp of the first report with
// this result.
func (p Probe) after(healthy bool, detail noun.Text, at swoosh.Stamp) Probe {
	if p.reported() && p.Healthy == healthy && p.Detail == detail {
		return p
	}
	return Probe{p.Probe, healthy, detail, at}
}

func (r *Environment) enter(phase string, at swoosh.Stamp) { enter(&r.Phase, &r.Entered, phase, at) }

func environmentPhase(v swoosh.View, project noun.ID) (string, error) {
	s := Domain.Of(v)
	r, _ := s.Environment.Get(project)
	return inRegion(s, project, r.Phase)
}

// inGeneration returns a project's environment. It fails if who signed may not, or if
// generation is given and is not the present one.
func inGeneration(v swoosh.View, project noun.ID, generation Round) (Environment, error) {
	r, _ := Domain.Of(v).Environment.Get(project)
	if err := byMember(v, project); err != nil {
		return r, err
	}
	return r, fence(project, "generation", generation, r.Generation)
}

// probe returns the index of a provisioned probe, or -1.
func (r Environment) probe(id noun.ID) int {
	return slices.IndexFunc(r.Probes, func(p Probe) bool { return p.Probe == id })
}

// health returns the phase that follows from the probes: DEGRADED if one is
// unhealthy, READY if all have reported and are healthy, otherwise the present
// phase.
func (r Environment) health() string {
	if slices.ContainsFunc(r.Probes, func(p Probe) bool { return p.reported() && !p.Healthy }) {
		return Degraded
	}
	if slices.ContainsFunc(r.Probes, func(p Probe) bool { return !p.reported() }) {
		return r.Phase
	}
	return Ready
}
