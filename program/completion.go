package program

import (
	"bytes"
	"cmp"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

func newCompletion(root *cobra.Command, a *app) *cobra.Command {
	shells := map[string]func() error{
		"bash":       func() error { return root.GenBashCompletionV2(a.out, true) },
		"zsh":        func() error { return root.GenZshCompletion(a.out) },
		"fish":       func() error { return completeFish(root, a.out) },
		"powershell": func() error { return root.GenPowerShellCompletionWithDesc(a.out) },
	}
	names := []string{"bash", "zsh", "fish", "powershell"}
	return &cobra.Command{
		Use: "completion SHELL", Short: "Print a script for shell completion",
		Long:    "Prints a completion script for " + strings.Join(names, ", ") + ". The one for\nbash needs the package bash-completion.",
		Example: "  source <({program} completion bash)",
		Args:    takes("SHELL"),
		ValidArgsFunction: func(_ *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
			if len(args) > 0 {
				return nil, cobra.ShellCompDirectiveNoFileComp
			}
			return names, cobra.ShellCompDirectiveNoFileComp
		},
		RunE: func(_ *cobra.Command, args []string) error {
			generate := shells[args[0]]
			if generate == nil {
				return exitf(codeUsage, "the shell %q is unknown%s", args[0], meant(args[0], names, "give one of "+strings.Join(names, ", ")))
			}
			return generate()
		},
	}
}

// completeFish writes the script for fish, with the directories alone that cobra
// leaves out there.
func completeFish(root *cobra.Command, w io.Writer) error {
	var script bytes.Buffer
	if err := root.GenFishCompletion(&script, true); err != nil {
		return err
	}
	const otherwise = "    if test $filefilter -eq 1; or test $dirfilter -eq 1\n"
	directories := `    if test $dirfilter -eq 1
        set -l flag (string match -r -- '^-.*=' (commandline -ct))
        set --global __` + strings.ReplaceAll(root.Name(), "-", "_") + `_comp_results "$flag"(__fish_complete_directories (string replace -r -- '^-.*=' '' (commandline -ct)))
        return 0
    end
`
	_, err := io.WriteString(w, strings.Replace(script.String(), otherwise, directories+otherwise, 1))
	return err
}

// completeRole completes the role of a token; its name is new.
func completeRole(_ *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
	if len(args) == 1 {
		return []string{"read", "node", "write", "admin"}, cobra.ShellCompDirectiveNoFileComp
	}
	return nil, cobra.ShellCompDirectiveNoFileComp
}

// complete makes the words and flags of a command complete what its help names: DIR a
// directory, FILE and SNAPSHOT a file, others nothing. What a command or a flag completes
// itself stays.
func complete(c *cobra.Command) {
	arguments, _, _ := strings.Cut(c.Use, " [-") // Options follow.
	words := strings.Fields(arguments)[1:]
	if c.ValidArgsFunction == nil {
		c.ValidArgsFunction = func(_ *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
			if len(args) < len(words) {
				return nil, pathOf(words[len(args)])
			}
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
	}
	c.Flags().VisitAll(func(f *pflag.Flag) {
		if _, does := c.GetFlagCompletionFunc(f.Name); does {
			return
		}
		name, _ := pflag.UnquoteUsage(f)
		if err := c.RegisterFlagCompletionFunc(f.Name, cobra.FixedCompletions(nil, pathOf(name))); err != nil {
			panic(err) // There is such a flag.
		}
	})
}

// pathOf returns what a shell completes for a word of the help.
func pathOf(word string) cobra.ShellCompDirective {
	switch strings.TrimSuffix(strings.Trim(word, "[]"), "|-") {
	case "DIR":
		return cobra.ShellCompDirectiveFilterDirs
	case "FILE", "SNAPSHOT":
		return cobra.ShellCompDirectiveDefault
	}
	return cobra.ShellCompDirectiveNoFileComp
}

// completePayload completes the name of a command, and its payload if that is @FILE.
func (c *connection) completePayload(cmd *cobra.Command, args []string, word string) ([]string, cobra.ShellCompDirective) {
	if len(args) == 0 {
		return c.completeCommand(cmd, args, word)
	}
	if len(args) == 2 && args[1] == "@" { // For bash the @ is a word of its own.
		return nil, cobra.ShellCompDirectiveDefault
	}
	path, isFile := strings.CutPrefix(word, "@")
	if len(args) > 1 || !isFile {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	dir, _ := filepath.Split(path)
	files, _ := os.ReadDir(cmp.Or(dir, ".")) // A completion shows no errors.
	var names []string
	directive := cobra.ShellCompDirectiveNoFileComp
	for _, f := range files {
		name := "@" + dir + f.Name()
		if !strings.HasPrefix(name, word) {
			continue
		}
		if f.IsDir() {
			name += "/"
			directive |= cobra.ShellCompDirectiveNoSpace
		}
		names = append(names, name)
	}
	return names, directive
}
