package main

import (
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/chorus-services/swoosh/client"
)

const defaultAddress = "http://127.0.0.1:8420"

// connection says where the server is, who asks, and how patiently.
type connection struct {
	flags         *pflag.FlagSet
	address       string
	tokenFile     string
	ca, cert, key string
	retry         time.Duration

	log  io.Writer // is told why a question is asked again
	mu   sync.Mutex
	said string // the code that was told last
}

// clientFlags are the flags that may stand in the environment.
var clientFlags = []string{"addr", "ca-file", "cert-file", "key-file", "retry"}

// clientVariables are for the commands that ask a server.
var clientVariables = []string{"SWOOSH_TOKEN", variable("addr"), variable("ca-file"), variable("cert-file"), variable("key-file"), variable("retry")}

// newConnection gives a connection, and cmd the flags that describe it.
func newConnection(cmd *cobra.Command, log io.Writer) *connection {
	c := &connection{flags: cmd.Flags(), log: log}
	c.flags.StringVar(&c.address, "addr", defaultAddress, "where the server is: http://, https:// or unix:PATH (also SWOOSH_ADDR)")
	c.flags.StringVar(&c.tokenFile, "token-file", "", "file that holds your token, alone (default: the token in SWOOSH_TOKEN)")
	c.flags.StringVar(&c.ca, "ca-file", "", "authorities (PEM) of the server's certificate (also SWOOSH_CA_FILE; default: the machine's)")
	c.flags.StringVar(&c.cert, "cert-file", "", "your certificate (PEM) (also SWOOSH_CERT_FILE)")
	c.flags.StringVar(&c.key, "key-file", "", "its key (PEM) (also SWOOSH_KEY_FILE)")
	c.flags.DurationVar(&c.retry, "retry", 30*time.Second, "how long to go on asking a server that starts, stops, is overloaded or goes away; 0: ask once (also SWOOSH_RETRY)")
	return c
}

// open gives a client as the flags and the environment describe it.
func (c *connection) open() (*client.Client, error) {
	warnOfVariables(c.log)
	env := environment()
	for _, name := range clientFlags {
		f := c.flags.Lookup(name)
		if value, given := env[variable(name)]; given && !f.Changed {
			if err := setFromText(f, value); err != nil {
				return nil, err
			}
		}
	}
	if c.retry < 0 {
		return nil, exitf(codeUsage, "--retry is %s: give how long to go on asking, or 0 to ask once", c.retry)
	}
	o := client.Options{Retry: client.Retry{For: c.retry, Notify: c.notify}}
	if c.retry == 0 {
		o.Retry.Attempts = 1
	}
	var err error
	if o.Token, err = c.token(); err != nil {
		return nil, err
	}
	if o.TLS, err = c.tlsConfig(); err != nil {
		return nil, err
	}
	switch isUnix := strings.HasPrefix(c.address, unixPrefix); {
	case isUnix && !c.flags.Changed("ca-file") && !c.flags.Changed("cert-file"):
		o.TLS = nil // A socket has TLS only if one says so for it; the variables are for other servers too.
	case !isUnix && !strings.Contains(c.address, "://"):
		c.address = "http://" + c.address
	}
	api, err := client.New(c.address, o)
	if err != nil {
		return nil, exitf(codeUsage, "--addr or SWOOSH_ADDR: %w", err)
	}
	return api, nil
}

// reach is open, and asks whether a swoosh server is there: who gave a wrong
// address is told at once, and not asked to wait. A connection that breaks, and a
// proxy that has no server behind it for a moment, are.
func (c *connection) reach(ctx context.Context) (*client.Client, error) {
	api, err := c.open()
	if err != nil {
		return nil, err
	}
	const pause = time.Second
	for began := time.Now(); ; {
		_, err := api.Version(ctx)
		var e *client.Error
		if !errors.As(err, &e) {
			return api, err
		}
		if e.Code != client.NoAnswer && e.Status < 500 || ctx.Err() != nil || time.Since(began)+pause > c.retry {
			return nil, failed(err)
		}
		c.notify(e, pause)
		select {
		case <-ctx.Done():
		case <-time.After(pause):
		}
	}
}

// under has what is said stand above a bar.
func (c *connection) under(bar *progress) { c.log = bar.line }

// notify says why a question is asked again, once for each reason in a row.
func (c *connection) notify(why *client.Error, _ time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.said != why.Code {
		c.said = why.Code
		fmt.Fprintf(c.log, "swoosh: asking again: %s\n", oneLine(why))
	}
}

func (c *connection) token() (string, error) {
	token := os.Getenv("SWOOSH_TOKEN")
	if c.tokenFile != "" {
		b, err := os.ReadFile(c.tokenFile)
		if err != nil {
			return "", exitf(codeUsage, "%w", unread("--token-file", err))
		}
		token = strings.TrimSpace(string(b))
	}
	if strings.ContainsFunc(token, func(r rune) bool { return r <= ' ' || r > '~' }) {
		return "", exitf(codeUsage, "the token has a character that no token has, such as a space: --token-file and SWOOSH_TOKEN hold your token alone, not the server's token file")
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

// failed gives a client's error the exit code that it means, and says what to do
// on this command line.
func failed(err error) error {
	var e *client.Error
	if !errors.As(err, &e) {
		return err
	}
	text := cmp.Or(e.Code, client.NoAnswer) + ": " + detailOf(e) + reasonsOf(e) + flagsOf(e)
	switch {
	case e.Happened == client.Unknown:
		return exitf(codeUnknown, "%s", text)
	case errors.Is(e, context.Canceled):
		return exitf(codeFailed, "it was stopped")
	case e.Code == client.Unreachable || e.Code == client.NoAnswer:
		return exitf(codeUnreachable, "%s", text)
	}
	return exitf(codeFailed, "%s", text)
}

// detailOf gives the detail with all that is wrong, member by member, where it has
// room for the first of them only.
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

// reasonsOf gives what the guards said that said no.
func reasonsOf(e *client.Error) string {
	text := ""
	for _, g := range e.Guards {
		if !g.Allowed && !strings.Contains(e.Detail, g.Reason) {
			text += fmt.Sprintf(" (%s: %s)", g.Guard, g.Reason)
		}
	}
	return text
}

// flagsOf names the flags that may put it right.
func flagsOf(e *client.Error) string {
	var certificate *tls.CertificateVerificationError
	switch {
	case errors.As(e, &certificate):
		return ": --ca-file or SWOOSH_CA_FILE names it"
	case e.Code == client.Unreachable || e.Code == client.NotSwoosh:
		return ": --addr or SWOOSH_ADDR names it"
	case e.Code == client.Unauthorized:
		return ": give your token in SWOOSH_TOKEN or --token-file"
	}
	return ""
}
