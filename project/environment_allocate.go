package project

import (
	"github.com/chorus-services/swoosh"
	"github.com/chorus-services/swoosh/noun"
)

// EnvironmentAllocate sets the provider of the environment and the resources
// requested from it.
//
// On a network the provider may be a node of it, such as node:n17. Refused with Conflict
// if that is no member, or not in service.
type EnvironmentAllocate struct {
	Project    noun.ID             `json:"project"`
	Generation Round               `json:"generation,omitzero"` // if given, must be the present generation
	Provider   noun.Ref            `json:"provider"`
	Resources  noun.List[Resource] `json:"resources,omitzero"`
}

// Scopes returns the project's.
func (c EnvironmentAllocate) Scopes() []string { return scopes(c.Project) }

// Phase returns the phase of region environment.
func (c EnvironmentAllocate) Phase(v swoosh.View) (string, error) {
	return environmentPhase(v, c.Project)
}

// Check refuses a command of another generation, and on a network a node that does not
// stand.
func (c EnvironmentAllocate) Check(v swoosh.View) error {
	if _, err := inGeneration(v, c.Project, c.Generation); err != nil {
		return err
	}
	return hosted(v, c.Project, c.Provider)
}

// Apply stores provider and resources.
func (c EnvironmentAllocate) Apply(s *State, at swoosh.Stamp) {
	r, _ := s.Environment.Get(c.Project)
	r.Provider, r.Resources = c.Provider, c.Resources
	r.enter(Provision, at)
	s.settle(c.Project, c.Provider)
	s.Environment.Put(c.Project, r)
}
