package program

import (
	"cmp"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"github.com/spf13/cobra"

	"github.com/chorus-services/swoosh/repair"
)

func newPreflight(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use: "preflight DIR [--json]", Short: "Try this program on a directory's history, before an upgrade",
		Long: `Replays the history in a directory with this program, and says what it would do
otherwise than the program that wrote it: the first entry that it would refuse, the
first with another answer, and the first of which it makes another state, with what it
changes there as a JSON Patch. Data that a start migrates is shown as it will be; the
history before it is not this program's to replay.

It changes nothing, and refuses a directory that a server is using: give it a copy.
Exit code 0: nothing was found. 6: something was. 3: the history is damaged.`,
		Args: takes("DIR"),
	}
	out := newOutput(cmd, a.out)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		r, err := examination[repair.PreflightReport]{"trying", repair.Preflight, printPreflight}.run(cmd, a, out)
		if err != nil {
			return err
		}
		return preflightFound(r)
	}
	return cmd
}

// preflightFound returns what weighs most of what was found; nil: nothing was.
func preflightFound(r repair.PreflightReport) error {
	switch d := r.Differs; {
	case d != nil && d.Index == 0:
		return exitf(codeFound, "%s: %s", d.Why, d.Next)
	case d != nil:
		return exitf(codeFound, "history differs at entry %d: %s: %s", d.Index, d.Why, d.Next)
	case r.Refused != nil:
		return refusedNow(r.Refused, "it stays applied; upgrade if the rule was changed on purpose")
	case r.Answers != 0:
		return exitf(codeFound, "entry %d has a result that this program does not give: upgrade if the answer was changed on purpose", r.Answers)
	}
	return nil
}

func printPreflight(w io.Writer, r repair.PreflightReport) error {
	var b strings.Builder
	tried := "an empty log"
	switch {
	case r.First == 0 && r.Last > 0:
		tried = fmt.Sprintf("nothing after the snapshot of entry %d, which the log rests on", r.Last)
	case r.First > 0:
		tried = fmt.Sprintf("entries %d to %d", r.First, r.Last)
	}
	took := time.Duration(r.Seconds * float64(time.Second)).Round(time.Millisecond)
	fmt.Fprintf(&b, "replayed:   %s, in %s\n", tried, took)
	for _, m := range r.Migrates {
		fmt.Fprintf(&b, "migrates:   %s from version %d to %d (%s): %d rows change\n", m.Domain, m.From, m.To, strings.Join(m.Steps, "; "), m.Rows)
		if m.Path != "" {
			fmt.Fprintf(&b, "  %s was %s, becomes %s\n", printable(m.Path), printable(cmp.Or(m.Before, "nothing")), printable(cmp.Or(m.After, "nothing")))
		}
	}
	if r.IsClean() {
		b.WriteString("clean:      this program accepts each entry and makes the same state of it\n")
	}
	if x := r.Refused; x != nil {
		fmt.Fprintf(&b, "refused:    entry %d is the first that would be refused now: %s: %s\n", x.Index, x.Command, printable(x.Why))
	}
	if r.Answers > 0 {
		fmt.Fprintf(&b, "answers:    entry %d is the first with another answer\n", r.Answers)
	}
	if d := r.Differs; d != nil {
		at := "the snapshot that the log rests on"
		if d.Index > 0 {
			at = fmt.Sprintf("entry %d, %s", d.Index, d.Command)
		}
		fmt.Fprintf(&b, "differs:    %s, is the first with another state; the replay ends there\n", at)
		if err := writePatch(&b, d.Patch); err != nil {
			return err
		}
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// patchLinesMost is how many operations of a patch are printed as text.
const patchLinesMost = 20

// writePatch writes what this program makes of an entry, a line for each row.
func writePatch(b *strings.Builder, patch jsontext.Value) error {
	if patch == nil {
		return nil
	}
	var all []struct {
		Op    string         `json:"op"`
		Path  string         `json:"path"`
		Value jsontext.Value `json:"value"`
	}
	if err := json.Unmarshal(patch, &all); err != nil {
		return err
	}
	b.WriteString("what this program changes there:\n")
	for _, op := range all[:min(len(all), patchLinesMost)] {
		fmt.Fprintf(b, "  %-7s %s\n", op.Op, strings.TrimSpace(printable(op.Path+" "+string(op.Value))))
	}
	if more := len(all) - patchLinesMost; more > 0 {
		fmt.Fprintf(b, "  and %d more: --json has them all\n", more)
	}
	return nil
}
