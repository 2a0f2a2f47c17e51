// Package program makes a whole command-line program from domains: a server
// with its configuration, tokens, TLS, metrics and signals, the commands that
// talk to it, and those that verify and repair its directory.
package program

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/signal"
	"regexp"
	"strings"
	"syscall"
	"time"

	"github.com/chorus-services/swoosh"
)

// Info names a program.
type Info struct {
	// Name is what users type: 1 to 32 characters of a-z, 0-9 and dash, the first
	// one a letter.
	Name string

	Version string // empty: the main module's, as Go recorded it in the build
	Commit  string // empty: likewise

	// ReducerVersion names the rules of the domains' code, as swoosh.Options has it.
	ReducerVersion string

	// Guards judge the commands that callers send, in this order. A domain does not
	// see who the caller is; a guard does.
	Guards []swoosh.Guard
}

// Main runs the subcommand that os.Args names and exits with its code; `NAME
// help exit-codes` lists the codes. The parts are the program's domains, in the
// order in which their gates are asked.
//
// Everything a user reads or sets carries the program's name. The environment
// variables of a program called doors begin with DOORS_, such as DOORS_ADDR, and
// those of big-doors with BIG_DOORS_: two programs on one machine share no
// settings. Only names within the protocol stay the same for all programs: the
// metrics' prefix swoosh_, the headers Swoosh-Index and Swoosh-HLC, and the
// prefix of tokens.
//
// Main panics if the name is not valid.
func Main(info Info, parts ...swoosh.Part) {
	a := newApp(info, parts, streams{os.Stdin, os.Stdout, os.Stderr})
	os.Exit(a.run(context.Background(), os.Args[1:]))
}

// streams are what a program reads and writes.
type streams struct {
	in       io.Reader
	out, err io.Writer
}

// app is a program on its streams.
type app struct {
	streams
	build          build
	reducerVersion string
	guards         []swoosh.Guard
	parts          []swoosh.Part
}

var validName = regexp.MustCompile(`^[a-z][a-z0-9-]{0,31}$`)

func newApp(info Info, parts []swoosh.Part, s streams) *app {
	if !validName.MatchString(info.Name) {
		panic(fmt.Sprintf("program: Info.Name is %q: it must have 1 to 32 characters of a-z, 0-9 and dash, and begin with a letter", info.Name))
	}
	return &app{streams: s, build: buildInfo(info), reducerVersion: info.ReducerVersion, guards: info.Guards, parts: parts}
}

// name returns the program's name.
func (a *app) name() string { return a.build.Program }

// variable returns the name of the environment variable of a flag.
func (a *app) variable(flag string) string { return variableOf(a.name(), flag) }

// variableOf returns the name of a program's environment variable.
func variableOf(program, flag string) string {
	return strings.ToUpper(strings.ReplaceAll(program+"-"+flag, "-", "_"))
}

// text fills the program's name into a text: {program} becomes doors, and
// {PROGRAM} becomes DOORS, as its variables begin.
func (a *app) text(text string) string {
	return strings.NewReplacer("{program}", a.name(), "{PROGRAM}", strings.TrimSuffix(a.variable(""), "_")).Replace(text)
}

// options returns the engine's options that follow from the program.
func (a *app) options() swoosh.Options {
	return swoosh.Options{
		Program: a.name(), Version: a.build.Version, Commit: a.build.exact(), ReducerVersion: a.reducerVersion,
		Guards: a.guards,
	}
}

// run runs a subcommand and returns the exit code.
func (a *app) run(ctx context.Context, args []string) int {
	ctx, stop := untilSignal(ctx)
	defer stop()
	err := a.execute(ctx, args)
	if err != nil {
		fmt.Fprintln(a.err, a.name()+": "+oneLine(err))
	}
	return exitCode(err)
}

// together is how long after the first signal another one belongs to it: who stops a
// process with its group often sends it two.
const together = time.Second

// interrupts are the SIGINT and SIGTERM of a process.
type interrupts struct{ first time.Time }

// next takes a signal that came at a time, and reports whether the process is to end
// at once: a second one that does not belong to the first.
func (i *interrupts) next(at time.Time) (atOnce bool) {
	if i.first.IsZero() {
		i.first = at
	}
	return at.Sub(i.first) > together
}

// untilSignal returns a context that ends with the first SIGINT or SIGTERM. A
// second one ends the process at once, unless it belongs to the first.
func untilSignal(parent context.Context) (ctx context.Context, stop func()) {
	ctx, cancel := context.WithCancel(parent)
	signals, stopped := make(chan os.Signal, 2), make(chan struct{})
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	go func() {
		var all interrupts
		for {
			select {
			case <-stopped:
				return
			case <-signals:
				cancel()
			}
			if all.next(time.Now()) {
				os.Exit(codeFailed)
			}
		}
	}()
	return ctx, func() {
		signal.Stop(signals)
		close(stopped)
		cancel()
	}
}
