// Command swoosh is a small durable control plane: services post commands, a
// deterministic reducer turns them into state, and every command is on disk
// before it is answered. `swoosh serve` runs it, `swoosh help` lists the rest.
package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
)

func main() {
	os.Exit(run(context.Background(), os.Args[1:], streams{os.Stdin, os.Stdout, os.Stderr}))
}

// streams are what a program reads and writes.
type streams struct {
	in       io.Reader
	out, err io.Writer
}

// run is the whole program but for its process: it gives the exit code.
func run(ctx context.Context, args []string, s streams) int {
	ctx, stop := untilSignal(ctx)
	defer stop()
	err := execute(ctx, args, s)
	if err != nil {
		fmt.Fprintln(s.err, "swoosh: "+oneLine(err))
	}
	return exitCode(err)
}

// untilSignal gives a context that ends with the first SIGINT or SIGTERM. A
// second signal ends the process at once.
func untilSignal(parent context.Context) (ctx context.Context, stop func()) {
	ctx, cancel := context.WithCancel(parent)
	signals, stopped := make(chan os.Signal, 2), make(chan struct{})
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	go func() {
		for n := 1; ; n++ {
			select {
			case <-stopped:
				return
			case <-signals:
				cancel()
			}
			if n > 1 {
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
