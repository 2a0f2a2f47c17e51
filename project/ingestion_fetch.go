package project

import (
	"github.com/chorus-services/swoosh"
	"github.com/chorus-services/swoosh/noun"
)

// IngestionFetch says that the sources are fetched, and what came.
type IngestionFetch struct {
	Project     noun.ID  `json:"project"`
	Epoch       Round    `json:"epoch,omitzero"` // another than the present one is refused
	ContentHash noun.Ref `json:"content_hash"`
}

// Phase is that of region ingestion.
func (c IngestionFetch) Phase(v swoosh.View) (string, error) { return ingestionPhase(v, c.Project) }

// Check refuses a report of another epoch.
func (c IngestionFetch) Check(v swoosh.View) error { return ingestionFence(v, c.Project, c.Epoch) }

// Apply keeps the content's hash.
func (c IngestionFetch) Apply(s *State, at swoosh.Stamp) {
	r, _ := s.Ingestion.Get(c.Project)
	r.ContentHash = c.ContentHash
	r.enter(Validate, at)
	s.Ingestion.Put(c.Project, r)
}
