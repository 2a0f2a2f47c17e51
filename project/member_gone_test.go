package project_test

import (
	"bytes"
	"context"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/chorus-services/swoosh"
	"github.com/chorus-services/swoosh/fleet"
	"github.com/chorus-services/swoosh/noun"
	"github.com/chorus-services/swoosh/project"
	"github.com/chorus-services/swoosh/swooshtest"
	"github.com/chorus-services/swoosh/system"
)

// site is an engine with a fleet that can be started again.
type site struct {
	*settler
	clock   *swooshtest.Clock
	options swoosh.Options
}

func newSite(t *testing.T) *site {
	wal, clock := swoosh.NewMemWAL(), swooshtest.NewClock(firstMS)
	o := swoosh.Options{Node: "test", Now: clock.Now, Assert: true, Snapshots: swoosh.NewInMemorySnapshotStore()}
	o.OpenWAL = func(string) (swoosh.WAL, error) { return wal, nil }
	s := &site{clock: clock, options: o}
	s.settler = newSettler(t, t, s.open(t))
	return s
}

func (s *site) open(t *testing.T) *swoosh.Engine {
	e, err := swoosh.Open(t.Context(), s.options, append(system.Parts(), fleet.Domain, project.Domain)...)
	require.NoError(t, err)
	t.Cleanup(func() { _ = e.Close(context.Background()) })
	return e
}

// boot starts the engine again twice, from its snapshot and by a replay of all, which must lead
// to the same state.
func (s *site) boot() {
	before := s.engine.View()
	for _, force := range []bool{true, false} {
		require.NoError(s, s.engine.Close(s.t.Context()))
		s.options.ForceReplay = force
		s.engine = s.open(s.t)
		require.Equal(s, []any{before.StateHash(), before.Chain()}, []any{s.engine.View().StateHash(), s.engine.View().Chain()})
	}
}

// projects of the tests below: one lead, three electors, two of whom decide, on node 1.
const threeElect = `"roles":[{"name":"lead","seats":1}],"electorate":["n1","n2","n3"],"quorum":2`

// inPhase makes project alpha with a council in a phase, whose lead is n1, and an environment on
// n1 that is READY. n1 and n2 voted for n1, n3 for n2.
func (s *site) inPhase(phase string) {
	way := path(create, one("council.plan", threeElect),
		one("council.vote", vote("n1", "n1")), one("council.vote", vote("n2", "n1")), one("council.vote", vote("n3", "n2")),
		one("environment.allocate", `"provider":"node:n1"`), usual("environment.provision"),
		one("environment.report", probe("p1", true)), one("environment.report", probe("p2", true)))
	if phase != project.Elect {
		way = path(way, usual("council.elect"))
	}
	if phase == project.Ready {
		way = path(way, one("council.sync", tools("n1", "t1")))
	}
	for _, st := range way {
		refused := s.takes(self(st), "alpha", onBuild(st))
		require.Nil(s, refused, "%v: %v", st, refused)
	}
}

// cause is a way in which node n goes.
type cause struct {
	name    string
	command string
	goes    func(s *site, n int)
	returns func(s *site, n int)
}

var owners = []string{"", "acme", "umbra", "zeta", "hub", "umbra"}

func registers(s *site, n int) { s.register(n, owners[n]) }

func joins(s *site, n int) {
	s.does(fmt.Sprintf("n%d", n), "network.join", fmt.Sprintf(`{"network":"build","node":"n%d"}`, n))
}

var causes = []cause{
	{"fleet.deregister", "fleet.deregister", func(s *site, n int) {
		s.does(fmt.Sprintf("n%d", n), "fleet.deregister", fmt.Sprintf(`{"node":"n%d"}`, n))
	}, registers},
	{"fleet.reap", "fleet.reap", func(s *site, n int) {
		s.clock.Advance(31 * time.Minute)
		s.does("", "fleet.reap", fmt.Sprintf(`{"before":%d,"nodes":["n%d"]}`, firstMS+1, n))
	}, registers},
	{"network.leave", "network.leave", func(s *site, n int) {
		s.does(fmt.Sprintf("n%d", n), "network.leave", fmt.Sprintf(`{"network":"build","node":"n%d"}`, n))
	}, joins},
	{"network.kick", "network.kick", func(s *site, n int) {
		s.does("n4", "network.kick", fmt.Sprintf(`{"network":"build","node":"n%d"}`, n))
	}, joins},
	{"quarantine of the node", "policy.quarantine", func(s *site, n int) {
		s.does("", "policy.quarantine", fmt.Sprintf(`{"reason":"key leaked","scope":"node:n%d"}`, n))
	}, func(s *site, n int) {
		s.does("", "policy.release", fmt.Sprintf(`{"approver":"alice","scope":"node:n%d"}`, n))
	}},
	{"quarantine of the owner", "policy.quarantine", func(s *site, n int) {
		s.does("", "policy.quarantine", fmt.Sprintf(`{"reason":"key leaked","scope":"owner:%s"}`, owners[n]))
	}, func(s *site, n int) {
		s.does("", "policy.release", fmt.Sprintf(`{"approver":"alice","scope":"owner:%s"}`, owners[n]))
	}},
}

// councilOf is what a council comes to, in one line.
func councilOf(v swoosh.View) string {
	s := project.Domain.Of(v)
	r, _ := s.Council.Get("alpha")
	votes, electors := []string{}, []string{}
	for k := range s.Votes.All() {
		votes = append(votes, strings.TrimPrefix(string(k), "alpha.lead."))
	}
	for k := range s.Electors.All() {
		electors = append(electors, strings.TrimSuffix(string(k), ".alpha"))
	}
	return fmt.Sprintf("%s %d electorate %v votes %v seats %v tools %d reason %s electors %v", r.Phase, r.Term, r.Electorate, votes, r.Seats, len(r.Tools), r.Reason, electors)
}

func environmentOf(v swoosh.View) string {
	r, _ := project.Domain.Of(v).Environment.Get("alpha")
	text := r.Phase
	for _, p := range r.Probes {
		text += fmt.Sprintf(" %s %t %s", p.Probe, p.Healthy, p.Detail)
	}
	return text
}

// TestSeatLost takes away a node with a seat, and one without, in each phase of the council and by
// each cause.
func TestSeatLost(t *testing.T) {
	for _, tt := range []struct {
		phase string
		node  int
		want  string // CAUSE stands for the command
	}{
		{project.Elect, 1, "ELECT 1 electorate [n2 n3] votes [n3.n2] seats [] tools 0 reason  electors [n2 n3]"},
		{project.Elect, 3, "ELECT 1 electorate [n1 n2] votes [n1.n1 n2.n1] seats [] tools 0 reason  electors [n1 n2]"},
		{project.ToolingSync, 1, "ELECT 2 electorate [n2 n3] votes [] seats [] tools 0 reason n1: CAUSE electors [n2 n3]"},
		{project.ToolingSync, 3, "TOOLING_SYNC 1 electorate [n1 n2 n3] votes [n1.n1 n2.n1 n3.n2] seats [{lead n1}] tools 0 reason  electors [n1 n2 n3]"},
		{project.Ready, 1, "ELECT 2 electorate [n2 n3] votes [] seats [] tools 0 reason n1: CAUSE electors [n2 n3]"},
		{project.Ready, 3, "READY 1 electorate [n1 n2 n3] votes [n1.n1 n2.n1 n3.n2] seats [{lead n1}] tools 1 reason  electors [n1 n2 n3]"},
	} {
		for _, c := range causes {
			t.Run(fmt.Sprintf("%s/n%d/%s", tt.phase, tt.node, c.name), func(t *testing.T) {
				s := newSite(t)
				s.inPhase(tt.phase)
				c.goes(s, tt.node)
				want := strings.ReplaceAll(tt.want, "CAUSE", c.command)
				require.Equal(t, want, councilOf(s.engine.View()))
				require.NoError(t, project.Domain.Of(s.engine.View()).Validate())
				healthy := "READY p1 true  p2 true "
				if tt.node == 1 {
					healthy = fmt.Sprintf("DEGRADED p1 false n1: %[1]s p2 false n1: %[1]s", c.command)
				}
				require.Equal(t, healthy, environmentOf(s.engine.View()))
				s.boot()
				require.Equal(t, want, councilOf(s.engine.View()))

				if tt.node == 1 {
					refused := s.takes("", "alpha", step{"environment.report", probe("p1", true)})
					require.True(t, refused != nil && refused.Kind == swoosh.Conflict, "READY again while the node does not stand: %v", refused)
				}
				c.returns(s, tt.node)
				require.Equal(t, want, councilOf(s.engine.View()), "nothing returns by itself")
				require.Equal(t, healthy, environmentOf(s.engine.View()))
				require.Nil(t, s.takes("", "alpha", step{"environment.report", probe("p1", true)}))
				if tt.phase != project.Elect && tt.node == 3 {
					return
				}
				gone := fmt.Sprintf("n%d", tt.node)
				refused := s.takes(gone, "alpha", step{"council.vote", vote(gone, "n2")})
				require.True(t, refused != nil && refused.Kind == swoosh.Conflict, "%v", refused)
			})
		}
	}
}

// TestElectorateBelowQuorum: the quorum never shrinks, and neither does a role. Who can't fill them
// begins anew.
func TestElectorateBelowQuorum(t *testing.T) {
	for _, phase := range []string{project.Elect, project.ToolingSync, project.Ready} {
		for _, c := range causes {
			t.Run(phase+"/"+c.name, func(t *testing.T) {
				s := newSite(t)
				s.inPhase(phase)
				term := 2
				c.goes(s, 1)
				if phase != project.Elect {
					term = 3
				}
				c.goes(s, 2)
				want := fmt.Sprintf("PLAN_ROLES %d electorate [] votes [] seats [] tools 0 reason n2: %s electors []", term, c.command)
				require.Equal(t, want, councilOf(s.engine.View()))
				s.boot()
				require.Equal(t, want, councilOf(s.engine.View()))
				require.Nil(t, s.takes("n3", "alpha", step{"council.plan", `"roles":[{"name":"lead","seats":1}],"electorate":["n3"],"quorum":1`}))
			})
		}
	}
	t.Run("seats", func(t *testing.T) {
		s := newSite(t)
		require.Nil(t, s.takes("n4", "alpha", onBuild(create[0])))
		require.Nil(t, s.takes("n4", "alpha", step{"council.plan", `"roles":[{"name":"lead","seats":3}],"electorate":["n1","n2","n3"],"quorum":2`}))
		causes[0].goes(s, 1)
		require.Equal(t, "PLAN_ROLES 2 electorate [] votes [] seats [] tools 0 reason n1: fleet.deregister electors []", councilOf(s.engine.View()))
	})
}

// TestNetworkDeleted: nobody is a member, so no council is left.
func TestNetworkDeleted(t *testing.T) {
	for phase, reason := range map[string]string{
		project.Elect: "n1: network.delete", project.ToolingSync: "n1: network.delete", project.Ready: "n1: network.delete",
	} {
		t.Run(phase, func(t *testing.T) {
			s := newSite(t)
			s.inPhase(phase)
			s.does("n4", "network.create", `{"network":"test","name":"Test","owner":"n4","join":"open"}`)
			before := []string{councilOf(s.engine.View()), environmentOf(s.engine.View())}
			s.does("n4", "network.delete", `{"network":"test"}`)
			require.Equal(t, before, []string{councilOf(s.engine.View()), environmentOf(s.engine.View())}, "another network")
			s.does("n4", "network.delete", `{"network":"build"}`)
			want := []string{
				"PLAN_ROLES 2 electorate [] votes [] seats [] tools 0 reason " + reason + " electors []",
				"DEGRADED p1 false n1: network.delete p2 false n1: network.delete",
			}
			require.Equal(t, want, []string{councilOf(s.engine.View()), environmentOf(s.engine.View())})
			s.boot()
			require.Equal(t, want, []string{councilOf(s.engine.View()), environmentOf(s.engine.View())})
		})
	}
}

// TestManyGoAtOnce: those who go in one entry do not stand for each other, and the first of them
// with a seat is the reason.
func TestManyGoAtOnce(t *testing.T) {
	s := newSite(t)
	s.inPhase(project.Ready)
	s.clock.Advance(31 * time.Minute)
	s.register(2, owners[2]) // n2 was seen, and is passed over.
	s.does("", "fleet.reap", fmt.Sprintf(`{"before":%d,"nodes":["n3","n2","n1"]}`, firstMS+1))
	require.Equal(t, "PLAN_ROLES 2 electorate [] votes [] seats [] tools 0 reason n1: fleet.reap electors []", councilOf(s.engine.View()))

	s = newSite(t)
	s.inPhase(project.Ready)
	s.clock.Advance(31 * time.Minute)
	s.register(1, owners[1])
	before := councilOf(s.engine.View())
	s.does("", "fleet.reap", fmt.Sprintf(`{"before":%d,"nodes":["n1","n3"]}`, firstMS+1))
	require.Equal(t, before, councilOf(s.engine.View()), "n1 was passed over, n3 has no seat")
	s.does("", "fleet.reap", fmt.Sprintf(`{"before":%d,"nodes":["n2"]}`, firstMS+1))
	require.Equal(t, before, councilOf(s.engine.View()))
	s.does("n1", "fleet.deregister", `{"node":"n1"}`)
	require.Equal(t, "PLAN_ROLES 2 electorate [] votes [] seats [] tools 0 reason n1: fleet.deregister electors []", councilOf(s.engine.View()),
		"who has gone without a seat does not stand")
}

// TestOtherNodesStay: what does not end that a node stands, moves nothing.
func TestOtherNodesStay(t *testing.T) {
	s := newSite(t)
	s.inPhase(project.Ready)
	s.does("n4", "network.create", `{"network":"test","name":"Test","owner":"n4","join":"open"}`)
	s.does("n1", "network.join", `{"network":"test","node":"n1"}`)
	s.does("n4", "network.invite", `{"network":"test","node":"n2"}`)
	before := []string{councilOf(s.engine.View()), environmentOf(s.engine.View())}
	for _, say := range [][3]string{
		{"n1", "network.leave", `{"network":"test","node":"n1"}`},
		{"n2", "network.leave", `{"network":"test","node":"n2"}`},
		{"n5", "fleet.deregister", `{"node":"n5","reason":"sold"}`},
		{"n4", "network.set_role", `{"network":"build","node":"n1","role":"owner"}`},
		{"n1", "network.set_role", `{"network":"build","node":"n4","role":"owner"}`},
		{"n4", "network.set", `{"network":"build","name":"Build","join":"invite"}`},
		{"", "policy.quarantine", `{"reason":"everything"}`},
		{"", "policy.release", `{"approver":"alice"}`},
		{"", "policy.quarantine", `{"reason":"another node","scope":"node:n5"}`},
		{"", "policy.quarantine", `{"reason":"another owner","scope":"owner:hub"}`},
		{"", "policy.release", `{"approver":"alice","scope":"owner:hub"}`},
		{"", "policy.quarantine", `{"reason":"the project","scope":"project:alpha"}`},
	} {
		s.does(say[0], say[1], say[2])
		require.Equal(t, before, []string{councilOf(s.engine.View()), environmentOf(s.engine.View())}, "%v", say)
	}
	s.registerAgain(t, before)
}

// TestReapedBefore: whom fleet.reap passes over, it does not take away once more.
func TestReapedBefore(t *testing.T) {
	s := newSite(t)
	s.inPhase(project.Ready)
	s.clock.Advance(31 * time.Minute)
	reap := fmt.Sprintf(`{"before":%d,"nodes":["n1","n5"]}`, firstMS+1)
	s.does("", "fleet.reap", reap)
	require.Nil(t, s.takes("", "alpha", step{"environment.report", probe("p1", false)}))
	before := environmentOf(s.engine.View())
	s.register(5, owners[5])
	s.does("", "fleet.reap", reap)
	require.Equal(t, before, environmentOf(s.engine.View()))
}

// registerAgain tries what a node does each day.
func (s *site) registerAgain(t *testing.T, before []string) {
	s.register(1, owners[1])
	require.Equal(t, before, []string{councilOf(s.engine.View()), environmentOf(s.engine.View())})
}

// TestArchivedStays: a project that is closed is kept as it was, whoever goes.
func TestArchivedStays(t *testing.T) {
	for _, c := range causes {
		s := newSite(t)
		s.inPhase(project.Ready)
		require.Nil(t, s.takes("n4", "alpha", step{"project.archive", ""}))
		before := project.Domain.Of(s.engine.View())
		require.Zero(t, before.Electors.Len()+before.Hosts.Len())
		council, _ := before.Council.Get("alpha")
		c.goes(s, 1)
		after, _ := project.Domain.Of(s.engine.View()).Council.Get("alpha")
		require.Equal(t, council, after)
		require.NoError(t, project.Domain.Of(s.engine.View()).Validate())
	}
}

// TestManyProjects: a node goes from all of its projects, and only from those.
func TestManyProjects(t *testing.T) {
	s := newSite(t)
	for id, electorate := range map[string]string{"a": `"n1","n2","n3"`, "b": `"n2","n3"`, "c": `"n1","n2","n3"`} {
		require.Nil(t, s.takes("n4", id, onBuild(create[0])))
		require.Nil(t, s.takes("n4", id, step{"council.plan", `"roles":[{"name":"lead","seats":1}],"electorate":[` + electorate + `],"quorum":2`}))
	}
	s.does("n1", "network.leave", `{"network":"build","node":"n1"}`)
	for id := range project.Domain.Of(s.engine.View()).Projects.All() {
		r, _ := project.Domain.Of(s.engine.View()).Council.Get(id)
		require.Equal(t, noun.List[noun.ID]{"n2", "n3"}, noun.List[noun.ID](slices.Sorted(slices.Values(r.Electorate))), id)
	}
	require.Equal(t, 6, project.Domain.Of(s.engine.View()).Electors.Len())
}

// TestTheLastTermOfAMember: a reaction cannot refuse, so the last term does not end, but its council
// does. Only an import gets there.
func TestTheLastTermOfAMember(t *testing.T) {
	for _, phase := range []string{project.Elect, project.ToolingSync, project.Ready} {
		t.Run(phase, func(t *testing.T) {
			s := newSite(t)
			s.inPhase(phase)
			s.importWith(`"term":1`, `"term":4294967295`)
			s.does("n1", "fleet.deregister", `{"node":"n1"}`)
			want := "PLAN_ROLES 4294967295 electorate [] votes [] seats [] tools 0 reason n1: fleet.deregister electors []"
			if phase == project.Elect {
				want = "ELECT 4294967295 electorate [n2 n3] votes [n3.n2] seats [] tools 0 reason  electors [n2 n3]"
			}
			require.Equal(t, want, councilOf(s.engine.View()))
			require.NoError(t, project.Domain.Of(s.engine.View()).Validate())
			if phase == project.Elect {
				s.does("n2", "fleet.deregister", `{"node":"n2"}`)
				require.Equal(t, "PLAN_ROLES 4294967295 electorate [] votes [] seats [] tools 0 reason n2: fleet.deregister electors []", councilOf(s.engine.View()))
			}
			s.boot()
		})
	}
}

// importWith replaces a text in the state, and imports that.
func (s *site) importWith(old, new string) {
	var document bytes.Buffer
	_, err := s.engine.View().WriteTo(&document)
	require.NoError(s, err)
	require.Contains(s, document.String(), old)
	text := strings.ReplaceAll(stateHash.ReplaceAllString(document.String(), ""), old, new)
	present := s.engine.View().StateHash()
	_, err = s.engine.Import(s.t.Context(), &present, strings.NewReader(text))
	require.NoError(s, err)
}

var stateHash = regexp.MustCompile(`"state_hash":"[^"]*",`)
