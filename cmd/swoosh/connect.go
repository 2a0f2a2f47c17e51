package main

import (
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/spf13/pflag"
)

const defaultAddress = "http://127.0.0.1:8420"

// connection says where the server is and who asks. What a flag does not say
// stands in the environment.
type connection struct {
	address         string
	tokenFile       string
	ca, cert, key   string
	http            *http.Client // made with the first question
	base            string       // of the URLs, made likewise
	socket, bearing string       // path of a unix socket; the token
}

func (c *connection) register(flags *pflag.FlagSet) {
	flags.StringVar(&c.address, "addr", "", "where the server is: http://, https:// or unix:PATH (default: SWOOSH_ADDR, else "+defaultAddress+")")
	flags.StringVar(&c.tokenFile, "token-file", "", "file that holds your token, alone (default: the token in SWOOSH_TOKEN)")
	flags.StringVar(&c.ca, "ca-file", "", "authorities (PEM) of the server's certificate (default: SWOOSH_CA_FILE, else the machine's)")
	flags.StringVar(&c.cert, "cert-file", "", "your certificate (PEM) (default: SWOOSH_CERT_FILE)")
	flags.StringVar(&c.key, "key-file", "", "its key (PEM) (default: SWOOSH_KEY_FILE)")
}

// open reads what the flags and the environment name.
func (c *connection) open() error {
	if c.http != nil {
		return nil
	}
	if err := c.findServer(); err != nil {
		return err
	}
	if err := c.findToken(); err != nil {
		return err
	}
	config, err := c.tlsConfig()
	if err != nil {
		return err
	}
	dialer := &net.Dialer{Timeout: 5 * time.Second}
	dial := dialer.DialContext
	if c.socket != "" {
		dial = func(ctx context.Context, _, _ string) (net.Conn, error) {
			return dialer.DialContext(ctx, "unix", c.socket)
		}
	}
	// Answers have no limit of time: a state of long ago takes as long as its
	// replay.
	c.http = &http.Client{
		Transport: &http.Transport{
			Proxy: http.ProxyFromEnvironment, DialContext: dial, TLSClientConfig: config, ForceAttemptHTTP2: true,
			DisableKeepAlives: true, DisableCompression: true, ExpectContinueTimeout: 10 * time.Second,
		},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	return nil
}

func (c *connection) findServer() error {
	address := cmp.Or(c.address, os.Getenv("SWOOSH_ADDR"), defaultAddress)
	if path, ok := strings.CutPrefix(address, unixPrefix); ok && path != "" {
		c.socket, c.base = path, "http://localhost"
		return nil
	}
	if !strings.Contains(address, "://") {
		address = "http://" + address
	}
	u, err := url.Parse(address)
	if err != nil || address == "http://"+unixPrefix || u.Scheme != "http" && u.Scheme != "https" || u.Hostname() == "" || strings.Trim(u.Path, "/") != "" || u.RawQuery != "" {
		return exitf(codeUsage, "%q is no address of a server: give one such as %s or unix:PATH in --addr or SWOOSH_ADDR", address, defaultAddress)
	}
	c.base = u.Scheme + "://" + u.Host
	return nil
}

// name is the server's address for people.
func (c *connection) name() string {
	if c.socket != "" {
		return unixPrefix + c.socket
	}
	return c.base
}

func (c *connection) findToken() error {
	c.bearing = os.Getenv("SWOOSH_TOKEN")
	if c.tokenFile != "" {
		b, err := os.ReadFile(c.tokenFile)
		if err != nil {
			return exitf(codeUsage, "--token-file: %w", err)
		}
		c.bearing = strings.TrimSpace(string(b))
	}
	if strings.ContainsAny(c.bearing, " \t\r\n") {
		return exitf(codeUsage, "the token has white space in it: --token-file and SWOOSH_TOKEN hold your token alone, not the server's token file")
	}
	return nil
}

func (c *connection) tlsConfig() (*tls.Config, error) {
	config := &tls.Config{MinVersion: tls.VersionTLS12}
	if ca := cmp.Or(c.ca, os.Getenv("SWOOSH_CA_FILE")); ca != "" {
		b, err := os.ReadFile(ca)
		if err != nil {
			return nil, exitf(codeUsage, "--ca-file: %w", err)
		}
		if config.RootCAs = x509.NewCertPool(); !config.RootCAs.AppendCertsFromPEM(b) {
			return nil, exitf(codeUsage, "--ca-file: %s holds no certificate in PEM", ca)
		}
	}
	cert, key := cmp.Or(c.cert, os.Getenv("SWOOSH_CERT_FILE")), cmp.Or(c.key, os.Getenv("SWOOSH_KEY_FILE"))
	if (cert == "") != (key == "") {
		return nil, exitf(codeUsage, "--cert-file and --key-file go together: give both")
	}
	if cert != "" {
		pair, err := tls.LoadX509KeyPair(cert, key)
		if err != nil {
			return nil, exitf(codeUsage, "--cert-file %s with --key-file %s: %w", cert, key, err)
		}
		config.Certificates = []tls.Certificate{pair}
	}
	return config, nil
}
