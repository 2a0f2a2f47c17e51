package project

import (
	"github.com/chorus-services/swoosh"
	"github.com/chorus-services/swoosh/noun"
)

// IngestionFetch reports that the sources have been fetched, with the hash of
// their content.
type IngestionFetch struct {
	Project     noun.ID  `json:"project"`
	Epoch       Round    `json:"epoch,omitzero"` // if given, must be the present epoch
	ContentHash noun.Ref `json:"content_hash"`
}

// Scopes returns the project's.
func (c IngestionFetch) Scopes() []string { return scopes(c.Project) }

// Phase returns the phase of region ingestion.
func (c IngestionFetch) Phase(v swoosh.View) (string, error) { return ingestionPhase(v, c.Project) }

// Check refuses a command of another epoch.
func (c IngestionFetch) Check(v swoosh.View) error { return ingestionFence(v, c.Project, c.Epoch) }

// Apply stores the content hash.
func (c IngestionFetch) Apply(s *State, at swoosh.Stamp) {
	r, _ := s.Ingestion.Get(c.Project)
	r.ContentHash = c.ContentHash
	r.enter(Validate, at)
	s.Ingestion.Put(c.Project, r)
}
