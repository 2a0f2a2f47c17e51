package client

import (
	"bytes"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"mime"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/go-json-experiment/json"
)

// Values of Error.Happened.
const (
	No      = "no"      // the request had no effect
	Unknown = "unknown" // the command may or may not be in the log
)

// Error is a refusal of the server, or a failure to get its answer. The members
// from Domain on are set where they apply; GET /openapi.json says when. Its JSON
// is the problem document.
type Error struct {
	Code     string       `json:"code"`            // one of the constants, or a domain's own; a newer server may have more
	Title    string       `json:"title,omitzero"`  // a few fixed words; empty if no answer came
	Status   int          `json:"status,omitzero"` // HTTP status; 0: no answer came
	Detail   string       `json:"detail"`          // what is wrong, and what to do
	Happened string       `json:"happened"`        // No or Unknown; about the whole call with all its attempts
	Errors   []FieldError `json:"errors,omitzero"` // what is wrong with each member

	Domain      string    `json:"domain,omitzero"`   // whose own code this is; empty for the constants
	Line        int       `json:"line,omitzero"`     // of a stream, from 1
	Position    *int      `json:"position,omitzero"` // in an atomic batch, from 0
	Index       *uint64   `json:"index,omitzero"`    // Index, StateHash, Chain, Path and Hash have the current values of what was expected
	StateHash   string    `json:"state_hash,omitzero"`
	Chain       string    `json:"chain,omitzero"`
	Path        string    `json:"path,omitzero"`
	Hash        *string   `json:"hash,omitzero"` // of the row at Path; empty: there is no such row
	Guards      []Verdict `json:"guards,omitzero"`
	Region      string    `json:"region,omitzero"`
	Phase       string    `json:"phase,omitzero"`
	AllowedFrom []string  `json:"allowed_from,omitzero"`
	BlockedBy   []string  `json:"blocked_by,omitzero"`
	Applied     *uint64   `json:"applied,omitzero"` // entries replayed so far, of Target, while the server starts
	Target      *uint64   `json:"target,omitzero"`
	HLC         string    `json:"hlc,omitzero"`      // the server's, if the caller's was too far ahead
	Instance    string    `json:"instance,omitzero"` // id of an internal error in the server's log

	// Next says what to do about errors with this Code.
	Next string `json:"-"`

	// Again has the commands to send once more if Happened is Unknown, with
	// their keys filled in: by Do if there is one, by Batch if the call was
	// Batch. After Stream, it has every command that was not answered. They can
	// be sent later and by another Client, but within a day; after that the
	// answer is KeyExpired.
	Again []Command `json:"-"`

	after time.Duration // from Retry-After
	cause error
}

// FieldError describes what is wrong with one member of a request. Its Pointer
// (RFC 6901) is relative to the root of the body, such as "/payload/name".
type FieldError struct {
	Pointer string `json:"pointer"`
	Detail  string `json:"detail"`
}

// Verdict is a guard's answer about a command.
type Verdict struct {
	Guard   string `json:"guard"`
	Allowed bool   `json:"allowed"`
	Reason  string `json:"reason"`
}

// Error returns the code and the detail.
func (e *Error) Error() string {
	s := e.Code + ": " + e.Detail
	if e.Happened == Unknown {
		s += "; it may have happened"
	}
	return s
}

// Unwrap returns why there is no answer, such as the context's error, or nil
// for a refusal.
func (e *Error) Unwrap() error { return e.cause }

// IsCode reports whether err is an *Error with this code, or wraps one.
func IsCode(err error, code string) bool {
	var e *Error
	return errors.As(err, &e) && e.Code == code
}

// failure returns an Error that the client itself reports.
func failure(code, happened string, cause error, format string, args ...any) *Error {
	return &Error{Code: code, Detail: fmt.Sprintf(format, args...), Happened: happened, Next: next(code, ""), cause: cause}
}

// asError returns err as an Error, which all errors of requests are.
func asError(err error) *Error {
	var e *Error
	if !errors.As(err, &e) {
		e = failure(NoAnswer, Unknown, err, "%v", err)
	}
	return e
}

// because adds to e why there is no further attempt.
func (e *Error) because(cause error) *Error {
	if !errors.Is(e, cause) {
		e.Detail += fmt.Sprintf(" (not retried: %v)", cause)
		e.cause = errors.Join(e.cause, cause)
	}
	return e
}

// passes reports whether a retry may get another answer. An internal error that
// certainly had no effect would only repeat itself.
func (e *Error) passes() bool {
	var certificate *tls.CertificateVerificationError
	switch {
	case e.Code == Unreachable:
		return !errors.As(e, &certificate)
	case e.Code == Internal:
		return e.Happened == Unknown
	case e.Code == StateFull:
		return false
	}
	return e.Code == NoAnswer || e.Status == http.StatusTooManyRequests || e.Status >= 500
}

// metTheKey reports whether the server looked up the command's key before it
// refused. Then no earlier attempt with this key was applied.
func (e *Error) metTheKey() bool {
	if e.Domain != "" {
		return true
	}
	switch e.Code {
	case StaleState, Quarantined, Paused, Unlicensed, BadSignature, GuardRejected, NotFound, InvalidPhase, Conflict, ClockSkew, IdempotencyKeyReused, StateFull:
		return true
	}
	return false
}

// noAnswer returns the error for a request without an answer. It distinguishes
// a server that cannot be reached from one that stopped answering.
func (r request) noAnswer(address string, err error) *Error {
	var asked *url.Error
	if errors.As(err, &asked) {
		err = asked.Err
	}
	var dial *net.OpError
	var certificate *tls.CertificateVerificationError
	switch {
	case errors.As(err, &certificate):
		return failure(Unreachable, No, err, "%s has an untrusted certificate: %v: trust its authority", address, err)
	case errors.As(err, &dial) && dial.Op == "dial" && dial.Net == "unix" && errors.Is(err, fs.ErrPermission):
		return failure(Unreachable, No, err, "%s refuses this user: %v: join the group of the socket, or use another address", address, dial.Err)
	case errors.As(err, &dial) && dial.Op == "dial":
		return failure(Unreachable, No, err, "%s cannot be reached: %v: start the server, or use another address", address, dial.Err)
	}
	if strings.Contains(err.Error(), "HTTP response to HTTPS client") { // text of net/http
		return failure(NotSwoosh, No, err, "%s does not use TLS: use an address that begins with http://", address)
	}
	return failure(NoAnswer, r.happened(), err, "no complete answer came from %s: %v: check the server", address, err)
}

// cut returns err, but turns an early end of the answer into the error of a
// missing answer.
func (r request) cut(address string, err error) error {
	if err == io.EOF || err == io.ErrUnexpectedEOF {
		return r.noAnswer(address, io.ErrUnexpectedEOF)
	}
	return err
}

// happened returns what is known about a request without an answer.
func (r request) happened() string {
	if r.changes {
		return Unknown
	}
	return No
}

const problemMaxBytes = 1 << 20

// refusal returns the Error for an answer that is a refusal.
func (r request) refusal(address string, answer *http.Response) *Error {
	raw, err := io.ReadAll(io.LimitReader(answer.Body, problemMaxBytes))
	if err != nil {
		return asError(err)
	}
	_, notSwoosh := position(answer)
	kind, _, _ := mime.ParseMediaType(answer.Header.Get("Content-Type"))
	e, err := parseProblem(raw)
	if notSwoosh != nil || kind != "application/problem+json" || err != nil {
		e = failure(NotSwoosh, r.happened(), nil, "%s answered %s, which is not an answer of a swoosh server: check the address", address, answer.Status)
		if answer.StatusCode == http.StatusBadRequest && bytes.Contains(raw, []byte("HTTPS server")) { // text of net/http
			e.Detail = fmt.Sprintf("%s uses TLS: use an address that begins with https://", address)
		}
	}
	e.Status = answer.StatusCode
	if seconds, err := strconv.ParseUint(answer.Header.Get("Retry-After"), 10, 31); err == nil {
		e.after = time.Duration(seconds) * time.Second
	}
	return e
}

// parseProblem decodes a problem document (RFC 9457).
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

// decode decodes an answer into v.
func (r request) decode(address string, raw []byte, v any) error {
	if err := json.Unmarshal(raw, v); err != nil {
		return failure(NotSwoosh, r.happened(), err, "%s answered %s %s with something that is not an answer of a swoosh server: %v: check the address", address, r.method, r.path, err)
	}
	return nil
}
