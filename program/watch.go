package program

import (
	"github.com/spf13/cobra"
)

func newWatch(a *app) *cobra.Command {
	var from uint64
	cmd := &cobra.Command{
		Use: "watch [flags]", Short: "Print new entries as they come, a line each",
		Long: `Prints each entry once it is durable, until ^C. If the connection is lost or the
server restarts, it continues with the next entry: none is missed, and none is
printed twice.`,
		Example: `  {program} watch --from 1 --json | jq -c '{index, command}'`,
		Args:    takes(),
	}
	connection, out, only := newConnection(a, cmd), newOutput(cmd, a.out), newOnly(cmd)
	cmd.Flags().Uint64Var(&from, "from", 0, "index of the first entry (default: the next one)")
	bound(cmd.Flags(), "from", &from, 0, entriesMost)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if cmd.Flags().Changed("from") && from == 0 {
			return exitf(codeUsage, "--from is 0: the first entry is 1")
		}
		api, err := connection.reach(cmd.Context())
		if err != nil {
			return err
		}
		return a.printComing(cmd.Context(), out, api, from, only)
	}
	return cmd
}
