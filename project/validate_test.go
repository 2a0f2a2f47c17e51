package project_test

import (
	"bytes"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/chorus-services/swoosh"
	"github.com/chorus-services/swoosh/internal/teststate"
	"github.com/chorus-services/swoosh/noun"
	"github.com/chorus-services/swoosh/project"
)

// stateAfter returns a state after a valid path of project p1. The test may
// modify it.
func stateAfter(t *testing.T, way []step) project.State {
	e, _ := open(t)
	w := &walker{TestingT: t, engine: e}
	w.walk(path(create, way))
	s := copyOf(e.View())
	unshare(&s)
	return s
}

// stateOnNetwork is stateAfter for a project on a network.
func stateOnNetwork(t *testing.T, way []step) project.State {
	e, _ := openFleet(t)
	newSettler(t, t, e).walk(path(create, way))
	s := copyOf(e.View())
	unshare(&s)
	return s
}

func copyOf(v swoosh.View) (s project.State) {
	was := project.Domain.Of(v)
	put(&s.Projects, was.Projects)
	put(&s.Ingestion, was.Ingestion)
	put(&s.Council, was.Council)
	put(&s.Environment, was.Environment)
	put(&s.Execution, was.Execution)
	put(&s.Votes, was.Votes)
	put(&s.Items, was.Items)
	put(&s.Electors, was.Electors)
	put(&s.Hosts, was.Hosts)
	return s
}

// unshare copies the slices of project p1, which belong to the engine.
func unshare(s *project.State) {
	change(&s.Ingestion, func(r *project.Ingestion) { r.Entered = slices.Clone(r.Entered) })
	change(&s.Council, func(r *project.Council) { r.Seats, r.Tools = slices.Clone(r.Seats), slices.Clone(r.Tools) })
	change(&s.Environment, func(r *project.Environment) { r.Probes = slices.Clone(r.Probes) })
}

func put[K ~string, V any](to *swoosh.Table[K, V], from swoosh.Table[K, V]) {
	for k, row := range from.All() {
		to.Put(k, row)
	}
}

// change replaces the row of project p1.
func change[V any](t *swoosh.Table[noun.ID, V], f func(*V)) {
	row, _ := t.Get("p1")
	f(&row)
	t.Put("p1", row)
}

// TestTheLastRound: whatever a region counts, an import takes a count that the schema
// takes, and no command leads beyond it.
func TestTheLastRound(t *testing.T) {
	const last = 1<<32 - 1
	from, _ := open(t)
	w := &walker{TestingT: t, engine: from}
	w.walk(path(create, begun))
	var document bytes.Buffer
	_, err := from.View().WriteTo(&document)
	require.NoError(t, err)
	text := regexp.MustCompile(`"state_hash":"[^"]*",`).ReplaceAllString(document.String(), "")
	text = regexp.MustCompile(`"(epoch|term|generation|cycle)":1`).ReplaceAllString(text, fmt.Sprintf(`"$1":%d`, last))

	e, _ := open(t)
	require.NoError(t, teststate.Of(t, e).Fits([]byte(text)))
	_, err = e.Import(t.Context(), nil, strings.NewReader(text))
	require.NoError(t, err)
	w = &walker{TestingT: t, engine: e}
	for _, command := range []string{"ingestion.restart", "council.dissolve", "environment.release"} {
		_, refused := w.outcome("project", "p1", usual(command)[0])
		require.True(t, refused != nil && refused.Kind == swoosh.Conflict, "%s: %v", command, refused)
	}
	_, refused := w.outcome("project", "p1", usual("execution.stop")[0])
	require.Nil(t, refused)
	_, refused = w.outcome("project", "p1", usual("execution.start")[0])
	require.True(t, refused != nil && refused.Kind == swoosh.Conflict, "%v", refused)
}

// TestValidate breaks a valid state in one place and requires an error about
// that place.
func TestValidate(t *testing.T) {
	tests := []struct {
		name    string
		way     []step
		spoil   func(*project.State)
		pointer string
	}{
		{"project's phase", nil, func(s *project.State) {
			change(&s.Projects, func(p *project.Project) { p.Phase = "OPEN" })
		}, "/projects/p1/phase"},
		{"archived while at work", begun, func(s *project.State) {
			change(&s.Projects, func(p *project.Project) { p.Phase = project.Archived })
		}, "/projects/p1/phase"},
		{"id", nil, func(s *project.State) { s.Projects.Put("a.b", project.Project{}) }, "/projects/a.b"},
		{"region without project", nil, func(s *project.State) { s.Projects.Delete("p1") }, "/ingestion/p1"},
		{"project without region", nil, func(s *project.State) { s.Council.Delete("p1") }, "/council/p1"},
		{"unknown phase", nil, func(s *project.State) {
			change(&s.Ingestion, func(r *project.Ingestion) { r.Phase = "READING" })
		}, "/ingestion/p1/phase"},
		{"phase not entered", nil, func(s *project.State) {
			change(&s.Council, func(r *project.Council) { r.Entered = nil })
		}, "/council/p1/entered"},
		{"entered out of order", ingestion, func(s *project.State) {
			change(&s.Ingestion, func(r *project.Ingestion) { r.Entered[0].At = r.Entered[4].At })
		}, "/ingestion/p1/entered/1/at"},
		{"no epoch", nil, func(s *project.State) {
			change(&s.Ingestion, func(r *project.Ingestion) { r.Epoch = 0 })
		}, "/ingestion/p1/epoch"},
		{"no term", nil, func(s *project.State) {
			change(&s.Council, func(r *project.Council) { r.Term = 0 })
		}, "/council/p1/term"},
		{"sources too early", nil, func(s *project.State) {
			change(&s.Ingestion, func(r *project.Ingestion) { r.Sources = noun.Refs{"a"} })
		}, "/ingestion/p1/sources"},
		{"READY without index", ingestion, func(s *project.State) {
			change(&s.Ingestion, func(r *project.Ingestion) { r.IndexRef = "" })
		}, "/ingestion/p1/index_ref"},
		{"plan too early", nil, func(s *project.State) {
			change(&s.Council, func(r *project.Council) { r.Quorum = 1 })
		}, "/council/p1/roles"},
		{"quorum is no majority", planned, func(s *project.State) {
			change(&s.Council, func(r *project.Council) { r.Quorum = 1 })
		}, "/council/p1/quorum"},
		{"vote of a stranger", planned, func(s *project.State) { s.Votes.Put("p1.lead.n9.n1", project.Vote{}) }, "/votes/p1.lead.n9.n1"},
		{"vote for no role", planned, func(s *project.State) { s.Votes.Put("p1.cook.n1.n1", project.Vote{}) }, "/votes/p1.cook.n1.n1"},
		{"vote of no project", planned, func(s *project.State) { s.Votes.Put("p2.lead.n1.n1", project.Vote{}) }, "/votes/p2.lead.n1.n1"},
		{"vote key", planned, func(s *project.State) { s.Votes.Put("p1.lead/n1", project.Vote{}) }, "/votes/p1.lead~1n1"},
		{"votes of nobody's term", nil, func(s *project.State) { s.Votes.Put("p1.lead.n1.n1", project.Vote{}) }, "/votes/p1.lead.n1.n1"},
		{"seat of a stranger", elected, func(s *project.State) {
			change(&s.Council, func(r *project.Council) { r.Seats[0].Member = "n9" })
		}, "/council/p1/seats/0/member"},
		{"seats without a term", elected, func(s *project.State) {
			change(&s.Council, func(r *project.Council) { r.Phase = project.Elect })
		}, "/council/p1/seats"},
		{"READY without tools", council, func(s *project.State) {
			change(&s.Council, func(r *project.Council) { r.Tools = r.Tools[:1] })
		}, "/council/p1/phase"},
		{"tools out of order", council, func(s *project.State) {
			change(&s.Council, func(r *project.Council) { r.Tools[0], r.Tools[1] = r.Tools[1], r.Tools[0] })
		}, "/council/p1/tools/1/member"},
		{"no provider", allocated, func(s *project.State) {
			change(&s.Environment, func(r *project.Environment) { r.Provider = "" })
		}, "/environment/p1/provider"},
		{"no probes", provisioned, func(s *project.State) {
			change(&s.Environment, func(r *project.Environment) { r.Probes = nil })
		}, "/environment/p1/probes"},
		{"READY with a bad probe", environment, func(s *project.State) {
			change(&s.Environment, func(r *project.Environment) { r.Probes[0].Healthy = false })
		}, "/environment/p1/phase"},
		{"READY with a silent probe", environment, func(s *project.State) {
			change(&s.Environment, func(r *project.Environment) { r.Probes[0] = project.Probe{Probe: "p1"} })
		}, "/environment/p1/phase"},
		{"no cycle", begun, func(s *project.State) {
			change(&s.Execution, func(r *project.Execution) { r.Cycle = 0 })
		}, "/execution/p1/cycle"},
		{"epoch to come", items, func(s *project.State) {
			change(&s.Execution, func(r *project.Execution) { r.Epoch = 2 })
		}, "/execution/p1/epoch"},
		{"open", items, func(s *project.State) {
			change(&s.Execution, func(r *project.Execution) { r.Open = 1 })
		}, "/execution/p1/open"},
		{"items too early", begun, func(s *project.State) { s.Items.Put("p1.i1", project.Item{}) }, "/execution/p1/phase"},
		{"item of no project", items, func(s *project.State) { s.Items.Put("p2.i1", project.Item{}) }, "/items/p2.i1"},
		{"item's key", items, func(s *project.State) { s.Items.Put("p1.i.1", project.Item{}) }, "/items/p1.i.1"},
		{"reviewed twice", reviewed, func(s *project.State) {
			i, _ := s.Items.Get("p1.i1")
			i.Reviews = slices.Concat(i.Reviews, i.Reviews)
			s.Items.Put("p1.i1", i)
		}, "/items/p1.i1/reviews/1/reviewer"},
		{"REVIEW without result", worked, func(s *project.State) { s.Items.Put("p1.i1", project.Item{}) }, "/items/p1.i1/result"},
		{"artifact too early", items, func(s *project.State) {
			change(&s.Execution, func(r *project.Execution) { r.Artifact = "oci://out" })
		}, "/execution/p1/artifact"},
		{"submissions", reviewed, func(s *project.State) {
			change(&s.Execution, func(r *project.Execution) { r.Submissions = 1 })
		}, "/execution/p1/submissions"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) { requireFault(t, stateAfter(t, tt.way), tt.spoil, tt.pointer) })
	}
}

// requireFault breaks a valid state, and requires an error about that place.
func requireFault(t *testing.T, s project.State, spoil func(*project.State), pointer string) {
	require.NoError(t, s.Validate())
	spoil(&s)
	var err *swoosh.Error
	require.ErrorAs(t, s.Validate(), &err)
	require.Equal(t, swoosh.InvalidState, err.Kind)
	var pointers []string
	for _, f := range err.Errors {
		pointers = append(pointers, f.Pointer)
	}
	require.Contains(t, pointers, pointer)
}

// TestValidateOnNetwork is TestValidate for what a project on a network has besides.
func TestValidateOnNetwork(t *testing.T) {
	onNode := path(reviewed, usual("environment.release"), one("environment.allocate", `"provider":"node:n3"`))
	at := swoosh.Stamp{WallMS: firstMS, Node: "test"}
	tests := []struct {
		name    string
		spoil   func(*project.State)
		pointer string
	}{
		{"vote without its entry", func(s *project.State) { s.Votes.Put("p1.lead.n1.n1", project.Vote{}) }, "/votes/p1.lead.n1.n1/at"},
		{"vote with an entry on no network", func(s *project.State) {
			change(&s.Projects, func(p *project.Project) { p.Network = "" })
		}, "/votes/p1.lead.n1.n1/at"},
		{"review without its entry", func(s *project.State) {
			i, _ := s.Items.Get("p1.i1")
			i.Reviews = []project.ItemReview{{Reviewer: "n1", Approve: true}}
			s.Items.Put("p1.i1", i)
		}, "/items/p1.i1/reviews/0/at"},
		{"review with an entry on no network", func(s *project.State) {
			change(&s.Projects, func(p *project.Project) { p.Network = "" })
		}, "/items/p1.i1/reviews/0/at"},
		{"elector that is no node", func(s *project.State) {
			change(&s.Council, func(r *project.Council) { r.Electorate = noun.List[noun.ID]{"n1", "carol"} })
		}, "/council/p1/electorate/1"},
		{"elector without a row", func(s *project.State) { s.Electors.Delete("n2.p1") }, "/electors/n2.p1"},
		{"row of no elector", func(s *project.State) { s.Electors.Put("n3.p1", project.Elector{}) }, "/electors/n3.p1"},
		{"row of no project", func(s *project.State) { s.Electors.Put("n1.p2", project.Elector{}) }, "/electors/n1.p2"},
		{"row of a project that is on no network", func(s *project.State) {
			change(&s.Projects, func(p *project.Project) { p.Network = "" })
		}, "/electors/n1.p1"},
		{"rows of a project that is archived", func(s *project.State) {
			change(&s.Projects, func(p *project.Project) { p.Phase = project.Archived })
		}, "/hosts/n3.p1"},
		{"provider without a row", func(s *project.State) { s.Hosts.Delete("n3.p1") }, "/hosts/n3.p1"},
		{"row of no provider", func(s *project.State) { s.Hosts.Put("n1.p1", project.Host{}) }, "/hosts/n1.p1"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) { requireFault(t, stateOnNetwork(t, onNode), tt.spoil, tt.pointer) })
	}
	s := stateAfter(t, path(items, usual("council.dissolve", "council.plan")))
	requireFault(t, s, func(s *project.State) { s.Votes.Put("p1.lead.n1.n1", project.Vote{At: at}) }, "/votes/p1.lead.n1.n1/at")
}

// TestValidateEveryPhase requires that every valid state is accepted.
func TestValidateEveryPhase(t *testing.T) {
	for region, phases := range ways {
		for phase, into := range phases {
			for _, way := range into {
				require.NoError(t, stateAfter(t, way).Validate(), "%s %s", region, phase)
			}
		}
	}
}
