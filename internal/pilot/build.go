package pilot

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/chorus-services/swoosh"
	"github.com/chorus-services/swoosh/fleet"
	"github.com/chorus-services/swoosh/noun"
)

// fleetPart is the member fleet of a state.
type fleetPart struct {
	Last      uint64                                 `json:"last"`
	Nodes     map[fleet.NodeID]fleet.Node            `json:"nodes"`
	Keys      map[fleet.PublicKey]fleet.Key          `json:"keys"`
	Seen      map[fleet.NodeID]fleet.Seen            `json:"seen"`
	Hostnames map[fleet.Hostname]fleet.HostnameOwner `json:"hostnames"`
	Asks      map[fleet.AskKey]fleet.Ask             `json:"asks"`
	Trust     map[fleet.PairKey]fleet.Trust          `json:"trust"`
	Networks  map[noun.ID]fleet.Network              `json:"networks"`
	Members   map[fleet.MemberKey]fleet.Member       `json:"members"`
	Invites   map[fleet.InviteKey]fleet.Invite       `json:"invites"`
}

const (
	unowned     = "unowned"      // owner of a node without one
	session     = "pilot-import" // which no node's program has, so each registers first
	inboxMost   = 100
	tagsMost    = 10
	inviteHolds = 30 * 24 * 60 * 60 * 1000 // ms
	membersMost = 10_000                   // of a network that says nothing
)

func stamp(at moment) swoosh.Stamp { return swoosh.Stamp{WallMS: uint64(at), Node: "pilot"} }

func nodeID(id uint32) fleet.NodeID { return fleet.NodeID(nodeName(id)) }

// build makes the rows.
func (b *builder) build(r *Report) (jsontext.Value, error) {
	p := &fleetPart{
		Last: b.last, Nodes: map[fleet.NodeID]fleet.Node{}, Keys: map[fleet.PublicKey]fleet.Key{}, Seen: map[fleet.NodeID]fleet.Seen{},
		Hostnames: map[fleet.Hostname]fleet.HostnameOwner{}, Asks: map[fleet.AskKey]fleet.Ask{}, Trust: map[fleet.PairKey]fleet.Trust{},
		Networks: map[noun.ID]fleet.Network{}, Members: map[fleet.MemberKey]fleet.Member{}, Invites: map[fleet.InviteKey]fleet.Invite{},
	}
	owners, err := b.ownerIDs()
	if err != nil {
		return nil, err
	}
	for id, n := range sorted(b.nodes) {
		b.buildNode(p, id, n, owners)
	}
	b.buildTrust(p)
	names := b.buildNetworks(p)
	b.buildInvites(p, names)
	r.Nodes, r.Keys, r.Networks, r.Members = len(p.Nodes), len(p.Keys), len(p.Networks), len(p.Members)
	r.Trust, r.Asks, r.Invites = len(p.Trust), len(p.Asks), len(p.Invites)
	return json.Marshal(p, json.OmitZeroStructFields(true), json.Deterministic(true))
}

// ownerIDs returns the id of each owner. Two owners never become one silently.
func (b *builder) ownerIDs() (map[string]noun.ID, error) {
	used := map[string]uint32{} // by one of its nodes
	for id, n := range sorted(b.nodes) {
		if _, again := used[n.Owner]; !again {
			used[n.Owner] = id
		}
	}
	for _, old := range slices.Sorted(maps.Keys(b.Owners)) {
		if _, is := used[old]; !is {
			return nil, fmt.Errorf("--owner names the owner %.80q, whom no node has: check its spelling", old)
		}
		if err := noun.ID(b.Owners[old]).Validate(); err != nil {
			return nil, fmt.Errorf("--owner gives %.80q the id %.80q: it %w", old, b.Owners[old], err)
		}
	}
	ids, first := map[string]noun.ID{}, map[noun.ID]string{}
	for old := range sorted(used) {
		given, isGiven := b.Owners[old]
		id := cmp.Or(noun.ID(given), idOf(old, unowned))
		other, taken := first[id]
		if taken && !isGiven && b.Owners[other] == "" {
			return nil, fmt.Errorf("the owners %.80q and %.80q would both be %s: say what they are with --owner %s", other, old, id, quoteOwner(old)+"=ID")
		}
		if first[id] = old; string(id) != old && !isGiven && old != "" {
			b.note(madeOwners, "%.80s: %s", old, id)
		}
		ids[old] = id
	}
	return ids, nil
}

func quoteOwner(owner string) string {
	if strings.ContainsAny(owner, " '\"$\\`") {
		return fmt.Sprintf("%q", owner)
	}
	return owner
}

// idOf returns an id that is made of a text: in lower case, with dashes for what no id
// has.
func idOf(text, otherwise string) noun.ID {
	id := strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= '0' && r <= '9' {
			return r
		}
		return '-'
	}, strings.ToLower(text))
	id = strings.Trim(id[:min(len(id), 63)], "-")
	return noun.ID(cmp.Or(id, otherwise))
}

// buildNode adds a node with its keys.
func (b *builder) buildNode(p *fleetPart, id uint32, n *node, owners map[string]noun.ID) {
	if len(n.keys) == 0 || id == 0 {
		if id == 0 || n.PublicKey == "" { // What is none was noted.
			b.note(noKey, "%s", nodeName(id))
		}
		return
	}
	if n.Owner == "" {
		b.note(noOwner, "%s: %s", nodeName(id), owners[""])
	}
	current := n.keys[len(n.keys)-1]
	registered := b.at(n.Registered, n.keys[0].since)
	seen := b.at(n.LastSeen, registered)
	row := fleet.Node{
		Phase: n.phase, Owner: owners[n.Owner], RelayOnly: n.RelayOnly, Public: n.Public, TaskExec: n.TaskExec,
		Key: current.key, Keys: uint32(len(n.keys)), Session: session, Registered: stamp(registered), Since: stamp(seen),
	}
	if n.KeyExpires != 0 {
		row.KeyExpires = noun.MS(n.KeyExpires)
	}
	for i, k := range n.keys {
		key := fleet.Key{Node: nodeID(id), Number: uint32(i + 1), Since: stamp(k.since)}
		if i+1 < len(n.keys) {
			key.Until = stamp(n.keys[i+1].since)
		}
		p.Keys[k.key] = key
	}
	b.fill(&row, id, n)
	if n.phase != fleet.Deregistered {
		p.Seen[nodeID(id)] = fleet.Seen{At: stamp(seen)}
		row.Hostname = b.hostname(p, id, n.Hostname)
	}
	p.Nodes[nodeID(id)] = row
}

// fill takes what has a form of its own, and notes what is out of it.
func (b *builder) fill(row *fleet.Node, id uint32, n *node) {
	fits := func(what, text string, err error) bool {
		if text != "" && err != nil {
			b.note(badFields, "%s: %s %.40q", nodeName(id), what, text)
		}
		return text != "" && err == nil
	}
	if fits("real_addr", n.RealAddr, fleet.Address(n.RealAddr).Validate()) {
		row.Addresses = fleet.Addresses{fleet.Address(n.RealAddr)}
	}
	for _, text := range n.LANAddrs {
		if a := fleet.Address(text); fits("lan_addrs", text, a.Validate()) && !slices.Contains(row.LANAddresses, a) {
			row.LANAddresses = append(row.LANAddresses, a)
		}
	}
	if v := fleet.Version(n.Version); fits("version", n.Version, v.Validate()) {
		row.Version = v
	}
	if x := fleet.ExternalID(n.ExternalID); fits("external_id", n.ExternalID, x.Validate()) {
		row.ExternalID = x
	}
	row.Tags = b.tags(nodeName(id), n.Tags)
}

// tags returns the tags that have the form.
func (b *builder) tags(of string, texts []string) (tags fleet.Tags) {
	for _, text := range texts {
		tag := fleet.Tag(strings.TrimPrefix(text, "#"))
		if string(tag) != text {
			b.note(changedTags, "%s: %.40s", of, text)
		}
		switch {
		case slices.Contains(tags, tag):
		case tag.Validate() != nil || len(tags) == tagsMost:
			b.note(badTags, "%s: %.40s", of, text)
		default:
			tags = append(tags, tag)
		}
	}
	return tags
}

// hostname returns the hostname if it has the form, and nobody has it yet.
func (b *builder) hostname(p *fleetPart, id uint32, text string) fleet.Hostname {
	name := fleet.Hostname(text)
	has, taken := p.Hostnames[name]
	switch {
	case text == "":
		return ""
	case name.Validate() != nil:
		b.note(badHostnames, "%s: %.80s", nodeName(id), text)
		return ""
	case taken:
		b.note(takenHostname, "%s: %s, which %s has", nodeName(id), text, has.Node)
		return ""
	}
	p.Hostnames[name] = fleet.HostnameOwner{Node: nodeID(id)}
	return name
}

// has reports whether nodes became rows, and notes a mention if one did not.
func (b *builder) has(p *fleetPart, mention string, ids ...uint32) bool {
	for _, id := range ids {
		if _, is := p.Nodes[nodeID(id)]; !is {
			b.note(strangers, "%s in %s", nodeName(id), mention)
			return false
		}
	}
	return true
}

// buildTrust adds the trust, and the handshakes that wait.
func (b *builder) buildTrust(p *fleetPart) {
	for _, at := range sortedPairs(b.trust) {
		if b.has(p, fmt.Sprintf("trust %d:%d", at.a, at.b), at.a, at.b) {
			p.Trust[fleet.PairKey(nodeName(at.a)+"."+nodeName(at.b))] = fleet.Trust{Since: stamp(b.trust[at])}
		}
	}
	inbox := map[uint32]int{}
	for _, at := range sortedPairs(b.asks) {
		asked, asker := at.a, at.b
		if !b.has(p, "handshake_inbox", asked, asker) {
			continue
		}
		ask := b.asks[at]
		_, trusted := p.Trust[fleet.PairKey(nodeName(min(asked, asker))+"."+nodeName(max(asked, asker)))]
		_, mutual := p.Asks[fleet.AskKey(nodeName(asker)+"."+nodeName(asked))]
		switch {
		case asked == asker || trusted || mutual:
			b.note(bothAsk, "%s asks %s", nodeName(asker), nodeName(asked))
			continue
		case inbox[asked] == inboxMost:
			b.note(tooMany, "%s asks %s", nodeName(asker), nodeName(asked))
			continue
		}
		inbox[asked]++
		row := fleet.Ask{At: stamp(b.at(ask.At))}
		if why := noun.Text(ask.Why); why.Validate() == nil {
			row.Why = why
		} else {
			b.note(badFields, "%s asks %s: justification", nodeName(asker), nodeName(asked))
		}
		p.Asks[fleet.AskKey(nodeName(asked)+"."+nodeName(asker))] = row
	}
}

func sortedPairs[V any](m map[pair]V) []pair {
	return slices.SortedFunc(maps.Keys(m), func(x, y pair) int { return cmp.Or(cmp.Compare(x.a, y.a), cmp.Compare(x.b, y.b)) })
}
