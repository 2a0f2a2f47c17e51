package program

import (
	"strings"

	"github.com/spf13/cobra"
)

func newCompletion(root *cobra.Command, a *app) *cobra.Command {
	shells := map[string]func() error{
		"bash":       func() error { return root.GenBashCompletionV2(a.out, true) },
		"zsh":        func() error { return root.GenZshCompletion(a.out) },
		"fish":       func() error { return root.GenFishCompletion(a.out, true) },
		"powershell": func() error { return root.GenPowerShellCompletionWithDesc(a.out) },
	}
	names := []string{"bash", "zsh", "fish", "powershell"}
	return &cobra.Command{
		Use: "completion SHELL", Short: "Print a script for shell completion",
		Long:      "Prints a completion script for " + strings.Join(names, ", ") + ". The one for\nbash needs the package bash-completion.",
		Example:   "  source <({program} completion bash)",
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
