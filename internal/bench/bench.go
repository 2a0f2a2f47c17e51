// Package bench measures swoosh beside what the machine does without it: a raw
// file, Badger alone, an HTTP handler that does nothing, and etcd. Both sides
// run in the same minutes and by turns, since the speed of a shared machine
// drifts by more than most changes make: the ratio of a round is what counts.
//
// A Scenario measures one thing and reports a Measure for each figure. The
// servers are processes of their own, so that their CPU and memory can be read.
package bench

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/chorus-services/swoosh"
)

// Options says what to run, how long, and on what. All fields are required
// unless they say otherwise.
type Options struct {
	Dir     string         // an empty directory; each scenario removes what it made there
	Program string         // the path of the program to measure
	Env     []string       // its environment, as in os.Environ
	Handler []string       // the arguments with which Program runs ServeHandler
	Etcd    string         // the path of etcd; empty: it is left out
	Engine  swoosh.Options // the program's, for engines in this process
	Parts   []swoosh.Part  // the program's domains; the commands are those of package project

	Rounds int           // how often each side is measured, at least 1
	Time   time.Duration // how long a load lasts in a round

	Rows     int // of the large states, at least 1000; a project has five
	Entries  int // of the long logs, at least 100
	Watchers int // at least 1

	Progress func(scenario string, done, rounds int) // called after each round
}

// Measure is a figure of swoosh beside the same figure of its floor. Both are
// medians of the rounds; Ratio is the median of the ratios of the rounds.
type Measure struct {
	Scenario string  `json:"scenario"`
	What     string  `json:"what"` // and the unit, such as "p99, ms"
	Floor    string  `json:"floor"`
	Of       float64 `json:"floor_value"`
	Swoosh   float64 `json:"swoosh_value"`
	Goal     Goal    `json:"goal,omitzero"`
	Ratio    float64 `json:"ratio"` // of swoosh to the floor
	Rounds   int     `json:"rounds"`

	Clients int `json:"clients,omitzero"`
	Rows    int `json:"rows,omitzero"` // of the state, with swoosh
}

// Goal bounds a ratio, or a value of swoosh. The zero Goal is none.
type Goal struct {
	Least float64 `json:"least,omitzero"`
	Most  float64 `json:"most,omitzero"`
	Value bool    `json:"value,omitzero"` // bounds Measure.Swoosh in place of Measure.Ratio
}

// IsMet reports whether the measure keeps its goal; it does if it has none.
func (m Measure) IsMet() bool {
	of := m.Ratio
	if m.Goal.Value {
		of = m.Swoosh
	}
	return of >= m.Goal.Least && (m.Goal.Most == 0 || of <= m.Goal.Most)
}

// Scenario measures one thing.
type Scenario struct {
	Name, Short string
	run         func(*bench) error
}

// Scenarios returns all scenarios, in the order in which they run.
func Scenarios() []Scenario {
	return []Scenario{
		{"http-64", "64 clients that post commands over HTTP", overHTTP(64)},
		{"http-256", "256 clients", overHTTP(256)},
		{"http-1", "one client", oneOverHTTP},
		{"engine-64", "64 submitters in one process, 300-byte commands", inProcess(64)},
		{"engine-256", "256 submitters", inProcess(256)},
		{"stream", "a stream of commands over one connection", streams},
		{"boot", "a start that replays the whole log", boots},
		{"verify", "verify, every hash", verifies},
		{"start", "a start from a snapshot, to the first read", starts},
		{"rows", "a command in small and large states", rows},
		{"snapshot-under-load", "writers while a large snapshot is saved", snapshotsUnderLoad},
		{"read-one", "a read of one row of a large state", readsOne},
		{"time-travel", "a read of a past state, cold and again", travels},
		{"watchers", "writers while many watch", watchers},
	}
}

// Run runs the scenarios with the given names, in the order of Scenarios, and
// calls found with each measure. An empty list runs all. It returns ctx's error
// if ctx ends; what was found until then stays valid.
func Run(ctx context.Context, o Options, names []string, found func(Measure) error) error {
	b := &bench{Options: o, ctx: ctx, found: found}
	defer b.stopAll()
	for _, s := range Scenarios() {
		if len(names) > 0 && !slices.Contains(names, s.Name) {
			continue
		}
		b.scenario = s.Name
		b.Progress(s.Name, 0, o.Rounds)
		err := s.run(b)
		b.stopAll()
		if err = errors.Join(err, b.clear()); ctx.Err() != nil {
			return ctx.Err() // The error is only that children were stopped.
		}
		if err != nil {
			return fmt.Errorf("%s: %w", s.Name, err)
		}
	}
	return nil
}

// bench is a run.
type bench struct {
	Options
	ctx      context.Context
	found    func(Measure) error
	scenario string
	children []*child
	made     int   // directories
	shared   *logs // nil: not made yet
}

// dir returns a path in Dir where nothing is.
func (b *bench) dir(name string) string {
	b.made++
	return filepath.Join(b.Dir, fmt.Sprintf("%s-%d", name, b.made))
}

// clear removes what the scenario made, except what others share.
func (b *bench) clear() error {
	all, err := os.ReadDir(b.Dir)
	for _, d := range all {
		if path := filepath.Join(b.Dir, d.Name()); b.shared == nil || path != b.shared.dir && path != b.shared.badger {
			err = errors.Join(err, os.RemoveAll(path))
		}
	}
	return err
}

// rounds calls the sides by turns, a round each time.
func (b *bench) rounds(sides ...func() error) error {
	for n := range b.Rounds {
		for _, side := range sides {
			if err := b.ctx.Err(); err != nil {
				return err
			}
			if err := side(); err != nil {
				return err
			}
		}
		b.Progress(b.scenario, n+1, b.Rounds)
	}
	return nil
}

// report completes a measure by the figures of its rounds.
func (b *bench) report(m Measure, floor, swoosh []float64) error {
	ratios := make([]float64, len(swoosh))
	for i := range ratios {
		if floor[i] > 0 {
			ratios[i] = swoosh[i] / floor[i]
		}
	}
	m.Scenario, m.Rounds = b.scenario, len(swoosh)
	m.Of, m.Swoosh, m.Ratio = median(floor), median(swoosh), median(ratios)
	return b.found(m)
}

// median returns the middle of figures, or the mean of both in the middle.
func median(figures []float64) float64 {
	if len(figures) == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(figures))
	return (sorted[(len(sorted)-1)/2] + sorted[len(sorted)/2]) / 2
}

// sampled returns a side of rounds that keeps what measure returns.
func sampled[T any](into *[]T, measure func() (T, error)) func() error {
	return func() error {
		t, err := measure()
		*into = append(*into, t)
		return err
	}
}

// column returns a figure of each sample.
func column[T any](samples []T, figure func(T) float64) []float64 {
	all := make([]float64, len(samples))
	for i, s := range samples {
		all[i] = figure(s)
	}
	return all
}

// ms returns a duration in milliseconds.
func ms(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }
