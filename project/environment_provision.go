package project

import (
	"github.com/chorus-services/swoosh"
	"github.com/chorus-services/swoosh/noun"
)

// EnvironmentProvision reports what is installed, and lists the probes that
// will report on it.
//
// On a network refused with Conflict if the provider is a node that is no member, or not
// in service.
type EnvironmentProvision struct {
	Project    noun.ID   `json:"project"`
	Generation Round     `json:"generation,omitzero"` // if given, must be the present generation
	Artifacts  noun.Refs `json:"artifacts,omitzero"`
	Layers     noun.Refs `json:"layers,omitzero"`
	Probes     ProbeIDs  `json:"probes"`
}

// Scopes returns the project's.
func (c EnvironmentProvision) Scopes() []string { return scopes(c.Project) }

// Phase returns the phase of region environment.
func (c EnvironmentProvision) Phase(v swoosh.View) (string, error) {
	return environmentPhase(v, c.Project)
}

// Check refuses a command of another generation, and if the provider is a node that does
// not stand.
func (c EnvironmentProvision) Check(v swoosh.View) error {
	r, err := inGeneration(v, c.Project, c.Generation)
	if err != nil {
		return err
	}
	return hosted(v, c.Project, r.Provider)
}

// Apply stores what is installed. No probe has reported yet.
func (c EnvironmentProvision) Apply(s *State, at swoosh.Stamp) {
	r, _ := s.Environment.Get(c.Project)
	r.Artifacts, r.Layers = c.Artifacts, c.Layers
	r.Probes = make([]Probe, len(c.Probes))
	for i, id := range c.Probes {
		r.Probes[i].Probe = id
	}
	r.enter(Healthcheck, at)
	s.Environment.Put(c.Project, r)
}
