package program

import (
	"io"
	"log/slog"
	"net/url"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/chorus-services/swoosh"
	"github.com/chorus-services/swoosh/access"
	"github.com/chorus-services/swoosh/guard"
)

// serveFlags are the flags of serve.
type serveFlags struct {
	dir, listen, group  string
	node                string
	skewMax             time.Duration
	recoveryMax         time.Duration
	shutdownTimeout     time.Duration
	stateMaxBytes       int64
	retainEntries       uint64
	retainAge           time.Duration
	diskReserve         int64
	forceReplay         bool
	tokenFile, guards   string
	cert, key, clientCA string
	insecure            bool
	hosts, origins      []string
	rate                float64
	watchers            int64
	debug               bool
	logLevel, logFormat string

	config, printConfig string
}

func newServe(a *app) *cobra.Command {
	var f serveFlags
	cmd := &cobra.Command{
		Use: "serve [flags]", Short: "Run the server",
		Long: `Runs the server on a directory, which it creates if it is missing. Once it accepts
commands it prints one line with its address on stdout. It logs on stderr.

SIGTERM and SIGINT stop it: it accepts no more commands, finishes those it has,
and closes the log. The exit code is 0, or 1 if that takes longer than
--shutdown-timeout. A second signal, a second or more after the first, ends it at
once. Either way nothing that was acknowledged is lost. SIGHUP reloads tokens,
certificates and the rules of --guards; they are also reloaded when their files change.

Every setting can also be given in the environment, --max-recovery as
{PROGRAM}_MAX_RECOVERY, and in a JSON file, as "max-recovery". Flags take
precedence over the environment, and the environment over the file.`,
		Args: takes(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			hangups := make(chan os.Signal, 1) // Unhandled, a SIGHUP would end the start; serve handles it later.
			signal.Notify(hangups, syscall.SIGHUP)
			defer signal.Stop(hangups)
			signal.Ignore(syscall.SIGPIPE) // Who reads stdout or stderr may go away: the server lives on.
			line := newStatus(a.err)
			a.warnOfVariables(line)
			given, err := a.readSettings(cmd.Flags())
			if err != nil {
				return err
			}
			if f.printConfig != "" {
				return f.print(given, outputTo(a.out))
			}
			server, err := f.server(a, line)
			if err != nil {
				return err
			}
			if err := a.checkOwner(f.dir, "serve --dir"); err != nil {
				return err
			}
			server.hangups = hangups
			syscall.Umask(0o077)
			return server.run(cmd.Context())
		},
	}
	f.register(cmd, "./"+a.name()+"-data")
	return cmd
}

func (f *serveFlags) register(cmd *cobra.Command, dir string) {
	flags := cmd.Flags()
	flags.SortFlags = false
	flags.StringVar(&f.dir, "dir", dir, "`DIR` of the data; one server at a time")
	flags.StringVar(&f.listen, "listen", "127.0.0.1:8420", "address to listen on, or unix:PATH; port 0 takes a free one")
	flags.StringVar(&f.group, "socket-group", "", "group that may use the socket of unix:PATH (default: this user alone)")
	flags.StringVar(&f.node, "node-id", "", "name in stamps, 1 to 63 of a-z, 0-9 and dash (default: made once and kept in the directory)")
	flags.DurationVar(&f.skewMax, "max-clock-skew", 500*time.Millisecond, "how far a client's hlc may be ahead")
	bound(flags, "max-clock-skew", &f.skewMax, time.Millisecond, dayMost)
	flags.DurationVar(&f.recoveryMax, "max-recovery", time.Second, "save a snapshot when replaying the log would take longer")
	bound(flags, "max-recovery", &f.recoveryMax, time.Millisecond, dayMost)
	flags.DurationVar(&f.shutdownTimeout, "shutdown-timeout", 10*time.Second, "how long a stop may take")
	bound(flags, "shutdown-timeout", &f.shutdownTimeout, time.Millisecond, dayMost)
	flags.Int64Var(&f.stateMaxBytes, "max-state-bytes", 256<<20, "refuse commands and imports that make the state larger than so many bytes")
	bound(flags, "max-state-bytes", &f.stateMaxBytes, 1, bytesMost)
	flags.Uint64Var(&f.retainEntries, "retain-entries", 0, "let older entries go, but keep at least so many; 0: --retain-age decides")
	bound(flags, "retain-entries", &f.retainEntries, 0, entriesMost)
	flags.DurationVar(&f.retainAge, "retain-age", 0, "let entries go that are so much older than the newest; 0: --retain-entries decides; without both all are kept")
	bound(flags, "retain-age", &f.retainAge, 0, centuryMost)
	flags.Int64Var(&f.diskReserve, "disk-reserve", 0, "refuse commands below so many free bytes of the disk; 0: what the next steps need, at most 256 MiB")
	bound(flags, "disk-reserve", &f.diskReserve, 0, bytesMost)
	flags.BoolVar(&f.forceReplay, "force-replay", false, "replay the whole log and ignore snapshots")
	flags.StringVar(&f.tokenFile, "token-file", "", "`FILE` of callers, a line each: <name> <role> <token>, or cert:<name> <role>; see {program} token --help")
	flags.StringVar(&f.cert, "tls-cert", "", "`FILE` with the certificate (PEM) to serve TLS with")
	flags.StringVar(&f.key, "tls-key", "", "`FILE` with its key (PEM)")
	flags.StringVar(&f.clientCA, "tls-client-ca", "", "`FILE` with the authorities (PEM) of client certificates; lines cert:<name> <role> of the token file give roles to their common names")
	flags.BoolVar(&f.insecure, "insecure", false, "listen beyond loopback without tokens or TLS: whoever reaches the port may do everything, or hear the tokens")
	flags.StringArrayVar(&f.hosts, "allow-host", nil, "name that requests may give as the Host, besides localhost and addresses, where that is checked: on loopback, and without tokens; may be repeated (with commas in {PROGRAM}_ALLOW_HOST)")
	flags.StringArrayVar(&f.origins, "allow-origin", nil, "web origin whose pages may call the API, such as https://console.example; may be repeated (with commas in {PROGRAM}_ALLOW_ORIGIN)")
	flags.StringVar(&f.guards, "guards", "", "`FILE` of rules that judge commands before they are taken (JSON); {program} guards check tries it")
	flags.Float64Var(&f.rate, "rate", 0, "most requests a second from one caller; 0: no limit")
	bound(flags, "rate", &f.rate, 0, rateMost)
	flags.Int64Var(&f.watchers, "max-watchers", 5000, "refuse more watches than so many at once: each entry goes to each of them")
	bound(flags, "max-watchers", &f.watchers, 1, watchersMost)
	flags.BoolVar(&f.debug, "debug", false, "serve /debug/pprof to admins")
	flags.StringVar(&f.logLevel, "log-level", "info", "debug, info, warn or error")
	flags.StringVar(&f.logFormat, "log-format", "text", "text or json")
	flags.StringVar(&f.config, "config", "", "JSON `FILE` with settings (also {PROGRAM}_CONFIG)")
	flags.StringVar(&f.printConfig, "print-config", "", "print every setting and where it came from, as table or json, instead of starting")
	flags.Lookup("print-config").NoOptDefVal = "table"
}

// server checks the flags and returns the server that they describe.
func (f *serveFlags) server(a *app, line *status) (*server, error) {
	if err := f.check(); err != nil {
		return nil, err
	}
	log, err := f.logger(line)
	if err != nil {
		return nil, err
	}
	door, err := f.door(log)
	if err != nil {
		return nil, err
	}
	o := a.options()
	if f.guards != "" {
		if door.guards, err = guard.Open(f.guards, a.parts, log); err != nil {
			return nil, exitf(codeUsage, "--guards: %w", err)
		}
		o.Rules = door.guards.Guards
	}
	o.Dir, o.Node, o.Logger = f.dir, f.node, log
	o.SkewMax, o.MaxRecovery, o.ForceReplay = f.skewMax, f.recoveryMax, f.forceReplay
	o.MaxStateBytes, o.DiskReserve = f.stateMaxBytes, f.diskReserve
	o.RetainEntries, o.RetainAge = f.retainEntries, f.retainAge
	return &server{
		build: a.build, door: door, shutdownTimeout: f.shutdownTimeout, out: a.out, line: line, parts: a.parts, options: o,
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
	return f.checkDoor()
}

// checkDoor refuses an address beyond loopback without tokens and TLS.
func (f *serveFlags) checkDoor() error {
	if err := checkListen(f.listen); err != nil {
		return err
	}
	if f.group != "" && !strings.HasPrefix(f.listen, unixPrefix) {
		return exitf(codeUsage, "--socket-group is the group of a socket, and --listen %s is none: give --listen unix:PATH, or leave --socket-group out", f.listen)
	}
	if (f.cert == "") != (f.key == "") {
		return exitf(codeUsage, "--tls-cert and --tls-key go together: give both")
	}
	if f.clientCA != "" && (f.cert == "" || f.tokenFile == "") {
		return exitf(codeUsage, "--tls-client-ca needs --tls-cert, --tls-key and --token-file, which gives roles to the names of certificates")
	}
	for _, h := range f.hosts {
		if u, err := url.Parse("http://" + h); err != nil || h == "" || u.Hostname() != h {
			return exitf(codeUsage, "--allow-host %q is not a host: give its name alone, such as swoosh.internal", h)
		}
	}
	for _, o := range f.origins {
		u, err := url.Parse(o)
		if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || u.Scheme+"://"+u.Host != o {
			return exitf(codeUsage, "--allow-origin %q is not an origin: give scheme, host and port alone, such as https://console.example", o)
		}
	}
	if isOpenToOthers(f.listen) && !f.insecure && (f.tokenFile == "" || f.cert == "") {
		return exitf(codeUsage, "--listen %s is open to other machines: give --token-file, --tls-cert and --tls-key, or --insecure if the network is protected otherwise; or listen on 127.0.0.1", f.listen)
	}
	return nil
}

// door opens tokens and certificates.
func (f *serveFlags) door(log *slog.Logger) (d door, err error) {
	d = door{listen: f.listen, group: f.group, hosts: f.hosts, origins: f.origins, rate: f.rate, watchers: f.watchers, debug: f.debug}
	if f.cert != "" {
		if d.certificates, err = access.OpenCertificates(f.cert, f.key, f.clientCA, log); err != nil {
			flags := "--tls-cert " + f.cert + " --tls-key " + f.key
			if f.clientCA != "" {
				flags += " --tls-client-ca " + f.clientCA
			}
			return d, exitf(codeUsage, "%s: %w", flags, err)
		}
	}
	if f.tokenFile != "" {
		if d.tokens, err = access.OpenTokens(f.tokenFile, d.certificates, log); err != nil {
			return d, exitf(codeUsage, "--token-file: %w", err)
		}
	}
	return d, nil
}

func (f *serveFlags) print(given *settings, out *output) error {
	if f.printConfig != "table" && f.printConfig != "json" {
		return exitf(codeUsage, "--print-config=%s: give table or json", f.printConfig)
	}
	if err := f.check(); err != nil {
		return err
	}
	out.json = f.printConfig == "json"
	return given.print(out)
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
