package access

import (
	"bytes"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/chorus-services/swoosh"
	"github.com/chorus-services/swoosh/internal/reload"
)

// roll is whom a token file lets in.
type roll struct {
	tokens       []token
	certificates map[string]swoosh.Role // by common name
}

// token holds the SHA-256 of a token.
type token struct {
	name string
	role swoosh.Role
	sum  [sha256.Size]byte
}

// tokenMin is the minimum length of a token, in characters.
const tokenMin = 16

// nameMax is the longest common name of a certificate, in characters (X.520,
// ub-common-name).
const nameMax = 64

// forCertificate begins the lines of client certificates.
const forCertificate = "cert:"

// CheckName returns an error if a caller's name is not valid.
func CheckName(name string) error {
	isOther := func(r rune) bool { return r <= ' ' || r > '~' }
	if name == "" || len(name) > nameMax || name[0] == '#' || strings.HasPrefix(name, forCertificate) || strings.ContainsFunc(name, isOther) {
		return fmt.Errorf("a caller's name must have 1 to %d characters from ! to ~ and not begin with # or cert:, but is %.80q", nameMax, name)
	}
	if name == "timer" || name == "hub" {
		return fmt.Errorf("a caller can't be called %s: that is the actor of entries that the server makes by itself; choose another name", name)
	}
	return nil
}

// byToken compares with every token, so that its duration reveals nothing. What
// is too short could be guessed, and a file with its hash cannot be told from a
// good one.
func (r *roll) byToken(secret string) (swoosh.Caller, error) {
	sum := sha256.Sum256([]byte(secret))
	var c swoosh.Caller
	for _, t := range r.tokens {
		if subtle.ConstantTimeCompare(t.sum[:], sum[:]) == 1 && len(secret) >= tokenMin {
			c = swoosh.Caller{Name: t.name, Role: t.role}
		}
	}
	if c.Name == "" {
		return c, errors.New("the token is not valid on this server: ask its operator for one")
	}
	return c, nil
}

func (r *roll) byCertificate(name string) (swoosh.Caller, error) {
	role, known := r.certificates[name]
	if !known {
		return swoosh.Caller{}, fmt.Errorf("the certificate's name %.80q has no role on this server: ask its operator for a line cert:<name> <role>", name)
	}
	return swoosh.Caller{Name: name, Role: role}, nil
}

// readRoll reads a token file. If there is anything wrong, it returns an error,
// and of old what the file still has.
func readRoll(file string, old *roll) (*roll, error) {
	b, info, err := reload.ReadFile(file)
	if err != nil {
		err = fmt.Errorf("the token file cannot be read: %w: name one that the token command has made", err)
		if reload.IsPassing(err) {
			return old, err
		}
		return &roll{}, err
	}
	r, plain, err := parseRoll(file, b)
	if err == nil {
		err = reload.CheckFile(file, info, plain)
	}
	if err != nil {
		return r.within(old), err
	}
	return r, nil
}

// within returns what is in both rolls, with the smaller role.
func (r *roll) within(old *roll) *roll {
	both := &roll{certificates: map[string]swoosh.Role{}}
	if old == nil {
		return both
	}
	for _, t := range r.tokens {
		for _, before := range old.tokens {
			if t.sum == before.sum && t.name == before.name {
				t.role = min(t.role, before.role)
				both.tokens = append(both.tokens, t)
			}
		}
	}
	for name, role := range r.certificates {
		if before, known := old.certificates[name]; known {
			both.certificates[name] = min(role, before)
		}
	}
	return both
}

// differ returns the lines that came and went, without tokens.
func differ(old, now *roll) (added, removed []string) {
	before, after := old.lines(), now.lines()
	for line, as := range after {
		if _, known := before[line]; !known {
			added = append(added, as)
		}
	}
	for line, as := range before {
		if _, known := after[line]; !known {
			removed = append(removed, as)
		}
	}
	slices.Sort(added)
	slices.Sort(removed)
	return added, removed
}

// lines returns the roll's lines, and by each how it may be shown.
func (r *roll) lines() map[string]string {
	all := map[string]string{}
	for _, t := range r.tokens {
		shown := t.name + " " + t.role.String()
		all[shown+string(t.sum[:])] = shown
	}
	for name, role := range r.certificates {
		shown := forCertificate + name + " " + role.String()
		all[shown] = shown
	}
	return all
}

// parseRoll parses a token file. Its error includes the file and the first
// faulty line, but no token; the roll has the other lines. plain reports whether
// a token is readable.
func parseRoll(file string, b []byte) (r *roll, plain bool, err error) {
	r = &roll{certificates: map[string]swoosh.Role{}}
	n := 0
	for line := range bytes.Lines(b) {
		n++
		words := strings.Fields(string(line))
		if len(words) == 0 || words[0][0] == '#' {
			continue
		}
		hashed, wrong := r.add(words)
		if wrong != nil && err == nil {
			err = fmt.Errorf("%s, line %d: %w", file, n, wrong)
		}
		plain = plain || !hashed
	}
	if err == nil && len(r.tokens)+len(r.certificates) == 0 {
		err = fmt.Errorf("%s has no lines, so every request is refused: add one with the command token NAME ROLE", file)
	}
	return r, plain, err
}

// add adds a line. hashed reports whether the line has no plain token.
func (r *roll) add(words []string) (hashed bool, err error) {
	name, certified := strings.CutPrefix(words[0], forCertificate)
	switch {
	case certified && len(words) != 2:
		return len(words) < 2, fmt.Errorf("it has %d words: write cert:<name> <role>", len(words))
	case !certified && len(words) == 2:
		return true, errors.New("it has 2 words: write <name> <role> <token>, <name> <role> sha256:<hex>, or cert:<name> <role> for a client certificate")
	case !certified && len(words) != 3:
		return false, fmt.Errorf("it has %d words: write <name> <role> <token>, or <name> <role> sha256:<hex>", len(words))
	}
	if err := CheckName(name); err != nil {
		return false, err
	}
	role, err := swoosh.ParseRole(words[1])
	if err != nil {
		return false, err
	}
	if certified {
		return true, r.addCertificate(name, role)
	}
	t := token{name: name, role: role}
	if t.sum, hashed, err = tokenSum(words[2]); err != nil {
		return hashed, err
	}
	for _, other := range r.tokens {
		if other.name == name && other.role != role {
			return hashed, fmt.Errorf("%s has a different role in an earlier line: give it one role", name)
		}
		if other.sum == t.sum {
			return hashed, errors.New("its token is already in an earlier line: give each name its own")
		}
	}
	r.tokens = append(r.tokens, t)
	return hashed, nil
}

func (r *roll) addCertificate(name string, role swoosh.Role) error {
	if before, known := r.certificates[name]; known && before != role {
		return fmt.Errorf("%s has a different role in an earlier line: give it one role", forCertificate+name)
	}
	r.certificates[name] = role
	return nil
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
