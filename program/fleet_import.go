package program

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"github.com/spf13/cobra"

	"github.com/chorus-services/swoosh"
	"github.com/chorus-services/swoosh/client"
	"github.com/chorus-services/swoosh/fleet"
	"github.com/chorus-services/swoosh/internal/pilot"
)

func newFleet(a *app) *cobra.Command {
	return a.newGroup("fleet", "Take over the fleet of another registry", "Takes over the fleet of another registry.", newFleetImport(a))
}

func newFleetImport(a *app) *cobra.Command {
	var log string
	var owners []string
	var o pilot.Options
	var dry bool
	cmd := &cobra.Command{
		Use: "import SNAPSHOT [flags]", Short: "Import the nodes, networks and trust of a Pilot registry",
		Long: `Reads the snapshot of a Pilot registry, and the log that goes on from it, and puts
what they have into the server's state, in one entry or not at all. Ids and keys stay:
a node that registers with its key is the one that it was. The fleet of the server must be
empty.

The report names what was left out or changed. Try it with --dry-run, which asks no
server: read the report, and stop the registry before the import.`,
		Example: `  {program} fleet import registry.json --wal registry.wal --owner 'Acme Inc=acme' --dry-run`,
		Args:    takes("SNAPSHOT"),
	}
	connection, out := newConnection(a, cmd), newOutput(cmd, a.out)
	cmd.Flags().StringVar(&log, "wal", "", "`FILE` with the log that goes on from the snapshot")
	cmd.Flags().StringArrayVar(&owners, "owner", nil, "OLD=NEW: the id of an owner (default: made of its text); repeat it for others")
	cmd.Flags().BoolVar(&o.SkipUnknown, "skip-unknown", false, "leave out records of types that this program does not know, and count them")
	cmd.Flags().BoolVar(&dry, "dry-run", false, "print the report, and import nothing")
	cmd.RunE = func(cmd *cobra.Command, args []string) (err error) {
		if o.Owners, err = parseOwners(owners); err != nil {
			return err
		}
		o.NowMS = uint64(time.Now().UnixMilli())
		member, report, err := readPilot(args[0], log, o)
		if err != nil {
			return err
		}
		if dry {
			if err := tryFleet(cmd.Context(), member); err != nil {
				return err
			}
			return printImport(out, report, nil)
		}
		api, err := connection.reach(cmd.Context())
		if err != nil {
			return err
		}
		result, err := importFleet(cmd.Context(), a, api, member)
		if err != nil {
			return err
		}
		return printImport(out, report, &result)
	}
	return cmd
}

// parseOwners returns the owners' ids by how they were.
func parseOwners(pairs []string) (map[string]string, error) {
	ids := map[string]string{}
	for _, p := range pairs {
		at := strings.LastIndexByte(p, '=')
		if at < 0 {
			return nil, exitf(codeUsage, "--owner %q is not OLD=NEW: give the owner as it was, and its id", p)
		}
		ids[p[:at]] = p[at+1:]
	}
	return ids, nil
}

// readPilot reads the files of a registry.
func readPilot(snapshot, log string, o pilot.Options) (member jsontext.Value, r pilot.Report, err error) {
	content, err := os.ReadFile(snapshot)
	if err != nil {
		return nil, r, exitf(codeUsage, "%w", unread("the snapshot cannot be read", err))
	}
	var records []byte
	if log != "" {
		if records, err = os.ReadFile(log); err != nil {
			return nil, r, exitf(codeUsage, "%w", unread("--wal", err))
		}
		records = append([]byte{}, records...) // An empty one is one.
	}
	if member, r, err = pilot.Convert(content, records, o); err != nil {
		return nil, r, exitf(codeFailed, "nothing is imported: %w", err)
	}
	return member, r, nil
}

// tryFleet imports the fleet into an engine in memory, which checks it as a server does.
func tryFleet(ctx context.Context, member jsontext.Value) error {
	e, err := swoosh.Open(ctx, swoosh.Options{}, fleet.Domain)
	if err != nil {
		return err
	}
	defer e.Close(ctx)
	_, err = e.Import(ctx, nil, strings.NewReader(`{"fleet":`+string(member)+`,"meta":{"version":1}}`))
	if err != nil {
		return exitf(codeFailed, "a server would refuse it: %w", err)
	}
	return nil
}

// importFleet puts the fleet into the server's state, if that is still as it was read.
func importFleet(ctx context.Context, a *app, api *client.Client, member jsontext.Value) (client.Result, error) {
	body, meta, err := api.State(ctx, "")
	if err != nil {
		return client.Result{}, a.failed(err)
	}
	defer body.Close()
	document, err := withFleet(body, member)
	if err != nil {
		return client.Result{}, a.failed(err)
	}
	result, err := api.Import(ctx, document, meta.ETag)
	end := a.failed(err)
	switch {
	case client.IsCode(err, client.StaleState):
		end = exitf(codeFailed, "the state changed meanwhile, so nothing is imported: stop what writes to the server, and run this again")
	case exitCode(end) == codeUnknown:
		end = exitf(codeUnknown, "%w; to find out, run: %s nodes", end, a.name())
	case err != nil:
		end = exitf(exitCode(end), "nothing is imported: %w", end)
	}
	return result, end
}

// withFleet returns a document with the fleet, which it must have and which must be empty.
func withFleet(state io.Reader, member jsontext.Value) (io.Reader, error) {
	var document map[string]jsontext.Value
	if err := json.UnmarshalRead(state, &document); err != nil {
		return nil, err
	}
	switch is, has := document["fleet"]; {
	case !has:
		return nil, exitf(codeFailed, "the server's program has no fleet: start one that has, such as this one, with serve")
	case string(is) != "{}":
		return nil, exitf(codeFailed, "the server has a fleet already, and an import would replace it: import into one whose fleet is empty")
	}
	document["fleet"], document["meta"] = member, jsontext.Value(`{"version":1}`)
	raw, err := json.Marshal(document)
	return bytes.NewReader(raw), err
}

// printImport prints the report, and the entry if there is one.
func printImport(out *output, r pilot.Report, result *client.Result) error {
	if out.json {
		return out.printJSON(struct {
			Report pilot.Report   `json:"report"`
			Result *client.Result `json:"result,omitempty"`
		}{r, result})
	}
	checked := "its checksum is good"
	if !r.Checked {
		checked = "unchecked: it has no checksum"
	}
	torn := ""
	if r.Torn > 0 {
		torn = fmt.Sprintf("; the last %d bytes are a torn record, and left out", r.Torn)
	}
	err := out.print(nil, "snapshot", fmt.Sprintf("version %d, %s", r.Version, checked), "log", fmt.Sprintf("%d records%s", r.Records, torn),
		"nodes", fmt.Sprintf("%d, with %d keys", r.Nodes, r.Keys), "networks", fmt.Sprintf("%d, with %d members", r.Networks, r.Members),
		"trust", fmt.Sprintf("%d pairs", r.Trust), "inboxes", fmt.Sprintf("%d handshakes, %d invitations", r.Asks, r.Invites))
	for _, n := range r.Notes {
		if err == nil {
			_, err = fmt.Fprintf(out, "%d %s\n  %s\n", len(n.Names), n.What, printable(some(n.Names)))
		}
	}
	end := "nothing is imported: leave --dry-run out to do it\n"
	if result != nil {
		end = fmt.Sprintf("imported, entry %d\n", result.Index)
	}
	_, printing := io.WriteString(out, end)
	if err = errors.Join(err, printing); err != nil && result != nil {
		return exitf(codeUnknown, "it is imported by entry %d, but the report cannot be printed: %w", result.Index, err)
	}
	return err
}

// some joins the first of many names.
func some(names []string) string {
	const most = 10
	if len(names) <= most {
		return strings.Join(names, "; ")
	}
	return strings.Join(names[:most], "; ") + fmt.Sprintf("; and %d more, which --json lists", len(names)-most)
}
