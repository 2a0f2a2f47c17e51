package program

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/chorus-services/swoosh/repair"
)

// repairing is a run of repair.
type repairing struct {
	*app
	out    *output
	dir    string
	accept repair.Accept
	undo   bool
	yes    bool
	said   int // findings that were printed before the question
}

func newRepair(a *app) *cobra.Command {
	r := &repairing{app: a}
	cmd := &cobra.Command{
		Use:   "repair DIR [--accept-loss] [--accept-reducer [--yes]] [--undo] [--json]",
		Short: "Explain damage, and mend it as far as you accept",
		Long: `Explains what is wrong with a directory and what mending it would change. Without a
flag it mends nothing, and ends with exit code 3 if there is something to mend.

--accept-loss goes on without entries that cannot be recovered. --accept-reducer
goes on with commands that were changed on purpose; it prints what changes and
asks before it writes. Without a terminal it needs --yes.

Nothing is deleted. What a repair replaces moves to DIR/lost/, and --undo puts it
back. Only the program that wrote a log can repair it: one that lacks any of its
commands or domains refuses. --undo reads no entry, so any program can undo.`,
		Args: takes("DIR"),
	}
	r.out = newOutput(cmd, a.out)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		r.dir = args[0]
		if r.undo && (r.accept.Reducer || r.yes) {
			return exitf(codeUsage, "--undo goes with --accept-loss and --json only")
		}
		if err := a.checkOwner(r.dir, "repair"); err != nil {
			return err
		}
		return r.run(cmd.Context())
	}
	cmd.Flags().BoolVar(&r.accept.Loss, "accept-loss", false, "go on without the entries that cannot be recovered")
	cmd.Flags().BoolVar(&r.accept.Reducer, "accept-reducer", false, "go on from the newest snapshot's state, although this program's commands make another state of the log")
	cmd.Flags().BoolVar(&r.yes, "yes", false, "do not ask before what --accept-reducer changes")
	cmd.Flags().BoolVar(&r.undo, "undo", false, "take back the last repair; with --accept-loss even if entries were accepted since")
	return cmd
}

func (r *repairing) run(ctx context.Context) error {
	o, clear := r.offline(r.dir, "checking")
	if r.undo {
		report, err := repair.Undo(o, r.accept)
		if err != nil {
			return err
		}
		return r.print(report)
	}
	accept := r.accept
	accept.Confirm = func(report repair.Report) error {
		clear()
		return r.confirm(ctx, report)
	}
	report, err := repair.Repair(ctx, o, accept, r.parts...)
	clear()
	var declined *declinedError
	if errors.As(err, &declined) && r.out.json {
		return errors.Join(r.out.printJSON(report), err)
	}
	if err != nil {
		if len(report.Wrote) > 0 { // A repair that was broken off may be finished all the same.
			err = errors.Join(err, r.print(repair.Report{Wrote: report.Wrote}))
		}
		return err
	}
	return r.print(report)
}

// declinedError says why a repair did not go on after its question.
type declinedError struct{ exit }

func (e *declinedError) Unwrap() error { return e.exit }

// confirm prints what --accept-reducer changes, and asks if there is a terminal.
func (r *repairing) confirm(ctx context.Context, report repair.Report) error {
	if !r.out.json {
		if err := r.say(report); err != nil {
			return err
		}
		r.said = len(report.Findings)
	}
	if r.yes {
		return nil
	}
	if r.out.json || !isTerminal(r.in) {
		return &declinedError{exit{codeUsage, fmt.Errorf("nothing was changed, and there is no terminal to ask on: to accept these changes, run: %s --yes", report.Next)}}
	}
	fmt.Fprint(r.err, "Go on? [y/N] ")
	if !agrees(ctx, r.in) {
		return &declinedError{exit{codeFailed, errors.New("nothing was changed")}}
	}
	return nil
}

func isTerminal(in io.Reader) bool {
	f, ok := in.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}

// agrees reads an answer. The end of ctx is a no.
func agrees(ctx context.Context, in io.Reader) bool {
	answer := make(chan string, 1)
	go func() {
		line, _ := bufio.NewReader(in).ReadString('\n') // An answer that cannot be read is a no.
		answer <- strings.ToLower(strings.TrimSpace(line))
	}()
	select {
	case text := <-answer:
		return text == "y" || text == "yes"
	case <-ctx.Done():
		return false
	}
}

// print prints a report, but for what was printed before the question.
func (r *repairing) print(report repair.Report) error {
	var err error
	if r.out.json {
		err = r.out.printJSON(report)
	} else {
		rest := report
		if r.said > 0 {
			rest.Findings, rest.Changes = rest.Findings[r.said:], nil
		}
		err = r.say(rest)
	}
	if report.Next != "" && err == nil {
		err = exitf(codeDamaged, "%s is not mended: run: %s", r.dir, report.Next)
	}
	return err
}

func (r *repairing) say(report repair.Report) error {
	lines := slices.Clone(report.Findings)
	if report.Changes != nil {
		lines = append(lines, changeLines(report.Changes)...)
	}
	for _, wrote := range report.Wrote {
		lines = append(lines, "written: "+wrote)
	}
	if len(lines) == 0 && report.Next == "" && r.said == 0 {
		lines = []string{"nothing is wrong with " + r.dir}
	}
	for i, line := range lines {
		lines[i] = printable(line)
	}
	_, err := fmt.Fprint(r.out, strings.Join(append(lines, ""), "\n"))
	return err
}

// rowsShown is how many rows that differ are printed; --json has more.
const rowsShown = 10

// changeLines says in words what accepting another reducer changes.
func changeLines(c *repair.Changes) []string {
	lines := []string{"Accepting the reducer changes this:"}
	if c.Entry > 0 {
		lines = append(lines, fmt.Sprintf("  first entry that differs: %d", c.Entry))
	}
	if c.Refused > 0 {
		lines = append(lines, fmt.Sprintf("  entries without effect:   %d", c.Refused))
	}
	lines = append(lines, fmt.Sprintf("  state hash now:           %s", c.Was), fmt.Sprintf("  state hash after it:      %s", c.Becomes))
	what := "  rows and fields changed:  %d"
	if !c.Exact && c.Count > 0 {
		what += ", or others that the old commands would have changed"
	}
	lines = append(lines, fmt.Sprintf(what, c.Count))
	for _, row := range c.Rows[:min(len(c.Rows), rowsShown)] {
		lines = append(lines, "    "+row)
	}
	if more := c.Count - rowsShown; more > 0 {
		lines = append(lines, fmt.Sprintf("    and %d more", more))
	}
	return lines
}
