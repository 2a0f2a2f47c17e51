package program

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"strconv"
	"strings"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/chorus-services/swoosh"
	"github.com/chorus-services/swoosh/repair"
)

func newVerify(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use: "verify DIR [--expect INDEX:CHAIN] [--signatures] [--json]", Short: "Check a directory: every entry, its chain and its state hash",
		Long: `Replays the whole log and holds every entry's chain and state hash, every
snapshot and both copies of the log against it. It mends and moves nothing, and refuses
a directory that a server is using. Damage ends it with exit code 3, naming the
first entry that is wrong and what differs.

It also asks every command again. Exit code 6: the directory is sound, but an entry
that these domains wrote would be refused by them now. What another version of them
wrote is named, and is no fault; {program} preflight tells more of it.

The chain has no key: who can write the directory can write another sound log. --expect
proves that the log goes on from a head that you noted elsewhere, from the server's log
or its health. --signatures checks the signature of each entry that has one, which only
its signer can have made.`,
		Args: takes("DIR"),
	}
	out := newOutput(cmd, a.out)
	expect := cmd.Flags().String("expect", "", "fail unless the log has this head, INDEX:CHAIN")
	signatures := cmd.Flags().Bool("signatures", false, "check every signature, too")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		head, err := parseHead(*expect)
		if err != nil {
			return err
		}
		verify := func(ctx context.Context, o swoosh.Options, parts ...swoosh.Part) (repair.VerifyReport, error) {
			return repair.VerifyWith(ctx, o, repair.Extra{Head: head, Signatures: *signatures}, parts...)
		}
		r, err := examination[repair.VerifyReport]{"verifying", verify, printReport}.run(cmd, a, out)
		if err == nil && r.Refused != nil && r.Refused.Same {
			err = refusedNow(r.Refused, "these domains accepted it: give them a new ReducerVersion if the rule was changed on purpose")
		}
		return err
	}
	return cmd
}

// examination looks at a directory without a server and prints what it finds.
type examination[Report any] struct {
	doing string // for the line of progress
	look  func(context.Context, swoosh.Options, ...swoosh.Part) (Report, error)
	print func(io.Writer, Report) error
}

// run examines the directory that is the command's argument.
func (x examination[Report]) run(cmd *cobra.Command, a *app, out *output) (r Report, err error) {
	dir := cmd.Flags().Arg(0)
	if err := a.checkOwner(dir, cmd.Name()); err != nil {
		return r, err
	}
	o, done := a.offline(dir, x.doing)
	r, err = x.look(cmd.Context(), o, a.parts...)
	done()
	switch {
	case err != nil:
		return r, err
	case out.json:
		return r, out.printJSON(r)
	}
	return r, x.print(out, r)
}

// parseHead reads INDEX:CHAIN; empty is the zero head.
func parseHead(text string) (head repair.Head, err error) {
	if text == "" {
		return head, nil
	}
	index, chain, _ := strings.Cut(text, ":")
	head.Index, err = strconv.ParseUint(index, 10, 64)
	if err == nil && head.Index > 0 {
		head.Chain, err = swoosh.ParseHash(chain)
	}
	if err != nil || head.Index == 0 {
		return head, exitf(codeUsage, "--expect %q is no head: give INDEX:CHAIN, such as %d:%s", text, 41, swoosh.Hash{0x9f})
	}
	return head, nil
}

// offline returns the options for work on a directory without a server, and a
// function that removes the line of progress. What is written there only its owner
// can read.
func (a *app) offline(dir, what string) (swoosh.Options, func()) {
	syscall.Umask(0o077)
	line := newStatus(a.err)
	log := slog.New(slog.NewTextHandler(line, nil))
	o := a.options()
	o.Dir, o.Logger, o.Progress = dir, log, line.progress(log, what)
	return o, line.clear
}

func printReport(w io.Writer, r repair.VerifyReport) error {
	found := fmt.Sprintf("entries %d to %d, %d in all", r.First, r.Last, r.Entries)
	if r.Entries == 0 {
		found = "an empty log"
	}
	if r.Base > 0 {
		found += fmt.Sprintf(", resting on snapshot %d", r.Base)
	}
	_, err := fmt.Fprintf(w, "sound: %s; snapshots: %d\nlast hlc:   %s\nstate hash: %s\nchain:      %s\n",
		found, r.Snapshots, r.HLC, r.StateHash, r.Chain)
	if err == nil && r.Signed != nil {
		_, err = fmt.Fprintf(w, "signatures: %d entries are signed, each by its signer\n", *r.Signed)
	}
	if err == nil && r.Answers > 0 {
		_, err = fmt.Fprintf(w, "answers:    entry %d is the first with a result that these domains do not give: another version of them may have answered it\n", r.Answers)
	}
	if err == nil && r.Refused != nil && !r.Refused.Same {
		_, err = fmt.Fprintf(w, "refused:    entry %d is the first that these domains would refuse now: another version of them may have accepted it\n", r.Refused.Index)
	}
	return err
}

// refusedNow is the finding of an entry that would be refused now.
func refusedNow(r *repair.Refusal, next string) error {
	return exitf(codeFound, "entry %d: %s would be refused now: %s: %s", r.Index, r.Command, r.Why, next)
}
