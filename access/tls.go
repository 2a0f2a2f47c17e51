package access

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"time"
)

// Certificates holds a server's certificate and key, and the authorities for
// client certificates. It reads them again when a file changes.
type Certificates struct{ config *reloaded[*tls.Config] }

// OpenCertificates reads PEM files. With clientCA, a client may send a
// certificate, which must be valid, or a token instead; without clientCA, no
// certificate is requested. OpenCertificates fails if certificate and key do
// not match or the certificate is not valid now. If a reload fails, the old
// files stay in use.
func OpenCertificates(cert, key, clientCA string, log *slog.Logger) (*Certificates, error) {
	files := []string{cert, key}
	if clientCA != "" {
		files = append(files, clientCA)
	}
	c, err := newReloaded(log, func() (*tls.Config, error) { return readConfig(cert, key, clientCA) }, files...)
	return &Certificates{c}, err
}

// Reload reads the files now. If that fails, the old ones stay in use.
func (c *Certificates) Reload() error { return c.config.Reload() }

// Look reads the files if one has changed, so that errors are logged before the
// next connection.
func (c *Certificates) Look() { c.config.get() }

// Expiry returns when the certificate in use expires. After that, clients
// refuse it, but the server keeps using it until the files change.
func (c *Certificates) Expiry() time.Time { return c.config.get().Certificates[0].Leaf.NotAfter }

// Config returns a configuration for http.Server: TLS 1.2 or later, HTTP/2 and 1.1.
func (c *Certificates) Config() *tls.Config {
	return &tls.Config{
		MinVersion: tls.VersionTLS12, NextProtos: []string{"h2", "http/1.1"},
		GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) { return c.config.get(), nil },
		// http.Server requires this, although GetConfigForClient always has a
		// certificate.
		GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return &c.config.get().Certificates[0], nil },
	}
}

// verify checks that a client's chain, which starts with its own certificate,
// is valid now. A connection may outlive its certificate or the trust in the
// issuer.
func (c *Certificates) verify(chain []*x509.Certificate, now time.Time) error {
	o := x509.VerifyOptions{Roots: c.config.get().ClientCAs, Intermediates: x509.NewCertPool(), CurrentTime: now, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}}
	if o.Roots == nil {
		return errors.New("this server accepts no client certificates") // Otherwise Verify would use the system's authorities.
	}
	for _, between := range chain[1:] {
		o.Intermediates.AddCert(between)
	}
	_, err := chain[0].Verify(o)
	return err
}

func readConfig(cert, key, clientCA string) (*tls.Config, error) {
	for _, file := range []string{cert, key} {
		if _, err := os.ReadFile(file); err != nil {
			return nil, fmt.Errorf("TLS: %w: name a PEM file", err)
		}
	}
	pair, err := tls.LoadX509KeyPair(cert, key)
	if err != nil {
		return nil, fmt.Errorf("TLS: %s with %s: %w: name a certificate and its key, both in PEM", cert, key, err)
	}
	if now := time.Now(); now.After(pair.Leaf.NotAfter) || now.Before(pair.Leaf.NotBefore) {
		return nil, fmt.Errorf("TLS: the certificate %s is valid from %s to %s, and now is %s: get a new one", cert,
			pair.Leaf.NotBefore.UTC().Format(time.RFC3339), pair.Leaf.NotAfter.UTC().Format(time.RFC3339), now.UTC().Format(time.RFC3339))
	}
	config := &tls.Config{MinVersion: tls.VersionTLS12, NextProtos: []string{"h2", "http/1.1"}, Certificates: []tls.Certificate{pair}}
	if clientCA == "" {
		return config, nil
	}
	b, err := os.ReadFile(clientCA)
	if err != nil {
		return nil, fmt.Errorf("TLS: %w: name a PEM file", err)
	}
	config.ClientCAs, config.ClientAuth = x509.NewCertPool(), tls.VerifyClientCertIfGiven
	if !config.ClientCAs.AppendCertsFromPEM(b) {
		return nil, fmt.Errorf("TLS: %s has no certificate in PEM: name a file that has one", clientCA)
	}
	return config, nil
}
