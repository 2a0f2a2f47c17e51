package program

import (
	"context"
	"log/slog"
	"slices"
	"time"

	"github.com/chorus-services/swoosh"
	"github.com/chorus-services/swoosh/fleet"
	"github.com/chorus-services/swoosh/noun"
)

const (
	reapEvery  = time.Minute
	silentMost = 30 * time.Minute // for which a node may not be seen
	reapMost   = 1000             // nodes of one command
)

// reaper puts nodes aside that were not seen for 30 minutes.
type reaper struct {
	now   func() moment
	heard *presence
	log   *slog.Logger

	taking time.Duration // since when the hub takes commands without a break, as moment.up
	looked time.Duration // when it looked last
}

func newReaper(heard *presence, log *slog.Logger) *reaper {
	up := heard.now().up
	return &reaper{now: heard.now, heard: heard, log: log, taking: up, looked: up}
}

// due returns the active nodes that were not seen for long. It leaves out those that this
// process has heard: they were seen, and the wall clock has jumped since. It waits until the hub has taken commands for as long: before, nodes had
// nobody to be seen by.
func (r *reaper) due(s fleet.State, now moment) (nodes []fleet.NodeID) {
	if now.up-r.taking < silentMost {
		return nil
	}
	for node, seen := range s.Seen.All() {
		if int64(seen.At.WallMS) >= now.silentSince() {
			continue
		}
		at, known := r.heard.last(node)
		if n, _ := s.Nodes.Get(node); n.Phase == fleet.Active && (!known || now.up-at.up >= silentMost) {
			nodes = append(nodes, node)
		}
	}
	return nodes
}

// silentSince is the time, in Unix ms, since when a node was not seen that is to be reaped.
func (m moment) silentSince() int64 { return m.wallMS - silentMost.Milliseconds() }

// run looks each minute until ctx ends.
func (r *reaper) run(ctx context.Context, e *swoosh.Engine) {
	tick := time.NewTicker(reapEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			r.look(ctx, e)
		}
	}
}

// look reaps what is due. It begins to wait anew if commands are refused, and if the
// process itself stood still.
func (r *reaper) look(ctx context.Context, e *swoosh.Engine) {
	now, before := r.now(), r.looked
	r.looked = now.up
	s := fleet.Domain.Of(e.View())
	if now.up-before > 2*reapEvery || !takesCommands(ctx, e, s) {
		r.taking = now.up
	}
	for nodes := range slices.Chunk(r.due(s, now), reapMost) {
		if _, err := e.Submit(ctx, reap(now, nodes)); err != nil {
			r.log.Warn("nodes that were not seen for long could not be reaped", "nodes", len(nodes), "why", err)
			return
		}
		r.log.Info("nodes were reaped", "nodes", len(nodes))
	}
}

func reap(now moment, nodes []fleet.NodeID) swoosh.Request {
	return swoosh.Request{
		Command: "fleet.reap", Actor: "hub",
		Payload: fleet.Reap{Before: noun.MS(now.silentSince()), Nodes: nodes},
	}
}

// takesCommands reports whether the hub would take a command that reaps a node, be it
// due or not: no gate, full disk or fault refuses it.
func takesCommands(ctx context.Context, e *swoosh.Engine, s fleet.State) bool {
	for node := range s.Nodes.All() {
		_, err := e.DryRun(ctx, reap(moment{wallMS: silentMost.Milliseconds() + 1}, []fleet.NodeID{node}))
		return err == nil
	}
	return true
}
