package project

import (
	"github.com/chorus-services/swoosh"
	"github.com/chorus-services/swoosh/noun"
)

// EnvironmentRelease gives the environment back and begins a new generation.
type EnvironmentRelease struct {
	Project noun.ID   `json:"project"`
	Reason  noun.Text `json:"reason"`
}

// Phase is that of region environment.
func (c EnvironmentRelease) Phase(v swoosh.View) (string, error) {
	return environmentPhase(v, c.Project)
}

// Check has nothing to refuse.
func (EnvironmentRelease) Check(swoosh.View) error { return nil }

// Apply drops what the generation held.
func (c EnvironmentRelease) Apply(s *State, at swoosh.Stamp) {
	r, _ := s.Environment.Get(c.Project)
	r.Provider, r.Resources, r.Artifacts, r.Layers, r.Probes = "", nil, nil, nil, nil
	r.Generation, r.Reason = r.Generation+1, c.Reason
	r.enter(Allocate, at)
	s.Environment.Put(c.Project, r)
}
