package program

import (
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/chorus-services/swoosh"
	"github.com/chorus-services/swoosh/client"
	"github.com/chorus-services/swoosh/fleet"
	"github.com/chorus-services/swoosh/noun"
)

func newTrust(a *app) *cobra.Command {
	return a.newGroup("trust", "Give, revoke and list trust between nodes",
		`Two nodes trust each other once both have said so: the first one asks, the second one
answers. An admin, without --dir, says it for both. Only a revoke ends it.`,
		newTrustList(a), newTrustGive(a), newTrustRevoke(a))
}

func newTrustGive(a *app) *cobra.Command {
	var why string
	cmd, _ := newFleetCommand(a, "give NODE PEER", "Say that a node trusts a peer", "Says that NODE trusts PEER. Once both have said so, they trust each other.",
		func(f *fleetCall) error {
			node, peer := f.args[0], f.args[1]
			c := fleet.TrustGive{Node: f.node(0), Peer: f.node(1), Why: noun.Text(why)}
			return f.send("trust.give", c, func(r client.Result) (string, error) {
				_, err := getRow[fleet.Ask](f, "asks", peer+"."+node)
				if client.IsCode(err, client.NotFound) {
					return done("%s and %s trust each other", node, peer)(r)
				}
				return fmt.Sprintf("%s asks %s, who answers with: %s trust give %s %s", node, peer, a.name(), peer, node), err
			})
		})
	cmd.Example = "  {program} trust give n1 n2"
	cmd.Flags().StringVar(&why, "why", "", "why, for the peer that is asked")
	return cmd
}

func newTrustRevoke(a *app) *cobra.Command {
	cmd, _ := newFleetCommand(a, "revoke NODE PEER", "End the trust between two nodes, or decline it", "Ends the trust between two nodes, for both, and what either has asked the other.",
		func(f *fleetCall) error {
			return f.send("trust.revoke", fleet.TrustRevoke{Node: f.node(0), Peer: f.node(1)}, done("%s and %s do not trust each other", f.args[0], f.args[1]))
		})
	return cmd
}

// trustRow is a node's trust of a peer as it is listed.
type trustRow struct {
	Peer  string       `json:"peer"`
	Trust string       `json:"trust"`
	Since swoosh.Stamp `json:"since"`
	Why   string       `json:"why,omitzero"`
}

// How a node and a peer stand.
const (
	trustMutual = "mutual"
	trustAsks   = "asks"  // the peer asks the node
	trustAsked  = "asked" // the node asked the peer
)

func newTrustList(a *app) *cobra.Command {
	cmd, _ := newFleetCommand(a, "list NODE", "List whom a node trusts, whom it asked, and who asks it",
		`Lists the peers of a node. The trust is mutual, or NODE asked the peer, or the peer
asks NODE, which answers with "{program} trust give" or declines with revoke.`,
		func(f *fleetCall) error {
			if _, err := getRow[fleet.Node](f, "nodes", f.args[0]); err != nil {
				return f.missing(err, "node "+f.args[0], "nodes")
			}
			now := time.Now()
			list := listing{out: f.out, head: strings.Fields("PEER TRUST SINCE WHY")}
			err := f.peers(f.args[0], func(r trustRow) error {
				if f.out.json {
					return f.out.printJSON(r)
				}
				return list.row(r.Peer, r.Trust, age(r.Since.WallMS, now), r.Why)
			})
			if err != nil || f.out.json {
				return f.app.failed(err)
			}
			return list.flush()
		})
	return cmd
}

// peers calls print with each peer of a node.
func (f *fleetCall) peers(node string, print func(trustRow) error) error {
	for row, err := range client.Rows[fleet.Trust](f.ctx, f.api, "/fleet/trust") {
		if err != nil {
			return err
		}
		if peer, is := other(row.Key, node); is {
			if err := print(trustRow{Peer: peer, Trust: trustMutual, Since: row.Value.Since}); err != nil {
				return err
			}
		}
	}
	for row, err := range client.Rows[fleet.Ask](f.ctx, f.api, "/fleet/asks") {
		if err != nil {
			return err
		}
		asked, asker, _ := strings.Cut(row.Key, ".")
		r := trustRow{Peer: asker, Trust: trustAsks, Since: row.Value.At, Why: string(row.Value.Why)}
		switch node {
		case asker:
			r.Peer, r.Trust = asked, trustAsked
		case asked:
		default:
			continue
		}
		if err := print(r); err != nil {
			return err
		}
	}
	return nil
}
