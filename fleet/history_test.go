package fleet_test

import (
	"crypto/ed25519"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/go-json-experiment/json/jsontext"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/chorus-services/swoosh"
	"github.com/chorus-services/swoosh/fleet"
	"github.com/chorus-services/swoosh/noun"
	"github.com/chorus-services/swoosh/swooshtest"
)

// model is the fleet in another form: what the rules come to, without the domain's code.
type model struct {
	now   int64
	nodes []*machine // n1 first
	nets  map[string]*net
	said  map[[2]int]bool // node, peer: who trusts whom
}

type machine struct {
	phase, owner, host, session string
	keys                        []string // their names, the present one last
	seen                        int64
}

type net struct {
	deleted bool
	join    string
	most    int
	roles   map[int]string
	invites map[int]invitation
}

type invitation struct {
	role  string
	until int64
}

func (m *model) node(n int) *machine {
	if n < 1 || n > len(m.nodes) {
		return nil
	}
	return m.nodes[n-1]
}

// holder returns the node that has or had a key.
func (m *model) holder(key string) (n int, current bool) {
	for i, x := range m.nodes {
		if k := slices.Index(x.keys, key); k >= 0 {
			return i + 1, k == len(x.keys)-1
		}
	}
	return 0, false
}

func (m *model) hostFree(host string, n int) bool {
	for i, x := range m.nodes {
		if x.host == host && i+1 != n {
			return false
		}
	}
	return true
}

// word is a command as a test says it: who signs it with which key, and its members.
type word struct {
	command, key     string // key empty: unsigned
	signer           int    // 0: the key itself
	n, peer          int
	new, host, owner string
	session, role    string
	net, join        string
	most             int
	list             []int
}

// allowed returns the code of the refusal that the rules ask for; empty: none.
func (m *model) allowed(w word) string {
	if w.key != "" {
		if w.signer > 0 {
			x := m.node(w.signer)
			switch {
			case x == nil || x.keys[len(x.keys)-1] != w.key:
				return "bad_signature"
			case x.phase != "ACTIVE":
				return "invalid_phase"
			}
		} else if w.command != "fleet.register" {
			return "bad_signature"
		}
	}
	self := func(n int) bool { return w.key == "" || w.signer == n }
	switch w.command {
	case "fleet.register":
		holder, current := m.holder(w.new)
		switch {
		case w.key == "":
			return "bad_signature"
		case w.signer != 0 || w.key != w.new:
			return "forbidden"
		case holder > 0 && !current, holder > 0 && m.node(holder).owner != w.owner, w.host != "" && !m.hostFree(w.host, holder):
			return "conflict"
		}
		return ""
	case "fleet.reap":
		return ""
	}
	if w.net != "" {
		return m.allowedInNet(w)
	}
	x := m.node(w.n)
	if x == nil {
		return "not_found"
	}
	switch w.command {
	case "fleet.deregister", "fleet.set_hostname":
		if x.phase == "DEREGISTERED" {
			return "invalid_phase"
		}
	case "trust.give", "trust.revoke":
		if m.node(w.peer) == nil {
			return "not_found"
		}
	}
	if !self(w.n) {
		return "forbidden"
	}
	switch holder, _ := m.holder(w.new); {
	case w.command == "fleet.rotate_key" && holder > 0,
		w.command == "fleet.set_hostname" && w.host != "" && !m.hostFree(w.host, w.n):
		return "conflict"
	}
	return ""
}

func (m *model) allowedInNet(w word) string {
	t := m.nets[w.net]
	if w.command == "network.create" {
		switch x := m.node(w.n); {
		case x == nil:
			return "not_found"
		case w.key != "" && w.signer != w.n:
			return "forbidden"
		case t != nil || x.phase != "ACTIVE":
			return "conflict"
		}
		return ""
	}
	needsNode := w.command != "network.set" && w.command != "network.delete"
	switch {
	case t == nil || needsNode && m.node(w.n) == nil:
		return "not_found"
	case t.deleted:
		return "invalid_phase"
	}
	is := func(roles ...string) bool { return w.key == "" || slices.Contains(roles, t.roles[w.signer]) }
	role, invited := t.roles[w.n], t.invites[w.n].until > m.now
	switch w.command {
	case "network.join":
		switch {
		case w.key != "" && w.signer != w.n:
			return "forbidden"
		case role != "":
			return ""
		case m.node(w.n).phase != "ACTIVE", len(t.roles) >= t.most, w.key != "" && !invited && t.join != "open":
			return "conflict"
		}
	case "network.leave":
		_, asked := t.invites[w.n]
		switch {
		case w.key != "" && w.signer != w.n:
			return "forbidden"
		case role == "owner", role == "" && !asked:
			return "conflict"
		}
	case "network.set":
		if !is("owner", "admin") {
			return "forbidden"
		}
		if len(t.roles) > w.most {
			return "conflict"
		}
	case "network.delete":
		if !is("owner") {
			return "forbidden"
		}
	case "network.invite":
		switch {
		case !is("owner", "admin"), w.role == "admin" && !is("owner"):
			return "forbidden"
		case role != "":
			return "conflict"
		}
	case "network.kick":
		switch {
		case !is("owner", "admin"):
			return "forbidden"
		case role == "", role == "owner":
			return "conflict"
		case role == "admin" && !is("owner"):
			return "forbidden"
		}
	case "network.set_role":
		switch {
		case !is("owner"):
			return "forbidden"
		case role == "", role == "owner" && w.role != "owner":
			return "conflict"
		}
	}
	return ""
}

// do does what an allowed command does.
func (m *model) do(w word) {
	x, t := m.node(w.n), m.nets[w.net]
	switch w.command {
	case "fleet.register":
		n, _ := m.holder(w.new)
		if n == 0 {
			m.nodes = append(m.nodes, &machine{keys: []string{w.new}, owner: w.owner})
			n = len(m.nodes)
		}
		x = m.node(n)
		x.phase, x.session, x.seen = "ACTIVE", w.session, m.now
		if w.host != "" {
			x.host = w.host
		}
	case "fleet.deregister":
		x.phase, x.host = "DEREGISTERED", ""
	case "fleet.reap":
		for _, n := range w.list {
			if x := m.node(n); x.phase == "ACTIVE" && x.seen < m.now-time.Hour.Milliseconds() {
				x.phase = "REAPED"
			}
		}
	case "fleet.rotate_key":
		x.keys = append(x.keys, w.new)
	case "fleet.set_hostname":
		x.host = w.host
	case "trust.give":
		m.said[[2]int{w.n, w.peer}] = true
		if w.key == "" {
			m.said[[2]int{w.peer, w.n}] = true
		}
	case "trust.revoke":
		delete(m.said, [2]int{w.n, w.peer})
		delete(m.said, [2]int{w.peer, w.n})
	case "network.create":
		m.nets[w.net] = &net{join: w.join, most: w.most, roles: map[int]string{w.n: "owner"}, invites: map[int]invitation{}}
	case "network.set":
		t.join, t.most = w.join, w.most
	case "network.delete":
		t.deleted = true
	case "network.join":
		if t.roles[w.n] == "" {
			t.roles[w.n] = "member"
			if i := t.invites[w.n]; i.until > m.now {
				t.roles[w.n] = i.role
			}
			delete(t.invites, w.n)
		}
	case "network.leave":
		delete(t.roles, w.n)
		delete(t.invites, w.n)
	case "network.kick":
		delete(t.roles, w.n)
	case "network.invite":
		for _, other := range m.nets {
			if i, ok := other.invites[w.n]; ok && i.until <= m.now {
				delete(other.invites, w.n)
			}
		}
		t.invites[w.n] = invitation{w.role, m.now + 30*24*time.Hour.Milliseconds()}
	case "network.set_role":
		if w.role == "owner" {
			for n, role := range t.roles {
				if role == "owner" {
					t.roles[n] = "admin"
				}
			}
		}
		t.roles[w.n] = w.role
	}
}

// requireSame holds the domain's state against the model.
func (m *model) requireSame(t require.TestingT, s fleet.State) {
	require.NoError(t, s.Validate())
	require.EqualValues(t, len(m.nodes), s.Last)
	require.Equal(t, len(m.nodes), s.Nodes.Len())
	keys := 0
	for i, x := range m.nodes {
		n, _ := s.Nodes.Get(id(i + 1))
		keys += len(x.keys)
		require.Equal(t, []any{x.phase, x.owner, x.host, x.session, swooshtest.PublicKey(x.keys[len(x.keys)-1])},
			[]any{n.Phase, string(n.Owner), string(n.Hostname), string(n.Session), string(n.Key)}, "n%d", i+1)
	}
	require.Equal(t, keys, s.Keys.Len())
	pairs := 0
	for said := range m.said {
		a, b := said[0], said[1]
		_, asked := s.Asks.Get(fleet.AskKey(id(b) + "." + id(a)))
		_, trusted := s.Trust.Get(fleet.PairKey(id(min(a, b)) + "." + id(max(a, b))))
		require.Equal(t, m.said[[2]int{b, a}], trusted, "%d %d", a, b)
		require.Equal(t, !trusted, asked, "%d %d", a, b)
		if trusted {
			pairs++
		}
	}
	require.Equal(t, pairs/2, s.Trust.Len())
	require.Equal(t, len(m.said)-pairs, s.Asks.Len())
	invites := 0
	for _, x := range m.nets {
		invites += len(x.invites)
	}
	require.Equal(t, invites, s.Invites.Len())
	members := 0
	for name, x := range m.nets {
		n, _ := s.Networks.Get(noun.ID(name))
		members += len(x.roles)
		require.Equal(t, []any{x.deleted, x.join, x.most, len(x.roles)}, []any{n.Phase == "DELETED", string(n.Join), int(n.MaxMembers), int(n.Members)}, name)
		for node, role := range x.roles {
			got, _ := s.Members.Get(fleet.MemberKey(name + "." + string(id(node))))
			require.Equal(t, role, string(got.Role), "%s %d", name, node)
		}
		for node, i := range x.invites {
			got, _ := s.Invites.Get(fleet.InviteKey(string(id(node)) + "." + name))
			require.Equal(t, i, invitation{string(got.Role), int64(got.Expires)}, "%s %d", name, node)
		}
	}
	require.Equal(t, members, s.Members.Len())
	require.Equal(t, len(m.nets), s.Networks.Len())
}

func id(n int) fleet.NodeID { return fleet.NodeID(fmt.Sprintf("n%d", n)) }

// payload returns the JSON of a word's members.
func (m *model) payload(w word) jsontext.Value {
	p := map[string]any{}
	node := func() { p["node"] = id(w.n) }
	switch w.command {
	case "fleet.register":
		p = map[string]any{"public_key": swooshtest.PublicKey(w.new), "owner": w.owner, "session": w.session}
	case "fleet.reap":
		p = map[string]any{"before": m.now - time.Hour.Milliseconds(), "nodes": w.list}
		var ids []fleet.NodeID
		for _, n := range w.list {
			ids = append(ids, id(n))
		}
		p["nodes"] = ids
	case "fleet.rotate_key":
		old := ""
		if x := m.node(w.n); x != nil {
			old = x.keys[len(x.keys)-1]
		}
		text := fleet.KeyProof(id(w.n), fleet.PublicKey(swooshtest.PublicKey(old)), fleet.PublicKey(swooshtest.PublicKey(w.new)))
		p["old_key"], p["public_key"] = swooshtest.PublicKey(old), swooshtest.PublicKey(w.new)
		p["proof"] = base64.StdEncoding.EncodeToString(ed25519.Sign(swooshtest.Key(w.new), []byte(text)))
		node()
	case "trust.give", "trust.revoke":
		p["peer"] = id(w.peer)
		node()
	case "network.create":
		p = map[string]any{"owner": id(w.n), "name": "N", "join": w.join, "max_members": w.most}
	case "network.set":
		p = map[string]any{"name": "N", "join": w.join, "max_members": w.most}
	case "network.delete":
	case "network.invite", "network.set_role":
		p["role"] = w.role
		node()
	default:
		node()
	}
	if w.net != "" {
		p["network"] = w.net
	}
	if w.host != "" && (w.command == "fleet.register" || w.command == "fleet.set_hostname") {
		p["hostname"] = w.host
	}
	b, _ := json.Marshal(p)
	return b
}

// draw draws a command, mostly by who may send it.
func (m *model) draw(r *rapid.T, step int) word {
	few := func(name string, most int) int { return rapid.IntRange(1, most).Draw(r, name) }
	from := func(name string, all ...string) string { return rapid.SampledFrom(all).Draw(r, name) }
	w := word{
		command: from("command", "fleet.register", "fleet.register", "fleet.deregister", "fleet.reap", "fleet.rotate_key", "fleet.set_hostname",
			"trust.give", "trust.give", "trust.revoke", "network.create", "network.set", "network.delete", "network.join", "network.join",
			"network.leave", "network.invite", "network.kick", "network.set_role"),
		n: few("node", len(m.nodes)+1), new: fmt.Sprintf("key%d", few("key", 6)),
		host: from("host", "", "", "web-1", "web-2"), owner: from("owner", "acme", "acme", "acme", "umbra"), session: fmt.Sprintf("session-%d", step),
		role: from("role", "admin", "member"), join: from("join", "open", "invite"), most: few("most", 4),
	}
	if w.command[:4] == "netw" {
		w.net = from("network", "a", "a", "b")
	}
	if w.command == "network.set_role" {
		w.role = from("role", "owner", "admin", "member")
	}
	if w.command[:4] == "trus" {
		if w.peer = few("peer", len(m.nodes)+1); w.peer == w.n {
			w.peer++
		}
	}
	for n := range m.nodes {
		w.list = append(w.list, n+1)
	}
	switch by := few("by", 10); {
	case w.command == "fleet.reap":
	case w.command == "fleet.register":
		if w.key = w.new; by == 1 {
			w.key = "key1"
		}
	case by > 3 && w.n <= len(m.nodes): // Mostly the node itself.
		w.signer = w.n
		w.key = m.node(w.n).keys[len(m.node(w.n).keys)-1]
		if t := m.nets[w.net]; t != nil && by > 6 {
			for n, role := range t.roles {
				if role == "owner" {
					w.signer, w.key = n, m.node(n).keys[len(m.node(n).keys)-1]
				}
			}
		}
	case by == 1 && len(m.nodes) > 0:
		w.signer = few("signer", len(m.nodes))
		w.key = from("with", slices.Concat(m.node(w.signer).keys, []string{"key1"})...)
	}
	return w
}

// TestHistories holds random histories against the model. The engine in memory replays
// each of them.
func TestHistories(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		e, clock := open(t)
		m := &model{now: clock.Now(), nets: map[string]*net{}, said: map[[2]int]bool{}}
		for step := range rapid.IntRange(1, 60).Draw(r, "commands") {
			w := m.draw(r, step)
			if w.command == "fleet.reap" && len(w.list) == 0 {
				continue
			}
			if rapid.IntRange(0, 9).Draw(r, "later") == 0 {
				clock.Advance(time.Duration(rapid.SampledFrom([]int{1, 2, 24 * 30}).Draw(r, "hours")) * time.Hour)
				m.now = clock.Now()
			}
			request := swoosh.Request{Command: w.command, Payload: m.payload(w), IdempotencyKey: fmt.Sprint(step)}
			if v := e.View(); v.Index() > 0 {
				request.KeySince = v.At()
			}
			if w.key != "" {
				signer := swooshtest.PublicKey(w.key)
				if w.signer > 0 {
					signer = string(id(w.signer))
				}
				request = swooshtest.Sign(t, e, swooshtest.Key(w.key), signer, request)
			}
			want, got := m.allowed(w), ""
			_, err := e.Submit(t.Context(), request)
			if refused := new(swoosh.Error); errors.As(err, &refused) {
				got = refused.Kind.Code()
			}
			require.Equal(r, want, got, "%+v: %v", w, err)
			if got == "" {
				m.do(w)
			}
			m.requireSame(r, fleet.Domain.Of(e.View()))
		}
	})
}
