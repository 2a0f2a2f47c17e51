package program

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"github.com/spf13/cobra"

	"github.com/chorus-services/swoosh"
	"github.com/chorus-services/swoosh/approval"
	"github.com/chorus-services/swoosh/client"
	"github.com/chorus-services/swoosh/fleet"
)

// hasApprovals reports whether a program has the domain of approvals, and the fleet whose
// nodes give them.
func (a *app) hasApprovals() bool {
	return a.hasFleet() && a.hasCommands([]string{"approval.require", "approval.ask", "approval.give"})
}

const (
	asksTable      = "/approval/asks"
	approvalsTable = "/approval/approvals"
	rulesTable     = "/approval/rules"
)

func newApprove(a *app) *cobra.Command {
	var no bool
	cmd, f := newFleetCommand(a, "approve [HASH]", "List and show what waits for approvals, approve it, ask for it, or send it",
		`An admin can make a command need approvals. Then somebody asks for one such command,
nodes approve it, and it is sent as it was asked. What is asked holds for 24 hours.

Without HASH it lists what is asked and not done: the command, who asked, and how many
approved it, of how many. Only those count who may approve it and are in service. Whether
they suffice is asked of the server, so it needs a token that may send the command;
without it the list says who said yes.

With HASH it shows all of what is asked. With HASH and --dir the node of that directory
approves it, or says no with --no. The beginning of a hash is enough, if no other one
begins so.`,
		func(f *fleetCall) error {
			if len(f.args) == 0 {
				if no {
					return exitf(codeUsage, "--no says no to a HASH: %s approve lists them", a.name())
				}
				return f.app.failed(f.listAsks())
			}
			if f.sign.dir == "" && !no {
				return f.app.failed(f.showAsked())
			}
			return f.giveApproval(!no)
		})
	cmd.Example = "  {program} approve"
	cmd.Flags().BoolVar(&no, "no", false, "say no; the node may approve later")
	f.byHash(cmd)
	cmd.AddCommand(newApproveAsk(a), newApproveSend(a), newApproveWithdraw(a), newApproveRequire(a), newApproveLift(a), newApproveRules(a))
	return cmd
}

// askedRow is what is asked.
type askedRow struct {
	approval.Asked
	hash    string
	command swoosh.Command
	payload jsontext.Value
	raw     jsontext.Value
}

// asked reads the row of a content.
func asked(hash string, row rawRow[approval.Asked]) (askedRow, error) {
	r := askedRow{Asked: row.value, hash: hash, raw: row.raw}
	command, err := swoosh.ParseContent(string(r.Content))
	if err != nil {
		return r, exitf(codeFailed, "what is asked as %.12s… %w", hash, err)
	}
	r.command, r.payload = command, command.Payload()
	return r, nil
}

// String returns the command as people read it: its name, its project, and the rest of
// its payload.
func (r askedRow) String() string {
	text := r.command.Name
	var members map[string]jsontext.Value
	_ = json.Unmarshal(r.payload, &members) // It is an object.
	project := ""
	if json.Unmarshal(members["project"], &project) == nil && project != "" {
		delete(members, "project")
		text += " " + project
	}
	rest, err := json.Marshal(members, json.Deterministic(true))
	if err != nil {
		rest = r.payload
	}
	return text + " " + string(rest)
}

// send returns the command to send, with the key and key_since that were asked for.
func (r askedRow) send() client.Command {
	return client.Command{Name: r.command.Name, Payload: r.payload, Key: r.command.Key, KeySince: r.command.KeySince.String()}
}

// asks returns all that is asked, the oldest first.
func (f *fleetCall) asks() (all []askedRow, err error) {
	for row, err := range client.Rows[rawRow[approval.Asked]](f.ctx, f.api, asksTable) {
		if err != nil {
			return nil, err
		}
		r, err := asked(row.Key, row.Value)
		if err != nil {
			return nil, err
		}
		all = append(all, r)
	}
	slices.SortStableFunc(all, func(a, b askedRow) int { return a.At.Compare(b.At) })
	return all, nil
}

// byHash makes a command check that its argument may be a hash, and complete it.
func (f *fleetCall) byHash(cmd *cobra.Command) {
	checked := cmd.Args
	cmd.Args = func(cmd *cobra.Command, args []string) error {
		if err := checked(cmd, args); err != nil || len(args) == 0 {
			return err
		}
		if hash := args[0]; hash == "" || len(hash) > 64 || strings.Trim(hash, "0123456789abcdef") != "" {
			return exitf(codeUsage, "HASH is %.70q: it must be the beginning of a hash, which is 64 lower-case hex digits%s", hash, commandMeant(cmd, hash))
		}
		return nil
	}
	cmd.ValidArgsFunction = func(cmd *cobra.Command, args []string, word string) ([]string, cobra.ShellCompDirective) {
		if len(args) > 0 {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		return f.keys(cmd.Context(), asksTable, word), cobra.ShellCompDirectiveNoFileComp
	}
}

// find returns what is asked under a hash, or under the beginning of one.
func (f *fleetCall) find(hash string) (askedRow, error) {
	rows, _, err := client.Page[rawRow[approval.Asked]](f.ctx, f.api, asksTable, before(hash), 2)
	if err != nil {
		return askedRow{}, f.app.failed(err)
	}
	rows = slices.DeleteFunc(rows, func(r client.Row[rawRow[approval.Asked]]) bool { return !strings.HasPrefix(r.Key, hash) })
	switch {
	case len(rows) == 0:
		return askedRow{}, exitf(codeFailed, "nothing is asked whose hash begins with %s: %s approve lists what is", hash, f.app.name())
	case len(rows) > 1:
		return askedRow{}, exitf(codeUsage, "several hashes begin with %s, such as %.16s and %.16s: give more of the one that is meant", hash, rows[0].Key, rows[1].Key)
	}
	return asked(rows[0].Key, rows[0].Value)
}

// listAsks prints what is asked and not done.
func (f *fleetCall) listAsks() error {
	all, err := f.asks()
	if err != nil {
		return err
	}
	now, lines := time.Now(), table{}
	var printed []askedRow
	for _, r := range all {
		if r.isPast(now) {
			continue
		}
		stands, open, err := f.stands(r)
		switch {
		case err != nil:
			return err
		case !open:
			continue
		case f.out.json:
			err = f.out.printJSON(withKey(r.raw, fmt.Sprintf(`"hash":%s,"command":%s,"stands":%s`, quoted(r.hash), quoted(r.command.Name), quoted(stands))))
		default:
			by := "asked"
			if r.By != "" {
				by = "asked by " + string(r.By)
			}
			lines.row(shortest(r.hash, all), printable(shortened(r.String())), fmt.Sprintf("%s, %s ago", by, span(now.Sub(r.At.Time()))), printable(stands))
		}
		if err != nil {
			return err
		}
		printed = append(printed, r)
	}
	if f.out.json {
		return nil
	}
	for _, line := range lines.lines() {
		if _, err := fmt.Fprintln(f.out, strings.TrimRight(line, " ")); err != nil {
			return err
		}
	}
	if printed == nil {
		_, err = fmt.Fprintln(f.out, "nothing waits for approvals")
	}
	return err
}

// holdsFor is how long the server lets an ask hold.
const holdsFor = 24 * time.Hour

func (r askedRow) isPast(now time.Time) bool { return now.Sub(r.At.Time()) >= holdsFor }

// shortest returns as much of a hash as tells it from the others, at least 6 digits.
func shortest(hash string, all []askedRow) string {
	n := 6
	for n < len(hash) && slices.ContainsFunc(all, func(r askedRow) bool { return r.hash != hash && strings.HasPrefix(r.hash, hash[:n]) }) {
		n++
	}
	return hash[:n]
}

// shortened returns a command without the end of a long payload.
func shortened(text string) string {
	const most = 100
	if runes := []rune(text); len(runes) > most {
		return string(runes[:most-1]) + "…"
	}
	return text
}

// stands says how many have approved, by asking what would come of it now, and whether it
// is still to be done.
func (f *fleetCall) stands(r askedRow) (text string, open bool, err error) {
	o, err := f.api.Outcome(f.ctx, r.command.Key)
	switch {
	case err == nil && !o.Pending:
		return f.usedBy(r, o)
	case err != nil && !client.IsCode(err, client.NotFound):
		return "", false, err
	}
	_, err = f.api.DryRun(f.ctx, r.send())
	var refused *client.Error
	switch {
	case err == nil:
		return "approved", true, nil
	case !errors.As(err, &refused):
		return "", false, err
	case refused.Code == client.Forbidden:
		text, err = f.saidYes(r.hash)
		return text, true, err
	case refused.Code == approval.Needed.Code():
		return strings.ReplaceAll(strings.Join(refused.BlockedBy, ", and "), "approvals: ", ""), true, nil
	case slices.ContainsFunc(refused.Errors, func(e client.FieldError) bool { return e.Pointer == "/window_id" }):
		return "approved; send it with --window, while one is open", true, nil
	case refused.Happened == client.No && refused.Status < 500:
		return "refused now: " + refused.Code, true, nil
	}
	return "", false, err
}

// saidYes returns who has approved, whether or not they count.
func (f *fleetCall) saidYes(hash string) (string, error) {
	var yes []fleet.NodeID
	for key := hash; ; {
		rows, next, err := client.Page[approval.Approval](f.ctx, f.api, approvalsTable, key, laidOutTogether)
		if err != nil {
			return "", err
		}
		for _, row := range rows {
			of, node, _ := strings.Cut(row.Key, ".")
			if of != hash {
				next = ""
				break
			}
			if row.Value.Approve {
				yes = append(yes, fleet.NodeID(node))
			}
		}
		if key = next; key == "" {
			break
		}
	}
	slices.SortFunc(yes, func(a, b fleet.NodeID) int { return cmp.Or(cmp.Compare(len(a), len(b)), cmp.Compare(a, b)) })
	if yes == nil {
		return "nobody said yes", nil
	}
	return "said yes: " + strings.Join(strings.Split(join(yes), ","), ", "), nil
}

// giveApproval has the node of --dir approve what is asked, or say no.
func (f *fleetCall) giveApproval(yes bool) error {
	home, err := f.home()
	if err != nil {
		return err
	}
	if home == nil {
		return exitf(codeUsage, "a node approves, and signs it: give --dir, the directory of the node")
	}
	r, err := f.find(f.args[0])
	if err != nil {
		return err
	}
	c := approval.Give{Content: approval.Hash(r.hash), Node: fleet.NodeID(home.Node), Approve: yes}
	return f.send("approval.give", c, done("%s %s %s", home.Node, choose(yes, "approves", "says no to"), r))
}
