package main

import (
	"errors"
	"fmt"
	"os"

	"github.com/spf13/cobra"

	"github.com/chorus-services/swoosh"
	"github.com/chorus-services/swoosh/access"
)

func newToken(s streams) *cobra.Command {
	var file string
	cmd := &cobra.Command{
		Use: "token NAME ROLE [--token-file FILE]", Short: "Make a token",
		Long: `Makes a token for a caller, with the role read, write or admin, and prints it on
stdout; it can be seen only now. With --token-file the line that lets it in is
put at the end of that file; without, it is printed on stderr.`,
		Example: `  swoosh token ingest write --token-file tokens`,
		Args:    takes("NAME", "ROLE"),
		RunE: func(_ *cobra.Command, args []string) error {
			role, err := swoosh.ParseRole(args[1])
			if err != nil {
				return exitf(codeUsage, "%w", err)
			}
			secret, line, err := access.NewToken(args[0], role)
			if err != nil {
				return exitf(codeUsage, "NAME %q: %w", args[0], err)
			}
			if file == "" {
				fmt.Fprintf(s.err, "put this line into the server's token file:\n%s\n", line)
			} else if err := appendLine(file, line); err != nil {
				return exitf(codeFailed, "the token file: %w", err)
			}
			_, err = fmt.Fprintln(s.out, secret)
			return err
		},
	}
	cmd.Flags().StringVar(&file, "token-file", "", "the file that gets the line; made, for this user only, if it is missing")
	return cmd
}

func appendLine(file, line string) error {
	f, err := os.OpenFile(file, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintln(f, line)
	return errors.Join(err, f.Sync(), f.Close())
}
