package project

import (
	"cmp"

	"github.com/chorus-services/swoosh"
	"github.com/chorus-services/swoosh/noun"
)

// IngestionRestart begins a new epoch. Reports that name an earlier epoch are
// refused.
type IngestionRestart struct {
	Project noun.ID   `json:"project"`
	Reason  noun.Text `json:"reason"`
}

// Scopes returns the project's.
func (c IngestionRestart) Scopes() []string { return scopes(c.Project) }

// Phase returns the phase of region ingestion.
func (c IngestionRestart) Phase(v swoosh.View) (string, error) { return ingestionPhase(v, c.Project) }

// Check refuses after the last epoch.
func (c IngestionRestart) Check(v swoosh.View) error {
	r, _ := Domain.Of(v).Ingestion.Get(c.Project)
	return cmp.Or(byMember(v, c.Project), another(c.Project, "epoch", r.Epoch))
}

// Apply drops everything of the epoch except the last error.
func (c IngestionRestart) Apply(s *State, at swoosh.Stamp) {
	r, _ := s.Ingestion.Get(c.Project)
	r.Sources, r.ContentHash, r.IndexRef, r.Failures = nil, "", "", 0
	r.Epoch, r.Reason = r.Epoch+1, c.Reason
	r.enter(Discover, at)
	s.Ingestion.Put(c.Project, r)
}
