package access

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/chorus-services/swoosh/internal/reload"
)

// Certificates holds a server's certificate and key, and the authorities for
// client certificates. It reads them again when a file changes.
type Certificates struct {
	pair        *reload.Files[*tls.Certificate]
	authorities *reload.Files[*x509.CertPool] // nil: client certificates are not accepted
}

// OpenCertificates reads PEM files. With clientCA, a client may send a
// certificate, which must be valid, or a token instead; without clientCA, no
// certificate is requested. OpenCertificates fails if certificate and key do
// not match, if the certificate is not valid now, or if other users can write a
// file or read the key.
//
// If that becomes so later, the old certificate stays in use. A file of
// authorities that is gone or has none takes away: no client certificate is
// accepted until it is mended. The log says so, and Failing.
func OpenCertificates(cert, key, clientCA string, log *slog.Logger) (*Certificates, error) {
	pair, err := reload.New(&reload.Files[*tls.Certificate]{
		Read:      func(old *tls.Certificate) (*tls.Certificate, error) { return readPair(cert, key, old) },
		Meanwhile: "the old certificate stays in use", Names: []string{cert, key}, Log: log,
	})
	if err != nil || clientCA == "" {
		return &Certificates{pair: pair}, err
	}
	authorities, err := reload.New(&reload.Files[*x509.CertPool]{
		Read:      func(old *x509.CertPool) (*x509.CertPool, error) { return readAuthorities(clientCA, old) },
		Meanwhile: "no client certificate is accepted", Names: []string{clientCA}, Log: log,
	})
	return &Certificates{pair, authorities}, err
}

// Reload reads the files now; see OpenCertificates for what holds if it fails.
func (c *Certificates) Reload() error {
	err := c.pair.Reload()
	if c.authorities != nil {
		err = errors.Join(err, c.authorities.Reload())
	}
	return err
}

// Look reads the files if one has changed, so that errors are logged before the
// next connection.
func (c *Certificates) Look() {
	c.pair.Look()
	if c.authorities != nil {
		c.authorities.Look()
	}
}

// Failing returns why files could not be reloaded; nil if they could.
func (c *Certificates) Failing() error {
	err := c.pair.Failing()
	if c.authorities != nil {
		err = errors.Join(err, c.authorities.Failing())
	}
	return err
}

// Expiry returns when the certificate in use expires. After that, clients
// refuse it, but the server keeps using it until the files change.
func (c *Certificates) Expiry() time.Time { return c.pair.Get().Leaf.NotAfter }

// Config returns a configuration for http.Server: TLS 1.2 or later, HTTP/2 and 1.1.
func (c *Certificates) Config() *tls.Config {
	config := &tls.Config{
		MinVersion: tls.VersionTLS12, CipherSuites: suites, NextProtos: []string{"h2", "http/1.1"},
		GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return c.pair.Get(), nil },
	}
	if c.authorities != nil {
		own := config.Clone()
		config.GetConfigForClient = func(*tls.ClientHelloInfo) (*tls.Config, error) {
			now := own.Clone()
			now.ClientCAs, now.ClientAuth = c.authorities.Get(), tls.VerifyClientCertIfGiven
			return now, nil
		}
	}
	return config
}

// suites are those of TLS 1.2 that authenticate what they encrypt. Those of TLS 1.3
// all do.
var suites = []uint16{
	tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256, tls.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
	tls.TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384, tls.TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,
	tls.TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256, tls.TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256,
}

// verify checks that a client's chain, which starts with its own certificate,
// is valid now. A connection may outlive its certificate or the trust in the
// issuer.
func (c *Certificates) verify(chain []*x509.Certificate, now time.Time) error {
	if c.authorities == nil {
		return errors.New("this server accepts no client certificates") // Otherwise Verify would use the system's authorities.
	}
	o := x509.VerifyOptions{Roots: c.authorities.Get(), Intermediates: x509.NewCertPool(), CurrentTime: now, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}}
	for _, between := range chain[1:] {
		o.Intermediates.AddCert(between)
	}
	_, err := chain[0].Verify(o)
	return err
}

// readPair reads the server's certificate and key. With an error it returns old.
func readPair(cert, key string, old *tls.Certificate) (*tls.Certificate, error) {
	certText, err := readPEM(cert, false)
	if err != nil {
		return old, err
	}
	keyText, err := readPEM(key, true)
	if err != nil {
		return old, err
	}
	pair, err := tls.X509KeyPair(certText, keyText)
	if err != nil {
		return old, fmt.Errorf("TLS: %s with %s: %w: name a certificate and its key, both in PEM", cert, key, err)
	}
	if now := time.Now(); now.After(pair.Leaf.NotAfter) || now.Before(pair.Leaf.NotBefore) {
		return old, fmt.Errorf("TLS: the certificate %s is valid from %s to %s, and now is %s: get a new one", cert,
			pair.Leaf.NotBefore.UTC().Format(time.RFC3339), pair.Leaf.NotAfter.UTC().Format(time.RFC3339), now.UTC().Format(time.RFC3339))
	}
	return &pair, nil
}

// readAuthorities reads the authorities of client certificates. With an error it
// returns old if the file says nothing of what is revoked, or else none.
func readAuthorities(file string, old *x509.CertPool) (*x509.CertPool, error) {
	none := x509.NewCertPool()
	b, err := readPEM(file, false)
	if reload.IsPassing(err) {
		return old, err
	}
	if err != nil {
		return none, err
	}
	all := x509.NewCertPool()
	if !all.AppendCertsFromPEM(b) {
		return none, fmt.Errorf("TLS: %s has no certificate in PEM: name a file that has one", file)
	}
	return all, nil
}

func readPEM(file string, secret bool) ([]byte, error) {
	b, info, err := reload.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("TLS: %w: name a PEM file", err)
	}
	if err := reload.CheckFile(file, info, secret); err != nil {
		return nil, fmt.Errorf("TLS: %w", err)
	}
	return b, nil
}
