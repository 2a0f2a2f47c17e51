package bench

import (
	"cmp"
	"encoding/xml"
	"fmt"
	"io"
	"math"
	"slices"
	"strings"
)

// chart is a plot of lines over a few places that stand at equal distances.
type chart struct {
	title, across string
	lines         []line
}

// line is one line of a chart.
type line struct {
	name string
	at   map[int]float64
}

// put adds a point to the line with a name.
func (c *chart) put(name string, x int, y float64) {
	i := slices.IndexFunc(c.lines, func(l line) bool { return l.name == name })
	if i < 0 {
		i, c.lines = len(c.lines), append(c.lines, line{name, map[int]float64{}})
	}
	c.lines[i].at[x] = y
}

// charts returns the plots that measures have points for.
func charts(all []Measure) (some []chart) {
	throughput := chart{title: "Durable commands a second, over HTTP", across: "clients"}
	cost := chart{title: "A command that changes one row, µs", across: "rows of the state"}
	for _, m := range all {
		switch {
		case m.Clients > 0 && m.Rows == 0:
			throughput.put("swoosh", m.Clients, m.Swoosh)
			throughput.put(m.Floor, m.Clients, m.Of)
		case m.Clients > 0:
			cost.put(clientsOf(m.Clients), 2*rowsEach, m.Of)
			cost.put(clientsOf(m.Clients), m.Rows, m.Swoosh)
		}
	}
	for _, c := range []chart{throughput, cost} {
		if len(c.lines) > 0 {
			some = append(some, c)
		}
	}
	return some
}

// HasPlot reports whether a scenario has points for a plot.
func HasPlot(scenario string) bool { return strings.HasPrefix(scenario, "http-") || scenario == "rows" }

// The layout of a chart, in pixels.
const (
	chartWidth, chartHeight = 460, 320
	left, right             = 70, 20
	top, bottom             = 40, 80
)

var colours = []string{"#0b6e99", "#c8553d", "#588157", "#6d597a"}

// WritePlot writes an SVG image of throughput against clients and of cost against
// rows, as far as there are measures of them.
func WritePlot(w io.Writer, all []Measure) error {
	some := charts(all)
	width := max(len(some), 1) * chartWidth
	var b strings.Builder
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" width="%d" height="%d" font-family="sans-serif" font-size="12" fill="#222">`+"\n",
		width, chartHeight, width, chartHeight)
	fmt.Fprintf(&b, `<rect width="%d" height="%d" fill="#fff"/>`+"\n", width, chartHeight)
	for i, c := range some {
		fmt.Fprintf(&b, `<g transform="translate(%d 0)">`+"\n", i*chartWidth)
		c.draw(&b)
		b.WriteString("</g>\n")
	}
	b.WriteString("</svg>\n")
	_, err := io.WriteString(w, b.String())
	return err
}

func (c *chart) draw(b *strings.Builder) {
	places, most := c.extent()
	step := niceStep(most)
	most = math.Ceil(most/step) * step
	x := func(place int) float64 {
		i := slices.Index(places, place)
		return left + (chartWidth-left-right)*(float64(i)+0.5)/float64(len(places))
	}
	y := func(value float64) float64 {
		return chartHeight - bottom - (chartHeight-top-bottom)*value/most
	}
	text(b, chartWidth/2, 20, `text-anchor="middle" font-weight="bold"`, c.title)
	for v := 0.0; v <= most+step/2; v += step {
		fmt.Fprintf(b, `<line x1="%d" x2="%d" y1="%.1f" y2="%.1f" stroke="#ddd"/>`+"\n", left, chartWidth-right, y(v), y(v))
		text(b, left-6, y(v)+4, `text-anchor="end"`, Number(v))
	}
	for _, p := range places {
		text(b, x(p), chartHeight-bottom+18, `text-anchor="middle"`, grouped(fmt.Sprint(p)))
	}
	text(b, left+(chartWidth-left-right)/2, chartHeight-bottom+36, `text-anchor="middle" fill="#666"`, c.across)
	for i, l := range c.lines {
		colour := colours[i%len(colours)]
		var points []string
		for _, p := range places {
			if v, ok := l.at[p]; ok {
				points = append(points, fmt.Sprintf("%.1f,%.1f", x(p), y(v)))
				fmt.Fprintf(b, `<circle cx="%.1f" cy="%.1f" r="3" fill="%s"/>`+"\n", x(p), y(v), colour)
			}
		}
		fmt.Fprintf(b, `<polyline points="%s" fill="none" stroke="%s" stroke-width="2"/>`+"\n", strings.Join(points, " "), colour)
		at := left + float64(i)*(chartWidth-left-right)/float64(len(c.lines))
		fmt.Fprintf(b, `<rect x="%.1f" y="%d" width="10" height="10" fill="%s"/>`+"\n", at, chartHeight-24, colour)
		text(b, at+15, chartHeight-15, "", l.name)
	}
}

// extent returns the places of all lines, ascending, and the largest value.
func (c *chart) extent() (places []int, most float64) {
	for _, l := range c.lines {
		for p, v := range l.at {
			places, most = append(places, p), max(most, v)
		}
	}
	slices.Sort(places)
	return slices.Compact(places), cmp.Or(most, 1)
}

// niceStep returns a round distance between the four to eight lines of a scale.
func niceStep(most float64) float64 {
	step := math.Pow(10, math.Floor(math.Log10(most)))
	for _, part := range []float64{5, 2} {
		if most/step < 4 {
			step /= part
		}
		if most/step > 8 {
			step *= part
		}
	}
	return step
}

// text writes a text element.
func text(b *strings.Builder, x, y float64, attributes, words string) {
	fmt.Fprintf(b, `<text x="%.1f" y="%.1f" %s>`, x, y, attributes)
	_ = xml.EscapeText(b, []byte(words)) // A builder takes all.
	b.WriteString("</text>\n")
}
