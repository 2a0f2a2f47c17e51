package program

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"

	"github.com/chorus-services/swoosh"
	"github.com/chorus-services/swoosh/internal/bench"
)

// benchFlags are the flags of bench.
type benchFlags struct {
	dir, etcd, plot         string
	rounds                  int
	time                    time.Duration
	rows, entries, watchers int
	list, markdown          bool
}

// hasCommands reports whether the program's domains have all of these commands.
func (a *app) hasCommands(names []string) bool {
	for _, c := range swoosh.Describe(a.parts...) {
		names = slices.DeleteFunc(slices.Clone(names), func(n string) bool { return n == c.Name })
	}
	return len(names) == 0
}

func newBench(a *app) *cobra.Command {
	var f benchFlags
	cmd := &cobra.Command{
		Use: "bench [SCENARIO...] [flags]", Short: "Measure the program beside what the machine does without it",
		Long: `Measures the program on this machine: all scenarios, or those that are named.
Beside each figure stands its floor, measured in the same run and by turns: a raw
file with the same writes and syncs, Badger alone, an HTTP handler that does
nothing, and etcd if there is one. Figures are medians of the rounds. The ratio is
that of the program to its floor; it drifts least between runs.

All of it takes some 20 minutes and wants a machine that does nothing else.
Ctrl-C ends it, after what was found is printed.`,
		Example: `  {program} bench --list
  {program} bench read-one --rounds 1 --time 50ms --rows 1000`,
		Args:              func(_ *cobra.Command, args []string) error { return checkScenarios(args) },
		ValidArgsFunction: completeScenario,
	}
	out := newOutput(cmd, a.out)
	flags := cmd.Flags()
	flags.SortFlags = false
	flags.BoolVar(&f.list, "list", false, "list the scenarios and measure nothing")
	flags.IntVar(&f.rounds, "rounds", 5, "how often each side is measured")
	bound(flags, "rounds", &f.rounds, 1, 1000)
	flags.DurationVar(&f.time, "time", 2*time.Second, "how long a load lasts in a round")
	bound(flags, "time", &f.time, 10*time.Millisecond, time.Hour)
	flags.IntVar(&f.rows, "rows", 1_000_000, "rows of the large states, at least 1000")
	bound(flags, "rows", &f.rows, 1000, 100_000_000)
	flags.IntVar(&f.entries, "entries", 1_000_000, "entries of the long logs, at least 100")
	bound(flags, "entries", &f.entries, 100, 1_000_000_000)
	flags.IntVar(&f.watchers, "watchers", 1000, "how many watch")
	bound(flags, "watchers", &f.watchers, 1, 100_000)
	flags.StringVar(&f.dir, "dir", "", "empty or missing `DIR` to work in, on the disk to measure (default: a temporary one)")
	flags.StringVar(&f.etcd, "etcd", "", "`FILE` of the program etcd (default: the one on PATH, if there is one)")
	flags.StringVar(&f.plot, "plot", "", "`FILE` to write an SVG image to: throughput against clients, cost against rows")
	flags.BoolVar(&f.markdown, "markdown", false, "print a table in Markdown")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if f.list {
			return listScenarios(out)
		}
		if err := f.check(out, args); err != nil {
			return err
		}
		return f.run(cmd.Context(), a, out, args)
	}
	cmd.AddCommand(&cobra.Command{
		Use: "handler", Hidden: true, Short: "Run the floor of HTTP", Args: takes(),
		RunE: func(cmd *cobra.Command, _ []string) error { return bench.ServeHandler(cmd.Context(), a.out) },
	})
	return cmd
}

func scenarioNames() (names []string) {
	for _, s := range bench.Scenarios() {
		names = append(names, s.Name)
	}
	return names
}

func checkScenarios(args []string) error {
	names := scenarioNames()
	for _, arg := range args {
		if !slices.Contains(names, arg) {
			return exitf(codeUsage, "there is no scenario %q%s", arg, meant(arg, names, "bench --list lists them all"))
		}
	}
	return nil
}

func completeScenario(_ *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
	names := slices.DeleteFunc(scenarioNames(), func(n string) bool { return slices.Contains(args, n) })
	return names, cobra.ShellCompDirectiveNoFileComp
}

// listed is a scenario as --list --json prints it.
type listed struct {
	Scenario string `json:"scenario"`
	Short    string `json:"short"`
}

func listScenarios(out *output) error {
	var t table
	for _, s := range bench.Scenarios() {
		if !out.json {
			t.row(s.Name, s.Short)
		} else if err := out.printJSON(listed{s.Name, s.Short}); err != nil {
			return err
		}
	}
	return t.print(out)
}

// check refuses flags that do not fit.
func (f *benchFlags) check(out *output, scenarios []string) error {
	if f.markdown && out.json {
		return exitf(codeUsage, "--json and --markdown exclude each other: give one")
	}
	if f.plot != "" && len(scenarios) > 0 && !slices.ContainsFunc(scenarios, bench.HasPlot) {
		return exitf(codeUsage, "--plot has nothing to draw: it draws the scenarios http-1, http-64, http-256 and rows")
	}
	if f.etcd == "" {
		f.etcd, _ = exec.LookPath("etcd") // Without one its rows are left out.
	} else if _, err := exec.LookPath(f.etcd); err != nil {
		return exitf(codeUsage, "--etcd: %w", err)
	}
	return nil
}

// run measures and prints, also what was found before an error.
func (f *benchFlags) run(ctx context.Context, a *app, out *output, scenarios []string) (err error) {
	o, err := f.options(a)
	if err != nil {
		return err
	}
	removeDir, err := f.workIn(&o)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, removeDir()) }()
	line := newStatus(a.err)
	f.note(line, a, o.Dir)
	bars := map[string]*progress{}
	o.Progress = func(scenario string, done, rounds int) {
		if !line.terminal {
			fmt.Fprintf(line, "%s: %s, %d of %d rounds\n", a.name(), scenario, done, rounds)
		}
		if bars[scenario] == nil {
			bars[scenario] = &progress{line: line, what: scenario, unit: "rounds"}
		}
		bars[scenario].show(int64(done), int64(rounds))
	}
	table := &benchTable{out: out}
	err = bench.Run(ctx, o, scenarios, func(m bench.Measure) error {
		table.all = append(table.all, m)
		line.clear()
		if f.markdown {
			return nil
		}
		return table.print(m)
	})
	line.end()
	if f.markdown {
		err = errors.Join(err, bench.WriteMarkdown(out, table.all))
	}
	if f.plot != "" && len(table.all) > 0 {
		err = errors.Join(err, writePlot(f.plot, table.all))
	}
	if ctx.Err() != nil {
		return exitf(codeFailed, "stopped: the figures above are of whole scenarios, the others are missing")
	}
	return err
}

// options returns what is measured, and with which program: this one.
func (f *benchFlags) options(a *app) (bench.Options, error) {
	self, err := os.Executable()
	if err != nil {
		return bench.Options{}, exitf(codeFailed, "the program does not find itself: %w", err)
	}
	ours := a.variable("")
	env := slices.DeleteFunc(os.Environ(), func(v string) bool { return strings.HasPrefix(v, ours) }) // A token file would refuse the load.
	return bench.Options{
		Program: self, Env: env, Handler: []string{"bench", "handler"}, Etcd: f.etcd, Engine: a.options(), Parts: a.parts,
		Rounds: f.rounds, Time: f.time, Rows: f.rows, Entries: f.entries, Watchers: f.watchers,
	}, nil
}

// workIn sets the directory, and returns a function that removes it if it was made.
func (f *benchFlags) workIn(o *bench.Options) (remove func() error, err error) {
	if f.dir == "" {
		if o.Dir, err = os.MkdirTemp("", o.Engine.Program+"-bench-"); err != nil {
			return nil, exitf(codeFailed, "a temporary directory cannot be made: %w: name one with --dir", err)
		}
		return func() error { return os.RemoveAll(o.Dir) }, nil
	}
	if o.Dir, err = filepath.Abs(f.dir); err != nil {
		return nil, err
	}
	inside, err := os.ReadDir(o.Dir)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		if err := os.Mkdir(o.Dir, 0o700); err != nil {
			return nil, exitf(codeUsage, "--dir: %w", unread(f.dir, err))
		}
		return func() error { return os.RemoveAll(o.Dir) }, nil
	case err != nil:
		return nil, exitf(codeUsage, "--dir: %w", unread(f.dir, err))
	case len(inside) > 0:
		return nil, exitf(codeUsage, "--dir %s is not empty: name an empty or a missing directory", f.dir)
	}
	return func() error { // What scenarios share is left there.
		made, err := os.ReadDir(o.Dir)
		for _, d := range made {
			err = errors.Join(err, os.RemoveAll(filepath.Join(o.Dir, d.Name())))
		}
		return err
	}, nil
}

// note says what makes the figures less than they seem.
func (f *benchFlags) note(line *status, a *app, dir string) {
	var s unix.Statfs_t
	if unix.Statfs(dir, &s) == nil && s.Type == unix.TMPFS_MAGIC {
		fmt.Fprintf(line, "%s: %s is in memory, where a sync costs nothing: name a directory on a disk with --dir\n", a.name(), dir)
	}
	if f.etcd == "" {
		fmt.Fprintf(line, "%s: there is no etcd on PATH: its rows are left out\n", a.name())
	}
}

func writePlot(name string, all []bench.Measure) error {
	f, err := os.Create(name)
	if err != nil {
		return exitf(codeFailed, "--plot: %w", err)
	}
	if err := errors.Join(bench.WritePlot(f, all), f.Close()); err != nil {
		return exitf(codeFailed, "--plot: %w", err)
	}
	return nil
}

// benchTable prints measures as they come.
type benchTable struct {
	out *output
	all []bench.Measure
}

const benchRow = "%-42s %9s %-25s %9s  %-11s %-4s"

func (t *benchTable) print(m bench.Measure) error {
	if t.out.json {
		return t.out.printJSON(m)
	}
	var text string
	if len(t.all) == 1 {
		text = t.out.paint(dim, fmt.Sprintf(benchRow+"%9s", "", "floor", "", "swoosh", "goal", "met", "ratio")) + "\n"
	}
	if len(t.all) == 1 || t.all[len(t.all)-2].Scenario != m.Scenario {
		text += t.out.paint(bold, m.Scenario) + "\n"
	}
	ratio := fmt.Sprintf("%9s", bench.Number(m.Ratio))
	if m.Met() != "" {
		ratio = t.out.paint(map[bool]string{true: green, false: red}[m.IsMet()], ratio)
	}
	row := fmt.Sprintf(benchRow, "  "+m.What, bench.Number(m.Of), m.Floor, bench.Number(m.Swoosh), m.Goal, m.Met())
	_, err := fmt.Fprintln(t.out, text+row+ratio)
	return err
}
