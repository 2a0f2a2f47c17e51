package main

import (
	"fmt"
	"net/http"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"github.com/chorus-services/swoosh"
)

func newImport(s streams) *cobra.Command {
	var ifMatch string
	cmd := &cobra.Command{
		Use: "import FILE [--if-match HASH]", Short: "Replace the whole state by that of a file",
		Long: `Replaces the whole state by a document as swoosh state prints it. On an empty log
it becomes the first state; later --if-match must name the state hash that it
replaces.`,
		Args: takes("FILE"),
	}
	c := newClient(cmd)
	cmd.Flags().StringVar(&ifMatch, "if-match", "", "the state hash that is replaced")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		r := request{
			method: http.MethodPost, path: "/state",
			// The server refuses before it reads the body, so the body waits.
			header: map[string]string{"Content-Type": "application/json", "Expect": "100-continue"},
			lost:   codeUnknown, hint: "; to find out, compare what swoosh state --path /meta/state_hash prints",
		}
		if cmd.Flags().Changed("if-match") {
			hash, err := swoosh.ParseHash(strings.Trim(ifMatch, `"`))
			if err != nil {
				return exitf(codeUsage, "--if-match: %w", err)
			}
			r.header["If-Match"] = fmt.Sprintf("%q", hash.String())
		}
		f, size, err := openDocument(args[0])
		if err != nil {
			return err
		}
		defer f.Close()
		r.body, r.bytes = f, size
		return c.printJSON(cmd.Context(), s.out, r)
	}
	return cmd
}

// openDocument opens a file to read, and says how long it is: 0 if that is not
// known.
func openDocument(name string) (*os.File, int64, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, 0, fmt.Errorf("the state cannot be read: %w", err)
	}
	info, err := f.Stat()
	if err == nil && info.IsDir() {
		err = fmt.Errorf("%s is a directory: name a file", name)
	}
	if err != nil {
		return nil, 0, fmt.Errorf("the state cannot be read: %w", err)
	}
	if !info.Mode().IsRegular() {
		return f, 0, nil
	}
	return f, info.Size(), nil
}
