package program

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/chorus-services/swoosh/agent"
	"github.com/chorus-services/swoosh/client"
)

const (
	defaultNodeDir    = "./{program}-node"
	defaultNodeListen = "127.0.0.1:8421"
)

// nodeFlags are the flags of node, with those of its log.
type nodeFlags struct {
	serveFlags
	heartbeat time.Duration
}

func newNode(a *app) *cobra.Command {
	var f nodeFlags
	cmd := &cobra.Command{
		Use: "node [flags]", Short: "Run a node of the fleet",
		Long: `Runs the node that joined a hub from a directory: it registers, says every few minutes
that it is there, and goes on while the hub is away. "{program} node join" makes the
directory, "{program} node status" tells how it is.

On --listen it answers GET /node and GET /readyz to this machine alone. It logs on
stderr. SIGTERM and SIGINT stop it; the exit code is 0, or 1 if the stop was not in
order, or if another program has registered with the same key since.`,
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) > 0 {
				return unknownCommand(cmd, args)
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, _ []string) error {
			signal.Ignore(syscall.SIGPIPE) // Who reads stdout or stderr may go away: the node lives on.
			return f.run(cmd.Context(), a)
		},
	}
	flags := cmd.Flags()
	flags.SortFlags = false
	flags.StringVar(&f.dir, "dir", a.text(defaultNodeDir), "`DIR` of the node; one process at a time")
	flags.StringVar(&f.listen, "listen", defaultNodeListen, "address of this machine to listen on, or unix:PATH; port 0 takes a free one")
	flags.DurationVar(&f.heartbeat, "heartbeat", 5*time.Minute, "about how often to say that the node is there")
	bound(flags, "heartbeat", &f.heartbeat, agent.HeartbeatLeast, agent.HeartbeatMost)
	flags.StringVar(&f.logLevel, "log-level", "info", "debug, info, warn or error")
	flags.StringVar(&f.logFormat, "log-format", "text", "text or json")
	cmd.AddCommand(newNodeJoin(a), newNodeStatus(a), newNodeRotateKey(a), newNodeLeave(a))
	return cmd
}

func (f *nodeFlags) run(ctx context.Context, a *app) error {
	if err := checkListen(f.listen); err != nil {
		return err
	}
	if isOpenToOthers(f.listen) {
		return exitf(codeUsage, "--listen %s is open to other machines, and whoever reaches it may read all that the node knows: listen on 127.0.0.1, or on unix:PATH", f.listen)
	}
	log, err := f.logger(newStatus(a.err))
	if err == nil {
		err = a.checkOwner(f.dir, "node --dir")
	}
	if err != nil {
		return err
	}
	syscall.Umask(0o077)
	ln, err := listenOn(f.listen, false, "")
	if err != nil {
		return err
	}
	o := agent.Options{Dir: f.dir, Logger: log, About: agent.About{Version: a.build.Version}, Heartbeat: f.heartbeat, Listener: ln, Engine: a.options(), Metrics: newRegistry(a.build)}
	o.Work = func(_ context.Context, n *agent.Node) error {
		at := "http://" + ln.Addr().String()
		if ln.Addr().Network() == "unix" {
			at = unixPrefix + ln.Addr().String()
		}
		if _, err := fmt.Fprintf(a.out, "listening on %s as %s of %s\n", at, n.ID(), printable(n.State().Hub.Address)); err != nil {
			log.Warn("the address could not be printed on stdout", "why", err)
		}
		notify("READY=1\nSTATUS=%s of %s", n.ID(), n.State().Hub.Address)
		return nil
	}
	err = agent.Run(ctx, o)
	notify("STOPPING=1")
	return a.nodeFailed(err)
}

// nodeFailed adds to an error of a node its exit code and the command that may help.
func (a *app) nodeFailed(err error) error {
	var e *client.Error
	switch {
	case errors.Is(err, agent.ErrNotJoined):
		return exitf(codeUsage, "%w: %s node join URL --owner OWNER", err, a.name())
	case errors.Is(err, agent.ErrNotRunning):
		return exitf(codeUnreachable, "%w: %s node starts it, --listen says where it listens", err, a.name())
	case errors.As(err, &e):
		text, next := cmp.Or(e.Code, client.NoAnswer)+": "+detailOf(e)+reasonsOf(e), ""
		var certificate *tls.CertificateVerificationError
		switch {
		case errors.As(e, &certificate):
			next = ": --ca-file of %s node join names it"
		case e.Code == client.Unauthorized:
			next = ": --token-file of %s node join names the file of the node's token"
		}
		if next != "" {
			text += fmt.Sprintf(next, a.name())
		}
		return exitf(exitCode(a.failed(e)), "%s", text)
	}
	return err
}

// atHub adds the flags that all calls of a node at its hub have, and returns the options
// that they make.
func atHub(a *app, cmd *cobra.Command) (*connection, *output, func() (agent.Options, error)) {
	c := &connection{app: a, flags: cmd.Flags(), log: a.err}
	dir := c.flags.String("dir", a.text(defaultNodeDir), "`DIR` of the node")
	c.flags.DurationVar(&c.retry, "retry", 30*time.Second, "how long to retry while the hub restarts or is overloaded; 0: try once")
	bound(c.flags, "retry", &c.retry, 0, dayMost)
	return c, newOutput(cmd, a.out), func() (agent.Options, error) {
		o := agent.Options{Dir: *dir, About: agent.About{Version: a.build.Version}, Retry: client.Retry{For: c.retry, Notify: c.notify}}
		if c.retry == 0 {
			o.Retry.Attempts = 1
		}
		return o, a.checkOwner(*dir, strings.TrimPrefix(cmd.CommandPath(), a.name()+" ")+" --dir")
	}
}

// say prints v with --json, otherwise a sentence.
func (o *output) say(v any, format string, args ...any) error {
	if o.json {
		return o.printJSON(v)
	}
	_, err := fmt.Fprintln(o, printable(fmt.Sprintf(format, args...)))
	return err
}

// shortKey returns what people tell a key by.
func shortKey(key string) string {
	if len(key) < 8 {
		return key
	}
	return key[:4] + "…" + key[len(key)-2:]
}

func newNodeRotateKey(a *app) *cobra.Command {
	var expires time.Duration
	cmd := &cobra.Command{
		Use: "rotate-key [flags]", Short: "Give the node another key",
		Long: `Makes another key, gives it to the hub, and puts it in the place of the one before,
which is refused from then on. A node that runs takes it by itself. Broken off, it is
completed by the next one, or by the node.`,
		Args: takes(),
	}
	c, out, options := atHub(a, cmd)
	c.flags.DurationVar(&expires, "expires", 0, "after how long the new key expires; 0: never")
	bound(c.flags, "expires", &expires, 0, centuryMost)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		o, err := options()
		if err != nil {
			return err
		}
		r, err := agent.RotateKey(cmd.Context(), o, after(expires))
		if err != nil {
			return a.nodeFailed(err)
		}
		old := fmt.Sprintf("the old one is refused from entry %d on", r.Index)
		if r.Index == 0 {
			old = "the hub had it already, from a rotation that was broken off"
		}
		return out.say(r, "%s signs with %s now, key number %d; %s", r.Node, shortKey(r.PublicKey), r.Number, old)
	}
	return cmd
}

func newNodeLeave(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use: "leave [flags]", Short: "Take the node out of the fleet",
		Long: `Takes the node out of the fleet. Its key, its data and its trust stay, and joining again
brings it back. A node that runs posts nothing more.`,
		Args: takes(),
	}
	_, out, options := atHub(a, cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		o, err := options()
		if err != nil {
			return err
		}
		left, err := agent.Leave(cmd.Context(), o)
		if err != nil {
			return a.nodeFailed(err)
		}
		return out.say(left, "%s deregistered, entry %d; key and data stay, node join brings it back", left.Node, left.Index)
	}
	return cmd
}
