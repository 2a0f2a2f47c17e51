package program

import (
	"cmp"
	"fmt"
	"log/slog"
	"strings"

	"github.com/spf13/cobra"

	"github.com/chorus-services/swoosh/guard"
)

func newGuards(a *app) *cobra.Command {
	return a.newGroup("guards", "Check the rules that judge commands",
		`Rules judge commands before the writer takes them: an expression in CEL, or a web
service that is asked. The server reads them with {program} serve --guards FILE.`,
		newGuardsCheck(a))
}

func newGuardsCheck(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use: "check FILE [flags]", Short: "Check a file of rules",
		Long: `Reads a file of rules as the server does, and says what is wrong with it: the rule,
the member, and the column in an expression. No web service is asked.`,
		Example: `  {program} guards check guards.json`,
		Args:    takes("FILE"),
	}
	out := newOutput(cmd, a.out)
	cmd.RunE = func(_ *cobra.Command, args []string) error {
		rules, err := guard.Open(args[0], a.parts, slog.New(slog.DiscardHandler))
		if err != nil {
			return exitf(codeUsage, "%w", err)
		}
		names := []string{}
		for _, g := range rules.Guards() {
			names = append(names, g.Name())
		}
		if out.json {
			return out.printJSON(map[string][]string{"rules": names})
		}
		_, err = fmt.Fprintf(out, "%s is good, rules: %s\n", args[0], cmp.Or(strings.Join(names, ", "), "none"))
		return err
	}
	return cmd
}
