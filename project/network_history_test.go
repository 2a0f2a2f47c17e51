package project_test

import (
	"bytes"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/chorus-services/swoosh/internal/teststate"
	"github.com/chorus-services/swoosh/noun"
	"github.com/chorus-services/swoosh/project"
	"github.com/chorus-services/swoosh/swooshtest"
)

const reapAfter = 30 * 60 * 1000

func number(id noun.ID) int {
	n, _ := strconv.Atoi(strings.TrimPrefix(string(id), "n"))
	return n
}

// draw draws a deed, mostly one that is allowed. Small numbers are drawn more often.
func (m *realm) draw(r *rapid.T) deed {
	few := func(name string, most int) int { return rapid.IntRange(1, most).Draw(r, name) }
	from := func(name string, all ...string) string { return rapid.SampledFrom(all).Draw(r, name) }
	d := deed{
		project: from("project", "alpha", "alpha", "beta"), n: few("node", 5), peer: few("candidate", 4),
		tools: from("tools", "t1", "t1", "t1", "t2"), probe: few("probe", 2), healthy: few("health", 6) < 6,
	}
	c := m.projects[d.project]
	switch kind := few("kind", 20); {
	case kind == 20:
		d.command = from("rare", "council.dissolve", "environment.release", "council.plan", "network.delete", "project.archive")
	case kind >= 18:
		d.command = from("goes", "fleet.deregister", "fleet.reap", "network.leave", "network.kick", "policy.quarantine")
	case kind >= 15:
		d.command = from("returns", "fleet.register", "network.join", "policy.release")
	case kind >= 11:
		next := map[string]string{"ALLOCATE": "environment.allocate", "PROVISION": "environment.provision"}
		if d.command = next[c.environment]; d.command == "" {
			d.command = "environment.report"
		}
	case c.phase == "PLAN_ROLES":
		d.command = "council.plan"
	case c.phase == "ELECT" && len(c.winners()) < c.seats:
		d.command = "council.vote"
	case c.phase == "ELECT":
		d.command = from("elect", "council.elect", "council.vote")
	default:
		d.command = "council.sync"
	}
	m.fill(r, &d, c, few, from)
	return d
}

// fill draws the members that a command needs, and who signs it.
func (m *realm) fill(r *rapid.T, d *deed, c *court, few func(string, int) int, from func(string, ...string) string) {
	switch d.command {
	case "fleet.reap":
		d.list = rapid.Permutation([]int{1, 2, 3, 5}).Draw(r, "nodes")[:few("many", 4)]
	case "policy.quarantine", "policy.release":
		d.scope = from("scope", "node:n1", "node:n2", "node:n3", "owner:acme", "owner:umbra", "owner:zeta")
	case "council.plan":
		d.list = rapid.Permutation([]int{1, 2, 3, 4}).Draw(r, "electorate")[:rapid.SampledFrom([]int{3, 4, 2, 1}).Draw(r, "electors")]
		if few("strange", 9) == 9 {
			d.list = append(d.list, 5)
		}
		d.quorum = len(d.list)/2 + few("quorum", len(d.list)-len(d.list)/2)
		d.seats = few("seats", min(2, len(d.list)))
	case "council.vote":
		if few("elector", 4) < 4 {
			d.n, d.peer = rapid.SampledFrom(c.electorate).Draw(r, "voter"), c.electorate[few("favourite", min(2, len(c.electorate)))-1]
		}
	case "council.sync":
		if len(c.seated) > 0 && few("seated", 4) < 4 {
			d.n = rapid.SampledFrom(c.seated).Draw(r, "member")
		}
	case "environment.allocate":
		d.n %= 5 // 0: on no node
	}
	region, _, _ := strings.Cut(d.command, ".")
	if region != "council" && region != "environment" && region != "project" {
		return
	}
	if region == "council" && d.command != "council.dissolve" && few("fence", 6) == 6 {
		d.term = few("term", 3)
	}
	switch by := few("by", 10); {
	case by < 8 && (d.command == "council.vote" || d.command == "council.sync"):
		d.signer = d.n
	case by > 5:
		d.signer = few("signer", 5)
	}
}

// say returns the signer, the command and the payload of a deed.
func (m *realm) say(d deed) (signer, command, payload string) {
	node := fmt.Sprintf(`"node":"n%d"`, d.n)
	nodes := func() string {
		var all []string
		for _, n := range d.list {
			all = append(all, fmt.Sprintf(`"n%d"`, n))
		}
		return strings.Join(all, ",")
	}
	if d.signer > 0 {
		signer = fmt.Sprintf("n%d", d.signer)
	}
	members := map[string]string{
		"fleet.deregister": node, "fleet.reap": fmt.Sprintf(`"before":%d,"nodes":[%s]`, m.now-reapAfter, nodes()),
		"network.join": node, "network.leave": node, "network.kick": node, "network.delete": "",
		"policy.quarantine": `"reason":"why","scope":"` + d.scope + `"`, "policy.release": `"approver":"alice","scope":"` + d.scope + `"`,
		"council.plan":     fmt.Sprintf(`"roles":[{"name":"lead","seats":%d}],"electorate":[%s],"quorum":%d`, d.seats, nodes(), d.quorum),
		"council.vote":     vote(fmt.Sprintf("n%d", d.n), fmt.Sprintf("n%d", d.peer)),
		"council.sync":     tools(fmt.Sprintf("n%d", d.n), d.tools),
		"council.dissolve": `"reason":"split"`, "environment.release": `"reason":"done"`,
		"environment.allocate": fmt.Sprintf(`"provider":"node:n%d"`, d.n), "environment.provision": `"probes":["p1","p2"]`,
		"environment.report": probe(fmt.Sprintf("p%d", d.probe), d.healthy),
	}[d.command]
	switch region, _, _ := strings.Cut(d.command, "."); {
	case d.command == "environment.allocate" && d.n == 0:
		members = `"provider":"local"`
		fallthrough
	case slices.Contains([]string{"council", "environment", "project"}, region):
		members += fmt.Sprintf(`,"project":"%s"`, d.project)
	case region == "network":
		members += `,"network":"build"`
	}
	if d.term > 0 {
		members += fmt.Sprintf(`,"term":%d`, d.term)
	}
	return signer, d.command, "{" + strings.Trim(members, ",") + "}"
}

// begunOf is how a project may have begun, since random deeds seldom get far, without the last
// so many deeds.
func begunOf(id string, without int) []deed {
	all := []deed{
		{command: "environment.allocate", n: 3}, {command: "environment.provision"},
		{command: "environment.report", probe: 1, healthy: true}, {command: "environment.report", probe: 2, healthy: true},
		{command: "council.plan", list: []int{1, 2, 3, 4}, quorum: 3, seats: 1},
		{command: "council.vote", signer: 1, n: 1, peer: 1}, {command: "council.vote", signer: 2, n: 2, peer: 1},
		{command: "council.vote", signer: 3, n: 3, peer: 1}, {command: "council.vote", signer: 4, n: 4, peer: 2},
		{command: "council.elect"}, {command: "council.sync", signer: 1, n: 1, tools: "t1"},
	}
	for i := range all {
		all[i].project = id
	}
	return all[:len(all)-without]
}

// TestNetworkHistories holds random histories, in which nodes go and come back, against the model.
// The engine in memory replays each of them.
func TestNetworkHistories(t *testing.T) {
	first, _ := openFleet(t)
	described := teststate.Of(t, first)
	rapid.Check(t, func(r *rapid.T) {
		e, clock := openFleet(t)
		s := newSettler(t, r, e)
		m := newRealm(clock.Now())
		for _, id := range []string{"alpha", "beta"} {
			s.does("", "project.create", fmt.Sprintf(`{"project":"%s","name":"P","network":"build"}`, id))
			m.projects[id] = &court{phase: "PLAN_ROLES", term: 1, environment: "ALLOCATE"}
		}
		var deeds []deed
		for _, id := range rapid.SampledFrom([][]string{{"alpha", "beta"}, {"alpha"}, {"beta"}, nil}).Draw(r, "begun") {
			deeds = append(deeds, begunOf(id, rapid.IntRange(0, 6).Draw(r, "left of "+id))...)
		}
		for i := range len(deeds) + rapid.IntRange(1, 80).Draw(r, "deeds") {
			var d deed
			if d = m.draw(r); i < len(deeds) {
				d = deeds[i]
			}
			if d.command == "fleet.reap" {
				clock.Advance(time.Duration(rapid.IntRange(0, 40).Draw(r, "minutes")) * time.Minute)
				m.now = clock.Now()
			}
			signer, command, payload := m.say(d)
			if command == "fleet.register" {
				require.Equal(r, m.refusal(d), s.registers(d.n), "%+v", d)
			} else {
				got := ""
				if refused := s.says(signer, command, payload); refused != nil {
					got = refused.Kind.Code()
				}
				require.Equal(r, m.refusal(d), got, "%s %s %s", signer, command, payload)
			}
			if m.refusal(d) == "" {
				m.do(d)
			}
			m.requireSame(r, project.Domain.Of(e.View()))
		}
		var document bytes.Buffer
		_, err := e.View().WriteTo(&document)
		require.NoError(r, err)
		require.NoError(r, described.Fits(document.Bytes()), document.String())
	})
}

// registers registers a node that is known, and returns the code of the refusal.
func (s *settler) registers(n int) string {
	name := fmt.Sprintf("n%d", n)
	refused := s.says("/"+name, "fleet.register", fmt.Sprintf(`{"public_key":"%s","owner":"%s","session":"session-%s"}`, swooshtest.PublicKey(name), owners[n], name))
	if refused == nil {
		return ""
	}
	return refused.Kind.Code()
}
