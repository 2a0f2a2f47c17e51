package fleet

import (
	"fmt"
	"slices"
	"strings"

	"github.com/chorus-services/swoosh"
	"github.com/chorus-services/swoosh/noun"
)

// faultsMax limits the faults reported at once.
const faultsMax = 32

// faults lists what is wrong with an imported state, with pointers relative to its root.
type faults []swoosh.FieldError

// want adds a fault unless ok is true.
func (f *faults) want(ok bool, pointer, format string, args ...any) {
	if !ok && len(*f) < faultsMax {
		*f = append(*f, swoosh.FieldError{Pointer: pointer, Detail: fmt.Sprintf(format, args...)})
	}
}

// Validate refuses an imported state whose rows contradict each other, since commands
// rely on rows being such as commands make them. The forms are checked before.
func (s State) Validate() error {
	var f faults
	s.nodeFaults(&f)
	s.keyFaults(&f)
	s.trustFaults(&f)
	s.networkFaults(&f)
	if f == nil {
		return nil
	}
	err := swoosh.Errorf(swoosh.InvalidState, "%s %s", f[0].Pointer, f[0].Detail)
	err.Errors = f
	return err
}

// rowAt returns the JSON Pointer of a row. No key of this domain needs escapes.
func rowAt[K ~string](table string, key K) string { return "/" + table + "/" + string(key) }

func (s State) knows(id NodeID) bool {
	_, ok := s.Nodes.Get(id)
	return ok
}

func (s State) nodeFaults(f *faults) {
	hostnames := 0
	for id, n := range s.Nodes.All() {
		at := rowAt("nodes", id)
		f.want(id.number() != 0 && id.number() <= s.Last, at, "must be a node up to n%d, as last says", s.Last)
		f.want(slices.Contains([]string{Active, Reaped, Deregistered}, n.Phase), at+"/phase", "must be %s, %s or %s", Active, Reaped, Deregistered)
		f.want(n.Owner != "", at+"/owner", "is required")
		f.want(n.Session != "", at+"/session", "is required")
		f.want(!n.Registered.IsZero(), at+"/registered", "is required")
		f.want(!n.Since.IsZero(), at+"/since", "is required")
		f.want(n.Keys >= 1 && n.Keys <= keysMax, at+"/keys", "must be from 1 to %d", keysMax)
		key, ok := s.Keys.Get(n.Key)
		f.want(ok && key.Node == id && key.Number == n.Keys && key.Until.IsZero(), at+"/key", "must be a key of this node in keys, the one with number %d, without until", n.Keys)
		_, seen := s.Seen.Get(id)
		f.want(seen == (n.Phase != Deregistered), at, "must stand in seen exactly if it is not %s", Deregistered)
		if n.Hostname != "" {
			hostnames++
			has, ok := s.Hostnames.Get(n.Hostname)
			f.want(ok && has.Node == id && n.Phase != Deregistered, at+"/hostname", "must be this node's in hostnames, and of none that is %s", Deregistered)
		}
	}
	f.want(s.Nodes.Len() <= nodesMax, "/nodes", "must have at most %d rows", nodesMax)
	f.want(s.Hostnames.Len() == hostnames, "/hostnames", "must have exactly the hostnames of the nodes, which are %d", hostnames)
	for id, row := range s.Seen.All() {
		f.want(s.knows(id), rowAt("seen", id), "must not exist without its node")
		f.want(!row.At.IsZero(), rowAt("seen", id)+"/at", "is required")
	}
}

func (s State) keyFaults(f *faults) {
	had := map[NodeID]uint32{}
	for key, row := range s.Keys.All() {
		at := rowAt("keys", key)
		n, ok := s.Nodes.Get(row.Node)
		had[row.Node]++
		f.want(ok, at+"/node", "must be a node")
		f.want(row.Number >= 1 && row.Number <= n.Keys, at+"/number", "must be from 1 to the node's keys")
		f.want(!row.Since.IsZero(), at+"/since", "is required")
		f.want((row.Until.IsZero()) == (n.Key == key), at+"/until", "is required exactly if the node has another key now")
	}
	for id, n := range s.Nodes.All() {
		f.want(had[id] == n.Keys, rowAt("nodes", id)+"/keys", "must be the number of its keys in keys, which is %d", had[id])
	}
}

func (s State) trustFaults(f *faults) {
	for key, row := range s.Trust.All() {
		a, b, _ := strings.Cut(string(key), ".")
		f.want(s.knows(NodeID(a)) && s.knows(NodeID(b)), rowAt("trust", key), "must be between two nodes")
		f.want(!row.Since.IsZero(), rowAt("trust", key)+"/since", "is required")
	}
	for key, row := range s.Asks.All() {
		asked, asker, _ := strings.Cut(string(key), ".")
		_, mutual := s.Asks.Get(askKey(NodeID(asker), NodeID(asked)))
		_, trusted := s.Trust.Get(pairKey(NodeID(asked), NodeID(asker)))
		f.want(s.knows(NodeID(asked)) && s.knows(NodeID(asker)), rowAt("asks", key), "must be between two nodes")
		f.want(!mutual && !trusted, rowAt("asks", key), "must not exist if both have said so")
		f.want(!row.At.IsZero(), rowAt("asks", key)+"/at", "is required")
	}
}

func (s State) networkFaults(f *faults) {
	f.want(s.Networks.Len() <= networksMax, "/networks", "must have at most %d rows", networksMax)
	members, owners := map[noun.ID]uint32{}, map[noun.ID]int{}
	for key, m := range s.Members.All() {
		network, node, _ := strings.Cut(string(key), ".")
		n, ok := s.Networks.Get(noun.ID(network))
		at := rowAt("members", key)
		f.want(ok && s.knows(NodeID(node)), at, "must be a node in a network")
		f.want(m.Role != "", at+"/role", "is required")
		f.want((m.Role == RoleOwner) == (n.Owner == NodeID(node)), at+"/role", "must be owner exactly if the network says so")
		f.want(!m.Since.IsZero(), at+"/since", "is required")
		members[noun.ID(network)]++
		if m.Role == RoleOwner {
			owners[noun.ID(network)]++
		}
	}
	for id, n := range s.Networks.All() {
		at := rowAt("networks", id)
		f.want(n.Name != "", at+"/name", "is required")
		f.want(n.Phase == NetworkActive || n.Phase == NetworkDeleted, at+"/phase", "must be %s or %s", NetworkActive, NetworkDeleted)
		f.want(n.Join != "", at+"/join", "is required")
		f.want((n.Join == JoinToken) == (n.JoinKey != ""), at+"/join_key", "is required exactly if join is token")
		f.want(n.Members == members[id], at+"/members", "must be the number of its members, which is %d", members[id])
		f.want(n.MaxMembers >= n.Members && n.MaxMembers <= membersMax, at+"/max_members", "must be from its number of members to %d", membersMax)
		f.want(owners[id] == 1, at+"/owner", "must be one of its members")
		f.want(!n.Created.IsZero(), at+"/created", "is required")
	}
	for key, i := range s.Invites.All() {
		node, network, _ := strings.Cut(string(key), ".")
		at := rowAt("invites", key)
		_, ok := s.Networks.Get(noun.ID(network))
		_, isMember := s.Members.Get(memberKey(noun.ID(network), NodeID(node)))
		f.want(ok && s.knows(NodeID(node)) && !isMember, at, "must be of a node to a network that it is not in")
		f.want(i.Role == RoleAdmin || i.Role == RoleMember, at+"/role", "must be admin or member")
		f.want(i.By == "" || s.knows(i.By), at+"/by", "must be a node")
		f.want(i.Expires != 0, at+"/expires", "is required")
	}
}
