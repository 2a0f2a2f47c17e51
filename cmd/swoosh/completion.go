package main

import (
	"strings"

	"github.com/spf13/cobra"

	"github.com/chorus-services/swoosh"
)

func newCompletion(root *cobra.Command, s streams) *cobra.Command {
	shells := map[string]func() error{
		"bash":       func() error { return root.GenBashCompletionV2(s.out, true) },
		"zsh":        func() error { return root.GenZshCompletion(s.out) },
		"fish":       func() error { return root.GenFishCompletion(s.out, true) },
		"powershell": func() error { return root.GenPowerShellCompletionWithDesc(s.out) },
	}
	names := []string{"bash", "zsh", "fish", "powershell"}
	return &cobra.Command{
		Use: "completion SHELL", Short: "Print what makes a shell complete commands and flags",
		Long:      "Prints a script for " + strings.Join(names, ", ") + ". That of bash needs the package\nbash-completion.",
		Example:   "  source <(swoosh completion bash)",
		Args:      takes("SHELL"),
		ValidArgs: names,
		RunE: func(_ *cobra.Command, args []string) error {
			generate := shells[args[0]]
			if generate == nil {
				return exitf(codeUsage, "the shell %q is unknown%s", args[0], meant(args[0], names, "give one of "+strings.Join(names, ", ")))
			}
			return generate()
		},
	}
}

// completeRole completes the role of a token; its name is new.
func completeRole(_ *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
	if len(args) == 1 {
		return []string{"read", "write", "admin"}, cobra.ShellCompDirectiveNoFileComp
	}
	return nil, cobra.ShellCompDirectiveNoFileComp
}

// completeDirectory completes the one argument DIR.
func completeDirectory(_ *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
	if len(args) > 0 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	return nil, cobra.ShellCompDirectiveFilterDirs
}

// completeCommand completes the name of a command of the built-in domains.
func completeCommand(_ *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
	if len(args) > 0 {
		return nil, cobra.ShellCompDirectiveDefault
	}
	var all []string
	for _, c := range swoosh.Describe(parts()...) {
		all = append(all, c.Name+"\t"+c.Summary)
	}
	return all, cobra.ShellCompDirectiveNoFileComp
}
