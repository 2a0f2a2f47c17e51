package main

import (
	"fmt"

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
		Args:    takes("NAME", "ROLE"), ValidArgsFunction: completeRole,
		RunE: func(_ *cobra.Command, args []string) error {
			role, err := swoosh.ParseRole(args[1])
			if err != nil {
				return exitf(codeUsage, "%w", err)
			}
			if err := access.CheckName(args[0]); err != nil {
				return exitf(codeUsage, "NAME: %w", err)
			}
			secret, err := makeToken(s, file, args[0], role)
			if err != nil {
				return exitf(codeFailed, "%w", err)
			}
			_, err = fmt.Fprintln(s.out, secret)
			return err
		},
	}
	cmd.Flags().StringVar(&file, "token-file", "", "the file that gets the line; made, for this user only, if it is missing")
	return cmd
}

// makeToken puts the token's line where it belongs, and gives the token.
func makeToken(s streams, file, name string, role swoosh.Role) (secret string, err error) {
	if file != "" {
		return access.AddToken(file, name, role)
	}
	secret, line, err := access.NewToken(name, role)
	fmt.Fprintf(s.err, "put this line into the server's token file:\n%s\n", line)
	return secret, err
}
