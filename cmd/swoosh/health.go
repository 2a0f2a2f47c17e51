package main

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/chorus-services/swoosh"
)

func newHealth(s streams) *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use: "health [--json]", Short: "Say how the server is",
		Long: `Prints the server's account of itself. It ends with 0 if commands are taken, with
1 if not, and with 4 if the server is not reached.`,
		Args: takes(),
	}
	c := newClient(cmd)
	cmd.Flags().BoolVar(&asJSON, "json", false, "as JSON, as the server gives it")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		var body strings.Builder
		err := c.copyTo(cmd.Context(), &body, request{method: http.MethodGet, path: "/health", lost: codeUnreachable})
		if err != nil {
			return err
		}
		var h swoosh.Health
		if err := json.Unmarshal([]byte(body.String()), &h); err != nil {
			return exitf(codeFailed, "the answer is no account of a server's health: %w", err)
		}
		if asJSON {
			_, err = io.WriteString(s.out, strings.TrimSpace(body.String())+"\n")
		} else {
			err = printHealth(s.out, h)
		}
		if err == nil && h.Mode != "ready" {
			err = exitf(codeFailed, "the server takes no commands: %s", strings.Join(append([]string{h.Mode}, h.Reasons...), ": "))
		}
		return err
	}
	return cmd
}

func printHealth(to io.Writer, h swoosh.Health) error {
	w := tabwriter.NewWriter(to, 0, 0, 2, ' ', 0)
	fmt.Fprintf(w, "mode\t%s\nentry\t%d\nhlc\t%s\nstate hash\t%s\nnode\t%s\nsnapshot\t%d\n", h.Mode, h.Index, h.HLC, h.StateHash, h.Node, h.Snapshot.Index)
	if h.Disk.Reserve > 0 {
		fmt.Fprintf(w, "disk\t%d MiB free, %d in reserve\n", h.Disk.Free>>20, h.Disk.Reserve>>20)
	}
	if h.Clock.AheadMS > 0 {
		fmt.Fprintf(w, "clock\tstamps are %d ms ahead\n", h.Clock.AheadMS)
	}
	for _, a := range h.SetAside {
		fmt.Fprintf(w, "set aside\t%s: %s\n", a.File, a.Why)
	}
	return w.Flush()
}
