package main

import (
	"errors"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"runtime/debug"
	"strconv"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/chorus-services/swoosh"
)

// serveFlags are the flags of serve.
type serveFlags struct {
	dir, listen, node   string
	skewMax             time.Duration
	recoveryMax         time.Duration
	shutdownTimeout     time.Duration
	stateMaxBytes       int64
	forceReplay         bool
	logLevel, logFormat string
}

func newServe(s streams) *cobra.Command {
	var f serveFlags
	cmd := &cobra.Command{
		Use: "serve [flags]", Short: "Run the server",
		Long: `Runs the server on a directory, which it makes if it is missing. Once commands
are taken it prints one line on stdout, with its address; it logs on stderr.

SIGTERM and SIGINT stop it: it takes no more commands, finishes those it has,
closes the log and ends with 0, or with 1 if that takes longer than
--shutdown-timeout. A second signal ends it at once. Nothing that was
acknowledged is lost either way.`,
		Args: takes(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			line := newStatus(s.err)
			server, err := f.server(line, s.out)
			if err != nil {
				return err
			}
			syscall.Umask(0o077)
			boundGarbage()
			return server.run(cmd.Context())
		},
	}
	f.register(cmd)
	return cmd
}

// boundGarbage collects twice as often as Go does by itself: most of the heap
// is Badger's large buffers, which cost nothing to look through. GOGC wins.
func boundGarbage() {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(50)
	}
}

func (f *serveFlags) register(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.SortFlags = false
	flags.StringVar(&f.dir, "dir", "./swoosh-data", "where everything is kept; one server at a time")
	flags.StringVar(&f.listen, "listen", "127.0.0.1:8420", "address to listen on, of this machine only; port 0 takes a free one")
	flags.StringVar(&f.node, "node-id", "", "name in stamps, 1 to 63 of a-z, 0-9 and dash (default: made once and kept in the directory)")
	flags.DurationVar(&f.skewMax, "max-clock-skew", 500*time.Millisecond, "how far a caller's hlc may be ahead")
	flags.DurationVar(&f.recoveryMax, "max-recovery", time.Second, "save a snapshot when replaying the log would take longer")
	flags.DurationVar(&f.shutdownTimeout, "shutdown-timeout", 10*time.Second, "how long a stop may take")
	flags.Int64Var(&f.stateMaxBytes, "max-state-bytes", 64<<20, "of an imported state")
	flags.BoolVar(&f.forceReplay, "force-replay", false, "replay the whole log, whatever snapshots there are")
	flags.StringVar(&f.logLevel, "log-level", "info", "debug, info, warn or error")
	flags.StringVar(&f.logFormat, "log-format", "text", "text or json")
}

// server checks the flags and gives the server that they describe.
func (f *serveFlags) server(line *status, out io.Writer) (*server, error) {
	if err := f.check(); err != nil {
		return nil, err
	}
	log, err := f.logger(line)
	if err != nil {
		return nil, err
	}
	b := buildInfo()
	return &server{
		listen: f.listen, shutdownTimeout: f.shutdownTimeout, out: out, line: line, parts: parts(),
		options: swoosh.Options{
			Dir: f.dir, Node: f.node, SkewMax: f.skewMax, MaxRecovery: f.recoveryMax,
			MaxStateBytes: f.stateMaxBytes, ForceReplay: f.forceReplay, Logger: log,
			ReducerVersion: reducerVersion, Version: b.version, Commit: b.commit,
		},
	}, nil
}

func (f *serveFlags) check() error {
	if f.dir == "" {
		return exitf(codeUsage, "--dir is empty: name a directory")
	}
	if f.node != "" {
		if err := swoosh.CheckNodeID(f.node); err != nil {
			return exitf(codeUsage, "--node-id: %w", err)
		}
	}
	for _, d := range []struct {
		flag  string
		value time.Duration
	}{
		{"--max-clock-skew", f.skewMax}, {"--max-recovery", f.recoveryMax}, {"--shutdown-timeout", f.shutdownTimeout},
	} {
		if d.value < time.Millisecond {
			return exitf(codeUsage, "%s is %s: it must be 1ms or more", d.flag, d.value)
		}
	}
	if f.stateMaxBytes < 1 {
		return exitf(codeUsage, "--max-state-bytes is %d: it must be 1 or more", f.stateMaxBytes)
	}
	return checkLoopback(f.listen)
}

// checkLoopback refuses addresses that other machines reach: without tokens
// and TLS anybody there could send commands.
func checkLoopback(listen string) error {
	host, port, err := net.SplitHostPort(listen)
	if err == nil {
		_, err = strconv.ParseUint(port, 10, 16)
	}
	if err != nil {
		return exitf(codeUsage, "--listen %q is not an address: give a host and a port, such as 127.0.0.1:8420", listen)
	}
	ip, err := netip.ParseAddr(host)
	if host == "localhost" || err == nil && ip.Unmap().IsLoopback() {
		return nil
	}
	return exitf(codeUsage, "--listen %s would be open to other machines: only loopback addresses are taken, such as 127.0.0.1:%s", listen, port)
}

func (f *serveFlags) logger(w io.Writer) (*slog.Logger, error) {
	levels := map[string]slog.Level{"debug": slog.LevelDebug, "info": slog.LevelInfo, "warn": slog.LevelWarn, "error": slog.LevelError}
	level, known := levels[f.logLevel]
	if !known {
		return nil, exitf(codeUsage, "--log-level %q is unknown: give debug, info, warn or error", f.logLevel)
	}
	o := &slog.HandlerOptions{Level: level}
	switch f.logFormat {
	case "text":
		return slog.New(slog.NewTextHandler(w, o)), nil
	case "json":
		return slog.New(slog.NewJSONHandler(w, o)), nil
	}
	return nil, exitf(codeUsage, "--log-format %q is unknown: give text or json", f.logFormat)
}

// listenOn takes the address.
func listenOn(address string) (net.Listener, error) {
	ln, err := net.Listen("tcp", address)
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		return nil, exitf(codeFailed, "%s is taken by another program, perhaps another swoosh: stop that one, or give another --listen", address)
	case errors.Is(err, syscall.EACCES):
		return nil, exitf(codeFailed, "%s may not be taken by this user: give a --listen with a port from 1024 on", address)
	case err != nil:
		return nil, exitf(codeFailed, "cannot listen on %s: %w", address, err)
	}
	// A name such as localhost may stand for another address than one believes.
	if ip := ln.Addr().(*net.TCPAddr).IP; !ip.IsLoopback() {
		_ = ln.Close() // Nothing was accepted.
		return nil, exitf(codeUsage, "--listen %s stands for %s, which other machines reach: give 127.0.0.1 in its place", address, ip)
	}
	return ln, nil
}
