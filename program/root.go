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
		&cobra.Group{ID: "offline", Title: "Without a server:"},
	)
	add := func(group string, commands ...*cobra.Command) {
		for _, c := range commands {
			c.GroupID = group
			c.DisableFlagsInUseLine = true
			a.nameIn(c)
			complete(c)
			root.AddCommand(c)
		}
	}
	add("server", newServe(a))
	add("client", newCommand(a), newOutcome(a), newState(a), newLog(a), newWatch(a), newHealth(a), newReceipt(a), newSnapshot(a), newImport(a))
	help := newHelp(root)
	root.SetHelpCommand(help)
	add("offline", newVerify(a), newPreflight(a), newRepair(a), newToken(a), newChart(a), newCommands(a), newCompletion(root, a), newVersion(a), help)
	if a.hasCommands(bench.Commands()) {
		add("offline", newBench(a))
	}
	root.AddCommand(newExitCodes())
	return root
}

// nameIn fills the program's name into the texts of a command and its flags.
func (a *app) nameIn(c *cobra.Command) {
	c.Long, c.Example = a.text(c.Long), a.text(c.Example)
	c.Flags().VisitAll(func(f *pflag.Flag) { f.Usage = a.text(f.Usage) })
}

func newHelp(root *cobra.Command) *cobra.Command {
	return &cobra.Command{
		Use: "help [COMMAND]", Short: "Explain the program, or one command of it",
		Args: takes("[COMMAND]"),
		RunE: func(_ *cobra.Command, args []string) error {
			cmd, _, err := root.Find(args)
			if err != nil {
				return unknownCommand(root, args)
			}
			cmd.InitDefaultHelpFlag()
			cmd.InitDefaultVersionFlag()
			return cmd.Help()
		},
	}
}

// unknownCommand is the error of a word that names no command.
func unknownCommand(root *cobra.Command, args []string) error {
	word := ""
	for _, a := range args {
		if !strings.HasPrefix(a, "-") {
			word = a
			break
		}
	}
	var names []string
	for _, c := range root.Commands() {
		names = append(names, c.Name())
	}
	return exitf(codeUsage, "there is no command %q%s", word, meant(word, names, root.Name()+" help lists them all"))
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

// takes makes a command accept the named arguments; those in brackets are optional.
func takes(names ...string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		for i, name := range names {
			if i >= len(args) && !strings.HasPrefix(name, "[") {
				return exitf(codeUsage, "%s is missing: %s %s", name, cmd.Root().Name(), cmd.Use)
			}
		}
		if len(args) > len(names) {
			return exitf(codeUsage, "%q is one argument too many: %s %s", args[len(names)], cmd.Root().Name(), cmd.Use)
		}
		return nil
	}
}
