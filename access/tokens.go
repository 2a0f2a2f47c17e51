// Package access authenticates a server's callers by bearer tokens or client
// certificates, with a file that gives each name a role. It also provides TLS
// from files that may be replaced while the server runs.
package access

import (
	"bytes"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/asn1"
	"encoding/base64"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net/http"
	"os"
	"slices"
	"strings"

	"github.com/chorus-services/swoosh"
	"github.com/chorus-services/swoosh/internal/reload"
)

// Tokens is a token file. It is read again when it changes.
//
// A line is "<name> <role> <token>" or "<name> <role> sha256:<hex>", or
// "cert:<name> <role>" for client certificates with that common name. The roles
// are read, write and admin. A name has 1 to 64 characters from ! to ~, does not
// begin with # or cert:, and is not timer, the actor of the server's own timers. A
// name may have several tokens with the same role, so that they can be rotated
// without interruption. A token has at least 16 characters. Empty lines and lines
// that begin with # are ignored.
type Tokens struct {
	roll         *reload.Files[*roll]
	certificates *Certificates // nil: no client certificates
}

// OpenTokens reads a token file. certificates checks client certificates; it is
// nil without TLS. It fails if the file has no lines or a faulty one, or if other
// users can write it or can read tokens in it.
//
// If that becomes so later, the file only takes away: callers that it still names
// stay, all others are refused, and nobody new is let in until it is mended. If
// the file is gone, everybody is refused. The log says so, and Failing.
func OpenTokens(file string, certificates *Certificates, log *slog.Logger) (*Tokens, error) {
	r, err := reload.New(&reload.Files[*roll]{
		Read: func(old *roll) (*roll, error) { return readRoll(file, old) }, Differ: differ,
		Meanwhile: "callers that it still names stay, nobody else is let in", Names: []string{file}, Log: log,
	})
	return &Tokens{r, certificates}, err
}

// Reload reads the file now. If that fails, the file only takes away; see
// OpenTokens.
func (t *Tokens) Reload() error { return t.roll.Reload() }

// Look reads the file if it has changed, so that errors are logged before the next
// request.
func (t *Tokens) Look() { t.roll.Look() }

// Failing returns why the file could not be reloaded; nil if it could.
func (t *Tokens) Failing() error { return t.roll.Failing() }

// Authenticate returns the caller of a request, for swoosh.APIOptions. It uses
// the bearer token or, if there is none, the client certificate, whose common
// name is the caller's name. It fails if there is neither, or if it is not
// valid now.
func (t *Tokens) Authenticate(r *http.Request) (swoosh.Caller, error) {
	now := t.roll.Get()
	if given := r.Header.Values("Authorization"); len(given) > 0 {
		scheme, secret, _ := strings.Cut(given[0], " ")
		if len(given) > 1 || !strings.EqualFold(scheme, "Bearer") {
			return swoosh.Caller{}, errors.New("send the Authorization header once, as: Bearer <token>")
		}
		return now.byToken(strings.TrimSpace(secret))
	}
	if t.certificates != nil && r.TLS != nil && len(r.TLS.PeerCertificates) > 0 {
		name, err := commonName(r.TLS.PeerCertificates[0])
		if err != nil {
			return swoosh.Caller{}, err
		}
		if err := t.certificates.verify(r.TLS.PeerCertificates, t.roll.Now()); err != nil {
			return swoosh.Caller{}, fmt.Errorf("the certificate of %.64q is no longer valid: %w: connect again with a new one", name, err)
		}
		return now.byCertificate(name)
	}
	return swoosh.Caller{}, errors.New("a token is required: send the header Authorization: Bearer <token>")
}

// commonName returns the name in a certificate. Of several, readers of the
// certificate choose differently, so that is an error.
func commonName(c *x509.Certificate) (string, error) {
	names := 0
	for _, part := range c.Subject.Names {
		if part.Type.Equal(asn1.ObjectIdentifier{2, 5, 4, 3}) { // id-at-commonName
			names++
		}
	}
	if names != 1 {
		return "", fmt.Errorf("the certificate has %d common names: get one with exactly one", names)
	}
	return c.Subject.CommonName, nil
}

// NewToken returns a new token of 256 random bits, and its line for the token
// file, which contains only the token's hash. It fails if the name is not
// valid.
func NewToken(name string, role swoosh.Role) (secret, line string, err error) {
	if err := CheckName(name); err != nil {
		return "", "", err
	}
	var b [32]byte
	_, _ = rand.Read(b[:]) // It never fails (crypto/rand).
	secret = "swoosh_" + base64.RawURLEncoding.EncodeToString(b[:])
	return secret, fmt.Sprintf("%s %s sha256:%x", name, role, sha256.Sum256([]byte(secret))), nil
}

// AddToken makes a token as NewToken does, and appends its line to a token
// file. If the file is missing, AddToken creates it, accessible by the current
// user only. If a server would refuse the file with the new line, AddToken
// fails and changes nothing.
func AddToken(file, name string, role swoosh.Role) (secret string, err error) {
	secret, line, err := NewToken(name, role)
	if err != nil {
		return "", err
	}
	before, info, err := reload.ReadFile(file)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return "", fmt.Errorf("the token file cannot be read: %w: name another one", err)
	}
	line += "\n"
	if len(before) > 0 && !bytes.HasSuffix(before, []byte("\n")) {
		line = "\n" + line
	}
	_, plain, err := parseRoll(file, slices.Concat(before, []byte(line)))
	if err == nil && info != nil {
		err = reload.CheckMode(file, info, plain)
	}
	if err != nil {
		return "", err
	}
	if err := appendTo(file, line); err != nil {
		return "", fmt.Errorf("the token file cannot be written: %w: check its directory", err)
	}
	return secret, nil
}

func appendTo(file, text string) error {
	f, err := os.OpenFile(file, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	info, err := f.Stat()
	if err == nil {
		if _, err = f.WriteString(text); err == nil {
			err = f.Sync()
		}
		if err != nil { // Half a line could be a valid line.
			err = errors.Join(err, f.Truncate(info.Size()))
		}
	}
	return errors.Join(err, f.Close())
}
