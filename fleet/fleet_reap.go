package fleet

import (
	"github.com/chorus-services/swoosh"
	"github.com/chorus-services/swoosh/noun"
)

// reapAfter is how long a node must not have been seen, in ms: 30 minutes.
const reapAfter = 30 * 60 * 1000

// Reap puts nodes aside that were last seen before a time. It passes over those that
// are not active, or were seen since.
//
// Refused with NotFound if there is no node of that id, and with Conflict if the time is
// less than 30 minutes before the stamp.
type Reap struct {
	Before noun.MS           `json:"before"`
	Nodes  noun.List[NodeID] `json:"nodes"`
}

// Check refuses a time that is too late.
func (c Reap) Check(v swoosh.View) error {
	for _, id := range c.Nodes {
		if _, err := findNode(v, "nodes", id); err != nil {
			return err
		}
	}
	if latest := int64(v.At().WallMS) - reapAfter; int64(c.Before) > latest {
		return swoosh.Errorf(swoosh.Conflict, "before is %d, and must be at most %d, which is 30 minutes ago by the log's clock", c.Before, latest)
	}
	return nil
}

// Apply moves the nodes.
func (c Reap) Apply(s *State, at swoosh.Stamp) {
	for _, id := range c.Nodes {
		n, _ := s.Nodes.Get(id)
		if seen, _ := s.Seen.Get(id); n.Phase == Active && seen.At.WallMS < uint64(c.Before) {
			n.enter(Reaped, at)
			s.Nodes.Put(id, n)
		}
	}
}
