package project

import (
	"fmt"
	"slices"

	"github.com/chorus-services/swoosh/noun"
)

func (s State) executionFaults(f *faults, at string, project noun.ID, r Execution) {
	steps := []string{Idle, Plan, Work, Review, Reverb}
	phaseFaults(f, at, r.Phase, r.Entered, steps...)
	working := slices.Index(steps, r.Phase) >= 2
	first := Round(0)
	if r.Phase != Idle {
		first = 1
	}
	roundFaults(f, at+"/cycle", r.Cycle, first)
	ingestion, _ := s.Ingestion.Get(project)
	f.want(r.Epoch <= ingestion.Epoch && (r.Epoch > 0 || !working), at+"/epoch", "must be an epoch that ingestion has begun")
	f.want(r.Approvals > 0 || !working, at+"/approvals", "is required in %s", r.Phase)
	f.want(r.Artifact == "" || r.Phase == Reverb, at+"/artifact", "must not be given in %s", r.Phase)
	f.want(r.Artifact == "" || r.Artifact == r.LastArtifact, at+"/last_artifact", "must be the same as artifact")
	f.want((r.Submissions > 0) == (r.LastArtifact != ""), at+"/submissions", "must be more than 0 if and only if last_artifact is given")
	items, open := s.itemFaults(f, project, r)
	f.want(items > 0 == working, at+"/phase", "must be %s or later if there are items, and earlier if there are none", Work)
	f.want(r.Open == open, at+"/open", "must be %d according to the items", open)
	f.want(open > 0 == (r.Phase == Work || r.Phase == Review), at+"/phase", "can't be %s with %d items open", r.Phase, open)
}

// itemFaults checks the items of one project, and returns how many there are
// and how many of them are open.
func (s State) itemFaults(f *faults, project noun.ID, r Execution) (items int, open uint32) {
	for k, item := range s.Items.WithPrefix(itemsOf(project)) {
		items++
		at := rowAt("items", string(k))
		formed := k.Validate()
		f.want(formed == nil, at, "%v", formed)
		f.want(item.Result != "" || r.Phase == Work, at+"/result", "is required in %s", r.Phase)
		f.want(len(item.Reviews) == 0 || r.Phase != Work, at+"/reviews", "must not be given in %s", Work)
		seen := map[noun.ID]bool{}
		for i, review := range item.Reviews {
			f.want(review.Reviewer != "" && !seen[review.Reviewer], fmt.Sprintf("%s/reviews/%d/reviewer", at, i), "is required, and must not be repeated")
			f.want(review.At.IsZero() == (s.networkOf(project) == ""), fmt.Sprintf("%s/reviews/%d/at", at, i), "is required exactly if the project is on a network")
			seen[review.Reviewer] = true
		}
		if r.Phase == Work && item.Result == "" || r.Phase != Work && !item.decided(r.Approvals) {
			open++
		}
	}
	f.want(items <= itemsMax, "/items", "must have at most %d of project %s", itemsMax, project)
	return items, open
}
