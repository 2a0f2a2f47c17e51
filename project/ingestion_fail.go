package project

import (
	"github.com/chorus-services/swoosh"
	"github.com/chorus-services/swoosh/noun"
)

// IngestionFail reports that a step failed. The phase stays, so the step can be
// repeated.
type IngestionFail struct {
	Project noun.ID   `json:"project"`
	Epoch   Round     `json:"epoch,omitzero"` // if given, must be the present epoch
	Error   noun.Text `json:"error"`
}

// Scopes returns the project's.
func (c IngestionFail) Scopes() []string { return scopes(c.Project) }

// Phase returns the phase of region ingestion.
func (c IngestionFail) Phase(v swoosh.View) (string, error) { return ingestionPhase(v, c.Project) }

// Check refuses a command of another epoch.
func (c IngestionFail) Check(v swoosh.View) error { return ingestionFence(v, c.Project, c.Epoch) }

// Apply counts the failure and stores its error.
func (c IngestionFail) Apply(s *State, _ swoosh.Stamp) {
	r, _ := s.Ingestion.Get(c.Project)
	r.Failures, r.LastError = more(r.Failures), c.Error
	s.Ingestion.Put(c.Project, r)
}
