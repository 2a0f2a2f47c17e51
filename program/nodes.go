package program

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/chorus-services/swoosh/client"
	"github.com/chorus-services/swoosh/fleet"
	"github.com/chorus-services/swoosh/noun"
)

func newNodes(a *app) *cobra.Command {
	var viewer string
	var stale bool
	cmd, f := newFleetCommand(a, "nodes [NODE]", "List the nodes of the fleet, show or change one",
		`Lists the nodes. SEEN is how long ago a node last registered or sent a heartbeat,
HEARD how long ago this server accepted a command that it signed, since the server began.
With NODE it shows that one. Who is in quarantine has the reason at the end of its line.

A private node is shown to the nodes that it trusts, and to those that share a network
with it: --for lists what a node is shown. This hides nothing: whoever may read the
state can list every node.

Nodes are in the order of their numbers, 10 000 at a time; with --json in the order of
the table.`,
		func(f *fleetCall) error {
			if len(f.args) == 1 {
				if viewer != "" || stale {
					return exitf(codeUsage, "--for and --stale are for the list of nodes, and %s is one: leave them out", f.args[0])
				}
				return showNode(f, f.node(0))
			}
			return listNodes(f, fleet.NodeID(viewer), stale)
		})
	cmd.Example = "  {program} nodes\n  {program} nodes --stale --json | jq -r .node"
	cmd.Flags().StringVar(&viewer, "for", "", "list what this `NODE` is shown")
	cmd.Flags().BoolVar(&stale, "stale", false, "list the nodes that were last seen or heard 30 minutes ago, or longer")
	f.completeFlag(cmd, "for", "nodes")
	checked := cmd.Args
	cmd.Args = func(cmd *cobra.Command, args []string) error {
		if err := fleet.NodeID(viewer).Validate(); cmd.Flags().Changed("for") && err != nil {
			return exitf(codeUsage, "--for is %.40q: it %w", viewer, err)
		}
		return checked(cmd, args)
	}
	cmd.AddCommand(newNodesRekey(a), newNodesRemove(a), newNodesHost(a), newNodesTags(a),
		newNodesSwitch(a, "public", "Show a node to every node, or to those it trusts", func(f *fleetCall, on bool) error {
			return f.send("fleet.set_visibility", fleet.SetVisibility{Node: f.node(0), Public: on}, done("%s is %s", f.args[0], choose(on, "public", "private")))
		}),
		newNodesSwitch(a, "exec", "Say whether a node takes tasks", func(f *fleetCall, on bool) error {
			return f.send("fleet.set_task_exec", fleet.SetTaskExec{Node: f.node(0), TaskExec: on}, done("%s takes %s", f.args[0], choose(on, "tasks", "no tasks")))
		}))
	return cmd
}

func choose(first bool, a, b string) string {
	if first {
		return a
	}
	return b
}

func newNodesRekey(a *app) *cobra.Command {
	cmd, _ := newFleetCommand(a, "rekey NODE KEY PROOF", "Give a node the key of the machine that takes its place",
		`Gives a node another key. KEY is the public half, PROOF the signature that shows that
the new machine has the other half: "{program} node join --as NODE" prints both there.
The key of before is refused from then on. It needs the role admin.`,
		func(f *fleetCall) error {
			node := f.node(0)
			row, err := getRow[fleet.Node](f, "nodes", f.args[0])
			if err != nil {
				return f.missing(err, "node "+f.args[0], "nodes")
			}
			c := fleet.RotateKey{Node: node, OldKey: row.Key, PublicKey: fleet.PublicKey(f.args[1]), Proof: fleet.Signature(f.args[2])}
			if err := c.PublicKey.Validate(); err != nil {
				return exitf(codeUsage, "KEY %w", err)
			}
			if err := c.Proof.Validate(); err != nil {
				return exitf(codeUsage, "PROOF %w", err)
			}
			if c.Validate() != nil {
				return exitf(codeUsage, "PROOF is not for the key that %s has now, %.12s…: let the new machine print both again", node, row.Key)
			}
			return f.send("fleet.rotate_key", c, done("%s signs with %.12s… now, key number %d; the old one is refused", node, c.PublicKey, row.Keys+1))
		})
	return cmd
}

func newNodesRemove(a *app) *cobra.Command {
	var reason string
	cmd, _ := newFleetCommand(a, "remove NODE", "Take a node out of the fleet",
		`Takes a node out. Its hostname is free then. Its key, its trust and its networks stay:
if it registers again, it is the node that it was.`,
		func(f *fleetCall) error {
			return f.send("fleet.deregister", fleet.Deregister{Node: f.node(0), Reason: noun.Text(reason)},
				done("%s deregistered; registering again brings it back", f.args[0]))
		})
	cmd.Flags().StringVar(&reason, "reason", "", "why, for those who read the log")
	return cmd
}

func newNodesHost(a *app) *cobra.Command {
	cmd, _ := newFleetCommand(a, "host NODE [HOSTNAME]", "Give a node a hostname, or none",
		"Gives a node a hostname. Without HOSTNAME it has none.",
		func(f *fleetCall) error {
			c, said := fleet.SetHostname{Node: f.node(0)}, done("%s has no hostname", f.args[0])
			if len(f.args) == 2 {
				c.Hostname, said = fleet.Hostname(f.args[1]), done("%s is %s", f.args[0], f.args[1])
			}
			return f.send("fleet.set_hostname", c, said)
		})
	return cmd
}

func newNodesTags(a *app) *cobra.Command {
	cmd, _ := newFleetCommand(a, "tags NODE [TAG...]", "Replace the tags of a node",
		"Replaces the tags of a node. Without TAG it has none.",
		func(f *fleetCall) error {
			c := fleet.SetTags{Node: f.node(0), Tags: tagsOf(f.args[1:])}
			return f.send("fleet.set_tags", c, done("%s has %s", f.args[0], tagsText(c.Tags)))
		})
	return cmd
}

func tagsOf(words []string) (tags fleet.Tags) {
	for _, w := range words {
		tags = append(tags, fleet.Tag(w))
	}
	return tags
}

func tagsText(tags fleet.Tags) string {
	if len(tags) == 0 {
		return "no tags"
	}
	return "the tags " + join(tags)
}

// newNodesSwitch returns a command that switches something of a node on or off.
func newNodesSwitch(a *app, name, short string, set func(*fleetCall, bool) error) *cobra.Command {
	cmd, _ := newFleetCommand(a, name+" NODE true|false", short, short+".", func(f *fleetCall) error {
		on, _ := strconv.ParseBool(f.args[1]) // It was checked.
		return set(f, on)
	})
	checked := cmd.Args
	cmd.Args = func(cmd *cobra.Command, args []string) error {
		if len(args) == 2 && args[1] != "true" && args[1] != "false" {
			return exitf(codeUsage, "%.40q is neither true nor false: %s", args[1], cmd.UseLine())
		}
		return checked(cmd, args)
	}
	return cmd
}

// showNode prints a node.
func showNode(f *fleetCall, id fleet.NodeID) error {
	row, err := getRow[rawRow[fleet.Node]](f, "nodes", string(id))
	if err != nil {
		return f.missing(err, "node "+string(id), "nodes")
	}
	n := nodeRow{id: string(id), Node: row.value, raw: row.raw}
	seen, err := getRow[fleet.Seen](f, "seen", string(id))
	if err != nil && !client.IsCode(err, client.NotFound) { // Who is deregistered is not seen.
		return f.app.failed(err)
	}
	n.seen = seen.At
	p := heard{fleetCall: f, limit: 1}
	if n.heard, err = p.of(n.id); err != nil {
		return err
	}
	stops, err := f.stops()
	if err != nil {
		return err
	}
	n.markStopped(stops)
	now := time.Now()
	expires := ""
	if n.KeyExpires != 0 {
		expires = ", expires " + time.UnixMilli(int64(n.KeyExpires)).UTC().Format(time.RFC3339)
	}
	fields := []string{
		"node", n.id, "phase", fmt.Sprintf("%s since %s", n.Phase, n.Since.Time().Format(time.RFC3339)), "reason", string(n.Reason), "quarantine", n.quarantine(),
		"hostname", string(n.Hostname), "owner", string(n.Owner), "seen", age(n.seen.WallMS, now), "heard", age(n.heard, now),
		"version", string(n.Version), "tags", join(n.Tags), "addresses", join(n.Addresses), "LAN", join(n.LANAddresses),
		"relay only", strings.TrimPrefix(fmt.Sprint(n.RelayOnly), "false"), "external id", string(n.ExternalID),
		"public", fmt.Sprint(n.Public), "takes tasks", fmt.Sprint(n.TaskExec),
		"key", fmt.Sprintf("%s, number %d%s", n.Key, n.Keys, expires), "registered", n.Registered.Time().Format(time.RFC3339),
	}
	for i, text := range fields {
		fields[i] = printable(text)
	}
	return f.out.print(n.json(), fields...)
}
