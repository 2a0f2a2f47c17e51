package project

import (
	"github.com/chorus-services/swoosh"
	"github.com/chorus-services/swoosh/noun"
)

// IngestionValidate records that a worker found the content good. Bad content
// is reported by ingestion.fail.
type IngestionValidate struct {
	Project noun.ID `json:"project"`
	Epoch   Round   `json:"epoch,omitzero"` // another than the present one is refused
}

// Phase is that of region ingestion.
func (c IngestionValidate) Phase(v swoosh.View) (string, error) { return ingestionPhase(v, c.Project) }

// Check refuses a report of another epoch.
func (c IngestionValidate) Check(v swoosh.View) error { return ingestionFence(v, c.Project, c.Epoch) }

// Apply moves on.
func (c IngestionValidate) Apply(s *State, at swoosh.Stamp) {
	r, _ := s.Ingestion.Get(c.Project)
	r.enter(Index, at)
	s.Ingestion.Put(c.Project, r)
}
