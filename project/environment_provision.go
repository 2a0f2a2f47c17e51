package project

import (
	"github.com/chorus-services/swoosh"
	"github.com/chorus-services/swoosh/noun"
)

// EnvironmentProvision says what is installed, and which probes will report on
// it.
type EnvironmentProvision struct {
	Project    noun.ID   `json:"project"`
	Generation Round     `json:"generation,omitzero"` // another than the present one is refused
	Artifacts  noun.Refs `json:"artifacts,omitzero"`
	Layers     noun.Refs `json:"layers,omitzero"`
	Probes     ProbeIDs  `json:"probes"`
}

// Phase is that of region environment.
func (c EnvironmentProvision) Phase(v swoosh.View) (string, error) {
	return environmentPhase(v, c.Project)
}

// Check refuses a report of another generation.
func (c EnvironmentProvision) Check(v swoosh.View) error {
	_, err := inGeneration(v, c.Project, c.Generation)
	return err
}

// Apply keeps what is installed; every probe is unreported.
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
