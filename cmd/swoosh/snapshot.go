package main

import (
	"net/http"

	"github.com/spf13/cobra"
)

func newSnapshot(s streams) *cobra.Command {
	cmd := &cobra.Command{
		Use: "snapshot", Short: "Have the server save a snapshot",
		Long: `Has the server save a snapshot now, and prints what it saved as JSON once that is
durable. It does so by itself when a restart would take longer than --max-recovery.`,
		Args: takes(),
	}
	c := newClient(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		return c.printJSON(cmd.Context(), s.out, request{
			method: http.MethodPost, path: "/snapshot", lost: codeUnknown, hint: "; asking again does no harm",
		})
	}
	return cmd
}
