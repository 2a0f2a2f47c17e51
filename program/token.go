package program

import (
	"errors"
	"fmt"
	"io/fs"
	"os"

	"github.com/spf13/cobra"

	"github.com/chorus-services/swoosh"
	"github.com/chorus-services/swoosh/access"
)

func newToken(a *app) *cobra.Command {
	var file, out string
	cmd := &cobra.Command{
		Use: "token NAME ROLE [flags]", Short: "Create a token",
		Long: `Creates a token for a caller with the role read, node, write or admin. The token is
printed on stdout, or written to a new file with --out; it is shown only once. Its
line for the server's token file is appended to the file of --token-file, and
printed on stderr without one.`,
		Example: `  {program} token ingest write --token-file tokens --out ingest.token`,
		Args:    takes("NAME", "ROLE"), ValidArgsFunction: completeRole,
		RunE: func(_ *cobra.Command, args []string) error {
			role, err := swoosh.ParseRole(args[1])
			if err != nil {
				return exitf(codeUsage, "%w", err)
			}
			if err := access.CheckName(args[0]); err != nil {
				return exitf(codeUsage, "NAME: %w", err)
			}
			create := func() (string, error) { return a.createToken(file, args[0], role) }
			if out != "" {
				return writeToken(out, create)
			}
			secret, err := create()
			if err != nil {
				return exitf(codeFailed, "%w", err)
			}
			_, err = fmt.Fprintln(a.out, secret)
			return err
		},
	}
	cmd.Flags().StringVar(&file, "token-file", "", "the server's token `FILE`, which gets the line; created, for this user only, if it is missing")
	cmd.Flags().StringVar(&out, "out", "", "new `FILE` for the token, for this user only; an existing file is never overwritten")
	return cmd
}

// createToken appends the token's line to a token file, or prints it, and returns
// the token.
func (a *app) createToken(file, name string, role swoosh.Role) (secret string, err error) {
	if file != "" {
		return access.AddToken(file, name, role)
	}
	secret, line, err := access.NewToken(name, role)
	fmt.Fprintf(a.err, "add this line to the server's token file:\n%s\n", line)
	return secret, err
}

// writeToken writes a token to a new file. The file is created first, so that no
// token gets a line and is then lost.
func writeToken(name string, create func() (string, error)) error {
	f, err := os.OpenFile(name, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if errors.Is(err, fs.ErrExist) {
		return exitf(codeUsage, "--out %s exists already, and a token never overwrites a file: name a new one", name)
	}
	if err != nil {
		return exitf(codeUsage, "%w", unread("--out", err))
	}
	secret, err := create()
	if err == nil {
		_, err = fmt.Fprintln(f, secret)
	}
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return exitf(codeFailed, "%w", errors.Join(err, os.Remove(name)))
	}
	return nil
}
