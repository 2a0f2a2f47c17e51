package main

import (
	"bufio"
	"bytes"
	"context"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/spf13/cobra"
)

func newWatch(s streams) *cobra.Command {
	var from uint64
	cmd := &cobra.Command{
		Use: "watch [--from INDEX]", Short: "Print entries as they come, a line each",
		Long: `Prints each entry as it becomes durable, a line of JSON, until it is stopped
with ^C. Where the connection is lost, or the server restarts, it goes on with the
next entry: none is missed, none is printed twice.`,
		Example: `  swoosh watch --from 1 | jq -c '{index, command}'`,
		Args:    takes(),
	}
	c := newClient(cmd)
	cmd.Flags().Uint64Var(&from, "from", 0, "index of the first entry (default: the next one)")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if cmd.Flags().Changed("from") && from == 0 {
			return exitf(codeUsage, "--from is 0: entries are counted from 1")
		}
		return c.follow(cmd.Context(), s.out, from)
	}
	return cmd
}

// watchAgain is how long a lost watch waits until it asks again.
const watchAgain = time.Second

// follow prints entries from an index on, 0 for the next one, until ctx ends. A
// refusal ends it, and so does a server that is not there when it is first asked.
func (c *client) follow(ctx context.Context, w io.Writer, from uint64) error {
	for asked := false; ; asked = true {
		next, err := c.watchOnce(ctx, w, from)
		if ctx.Err() != nil {
			return nil
		}
		lost := exitCode(err) == codeUnreachable
		if err != nil && !(lost && (asked || next != from)) {
			return err
		}
		from = next
		select {
		case <-time.After(watchAgain):
		case <-ctx.Done():
			return nil
		}
	}
}

// watchOnce prints what one connection brings, and gives the index to go on at.
func (c *client) watchOnce(ctx context.Context, w io.Writer, from uint64) (next uint64, err error) {
	query := url.Values{}
	if from > 0 {
		query.Set("from", strconv.FormatUint(from, 10))
	}
	answer, err := c.send(ctx, request{method: http.MethodGet, path: "/watch", query: query, lost: codeUnreachable})
	if err != nil {
		return from, err
	}
	defer answer.Body.Close()
	if from == 0 { // What comes is behind what was there when it was asked for.
		at, _ := strconv.ParseUint(answer.Header.Get("Swoosh-Index"), 10, 64)
		from = at + 1
	}
	return copyEvents(w, answer.Body, from)
}

// copyEvents prints the entries among server-sent events. That they end is not
// an error: they are asked for again.
func copyEvents(w io.Writer, events io.Reader, next uint64) (uint64, error) {
	lines := bufio.NewReader(events)
	var index uint64
	for {
		line, err := lines.ReadBytes('\n')
		if err != nil {
			return next, nil
		}
		field, value, _ := bytes.Cut(bytes.TrimSuffix(line, []byte("\n")), []byte(": "))
		switch string(field) {
		case "id":
			index, _ = strconv.ParseUint(string(value), 10, 64)
		case "data":
			if index < next {
				continue // A problem has no id of its own.
			}
			if _, err := w.Write(append(value, '\n')); err != nil {
				return next, err
			}
			next = index + 1
		}
	}
}
