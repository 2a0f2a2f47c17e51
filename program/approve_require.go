package program

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/chorus-services/swoosh/approval"
	"github.com/chorus-services/swoosh/client"
	"github.com/chorus-services/swoosh/fleet"
	"github.com/chorus-services/swoosh/noun"
)

// approversFlags say what needs approvals, how many, and whose.
type approversFlags struct {
	project, network, role string
	count                  int
	council                bool
	nodes                  []string
}

// approvalsMost is how many approvals a command can need.
const approvalsMost = 100

func newApproveRequire(a *app) *cobra.Command {
	var w approversFlags
	cmd, f := newFleetCall(a, "require COMMAND", "Make a command need approvals",
		`Makes a command need approvals, in every project or in the one of --project; where there
are both, both must be met. It replaces what was required of that command there before.
Who may approve is one of these: the members of the project's council, those of a network,
or those of them with a role, or certain nodes. It needs the role admin.

The council of a project without a network can't sign, so there a rule of the council
refuses the command always. The commands of policy, control, boot, window and approval, and
what nodes do by themselves, can't need approvals.`,
		func(f *fleetCall) error {
			c := approval.Require{
				Command: approval.CommandName(f.args[0]), Project: noun.ID(w.project), Count: approval.Count(w.count),
				Council: approval.True(w.council), Network: noun.ID(w.network), Role: fleet.Role(w.role),
			}
			for _, n := range w.nodes {
				c.Nodes = append(c.Nodes, fleet.NodeID(n))
			}
			return f.send("approval.require", c, done("%s needs %d of %s", ruleName(c.Command, c.Project), w.count, w.who()))
		})
	cmd.Example = `  {program} approve require execution.submit --project alpha --count 2 --council
  {program} approve require fleet.deregister --count 1 --nodes n1,n2`
	flags := cmd.Flags()
	flags.StringVar(&w.project, "project", "", "only in this `PROJECT` (default: in each)")
	flags.IntVar(&w.count, "count", 1, "how many must approve")
	bound(flags, "count", &w.count, 1, approvalsMost)
	flags.BoolVar(&w.council, "council", false, "the members of the project's council approve")
	flags.StringVar(&w.network, "network", "", "the members of this `NETWORK` approve")
	flags.StringVar(&w.role, "role", "", "with --network: only those with this role: owner, admin or member")
	flags.StringSliceVar(&w.nodes, "nodes", nil, "these `NODES` approve, such as n1,n2")
	words(cmd, "role", "owner", "admin", "member")
	f.completeFlag(cmd, "network", "networks")
	checked := cmd.Args
	cmd.Args = func(cmd *cobra.Command, args []string) error {
		if err := checked(cmd, args); err != nil {
			return err
		}
		return w.check(args[0])
	}
	f.completeRule(cmd)
	return cmd
}

// completeRule completes the command of a rule, and its project.
func (f *fleetCall) completeRule(cmd *cobra.Command) {
	cmd.ValidArgsFunction = func(cmd *cobra.Command, args []string, word string) ([]string, cobra.ShellCompDirective) {
		if len(args) > 0 {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		return f.completeCommand(cmd, args, word)
	}
	_ = cmd.RegisterFlagCompletionFunc("project", func(cmd *cobra.Command, _ []string, word string) ([]string, cobra.ShellCompDirective) { // It is there.
		return f.keys(cmd.Context(), "/project/projects", word), cobra.ShellCompDirectiveNoFileComp
	})
}

// who returns in words who may approve.
func (w *approversFlags) who() string {
	switch {
	case w.council:
		return "the council"
	case w.network != "" && w.role != "":
		return fmt.Sprintf("network %s, role %s", w.network, w.role)
	case w.network != "":
		return "network " + w.network
	}
	return strings.Join(w.nodes, ", ")
}

// check fails if the server would refuse the rule for its form.
func (w *approversFlags) check(command string) error {
	sources := 0
	for _, given := range []bool{w.council, w.network != "", len(w.nodes) > 0} {
		if given {
			sources++
		}
	}
	if sources != 1 {
		return exitf(codeUsage, "say who may approve, with one of --council, --network and --nodes")
	}
	if w.role != "" && w.network == "" {
		return exitf(codeUsage, "--role is one in the network of --network: give that too")
	}
	if len(w.nodes) > 0 && len(w.nodes) < w.count {
		return exitf(codeUsage, "--nodes names %d, and --count asks for %d of them: name more, or ask for fewer", len(w.nodes), w.count)
	}
	if err := approval.CommandName(command).Validate(); err != nil {
		return exitf(codeUsage, "COMMAND %w", err)
	}
	return w.checkNames()
}

func (w *approversFlags) checkNames() error {
	for _, given := range []struct {
		flag, value string
		noun        interface{ Validate() error }
	}{
		{"project", w.project, noun.ID(w.project)},
		{"network", w.network, noun.ID(w.network)},
		{"role", w.role, fleet.Role(w.role)},
	} {
		if err := given.noun.Validate(); given.value != "" && err != nil {
			return exitf(codeUsage, "--%s is %.40q: it %w", given.flag, given.value, err)
		}
	}
	for _, n := range w.nodes {
		if err := fleet.NodeID(n).Validate(); err != nil {
			return exitf(codeUsage, "--nodes has %.40q: it %w", n, err)
		}
	}
	return nil
}

func newApproveLift(a *app) *cobra.Command {
	var project string
	cmd, f := newFleetCall(a, "lift COMMAND", "End what approve require began",
		"Ends what \"{program} approve require\" began, for a command in every project, or in that of --project.\nIt needs the role admin.",
		func(f *fleetCall) error {
			c := approval.Lift{Command: approval.CommandName(f.args[0]), Project: noun.ID(project)}
			return f.send("approval.lift", c, done("%s needs no approvals by this rule", ruleName(c.Command, c.Project)))
		})
	cmd.Flags().StringVar(&project, "project", "", "the rule of this `PROJECT` (default: that of each)")
	f.completeRule(cmd)
	return cmd
}

// ruleName returns what a rule is about.
func ruleName(command approval.CommandName, project noun.ID) string {
	if project == "" {
		return string(command)
	}
	return fmt.Sprintf("%s of %s", command, project)
}

func newApproveRules(a *app) *cobra.Command {
	cmd, _ := newFleetCommand(a, "rules", "List what needs approvals, and whose",
		"Lists the commands that need approvals, in which project, how many, and whose.",
		func(f *fleetCall) error {
			list := listing{out: f.out, head: strings.Fields("COMMAND PROJECT COUNT APPROVERS")}
			for row, err := range client.Rows[rawRow[approval.Rule]](f.ctx, f.api, rulesTable) {
				if err != nil {
					return f.app.failed(err)
				}
				r, words := row.Value.value, append(strings.SplitN(row.Key, ".", 3), "")
				name := words[0] + "." + words[1]
				if f.out.json {
					err = f.out.printJSON(withKey(row.Value.raw, fmt.Sprintf(`"command":%s,"project":%s`, quoted(name), quoted(words[2]))))
				} else {
					w := approversFlags{council: r.Council, network: string(r.Network), role: string(r.Role), nodes: strings.Split(join(r.Nodes), ",")}
					err = list.row(name, words[2], fmt.Sprint(r.Count), w.who())
				}
				if err != nil {
					return err
				}
			}
			if f.out.json {
				return nil
			}
			return list.flush()
		})
	return cmd
}
