package project

import (
	"github.com/chorus-services/swoosh"
	"github.com/chorus-services/swoosh/noun"
)

// The phases of region ingestion, before READY.
const (
	Discover = "DISCOVER"
	Fetch    = "FETCH"
	Validate = "VALIDATE"
	Index    = "INDEX"
)

// Ingestion holds the progress of fetching and indexing a project's content.
type Ingestion struct {
	Phase       string    `json:"phase"`
	Epoch       Round     `json:"epoch"`
	Entered     []Entered `json:"entered"`
	Sources     noun.Refs `json:"sources"` // in the order given
	ContentHash noun.Ref  `json:"content_hash"`
	IndexRef    noun.Ref  `json:"index_ref"`
	Failures    uint32    `json:"failures"` // in this epoch
	LastError   noun.Text `json:"last_error"`
	Reason      noun.Text `json:"reason"` // of the last restart
}

func (r *Ingestion) enter(phase string, at swoosh.Stamp) { enter(&r.Phase, &r.Entered, phase, at) }

func ingestionPhase(v swoosh.View, project noun.ID) (string, error) {
	s := Domain.Of(v)
	r, _ := s.Ingestion.Get(project)
	return inRegion(s, project, r.Phase)
}

// ingestionFence returns an error if who signed may not, or if epoch is given and is not
// the present one.
func ingestionFence(v swoosh.View, project noun.ID, epoch Round) error {
	if err := byMember(v, project); err != nil {
		return err
	}
	r, _ := Domain.Of(v).Ingestion.Get(project)
	return fence(project, "epoch", epoch, r.Epoch)
}
