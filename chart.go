package swoosh

import (
	"bytes"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strings"
)

// WriteChart writes the statecharts of domains as they are declared: Markdown
// with one Mermaid diagram (stateDiagram-v2) a region, as GitHub shows it, in
// the order of the declarations. A command that creates comes from [*]; a phase
// that no command comes from goes to [*]. Commands that move no phase are listed
// below the diagram. The error is w's.
func WriteChart(w io.Writer, parts ...Part) error {
	var b bytes.Buffer
	for i, r := range regions(Describe(parts...)) {
		if i > 0 {
			b.WriteByte('\n')
		}
		r.write(&b)
	}
	_, err := w.Write(b.Bytes())
	return err
}

// region is the commands of one domain whose names are alike up to the dot.
type region struct {
	name, domain string
	commands     []CommandInfo
}

// regions come in the order of their first commands.
func regions(commands []CommandInfo) []*region {
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
		if !c.moves {
			still = append(still, "`"+c.Name+"`")
		}
	}
	if still != nil {
		fmt.Fprintf(b, "\nMoves no phase: %s.\n", strings.Join(still, ", "))
	}
}

// phases are those that commands come from or go to, each once, in order.
func (r *region) phases() []string {
	var all []string
	for _, c := range r.commands {
		for _, p := range slices.Concat(c.From, c.To) {
			if !slices.Contains(all, p) {
				all = append(all, p)
			}
		}
	}
	return all
}

func (r *region) diagram(b *bytes.Buffer, phases []string) {
	ids := chartIDs(phases)
	for _, p := range phases {
		if ids[p] != p {
			fmt.Fprintf(b, "    state \"%s\" as %s\n", chartText(p), ids[p])
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
			for _, to := range c.endsAfter(from) {
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

// endsAfter are the phases that the command may end in when it comes from one.
func (c CommandInfo) endsAfter(from string) []string {
	if c.Stay && !slices.Contains(c.To, from) {
		return append(slices.Clip(c.To), from)
	}
	return c.To
}

var (
	plainID = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9_]*$`)
	// chartWord is what Mermaid's grammar takes for itself where an id may
	// stand, whatever the case.
	chartWord = regexp.MustCompile(`(?i)^(state|note|end|direction|class|classdef|style|default|hide|scale|as|fork|join|choice|concurrent|click|href|acctitle|accdescr|statediagram|tb|bt|lr|rl)$`)
)

// chartIDs gives each phase an id that Mermaid reads: its own name, or, where
// that has special characters or a meaning in Mermaid, a number.
func chartIDs(phases []string) map[string]string {
	ids := map[string]string{}
	for i, p := range phases {
		ids[p] = p
		if plainID.MatchString(p) && !chartWord.MatchString(p) {
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

// chartText is a label: what has a meaning in Mermaid stands as an entity.
func chartText(s string) string {
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
