// Package pilot reads the registry that Pilot keeps in files, and makes of it the part of
// a state that the domain fleet has. It is pure: bytes in, JSON and a report out.
//
// Ids stay as they were, and no key loses its node. What the fleet has no place for, or in
// another form, the report names.
package pilot

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/chorus-services/swoosh/fleet"
)

// Options say how to read what can be read in several ways.
type Options struct {
	// Owners are the owners' ids, by how Pilot has them. The others get ids that are made of
	// their texts.
	Owners map[string]string

	SkipUnknown bool   // records of unknown types are counted, not refused
	NowMS       uint64 // times that are later, or missing, become this one
}

// Report says what was read, and what was left out or changed.
type Report struct {
	Version int  `json:"version"` // of the snapshot
	Checked bool `json:"checked"` // whether the snapshot had a checksum, which was good
	Records int  `json:"records"` // of the log
	Torn    int  `json:"torn"`    // bytes of a torn record at the end of the log

	Nodes    int `json:"nodes"`
	Keys     int `json:"keys"`
	Networks int `json:"networks"`
	Members  int `json:"members"`
	Trust    int `json:"trust"`
	Asks     int `json:"asks"`
	Invites  int `json:"invites"`

	Notes []Note `json:"notes"` // in a fixed order
}

// Note is one kind of thing that was left out or changed.
type Note struct {
	What  string   `json:"what"`
	Names []string `json:"names"` // of each, such as n4: My Host
}

// The notes, in the order of the report.
const (
	noKey         = "keys that are none: their nodes are left out"
	keptIDs       = "keys without a node: they keep their ids, as REAPED nodes"
	madeOwners    = "owners that became ids"
	noOwner       = "nodes without an owner"
	badHostnames  = "hostnames out of form: dropped"
	takenHostname = "hostnames that another node has: dropped"
	changedTags   = "tags with a leading #: stripped"
	badTags       = "tags out of form, or more than 10: dropped"
	badFields     = "other values out of form: dropped"
	network0      = "members of network 0, where everybody simply is: left out"
	tokenNetworks = "networks with a token: they are by invitation now, and network set makes a new token"
	ruleless      = "networks whose way to join is unknown: they are by invitation now"
	ownerless     = "networks without an owner: the member with the smallest id is it now"
	emptyNetworks = "networks without a member: left out"
	manyOwners    = "networks with several owners: the one with the smallest id stays it, the others are admins"
	renamed       = "networks that became ids"
	badNames      = "names of networks out of form: replaced by the id"
	strangers     = "mentions of nodes or networks that are not there: left out"
	bothAsk       = "handshakes that both wait for, or that trust has overtaken: left out"
	tooMany       = "handshakes and invitations beyond 100 of a node: left out"
	noPlace       = "what has no place in a fleet: left out"
	skipped       = "records of unknown types: skipped"
)

var noteOrder = []string{noKey, keptIDs, madeOwners, noOwner, badHostnames, takenHostname, changedTags, badTags, badFields, network0, tokenNetworks,
	ruleless, ownerless, emptyNetworks, manyOwners, renamed, badNames, strangers, bothAsk, tooMany, noPlace, skipped}

// Convert reads a snapshot and, unless it is nil, a log that goes on from it. It returns
// the member fleet of a state as JSON. Its errors say what is refused, and the next step.
func Convert(snapshot, log []byte, o Options) (member jsontext.Value, r Report, err error) {
	s, err := readSnapshot(snapshot)
	if err != nil {
		return nil, r, err
	}
	b := &builder{Options: o, notes: map[string][]string{}, noPlace: map[string]int{}, saved: s.is.SavedAt, nodes: map[uint32]*node{}, owner: map[string]uint32{}, networks: map[uint32]*network{}, trust: map[pair]moment{}, asks: map[pair]askRow{}}
	r.Version, r.Checked = s.is.Version, s.is.Version > 0
	b.unknown("the snapshot", s.unknown)
	if err := b.load(s.is); err != nil {
		return nil, r, err
	}
	if log != nil {
		r.Torn, err = readRecords(log, func(at int, rec open[record]) error {
			r.Records++
			return b.apply(at, rec)
		})
		if err != nil {
			return nil, r, err
		}
	}
	member, err = b.build(&r)
	for name, size := range sorted(b.noPlace) {
		b.note(noPlace, "%s (%d)", name, size)
	}
	for _, what := range noteOrder {
		if names := b.notes[what]; len(names) > 0 {
			r.Notes = append(r.Notes, Note{what, names})
		}
	}
	return member, r, err
}

// builder gathers what the files say.
type builder struct {
	Options
	notes   map[string][]string
	noPlace map[string]int // how much of each
	saved   moment         // when the snapshot was

	last     uint64 // the greatest number given
	nodes    map[uint32]*node
	owner    map[string]uint32 // of each key that there ever was, as the fleet writes it
	networks map[uint32]*network
	trust    map[pair]moment
	asks     map[pair]askRow // by who is asked and who asks
	invites  []invitation
}

// node is a node as it is gathered. Its last key is the present one.
type node struct {
	nodeRow
	phase string
	keys  []keyOf
}

type keyOf struct {
	key   fleet.PublicKey
	since moment
}

type network struct {
	networkRow
	deleted bool
	members map[uint32]*member
}

type member struct {
	role  string
	since moment
	tags  []string
}

type pair struct{ a, b uint32 }

// pairOf returns two nodes, the smaller number first.
func pairOf(a, b uint32) pair { return pair{min(a, b), max(a, b)} }

type invitation struct {
	node uint32
	inviteRow
}

// note adds to the report.
func (b *builder) note(what, format string, args ...any) {
	b.notes[what] = append(b.notes[what], fmt.Sprintf(format, args...))
}

// at returns the first time that is one, otherwise the snapshot's, and now at the latest.
func (b *builder) at(times ...moment) moment {
	for _, t := range append(times, b.saved) {
		if t != 0 {
			return min(t, moment(b.NowMS))
		}
	}
	return moment(b.NowMS)
}

// load takes the snapshot.
func (b *builder) load(s snapshotFile) error {
	b.last = max(s.NextNode, 1) - 1
	for id, row := range sorted(s.Nodes) {
		b.unknown("nodes", row.unknown)
		if err := b.addNode(id, row.is, 0); err != nil {
			return err
		}
	}
	for text, id := range sorted(s.Keys) {
		key, ok := parseKey(text)
		switch n := b.nodes[id]; {
		case !ok, id == 0:
			b.note(noKey, "%s: %.80s in pub_key_idx", nodeName(id), text)
		case n == nil:
			b.note(keptIDs, "%s", nodeName(id))
			if err := b.own(id, key); err != nil {
				return err
			}
			b.put(id, &node{phase: fleet.Reaped, keys: []keyOf{{key, b.at()}}})
		default:
			if err := b.own(id, key); err != nil {
				return err
			}
			if len(n.keys) == 0 { // It stands here alone.
				n.keys = []keyOf{{key, b.at(n.Registered)}}
			} else if !n.has(key) { // One that was replaced.
				n.keys = slices.Insert(n.keys, 0, keyOf{key, b.at(n.Registered)})
			}
		}
	}
	for id, row := range sorted(s.Networks) {
		b.unknown("networks", row.unknown)
		b.addNetwork(id, row.is)
	}
	for id, n := range sorted(b.nodes) { // After the networks.
		b.addMemberships(id, n.Networks)
	}
	for _, text := range s.Trust {
		var p pair
		if _, err := fmt.Sscanf(text, "%d:%d", &p.a, &p.b); err != nil || p.a == p.b || fmt.Sprintf("%d:%d", p.a, p.b) != text {
			b.note(badFields, "trust %.40q", text)
			continue
		}
		b.trust[pairOf(p.a, p.b)] = b.at()
	}
	for asked, rows := range sorted(s.Handshakes) {
		for _, row := range rows {
			b.asks[pair{asked, row.is.From}] = row.is
			b.unknown("handshake_inbox", row.unknown)
		}
	}
	for id, rows := range sorted(s.Invites) {
		for _, row := range rows {
			b.invites = append(b.invites, invitation{id, row.is})
			b.unknown("invite_inbox", row.unknown)
		}
	}
	return nil
}

// unknown counts members that have no place here, and what they hold.
func (b *builder) unknown(of string, members map[string]jsontext.Value) {
	for name, value := range members {
		b.noPlace[fmt.Sprintf("%.80s in %s", name, of)] += sizeOf(value)
	}
}

// put adds a node.
func (b *builder) put(id uint32, n *node) {
	b.nodes[id] = n
	b.last = max(b.last, uint64(id))
}

// own notes that a key is a node's, for ever.
func (b *builder) own(id uint32, key fleet.PublicKey) error {
	if other, taken := b.owner[string(key)]; taken && other != id {
		return fmt.Errorf("the key %.12s… is that of %s and of %s, and a key has one id: take one of them out of the files", key, nodeName(min(id, other)), nodeName(max(id, other)))
	}
	b.owner[string(key)] = id
	return nil
}

func (n *node) has(key fleet.PublicKey) bool {
	return slices.ContainsFunc(n.keys, func(k keyOf) bool { return k.key == key })
}

// addNode adds a node, or registers it again. at is the record's time; 0: it is the
// snapshot's.
func (b *builder) addNode(id uint32, row nodeRow, at moment) error {
	n := b.nodes[id]
	if n == nil {
		n = &node{nodeRow: row}
		b.put(id, n)
	} else {
		row.Registered, row.Networks = cmp.Or(n.Registered, row.Registered), n.Networks
		row.Owner, row.Hostname = cmp.Or(row.Owner, n.Owner), cmp.Or(row.Hostname, n.Hostname)
		row.Tags, row.Public, row.TaskExec = n.Tags, n.Public, n.TaskExec
		n.nodeRow = row
	}
	n.phase = fleet.Active
	n.LastSeen = max(n.LastSeen, at)
	if row.PublicKey == "" {
		return nil
	}
	return b.rotate(id, n, row.PublicKey, cmp.Or(at, row.Registered))
}

// rotate makes a key the node's present one. One that it is already, or was meanwhile,
// counts once.
func (b *builder) rotate(id uint32, n *node, text string, at moment) error {
	key, ok := parseKey(text)
	if !ok {
		b.note(noKey, "%s: %.80s", nodeName(id), text)
		return nil
	}
	if err := b.own(id, key); err != nil {
		return err
	}
	if last := len(n.keys) - 1; last >= 0 && n.keys[last].key == key {
		return nil
	}
	n.keys = slices.DeleteFunc(n.keys, func(k keyOf) bool { return k.key == key })
	n.keys = append(n.keys, keyOf{key, b.at(at)})
	return nil
}

func nodeName(id uint32) string { return fmt.Sprintf("n%d", id) }

// addNetwork adds a network with its members.
func (b *builder) addNetwork(id uint32, row networkRow) {
	if id == 0 {
		for _, m := range row.Members {
			b.note(network0, "%s", nodeName(m))
		}
		return
	}
	n := &network{networkRow: row, members: map[uint32]*member{}}
	for _, m := range row.Members {
		n.members[m] = &member{since: b.at(row.Created)}
	}
	for m, role := range sorted(row.Roles) {
		if n.members[m] == nil {
			n.members[m] = &member{since: b.at(row.Created)}
		}
		n.members[m].role = role
	}
	for m, tags := range sorted(row.Tags) {
		if is := n.members[m]; is != nil {
			is.tags = tags
		}
	}
	b.networks[id] = n
}

// addMemberships adds what a node itself says, which the networks mostly say too.
func (b *builder) addMemberships(id uint32, networks []uint32) {
	for _, in := range networks {
		switch n := b.networks[in]; {
		case in == 0:
			b.note(network0, "%s", nodeName(id))
		case n == nil:
			b.note(strangers, "%s in network %d", nodeName(id), in)
		case n.members[id] == nil:
			n.members[id] = &member{since: b.at(n.Created)}
		}
	}
}

// sizeOf returns how many elements or members a value has; of any other value, 1, and
// of an empty one, 0.
func sizeOf(v jsontext.Value) int {
	d := jsontext.NewDecoder(strings.NewReader(string(v)))
	begin, err := d.ReadToken()
	if err != nil || begin.Kind() != '{' && begin.Kind() != '[' {
		return 1
	}
	n := 0
	for d.PeekKind() != '}' && d.PeekKind() != ']' {
		if begin.Kind() == '{' {
			_, _ = d.ReadToken() // It was decoded before.
		}
		if d.SkipValue() != nil {
			break
		}
		n++
	}
	return n
}
