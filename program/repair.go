package program

import (
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/chorus-services/swoosh/repair"
)

func newRepair(a *app) *cobra.Command {
	var accept repair.Accept
	cmd := &cobra.Command{
		Use: "repair DIR [--accept-loss] [--accept-reducer] [--json]", Short: "Explain damage, and mend it as far as you accept",
		Long: `Says what is wrong with a directory and what mending it would cost. Without a
flag it mends nothing. What is accepted as lost is written into a file and
into the log; nothing is deleted. While there is damage that was not accepted
it ends with exit code 3.`,
		Args: takes("DIR"),
	}
	out := newOutput(cmd, a.out)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if err := a.checkOwner(args[0], "repair"); err != nil {
			return err
		}
		o, done := a.offline(args[0], "checking")
		r, err := repair.Repair(cmd.Context(), o, accept, a.parts...)
		done()
		if err != nil {
			return err
		}
		return printRepair(out, args[0], r)
	}
	cmd.Flags().BoolVar(&accept.Loss, "accept-loss", false, "go on without the entries that cannot be saved")
	cmd.Flags().BoolVar(&accept.Reducer, "accept-reducer", false, "go on from the newest snapshot's state, where today's domains would give another one")
	return cmd
}

func printRepair(out *output, dir string, r repair.Report) error {
	var err error
	if out.json {
		err = out.printJSON(r)
	} else {
		err = printSentences(out.w, dir, r)
	}
	if r.Next != "" && err == nil {
		err = exitf(codeDamaged, "%s is damaged, and not everything is mended: run: %s", dir, r.Next)
	}
	return err
}

func printSentences(w io.Writer, dir string, r repair.Report) error {
	lines := slices.Clone(r.Findings)
	for _, wrote := range r.Wrote {
		lines = append(lines, "written: "+wrote)
	}
	if len(lines) == 0 && r.Next == "" {
		lines = []string{"nothing is wrong with " + dir}
	}
	_, err := fmt.Fprint(w, strings.Join(append(lines, ""), "\n"))
	return err
}
