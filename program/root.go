package program

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/chorus-services/swoosh/internal/bench"
	"github.com/chorus-services/swoosh/internal/canon"
)

const about = `{program} is a small durable control plane: services post commands, a
deterministic reducer turns them into state, and every command is on disk before
it is answered. After a crash the state is what it was, and can prove it.

`

// execute runs the subcommand that the arguments name.
func (a *app) execute(ctx context.Context, args []string) error {
	root := newRoot(a)
	completing := len(args) > 0 && strings.HasPrefix(args[0], cobra.ShellCompRequestCmd)
	if _, rest, err := root.Find(args); err != nil && !completing {
		return unknownCommand(root, rest)
	}
	root.SetArgs(args)
	return root.ExecuteContext(ctx)
}

func newRoot(a *app) *cobra.Command {
	root := &cobra.Command{
		Use: a.name(), Short: "A small durable control plane", Long: a.text(about) + exitCodesInShort(), Version: a.build.String(),
		SilenceErrors: true, SilenceUsage: true,
		CompletionOptions: cobra.CompletionOptions{DisableDefaultCmd: true},
		RunE: func(cmd *cobra.Command, _ []string) error {
			cmd.SetOut(a.err)
			return errors.Join(cmd.Help(), exitf(codeUsage, "name a command, such as: %s serve", a.name()))
		},
	}
	root.SetIn(a.in)
	root.SetOut(a.out)
	root.SetErr(a.err)
	root.SetVersionTemplate("{{.Version}}\n")
	root.SetFlagErrorFunc(flagError)
	root.AddGroup(
		&cobra.Group{ID: "server", Title: "The server:"},
		&cobra.Group{ID: "client", Title: "Talk to a running server:"},
	)
	if a.hasFleet() {
		root.AddGroup(&cobra.Group{ID: "fleet", Title: "The fleet of a running server:"})
	}
	root.AddGroup(&cobra.Group{ID: "offline", Title: "Without a server:"})
	add := func(group string, commands ...*cobra.Command) {
		for _, c := range commands {
			c.GroupID = group
			a.finish(c)
			root.AddCommand(c)
		}
	}
	add("server", newServe(a))
	add("client", newCommand(a), newOutcome(a), newState(a), newLog(a), newWatch(a), newHealth(a), newReceipt(a), newSnapshot(a), newImport(a))
	if a.hasStops() {
		add("client", newQuarantine(a), newRelease(a), newWindow(a))
	}
	if a.takesSignatures() {
		add("offline", newKeygen(a))
	}
	if a.hasFleet() {
		add("fleet", newNode(a), newNodes(a), newTrust(a), newNetwork(a), newFleet(a))
	}
	if a.hasApprovals() {
		add("fleet", newApprove(a))
	}
	help := newHelp(root)
	root.SetHelpCommand(help)
	add("offline", newVerify(a), newPreflight(a), newRepair(a), newToken(a), newGuards(a), newChart(a), newCommands(a), newCompletion(root, a), newVersion(a), help)
	if a.hasCommands(bench.Commands()) {
		add("offline", newBench(a))
	}
	root.AddCommand(newExitCodes())
	return root
}

// finish fills in what a command, and those that it has, get in the same way.
func (a *app) finish(c *cobra.Command) {
	c.DisableFlagsInUseLine = true
	a.nameIn(c)
	complete(c)
	for _, sub := range c.Commands() {
		a.finish(sub)
	}
}

// newGroup returns a command that has commands and does nothing itself.
func (a *app) newGroup(name, short, long string, commands ...*cobra.Command) *cobra.Command {
	group := &cobra.Command{Use: name + " COMMAND", Short: short, Long: long, Args: cobra.ArbitraryArgs}
	group.AddCommand(commands...)
	group.RunE = func(cmd *cobra.Command, args []string) error {
		if len(args) > 0 {
			return unknownCommand(cmd, args)
		}
		cmd.SetOut(a.err)
		return errors.Join(cmd.Help(), exitf(codeUsage, "name a command of %s, such as: %s", name, commands[0].UseLine()))
	}
	return group
}

// nameIn fills the program's name into the texts of a command and its flags.
func (a *app) nameIn(c *cobra.Command) {
	c.Long, c.Example = a.text(c.Long), a.text(c.Example)
	c.Flags().VisitAll(func(f *pflag.Flag) { f.Usage = a.text(f.Usage) })
}

func newHelp(root *cobra.Command) *cobra.Command {
	return &cobra.Command{
		Use: "help [COMMAND...]", Short: "Explain the program, or one command of it",
		RunE: func(_ *cobra.Command, args []string) error {
			cmd, rest, err := root.Find(args)
			switch {
			case err != nil:
				return unknownCommand(root, args)
			case len(rest) > 0 && cmd.HasAvailableSubCommands():
				return unknownCommand(cmd, rest)
			case len(rest) > 0:
				return exitf(codeUsage, "%q is one argument too many: %s explains %s", rest[0], helpOf(cmd), cmd.CommandPath())
			}
			cmd.InitDefaultHelpFlag()
			cmd.InitDefaultVersionFlag()
			return cmd.Help()
		},
	}
}

// helpOf returns the command line that explains a command.
func helpOf(cmd *cobra.Command) string {
	return strings.Join(append([]string{cmd.Root().Name(), "help"}, strings.Fields(cmd.CommandPath())[1:]...), " ")
}

// unknownCommand is the error of a word that names no command of a command.
func unknownCommand(of *cobra.Command, args []string) error {
	word := ""
	for _, a := range args {
		if !strings.HasPrefix(a, "-") {
			word = a
			break
		}
	}
	var names []string
	for _, c := range of.Commands() {
		names = append(names, c.Name())
	}
	if of.HasParent() {
		word = of.Name() + " " + word
		for i, name := range names {
			names[i] = of.Name() + " " + name
		}
	}
	return exitf(codeUsage, "there is no command %q%s", word, meant(word, names, helpOf(of)+" lists them all"))
}

// flagError turns an error of the flags' parser into a usage error, and names the
// flag that was perhaps meant.
func flagError(cmd *cobra.Command, err error) error {
	if errors.Is(err, pflag.ErrHelp) {
		return err
	}
	var invalid *pflag.InvalidValueError
	if errors.As(err, &invalid) {
		return exitf(codeUsage, "--%s is %q: give %s", invalid.GetFlag().Name, invalid.GetValue(), kindOf(invalid.GetFlag()))
	}
	word := ""
	var names []string
	var missing *pflag.NotExistError
	if errors.As(err, &missing) {
		word = "--" + missing.GetSpecifiedName()
		cmd.Flags().VisitAll(func(f *pflag.Flag) { names = append(names, "--"+f.Name) })
	}
	return exitf(codeUsage, "%w%s", err, meant(word, names, cmd.CommandPath()+" --help lists the flags"))
}

// kindOf returns what a flag takes, in words.
func kindOf(f *pflag.Flag) string {
	if b, ok := f.Value.(interface{ takes() string }); ok {
		return b.takes()
	}
	switch f.Value.Type() {
	case "bool":
		return "true or false"
	case "stringArray":
		return "an array of text"
	}
	return "text"
}

// meant returns the end of a sentence about an unknown word: the name that was
// perhaps meant, if there is one, and the next step.
func meant(word string, names []string, next string) string {
	if near := canon.Nearest(word, names); near != "" {
		return fmt.Sprintf(", did you mean %s? %s", near, next)
	}
	return ": " + next
}

// takes makes a command accept the named arguments: those in brackets are optional,
// and after the last one there may be more if it ends with dots.
func takes(names ...string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		for i, name := range names {
			if i >= len(args) && !strings.HasPrefix(name, "[") {
				return exitf(codeUsage, "%s is missing: %s", name, cmd.UseLine())
			}
		}
		if len(args) > len(names) && !(len(names) > 0 && strings.Contains(names[len(names)-1], "...")) {
			return exitf(codeUsage, "%q is one argument too many: %s", args[len(names)], cmd.UseLine())
		}
		return nil
	}
}
