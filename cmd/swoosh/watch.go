package main

import (
	"github.com/spf13/cobra"
)

func newWatch(s streams) *cobra.Command {
	var from uint64
	cmd := &cobra.Command{
		Use: "watch [flags]", Short: "Print entries as they come, a line each",
		Long: `Prints each entry as it becomes durable, until it is stopped with ^C. Where the
connection is lost, or the server restarts, it goes on with the next entry: none is
missed, none is printed twice.`,
		Example: `  swoosh watch --from 1 --json | jq -c '{index, command}'`,
		Args:    takes(),
	}
	connection, out := newConnection(cmd, s.err), newOutput(cmd, s.out)
	cmd.Flags().Uint64Var(&from, "from", 0, "index of the first entry (default: the next one)")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if cmd.Flags().Changed("from") && from == 0 {
			return exitf(codeUsage, "--from is 0: entries are counted from 1: give 1 or more")
		}
		api, err := connection.reach(cmd.Context())
		if err != nil {
			return err
		}
		return printComing(cmd.Context(), out, api, from)
	}
	return cmd
}
