package project

import (
	"github.com/chorus-services/swoosh"
	"github.com/chorus-services/swoosh/noun"
)

// IngestionIndex reports that the content is indexed, and where. Ingestion is
// then READY.
type IngestionIndex struct {
	Project  noun.ID  `json:"project"`
	Epoch    Round    `json:"epoch,omitzero"` // if given, must be the present epoch
	IndexRef noun.Ref `json:"index_ref"`
}

// Scopes returns the project's.
func (c IngestionIndex) Scopes() []string { return scopes(c.Project) }

// Phase returns the phase of region ingestion.
func (c IngestionIndex) Phase(v swoosh.View) (string, error) { return ingestionPhase(v, c.Project) }

// Check refuses a command of another epoch.
func (c IngestionIndex) Check(v swoosh.View) error { return ingestionFence(v, c.Project, c.Epoch) }

// Apply stores where the index is.
func (c IngestionIndex) Apply(s *State, at swoosh.Stamp) {
	r, _ := s.Ingestion.Get(c.Project)
	r.IndexRef = c.IndexRef
	r.enter(Ready, at)
	s.Ingestion.Put(c.Project, r)
}
