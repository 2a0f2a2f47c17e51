package program

import (
	"cmp"
	"fmt"
	"iter"
	"strings"
	"time"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/chorus-services/swoosh"
	"github.com/chorus-services/swoosh/client"
	"github.com/chorus-services/swoosh/fleet"
	"github.com/chorus-services/swoosh/system"
)

// nodeRow is a node as it is listed.
type nodeRow struct {
	fleet.Node
	id    string
	seen  swoosh.Stamp // zero: it is deregistered
	heard uint64       // ms; 0: not by this process
	raw   jsontext.Value

	stopped system.Scope // in quarantine: the node, or its owner; empty: neither
	stop    system.Stop
}

// quarantine says whether and why a node is in quarantine.
func (n *nodeRow) quarantine() string {
	text := ""
	if n.stopped != "" {
		text = "QUARANTINED"
	}
	if n.stop.Reason != "" {
		text += ": " + string(n.stop.Reason)
	}
	if owner, ok := strings.CutPrefix(string(n.stopped), "owner:"); ok {
		text += " (owner " + owner + ")"
	}
	return text
}

func (n *nodeRow) json() jsontext.Value {
	members := fmt.Sprintf(`"node":%s`, quoted(n.id))
	if !n.seen.IsZero() {
		members += fmt.Sprintf(`,"seen":%s`, quoted(n.seen.String()))
	}
	if n.heard != 0 {
		members += fmt.Sprintf(`,"heard":%d`, n.heard)
	}
	if n.stopped != "" {
		members += fmt.Sprintf(`,"quarantined":{"scope":%s,"reason":%s}`, quoted(string(n.stopped)), quoted(string(n.stop.Reason)))
	}
	return withKey(n.raw, members)
}

// staleAfter is after how long the hub puts nodes aside that are not seen.
const staleAfter = 30 * time.Minute

// isStale reports whether a node should have been seen since.
func (n *nodeRow) isStale(now time.Time) bool {
	last := time.UnixMilli(int64(max(n.seen.WallMS, n.heard)))
	return n.Phase != fleet.Deregistered && now.Sub(last) >= staleAfter
}

// heard says when the server heard nodes, which are asked for in the order of their ids.
type heard struct {
	*fleetCall
	limit int // of a page
	page  client.Presence
	begun bool
	none  bool // the server says nothing about it
}

// of returns when a node was heard, in ms, and 0 if it was not.
func (p *heard) of(id string) (uint64, error) {
	for !p.none && (!p.begun || p.page.Next != "" && id > p.page.Next) {
		page, err := p.api.Presence(p.ctx, cmp.Or(p.page.Next, before(id)), p.limit)
		switch {
		case client.IsCode(err, client.NotFound): // A server of before.
			p.none = true
		case err != nil:
			return 0, p.app.failed(err)
		}
		p.page, p.begun = page, true
	}
	return p.page.Heard[id], nil
}

// nodes yields the nodes in the order of the table, with when they were seen and heard.
// It reads these three at once, and holds none of them.
func (f *fleetCall) nodes(p *heard) iter.Seq2[nodeRow, error] {
	return func(yield func(nodeRow, error) bool) {
		next, stop := iter.Pull2(client.Rows[fleet.Seen](f.ctx, f.api, "/fleet/seen"))
		defer stop()
		seen, err, more := next()
		for row, failed := range client.Rows[rawRow[fleet.Node]](f.ctx, f.api, "/fleet/nodes") {
			n := nodeRow{id: row.Key, Node: row.Value.value, raw: row.Value.raw}
			for err = cmp.Or(failed, err); err == nil && more && seen.Key < n.id; {
				seen, err, more = next()
			}
			if more && seen.Key == n.id {
				n.seen = seen.Value.At
			}
			if err == nil {
				n.heard, err = p.of(n.id)
			}
			if !yield(n, err) || err != nil {
				return
			}
		}
	}
}

// stops returns the scopes that are in quarantine. There are few.
func (f *fleetCall) stops() (map[system.Scope]system.Stop, error) {
	all := map[system.Scope]system.Stop{}
	for row, err := range client.Rows[system.Stop](f.ctx, f.api, "/policy/scopes") {
		if client.IsCode(err, client.NotFound) { // A server of before.
			return nil, nil
		}
		if err != nil {
			return nil, f.app.failed(err)
		}
		all[system.Scope(row.Key)] = row.Value
	}
	return all, nil
}

// markStopped notes why a node may not speak, if it or its owner may not.
func (n *nodeRow) markStopped(stops map[system.Scope]system.Stop) {
	for _, scope := range []system.Scope{system.Scope("owner:" + n.Owner), system.Scope("node:" + n.id)} {
		if stop, ok := stops[scope]; ok {
			n.stopped, n.stop = scope, stop
		}
	}
}

// listNodes prints the nodes: all, or those that a viewer is shown, or the stale ones.
func listNodes(f *fleetCall, viewer fleet.NodeID, stale bool) error {
	var shown func(*nodeRow) bool
	if viewer != "" {
		near, err := f.near(string(viewer))
		if err != nil {
			return err
		}
		shown = func(n *nodeRow) bool { return n.Public || near[n.id] }
	}
	stops, err := f.stops()
	if err != nil {
		return err
	}
	now, count := time.Now(), map[string]int{}
	p := &heard{fleetCall: f, limit: laidOutTogether}
	list := listing{out: f.out, head: append(strings.Fields("NODE HOST OWNER PHASE SEEN HEARD VERSION TAGS"), "")}
	for n, err := range f.nodes(p) {
		if err != nil {
			return f.app.failed(err)
		}
		if stale && !n.isStale(now) || shown != nil && !shown(&n) {
			continue
		}
		count[n.Phase]++
		n.markStopped(stops)
		if f.out.json {
			err = f.out.printJSON(n.json())
		} else {
			err = list.row(n.id, string(n.Hostname), string(n.Owner), n.Phase,
				age(n.seen.WallMS, now), age(n.heard, now), string(n.Version), join(n.Tags), n.quarantine())
		}
		if err != nil {
			return err
		}
	}
	if f.out.json {
		return nil
	}
	if err := list.flush(); err != nil {
		return err
	}
	_, err = fmt.Fprintln(f.out, summary(count, p.page.Since))
	return err
}

// summary counts the nodes by their phases.
func summary(count map[string]int, since int64) string {
	total, phases := 0, ""
	for _, phase := range []string{fleet.Active, fleet.Reaped, fleet.Deregistered} {
		if n := count[phase]; n > 0 {
			phases += fmt.Sprintf(", %d %s", n, strings.ToLower(phase))
			total += n
		}
	}
	text := fmt.Sprintf("%d nodes", total)
	if total == 1 {
		text = "1 node"
	}
	if total > 0 {
		text += ": " + phases[2:]
	}
	if since != 0 {
		text += "; heard since " + time.UnixMilli(since).UTC().Format("2006-01-02 15:04Z")
	}
	return text
}

// near returns the nodes that a viewer is shown even if they are private: itself, those
// that it trusts, and those that share a network with it.
func (f *fleetCall) near(viewer string) (map[string]bool, error) {
	if _, err := getRow[fleet.Node](f, "nodes", viewer); err != nil {
		return nil, f.missing(err, "node "+viewer, "nodes")
	}
	near := map[string]bool{viewer: true}
	for row, err := range client.Rows[fleet.Trust](f.ctx, f.api, "/fleet/trust") {
		if err != nil {
			return nil, f.app.failed(err)
		}
		if peer, is := other(row.Key, viewer); is {
			near[peer] = true
		}
	}
	joined, err := f.networksOf(viewer)
	if err != nil {
		return nil, err
	}
	for row, err := range client.Rows[struct{}](f.ctx, f.api, "/fleet/members") {
		if err != nil {
			return nil, f.app.failed(err)
		}
		if network, node, _ := strings.Cut(row.Key, "."); joined[network] {
			near[node] = true
		}
	}
	return near, nil
}

// networksOf returns the networks that a node is in and that there still are.
func (f *fleetCall) networksOf(node string) (map[string]bool, error) {
	active, in := map[string]bool{}, map[string]bool{}
	for row, err := range client.Rows[fleet.Network](f.ctx, f.api, "/fleet/networks") {
		if err != nil {
			return nil, f.app.failed(err)
		}
		active[row.Key] = row.Value.Phase == fleet.NetworkActive
	}
	for row, err := range client.Rows[struct{}](f.ctx, f.api, "/fleet/members") {
		if err != nil {
			return nil, f.app.failed(err)
		}
		if network, member, _ := strings.Cut(row.Key, "."); member == node && active[network] {
			in[network] = true
		}
	}
	return in, nil
}

// other returns the other one of two nodes joined by a dot, if one of them is node.
func other(pair, node string) (string, bool) {
	a, b, _ := strings.Cut(pair, ".")
	switch node {
	case a:
		return b, true
	case b:
		return a, true
	}
	return "", false
}
