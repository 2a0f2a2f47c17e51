package project

import (
	"github.com/chorus-services/swoosh"
	"github.com/chorus-services/swoosh/noun"
)

// EnvironmentAllocate names the provider of the environment and what is asked
// of it.
type EnvironmentAllocate struct {
	Project    noun.ID             `json:"project"`
	Generation Round               `json:"generation,omitzero"` // another than the present one is refused
	Provider   noun.Ref            `json:"provider"`
	Resources  noun.List[Resource] `json:"resources,omitzero"`
}

// Phase is that of region environment.
func (c EnvironmentAllocate) Phase(v swoosh.View) (string, error) {
	return environmentPhase(v, c.Project)
}

// Check refuses a report of another generation.
func (c EnvironmentAllocate) Check(v swoosh.View) error {
	_, err := inGeneration(v, c.Project, c.Generation)
	return err
}

// Apply keeps provider and resources.
func (c EnvironmentAllocate) Apply(s *State, at swoosh.Stamp) {
	r, _ := s.Environment.Get(c.Project)
	r.Provider, r.Resources = c.Provider, c.Resources
	r.enter(Provision, at)
	s.Environment.Put(c.Project, r)
}
