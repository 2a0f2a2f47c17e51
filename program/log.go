package program

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"math"
	"strings"
	"syscall"

	"github.com/go-json-experiment/json"
	"github.com/spf13/cobra"

	"github.com/chorus-services/swoosh/client"
	"github.com/chorus-services/swoosh/internal/durable"
	"github.com/chorus-services/swoosh/repair"
)

func newLog(a *app) *cobra.Command {
	var from, limit uint64
	var follow bool
	cmd := &cobra.Command{
		Use: "log [DIR] [flags]", Short: "Print the log's entries, a line each",
		Long: `Prints the entries in their order, to the end of the log as it is now. What a
command answered stands after its payload and an arrow. With
--follow it continues with new entries, as "{program} watch" does.

With DIR it reads that directory instead of asking a server: the data directory of
a stopped server, or a log that a repair set aside, such as
{program}-data/lost/log-1. Nothing there changes. Damage is stepped over; the exit
code is then 3, and the message names the entries that are missing.`,
		Example: `  {program} log --from 2 --limit 3
  {program} log --commands 'boot.*,control.pause'
  {program} log --json | jq -c '{index, command}'`,
		Args: takes("[DIR]"),
	}
	connection, out, only := newConnection(a, cmd), newOutput(cmd, a.out), newOnly(cmd)
	cmd.Flags().Uint64Var(&from, "from", 0, "index of the first entry (default: the first one)")
	cmd.Flags().Uint64Var(&limit, "limit", math.MaxUint64, "most entries to print (default: all)")
	cmd.Flags().Lookup("limit").DefValue = "0"
	bound(cmd.Flags(), "from", &from, 0, entriesMost)
	bound(cmd.Flags(), "limit", &limit, 0, entriesMost)
	cmd.Flags().BoolVar(&follow, "follow", false, "continue with new entries, until ^C")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		switch {
		case cmd.Flags().Changed("from") && from == 0:
			return exitf(codeUsage, "--from is 0: the first entry is 1")
		case limit == 0:
			return exitf(codeUsage, "--limit is 0: it must be 1 or more")
		case follow && cmd.Flags().Changed("limit"):
			return exitf(codeUsage, "--follow has no end, so it takes no --limit: leave one of them out")
		case follow && len(args) == 1:
			return exitf(codeUsage, "--follow is for the log of a server, and %s does not grow: leave --follow out", args[0])
		case len(args) == 1 && only.given():
			return exitf(codeUsage, "--commands and --key ask a server, and %s is read without one: leave them out, and pick from the lines of --json", args[0])
		case len(args) == 1:
			return printEntries(out, a.storedEntries(args[0], from), limit)
		}
		api, err := connection.reach(cmd.Context())
		if err != nil {
			return err
		}
		if follow {
			if from == 0 {
				from, err = firstKept(cmd.Context(), api)
			}
			if err != nil {
				return a.failed(err)
			}
			return a.printComing(cmd.Context(), out, api, from, only)
		}
		return a.failed(printEntries(out, api.Log(cmd.Context(), from, only.options()...), limit))
	}
	return cmd
}

// only holds the flags that pick entries.
type only struct {
	commands []string
	key      string
}

// newOnly returns the flags and adds them to cmd.
func newOnly(cmd *cobra.Command) *only {
	o := new(only)
	cmd.Flags().StringSliceVar(&o.commands, "commands", nil, "only these commands, with commas between them; region.* means all of a region")
	cmd.Flags().StringVar(&o.key, "key", "", "only the entries of the command or batch with this idempotency key")
	return o
}

func (o *only) given() bool { return len(o.options()) > 0 }

func (o *only) options() (all []client.LogOption) {
	if len(o.commands) > 0 {
		all = append(all, client.OnlyCommands(o.commands...))
	}
	if o.key != "" {
		all = append(all, client.OnlyKey(o.key))
	}
	return all
}

// firstKept returns the index of the log's first entry, or 1 if it is empty.
func firstKept(ctx context.Context, api *client.Client) (uint64, error) {
	for entry, err := range api.Log(ctx, 0) {
		return entry.Index, err
	}
	return 1, nil
}

// printEntries prints at most limit entries.
func printEntries(out *output, entries iter.Seq2[client.Entry, error], limit uint64) error {
	w := bufio.NewWriter(out)
	rows := entryRows{out: out, w: w}
	for entry, err := range entries {
		if err != nil {
			return errors.Join(err, w.Flush())
		}
		if err := rows.print(entry); err != nil {
			return err
		}
		if limit--; limit == 0 {
			break
		}
	}
	return w.Flush()
}

// entryRows prints entries, a line each.
type entryRows struct {
	out   *output
	w     io.Writer
	begun bool
}

func (r *entryRows) print(e client.Entry) error {
	if r.out.json {
		_, err := fmt.Fprintf(r.w, "%s\n", e.Raw)
		return err
	}
	if !r.begun {
		r.begun = true
		fmt.Fprintln(r.w, r.out.paint(bold, r.line("INDEX", "TIME", "COMMAND", "BY", "PAYLOAD")))
	}
	payload := string(e.Payload)
	if e.Result != nil {
		payload += " → " + string(e.Result)
	}
	line := r.line(fmt.Sprint(e.Index), timeOf(e.HLC, r.layout()), printable(e.Command), printable(by(e)), printable(payload))
	if !e.Changed {
		line = r.out.paint(dim, line)
	}
	_, err := fmt.Fprintln(r.w, line)
	return err
}

// by returns who is behind an entry: who signed it, or else who sent it. A key that signs
// for itself is cut.
func by(e client.Entry) string {
	switch e.SignerKey {
	case "":
		return e.Actor
	case e.Signer:
		return "key " + e.Signer[:8]
	}
	return e.Signer
}

// line lays out a line. With little room, who is behind the entry follows the command
// directly, and both are cut in favour of the payload.
func (r *entryRows) line(index, at, command, by, payload string) string {
	width := len(r.layout())
	if r.out.isWide() {
		return r.out.fit(fmt.Sprintf("%8s  %-*s  %s  %s  %s", index, width, at, pad(command, 24), pad(by, 12), payload))
	}
	what := cut(strings.TrimSpace(command+" "+by), 26)
	return r.out.fit(fmt.Sprintf("%6s  %-*s  %s  %s", index, width, at, pad(what, 18), payload))
}

// layout returns the layout of times for the room that there is.
func (r *entryRows) layout() string {
	switch {
	case r.out.isWide():
		return "2006-01-02T15:04:05.000Z"
	case r.out.width >= 80:
		return "2006-01-02T15:04:05Z"
	}
	return "15:04:05Z"
}

// storedEntries reads the log in a directory without a server: a data directory, or
// a log that a repair set aside. It changes nothing there.
func (a *app) storedEntries(dir string, from uint64) iter.Seq2[client.Entry, error] {
	return func(yield func(client.Entry, error) bool) {
		for record, err := range repair.ReadLog(dir, from) {
			var e client.Entry
			if err != nil {
				err = a.notStored(dir, err)
			} else {
				e.Raw = record.AppendJSON(nil)
				err = json.Unmarshal(e.Raw, &e)
			}
			if !yield(e, err) || err != nil {
				return
			}
		}
	}
}

// notStored says what to do about a directory whose log cannot be read.
func (a *app) notStored(dir string, err error) error {
	switch {
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, syscall.ENOTDIR):
		return exitf(codeFailed, "%s is not a log: name a data directory, or a log that a repair set aside, such as %s-data/lost/log-1", dir, a.name())
	case errors.Is(err, durable.ErrLocked):
		return exitf(codeFailed, "%s is in use by a server: ask that one with --addr and without %s, or stop it", dir, dir)
	}
	return err
}

// printComing prints entries from an index on, 0 for the next one, until ctx ends,
// which is not a failure.
func (a *app) printComing(ctx context.Context, out *output, api *client.Client, from uint64, only *only) error {
	rows := entryRows{out: out, w: out}
	for entry, err := range api.Watch(ctx, from, only.options()...) {
		if ctx.Err() != nil {
			return nil
		}
		if err == nil {
			err = rows.print(entry)
		}
		if err != nil {
			return a.failed(err)
		}
	}
	return nil
}
