package project

import (
	"github.com/chorus-services/swoosh"
	"github.com/chorus-services/swoosh/noun"
)

// IngestionIndex says where the index of the content is. With it the content
// is READY.
type IngestionIndex struct {
	Project  noun.ID  `json:"project"`
	Epoch    Round    `json:"epoch,omitzero"` // another than the present one is refused
	IndexRef noun.Ref `json:"index_ref"`
}

// Phase is that of region ingestion.
func (c IngestionIndex) Phase(v swoosh.View) (string, error) { return ingestionPhase(v, c.Project) }

// Check refuses a report of another epoch.
func (c IngestionIndex) Check(v swoosh.View) error { return ingestionFence(v, c.Project, c.Epoch) }

// Apply keeps where the index is.
func (c IngestionIndex) Apply(s *State, at swoosh.Stamp) {
	r, _ := s.Ingestion.Get(c.Project)
	r.IndexRef = c.IndexRef
	r.enter(Ready, at)
	s.Ingestion.Put(c.Project, r)
}
