package program

import (
	"github.com/spf13/cobra"

	"github.com/chorus-services/swoosh"
)

func newOutcome(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use: "outcome KEY [flags]", Short: "Print what became of an idempotency key",
		Long: `Prints the answer that the command with this key got, or those of the batch. It
changes nothing. Exit code 1 means that no entry has the key, though an attempt that
is still on its way may land later; 5 that it is not decided yet: ask again.`,
		Example: `  {program} outcome "$({program} log --limit 1 --json | jq -r .idempotency_key)"`,
		Args:    takes("KEY"),
	}
	connection, out := newConnection(a, cmd), newOutput(cmd, a.out)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if err := swoosh.Key(args[0]).Validate(); err != nil {
			return exitf(codeUsage, "%q is not a key: it %w", args[0], err)
		}
		api, err := connection.reach(cmd.Context())
		if err != nil {
			return err
		}
		o, err := api.Outcome(cmd.Context(), args[0])
		switch {
		case err != nil:
			return a.failed(err)
		case o.Pending:
			return exitf(codeUnknown, "it is not decided yet, since the server waits for its disk: ask again")
		}
		for _, r := range o.Results {
			if err := printResult(out, r); err != nil {
				return err
			}
		}
		return nil
	}
	return cmd
}
