package project

import (
	"cmp"

	"github.com/chorus-services/swoosh"
	"github.com/chorus-services/swoosh/noun"
)

// EnvironmentRelease releases the environment and begins a new generation.
type EnvironmentRelease struct {
	Project noun.ID   `json:"project"`
	Reason  noun.Text `json:"reason"`
}

// Scopes returns the project's.
func (c EnvironmentRelease) Scopes() []string { return scopes(c.Project) }

// Phase returns the phase of region environment.
func (c EnvironmentRelease) Phase(v swoosh.View) (string, error) {
	return environmentPhase(v, c.Project)
}

// Check refuses after the last generation.
func (c EnvironmentRelease) Check(v swoosh.View) error {
	r, _ := Domain.Of(v).Environment.Get(c.Project)
	return cmp.Or(byMember(v, c.Project), another(c.Project, "generation", r.Generation))
}

// Apply drops everything of the generation.
func (c EnvironmentRelease) Apply(s *State, at swoosh.Stamp) {
	r, _ := s.Environment.Get(c.Project)
	s.unsettle(c.Project, r.Provider)
	r.Provider, r.Resources, r.Artifacts, r.Layers, r.Probes = "", nil, nil, nil, nil
	r.Generation, r.Reason = r.Generation+1, c.Reason
	r.enter(Allocate, at)
	s.Environment.Put(c.Project, r)
}
