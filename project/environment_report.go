package project

import (
	"slices"

	"github.com/chorus-services/swoosh"
	"github.com/chorus-services/swoosh/noun"
)

// EnvironmentReport reports what a probe found. One unhealthy probe makes the
// environment DEGRADED; it is READY when all have reported and are healthy.
// Repeating a report changes nothing.
//
// Refused with Conflict if the probe was not provisioned. On a network healthy is refused
// too if the provider is a node that is no member, or not in service.
type EnvironmentReport struct {
	Project    noun.ID   `json:"project"`
	Generation Round     `json:"generation,omitzero"` // if given, must be the present generation
	Probe      noun.ID   `json:"probe"`
	Healthy    bool      `json:"healthy"`
	Detail     noun.Text `json:"detail,omitzero"`
}

// Scopes returns the project's.
func (c EnvironmentReport) Scopes() []string { return scopes(c.Project) }

// Phase returns the phase of region environment.
func (c EnvironmentReport) Phase(v swoosh.View) (string, error) {
	return environmentPhase(v, c.Project)
}

// Check refuses a probe that was not provisioned, and a good report of a node that does
// not stand.
func (c EnvironmentReport) Check(v swoosh.View) error {
	r, err := inGeneration(v, c.Project, c.Generation)
	if err != nil {
		return err
	}
	if r.probe(c.Probe) < 0 {
		return swoosh.Errorf(swoosh.Conflict, "probe %s is not provisioned in project %s: report for a probe listed by environment.provision", c.Probe, c.Project)
	}
	if c.Healthy {
		return hosted(v, c.Project, r.Provider)
	}
	return nil
}

// Apply stores the report.
func (c EnvironmentReport) Apply(s *State, at swoosh.Stamp) {
	r, _ := s.Environment.Get(c.Project)
	i := r.probe(c.Probe)
	r.Probes = slices.Clone(r.Probes)
	r.Probes[i] = r.Probes[i].after(c.Healthy, c.Detail, at)
	r.enter(r.health(), at)
	s.Environment.Put(c.Project, r)
}
