package program

import (
	"errors"
	"fmt"
	"io/fs"

	"github.com/spf13/cobra"

	"github.com/chorus-services/swoosh/client"
)

func newKeygen(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use: "keygen FILE [flags]", Short: "Make a key that signs commands",
		Long: `Makes an Ed25519 key, writes it to a new file (PEM, PKCS #8, for this user only) and
prints its public half. Another key is never overwritten: who loses a node's key
needs an admin to get the node back.`,
		Example: `  {program} keygen node.key`,
		Args:    takes("FILE"),
	}
	out := newOutput(cmd, a.out)
	cmd.RunE = func(_ *cobra.Command, args []string) error {
		key, err := client.MakeKey(args[0])
		if errors.Is(err, fs.ErrExist) {
			return exitf(codeUsage, "%s exists already, and a key never overwrites a file: name a new one", args[0])
		}
		if err != nil {
			return exitf(codeUsage, "%w", unread("the key cannot be written", err))
		}
		if out.json {
			return out.printJSON(map[string]string{"file": args[0], "public_key": client.PublicKey(key)})
		}
		_, err = fmt.Fprintln(out, client.PublicKey(key))
		return err
	}
	return cmd
}
