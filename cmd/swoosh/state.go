package main

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

func newState(s streams) *cobra.Command {
	var path, at string
	cmd := &cobra.Command{
		Use: "state [flags]", Short: "Print the state, or a part of it",
		Long: `Prints the state as JSON, indented for people; with --json canonical, byte for
byte as the server gives it: the SHA-256 of such a row is the hash that a command
may expect of it. swoosh import takes either.`,
		Example: `  swoosh state --path /project/projects/alpha
  swoosh state --at 2 --json > state-2.json`,
		Args: takes(),
	}
	connection, out := newConnection(cmd, s.err), newOutput(cmd, s.out)
	cmd.Flags().StringVar(&path, "path", "", "JSON Pointer (RFC 6901) of the part")
	cmd.Flags().StringVar(&at, "at", "", "the state as it was after the entry of this index or hlc")
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
			return notThere(err, cmd.Flags())
		}
		defer state.Close()
		if out.json {
			_, err = io.Copy(s.out, state)
		} else {
			err = indent(s.out, state)
		}
		return failed(err)
	}
	return cmd
}

// notThere says which command shows what may be asked for, where nothing was found.
func notThere(err error, given *pflag.FlagSet) error {
	end := failed(err)
	if !client.IsCode(err, client.NotFound) && !client.IsCode(err, client.MalformedRequest) && !client.IsCode(err, client.Compacted) {
		return end
	}
	var next []string
	if given.Changed("at") {
		next = append(next, "swoosh log --json shows which entries there are")
	}
	if given.Changed("path") {
		next = append(next, "swoosh state without --path shows all there is")
	}
	if next == nil {
		return end
	}
	return exitf(exitCode(end), "%w: %s", end, strings.Join(next, "; "))
}

// indent copies a JSON value in the form for people, however long it is.
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
