// Package access authenticates a server's callers by bearer tokens or client
// certificates, with a file that gives each name a role. It also provides TLS
// from files that may be replaced while the server runs.
package access

import (
	"bufio"
	"bytes"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net/http"
	"os"
	"slices"
	"strings"

	"github.com/chorus-services/swoosh"
)

// Tokens is a token file. It is read again when it changes.
//
// A line is "<name> <role> <token>" or "<name> <role> sha256:<hex>"; "<name>
// <role>" alone gives a role to a client certificate of that name. The roles
// are read, write and admin. A name has 1 to 64 characters from ! to ~, does not
// begin with #, and is not timer, the actor of the server's own timers. A name
// may have several lines with the same role, so that tokens can be rotated
// without interruption. Empty lines and lines that begin
// with # are ignored.
type Tokens struct {
	roll         *reloaded[*roll]
	certificates *Certificates // nil: no client certificates
}

// roll is the content of a token file. It holds the SHA-256 of each token.
type roll struct {
	roles  map[string]swoosh.Role // by name
	tokens []token
}

type token struct {
	name string
	sum  [sha256.Size]byte
}

// tokenMin is the minimum length of a token, in characters.
const tokenMin = 16

// OpenTokens reads a token file. certificates checks client certificates; it is
// nil without TLS. If a changed file cannot be read, the old tokens stay in
// force and the error is logged.
func OpenTokens(file string, certificates *Certificates, log *slog.Logger) (*Tokens, error) {
	r, err := newReloaded(log, func() (*roll, error) { return readRoll(file) }, file)
	return &Tokens{r, certificates}, err
}

// Reload reads the file now. If that fails, the old tokens stay in force.
func (t *Tokens) Reload() error { return t.roll.Reload() }

// Look reads the file if it has changed, so that errors are logged before the next
// request.
func (t *Tokens) Look() { t.roll.get() }

// Authenticate returns the caller of a request, for swoosh.APIOptions. It uses
// the bearer token or, if there is none, the client certificate, whose common
// name is the caller's name. It fails if there is neither, or if it is not
// valid now.
func (t *Tokens) Authenticate(r *http.Request) (swoosh.Caller, error) {
	now := t.roll.get()
	if given := r.Header.Values("Authorization"); len(given) > 0 {
		scheme, secret, _ := strings.Cut(given[0], " ")
		if len(given) > 1 || !strings.EqualFold(scheme, "Bearer") {
			return swoosh.Caller{}, errors.New("send the Authorization header once, as: Bearer <token>")
		}
		return now.byToken(strings.TrimSpace(secret))
	}
	if t.certificates != nil && r.TLS != nil && len(r.TLS.PeerCertificates) > 0 {
		name := r.TLS.PeerCertificates[0].Subject.CommonName
		if err := t.certificates.verify(r.TLS.PeerCertificates, t.roll.now()); err != nil {
			return swoosh.Caller{}, fmt.Errorf("the certificate of %q is no longer valid: %w: connect again with a new one", name, err)
		}
		return now.byName(name)
	}
	return swoosh.Caller{}, errors.New("a token is required: send the header Authorization: Bearer <token>")
}

// byToken compares with every token, so that its duration reveals nothing.
func (r *roll) byToken(secret string) (swoosh.Caller, error) {
	sum := sha256.Sum256([]byte(secret))
	var c swoosh.Caller
	for _, t := range r.tokens {
		if subtle.ConstantTimeCompare(t.sum[:], sum[:]) == 1 {
			c = swoosh.Caller{Name: t.name, Role: r.roles[t.name]}
		}
	}
	if c.Name == "" {
		return c, errors.New("the token is not valid on this server: ask its operator for one")
	}
	return c, nil
}

func (r *roll) byName(name string) (swoosh.Caller, error) {
	role, known := r.roles[name]
	if !known {
		return swoosh.Caller{}, fmt.Errorf("the certificate's name %q has no role on this server: ask its operator for one", name)
	}
	return swoosh.Caller{Name: name, Role: role}, nil
}

func readRoll(file string) (*roll, error) {
	b, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("the token file cannot be read: %w: name one that the token command has made", err)
	}
	if info, err := os.Stat(file); err == nil && info.Mode().Perm()&0o022 != 0 {
		return nil, fmt.Errorf("%s can be written by other users, who could add tokens: chmod go-w it", file)
	}
	return parseRoll(file, b)
}

// nameMax is the longest common name of a certificate, in characters (X.520,
// ub-common-name).
const nameMax = 64

// CheckName returns an error if a caller's name is not valid.
func CheckName(name string) error {
	isOther := func(r rune) bool { return r <= ' ' || r > '~' }
	if name == "" || len(name) > nameMax || name[0] == '#' || strings.ContainsFunc(name, isOther) {
		return fmt.Errorf("a caller's name must have 1 to %d characters from ! to ~ and not begin with #, but is %q", nameMax, name)
	}
	if name == "timer" {
		return errors.New("a caller can't be called timer: that is the actor of the entries that the server's timers make; choose another name")
	}
	return nil
}

// parseRoll parses a token file. Its errors include file and line, but no
// token.
func parseRoll(file string, b []byte) (*roll, error) {
	r := &roll{roles: map[string]swoosh.Role{}}
	plain := false
	lines := bufio.NewScanner(bytes.NewReader(b))
	for n := 1; lines.Scan(); n++ {
		line := strings.TrimSpace(lines.Text())
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		hashed, err := r.add(strings.Fields(line))
		if err != nil {
			return nil, fmt.Errorf("%s, line %d: %w", file, n, err)
		}
		plain = plain || !hashed
	}
	if err := lines.Err(); err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	if len(r.roles) == 0 {
		return nil, fmt.Errorf("%s has no lines, so every request would be refused: add one with the command token NAME ROLE", file)
	}
	if plain {
		return r, checkPrivate(file)
	}
	return r, nil
}

// checkPrivate refuses a file with plain tokens that other users can read.
func checkPrivate(file string) error {
	info, err := os.Stat(file)
	if err == nil && info.Mode().Perm()&0o044 != 0 {
		err = fmt.Errorf("%s has plain tokens, and other users can read it: chmod 600 it, or write sha256:<hex> instead of tokens", file)
	}
	return err
}

// add adds a line. hashed reports whether the line has no plain token.
func (r *roll) add(words []string) (hashed bool, err error) {
	if len(words) < 2 || len(words) > 3 {
		return false, fmt.Errorf("it has %d words: write <name> <role> <token>, or <name> <role> sha256:<hex>", len(words))
	}
	name := words[0]
	if err := CheckName(name); err != nil {
		return false, err
	}
	role, err := swoosh.ParseRole(words[1])
	if err != nil {
		return false, err
	}
	if before, known := r.roles[name]; known && before != role {
		return false, fmt.Errorf("%s has a different role in an earlier line: give it one role", name)
	}
	r.roles[name] = role
	if len(words) == 2 {
		return true, nil
	}
	t := token{name: name}
	if t.sum, hashed, err = tokenSum(words[2]); err != nil {
		return false, err
	}
	for _, other := range r.tokens {
		if other.sum == t.sum {
			return false, fmt.Errorf("its token is already in an earlier line: give each name its own")
		}
	}
	r.tokens = append(r.tokens, t)
	return hashed, nil
}

func tokenSum(word string) (sum [sha256.Size]byte, hashed bool, err error) {
	digits, hashed := strings.CutPrefix(word, "sha256:")
	if !hashed {
		if len(word) < tokenMin {
			return sum, false, fmt.Errorf("its token has %d characters, but needs at least %d: make one with the token command", len(word), tokenMin)
		}
		return sha256.Sum256([]byte(word)), false, nil
	}
	b, err := hex.DecodeString(digits)
	if err != nil || len(b) != sha256.Size || strings.ToLower(digits) != digits {
		return sum, true, errors.New("sha256: must be followed by 64 lower-case hex digits")
	}
	return [sha256.Size]byte(b), true, nil
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
	before, err := os.ReadFile(file)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return "", fmt.Errorf("the token file cannot be read: %w: name another one", err)
	}
	line += "\n"
	if len(before) > 0 && !bytes.HasSuffix(before, []byte("\n")) {
		line = "\n" + line
	}
	if _, err := parseRoll(file, slices.Concat(before, []byte(line))); err != nil {
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
