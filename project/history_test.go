package project_test

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/chorus-services/swoosh"
	"github.com/chorus-services/swoosh/internal/teststate"
	"github.com/chorus-services/swoosh/noun"
	"github.com/chorus-services/swoosh/project"
)

// TestHistories runs random histories of commands for two projects and checks
// the invariants after every command. The engine itself asserts that each
// command ends in a phase that it declares. The state is what /openapi.json says.
func TestHistories(t *testing.T) {
	commands := swoosh.Describe(project.Domain)
	first, _ := open(t)
	described := teststate.Of(t, first)
	rapid.Check(t, func(r *rapid.T) {
		e, _ := open(t)
		w := &walker{TestingT: r, engine: e}
		before := map[noun.ID]rounds{}
		for _, id := range []string{"alpha", "beta"} {
			w.goes(id, rapid.SampledFrom(starts).Draw(r, "start of "+id))
		}
		for range rapid.IntRange(1, 100).Draw(r, "commands") {
			id := rapid.SampledFrom([]noun.ID{"alpha", "beta"}).Draw(r, "project")
			s := drawStep(r, e.View(), id, commands)
			outcome, _ := w.outcome("project", string(id), s)
			require.NotEqual(r, "internal", outcome, "%s %s", s.command, s.members)
			state := project.Domain.Of(e.View())
			require.NoError(r, state.Validate(), "after %s %s", s.command, s.members)
			requireInvariants(r, state, before)
		}
		var document bytes.Buffer
		_, err := e.View().WriteTo(&document)
		require.NoError(r, err)
		require.NoError(r, described.Fits(document.Bytes()), document.String())
	})
}

// starts are the paths that a project may have taken before a history begins,
// since random commands seldom get far.
var starts = [][]step{
	nil, path(create, voted), path(create, elected), path(create, begun),
	path(create, items), path(create, worked), path(create, reviewed),
}

// drawStep draws a command, mostly one that is allowed in the present phase.
// Commands that lead back to the first phase are rare, so that histories get
// far.
func drawStep(r *rapid.T, v swoosh.View, id noun.ID, commands []swoosh.CommandInfo) step {
	back := rapid.IntRange(0, 29).Draw(r, "back") == 0
	likely := slices.DeleteFunc(slices.Clone(commands), func(c swoosh.CommandInfo) bool {
		phase := phaseOf(v, c.Region, id)
		leadsBack := slices.Contains([]string{"project.archive", "ingestion.restart", "council.dissolve",
			"environment.release", "execution.stop", "ingestion.fail"}, c.Name)
		return leadsBack && !back || !slices.Contains(c.From, phase) && (phase != "" || !c.Creates)
	})
	if len(likely) == 0 || rapid.IntRange(0, 9).Draw(r, "any") == 0 {
		likely = commands
	}
	c := rapid.SampledFrom(likely).Draw(r, "command")
	members := drawMembers(r, c.Name)
	if fence := fences[c.Region]; fence != "" && rapid.IntRange(0, 9).Draw(r, "fenced") == 0 {
		members = strings.Trim(fmt.Sprintf(`%s,%q:%d`, members, fence, rapid.IntRange(1, 3).Draw(r, "round")), ",")
	}
	return step{c.Name, members}
}

var fences = map[string]string{"ingestion": "epoch", "council": "term", "environment": "generation", "execution": "cycle"}

// drawMembers draws from few values, so that repetitions and contradictions
// occur.
func drawMembers(r *rapid.T, command string) string {
	node := func(name string) string { return rapid.SampledFrom([]string{"n1", "n2", "n3"}).Draw(r, name) }
	flag := func(name string) bool { return rapid.IntRange(0, 3).Draw(r, name) > 0 }
	few := func(name string) int { return rapid.IntRange(1, 3).Draw(r, name) }
	switch command {
	case "council.plan":
		electorate := `"n1","n2","n3"`[:few("electorate")*5-1]
		return fmt.Sprintf(`"roles":[{"name":"lead","seats":%d}],"electorate":[%s],"quorum":%d`, few("seats"), electorate, few("quorum"))
	case "council.vote":
		return vote(node("voter"), node("candidate"))
	case "council.sync":
		return tools(node("member"), fmt.Sprintf("t%t", flag("tools")))
	case "environment.report":
		return probe(fmt.Sprintf("p%d", few("probe")), flag("healthy"))
	case "execution.plan":
		return fmt.Sprintf(`"items":["i1","i2"],"approvals":%d`, few("approvals"))
	case "execution.work":
		return work(fmt.Sprintf("i%d", few("item")))
	case "execution.review":
		return fmt.Sprintf(`"item":"i%d","approve":%t,"reviewer":%q`, few("item"), flag("approve"), node("reviewer"))
	case "execution.submit":
		return fmt.Sprintf(`"artifact":"oci://%d"`, few("artifact"))
	}
	return payloads[command][0]
}

// rounds are a project's counters.
type rounds struct {
	epoch, term, generation, cycle project.Round
	submissions                    uint32
}

// requireInvariants computes everything again, in other ways than the domain
// does.
func requireInvariants(r *rapid.T, s project.State, before map[noun.ID]rounds) {
	votes, items := map[noun.ID]int{}, map[noun.ID]int{}
	for k := range s.Votes.All() {
		id, _, _ := strings.Cut(string(k), ".")
		votes[noun.ID(id)]++
	}
	open := map[noun.ID]uint32{}
	for k, item := range s.Items.All() {
		name, _, _ := strings.Cut(string(k), ".")
		id := noun.ID(name)
		items[id]++
		e, _ := s.Execution.Get(id)
		if e.Phase == project.Work && item.Result == "" || e.Phase == project.Review && !decided(item, int(e.Approvals)) {
			open[id]++
		}
	}
	for id := range s.Projects.All() {
		i, _ := s.Ingestion.Get(id)
		c, _ := s.Council.Get(id)
		n, _ := s.Environment.Get(id)
		e, _ := s.Execution.Get(id)

		now, was := rounds{i.Epoch, c.Term, n.Generation, e.Cycle, e.Submissions}, before[id]
		require.True(r, now.epoch >= was.epoch && now.term >= was.term && now.generation >= was.generation &&
			now.cycle >= was.cycle && now.submissions >= was.submissions, "counters of %s fell: %v, then %v", id, was, now)
		before[id] = now

		for _, role := range c.Roles {
			require.LessOrEqual(r, int(role.Seats), len(c.Electorate))
		}
		require.Equal(r, open[id], e.Open, "open of %s", id)
		if c.Phase == project.PlanRoles {
			require.Zero(r, votes[id], "votes of %s", id)
		}
		if e.Phase == project.Idle || e.Phase == project.Plan {
			require.Zero(r, items[id], "items of %s", id)
		}
	}
}

func decided(item project.Item, approvals int) bool {
	yes := 0
	for _, review := range item.Reviews {
		if !review.Approve {
			return true
		}
		yes++
	}
	return yes >= approvals
}
