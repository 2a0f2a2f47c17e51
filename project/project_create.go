package project

import (
	"github.com/chorus-services/swoosh"
	"github.com/chorus-services/swoosh/fleet"
	"github.com/chorus-services/swoosh/noun"
)

// Create creates a project, with every region in its first phase.
//
// Refused with Conflict if the id is taken, even by an archived project, or if network is
// given and is no network that is ACTIVE. A signed one is refused with Forbidden unless
// the network's owner or an admin of it signed it.
type Create struct {
	Project  noun.ID   `json:"project"`
	Name     noun.Name `json:"name"`
	Network  noun.ID   `json:"network,omitzero"`  // whose nodes decide in the project; if not given, ids are free
	Windowed bool      `json:"windowed,omitzero"` // whether execution.submit must name an open window
}

// Scopes returns the project's.
func (c Create) Scopes() []string { return scopes(c.Project) }

// Phase returns the phase of region project.
func (c Create) Phase(v swoosh.View) (string, error) { return projectPhase(v, c.Project) }

// Check refuses who signed and may not, an id that is taken, and a network that is not there.
func (c Create) Check(v swoosh.View) error {
	if err := c.bySigner(v); err != nil {
		return err
	}
	if p, taken := Domain.Of(v).Projects.Get(c.Project); taken {
		return swoosh.Errorf(swoosh.Conflict, "project %s already exists and is %s: choose another id", c.Project, p.Phase)
	}
	f, _ := fleet.Domain.Find(v)
	if n, _ := f.Networks.Get(c.Network); c.Network != "" && n.Phase != fleet.NetworkActive {
		return swoosh.Errorf(swoosh.Conflict, "there is no network %s that is %s: create one with network.create, or leave network out", c.Network, fleet.NetworkActive)
	}
	return nil
}

// bySigner refuses a signed command unless the network's owner or an admin of it signed it.
func (c Create) bySigner(v swoosh.View) error {
	by := v.Command().Signer
	if by == "" {
		return nil
	}
	if c.Network == "" {
		return swoosh.Errorf(swoosh.Forbidden, "%s signed this, but a project on no network is created without a signature: give a network", by)
	}
	if m, _ := memberOf(v, c.Network, fleet.NodeID(by)); m.Role != fleet.RoleOwner && m.Role != fleet.RoleAdmin {
		return swoosh.Errorf(swoosh.Forbidden, "%s signed this, but it needs the owner or an admin of network %s", by, c.Network)
	}
	return nil
}

// Apply enters the first phase of each region. Rounds start at 1. So do cycles,
// but the first one begins with execution.start.
func (c Create) Apply(s *State, at swoosh.Stamp) {
	s.Projects.Put(c.Project, Project{Name: c.Name, Phase: Active, Created: at, Network: c.Network, Windowed: c.Windowed})

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
