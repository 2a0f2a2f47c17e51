package approval

import (
	"slices"

	"github.com/chorus-services/swoosh"
	"github.com/chorus-services/swoosh/fleet"
)

// Give is what a node says to a command that was asked for: yes, or no. It may say
// something else later. To say the same once more changes nothing.
//
// Refused with NotFound if nobody asked, with Forbidden if another node signed it, and with
// Conflict if the ask is past, or if no rule of the command asks for the word of the node.
type Give struct {
	Content Hash         `json:"content"`
	Node    fleet.NodeID `json:"node"`
	Approve bool         `json:"approve"`
}

// Check refuses a node that is not asked.
func (c Give) Check(v swoosh.View) error {
	s := Domain.Of(v)
	asked, ok := s.Asks.Get(c.Content)
	if !ok {
		return notAsked(c.Content)
	}
	if by := v.Command().Signer; by != string(c.Node) {
		return swoosh.Errorf(swoosh.Forbidden, "%s signed this, but only %s itself may do it", by, c.Node)
	}
	if asked.isPast(v.At()) {
		return swoosh.Errorf(swoosh.Conflict, "%.12s… was asked more than 24 hours ago: let it be asked anew", c.Content)
	}
	command, err := resolve(v, asked.Content)
	if err != nil {
		return swoosh.Errorf(swoosh.Conflict, "%.12s… cannot be sent any more: %w", c.Content, err)
	}
	if !slices.ContainsFunc(s.needs(command), func(n need) bool { return n.counts(v, c.Node) }) {
		return swoosh.Errorf(swoosh.Conflict, "%s is not one of those whose approval %s needs: GET /state?path=/approval/rules says whose", c.Node, command.Name)
	}
	return nil
}

// Apply stores what the node said.
func (c Give) Apply(s *State, at swoosh.Stamp) {
	key := approvalKey(c.Content, c.Node)
	if said, ok := s.Approvals.Get(key); !ok || said.Approve != c.Approve {
		s.Approvals.Put(key, Approval{c.Approve, at})
	}
}
