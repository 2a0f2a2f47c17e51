package program

import (
	"io"
	"strings"
	"time"

	"github.com/schollz/progressbar/v3"
)

// drawEvery is how often a bar is redrawn.
const drawEvery = 100 * time.Millisecond

// progress shows long work as a bar on a terminal, and nothing elsewhere.
type progress struct {
	line  *status
	what  string // is under way
	unit  string // of a step; empty: bytes
	bar   *progressbar.ProgressBar
	steps int64
}

// show draws how many steps are done, of how many; -1: not known.
func (p *progress) show(done, steps int64) {
	if !p.line.terminal || steps == 0 {
		return
	}
	if p.bar == nil || p.steps != steps {
		p.steps, p.bar = steps, progressbar.NewOptions64(steps, p.options(steps)...)
	}
	_ = p.bar.Set64(done) // It fails only if it cannot write, and it writes nowhere.
	if drawn := strings.Trim(p.bar.String(), "\r"); drawn != "" {
		p.line.draw(drawn)
	}
}

func (p *progress) options(steps int64) []progressbar.Option {
	all := []progressbar.Option{
		progressbar.OptionSetWriter(io.Discard), progressbar.OptionSetDescription(p.what), progressbar.OptionThrottle(drawEvery),
		progressbar.OptionSetTheme(progressbar.ThemeASCII), progressbar.OptionSetWidth(24), progressbar.OptionShowCount(),
		progressbar.OptionSetPredictTime(steps > 0), progressbar.OptionShowTotalBytes(steps > 0), progressbar.OptionSetSpinnerChangeInterval(0),
	}
	if p.unit == "" {
		return append(all, progressbar.OptionShowBytes(true), progressbar.OptionUseIECUnits(true))
	}
	return append(all, progressbar.OptionShowIts(), progressbar.OptionSetItsString(p.unit))
}

// clear removes the bar for good, although a reader may continue for a moment.
func (p *progress) clear() { p.line.end() }

// reading shows how much of a reader is read.
type reading struct {
	io.Reader
	progress *progress
	bytes    int64 // in all; -1: not known
	done     int64
}

func (r *reading) Read(b []byte) (int, error) {
	n, err := r.Reader.Read(b)
	r.done += int64(n)
	r.progress.show(r.done, r.bytes)
	return n, err
}
