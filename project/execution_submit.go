package project

import (
	"strings"

	"github.com/chorus-services/swoosh"
	"github.com/chorus-services/swoosh/noun"
)

// ExecutionSubmit submits the artifact of this cycle. Repeating a submit
// changes nothing.
//
// Refused with Conflict while another region is not READY, if ingestion has
// begun a new epoch since the plan, if an item is not approved, if another
// artifact was submitted in this cycle, or if the project is windowed and the
// command names no window that is open.
type ExecutionSubmit struct {
	Project  noun.ID  `json:"project"`
	Cycle    Round    `json:"cycle,omitzero"` // if given, must be the present cycle
	Artifact noun.Ref `json:"artifact"`
}

// Scopes returns the project's.
func (c ExecutionSubmit) Scopes() []string { return scopes(c.Project) }

// Phase returns the phase of region execution.
func (c ExecutionSubmit) Phase(v swoosh.View) (string, error) { return executionPhase(v, c.Project) }

// Check refuses work that is outdated or not approved.
func (c ExecutionSubmit) Check(v swoosh.View) error {
	s, r, err := inCycle(v, c.Project, c.Cycle)
	if err != nil {
		return err
	}
	if ingestion, _ := s.Ingestion.Get(c.Project); ingestion.Epoch != r.Epoch {
		return swoosh.Errorf(swoosh.Conflict, "this cycle of project %s was planned for epoch %d, but ingestion is at %d: plan again after execution.next",
			c.Project, r.Epoch, ingestion.Epoch)
	}
	if open := s.unapproved(c.Project, r.Approvals); open != nil {
		return swoosh.Errorf(swoosh.Conflict, "items of project %s are not approved: %s: plan them again after execution.next",
			c.Project, strings.Join(open, ", "))
	}
	if r.Artifact != "" && r.Artifact != c.Artifact {
		return swoosh.Errorf(swoosh.Conflict, "this cycle of project %s has already submitted %s: begin another with execution.next", c.Project, r.Artifact)
	}
	return inWindow(v, c.Project)
}

// unapproved returns a project's items that lack approvals.
func (s State) unapproved(project noun.ID, approvals Headcount) []string {
	var names []string
	for k, item := range s.Items.WithPrefix(itemsOf(project)) {
		if !item.approved(approvals) {
			names = append(names, strings.TrimPrefix(string(k), string(itemsOf(project))))
		}
	}
	return names
}

// Apply stores the artifact and counts the submission.
func (c ExecutionSubmit) Apply(s *State, _ swoosh.Stamp) {
	r, _ := s.Execution.Get(c.Project)
	if r.Artifact != "" {
		return // a repeated submit
	}
	r.Artifact, r.LastArtifact, r.Submissions = c.Artifact, c.Artifact, more(r.Submissions)
	s.Execution.Put(c.Project, r)
}
