package project

import (
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/chorus-services/swoosh"
	"github.com/chorus-services/swoosh/noun"
)

// Ready is a phase of ingestion, council and environment. Execution moves only
// while all three are in it.
const Ready = "READY"

// Round numbers the repetitions of a region: the epochs of ingestion, the terms
// of the council, the generations of the environment, the cycles of execution.
// It starts at 1 and only grows. In a state, 0 means no cycle yet; in a
// command, 0 means absent.
type Round uint32

// Validate returns an error if the number is out of range.
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

// Headcount is a number of members, such as seats, a quorum or approvals, from
// 1 to 1000. In a state and in an optional member, 0 means absent.
type Headcount uint16

const headcountMax = 1000

// Validate returns an error if the number is out of range.
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

// Entered records when a phase was last entered. A region has one for each
// phase it has been in, oldest first, so the last is the present phase.
type Entered struct {
	Phase string       `json:"phase"`
	At    swoosh.Stamp `json:"at"`
}

// enter moves a region to a phase. It does nothing if the region is already in
// it, since staying in a phase does not count as entering it.
func enter(phase *string, entered *[]Entered, to string, at swoosh.Stamp) {
	if *phase == to {
		return
	}
	others := slices.DeleteFunc(slices.Clone(*entered), func(e Entered) bool { return e.Phase == to })
	*phase, *entered = to, append(others, Entered{to, at})
}

// inRegion returns the phase of a region if the project's regions may move. It
// fails with NotFound if there is no such project, and with InvalidPhase, about
// region project, if it is archived.
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

// fence returns an error if a round is given and is not the present one. name
// is the region's word for a round: epoch, term, generation or cycle.
func fence(project noun.ID, name string, given, now Round) error {
	if given == 0 || given == now {
		return nil
	}
	return swoosh.Errorf(swoosh.Conflict, "project %s is at %s %d, not %d: read the state and decide again",
		project, name, now, given)
}

// blocked returns Conflict because of other regions, each given as "region:
// PHASE".
func blocked(by []string, format string, args ...any) error {
	err := swoosh.Errorf(swoosh.Conflict, "%s (blocked by %s)", fmt.Sprintf(format, args...), strings.Join(by, ", "))
	err.BlockedBy = by
	return err
}

// another returns Conflict if a round is the last that can be counted. An imported
// state may be there.
func another(project noun.ID, name string, now Round) error {
	if now == math.MaxUint32 {
		return swoosh.Errorf(swoosh.Conflict, "project %s is at %s %d, the last: archive it and create another one", project, name, now)
	}
	return nil
}

// more returns a count after one more. A count that is as high as it can be stays.
func more(count uint32) uint32 { return max(count, count+1) }

// deleteBelow removes the rows whose keys begin with prefix.
func deleteBelow[K ~string, V any](t *swoosh.Table[K, V], prefix K) {
	var keys []K
	for k := range t.WithPrefix(prefix) {
		keys = append(keys, k)
	}
	for _, k := range keys {
		t.Delete(k)
	}
}

// joinedSchema returns the JSON Schema 2020-12 of so many ids joined by dots.
func joinedSchema(ids int) string {
	return fmt.Sprintf(`{"pattern":"^%s(\\.%s){%d}$","type":"string"}`, idPattern, idPattern, ids-1)
}

// idPattern matches a noun.ID.
const idPattern = `[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?`

// joined returns an error unless key is ids joined by dots. form names the ids:
// "project.item".
func joined(key, form string) error {
	ids := strings.Split(key, ".")
	bad := func(id string) bool { return noun.ID(id).Validate() != nil }
	if len(ids) != strings.Count(form, ".")+1 || slices.ContainsFunc(ids, bad) {
		return fmt.Errorf("must be %s, each an id", form)
	}
	return nil
}
