package program

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/go-json-experiment/json/jsontext"
	"github.com/spf13/cobra"

	"github.com/chorus-services/swoosh"
	"github.com/chorus-services/swoosh/client"
)

// payloadMaxBytes is more than a server accepts, so that the server refuses.
const payloadMaxBytes = 2 << 20

func newCommand(a *app) *cobra.Command {
	var key, keySince, window string
	var dry bool
	cmd := &cobra.Command{
		Use: "command NAME|- [JSON|@FILE|-] [flags]", Short: "Send a command, or a stream of commands, and print the answers",
		Long: `Sends one command. The payload is JSON, @FILE for a file, or - for stdin; without
one it is {}. The answer comes once the command is on disk. Every command has an
idempotency key, so retries never apply it twice. If no answer comes (exit code
5), the message names the key; to repeat the command yourself, pass the same --key.

With --dry-run nothing is applied: it prints what the command would do, as a JSON
Patch (RFC 6902) of the state, or how it would be refused.

With - instead of NAME, each line of stdin is a command with its envelope, as
POST /command takes it. Each is answered by a line once it is durable. A refused
line does not stop the lines after it; the exit code is then 1, or 5 if an
outcome is unknown. A broken connection is resumed, and each command is applied
once.`,
		Example: a.commandExamples(),
		Args:    takes("NAME", "[JSON|@FILE|-]"),
	}
	connection, out := newConnection(a, cmd), newOutput(cmd, a.out)
	cmd.ValidArgsFunction = connection.completePayload
	if a.takesSignatures() {
		connection.withKey()
		connection.asNode()
		cmd.Long += signingHelp
	}
	cmd.Flags().StringVar(&key, "key", "", "idempotency key: a command with a known key is not applied again (default: a new random one)")
	cmd.Flags().StringVar(&keySince, "key-since", "", "the newest hlc when the key was made: repeat it with the key (default: the server's)")
	cmd.Flags().StringVar(&window, "window", "", "`ID` of the window that the command names, and in which alone it is accepted")
	cmd.Flags().BoolVar(&dry, "dry-run", false, "print what the command would do, and do nothing")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if dry && connection.sign != (signFlags{}) {
			return exitf(codeUsage, "a dry run is not signed: leave --sign and --dir out, or --dry-run")
		}
		if args[0] == "-" {
			if dry {
				return exitf(codeUsage, "a stream has no dry run: give one command")
			}
			if len(args) > 1 || cmd.Flags().Changed("key") || cmd.Flags().Changed("key-since") || cmd.Flags().Changed("window") {
				return exitf(codeUsage, "a stream has its payloads, keys and windows in its lines: give - alone")
			}
			return sendLines(cmd.Context(), connection, out)
		}
		command := client.Command{Name: args[0], Key: key, KeySince: keySince, WindowID: window}
		if err := swoosh.Key(key).Validate(); cmd.Flags().Changed("key") && err != nil {
			return exitf(codeUsage, "--key %q is not a key: it %w", key, err)
		}
		if len(args) > 1 {
			payload, err := readPayload(cmd.Context(), a.in, args[1])
			if err != nil {
				return err
			}
			command.Payload = payload
		}
		if dry {
			return tryOne(cmd.Context(), connection, out, command)
		}
		return sendOne(cmd.Context(), connection, out, command)
	}
	return cmd
}

const signingHelp = `

With --dir the command is signed as the node that joined from there, and goes to its hub.
With --sign it is signed by a key that "{program} keygen" made, which the server knows by
the name of --signer.`

// readPayload reads a payload: one JSON value, which the server checks.
func readPayload(ctx context.Context, stdin io.Reader, given string) (payload []byte, err error) {
	payload = []byte(given)
	if name, ok := strings.CutPrefix(given, "@"); ok {
		if payload, err = os.ReadFile(name); err != nil {
			return nil, exitf(codeUsage, "%w", unread("the payload cannot be read", err))
		}
	} else if given == "-" {
		if payload, err = readStdin(ctx, stdin); err != nil {
			return nil, err
		}
	}
	if len(payload) > payloadMaxBytes {
		return nil, exitf(codeUsage, "the payload has more than %d bytes, which no server accepts: split it into several commands", payloadMaxBytes)
	}
	if !json.Valid(payload) {
		return nil, exitf(codeUsage, "the payload is not JSON: give an object in single quotes, such as '{\"member\":\"value\"}', or @FILE, or - to read it from stdin")
	}
	return payload, nil
}

// readStdin returns when ctx ends, although a read of a terminal cannot be ended.
func readStdin(ctx context.Context, stdin io.Reader) (payload []byte, err error) {
	read := make(chan struct{})
	go func() {
		defer close(read)
		payload, err = io.ReadAll(io.LimitReader(stdin, payloadMaxBytes+1))
	}()
	select {
	case <-ctx.Done():
		return nil, exitf(codeFailed, "stopped")
	case <-read:
	}
	if err != nil {
		return nil, exitf(codeFailed, "the payload cannot be read from stdin: %w", err)
	}
	return payload, nil
}

func sendOne(ctx context.Context, c *connection, out *output, command client.Command) error {
	api, err := c.reach(ctx)
	if err != nil {
		return err
	}
	result, err := api.Do(ctx, command)
	var refused *client.Error
	if !errors.As(err, &refused) {
		return printResult(out, result)
	}
	end := c.refused(out, refused)
	if len(refused.Again) == 1 {
		again := refused.Again[0]
		end = exitf(exitCode(end), "%w; to find out, send it again with --key %s --key-since %s", end, again.Key, again.KeySince)
	}
	return end
}

// refused prints with --json how a command was refused, and returns the error of it.
func (c *connection) refused(out *output, e *client.Error) error {
	if out.json {
		_ = out.printJSON(e) // The error has the same content.
	}
	return c.app.failed(e)
}

// tryOne prints what a command would do.
func tryOne(ctx context.Context, c *connection, out *output, command client.Command) error {
	api, err := c.reach(ctx)
	if err != nil {
		return err
	}
	trial, err := api.DryRun(ctx, command)
	var refused *client.Error
	if errors.As(err, &refused) {
		return c.refused(out, refused)
	}
	one := trial.Results[0]
	return out.print(struct {
		client.TrialResult
		Patch jsontext.Value `json:"patch"`
	}{one, trial.Patch}, "would be", outcomeOf(client.Result{Changed: one.Changed}), "result", printable(string(one.Result)), "patch", printable(string(trial.Patch)))
}

// printResult prints the answer to an accepted command. The command is applied even
// if printing fails.
func printResult(out *output, r client.Result) error {
	err := out.print(r, "entry", fmt.Sprint(r.Index), "outcome", outcomeOf(r), "hlc", printable(r.HLC), "state hash", printable(r.StateHash), "result", printable(string(r.Result)))
	if err != nil {
		return exitf(codeUnknown, "the command is entry %d, but its answer cannot be printed: %w", r.Index, err)
	}
	return nil
}

// outcomeOf returns what an accepted command did, in a word.
func outcomeOf(r client.Result) string {
	switch {
	case r.Duplicate:
		return "duplicate"
	case r.Changed:
		return "changed"
	}
	return "unchanged"
}
