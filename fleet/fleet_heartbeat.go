package fleet

import "github.com/chorus-services/swoosh"

// Heartbeat says that a node is there. It has no idempotency key, since a large fleet
// would fill the key window: Seen makes sure that it counts once.
//
// Refused with Forbidden if another node signed it, and with Conflict if the node has
// another session, or was seen since: the heartbeat was sent before. A stamp ahead of the log's
// would let it count again.
type Heartbeat struct {
	Node    NodeID       `json:"node"`
	Session Session      `json:"session"`
	Seen    swoosh.Stamp `json:"seen"` // the newest stamp that the node knows
}

// Phase returns the node's phase.
func (c Heartbeat) Phase(v swoosh.View) (string, error) { return nodePhase(v, c.Node) }

// Check refuses a heartbeat that is another's, or an old one.
func (c Heartbeat) Check(v swoosh.View) error {
	if err := bySelf(v, c.Node); err != nil {
		return err
	}
	s := Domain.Of(v)
	n, _ := s.Nodes.Get(c.Node)
	if n.Session != c.Session {
		return swoosh.Errorf(swoosh.Conflict, "%s has registered with another session since: another program has its key", c.Node)
	}
	if c.Seen.After(v.At()) {
		return swoosh.Errorf(swoosh.Conflict, "seen is %s, and the log is at %s: it is the newest stamp of this hub that the node knows", c.Seen, v.At())
	}
	if seen, _ := s.Seen.Get(c.Node); c.Seen.Compare(seen.At) < 0 {
		return swoosh.Errorf(swoosh.Conflict, "%s was seen since: send a heartbeat that says so, with a newer stamp as seen", c.Node)
	}
	return nil
}

// Apply notes when the node was seen.
func (c Heartbeat) Apply(s *State, at swoosh.Stamp) { s.Seen.Put(c.Node, Seen{at}) }
