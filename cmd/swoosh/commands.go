package main

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/chorus-services/swoosh"
)

func newCommands(s streams) *cobra.Command {
	cmd := &cobra.Command{
		Use: "commands [NAME] [--json]", Short: "List the commands that a server takes, or explain one",
		Long: `Lists every command with the phases that it comes from and may end in, if the
terminal is wide enough; with NAME, that one with its payload's JSON Schema. A
running server says the same: GET /commands.`,
		Example:           `  swoosh commands project.create --json | jq .schema`,
		Args:              takes("[NAME]"),
		ValidArgsFunction: completeCommand,
	}
	out := newOutput(cmd, s.out)
	cmd.RunE = func(_ *cobra.Command, args []string) error {
		all := swoosh.Describe(parts()...)
		switch {
		case len(args) == 1:
			return explain(out, args[0], all)
		case out.json:
			return out.printJSON(struct {
				Commands []swoosh.CommandInfo `json:"commands"`
			}{all})
		}
		return list(out, all)
	}
	return cmd
}

// list prints a line for each command. On a terminal that has no room for the
// phases, the summaries are worth more.
func list(out *output, all []swoosh.CommandInfo) error {
	var table bytes.Buffer
	w := tabwriter.NewWriter(&table, 0, 0, 2, ' ', 0)
	row := func(name, from, to, summary string) {
		if out.isWide() {
			name += "\t" + from + "\t" + to
		}
		fmt.Fprintf(w, "%s\t%s\n", name, summary)
	}
	row("COMMAND", "FROM", "TO", "WHAT IT DOES")
	for _, c := range all {
		row(c.Name, phases(c.From), phases(ends(c)), c.Summary)
	}
	err := w.Flush()
	for line := range strings.Lines(table.String()) {
		_, wrote := fmt.Fprintln(out.w, out.fit(strings.TrimSuffix(line, "\n")))
		err = cmp.Or(err, wrote)
	}
	return err
}

// explain prints all that is declared of a command.
func explain(out *output, name string, all []swoosh.CommandInfo) error {
	var names []string
	for _, c := range all {
		names = append(names, c.Name)
		if c.Name != name {
			continue
		}
		if out.json {
			return out.printJSON(c)
		}
		var schema bytes.Buffer
		if err := json.Indent(&schema, c.Schema, "", "  "); err != nil {
			return err
		}
		_, err := fmt.Fprintf(out.w, "%s: %s\nrole:   %s\nregion: %s\nfrom:   %s\nto:     %s\n\npayload, a JSON Schema:\n%s\n",
			c.Name, c.Summary, swoosh.RoleFor(c), cmp.Or(c.Region, "-"), phases(c.From), phases(ends(c)), schema.Bytes())
		return err
	}
	return exitf(codeUsage, "there is no command %q%s", name, meant(name, names, "swoosh commands lists them all"))
}

// ends are the phases that a command may end in.
func ends(c swoosh.CommandInfo) []string {
	if c.Stay {
		return append(c.To[:len(c.To):len(c.To)], "same")
	}
	return c.To
}

func phases(names []string) string {
	if len(names) == 0 {
		return "-"
	}
	return strings.Join(names, "|")
}
