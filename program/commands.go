package program

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/chorus-services/swoosh"
	"github.com/chorus-services/swoosh/client"
)

func newCommands(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use: "commands [NAME] [flags]", Short: "List the commands, or explain one",
		Long: `Lists every command with the phases that it comes from and may end in, if the
terminal is wide enough. With NAME it explains that command, with the JSON Schema
of its payload. With --addr or {PROGRAM}_ADDR the list is the server's, otherwise
that of the domains that this program is built from.`,
		Example: a.explainExample(),
		Args:    takes("[NAME]"),
	}
	connection, out := newConnection(a, cmd), newOutput(cmd, a.out)
	cmd.ValidArgsFunction = connection.completeCommand
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		all, err := connection.commands(cmd.Context())
		switch {
		case err != nil:
			return err
		case len(args) == 1:
			return a.explain(out, args[0], all)
		case out.json:
			documents := []client.CommandInfo{}
			for _, c := range all {
				documents = append(documents, c.CommandInfo)
			}
			return out.printJSON(struct {
				Commands []client.CommandInfo `json:"commands"`
			}{documents})
		}
		return list(out, all)
	}
	return cmd
}

// described is a command in the catalogue.
type described struct {
	client.CommandInfo
	ends []string // the phases that it may end in, as people read them
}

// commands returns the server's commands if its address is given, otherwise those
// of the program's own domains.
func (c *connection) commands(ctx context.Context) ([]described, error) {
	if !c.isPointed() {
		return ownCommands(c.app.parts)
	}
	api, err := c.reach(ctx)
	if err != nil {
		return nil, err
	}
	infos, err := api.Commands(ctx)
	if err != nil {
		return nil, c.app.failed(err)
	}
	var all []described
	for _, i := range infos {
		all = append(all, described{i, i.To})
	}
	return all, nil
}

// ownCommands returns the commands of domains, as a server sends them.
func ownCommands(parts []swoosh.Part) ([]described, error) {
	var all []described
	for _, c := range swoosh.Describe(parts...) {
		raw, err := json.Marshal(c)
		if err != nil {
			return nil, err
		}
		d := described{ends: c.To}
		if c.Stay {
			d.ends = append(slices.Clip(c.To), "same")
		}
		if err := json.Unmarshal(raw, &d.CommandInfo); err != nil {
			return nil, err
		}
		all = append(all, d)
	}
	return all, nil
}

// completeMost bounds how long a shell waits for a completion.
const completeMost = time.Second

// completeCommand completes the name of a command: the server's, if its address is
// given and it answers soon, otherwise the program's own.
func (c *connection) completeCommand(cmd *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
	if len(args) > 0 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	ctx, cancel := context.WithTimeout(cmd.Context(), completeMost)
	defer cancel()
	all, err := c.commands(ctx)
	if err != nil {
		all, _ = ownCommands(c.app.parts) // A completion shows no errors.
	}
	var names []string
	for _, i := range all {
		names = append(names, i.Name+"\t"+i.Summary)
	}
	return names, cobra.ShellCompDirectiveNoFileComp
}

// list prints a line for each command. On a narrow terminal the summaries are worth
// more than the phases.
func list(out *output, all []described) error {
	var t table
	row := func(name, from, to, summary string) {
		if out.isWide() {
			t.row(name, from, to, summary)
		} else {
			t.row(name, summary)
		}
	}
	row("COMMAND", "FROM", "TO", "WHAT IT DOES")
	for _, c := range all {
		row(printable(c.Name), phases(c.From), phases(c.ends), printable(c.Summary))
	}
	for _, line := range t.lines() {
		if _, err := fmt.Fprintln(out, out.fit(line)); err != nil {
			return err
		}
	}
	return nil
}

// explain prints everything that is declared of a command.
func (a *app) explain(out *output, name string, all []described) error {
	var names []string
	for _, c := range all {
		names = append(names, c.Name)
		if c.Name != name {
			continue
		}
		if out.json {
			return out.printJSON(c.CommandInfo)
		}
		var schema bytes.Buffer
		if err := json.Indent(&schema, c.Schema, "", "  "); err != nil {
			return err
		}
		if c.Result != nil {
			schema.WriteString("\n\nresult, a JSON Schema:\n")
			if err := json.Indent(&schema, c.Result, "", "  "); err != nil {
				return err
			}
		}
		timer := ""
		if c.Timer != "" {
			timer = "timer:  " + printable(c.Timer) + "\n"
		}
		_, err := fmt.Fprintf(out, "%s: %s\nrole:   %s\nregion: %s\nfrom:   %s\nto:     %s\n%s\npayload, a JSON Schema:\n%s\n",
			c.Name, printable(c.Summary), printable(c.Role), cmp.Or(printable(c.Region), "-"), phases(c.From), phases(c.ends), timer, schema.Bytes())
		return err
	}
	return exitf(codeUsage, "there is no command %q%s", name, meant(name, names, a.name()+" commands lists them all"))
}

// phases returns phases as people read them: "" is one without a name, - is none.
func phases(names []string) string {
	if len(names) == 0 {
		return "-"
	}
	var all []string
	for _, name := range names {
		all = append(all, cmp.Or(printable(name), `""`))
	}
	return strings.Join(all, "|")
}
