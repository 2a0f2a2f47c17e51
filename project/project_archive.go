package project

import (
	"github.com/chorus-services/swoosh"
	"github.com/chorus-services/swoosh/noun"
)

// Archive closes a project for good. Everything stays readable.
//
// Refused with Conflict while execution is not IDLE.
type Archive struct {
	Project noun.ID `json:"project"`
}

// Scopes returns the project's.
func (c Archive) Scopes() []string { return scopes(c.Project) }

// Phase returns the phase of region project.
func (c Archive) Phase(v swoosh.View) (string, error) { return projectPhase(v, c.Project) }

// Check refuses unless execution is IDLE.
func (c Archive) Check(v swoosh.View) error {
	if err := byMember(v, c.Project); err != nil {
		return err
	}
	e, _ := Domain.Of(v).Execution.Get(c.Project)
	if e.Phase == Idle {
		return nil
	}
	return blocked([]string{"execution: " + e.Phase}, "project %s is working: stop it with execution.stop", c.Project)
}

// Apply changes only the phase. A node that goes does not move a project that is closed.
func (c Archive) Apply(s *State, _ swoosh.Stamp) {
	council, _ := s.Council.Get(c.Project)
	s.delist(c.Project, council.Electorate, nil)
	environment, _ := s.Environment.Get(c.Project)
	s.unsettle(c.Project, environment.Provider)
	p, _ := s.Projects.Get(c.Project)
	p.Phase = Archived
	s.Projects.Put(c.Project, p)
}
