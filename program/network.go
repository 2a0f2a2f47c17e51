package program

import (
	"cmp"
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/chorus-services/swoosh/client"
	"github.com/chorus-services/swoosh/fleet"
	"github.com/chorus-services/swoosh/noun"
)

func newNetwork(a *app) *cobra.Command {
	return a.newGroup("network", "Create, change, join and list networks",
		`A network is a group of nodes with one owner. Its members see each other. Who may join
is decided by its way of joining: anybody if it is open, who has its token, or who is
invited; an invitation counts in each.`,
		newNetworkList(a), newNetworkCreate(a), newNetworkSet(a), newNetworkDelete(a), newNetworkJoin(a), newNetworkLeave(a),
		newNetworkInvite(a), newNetworkKick(a), newNetworkRole(a), newNetworkTags(a))
}

// networkFlags are what a network is created with, or set to.
type networkFlags struct {
	name, join string
	maxMembers uint32
}

const maxMembersMost = 1_000_000

func (n *networkFlags) add(cmd *cobra.Command, name, join string, defaults string) {
	cmd.Flags().StringVar(&n.name, "name", "", "name of the network, for people (default: "+name+")")
	cmd.Flags().StringVar(&n.join, "join", join, "who may join: open, token or invite"+defaults)
	cmd.Flags().Uint32Var(&n.maxMembers, "max-members", 0, "the most members it may have (default: 10000)")
	bound(cmd.Flags(), "max-members", &n.maxMembers, 1, maxMembersMost)
	words(cmd, "join", "open", "token", "invite")
}

// words makes a flag complete these words.
func words(cmd *cobra.Command, flag string, words ...string) {
	_ = cmd.RegisterFlagCompletionFunc(flag, cobra.FixedCompletions(words, cobra.ShellCompDirectiveNoFileComp)) // It is there.
}

func newNetworkCreate(a *app) *cobra.Command {
	var n networkFlags
	var owner string
	cmd, f := newFleetCommand(a, "create NETWORK", "Create a network",
		`Creates a network. Its owner is the node of --dir, or an admin names one with --owner.

With --join token it makes a token and shows it once: who has it may join. The server
never sees it, so nobody can find it there.`,
		func(f *fleetCall) error {
			node, err := f.self("--owner", owner)
			if err != nil {
				return err
			}
			c := fleet.NetworkCreate{Network: f.network(0), Name: noun.Name(cmp.Or(n.name, f.args[0])), Owner: node, Join: fleet.Join(n.join), MaxMembers: fleet.MaxMembers(n.maxMembers)}
			var token joinToken
			if c.Join == fleet.JoinToken {
				token, c.JoinKey = newJoinToken()
			}
			result, err := f.api.Do(f.ctx, client.Command{Name: "network.create", Payload: c})
			return f.sentWithToken(result, err, token, done("network %s, owner %s", c.Network, node))
		})
	cmd.Example = "  {program} network create build --owner n1 --join token"
	n.add(cmd, "its id", string(fleet.JoinInvite), "")
	cmd.Flags().StringVar(&owner, "owner", "", "the `NODE` that owns it (default: that of --dir)")
	f.completeFlag(cmd, "owner", "nodes")
	return cmd
}

func newNetworkSet(a *app) *cobra.Command {
	var n networkFlags
	cmd, f := newFleetCommand(a, "set NETWORK", "Change a network's name, and who may join it", "", nil)
	cmd.Long = `Changes what its flags name, and leaves the rest. --join token makes a new token, and
shows it once: the one of before is worth nothing then. Members stay members.`
	f.run = func(f *fleetCall) error {
		if n == (networkFlags{}) {
			return exitf(codeUsage, "say what to change: --name, --join or --max-members")
		}
		var token joinToken
		result, err := client.Update(f.ctx, f.api, "/fleet/networks/"+f.args[0], func(is *fleet.Network) (client.Command, error) {
			if is == nil {
				return client.Command{}, exitf(codeFailed, "there is no network %s: %s network list lists those that there are", f.args[0], a.name())
			}
			c := fleet.NetworkSet{
				Network: f.network(0), Name: cmp.Or(noun.Name(n.name), is.Name), Join: cmp.Or(fleet.Join(n.join), is.Join), JoinKey: is.JoinKey,
				MaxMembers: fleet.MaxMembers(cmp.Or(n.maxMembers, is.MaxMembers)),
			}
			switch {
			case n.join == string(fleet.JoinToken):
				token, c.JoinKey = newJoinToken()
			case n.join != "":
				c.JoinKey = ""
			}
			return client.Command{Name: "network.set", Payload: c}, nil
		})
		return f.sentWithToken(result, err, token, done("network %s is as you say", f.args[0]))
	}
	n.add(cmd, "as it was", "", " (default: as it was)")
	return cmd
}

// sentWithToken is sent, and shows a token that was made, if there is one.
func (f *fleetCall) sentWithToken(result client.Result, err error, token joinToken, say func(client.Result) (string, error)) error {
	var e *client.Error
	switch unknown := errors.As(err, &e) && e.Happened == client.Unknown; {
	case token == "" || err != nil && !unknown:
		return f.sent(result, err, say)
	case unknown:
		fmt.Fprintf(f.app.err, "the token, if it is done: %s\n", token)
		return f.sent(result, err, say)
	case f.out.json:
		return f.out.printJSON(struct {
			client.Result
			Token joinToken `json:"join_token"`
		}{result, token})
	}
	return f.sent(result, nil, func(r client.Result) (string, error) {
		text, err := say(r)
		return fmt.Sprintf("%s; who has this may join, it is shown only now: %s", text, token), err
	})
}

func newNetworkDelete(a *app) *cobra.Command {
	cmd, _ := newFleetCommand(a, "delete NETWORK", "End a network for good", "Ends a network. It stays readable, and its id is not used again.",
		func(f *fleetCall) error {
			return f.send("network.delete", fleet.NetworkDelete{Network: f.network(0)}, done("network %s is deleted, and its id stays taken", f.args[0]))
		})
	return cmd
}

func newNetworkInvite(a *app) *cobra.Command {
	var role string
	cmd, _ := newFleetCommand(a, "invite NETWORK NODE", "Invite a node", "Invites a node for 30 days. It accepts with join, and declines with leave.",
		func(f *fleetCall) error {
			return f.send("network.invite", fleet.NetworkInvite{Network: f.network(0), Node: f.node(1), Role: fleet.Role(role)},
				done("%s is invited for 30 days; it accepts with: %s network join %s --dir DIR", f.args[1], a.name(), f.args[0]))
		})
	cmd.Flags().StringVar(&role, "role", string(fleet.RoleMember), "what it will be: admin or member")
	words(cmd, "role", "admin", "member")
	return cmd
}

func newNetworkKick(a *app) *cobra.Command {
	var reason string
	cmd, _ := newFleetCommand(a, "kick NETWORK NODE", "Remove a member", "Removes a member.",
		func(f *fleetCall) error {
			return f.send("network.kick", fleet.NetworkKick{Network: f.network(0), Node: f.node(1), Reason: noun.Text(reason)},
				done("%s is out of network %s", f.args[1], f.args[0]))
		})
	cmd.Flags().StringVar(&reason, "reason", "", "why, for those who read the log")
	return cmd
}

func newNetworkRole(a *app) *cobra.Command {
	cmd, _ := newFleetCommand(a, "role NETWORK NODE ROLE", "Change a member's role", "Makes a member the owner, an admin or a member again. The owner of before becomes an admin.",
		func(f *fleetCall) error {
			return f.send("network.set_role", fleet.NetworkSetRole{Network: f.network(0), Node: f.node(1), Role: fleet.Role(f.args[2])},
				done("%s is %s of network %s", f.args[1], f.args[2], f.args[0]))
		})
	rows := cmd.ValidArgsFunction
	cmd.ValidArgsFunction = func(cmd *cobra.Command, args []string, word string) ([]string, cobra.ShellCompDirective) {
		if len(args) == 2 {
			return []string{"owner", "admin", "member"}, cobra.ShellCompDirectiveNoFileComp
		}
		return rows(cmd, args, word)
	}
	return cmd
}

func newNetworkTags(a *app) *cobra.Command {
	cmd, _ := newFleetCommand(a, "tags NETWORK NODE [TAG...]", "Replace the tags of a member", "Replaces the tags that a node has in a network. Without TAG it has none there.",
		func(f *fleetCall) error {
			c := fleet.NetworkSetTags{Network: f.network(0), Node: f.node(1), Tags: tagsOf(f.args[2:])}
			return f.send("network.set_tags", c, done("%s has %s in network %s", f.args[1], tagsText(c.Tags), f.args[0]))
		})
	return cmd
}
