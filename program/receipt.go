package program

import (
	"encoding/json"
	"fmt"
	"os"

	"github.com/spf13/cobra"

	"github.com/chorus-services/swoosh"
)

func newReceipt(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use: "receipt [--check FILE [--key HEX]] [flags]", Short: "Print the server's signed word on where its log stands",
		Long: `Prints a receipt, JSON on a line: the log's last entry with its index, chain, hlc and
state hash, the time, and the server's signature over all that. Whoever keeps receipts
can show later that the log does not go on from one: that it was set back or rewritten.

With --check it asks no server, but checks a receipt in a file, and prints what verify
--expect takes. Give the server's key, from health, as you noted it when you trusted
the server: anybody can make a receipt with a key of his own.`,
		Example: `  {program} receipt > receipt.json
  {program} receipt --check receipt.json --key "$({program} health --json | jq -r .receipt_key)"`,
		Args: takes(),
	}
	connection, out := newConnection(a, cmd), newOutput(cmd, a.out)
	file := cmd.Flags().String("check", "", "`FILE` with a receipt to check")
	key := cmd.Flags().String("key", "", "with --check: the server's public key, 64 hex digits")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if *file != "" {
			return checkReceipt(out, *file, *key)
		}
		if *key != "" {
			return exitf(codeUsage, "--key is for --check: name the receipt to check")
		}
		api, err := connection.reach(cmd.Context())
		if err != nil {
			return err
		}
		doc, err := api.Receipt(cmd.Context())
		if err != nil {
			return a.failed(err)
		}
		return out.printJSON(json.RawMessage(doc))
	}
	return cmd
}

// checkReceipt checks a receipt with a key; empty: with the one that it names.
func checkReceipt(out *output, file, key string) error {
	doc, err := os.ReadFile(file)
	if err != nil {
		return exitf(codeUsage, "--check: %w", err)
	}
	r, err := swoosh.ParseReceipt(doc)
	switch {
	case err != nil:
		return exitf(codeFailed, "%s: %w: nothing follows from it", file, err)
	case key != "" && key != r.Key.String():
		return exitf(codeFailed, "%s is signed with the key %s, not with that of --key: another server made it, or this one has a new key", file, r.Key)
	}
	return out.print(r, "signed by", r.Key.String(), "time", printable(r.Time), "hub", r.Hub.String(), "hlc", r.HLC.String(),
		"state hash", r.StateHash.String(), "expect", fmt.Sprintf("%d:%s", r.Index, r.Chain))
}
