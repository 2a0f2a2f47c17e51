package program

import (
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"github.com/chorus-services/swoosh"
	"github.com/chorus-services/swoosh/client"
)

func newImport(a *app) *cobra.Command {
	var ifMatch string
	cmd := &cobra.Command{
		Use: "import FILE|- [flags]", Short: "Replace the whole state by a file",
		Long: `Replaces the whole state by a document in the form that "{program} state" prints,
from a file or from stdin. If the log is not empty, --if-match must name the state
hash that is replaced. The document is sent once; if the outcome is unknown (exit
code 5), compare the output of "{program} state --path /meta/state_hash".`,
		Example: `  {program} import state-2.json --if-match "$({program} state --path /meta/state_hash)"`,
		Args:    takes("FILE"),
	}
	connection, out := newConnection(a, cmd), newOutput(cmd, a.out)
	cmd.Flags().StringVar(&ifMatch, "if-match", "", "state hash that is replaced")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if cmd.Flags().Changed("if-match") {
			hash, err := swoosh.ParseHash(strings.Trim(strings.TrimSpace(ifMatch), `"`))
			if err != nil {
				return exitf(codeUsage, "--if-match %w", err)
			}
			ifMatch = hash.String()
		}
		document, size, err := openDocument(a.in, args[0])
		if err != nil {
			return err
		}
		defer document.Close()
		api, err := connection.reach(cmd.Context())
		if err != nil {
			return err
		}
		bar := &progress{line: newStatus(a.err), what: "importing"}
		result, err := api.Import(cmd.Context(), &reading{Reader: document, progress: bar, bytes: size}, ifMatch)
		bar.clear()
		if err != nil {
			return a.notImported(args[0], err)
		}
		return printResult(out, result)
	}
	return cmd
}

// notImported says what to do about a document that was not imported, or perhaps
// was.
func (a *app) notImported(name string, err error) error {
	end := a.failed(err)
	if name == "-" {
		name = "stdin"
	}
	switch {
	case exitCode(end) == codeUnknown:
		return exitf(codeUnknown, "%w; to find out, run: %s state --path /meta/state_hash", end, a.name())
	case client.IsCode(err, client.PreconditionRequired):
		return exitf(codeFailed, "%w: give it with --if-match", end)
	case client.IsCode(err, client.MalformedRequest), client.IsCode(err, client.InvalidState):
		newer := ""
		if strings.Contains(end.Error(), "/meta/version ") {
			newer = a.text("; if a newer {program} wrote it, use that one")
		}
		return exitf(codeFailed, "%s cannot be imported: %w: give a document in the form that %s state prints%s", name, end, a.name(), newer)
	case client.IsCode(err, client.StateHashMismatch):
		return exitf(codeFailed, "%s cannot be imported: %w", name, end)
	}
	return end
}

// openDocument opens a file, or stdin, for reading and returns its length in bytes:
// -1 if it is not known.
func openDocument(stdin io.Reader, name string) (io.ReadCloser, int64, error) {
	if name == "-" {
		return io.NopCloser(stdin), -1, nil
	}
	f, err := os.Open(name)
	if err != nil {
		return nil, 0, exitf(codeUsage, "%w", unread("the state cannot be read", err))
	}
	info, err := f.Stat()
	if err == nil && info.IsDir() {
		err = fmt.Errorf("%s is a directory: name a file", name)
	}
	if err != nil {
		return nil, 0, exitf(codeUsage, "the state cannot be read: %w", err)
	}
	if !info.Mode().IsRegular() {
		return f, -1, nil
	}
	return f, info.Size(), nil
}
