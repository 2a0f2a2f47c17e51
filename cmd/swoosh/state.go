package main

import (
	"net/http"
	"net/url"

	"github.com/spf13/cobra"
)

func newState(s streams) *cobra.Command {
	var path, at string
	cmd := &cobra.Command{
		Use: "state [--path POINTER] [--at INDEX|HLC]", Short: "Print the state, or a part of it, as JSON",
		Long: `Prints the state as canonical JSON, byte for byte as the server gives it: the
SHA-256 of a printed row is the hash that a command may expect of it.`,
		Example: `  swoosh state --path /project/projects/alpha
  swoosh state --at 42 > state-42.json`,
		Args: takes(),
	}
	c := newClient(cmd)
	cmd.Flags().StringVar(&path, "path", "", "JSON Pointer (RFC 6901) of the part")
	cmd.Flags().StringVar(&at, "at", "", "the state as it was after the entry of this index or hlc")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		query := url.Values{}
		if cmd.Flags().Changed("path") {
			query.Set("path", path)
		}
		if cmd.Flags().Changed("at") {
			query.Set("at", at)
		}
		return c.copyTo(cmd.Context(), s.out, request{
			method: http.MethodGet, path: "/state", query: query, lost: codeUnreachable,
		})
	}
	return cmd
}
