package agent

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"time"

	"github.com/chorus-services/swoosh/client"
)

// attend looks at the hub and keeps up with it, by turns. It returns why that ended, and
// whether the node was up meanwhile.
func (n *Node) attend(ctx context.Context) (up bool, err error) {
	for err == nil {
		var at position
		if at, err = n.look(ctx); err == nil {
			up = true
			err = n.keep(ctx, at)
		}
	}
	return up, err
}

// keep follows the hub's log from a position on and says that the node is there. It returns
// nil when it is time to look again.
func (n *Node) keep(ctx context.Context, at position) error {
	f := n.follow(ctx, at)
	defer f.stop()
	polls := false
	due := n.o.after(n.beat.Sub(n.o.now()))
	for {
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case err := <-n.trouble:
			return n.refusedBy(err)
		case e := <-f.entries:
			n.heard(e.Index, e.HLC)
			if n.concerns(e) {
				return nil
			}
		case <-due:
			if err := n.heartbeat(ctx); err != nil {
				return n.refusedBy(err)
			}
			if polls {
				return nil
			}
			n.say(following, "") // The log is followed since the last one.
			due = n.o.after(n.beat.Sub(n.o.now()))
		case err := <-f.ended:
			switch {
			case isOf(err, client.Overloaded):
				polls = true
				n.say(following, "the hub lets no more nodes follow its log: what changes is noticed with the heartbeats")
			case isOf(err, client.Compacted, client.HistoryChanged, client.NotFound):
				return nil
			default:
				return err
			}
		}
	}
}

func isOf(err error, codes ...string) bool {
	return slices.ContainsFunc(codes, func(code string) bool { return client.IsCode(err, code) })
}

// refusedBy keeps an error that look is to explain. It returns the others.
func (n *Node) refusedBy(err error) error {
	if isRefusal(err) || client.IsCode(err, client.Conflict) {
		n.refused = err
		return nil
	}
	return err
}

// heartbeat is the payload of fleet.heartbeat.
type heartbeat struct {
	Node    string `json:"node"`
	Session string `json:"session"`
	Seen    string `json:"seen"`
}

// heartbeat posts that the node is there. Conflict means that an earlier one landed, or that
// another program has the node's place.
func (n *Node) heartbeat(ctx context.Context) error {
	command := client.Command{Name: "fleet.heartbeat", Payload: heartbeat{n.ID(), n.session, n.seen}, Fenced: true}
	result, err := n.post(ctx, n.may.api, &command)
	if err != nil && !client.IsCode(err, client.Conflict) {
		return err
	}
	n.alive()
	n.warn()
	if err == nil {
		n.heard(result.Index, result.HLC)
	}
	return err
}

// alive notes that the hub has seen the node, and when it is to see it again.
func (n *Node) alive() {
	now := n.o.now()
	n.beat = now.Add(n.o.around(n.o.Heartbeat))
	n.change(func(s *State) { s.Heartbeat = HeartbeatState{Last: now.UTC(), Next: n.beat.UTC()} })
}

// heard notes how far the hub's log is.
func (n *Node) heard(index uint64, hlc string) {
	n.seen = max(n.seen, hlc)
	n.change(func(s *State) { s.Hub.Reached, s.Hub.Index = n.o.now().UTC(), max(s.Hub.Index, index) })
}

// followed are the commands that may change what the node may do. A node that follows more
// costs its hub more.
var followed = client.OnlyCommands("fleet.register", "fleet.deregister", "fleet.reap", "fleet.rotate_key", "fleet.set_hostname")

// concerns reports whether an entry is about the node, and not its own registration.
func (n *Node) concerns(e client.Entry) bool {
	var about struct {
		Node      string   `json:"node"`
		Nodes     []string `json:"nodes"`
		PublicKey string   `json:"public_key"`
		Session   string   `json:"session"`
	}
	if json.Unmarshal(e.Payload, &about) != nil {
		return false
	}
	s := n.State()
	return about.Node == s.Node || slices.Contains(about.Nodes, s.Node) || about.PublicKey == s.Key.PublicKey && about.Session != n.session
}

// position is a place in the hub's log.
type position struct {
	index uint64
	chain string // of the entry; empty: not known
	hlc   string
}

// follower passes on the entries of the hub's log.
type follower struct {
	entries chan client.Entry
	ended   chan error // why there are no more
	cancel  context.CancelFunc
}

// follow follows the hub's log from after a position on, until the first failure: the
// client's own patience with watches has no end.
func (n *Node) follow(ctx context.Context, at position) *follower {
	ctx, cancel := context.WithCancelCause(ctx)
	f := &follower{make(chan client.Entry), make(chan error, 1), func() { cancel(nil) }}
	hub := n.hub
	n.all.Go(func() { f.ended <- f.run(ctx, cancel, hub, at) })
	return f
}

func (f *follower) stop() { f.cancel() }

func (f *follower) run(ctx context.Context, cancel context.CancelCauseFunc, hub Home, at position) error {
	api, err := hub.connect(client.Retry{Notify: func(why *client.Error, _ time.Duration) { cancel(why) }}, nil)
	if err != nil {
		return err
	}
	defer api.Close()
	for e, err := range api.Watch(ctx, at.index+1, client.AfterChain(at.chain), followed) {
		var why *client.Error
		if errors.As(context.Cause(ctx), &why) {
			return why
		}
		if err != nil {
			return err
		}
		select {
		case f.entries <- e:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	return context.Cause(ctx)
}
