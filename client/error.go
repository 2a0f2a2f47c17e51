package client

import (
	"bytes"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"mime"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/go-json-experiment/json"
)

// What an Error's Happened can be.
const (
	No      = "no"      // nothing has happened
	Unknown = "unknown" // the command may be in the log or not
)

// Error is every refusal of the server and every failure to get its answer. The
// members from Line on are there where they apply; GET /openapi.json says when. Its JSON is
// the problem document.
type Error struct {
	Code     string       `json:"code"`            // one of the constants; a newer server may have more
	Title    string       `json:"title,omitzero"`  // a few fixed words; empty where no answer came
	Status   int          `json:"status,omitzero"` // of HTTP; 0: no answer came
	Detail   string       `json:"detail"`          // names the thing and the next step
	Happened string       `json:"happened"`        // No or Unknown; of the whole call, all its attempts
	Errors   []FieldError `json:"errors,omitzero"` // what is wrong, member by member

	Line        int       `json:"line,omitzero"`     // of a stream, from 1
	Position    *int      `json:"position,omitzero"` // in an atomic batch, from 0
	Index       *uint64   `json:"index,omitzero"`    // with StateHash, Path and Hash: what was expected, as it is now
	StateHash   string    `json:"state_hash,omitzero"`
	Path        string    `json:"path,omitzero"`
	Hash        *string   `json:"hash,omitzero"` // of the row at Path; empty: it is not there
	Guards      []Verdict `json:"guards,omitzero"`
	Region      string    `json:"region,omitzero"`
	Phase       string    `json:"phase,omitzero"`
	AllowedFrom []string  `json:"allowed_from,omitzero"`
	BlockedBy   []string  `json:"blocked_by,omitzero"`
	Applied     *uint64   `json:"applied,omitzero"` // with Target: how far a starting server has come, in entries
	Target      *uint64   `json:"target,omitzero"`
	HLC         string    `json:"hlc,omitzero"`      // the server's, where the caller's was too far ahead
	Instance    string    `json:"instance,omitzero"` // names an internal error in the server's log

	// Next is what to do now, for any error of this Code.
	Next string `json:"-"`

	// Again are the commands to send once more where Happened is Unknown, their
	// keys filled in: by Do if it is one, by Batch if the call was one. Of a
	// stream they are all that were not answered. They may be sent by another
	// Client, and later; within a day, or the answer is KeyExpired.
	Again []Command `json:"-"`

	after time.Duration // what Retry-After said
	cause error
}

// FieldError is what is wrong with one member of a request. Its Pointer
// (RFC 6901) begins at the root of the body, such as "/payload/name".
type FieldError struct {
	Pointer string `json:"pointer"`
	Detail  string `json:"detail"`
}

// Verdict is what a guard said of a command.
type Verdict struct {
	Guard   string `json:"guard"`
	Allowed bool   `json:"allowed"`
	Reason  string `json:"reason"`
}

// Error gives the code and the detail.
func (e *Error) Error() string {
	s := e.Code + ": " + e.Detail
	if e.Happened == Unknown {
		s += "; whether it happened is not known"
	}
	return s
}

// Unwrap gives what kept the answer from coming, such as the error of the
// context; nil for a refusal.
func (e *Error) Unwrap() error { return e.cause }

// IsCode tells whether err is an *Error with that code, or wraps one.
func IsCode(err error, code string) bool {
	var e *Error
	return errors.As(err, &e) && e.Code == code
}

// failure makes an Error that is not the server's.
func failure(code, happened string, cause error, format string, args ...any) *Error {
	return &Error{Code: code, Detail: fmt.Sprintf(format, args...), Happened: happened, Next: next(code, ""), cause: cause}
}

// asError gives err as an Error. Every error of a request is one.
func asError(err error) *Error {
	var e *Error
	if !errors.As(err, &e) {
		e = failure(NoAnswer, Unknown, err, "%v", err)
	}
	return e
}

// because adds why no further attempt is made.
func (e *Error) because(cause error) *Error {
	if !errors.Is(e, cause) {
		e.Detail += fmt.Sprintf(" (not tried again: %v)", cause)
		e.cause = errors.Join(e.cause, cause)
	}
	return e
}

// passes tells whether asking again may give another answer. A fault of the
// server that certainly left nothing behind would repeat itself.
func (e *Error) passes() bool {
	var certificate *tls.CertificateVerificationError
	switch {
	case e.Code == Unreachable:
		return !errors.As(e, &certificate)
	case e.Code == Internal:
		return e.Happened == Unknown
	}
	return e.Code == NoAnswer || e.Status == http.StatusTooManyRequests || e.Status >= 500
}

// metTheKey tells whether the server looked for the command's key before it
// refused: then an earlier attempt, with the same key, has not landed.
func (e *Error) metTheKey() bool {
	switch e.Code {
	case StaleState, Quarantined, Paused, Unlicensed, GuardRejected, NotFound, InvalidPhase, Conflict, ClockSkew, IdempotencyKeyReused:
		return true
	}
	return false
}

// noAnswer tells a server that is not there from one that went away.
func (r request) noAnswer(address string, err error) *Error {
	var asked *url.Error
	if errors.As(err, &asked) {
		err = asked.Err
	}
	var dial *net.OpError
	var certificate *tls.CertificateVerificationError
	switch {
	case errors.As(err, &certificate):
		return failure(Unreachable, No, err, "%s shows a certificate that is not trusted: %v: give its authority", address, err)
	case errors.As(err, &dial) && dial.Op == "dial":
		return failure(Unreachable, No, err, "%s cannot be reached: %v: start the server, or give another address", address, dial.Err)
	}
	if strings.Contains(err.Error(), "HTTP response to HTTPS client") { // net/http's words
		return failure(NotSwoosh, No, err, "%s speaks no TLS: give an address that begins with http://", address)
	}
	return failure(NoAnswer, r.happened(), err, "no whole answer came from %s: %v: see whether the server is well", address, err)
}

// cut gives err as it is, but the end of an answer, which came too early, as an
// answer that did not come.
func (r request) cut(address string, err error) error {
	if err == io.EOF || err == io.ErrUnexpectedEOF {
		return r.noAnswer(address, io.ErrUnexpectedEOF)
	}
	return err
}

// happened is what is known of a request that got no answer.
func (r request) happened() string {
	if r.changes {
		return Unknown
	}
	return No
}

const problemMaxBytes = 1 << 20

// refusal makes an Error of an answer that is not good.
func (r request) refusal(address string, answer *http.Response) *Error {
	raw, err := io.ReadAll(io.LimitReader(answer.Body, problemMaxBytes))
	if err != nil {
		return asError(err)
	}
	_, notSwoosh := position(answer)
	kind, _, _ := mime.ParseMediaType(answer.Header.Get("Content-Type"))
	e, err := parseProblem(raw)
	if notSwoosh != nil || kind != "application/problem+json" || err != nil {
		e = failure(NotSwoosh, r.happened(), nil, "%s answered %s, which is no answer of a swoosh server: does the address name another program?", address, answer.Status)
		if answer.StatusCode == http.StatusBadRequest && bytes.Contains(raw, []byte("HTTPS server")) { // net/http's words
			e.Detail = fmt.Sprintf("%s speaks TLS: give an address that begins with https://", address)
		}
	}
	e.Status = answer.StatusCode
	if seconds, err := strconv.ParseUint(answer.Header.Get("Retry-After"), 10, 31); err == nil {
		e.after = time.Duration(seconds) * time.Second
	}
	return e
}

// parseProblem reads a problem document (RFC 9457).
func parseProblem(raw []byte) (*Error, error) {
	e := new(Error)
	if err := json.Unmarshal(raw, e); err != nil {
		return nil, err
	}
	if e.Code == "" || e.Happened != No && e.Happened != Unknown {
		return nil, errors.New("it has no code, or does not say whether it happened")
	}
	e.Next = next(e.Code, e.Detail)
	return e, nil
}

// decode reads an answer.
func (r request) decode(address string, raw []byte, v any) error {
	if err := json.Unmarshal(raw, v); err != nil {
		return failure(NotSwoosh, r.happened(), err, "%s gave to %s %s what is no answer of a swoosh server: %v: does the address name another program?", address, r.method, r.path, err)
	}
	return nil
}
