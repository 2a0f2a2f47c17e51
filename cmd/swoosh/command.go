package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/chorus-services/swoosh"
)

// commandTimeout is longer than a server takes: after 60 s it answers that it
// does not know yet.
const commandTimeout = 90 * time.Second

// payloadMaxBytes is more than a server takes, so that the server refuses.
const payloadMaxBytes = 2 << 20

func newCommand(s streams) *cobra.Command {
	var key string
	cmd := &cobra.Command{
		Use: "command NAME|- [JSON|@FILE|-] [--key KEY]", Short: "Send one command, or a stream of them, and print the answers",
		Long: `Sends one command; its payload is JSON, @FILE to read it from a file, - to read
it from stdin, and {} if it is left out. The answer comes after the command is on disk, and is printed as
JSON. Nothing is retried: where the outcome is unknown (exit code 5) the message
names the key, and the same command with that --key tells, and applies once.

With - in the place of NAME each line of stdin is a whole command with its
envelope, and is answered by a line as soon as it is durable. A refused line does
not stop those after it; it makes the exit code 1, or 5 where the outcome of one is
unknown.`,
		Example: `  swoosh command project.create '{"project":"alpha","name":"Alpha"}'
  swoosh command ingestion.resolve - < payload.json
  swoosh command - < commands.ndjson`,
		Args: takes("NAME", "[JSON|@FILE|-]"),
	}
	cmd.ValidArgsFunction = completeCommand
	c := newClient(cmd)
	cmd.Flags().StringVar(&key, "key", "", "idempotency key: the same one again applies once (default: a new random one)")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if args[0] == "-" {
			if len(args) > 1 || cmd.Flags().Changed("key") {
				return exitf(codeUsage, "payloads and keys of a stream stand in its lines: give - alone")
			}
			return c.stream(cmd.Context(), s.in, s.out)
		}
		if !cmd.Flags().Changed("key") {
			key = newKey()
		} else if err := swoosh.Key(key).Validate(); err != nil {
			return exitf(codeUsage, "--key %q is no key: it %w", key, err)
		}
		body, err := commandBody(s.in, args, key)
		if err != nil {
			return err
		}
		ctx, cancel := context.WithTimeout(cmd.Context(), commandTimeout)
		defer cancel()
		return c.printJSON(ctx, s.out, request{
			method: http.MethodPost, path: "/command", body: bytes.NewReader(body),
			header: map[string]string{"Content-Type": "application/json"},
			lost:   codeUnknown, hint: fmt.Sprintf("; to find out, send the same again with --key %s", key),
		})
	}
	return cmd
}

// commandBody is the envelope around a payload. What the payload says is for
// the server to judge; here it must be one JSON value, since others would
// break out of the envelope.
func commandBody(stdin io.Reader, args []string, key string) ([]byte, error) {
	envelope := struct {
		Command string          `json:"command"`
		Payload json.RawMessage `json:"payload,omitempty"`
		Key     string          `json:"idempotency_key"`
	}{Command: args[0], Key: key}
	if len(args) > 1 {
		payload, err := readPayload(stdin, args[1])
		if err != nil {
			return nil, err
		}
		if !json.Valid(payload) {
			return nil, exitf(codeUsage, "the payload is not JSON: give an object such as '{\"project\":\"alpha\"}', or - to read it from stdin")
		}
		envelope.Payload = payload
	}
	return json.Marshal(envelope)
}

func readPayload(stdin io.Reader, given string) (payload []byte, err error) {
	if name, ok := strings.CutPrefix(given, "@"); ok {
		if payload, err = os.ReadFile(name); err != nil {
			return nil, exitf(codeUsage, "the payload cannot be read: %w", err)
		}
		return payload, nil
	}
	if given != "-" {
		return []byte(given), nil
	}
	if payload, err = io.ReadAll(io.LimitReader(stdin, payloadMaxBytes)); err != nil {
		return nil, exitf(codeFailed, "the payload cannot be read from stdin: %w", err)
	}
	return payload, nil
}

// newKey is a random key, in the form of a UUID (RFC 9562, version 4).
func newKey() string {
	var b [16]byte
	_, _ = rand.Read(b[:]) // It never fails (crypto/rand).
	b[6], b[8] = b[6]&0x0f|0x40, b[8]&0x3f|0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:])
}
