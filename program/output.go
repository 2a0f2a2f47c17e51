package program

import (
	"fmt"
	"io"
	"os"
	"strings"
	"text/tabwriter"
	"time"
	"unicode"

	"github.com/go-json-experiment/json"
	"github.com/spf13/cobra"
	"golang.org/x/term"
)

// output is where a command prints its result: text for people, or JSON. Everything
// else it prints goes to stderr.
type output struct {
	w      io.Writer
	json   bool
	width  int // columns of the terminal; 0: not a terminal
	colour bool
}

// newOutput returns an output and adds to cmd the flag that makes it JSON.
func newOutput(cmd *cobra.Command, w io.Writer) *output {
	o := &output{w: w, width: terminalWidth(w)}
	// An empty NO_COLOR counts as not set (no-color.org).
	o.colour = o.width > 0 && os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb"
	cmd.Flags().BoolVar(&o.json, "json", false, "print JSON, for programs")
	return o
}

// terminalWidth returns a terminal's columns, 0 if w is not a terminal.
func terminalWidth(w io.Writer) int {
	f, ok := w.(*os.File)
	if !ok || !term.IsTerminal(int(f.Fd())) {
		return 0
	}
	width, _, err := term.GetSize(int(f.Fd()))
	if err != nil || width < 1 {
		return 80
	}
	return width
}

// printJSON prints a value, a line.
func (o *output) printJSON(v any) error {
	raw, err := json.Marshal(v)
	if err != nil {
		return err
	}
	_, err = o.w.Write(append(raw, '\n'))
	return err
}

// print prints v with --json, otherwise fields: names and values by turns, a line for
// each pair. Fields with an empty value are left out.
func (o *output) print(v any, fields ...string) error {
	if o.json {
		return o.printJSON(v)
	}
	t := tabwriter.NewWriter(o.w, 0, 0, 2, ' ', 0)
	for i := 0; i+1 < len(fields); i += 2 {
		if fields[i+1] != "" {
			fmt.Fprintf(t, "%s\t%s\n", fields[i], fields[i+1])
		}
	}
	return t.Flush()
}

// Colours, as selections of graphic renditions (ECMA-48, 8.3.117).
const (
	bold  = "1"
	dim   = "2"
	red   = "31"
	green = "32"
)

func (o *output) paint(colour, text string) string {
	if !o.colour {
		return text
	}
	return "\x1b[" + colour + "m" + text + "\x1b[0m"
}

// fit cuts a line to the width of the terminal.
func (o *output) fit(line string) string {
	if o.width == 0 {
		return line
	}
	return cut(line, o.width)
}

// cut cuts text to a width and ends it with an ellipsis.
func cut(text string, width int) string {
	runes := []rune(text)
	if len(runes) <= width {
		return text
	}
	return string(runes[:width-1]) + "…"
}

// isWide reports whether there is room for long lines: on a wide terminal, or in a
// file.
func (o *output) isWide() bool { return o.width == 0 || o.width >= 120 }

// printable escapes, as JSON does, what a terminal would obey or show in another
// order.
func printable(text string) string {
	if !strings.ContainsFunc(text, isCommanding) {
		return text
	}
	var b strings.Builder
	for _, r := range text {
		if isCommanding(r) {
			fmt.Fprintf(&b, `\u%04x`, r)
		} else {
			b.WriteRune(r)
		}
	}
	return b.String()
}

// isCommanding reports whether a terminal may do something else with a character than
// show it: a control character, one that is not seen, or a separator of lines.
func isCommanding(r rune) bool {
	return unicode.In(r, unicode.Cc, unicode.Cf, unicode.Zl, unicode.Zp)
}

// timeOf returns the wall clock's time in an hlc, in a layout, or the text itself if
// it is not an hlc.
func timeOf(hlc, layout string) string {
	digits, _, _ := strings.Cut(hlc, "-")
	var ms int64
	if _, err := fmt.Sscanf(digits, "%012x", &ms); err != nil || len(digits) != 12 {
		return printable(hlc)
	}
	return time.UnixMilli(ms).UTC().Format(layout)
}
