package project

import (
	"github.com/chorus-services/swoosh"
	"github.com/chorus-services/swoosh/noun"
)

// EnvironmentAllocate sets the provider of the environment and the resources
// requested from it.
type EnvironmentAllocate struct {
	Project    noun.ID             `json:"project"`
	Generation Round               `json:"generation,omitzero"` // if given, must be the present generation
	Provider   noun.Ref            `json:"provider"`
	Resources  noun.List[Resource] `json:"resources,omitzero"`
}

// Phase returns the phase of region environment.
func (c EnvironmentAllocate) Phase(v swoosh.View) (string, error) {
	return environmentPhase(v, c.Project)
}

// Check refuses a command of another generation.
func (c EnvironmentAllocate) Check(v swoosh.View) error {
	_, err := inGeneration(v, c.Project, c.Generation)
	return err
}

// Apply stores provider and resources.
func (c EnvironmentAllocate) Apply(s *State, at swoosh.Stamp) {
	r, _ := s.Environment.Get(c.Project)
	r.Provider, r.Resources = c.Provider, c.Resources
	r.enter(Provision, at)
	s.Environment.Put(c.Project, r)
}
