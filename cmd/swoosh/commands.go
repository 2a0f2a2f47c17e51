package main

import (
	"fmt"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/chorus-services/swoosh"
)

func newCommands(s streams) *cobra.Command {
	return &cobra.Command{
		Use: "commands", Short: "List the commands that a server takes",
		Long: `Lists every command with the phases that it comes from and may end in. A
running server says more: GET /commands gives their schemas and refusals too.`,
		Args: takes(),
		RunE: func(*cobra.Command, []string) error {
			w := tabwriter.NewWriter(s.out, 0, 0, 2, ' ', 0)
			fmt.Fprintln(w, "COMMAND\tFROM\tTO\tWHAT IT DOES")
			for _, c := range swoosh.Describe(parts()...) {
				fmt.Fprintf(w, "%s\t%s\t%s\t%s\n", c.Name, phases(c.From), phases(ends(c)), c.Summary)
			}
			return w.Flush()
		},
	}
}

// ends are the phases that a command may end in.
func ends(c swoosh.CommandInfo) []string {
	if c.Stay {
		return append(c.To[:len(c.To):len(c.To)], "same")
	}
	return c.To
}

func phases(names []string) string {
	if len(names) == 0 {
		return "-"
	}
	return strings.Join(names, "|")
}
