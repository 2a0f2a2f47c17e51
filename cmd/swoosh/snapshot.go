package main

import (
	"fmt"

	"github.com/spf13/cobra"
)

func newSnapshot(s streams) *cobra.Command {
	cmd := &cobra.Command{
		Use: "snapshot [flags]", Short: "Have the server save a snapshot",
		Long: `Has the server save a snapshot now, and says what it saved once that is durable. It
does so by itself when a restart would take longer than --max-recovery.`,
		Args: takes(),
	}
	connection, out := newConnection(cmd, s.err), newOutput(cmd, s.out)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		api, err := connection.reach(cmd.Context())
		if err != nil {
			return err
		}
		saved, err := api.Snapshot(cmd.Context())
		if err != nil {
			return failed(err)
		}
		return out.print(saved, "entry", fmt.Sprint(saved.Index), "hlc", printable(saved.HLC),
			"state hash", printable(saved.StateHash), "bytes", fmt.Sprint(saved.Bytes))
	}
	return cmd
}
