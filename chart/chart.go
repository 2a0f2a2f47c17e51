// Package chart draws the statecharts that domains declare.
package chart

import (
	"bytes"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strings"

	"github.com/chorus-services/swoosh"
)

// Write writes the statecharts of domains as Markdown, with one Mermaid diagram
// (stateDiagram-v2, https://mermaid.js.org/syntax/stateDiagram.html) per
// region, in the order of the declarations. GitHub and most Markdown viewers
// render it as a picture.
//
// A command that creates its object starts from [*]. A command that removes it
// goes to [*], and so does a phase from which no command starts. Commands that
// move no phase are listed below the diagram. The error is w's.
func Write(w io.Writer, parts ...swoosh.Part) error {
	var b bytes.Buffer
	for i, r := range regions(swoosh.Describe(parts...)) {
		if i > 0 {
			b.WriteByte('\n')
		}
		r.write(&b)
	}
	_, err := w.Write(b.Bytes())
	return err
}

// region holds the commands of one domain whose names have the same part before
// the dot.
type region struct {
	name, domain string
	commands     []swoosh.CommandInfo
}

// regions returns the regions in the order of their first commands.
func regions(commands []swoosh.CommandInfo) []*region {
	var all []*region
	for _, c := range commands {
		at := slices.IndexFunc(all, func(r *region) bool { return r.name == c.Region && r.domain == c.Domain })
		if at < 0 {
			at = len(all)
			all = append(all, &region{name: c.Region, domain: c.Domain})
		}
		all[at].commands = append(all[at].commands, c)
	}
	return all
}

func (r *region) write(b *bytes.Buffer) {
	fmt.Fprintf(b, "## %s\n", r.name)
	if r.name != r.domain {
		fmt.Fprintf(b, "\nA region of %s.\n", r.domain)
	}
	if phases := r.phases(); len(phases) > 0 {
		b.WriteString("\n```mermaid\nstateDiagram-v2\n")
		r.diagram(b, phases)
		b.WriteString("```\n")
	}
	var still []string
	for _, c := range r.commands {
		if !moves(c) {
			still = append(still, "`"+c.Name+"`")
		}
	}
	if still != nil {
		fmt.Fprintf(b, "\nMoves no phase: %s.\n", strings.Join(still, ", "))
	}
}

func moves(c swoosh.CommandInfo) bool { return c.Creates || len(c.From) > 0 }

// phases returns the phases from which commands start or in which they end,
// except Gone, each once, in order.
func (r *region) phases() []string {
	var all []string
	for _, c := range r.commands {
		for _, p := range slices.Concat(c.From, c.To) {
			if p != swoosh.Gone && !slices.Contains(all, p) {
				all = append(all, p)
			}
		}
	}
	return all
}

func (r *region) diagram(b *bytes.Buffer, phases []string) {
	ids := phaseIDs(phases)
	for _, p := range phases {
		if ids[p] != p {
			fmt.Fprintf(b, "    state \"%s\" as %s\n", label(p), ids[p])
		}
	}
	left := map[string]bool{}
	for _, c := range r.commands {
		if c.Creates {
			for _, to := range c.To {
				fmt.Fprintf(b, "    [*] --> %s : %s\n", ids[to], c.Name)
			}
		}
		for _, from := range c.From {
			left[from] = true
			for _, to := range endsAfter(c, from) {
				fmt.Fprintf(b, "    %s --> %s : %s\n", ids[from], ids[to], c.Name)
			}
		}
	}
	for _, p := range phases {
		if !left[p] {
			fmt.Fprintf(b, "    %s --> [*]\n", ids[p])
		}
	}
}

// endsAfter returns the phases in which a command that starts from a phase may
// end.
func endsAfter(c swoosh.CommandInfo, from string) []string {
	if c.Stay && !slices.Contains(c.To, from) {
		return append(slices.Clip(c.To), from)
	}
	return c.To
}

var (
	plainID = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9_]*$`)
	// keyword matches words that Mermaid's grammar reserves where an id is
	// expected, in any case.
	keyword = regexp.MustCompile(`(?i)^(state|note|end|direction|class|classdef|style|default|hide|scale|as|fork|join|choice|concurrent|click|href|acctitle|accdescr|statediagram|tb|bt|lr|rl)$`)
)

// phaseIDs returns, for Gone and each phase, an id that Mermaid accepts: the
// phase itself, or a number if the phase has special characters or is a
// keyword.
func phaseIDs(phases []string) map[string]string {
	ids := map[string]string{swoosh.Gone: "[*]"}
	for i, p := range phases {
		ids[p] = p
		if plainID.MatchString(p) && !keyword.MatchString(p) {
			continue
		}
		id := fmt.Sprintf("phase%d", i+1)
		for slices.Contains(phases, id) {
			id += "x"
		}
		ids[p] = id
	}
	return ids
}

// label returns a phase as a label, with special characters as entities.
func label(s string) string {
	if s == "" {
		return "(empty)"
	}
	var b strings.Builder
	for _, r := range s {
		if r == ' ' || r == '_' || r == '-' || r == '.' || r >= '0' && r <= '9' || r >= 'A' && r <= 'Z' || r >= 'a' && r <= 'z' {
			b.WriteRune(r)
		} else {
			fmt.Fprintf(&b, "#%d;", r)
		}
	}
	return b.String()
}
