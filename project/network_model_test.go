package project_test

import (
	"cmp"
	"fmt"
	"maps"
	"slices"

	"github.com/stretchr/testify/require"

	"github.com/chorus-services/swoosh/noun"
	"github.com/chorus-services/swoosh/project"
)

// realm is the fleet, its network and the projects on it in another form: what the rules come to,
// without the domain's code. Nodes are numbers.
type realm struct {
	now      int64
	phase    map[int]string
	seen     map[int]int64
	member   map[int]bool
	deleted  bool // the network
	stopped  map[string]bool
	projects map[string]*court
}

// court is the council and the environment of a project.
type court struct {
	archived bool

	phase      string
	term       int
	electorate []int
	quorum     int
	seats      int // of its one role
	votes      map[[2]int]bool
	seated     []int
	tools      map[int]string
	reason     string

	environment string
	host        int // 0: none of the fleet
	probes      []finding
}

type finding struct {
	reported, healthy bool
	detail            string
}

// deed is a command as the test says it.
type deed struct {
	command, project string
	signer           int // 0: nobody
	n, peer          int // whom it is about
	list             []int
	term             int // 0: no fence
	quorum, seats    int
	tools            string
	probe            int
	healthy          bool
	scope            string
}

func newRealm(now int64) *realm {
	m := &realm{now: now, phase: map[int]string{}, seen: map[int]int64{}, member: map[int]bool{}, stopped: map[string]bool{}, projects: map[string]*court{}}
	for n := 1; n <= 5; n++ {
		m.phase[n], m.seen[n], m.member[n] = "ACTIVE", now, n < 5
	}
	return m
}

func (m *realm) isStopped(n int) bool {
	return m.stopped[fmt.Sprintf("node:n%d", n)] || m.stopped["owner:"+owners[n]]
}

func (m *realm) belongs(n int) bool { return m.member[n] && !m.deleted }

func (m *realm) stands(n int) bool {
	return m.phase[n] == "ACTIVE" && m.belongs(n) && !m.isStopped(n)
}

// refusal returns the code of the refusal that the rules ask for; empty: none.
func (m *realm) refusal(d deed) string {
	if d.signer > 0 && m.phase[d.signer] != "ACTIVE" {
		return "invalid_phase"
	}
	if d.signer > 0 && m.isStopped(d.signer) {
		return "quarantined"
	}
	switch d.command {
	case "fleet.register":
		if m.isStopped(d.n) {
			return "quarantined"
		}
		return ""
	case "fleet.deregister":
		if m.phase[d.n] == "DEREGISTERED" {
			return "invalid_phase"
		}
		return ""
	case "network.join", "network.leave", "network.kick", "network.delete":
		return m.refusalOfNetwork(d)
	case "policy.quarantine", "policy.release":
		if m.stopped[d.scope] == (d.command == "policy.quarantine") {
			return "invalid_phase"
		}
		return ""
	case "fleet.reap":
		return ""
	}
	return m.projects[d.project].refusal(m, d)
}

func (m *realm) refusalOfNetwork(d deed) string {
	switch {
	case m.deleted:
		return "invalid_phase"
	case d.command == "network.join" && !m.member[d.n] && m.phase[d.n] != "ACTIVE",
		d.command == "network.leave" && (!m.member[d.n] || d.n == 4),
		d.command == "network.kick" && (!m.member[d.n] || d.n == 4):
		return "conflict"
	}
	return ""
}

var fromPhases = map[string][]string{
	"council.plan": {"PLAN_ROLES"}, "council.vote": {"ELECT"}, "council.elect": {"ELECT"}, "council.sync": {"TOOLING_SYNC", "READY"},
	"council.dissolve": {"ELECT", "TOOLING_SYNC", "READY"}, "environment.allocate": {"ALLOCATE"}, "environment.provision": {"PROVISION"},
	"environment.report": {"HEALTHCHECK", "READY", "DEGRADED"}, "environment.release": {"PROVISION", "HEALTHCHECK", "READY", "DEGRADED"},
}

func (c *court) refusal(m *realm, d deed) string {
	from, now := fromPhases[d.command], c.phase
	if d.command[:3] == "env" {
		now = c.environment
	}
	switch {
	case c.archived, from != nil && !slices.Contains(from, now):
		return "invalid_phase"
	case (d.command == "council.vote" || d.command == "council.sync") && d.signer == 0:
		return "bad_signature"
	case (d.command == "council.vote" || d.command == "council.sync") && d.signer != d.n,
		d.signer > 0 && !m.belongs(d.signer):
		return "forbidden"
	case d.term > 0 && d.term != c.term:
		return "conflict"
	}
	used := 0
	for v := range c.votes {
		if v[0] == d.n {
			used++
		}
	}
	unfit := func(n int) bool { return !m.stands(n) }
	conflict := false
	switch d.command {
	case "council.plan":
		conflict = slices.ContainsFunc(d.list, unfit)
	case "council.vote":
		conflict = !slices.Contains(c.electorate, d.n) || !slices.Contains(c.electorate, d.peer) || !c.votes[[2]int{d.n, d.peer}] && used >= c.seats
	case "council.elect":
		conflict = len(c.winners()) < c.seats
	case "council.sync":
		conflict = !slices.Contains(c.seated, d.n)
	case "environment.allocate":
		conflict = d.n > 0 && unfit(d.n)
	case "environment.provision":
		conflict = c.host > 0 && unfit(c.host)
	case "environment.report":
		conflict = d.healthy && c.host > 0 && unfit(c.host)
	}
	if conflict {
		return "conflict"
	}
	return ""
}

// winners returns who has a quorum of votes, best first.
func (c *court) winners() (all []int) {
	votes := map[int]int{}
	for v := range c.votes {
		votes[v[1]]++
	}
	for n, got := range votes {
		if got >= c.quorum {
			all = append(all, n)
		}
	}
	slices.SortFunc(all, func(a, b int) int { return cmp.Or(votes[b]-votes[a], a-b) })
	return all
}

// do does what an allowed command does.
func (m *realm) do(d deed) {
	c := m.projects[d.project]
	switch d.command {
	case "fleet.register":
		m.phase[d.n], m.seen[d.n] = "ACTIVE", m.now
	case "fleet.deregister":
		m.phase[d.n] = "DEREGISTERED"
		m.leaves(d.command, d.n)
	case "fleet.reap":
		var gone []int
		for _, n := range d.list {
			if m.phase[n] == "ACTIVE" && m.seen[n] < m.now-reapAfter {
				m.phase[n] = "REAPED"
				gone = append(gone, n)
			}
		}
		m.leaves(d.command, gone...)
	case "network.join":
		m.member[d.n] = true
	case "network.leave", "network.kick":
		m.member[d.n] = false
		m.leaves(d.command, d.n)
	case "network.delete":
		m.deleted = true
		for _, id := range slices.Sorted(maps.Keys(m.projects)) {
			m.projects[id].leave(m, d.command, slices.Clone(m.projects[id].electorate)...)
			m.projects[id].leave(m, d.command, m.projects[id].host)
		}
	case "policy.quarantine":
		m.stopped[d.scope] = true
		for n := 1; n <= 5; n++ {
			if d.scope == fmt.Sprintf("node:n%d", n) || d.scope == "owner:"+owners[n] {
				m.leaves(d.command, n)
			}
		}
	case "policy.release":
		delete(m.stopped, d.scope)
	case "council.plan":
		c.phase, c.electorate, c.quorum, c.seats, c.votes = "ELECT", d.list, d.quorum, d.seats, map[[2]int]bool{}
	case "council.vote":
		c.votes[[2]int{d.n, d.peer}] = true
	case "council.elect":
		c.phase, c.seated, c.tools = "TOOLING_SYNC", c.winners()[:c.seats], map[int]string{}
	case "council.sync":
		c.tools[d.n] = d.tools
		c.phase = "TOOLING_SYNC"
		if same := slices.Compact(slices.Sorted(maps.Values(c.tools))); len(c.tools) == len(c.seated) && len(same) == 1 {
			c.phase = "READY"
		}
	case "council.dissolve":
		c.dissolve("split")
	case "environment.allocate":
		c.environment, c.host = "PROVISION", d.n
	case "environment.provision":
		c.environment, c.probes = "HEALTHCHECK", make([]finding, 2)
	case "environment.report":
		c.probes[d.probe-1] = finding{true, d.healthy, ""}
		c.look()
	case "environment.release":
		c.environment, c.host, c.probes = "ALLOCATE", 0, nil
	case "project.archive":
		c.archived = true
	}
}

func (c *court) dissolve(reason string) {
	c.phase, c.reason = "PLAN_ROLES", reason
	c.term++
	c.electorate, c.quorum, c.seats, c.votes, c.seated, c.tools = nil, 0, 0, nil, nil, nil
}

// look follows the probes.
func (c *court) look() {
	healthy := 0
	for _, p := range c.probes {
		if p.healthy {
			healthy++
		}
		if p.reported && !p.healthy {
			c.environment = "DEGRADED"
			return
		}
	}
	if healthy == len(c.probes) {
		c.environment = "READY"
	}
}

// leaves takes nodes, none of which stands any more, out of all projects.
func (m *realm) leaves(command string, nodes ...int) {
	for _, c := range m.projects {
		c.leave(m, command, nodes...)
	}
}

func (c *court) leave(m *realm, command string, nodes ...int) {
	for _, n := range nodes {
		reason := fmt.Sprintf("n%d: %s", n, command)
		if c.archived {
			return
		}
		if n > 0 && n == c.host {
			for i := range c.probes {
				c.probes[i] = finding{true, false, reason}
				c.environment = "DEGRADED"
			}
		}
		elected := c.phase == "TOOLING_SYNC" || c.phase == "READY"
		if !slices.Contains(c.electorate, n) || elected && !slices.Contains(c.seated, n) {
			continue
		}
		rest := slices.DeleteFunc(slices.Clone(c.electorate), func(n int) bool { return !m.stands(n) })
		switch {
		case len(rest) < c.quorum || len(rest) < c.seats:
			c.dissolve(reason)
		case elected:
			c.phase, c.reason, c.electorate, c.votes, c.seated, c.tools = "ELECT", reason, rest, map[[2]int]bool{}, nil, nil
			c.term++
		default:
			c.electorate = rest
			maps.DeleteFunc(c.votes, func(v [2]int, _ bool) bool {
				return !slices.Contains(rest, v[0]) || !slices.Contains(rest, v[1])
			})
		}
	}
}

// requireSame holds the domain's state against the model.
func (m *realm) requireSame(t require.TestingT, s project.State) {
	require.NoError(t, s.Validate())
	votes, electors, hosts := 0, 0, 0
	for id, c := range m.projects {
		r, _ := s.Council.Get(noun.ID(id))
		var electorate, seated []int
		for _, e := range r.Electorate {
			electorate = append(electorate, number(e))
			_, ok := s.Electors.Get(project.NodeKey(string(e) + "." + id))
			require.Equal(t, !c.archived, ok, "electors %s %s", e, id)
		}
		for _, seat := range r.Seats {
			seated = append(seated, number(seat.Member))
		}
		require.Equal(t, []any{c.phase, c.term, c.electorate, c.quorum, c.seated, len(c.tools), c.reason},
			[]any{r.Phase, int(r.Term), electorate, int(r.Quorum), seated, len(r.Tools), string(r.Reason)}, "council of %s", id)
		votes += len(c.votes)
		for v := range c.votes {
			row, ok := s.Votes.Get(project.VoteKey(fmt.Sprintf("%s.lead.n%d.n%d", id, v[0], v[1])))
			require.True(t, ok && !row.At.IsZero(), "vote %v of %s", v, id)
		}
		e, _ := s.Environment.Get(noun.ID(id))
		var found []finding
		for _, p := range e.Probes {
			found = append(found, finding{!p.Since.IsZero(), p.Healthy, string(p.Detail)})
		}
		require.Equal(t, []any{c.environment, c.probes}, []any{e.Phase, found}, "environment of %s", id)
		if c.archived {
			continue
		}
		electors += len(c.electorate)
		if c.host > 0 {
			hosts++
			_, ok := s.Hosts.Get(project.NodeKey(fmt.Sprintf("n%d.%s", c.host, id)))
			require.True(t, ok, "hosts n%d %s", c.host, id)
		}
	}
	require.Equal(t, []int{votes, electors, hosts}, []int{s.Votes.Len(), s.Electors.Len(), s.Hosts.Len()})
}
