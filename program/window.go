package program

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/chorus-services/swoosh/client"
	"github.com/chorus-services/swoosh/noun"
	"github.com/chorus-services/swoosh/system"
)

func newWindow(a *app) *cobra.Command {
	return a.newGroup("window", "Open, close and list the windows for commands",
		`A window is a time in which commands are accepted that name it in window_id; at other times
they are refused with the code window_closed. "{program} command NAME --window ID" names one.
Commands that name none are not held to one.
Before the first window is opened, a window_id is only a note.`,
		newWindowList(a), newWindowOpen(a), newWindowClose(a))
}

// windowFlags say when a window is open.
type windowFlags struct {
	opens, closes string
	lasts         time.Duration
}

// openBefore is how much earlier than now a window opens that opens now: the clock of
// the server may be behind.
const openBefore = time.Minute

// span returns when a window opens and closes.
func (w *windowFlags) span(now time.Time) (opens, closes time.Time, err error) {
	if w.lasts != 0 && w.closes != "" || w.lasts == 0 && w.closes == "" {
		return opens, closes, exitf(codeUsage, "say how long the window is open: give either --for or --closes")
	}
	from := now
	opens = now.Add(-openBefore)
	if w.opens != "" {
		if opens, err = givenTime("--opens", w.opens); err != nil {
			return opens, closes, err
		}
		from = opens
	}
	closes = from.Add(w.lasts)
	if w.closes != "" {
		if closes, err = givenTime("--closes", w.closes); err != nil {
			return opens, closes, err
		}
	}
	if !opens.Before(closes) || !now.Before(closes) {
		return opens, closes, exitf(codeUsage, "the window would close at %s, which is not after it opens, or not after now", whenText(closes))
	}
	return opens, closes, nil
}

// givenTime reads a time in the form of RFC 3339, or Unix milliseconds.
func givenTime(flag, text string) (time.Time, error) {
	if ms, err := strconv.ParseInt(text, 10, 64); err == nil && noun.MS(ms).Validate() == nil {
		return time.UnixMilli(ms), nil
	}
	at, err := time.Parse(time.RFC3339, text)
	if err != nil || at.UnixMilli() < 1 {
		return at, exitf(codeUsage, "%s is %.40q: it must be a time such as 2026-01-31T16:00:00Z, or Unix milliseconds", flag, text)
	}
	return at, nil
}

// whenText returns a time as people read it.
func whenText(at time.Time) string {
	if at = at.UTC(); at.Second() != 0 {
		return at.Format("2006-01-02 15:04:05Z")
	}
	return at.Format("2006-01-02 15:04Z")
}

func newWindowOpen(a *app) *cobra.Command {
	var w windowFlags
	var opens, closes time.Time
	cmd, _ := newFleetCall(a, "open ID", "Say when a window is open",
		`Says when the window ID is open: from now or --opens on, for a while or until --closes. A
window of that name is replaced. Times are such as 2026-01-31T16:00:00Z, or Unix milliseconds.
The server's clock decides. It needs the role admin.`,
		func(f *fleetCall) error {
			c := system.WindowOpen{Window: noun.ID(f.args[0]), Opens: noun.MS(opens.UnixMilli()), Closes: system.Closing(closes.UnixMilli())}
			said := done("%s is open until %s", c.Window, whenText(closes))
			if opens.After(time.Now()) {
				said = done("%s is open from %s until %s", c.Window, whenText(opens), whenText(closes))
			}
			return f.send("window.open", c, said)
		})
	cmd.Example = "  {program} window open w-12 --for 2h\n  {program} window open w-13 --opens 2100-01-31T22:00:00Z --for 90m"
	cmd.Flags().DurationVar(&w.lasts, "for", 0, "how long it is open, such as 2h")
	cmd.Flags().StringVar(&w.opens, "opens", "", "`TIME` from which it is open (default: now)")
	cmd.Flags().StringVar(&w.closes, "closes", "", "`TIME` from which it is closed")
	bound(cmd.Flags(), "for", &w.lasts, 0, 100*365*24*time.Hour)
	checked := cmd.Args
	cmd.Args = func(cmd *cobra.Command, args []string) error {
		if err := checked(cmd, args); err != nil {
			return err
		}
		if err := noun.ID(args[0]).Validate(); err != nil {
			return exitf(codeUsage, "ID is %.40q: it %w", args[0], err)
		}
		var err error
		opens, closes, err = w.span(time.Now())
		return err
	}
	return cmd
}

func newWindowClose(a *app) *cobra.Command {
	cmd, _ := newFleetCall(a, "close ID", "Remove a window",
		`Removes a window: commands that name it are refused from then on. It needs the role admin.`,
		func(f *fleetCall) error {
			return f.send("window.close", system.WindowClose{Window: noun.ID(f.args[0])}, done("%s is closed", f.args[0]))
		})
	return cmd
}

func newWindowList(a *app) *cobra.Command {
	cmd, _ := newFleetCall(a, "list", "List the windows",
		`Lists the windows that are open, will be, or were not long ago: past ones go when others open.`,
		func(f *fleetCall) error {
			now := time.Now()
			list := listing{out: f.out, head: strings.Fields("ID OPENS CLOSES IS")}
			for row, err := range client.Rows[rawRow[system.Span]](f.ctx, f.api, "/window/windows") {
				if client.IsCode(err, client.NotFound) { // None was ever opened, in a server of before.
					break
				}
				if err != nil {
					return f.app.failed(err)
				}
				opens, closes := time.UnixMilli(int64(row.Value.value.Opens)), time.UnixMilli(int64(row.Value.value.Closes))
				is := choose(now.Before(opens), "to come", choose(now.Before(closes), "open", "past"))
				if f.out.json {
					err = f.out.printJSON(withKey(row.Value.raw, fmt.Sprintf(`"window":%s`, quoted(row.Key))))
				} else {
					err = list.row(row.Key, whenText(opens), whenText(closes), is)
				}
				if err != nil {
					return err
				}
			}
			if f.out.json {
				return nil
			}
			return list.flush()
		})
	return cmd
}
