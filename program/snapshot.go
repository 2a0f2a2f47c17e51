package program

import (
	"fmt"

	"github.com/spf13/cobra"
)

func newSnapshot(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use: "snapshot [flags]", Short: "Save a snapshot",
		Long: `Makes the server save a snapshot now, and prints what it saved once that is
durable. The server also saves one by itself when a restart would take longer
than --max-recovery.`,
		Args: takes(),
	}
	connection, out := newConnection(a, cmd), newOutput(cmd, a.out)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		api, err := connection.reach(cmd.Context())
		if err != nil {
			return err
		}
		saved, err := api.Snapshot(cmd.Context())
		if err != nil {
			return a.failed(err)
		}
		return out.print(saved, "entry", fmt.Sprint(saved.Index), "hlc", printable(saved.HLC),
			"state hash", printable(saved.StateHash), "bytes", fmt.Sprint(saved.Bytes))
	}
	return cmd
}
