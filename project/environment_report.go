package project

import (
	"slices"

	"github.com/chorus-services/swoosh"
	"github.com/chorus-services/swoosh/noun"
)

// EnvironmentReport says what a probe found. One unhealthy probe degrades the
// environment; it is READY when all have reported and none is unhealthy. The
// same again changes nothing.
//
// Refused with Conflict if the probe was not provisioned.
type EnvironmentReport struct {
	Project    noun.ID   `json:"project"`
	Generation Round     `json:"generation,omitzero"` // another than the present one is refused
	Probe      noun.ID   `json:"probe"`
	Healthy    bool      `json:"healthy"`
	Detail     noun.Text `json:"detail,omitzero"`
}

// Phase is that of region environment.
func (c EnvironmentReport) Phase(v swoosh.View) (string, error) {
	return environmentPhase(v, c.Project)
}

// Check refuses a probe that was not provisioned.
func (c EnvironmentReport) Check(v swoosh.View) error {
	r, err := inGeneration(v, c.Project, c.Generation)
	if err != nil {
		return err
	}
	if r.probe(c.Probe) < 0 {
		return swoosh.Errorf(swoosh.Conflict, "probe %s is not one of those that environment.provision named for project %s: report one of those", c.Probe, c.Project)
	}
	return nil
}

// Apply keeps the report; since is when the probe began to say so.
func (c EnvironmentReport) Apply(s *State, at swoosh.Stamp) {
	r, _ := s.Environment.Get(c.Project)
	i := r.probe(c.Probe)
	if p := r.Probes[i]; p.reported() && p.Healthy == c.Healthy && p.Detail == c.Detail {
		return
	}
	r.Probes = slices.Clone(r.Probes)
	r.Probes[i] = Probe{c.Probe, c.Healthy, c.Detail, at}
	r.enter(r.health(), at)
	s.Environment.Put(c.Project, r)
}
