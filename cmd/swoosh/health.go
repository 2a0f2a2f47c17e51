package main

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/chorus-services/swoosh/client"
)

func newHealth(s streams) *cobra.Command {
	cmd := &cobra.Command{
		Use: "health [flags]", Short: "Say how the server is",
		Long: `Prints the server's account of itself. It asks once, and ends with 0 if commands are
taken, with 1 if not, and with 4 if the server is not reached.`,
		Args: takes(),
	}
	connection, out := newConnection(cmd, s.err), newOutput(cmd, s.out)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		api, err := connection.open()
		if err != nil {
			return err
		}
		h, err := api.Health(cmd.Context())
		if err != nil {
			return failed(err)
		}
		if err := out.print(h, healthFields(out, h)...); err != nil {
			return err
		}
		if h.Mode != "ready" {
			return exitf(codeFailed, "the server takes no commands: %s", strings.Join(append([]string{h.Mode}, h.Reasons...), ": "))
		}
		return nil
	}
	return cmd
}

func healthFields(out *output, h client.Health) []string {
	colour := red
	if h.Mode == "ready" {
		colour = green
	}
	fields := []string{
		"mode", out.paint(colour, printable(h.Mode)), "entry", fmt.Sprint(h.Index), "hlc", printable(h.HLC),
		"state hash", printable(h.StateHash), "node", printable(h.Node), "snapshot", fmt.Sprint(h.Snapshot.Index),
	}
	if h.Disk.Reserve > 0 {
		fields = append(fields, "disk", fmt.Sprintf("%d MiB free, %d in reserve", h.Disk.Free>>20, h.Disk.Reserve>>20))
	}
	if h.Keys.Since != "" {
		fields = append(fields, "keys since", printable(h.Keys.Since))
	}
	if h.Clock.AheadMS > 0 {
		fields = append(fields, "clock", fmt.Sprintf("stamps are %d ms ahead", h.Clock.AheadMS))
	}
	for _, a := range h.SetAside {
		fields = append(fields, "set aside", printable(a.File+": "+a.Why))
	}
	return fields
}
