package fleet

import "github.com/chorus-services/swoosh"

// SetTaskExec says whether a node takes tasks.
//
// Refused with Forbidden if another node signed it.
type SetTaskExec struct {
	Node     NodeID `json:"node"`
	TaskExec bool   `json:"task_exec"`
}

// Phase returns the node's phase.
func (c SetTaskExec) Phase(v swoosh.View) (string, error) { return nodePhase(v, c.Node) }

// Check refuses a signer that is another node.
func (c SetTaskExec) Check(v swoosh.View) error { return bySelf(v, c.Node) }

// Apply sets it.
func (c SetTaskExec) Apply(s *State, _ swoosh.Stamp) {
	s.change(c.Node, func(n *Node) { n.TaskExec = c.TaskExec })
}
