package program

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"github.com/spf13/cobra"

	"github.com/chorus-services/swoosh/client"
	"github.com/chorus-services/swoosh/fleet"
	"github.com/chorus-services/swoosh/noun"
)

// hasFleet reports whether a program has the domain fleet.
func (a *app) hasFleet() bool { return a.hasCommands([]string{"fleet.register", "network.create"}) }

// fleetCall is a call of a command line of the fleet.
type fleetCall struct {
	*connection
	out  *output
	ctx  context.Context
	api  *client.Client
	args []string
	run  func(*fleetCall) error
}

// newFleetCommand returns a command line of the fleet. Its arguments are the upper-case
// words of use: NODE, PEER and NETWORK are completed, and NODE and PEER must have the form
// of a node.
func newFleetCommand(a *app, use, short, long string, run func(*fleetCall) error) (*cobra.Command, *fleetCall) {
	cmd, f := newFleetCall(a, use, short, long, run)
	f.asNode()
	return cmd, f
}

// newFleetCall is newFleetCommand for what no node signs.
func newFleetCall(a *app, use, short, long string, run func(*fleetCall) error) (*cobra.Command, *fleetCall) {
	words := strings.Fields(use)[1:]
	cmd := &cobra.Command{Use: use + " [flags]", Short: short, Long: long}
	f := &fleetCall{connection: newConnection(a, cmd), out: newOutput(cmd, a.out), run: run}
	cmd.ValidArgsFunction = f.completeRows(words)
	count := takes(words...)
	cmd.Args = func(cmd *cobra.Command, args []string) error {
		for i, word := range words[:min(len(args), len(words))] {
			if word = strings.Trim(word, "[]"); word != "NODE" && word != "PEER" {
				continue
			}
			if err := fleet.NodeID(args[i]).Validate(); err != nil {
				return exitf(codeUsage, "%s is %.40q: it %w%s", word, args[i], err, commandMeant(cmd, args[i]))
			}
		}
		return count(cmd, args)
	}
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		f.ctx, f.args = cmd.Context(), args
		var err error
		if f.api, err = f.reach(f.ctx); err != nil {
			return err
		}
		return f.run(f)
	}
	return cmd, f
}

// commandMeant suggests the command that was perhaps meant by a word.
func commandMeant(cmd *cobra.Command, word string) string {
	var names []string
	for _, c := range cmd.Commands() {
		names = append(names, c.Name())
	}
	if len(names) == 0 {
		return ""
	}
	return meant(word, names, helpOf(cmd)+" lists the commands")
}

// node returns the i-th argument as a node.
func (f *fleetCall) node(i int) fleet.NodeID { return fleet.NodeID(f.args[i]) }

// network returns the i-th argument as a network.
func (f *fleetCall) network(i int) noun.ID { return noun.ID(f.args[i]) }

// send sends a command. It prints the answer with --json, otherwise what say makes of it.
func (f *fleetCall) send(name string, payload any, say func(client.Result) (string, error)) error {
	result, err := f.api.Do(f.ctx, client.Command{Name: name, Payload: payload})
	return f.sent(result, err, say)
}

// sent is send after the answer.
func (f *fleetCall) sent(result client.Result, err error, say func(client.Result) (string, error)) error {
	var refused *client.Error
	if errors.As(err, &refused) {
		end := f.refused(f.out, refused)
		if len(refused.Again) == 1 {
			end = exitf(exitCode(end), "%w; to find out, run: %s outcome %s", end, f.app.name(), refused.Again[0].Key)
		}
		return end
	}
	if err != nil {
		return err
	}
	if f.out.json {
		return f.out.printJSON(result)
	}
	text, err := say(result)
	if err == nil {
		_, err = fmt.Fprintln(f.out, printable(text))
	}
	if err != nil {
		return exitf(codeUnknown, "it is done by entry %d, but what follows cannot be said: %w", result.Index, err)
	}
	return nil
}

// done says what is so now, by which entry, and whether it was so before.
func done(format string, args ...any) func(client.Result) (string, error) {
	return func(r client.Result) (string, error) {
		text := fmt.Sprintf(format, args...) + fmt.Sprintf(", entry %d", r.Index)
		if !r.Changed {
			text += "; it was so before"
		}
		return text, nil
	}
}

// self returns the node that a call is about: that of a flag, otherwise the one of --dir.
func (f *fleetCall) self(flag, given string) (fleet.NodeID, error) {
	node := fleet.NodeID(given)
	if home, err := f.home(); home != nil && given == "" {
		node = fleet.NodeID(home.Node)
	} else if err != nil {
		return "", err
	}
	if node == "" {
		return "", exitf(codeUsage, "say which node it is, with %s, or with --dir as the node itself", flag)
	}
	if err := node.Validate(); err != nil {
		return "", exitf(codeUsage, "%s is %.40q: it %w", flag, string(node), err)
	}
	return node, nil
}

// getRow reads a row. Its error, if there is no such row, is NotFound.
func getRow[T any](f *fleetCall, table, key string) (T, error) {
	value, _, err := client.Get[T](f.ctx, f.api, "/fleet/"+table+"/"+key)
	return value, err
}

// missing adds to the error of a row that is not there how to find those that are.
func (f *fleetCall) missing(err error, what, list string) error {
	if client.IsCode(err, client.NotFound) {
		return exitf(codeFailed, "there is no %s: %s %s lists those that there are", what, f.app.name(), list)
	}
	return f.app.failed(err)
}

// completeRows completes the arguments that are keys of a table: NODE, PEER, NETWORK, and
// the ID of a window.
func (f *fleetCall) completeRows(words []string) cobra.CompletionFunc {
	tables := map[string]string{"NODE": "/fleet/nodes", "PEER": "/fleet/nodes", "NETWORK": "/fleet/networks", "ID": "/window/windows"}
	return func(cmd *cobra.Command, args []string, word string) ([]string, cobra.ShellCompDirective) {
		if len(args) >= len(words) {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		return f.keys(cmd.Context(), tables[strings.Trim(words[len(args)], "[]")], word), cobra.ShellCompDirectiveNoFileComp
	}
}

// completeFlag completes a flag with the keys of a table.
func (f *fleetCall) completeFlag(cmd *cobra.Command, flag, table string) {
	_ = cmd.RegisterFlagCompletionFunc(flag, func(cmd *cobra.Command, _ []string, word string) ([]string, cobra.ShellCompDirective) { // It is there.
		return f.keys(cmd.Context(), "/fleet/"+table, word), cobra.ShellCompDirectiveNoFileComp
	})
}

// keys returns the first keys of a table that begin with a word, if the server answers
// soon.
func (f *fleetCall) keys(ctx context.Context, table, word string) (keys []string) {
	ctx, cancel := context.WithTimeout(ctx, completeMost)
	defer cancel()
	_ = f.flags.Set("retry", "0") // It is in the range.
	api, err := f.open()
	if err != nil || table == "" {
		return nil // A completion shows no errors.
	}
	type named struct {
		Hostname string `json:"hostname"`
		Name     string `json:"name"`
		Reason   string `json:"reason"`
	}
	rows, _, _ := client.Page[named](ctx, api, table, before(word), completedMost)
	for _, row := range rows {
		if strings.HasPrefix(row.Key, word) {
			keys = append(keys, row.Key+"\t"+printable(cmp.Or(row.Value.Hostname+row.Value.Name, row.Value.Reason)))
		}
	}
	return keys
}

// completedMost is how many keys a completion shows.
const completedMost = 100

// before returns a text that comes before a word of ASCII, and after every key that does
// and does not begin with it.
func before(word string) string {
	if word == "" {
		return ""
	}
	last := len(word) - 1
	return word[:last] + string(rune(word[last]-1)) + "\x7f"
}

// age returns how long ago something was, in the largest unit that says it well; a dash
// for never.
func age(ms uint64, now time.Time) string {
	if ms == 0 {
		return "–"
	}
	d := max(0, now.Sub(time.UnixMilli(int64(ms))))
	switch {
	case d < time.Minute:
		return fmt.Sprintf("%ds", d/time.Second)
	case d < time.Hour:
		return fmt.Sprintf("%dm", d/time.Minute)
	case d < 48*time.Hour:
		return fmt.Sprintf("%dh", d/time.Hour)
	}
	return fmt.Sprintf("%dd", d/(24*time.Hour))
}

// join joins words of any text type with commas.
func join[T ~string](words []T) string {
	var all []string
	for _, w := range words {
		all = append(all, string(w))
	}
	return strings.Join(all, ",")
}

// listing prints rows in columns, with what a terminal would obey escaped. It lays out
// some together, so that a long table takes little memory; if the first column has nodes,
// these are in the order of their numbers.
type listing struct {
	out   *output
	head  []string
	rows  [][]string
	begun bool
}

const laidOutTogether = 10_000

func (l *listing) row(cells ...string) error {
	for i, cell := range cells {
		cells[i] = printable(cell)
	}
	l.rows = append(l.rows, cells)
	if len(l.rows) == laidOutTogether {
		return l.flush()
	}
	return nil
}

// flush prints what there is, after the head.
func (l *listing) flush() error {
	if l.head[0] == "NODE" || l.head[0] == "PEER" {
		slices.SortStableFunc(l.rows, func(a, b []string) int {
			return cmp.Or(cmp.Compare(len(a[0]), len(b[0])), strings.Compare(a[0], b[0]))
		})
	}
	t := table{rows: append([][]string{l.head}, l.rows...)}
	lines := t.lines()
	for i, line := range lines {
		if line = strings.TrimRight(l.out.fit(line), " "); i == 0 {
			if line = l.out.paint(bold, line); l.begun {
				continue
			}
		}
		if _, err := fmt.Fprintln(l.out, line); err != nil {
			return err
		}
	}
	l.begun, l.rows = true, l.rows[:0]
	return nil
}

// withKey returns a row as JSON, with members before its own.
func withKey(row jsontext.Value, members string) jsontext.Value {
	if string(row) == "{}" {
		return jsontext.Value("{" + members + "}")
	}
	return append(jsontext.Value("{"+members+","), row[1:]...)
}

// quoted returns text as JSON.
func quoted(text string) []byte {
	b, _ := jsontext.AppendQuote(nil, strings.ToValidUTF8(text, "\ufffd")) // It fails for invalid UTF-8 alone.
	return b
}

// rawRow is a row with its JSON.
type rawRow[T any] struct {
	value T
	raw   jsontext.Value
}

// UnmarshalJSON keeps the JSON beside what it says.
func (r *rawRow[T]) UnmarshalJSON(b []byte) error {
	r.raw = bytes.Clone(b)
	return json.Unmarshal(b, &r.value)
}
