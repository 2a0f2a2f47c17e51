package project

import (
	"github.com/chorus-services/swoosh"
	"github.com/chorus-services/swoosh/noun"
)

// IngestionValidate reports that the content is valid. Report invalid content
// by ingestion.fail.
type IngestionValidate struct {
	Project noun.ID `json:"project"`
	Epoch   Round   `json:"epoch,omitzero"` // if given, must be the present epoch
}

// Scopes returns the project's.
func (c IngestionValidate) Scopes() []string { return scopes(c.Project) }

// Phase returns the phase of region ingestion.
func (c IngestionValidate) Phase(v swoosh.View) (string, error) { return ingestionPhase(v, c.Project) }

// Check refuses a command of another epoch.
func (c IngestionValidate) Check(v swoosh.View) error { return ingestionFence(v, c.Project, c.Epoch) }

// Apply moves to INDEX.
func (c IngestionValidate) Apply(s *State, at swoosh.Stamp) {
	r, _ := s.Ingestion.Get(c.Project)
	r.enter(Index, at)
	s.Ingestion.Put(c.Project, r)
}
