package project

import (
	"fmt"
	"iter"
	"math"
	"slices"
	"strings"

	"github.com/chorus-services/swoosh"
	"github.com/chorus-services/swoosh/noun"
)

// Ready is the phase that ingestion, council and environment share. Execution
// moves only while all three are in it.
const Ready = "READY"

// Round numbers what a region begins anew: the epochs of ingestion, the terms
// of the council, the generations of the environment, the cycles of execution.
// It starts at 1 and only grows. In a state, 0 means no cycle yet; in a command,
// 0 means not given.
type Round uint32

// Validate returns what is wrong with the number, or nil.
func (r Round) Validate() error {
	if r < 1 {
		return fmt.Errorf("must be an integer from 1, not %d", r)
	}
	return nil
}

// JSONSchema returns the form as JSON Schema 2020-12.
func (Round) JSONSchema() string {
	return fmt.Sprintf(`{"maximum":%d,"minimum":1,"type":"integer"}`, uint32(math.MaxUint32))
}

// Headcount counts members: seats, a quorum, approvals. It is 1 to 1000; in a
// state and in an optional member, 0 means not given.
type Headcount uint16

const headcountMax = 1000

// Validate returns what is wrong with the number, or nil.
func (h Headcount) Validate() error {
	if h < 1 || h > headcountMax {
		return fmt.Errorf("must be an integer from 1 to %d, not %d", headcountMax, h)
	}
	return nil
}

// JSONSchema returns the form as JSON Schema 2020-12.
func (Headcount) JSONSchema() string {
	return fmt.Sprintf(`{"maximum":%d,"minimum":1,"type":"integer"}`, headcountMax)
}

// Entered records when a phase was last entered. A region has one for each phase
// that it was in, oldest first, so the present phase is the last.
type Entered struct {
	Phase string       `json:"phase"`
	At    swoosh.Stamp `json:"at"`
}

// enter moves a region to a phase. It does nothing if the region is in it
// already: a region that stays does not enter anew.
func enter(phase *string, entered *[]Entered, to string, at swoosh.Stamp) {
	if *phase == to {
		return
	}
	others := slices.DeleteFunc(slices.Clone(*entered), func(e Entered) bool { return e.Phase == to })
	*phase, *entered = to, append(others, Entered{to, at})
}

// inRegion returns the phase of a region, if the project's regions may move. It
// refuses with NotFound if there is no such project, and with InvalidPhase of
// region project if it is archived.
func inRegion(s State, project noun.ID, phase string) (string, error) {
	p, ok := s.Projects.Get(project)
	if !ok {
		return "", notThere(project)
	}
	if p.Phase != Active {
		err := swoosh.Errorf(swoosh.InvalidPhase, "project %s is %s: its regions no longer move", project, p.Phase)
		err.Region, err.Phase, err.AllowedFrom = "project", p.Phase, []string{Active}
		return "", err
	}
	return phase, nil
}

// fence refuses a report of another round than the present one. name is what
// the region calls a round: epoch, term, generation or cycle.
func fence(project noun.ID, name string, given, now Round) error {
	if given == 0 || given == now {
		return nil
	}
	return swoosh.Errorf(swoosh.Conflict, "project %s is at %s %d, not %d: read the state and decide again",
		project, name, now, given)
}

// blocked refuses because of other regions, each named as "region: PHASE".
func blocked(by []string, format string, args ...any) error {
	err := swoosh.Errorf(swoosh.Conflict, "%s (blocked by %s)", fmt.Sprintf(format, args...), strings.Join(by, ", "))
	err.BlockedBy = by
	return err
}

// below returns the rows whose keys begin with prefix.
func below[K ~string, V any](t swoosh.Table[K, V], prefix K) iter.Seq2[K, V] {
	return func(yield func(K, V) bool) {
		for k, row := range t.From(prefix) {
			if !strings.HasPrefix(string(k), string(prefix)) || !yield(k, row) {
				return
			}
		}
	}
}

// deleteBelow removes the rows whose keys begin with prefix.
func deleteBelow[K ~string, V any](t *swoosh.Table[K, V], prefix K) {
	var keys []K
	for k := range below(*t, prefix) {
		keys = append(keys, k)
	}
	for _, k := range keys {
		t.Delete(k)
	}
}

// joined returns what is wrong with a key that must be ids joined by dots, or
// nil. form names the ids: "project.item".
func joined(key, form string) error {
	ids := strings.Split(key, ".")
	bad := func(id string) bool { return noun.ID(id).Validate() != nil }
	if len(ids) != strings.Count(form, ".")+1 || slices.ContainsFunc(ids, bad) {
		return fmt.Errorf("must be %s, each an id", form)
	}
	return nil
}
