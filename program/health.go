package program

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/chorus-services/swoosh/client"
)

func newHealth(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use: "health [flags]", Short: "Print the health of the server",
		Long: `Prints the server's health. It asks once; the exit code is 0 if the server accepts
commands, 1 if it does not, and 4 if it is not reachable.`,
		Args: takes(),
	}
	connection, out := newConnection(a, cmd), newOutput(cmd, a.out)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		api, err := connection.open()
		if err != nil {
			return err
		}
		h, err := api.Health(cmd.Context())
		if err != nil {
			return a.failed(err)
		}
		if err := out.print(h, healthFields(out, h)...); err != nil {
			return err
		}
		if h.Mode != "ready" {
			return exitf(codeFailed, "the server accepts no commands: %s", strings.Join(append([]string{h.Mode}, h.Reasons...), ": "))
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
		"state hash", printable(h.StateHash), "node", printable(h.Node), "receipt key", printable(h.Key), "snapshot", fmt.Sprint(h.Snapshot.Index),
	}
	if h.State.Most > 0 {
		fields = append(fields, "state", fmt.Sprintf("%d of %d bytes", h.State.Bytes, h.State.Most))
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
	if h.Log.Why != "" {
		fields = append(fields, "log", printable(h.Log.Why))
	}
	if h.Log.First > 1 {
		fields = append(fields, "log begins", fmt.Sprint(h.Log.First))
	}
	if h.History.State != "proved" && h.History.State != "" {
		fields = append(fields, "history", historyText(h))
	}
	for _, t := range h.Timers {
		fields = append(fields, "timer", printable(t.Command+", since "+t.Since+": "+t.Error))
	}
	for _, a := range h.SetAside {
		fields = append(fields, "set aside", printable(a.File+": "+a.Why))
	}
	return fields
}

// historyText returns how far the history is proved, or what is wrong with it.
func historyText(h client.Health) string {
	if h.History.Why != "" {
		return printable(h.History.Why)
	}
	return printable(fmt.Sprintf("%s, %d of %d entries", h.History.State, h.History.Proved, h.History.Target))
}
