package approval

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/chorus-services/swoosh"
	"github.com/chorus-services/swoosh/fleet"
	"github.com/chorus-services/swoosh/project"
)

// gate refuses a command that too few nodes have approved.
type gate struct{}

// Refuse looks for a rule first, so that a command without one costs nothing.
func (gate) Refuse(s State, v swoosh.View, c swoosh.Command) error {
	needs := s.needs(c)
	if needs == nil {
		return nil
	}
	hash := Hash(c.Content().String())
	asked, ok := s.Asks.Get(hash)
	ok = ok && !asked.isPast(v.At()) && !c.InBatch && c.Key != "" && !c.KeySince.IsZero()
	var lacks, blocked []string
	never := false
	for _, n := range needs {
		var yes []fleet.NodeID
		if ok {
			yes = s.yes(v, hash, n)
		}
		if len(yes) < int(n.Count) {
			never = never || n.isNeverMet(v)
			lacks, blocked = append(lacks, n.lack(v, yes)), append(blocked, fmt.Sprintf("approvals: %d of %d%s", len(yes), n.Count, by(yes)))
		}
	}
	if lacks == nil {
		return nil
	}
	next := fmt.Sprintf("send it again when enough have approved %.12s… with approval.give", hash)
	switch {
	case never:
		next = "the council's rule is never met: end it with approval.lift, or name others who approve with approval.require"
	case c.InBatch:
		next = "approvals are for one command by itself, so send it in no batch"
	case c.Key == "" || c.KeySince.IsZero():
		next = "approvals are for one idempotency_key and key_since, so ask with approval.ask, then send it with both"
	case !ok:
		next = "nobody asks for it, or did so more than 24 hours ago, so ask with approval.ask for exactly this command"
	}
	err := swoosh.Errorf(Needed, "%s needs %s: %s", c.Name, strings.Join(lacks, "; and "), next)
	err.BlockedBy = blocked
	return err
}

// by says in brackets who approved; nothing if nobody did.
func by(yes []fleet.NodeID) string {
	if yes == nil {
		return ""
	}
	names := make([]string, len(yes))
	for i, node := range yes {
		names[i] = string(node)
	}
	return " (" + strings.Join(names, ", ") + ")"
}

// yes returns the nodes that count now and have approved a content, in the order of their
// numbers. It looks for no more than the rule needs.
func (s State) yes(v swoosh.View, content Hash, n need) (nodes []fleet.NodeID) {
	for key, said := range s.Approvals.WithPrefix(approvalKey(content, "")) {
		if node := key.node(); said.Approve && n.counts(v, node) && project.InService(v, node) {
			if nodes = append(nodes, node); len(nodes) == int(n.Count) {
				break
			}
		}
	}
	slices.SortFunc(nodes, func(a, b fleet.NodeID) int { return cmp.Or(cmp.Compare(len(a), len(b)), cmp.Compare(a, b)) })
	return nodes
}
