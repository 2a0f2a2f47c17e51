package program

import (
	"errors"
	"io"
	"strconv"
	"strings"

	"github.com/go-json-experiment/json/jsontext"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/chorus-services/swoosh/client"
)

func newState(a *app) *cobra.Command {
	var path, at string
	cmd := &cobra.Command{
		Use: "state [flags]", Short: "Print the state, or a part of it",
		Long: `Prints the state as JSON, indented for people. With --json it is canonical, byte
for byte as the server sends it: the SHA-256 of a row in that form is the hash
that a command may expect of it. "{program} import" takes both forms.`,
		Example: a.stateExamples(),
		Args:    takes(),
	}
	connection, out := newConnection(a, cmd), newOutput(cmd, a.out)
	cmd.Flags().StringVar(&path, "path", "", "JSON Pointer (RFC 6901) of a part")
	cmd.Flags().StringVar(&at, "at", "", "the state after the entry with this index or hlc")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		var when []client.ReadOption
		if index, err := strconv.ParseUint(at, 10, 64); err == nil {
			when = append(when, client.AtIndex(index))
		} else if cmd.Flags().Changed("at") {
			when = append(when, client.AtHLC(at))
		}
		api, err := connection.reach(cmd.Context())
		if err != nil {
			return err
		}
		state, _, err := api.State(cmd.Context(), path, when...)
		if err != nil {
			return a.notThere(err, cmd.Flags())
		}
		defer state.Close()
		if out.json {
			_, err = io.Copy(out, state)
		} else {
			err = indent(out, state)
		}
		return a.failed(err)
	}
	return cmd
}

// notThere adds, if nothing was found, the command that shows what there is.
func (a *app) notThere(err error, given *pflag.FlagSet) error {
	end := a.failed(err)
	if !client.IsCode(err, client.NotFound) && !client.IsCode(err, client.MalformedRequest) && !client.IsCode(err, client.Compacted) {
		return end
	}
	var next []string
	if given.Changed("at") {
		next = append(next, a.name()+" log --json lists the entries")
	}
	if given.Changed("path") {
		next = append(next, a.name()+" state without --path shows everything")
	}
	if next == nil {
		return end
	}
	return exitf(exitCode(end), "%w: %s", end, strings.Join(next, "; "))
}

// indent copies a JSON value of any length in the form for people.
func indent(w io.Writer, from io.Reader) error {
	d := jsontext.NewDecoder(from)
	e := jsontext.NewEncoder(w, jsontext.WithIndent("  "), jsontext.PreserveRawStrings(true))
	for {
		var err error
		if d.PeekKind() == '"' {
			err = copyString(e, d)
		} else {
			err = copyToken(e, d)
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

func copyString(e *jsontext.Encoder, d *jsontext.Decoder) error {
	text, err := d.ReadValue()
	if err != nil {
		return err
	}
	return e.WriteValue(jsontext.Value(printable(string(text))))
}

func copyToken(e *jsontext.Encoder, d *jsontext.Decoder) error {
	token, err := d.ReadToken()
	if err != nil {
		return err
	}
	return e.WriteToken(token)
}
