package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"github.com/chorus-services/swoosh"
	"github.com/chorus-services/swoosh/client"
)

// payloadMaxBytes is more than a server takes, so that the server refuses.
const payloadMaxBytes = 2 << 20

func newCommand(s streams) *cobra.Command {
	var key, keySince string
	cmd := &cobra.Command{
		Use: "command NAME|- [JSON|@FILE|-] [flags]", Short: "Send one command, or a stream of them, and print the answers",
		Long: `Sends one command; its payload is JSON, @FILE to read it from a file, - to read it
from stdin, and {} if it is left out. The answer comes after the command is on
disk. Every command has an idempotency key, so that it is sent again safely where
no answer comes. If there is none in the end (exit code 5) the message names the
key, and the same command with it applies once.

With - in the place of NAME each line of stdin is a whole command with its
envelope, as POST /command takes it, and is answered by a line as soon as it is
durable. A refused line does not stop those after it; it makes the exit code 1, or
5 where the outcome of one is unknown. A connection that breaks is taken up again,
and each command happens once.`,
		Example: `  swoosh command project.create '{"project":"alpha","name":"Alpha"}'
  swoosh command ingestion.resolve - < payload.json
  swoosh command - --json < commands.ndjson`,
		Args: takes("NAME", "[JSON|@FILE|-]"),
	}
	cmd.ValidArgsFunction = completeCommand
	connection, out := newConnection(cmd, s.err), newOutput(cmd, s.out)
	cmd.Flags().StringVar(&key, "key", "", "idempotency key: the same one again applies once (default: a new random one)")
	cmd.Flags().StringVar(&keySince, "key-since", "", "the newest hlc that was known when the key was made: repeat it with the key (default: asked for)")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if args[0] == "-" {
			if len(args) > 1 || cmd.Flags().Changed("key") || cmd.Flags().Changed("key-since") {
				return exitf(codeUsage, "payloads and keys of a stream stand in its lines: give - alone")
			}
			return sendLines(cmd.Context(), connection, s, out)
		}
		command := client.Command{Name: args[0], Key: key, KeySince: keySince}
		if err := swoosh.Key(key).Validate(); cmd.Flags().Changed("key") && err != nil {
			return exitf(codeUsage, "--key %q is no key: it %w", key, err)
		}
		if len(args) > 1 {
			payload, err := readPayload(cmd.Context(), s.in, args[1])
			if err != nil {
				return err
			}
			command.Payload = payload
		}
		return sendOne(cmd.Context(), connection, out, command)
	}
	return cmd
}

// readPayload reads a payload. What it says is for the server to judge; here it
// must be one JSON value.
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
		return nil, exitf(codeUsage, "the payload has more than %d bytes, which no server takes: make it smaller, or several commands", payloadMaxBytes)
	}
	if !json.Valid(payload) {
		return nil, exitf(codeUsage, "the payload is not JSON: give an object such as '{\"project\":\"alpha\"}', @FILE, or - to read it from stdin")
	}
	return payload, nil
}

// readStdin ends with ctx, though nobody can end a read of a terminal.
func readStdin(ctx context.Context, stdin io.Reader) (payload []byte, err error) {
	read := make(chan struct{})
	go func() {
		defer close(read)
		payload, err = io.ReadAll(io.LimitReader(stdin, payloadMaxBytes+1))
	}()
	select {
	case <-ctx.Done():
		return nil, exitf(codeFailed, "it was stopped")
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
	if out.json {
		_ = out.printJSON(refused) // The error says the same.
	}
	end := failed(refused)
	if len(refused.Again) == 1 {
		again := refused.Again[0]
		end = exitf(exitCode(end), "%w; to find out, send the same again with --key %s --key-since %s", end, again.Key, again.KeySince)
	}
	return end
}

// printResult prints the answer to an accepted command. Where that fails the
// command has happened all the same.
func printResult(out *output, r client.Result) error {
	err := out.print(r, "entry", fmt.Sprint(r.Index), "outcome", outcomeOf(r), "hlc", printable(r.HLC), "state hash", printable(r.StateHash))
	if err != nil {
		return exitf(codeUnknown, "it is entry %d, but the answer cannot be printed: %w", r.Index, err)
	}
	return nil
}

// outcomeOf is what an accepted command did, in a word.
func outcomeOf(r client.Result) string {
	switch {
	case r.Duplicate:
		return "duplicate"
	case r.Changed:
		return "changed"
	}
	return "unchanged"
}
