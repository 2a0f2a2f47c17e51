package program

import (
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/chorus-services/swoosh/client"
)

const defaultAddress = "http://127.0.0.1:8420"

// connection holds the flags of the commands that call a server: its address, the
// caller's token and certificate, and how long to retry.
type connection struct {
	app           *app
	flags         *pflag.FlagSet
	address       string
	tokenFile     string
	ca, cert, key string
	retry         time.Duration
	sign          signFlags

	log  io.Writer // gets the reason of each retry
	mu   sync.Mutex
	said string // the code that was logged last
}

// clientFlags are the flags that may also be set in the environment.
var clientFlags = []string{"addr", "ca-file", "cert-file", "key-file", "retry"}

// newConnection returns a connection and adds its flags to cmd.
func newConnection(a *app, cmd *cobra.Command) *connection {
	c := &connection{app: a, flags: cmd.Flags(), log: a.err}
	c.flags.StringVar(&c.address, "addr", defaultAddress, "address of the server: http://, https:// or unix:PATH (also {PROGRAM}_ADDR)")
	c.flags.StringVar(&c.tokenFile, "token-file", "", "`FILE` with your token alone (default: the token in {PROGRAM}_TOKEN)")
	c.flags.StringVar(&c.ca, "ca-file", "", "`FILE` with the authorities (PEM) of the server's certificate (also {PROGRAM}_CA_FILE; default: the machine's)")
	c.flags.StringVar(&c.cert, "cert-file", "", "`FILE` with your certificate (PEM) (also {PROGRAM}_CERT_FILE)")
	c.flags.StringVar(&c.key, "key-file", "", "`FILE` with its key (PEM) (also {PROGRAM}_KEY_FILE)")
	c.flags.DurationVar(&c.retry, "retry", 30*time.Second, "how long to retry while the server restarts or is overloaded; 0: try once (also {PROGRAM}_RETRY)")
	bound(c.flags, "retry", &c.retry, 0, dayMost)
	return c
}

// isPointed reports whether the command line or the environment gives the
// server's address.
func (c *connection) isPointed() bool {
	return c.flags.Changed("addr") || c.app.environment()[c.app.variable("addr")] != ""
}

// open returns a client as the flags and the environment describe it.
func (c *connection) open() (*client.Client, error) {
	c.app.warnOfVariables(c.log)
	env := c.app.environment()
	for _, name := range clientFlags {
		f := c.flags.Lookup(name)
		variable := c.app.variable(name)
		if value, given := env[variable]; given && !f.Changed {
			if err := setFromText(f, variable, value); err != nil {
				return nil, err
			}
		}
	}
	o := client.Options{Retry: client.Retry{For: c.retry, Notify: c.notify}}
	if c.retry == 0 {
		o.Retry.Attempts = 1
	}
	home, err := c.home()
	if err != nil {
		return nil, err
	}
	c.pointTo(home)
	if o.Signer, err = c.signer(home); err != nil {
		return nil, err
	}
	if o.Token, err = c.token(); err != nil {
		return nil, err
	}
	if o.TLS, err = c.tlsConfig(); err != nil {
		return nil, err
	}
	switch isUnix := strings.HasPrefix(c.address, unixPrefix); {
	case isUnix && !c.flags.Changed("ca-file") && !c.flags.Changed("cert-file"):
		o.TLS = nil // A socket has TLS only if its flags say so; the variables may be for other servers.
	case !isUnix && !strings.Contains(c.address, "://"):
		c.address = "http://" + c.address
	}
	api, err := client.New(c.address, o)
	if err != nil {
		return nil, exitf(codeUsage, "--addr or %s: %w", c.app.variable("addr"), err)
	}
	return api, nil
}

// reach is open, and checks that the address is a server's, and with --dir the node's
// hub: a wrong address fails at once. A connection that breaks, or a proxy whose server is away for a moment,
// is retried.
func (c *connection) reach(ctx context.Context) (*client.Client, error) {
	api, err := c.open()
	if err != nil {
		return nil, err
	}
	const pause = time.Second
	for began := time.Now(); ; {
		_, err := api.Version(ctx)
		if err == nil {
			err = c.checkHub(ctx, api)
		}
		var e *client.Error
		if !errors.As(err, &e) {
			return api, err
		}
		if e.Code != client.NoAnswer && e.Status < 500 || ctx.Err() != nil || time.Since(began)+pause > c.retry {
			return nil, c.app.failed(err)
		}
		c.notify(e, pause)
		select {
		case <-ctx.Done():
		case <-time.After(pause):
		}
	}
}

// under writes the reasons above a bar from now on.
func (c *connection) under(bar *progress) { c.log = bar.line }

// notify writes why a call is retried, once for each reason in a row.
func (c *connection) notify(why *client.Error, _ time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.said != why.Code {
		c.said = why.Code
		fmt.Fprintf(c.log, "%s: trying again: %s\n", c.app.name(), oneLine(why))
	}
}

func (c *connection) token() (string, error) {
	variable := c.app.variable("token")
	token := os.Getenv(variable)
	if c.tokenFile != "" {
		b, err := os.ReadFile(c.tokenFile)
		if err != nil {
			return "", exitf(codeUsage, "%w", unread("--token-file", err))
		}
		token = strings.TrimSpace(string(b))
	}
	if strings.ContainsFunc(token, func(r rune) bool { return r <= ' ' || r > '~' }) {
		return "", exitf(codeUsage, "the token has a character that no token has, such as a space: --token-file and %s hold your token alone, not the server's token file", variable)
	}
	return token, nil
}

func (c *connection) tlsConfig() (*tls.Config, error) {
	if (c.cert == "") != (c.key == "") {
		return nil, exitf(codeUsage, "--cert-file and --key-file go together: give both")
	}
	if c.ca == "" && c.cert == "" {
		return nil, nil
	}
	config := &tls.Config{MinVersion: tls.VersionTLS12}
	if c.ca != "" {
		b, err := os.ReadFile(c.ca)
		if err != nil {
			return nil, exitf(codeUsage, "%w", unread("--ca-file", err))
		}
		if config.RootCAs = x509.NewCertPool(); !config.RootCAs.AppendCertsFromPEM(b) {
			return nil, exitf(codeUsage, "--ca-file: %s holds no certificate in PEM: name one that does", c.ca)
		}
	}
	if c.cert != "" {
		pair, err := tls.LoadX509KeyPair(c.cert, c.key)
		if err != nil {
			return nil, exitf(codeUsage, "%w", unread(fmt.Sprintf("--cert-file %s with --key-file %s", c.cert, c.key), err))
		}
		config.Certificates = []tls.Certificate{pair}
	}
	return config, nil
}

// failed adds to a client's error its exit code and the flags that may help.
func (a *app) failed(err error) error {
	var e *client.Error
	if !errors.As(err, &e) {
		return err
	}
	text := cmp.Or(e.Code, client.NoAnswer) + ": " + detailOf(e) + reasonsOf(e) + a.flagsOf(e)
	switch {
	case e.Happened == client.Unknown:
		return exitf(codeUnknown, "%s", text)
	case errors.Is(e, context.Canceled):
		return exitf(codeFailed, "stopped")
	case e.Code == client.Unreachable || e.Code == client.NoAnswer:
		return exitf(codeUnreachable, "%s", text)
	}
	return exitf(codeFailed, "%s", text)
}

// detailOf returns the detail with every wrong member; the server's own text has
// room for the first only.
func detailOf(e *client.Error) string {
	if len(e.Errors) < 2 {
		return e.Detail
	}
	var all []string
	for _, f := range e.Errors {
		all = append(all, f.Pointer+" "+f.Detail)
	}
	list := strings.Join(all, "; ")
	for _, first := range []string{fmt.Sprintf("%s (and %d more)", all[0], len(all)-1), all[0]} {
		if before, after, found := strings.Cut(e.Detail, first); found {
			return before + list + after
		}
	}
	return e.Detail + " (" + list + ")"
}

// reasonsOf returns the reasons of the guards that refused.
func reasonsOf(e *client.Error) string {
	text := ""
	for _, g := range e.Guards {
		if !g.Allowed && !strings.Contains(e.Detail, g.Reason) {
			text += fmt.Sprintf(" (%s: %s)", g.Guard, g.Reason)
		}
	}
	return text
}

// flagsOf names the flags that may help.
func (a *app) flagsOf(e *client.Error) string {
	var certificate *tls.CertificateVerificationError
	switch {
	case errors.As(e, &certificate):
		return a.text(": --ca-file or {PROGRAM}_CA_FILE names it")
	case e.Code == client.Unreachable && errors.Is(e, fs.ErrPermission):
		return a.text(": --addr or {PROGRAM}_ADDR names another")
	case e.Code == client.Unreachable:
		return a.text(": {program} serve starts one, --addr or {PROGRAM}_ADDR names another")
	case e.Code == client.NotSwoosh:
		return a.text(": --addr or {PROGRAM}_ADDR names it")
	case e.Code == client.Unauthorized:
		return a.text(": give your token in {PROGRAM}_TOKEN or --token-file")
	}
	return ""
}
