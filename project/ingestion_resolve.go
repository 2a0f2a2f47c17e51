package project

import (
	"github.com/chorus-services/swoosh"
	"github.com/chorus-services/swoosh/noun"
)

// IngestionResolve sets the sources to fetch.
type IngestionResolve struct {
	Project noun.ID   `json:"project"`
	Epoch   Round     `json:"epoch,omitzero"` // if given, must be the present epoch
	Sources noun.Refs `json:"sources"`
}

// Scopes returns the project's.
func (c IngestionResolve) Scopes() []string { return scopes(c.Project) }

// Phase returns the phase of region ingestion.
func (c IngestionResolve) Phase(v swoosh.View) (string, error) { return ingestionPhase(v, c.Project) }

// Check refuses a command of another epoch.
func (c IngestionResolve) Check(v swoosh.View) error { return ingestionFence(v, c.Project, c.Epoch) }

// Apply stores the sources in the order given.
func (c IngestionResolve) Apply(s *State, at swoosh.Stamp) {
	r, _ := s.Ingestion.Get(c.Project)
	r.Sources = c.Sources
	r.enter(Fetch, at)
	s.Ingestion.Put(c.Project, r)
}
