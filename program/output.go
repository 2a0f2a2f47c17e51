package program

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"strings"
	"time"
	"unicode"
	"unicode/utf16"
	"unicode/utf8"

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
	begun  []byte // of JSON on a terminal: the first bytes of a character
}

// newOutput returns an output and adds to cmd the flag that makes it JSON.
func newOutput(cmd *cobra.Command, w io.Writer) *output {
	o := outputTo(w)
	cmd.Flags().BoolVar(&o.json, "json", false, "print JSON, for programs")
	return o
}

func outputTo(w io.Writer) *output {
	o := &output{w: w, width: terminalWidth(w)}
	// An empty NO_COLOR counts as not set (no-color.org).
	o.colour = o.width > 0 && os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb"
	return o
}

// Write writes text that is printable, or JSON. JSON goes to a program as it is. On a
// terminal what that would obey is escaped, so that the values stay the same.
func (o *output) Write(b []byte) (int, error) {
	if !o.json || o.width == 0 {
		return o.w.Write(b)
	}
	text := append(o.begun, b...)
	end := len(text)
	for i := max(0, end-utf8.UTFMax+1); i < end; i++ {
		if utf8.RuneStart(text[i]) && !utf8.FullRune(text[i:]) {
			end = i
		}
	}
	o.begun = bytes.Clone(text[end:])
	_, err := io.WriteString(o.w, escaped(string(text[:end]), func(r rune) bool { return r != '\n' && isCommanding(r) }))
	return len(b), err
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
	_, err = o.Write(append(raw, '\n'))
	return err
}

// print prints v with --json, otherwise fields: names and values by turns, a line for
// each pair. Fields with an empty value are left out.
func (o *output) print(v any, fields ...string) error {
	if o.json {
		return o.printJSON(v)
	}
	var t table
	for i := 0; i+1 < len(fields); i += 2 {
		if fields[i+1] != "" {
			t.row(fields[i], fields[i+1])
		}
	}
	return t.print(o)
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

// isWide reports whether there is room for long lines: on a wide terminal, or in a
// file.
func (o *output) isWide() bool { return o.width == 0 || o.width >= 120 }

// printable escapes, as JSON does, what a terminal would obey or show in another
// order.
func printable(text string) string { return escaped(text, isCommanding) }

// escaped returns text with some characters as JSON escapes them, and without bytes
// that are no characters.
func escaped(text string, which func(rune) bool) string {
	text = strings.ToValidUTF8(text, string(utf8.RuneError))
	if !strings.ContainsFunc(text, which) {
		return text
	}
	var b strings.Builder
	for _, r := range text {
		if !which(r) {
			b.WriteRune(r)
			continue
		}
		for _, unit := range utf16.AppendRune(nil, r) {
			fmt.Fprintf(&b, `\u%04x`, unit)
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
