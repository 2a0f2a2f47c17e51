package main

import (
	"cmp"
	"slices"

	"github.com/chorus-services/swoosh"
	"github.com/chorus-services/swoosh/noun"
)

const (
	approvalsNeeded = 2
	trialMS         = 600_000 // if the proposal does not say
	expireMost      = 100     // rollbacks of one command, so that none takes long
)

// Propose is a command. Its approvals begin anew, also for the same version.
type Propose struct {
	Service noun.ID  `json:"service"`
	Version noun.Ref `json:"version"`
	TrialMS TrialMS  `json:"trial_ms,omitzero"` // left out: 10 min
}

func (c Propose) Phase(v swoosh.View) (string, error) { return phase(v, c.Service) }
func (c Propose) Check(swoosh.View) error             { return nil }
func (c Propose) Apply(s *State, _ swoosh.Stamp) {
	service, _ := s.Services.Get(c.Service)
	service.Phase, service.Version, service.Approvals = Proposed, c.Version, nil
	service.TrialMS = cmp.Or(c.TrialMS, trialMS)
	s.Services.Put(c.Service, service)
}

// Approve names the version, so that nobody approves another one than they saw.
type Approve struct {
	Service noun.ID   `json:"service"`
	Version noun.Ref  `json:"version"`
	By      noun.Name `json:"by"` // the name of the sender's token: see self
}

func (c Approve) Phase(v swoosh.View) (string, error) { return phase(v, c.Service) }

func (c Approve) Check(v swoosh.View) error {
	service, _ := domain.Of(v).Services.Get(c.Service)
	if slices.Contains(service.Approvals, c.By) {
		return swoosh.Errorf(swoosh.Conflict, "%s has approved %s already: somebody else must, too", c.By, c.Version)
	}
	return isAt(v, c.Service, c.Version)
}

func (c Approve) Apply(s *State, at swoosh.Stamp) {
	service, _ := s.Services.Get(c.Service)
	service.Approvals = append(slices.Clone(service.Approvals), c.By) // Published states share the old list.
	if len(service.Approvals) >= approvalsNeeded {
		service.Phase, service.Run = OnTrial, service.Version
		service.ConfirmBy = noun.MS(at.WallMS + uint64(service.TrialMS))
		s.Due.Put(place(service.ConfirmBy, c.Service), Deadline{c.Service, service.ConfirmBy})
	}
	s.Services.Put(c.Service, service)
}

// Confirm is a command. If it comes late, but before the timer's, it counts: the
// order of the log decides.
type Confirm struct {
	Service noun.ID  `json:"service"`
	Version noun.Ref `json:"version"`
}

func (c Confirm) Phase(v swoosh.View) (string, error) { return phase(v, c.Service) }
func (c Confirm) Check(v swoosh.View) error           { return isAt(v, c.Service, c.Version) }
func (c Confirm) Apply(s *State, _ swoosh.Stamp) {
	service := s.endTrial(c.Service)
	service.Phase, service.Good = Stable, service.Version
	s.Services.Put(c.Service, service)
}

// Rollback is a command.
type Rollback Confirm

func (c Rollback) Phase(v swoosh.View) (string, error) { return phase(v, c.Service) }
func (c Rollback) Check(v swoosh.View) error           { return isAt(v, c.Service, c.Version) }
func (c Rollback) Apply(s *State, _ swoosh.Stamp)      { s.rollBack(c.Service) }

// Expire is the timer's command.
type Expire struct{}

func (Expire) Check(swoosh.View) error { return nil }
func (Expire) Apply(s *State, at swoosh.Stamp) {
	left := expireMost
	for _, d := range s.Due.All() {
		if uint64(d.At) > at.WallMS || left == 0 {
			return
		}
		left--
		s.rollBack(d.Service)
	}
}

// endTrial takes the deadline away.
func (s *State) endTrial(id noun.ID) Service {
	service, _ := s.Services.Get(id)
	s.Due.Delete(place(service.ConfirmBy, id))
	service.ConfirmBy = 0
	return service
}

func (s *State) rollBack(id noun.ID) {
	service := s.endTrial(id)
	service.Phase, service.Run = RolledBack, service.Good
	s.Services.Put(id, service)
}

func phase(v swoosh.View, id noun.ID) (string, error) {
	service, _ := domain.Of(v).Services.Get(id)
	return service.Phase, nil
}

// isAt refuses a command about another version than the newest proposal.
func isAt(v swoosh.View, id noun.ID, version noun.Ref) error {
	if service, _ := domain.Of(v).Services.Get(id); service.Version != version {
		return swoosh.Errorf(swoosh.Conflict, "%s is about version %s, not %s: look again", id, service.Version, version)
	}
	return nil
}
