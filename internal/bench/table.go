package bench

import (
	"fmt"
	"io"
	"math"
	"strconv"
	"strings"
)

// String returns the goal in words, such as "≥ 0.6 ×"; the cross stands for a ratio.
func (g Goal) String() string {
	text, unit := "", " ×"
	if g.Value {
		unit = ""
	}
	if g.Least > 0 {
		text = "≥ " + Number(g.Least) + unit
	}
	if g.Most > 0 {
		text = "≤ " + Number(g.Most) + unit
	}
	return text
}

// Met returns whether the goal is met in a word, empty if there is none.
func (m Measure) Met() string {
	switch {
	case m.Goal == Goal{}:
		return ""
	case m.IsMet():
		return "yes"
	}
	return "no"
}

// Number returns a figure with three digits that count, such as 21 900 or 0.345.
func Number(f float64) string {
	if f == 0 || math.IsInf(f, 0) || math.IsNaN(f) {
		return strconv.FormatFloat(f, 'f', -1, 64)
	}
	unit := math.Pow(10, math.Floor(math.Log10(math.Abs(f)))-2)
	if unit >= 1 {
		return grouped(fmt.Sprintf("%.0f", math.Round(f/unit)*unit))
	}
	return strconv.FormatFloat(math.Round(f/unit)/math.Round(1/unit), 'f', -1, 64)
}

// grouped puts a space between each three digits.
func grouped(digits string) string {
	for i := len(digits) - 3; i > 0; i -= 3 {
		digits = digits[:i] + " " + digits[i:]
	}
	return digits
}

// WriteMarkdown writes measures as a table.
func WriteMarkdown(w io.Writer, all []Measure) error {
	var b strings.Builder
	b.WriteString("| scenario | what | floor | | swoosh | goal | met | ratio |\n| --- | --- | --- | ---: | ---: | --- | --- | ---: |\n")
	last := ""
	for _, m := range all {
		name := ""
		if m.Scenario != last {
			name, last = "`"+m.Scenario+"`", m.Scenario
		}
		fmt.Fprintf(&b, "| %s | %s | %s | %s | %s | %s | %s | %s |\n",
			name, m.What, m.Floor, Number(m.Of), Number(m.Swoosh), m.Goal, m.Met(), Number(m.Ratio))
	}
	_, err := io.WriteString(w, b.String())
	return err
}
