package project

import (
	"github.com/chorus-services/swoosh"
	"github.com/chorus-services/swoosh/noun"
)

// Create creates a project, with every region in its first phase.
//
// Refused with Conflict if the id is taken, even by an archived project.
type Create struct {
	Project noun.ID   `json:"project"`
	Name    noun.Name `json:"name"`
}

// Phase returns the phase of region project.
func (c Create) Phase(v swoosh.View) (string, error) { return projectPhase(v, c.Project) }

// Check refuses an id that is taken.
func (c Create) Check(v swoosh.View) error {
	if p, taken := Domain.Of(v).Projects.Get(c.Project); taken {
		return swoosh.Errorf(swoosh.Conflict, "project %s already exists and is %s: choose another id", c.Project, p.Phase)
	}
	return nil
}

// Apply enters the first phase of each region. Rounds start at 1. So do cycles,
// but the first one begins with execution.start.
func (c Create) Apply(s *State, at swoosh.Stamp) {
	s.Projects.Put(c.Project, Project{Name: c.Name, Phase: Active, Created: at})

	ingestion := Ingestion{Epoch: 1}
	ingestion.enter(Discover, at)
	s.Ingestion.Put(c.Project, ingestion)

	council := Council{Term: 1}
	council.enter(PlanRoles, at)
	s.Council.Put(c.Project, council)

	environment := Environment{Generation: 1}
	environment.enter(Allocate, at)
	s.Environment.Put(c.Project, environment)

	execution := Execution{}
	execution.enter(Idle, at)
	s.Execution.Put(c.Project, execution)
}
