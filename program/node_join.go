package program

import (
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/chorus-services/swoosh/agent"
	"github.com/chorus-services/swoosh/client"
)

func newNodeJoin(a *app) *cobra.Command {
	var j agent.Joining
	var expires time.Duration
	cmd := &cobra.Command{
		Use: "join URL [flags]", Short: "Make this machine a node of a hub",
		Long: `Makes a key if the directory has none, registers it with the hub, and notes there where
the hub is. URL is https://, http:// or unix:PATH. A key has one id for ever: joining
again, also after it was broken off, gives the same one. It does not start the node.

If the key of a node is lost, join with --as on the machine that takes its place: it
prints what an admin runs, and waits for that.`,
		Args: takes("URL"),
	}
	c, out, options := atHub(a, cmd)
	c.flags.StringVar(&c.tokenFile, "token-file", "", "`FILE` with the node's token alone; the node reads it whenever it connects")
	c.flags.StringVar(&c.ca, "ca-file", "", "`FILE` with the authorities (PEM) of the hub's certificate (also {PROGRAM}_CA_FILE; default: the machine's)")
	c.flags.StringVar(&j.Owner, "owner", "", "who the node belongs to, an id; it never changes")
	c.flags.StringVar(&j.Hostname, "hostname", "", "readable name of the node (default: the one that it has, or none)")
	c.flags.StringVar(&j.As, "as", "", "the node that this machine is to be, such as n17, whose key was lost")
	c.flags.DurationVar(&expires, "expires", 0, "after how long the key expires; 0: never, or as it was")
	bound(c.flags, "expires", &expires, 0, centuryMost)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if j.Owner == "" {
			return exitf(codeUsage, "--owner is missing: say who the node belongs to, such as --owner acme")
		}
		if !c.flags.Changed("ca-file") && !strings.HasPrefix(args[0], unixPrefix) {
			c.ca = os.Getenv(a.variable("ca-file"))
		}
		if _, err := c.token(); err != nil {
			return err
		}
		if _, err := c.tlsConfig(); err != nil {
			return err
		}
		j.Address, j.TokenFile, j.CAFile, j.Expires = args[0], c.tokenFile, c.ca, after(expires)
		if !strings.HasPrefix(j.Address, unixPrefix) && !strings.Contains(j.Address, "://") {
			j.Address = "http://" + j.Address
		}
		if _, err := client.New(j.Address, client.Options{}); err != nil {
			return exitf(codeUsage, "URL: %w", err)
		}
		j.Ask = func(r agent.Rekey) {
			if out.json {
				_ = out.printJSON(r) // The end of join says what became of it.
				return
			}
			fmt.Fprintf(out, "an admin makes this machine %s with: %s nodes rekey %[1]s %[3]s %[4]s\n", printable(r.Node), a.name(), r.PublicKey, r.Proof)
		}
		o, err := options()
		if err != nil {
			return err
		}
		joined, err := agent.Join(cmd.Context(), o, j)
		if joined.Made && !out.json {
			fmt.Fprintf(out, "made key %s  %s\n", printable(o.Dir+"/key"), shortKey(joined.PublicKey))
		}
		if err != nil {
			return a.nodeFailed(err)
		}
		start := a.name() + " node"
		if c.flags.Changed("dir") {
			start += " --dir " + o.Dir
		}
		return out.say(joined, "joined hub %.6s… as %s; start it with: %s", joined.Hub, joined.Node, start)
	}
	return cmd
}

// after returns the time after d from now; zero if d is.
func after(d time.Duration) time.Time {
	if d == 0 {
		return time.Time{}
	}
	return time.Now().Add(d)
}
