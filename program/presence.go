package program

import (
	"slices"
	"sync"
	"time"

	"github.com/tidwall/btree"

	"github.com/chorus-services/swoosh"
	"github.com/chorus-services/swoosh/fleet"
)

// hasFleet reports whether a program has the domain of the fleet.
func hasFleet(parts []swoosh.Part) bool { return slices.Contains(parts, swoosh.Part(fleet.Domain)) }

// moment is a time by two clocks: the wall clock, which may jump, and one that only
// goes on.
type moment struct {
	wallMS int64
	up     time.Duration // since the process began
}

// clocks returns the machine's clocks.
func clocks() (now func() moment) {
	began := time.Now()
	return func() moment { return moment{time.Now().UnixMilli(), time.Since(began)} }
}

// presence is when each node was last heard: when a command that it signed was accepted.
// It is memory alone, of this process.
type presence struct {
	now   func() moment
	since int64 // Unix ms

	mu    sync.Mutex
	heard btree.Map[fleet.NodeID, moment]
}

func newPresence(now func() moment) *presence { return &presence{now: now, since: now().wallMS} }

// verified notes the node that signed a command. A key that signs for itself is one, if it
// is a node's: others could be made without end.
func (p *presence) verified(v swoosh.View, by swoosh.Signed) {
	node := fleet.NodeID(by.Command.Signer)
	if by.Command.Signer == by.Key {
		s, _ := fleet.Domain.Find(v)
		key, known := s.Keys.Get(fleet.PublicKey(by.Key))
		if !known || !key.Until.IsZero() {
			return
		}
		node = key.Node
	}
	now := p.now()
	p.mu.Lock()
	defer p.mu.Unlock()
	p.heard.Set(node, now)
}

// last returns when a node was last heard.
func (p *presence) last(node fleet.NodeID) (at moment, ok bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.heard.Get(node)
}

// page returns up to limit nodes whose names come after one.
func (p *presence) page(after string, limit int) swoosh.Presence {
	answer := swoosh.Presence{Since: p.since, Heard: map[string]int64{}}
	last := ""
	p.mu.Lock()
	defer p.mu.Unlock()
	p.heard.Ascend(fleet.NodeID(after), func(node fleet.NodeID, at moment) bool {
		switch {
		case string(node) == after:
			return true
		case len(answer.Heard) == limit:
			answer.Next = last
			return false
		}
		last = string(node)
		answer.Heard[last] = at.wallMS
		return true
	})
	return answer
}
