package program

import (
	"cmp"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/chorus-services/swoosh/agent"
)

func newNodeStatus(a *app) *cobra.Command {
	var listen string
	cmd := &cobra.Command{
		Use: "status [flags]", Short: "Print how the node is that runs on this machine",
		Long: `Prints how the node is. The exit code is 0 if it posts to its hub, 1 if it does not, and
4 if no node runs.`,
		Args: takes(),
	}
	out := newOutput(cmd, a.out)
	cmd.Flags().StringVar(&listen, "listen", defaultNodeListen, "address that the node listens on, or unix:PATH")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if err := checkListen(listen); err != nil {
			return err
		}
		s, err := agent.Status(cmd.Context(), listen)
		if err != nil {
			return a.nodeFailed(err)
		}
		if err := printNode(out, s, time.Now()); err != nil {
			return err
		}
		if !s.Hub.Since.IsZero() {
			return exitf(codeFailed, "the node does not post to its hub since %s: %s", s.Hub.Since.Format(time.RFC3339), s.Reasons[0])
		}
		return nil
	}
	return cmd
}

// printNode prints how a node is. What stands in its way comes last.
func printNode(out *output, s agent.State, now time.Time) error {
	if out.json {
		return out.printJSON(s)
	}
	node, reached, expires := strings.TrimSpace(s.Node+" "+s.Hostname), "not reached yet", "does not expire"
	if !s.Hub.Reached.IsZero() {
		reached = fmt.Sprintf("reached %s ago, entry %d", span(now.Sub(s.Hub.Reached)), s.Hub.Index)
	}
	switch left := s.Key.Expires.Sub(now); {
	case s.Phase == "" && s.Key.Expires.IsZero():
		expires = "its expiry is not known yet"
	case s.Key.Expires.IsZero():
	case left < 0:
		expires = "expired " + span(-left) + " ago"
	default:
		expires = "expires in " + span(left)
	}
	heartbeat := "none yet"
	if !s.Heartbeat.Last.IsZero() {
		heartbeat = span(now.Sub(s.Heartbeat.Last)) + " ago"
		if s.Hub.Since.IsZero() {
			heartbeat += ", next in " + span(s.Heartbeat.Next.Sub(now))
		}
	}
	var t table
	t.row("node", printable(node+", "+cmp.Or(s.Phase, "not known yet")), "hub", printable(s.Hub.Address+", "+reached))
	t.row("key", printable(shortKey(s.Key.PublicKey)+", "+expires), "heartbeat", heartbeat)
	if err := t.print(out); err != nil {
		return err
	}
	for _, reason := range s.Reasons {
		if _, err := fmt.Fprintln(out, out.paint(red, printable(reason))); err != nil {
			return err
		}
	}
	return nil
}

// span returns a time in the largest unit that says it well.
func span(d time.Duration) string {
	switch d = max(0, d); {
	case d < time.Minute:
		return fmt.Sprintf("%d s", d/time.Second)
	case d < time.Hour:
		return fmt.Sprintf("%d min", d/time.Minute)
	case d < 48*time.Hour:
		return fmt.Sprintf("%d h", d/time.Hour)
	}
	return fmt.Sprintf("%d d", d/(24*time.Hour))
}
