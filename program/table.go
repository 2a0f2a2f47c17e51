package program

import (
	"io"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/width"
)

// table lays out cells in columns.
type table struct{ rows [][]string }

func (t *table) row(cells ...string) { t.rows = append(t.rows, cells) }

// lines returns a line for each row. The last cell of a row widens no column.
func (t *table) lines() (all []string) {
	var widest []int
	for _, cells := range t.rows {
		for i, cell := range cells[:len(cells)-1] {
			if i == len(widest) {
				widest = append(widest, 0)
			}
			widest[i] = max(widest[i], columnsOf(cell))
		}
	}
	for _, cells := range t.rows {
		line := ""
		for i, cell := range cells[:len(cells)-1] {
			line += pad(cell, widest[i]) + "  "
		}
		all = append(all, line+cells[len(cells)-1])
	}
	return all
}

func (t *table) print(w io.Writer) error {
	_, err := io.WriteString(w, strings.Join(append(t.lines(), ""), "\n"))
	return err
}

// pad fills text with spaces up to so many columns.
func pad(text string, columns int) string {
	return text + strings.Repeat(" ", max(0, columns-columnsOf(text)))
}

// cut cuts text to so many columns and ends it with an ellipsis.
func cut(text string, columns int) string {
	if columnsOf(text) <= columns {
		return text
	}
	room := columns - 1
	for at, r := range text {
		if room -= columnsOfRune(r); room < 0 {
			return text[:at] + "…"
		}
	}
	return text
}

// columnsOf returns how many columns of a terminal text takes. Terminals differ about
// characters that are drawn as one: it returns the most, so that no text that somebody
// sent runs into the next line and looks like a row of its own.
func columnsOf(text string) (n int) {
	for _, r := range text {
		n += columnsOfRune(r)
	}
	return n
}

// emojiStyle makes the character before it an emoji, which may be wider by a column.
const emojiStyle = '\ufe0f'

func columnsOfRune(r rune) int {
	switch {
	case r < utf8.RuneSelf, r == emojiStyle:
		return 1
	case unicode.In(r, unicode.Mn, unicode.Me):
		return 0
	}
	switch width.LookupRune(r).Kind() {
	case width.EastAsianWide, width.EastAsianFullwidth:
		return 2
	}
	return 1
}
