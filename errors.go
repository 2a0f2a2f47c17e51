package swoosh

import (
	"cmp"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"runtime/debug"
	"slices"
	"strings"

	"github.com/chorus-services/swoosh/internal/canon"
	"github.com/chorus-services/swoosh/internal/statehash"
)

// Kind classifies an Error. Each has one code and one HTTP status; the zero
// Kind is Internal, so what nobody classified is a fault of ours.
type Kind uint8

// The kinds, in the order of the contract. kinds says what each means.
const (
	Internal Kind = iota
	MalformedRequest
	Unauthorized
	Forbidden
	GuardRejected
	Unlicensed
	NotFound
	MethodNotAllowed
	InvalidPhase
	Conflict
	KeyExpired
	Compacted
	StaleState
	TooLarge
	UnsupportedMediaType
	UnknownCommand
	InvalidPayload
	IdempotencyKeyReused
	StateHashMismatch
	InvalidState
	ClockSkew
	Quarantined
	Paused
	PreconditionRequired
	RateLimited
	OutcomeUnknown
	Starting
	ShuttingDown
	ReadOnly
	Overloaded
	Timeout
	DiskFull
)

// kinds turns a Kind into what programs and people see of it.
var kinds = [...]struct {
	code    string
	status  int
	title   string
	meaning string // a sentence: what has happened
	next    string // a sentence: what to do now
}{
	Internal: {"internal", http.StatusInternalServerError, "Internal error",
		"The server met a fault of its own: the program or one of its domains is wrong, not the request.",
		"Look in the server's log for the id in instance and report what stands there; with the same idempotency key a command may be sent again."},
	MalformedRequest: {"malformed_request", http.StatusBadRequest, "Malformed request",
		"The request cannot be read: its JSON, a member of the envelope, a parameter or a header does not have the form that it must have.",
		"Mend what detail and errors name, then send it again."},
	Unauthorized: {"unauthorized", http.StatusUnauthorized, "Unauthorized",
		"The request does not say who sends it, or says it in a way that the server does not know.",
		"Send Authorization: Bearer with a token that the server knows, or a client certificate whose name it knows."},
	Forbidden: {"forbidden", http.StatusForbidden, "Forbidden",
		"The server does not let this caller do this: the role is too small, or a web page asks that may not, or the Host is none of this machine's.",
		"Ask as somebody who has the role that detail names; have the origin of a page named when the server is started."},
	GuardRejected: {"guard_rejected", http.StatusForbidden, "Rejected by a guard",
		"A guard, which may look at the world outside, said no to the command.",
		"Read the reasons in guards, and send the command again when they no longer hold."},
	Unlicensed: {"unlicensed", http.StatusForbidden, "Unlicensed",
		"There is no licence, or it had expired by the command's stamp.",
		"Have an admin renew the licence in the way that detail names, then send the command again."},
	NotFound: {"not_found", http.StatusNotFound, "Not found",
		"There is no such route, value or entry, or what the command is about is not there.",
		"Check the spelling: GET / lists the routes, GET /state shows what is there."},
	MethodNotAllowed: {"method_not_allowed", http.StatusMethodNotAllowed, "Method not allowed",
		"The path is there, but it does not take this method.",
		"Use a method that the header Allow lists."},
	InvalidPhase: {"invalid_phase", http.StatusConflict, "Not in this phase",
		"The command cannot come from the phase that its region is in.",
		"Bring the region into a phase of allowed_from, or decide anew; GET /commands lists the phases of every command."},
	Conflict: {"conflict", http.StatusConflict, "Conflict",
		"The command is well formed, but as the state is now a rule of its domain says no.",
		"Read detail and blocked_by, read the state, then decide anew."},
	KeyExpired: {"key_expired", http.StatusConflict, "Idempotency key expired",
		"The idempotency key is not known and is older than the keys that the server remembers, so nobody can tell whether the command has happened.",
		"Look in the state or the log whether it has; if it has not, send it with a new key and a fresh key_since."},
	Compacted: {"compacted", http.StatusGone, "No longer kept",
		"The log had this once and no longer keeps it.",
		"Read GET /state, and go on in the log after its Swoosh-Index."},
	StaleState: {"stale_state", http.StatusPreconditionFailed, "State has moved on",
		"What expect or If-Match says of the state does not hold; the problem has the same members as they are now.",
		"Read the state again, decide anew, and expect what was read."},
	TooLarge: {"too_large", http.StatusRequestEntityTooLarge, "Too large",
		"A command, a batch or a state is larger than the server takes.",
		"Split it, or send commands as a stream of application/x-ndjson; detail names the limit."},
	UnsupportedMediaType: {"unsupported_media_type", http.StatusUnsupportedMediaType, "Unsupported media type",
		"The body is not declared as a type that the route takes, or it is encoded.",
		"Send a Content-Type that the header Accept-Post lists, and no Content-Encoding; detail has a curl line."},
	UnknownCommand: {"unknown_command", http.StatusUnprocessableEntity, "Unknown command",
		"No domain of this server has a command of this name.",
		"Take the name that detail offers, or one of GET /commands."},
	InvalidPayload: {"invalid_payload", http.StatusUnprocessableEntity, "Invalid payload",
		"The payload does not fit the command's schema: a member is unknown, missing, mistyped or out of range.",
		"Mend the members that errors lists; GET /commands/{name} has the schema."},
	IdempotencyKeyReused: {"idempotency_key_reused", http.StatusUnprocessableEntity, "Idempotency key reused",
		"The idempotency key belongs to a command with other content.",
		"Make a new key for a new command; a retry sends exactly what was sent at first."},
	StateHashMismatch: {"state_hash_mismatch", http.StatusUnprocessableEntity, "State hash does not match",
		"The document has other content than its meta.state_hash says.",
		"Get the document anew, or leave the member out if it was altered on purpose."},
	InvalidState: {"invalid_state", http.StatusUnprocessableEntity, "Invalid state",
		"The document is not a state of this server's domains.",
		"Mend what errors lists; GET /state shows the form."},
	ClockSkew: {"clock_skew", http.StatusUnprocessableEntity, "Clock skew",
		"The caller's hlc is further ahead of the server's clock than the server allows.",
		"Set both clocks right, then send the command again; the problem's hlc is the server's."},
	Quarantined: {"quarantined", http.StatusLocked, "Quarantined",
		"Somebody has put the server into quarantine, and it takes nothing but the command that ends it.",
		"Find out why, and send the command again when the quarantine is over; detail names the way out."},
	Paused: {"paused", http.StatusLocked, "Paused",
		"Somebody has paused the server, and it does not take this command until it is resumed.",
		"Send the command again when the pause is over; detail names the way out."},
	PreconditionRequired: {"precondition_required", http.StatusPreconditionRequired, "Precondition required",
		"The log is not empty, so an import would replace a state, and the request does not say which.",
		"Send If-Match with the ETag of the GET /state that is to be replaced."},
	RateLimited: {"rate_limited", http.StatusTooManyRequests, "Rate limited",
		"This caller sends more requests than it may.",
		"Wait for as many seconds as Retry-After says, then send the same again."},
	OutcomeUnknown: {"outcome_unknown", http.StatusInternalServerError, "Outcome unknown",
		"The disk failed while the command was being written, so it may be in the log or not.",
		"Restart the server, then send the same again with the same key: duplicate says whether it had landed."},
	Starting: {"starting", http.StatusServiceUnavailable, "Starting",
		"The server loads its state and does not serve this yet.",
		"Send the same again in a moment; GET /health tells how far the server is."},
	ShuttingDown: {"shutting_down", http.StatusServiceUnavailable, "Shutting down",
		"The server is stopping and takes nothing new.",
		"Send the same again after its restart."},
	ReadOnly: {"read_only", http.StatusServiceUnavailable, "Read-only",
		"The disk has failed, and the server takes no commands until it is restarted; it can still be read.",
		"See to the disk, restart the server, then send the same again."},
	Overloaded: {"overloaded", http.StatusServiceUnavailable, "Overloaded",
		"More commands are waiting for the disk than the server holds.",
		"Send the same again, and wait longer each time; a stream waits by itself."},
	Timeout: {"timeout", http.StatusServiceUnavailable, "Timed out",
		"What the request waits for did not come in time: an entry, the rest of a body, or the disk.",
		"Send the same again; where happened is unknown, with the same key."},
	DiskFull: {"disk_full", http.StatusInsufficientStorage, "Disk full",
		"The disk has less room than the server keeps in reserve, so nothing was written.",
		"Free some space; writes resume by themselves, then send the same again."},
}

// Code is the stable word that programs branch on, such as "stale_state".
func (k Kind) Code() string { return kinds[k].code }

// Status is the HTTP status of the kind.
func (k Kind) Status() int { return kinds[k].status }

// Title is a few fixed words for people.
func (k Kind) Title() string { return kinds[k].title }

// Meaning is a sentence that says what a refusal of this kind means.
func (k Kind) Meaning() string { return kinds[k].meaning }

// Next is a sentence that says what to do about it.
func (k Kind) Next() string { return kinds[k].next }

// FieldError is what is wrong with one member of a request. Its Pointer
// (RFC 6901) begins at the root of what was sent.
type FieldError = canon.FieldError

// Verdict is what a guard said about a command. It is kept in the entry, so that
// replay never asks the world again.
type Verdict struct {
	Guard   string `json:"guard"`
	Allowed bool   `json:"allowed"`
	Reason  string `json:"reason"`
}

// Error is every refusal and failure that a caller sees. The text names the
// thing and the next step.
type Error struct {
	Kind    Kind
	Detail  string
	Unknown bool         // whether the command may have happened all the same
	Errors  []FieldError // what is wrong, member by member

	Position    *int // in an atomic batch, from 0
	Region      string
	Phase       string
	AllowedFrom []string
	BlockedBy   []string
	Guards      []Verdict
	Path        string  // with PathHash: the row of an Expect
	PathHash    *string // its hash now; empty if it is not there
	Index       *uint64 // the last entry's
	StateHash   *statehash.Hash
	HLC         Stamp  // the server's, for ClockSkew
	Applied     uint64 // with Target: how far a replay has come
	Target      uint64
	Instance    string // names an internal error in the server's log

	cause error
}

// Errorf returns an Error. The format may wrap a cause with %w.
func Errorf(k Kind, format string, args ...any) *Error {
	err := fmt.Errorf(format, args...)
	return &Error{Kind: k, Detail: err.Error(), cause: errors.Unwrap(err)}
}

// Error returns the code and the detail.
func (e *Error) Error() string { return e.Kind.Code() + ": " + e.Detail }

// Unwrap returns the cause, nil if there is none.
func (e *Error) Unwrap() error { return e.cause }

// Is reports whether err is an Error of kind k, or wraps one.
func (k Kind) Is(err error) bool {
	var e *Error
	return errors.As(err, &e) && e.Kind == k
}

// theBody is what a detail calls the root of what was sent.
const theBody = "the body"

// malformed returns MalformedRequest with errs, whose pointers begin at at.
func malformed(errs []FieldError, at string) *Error {
	e := Errorf(MalformedRequest, "%s %s", cmp.Or(at+errs[0].Pointer, theBody), errs[0].Detail)
	e.Errors = prefixed(errs, at)
	return e
}

// prefixed returns a copy of errs with at before every pointer.
func prefixed(errs []FieldError, at string) []FieldError {
	errs = slices.Clone(errs)
	for i := range errs {
		errs[i].Pointer = at + errs[i].Pointer
	}
	return errs
}

// fieldsError returns the first of errs, nil if there is none.
func fieldsError(errs []FieldError) error {
	if errs == nil {
		return nil
	}
	return fmt.Errorf("%s %s", errs[0].Pointer, errs[0].Detail)
}

// faultsOf returns what a Validate found: with pointers if it returned a
// FieldError or an Error with Errors.
func faultsOf(err error) []FieldError {
	var e *Error
	var f FieldError
	switch {
	case err == nil:
		return nil
	case errors.As(err, &e) && e.Errors != nil:
		return e.Errors
	case errors.As(err, &f):
		return []FieldError{f}
	case e != nil:
		return []FieldError{{Detail: e.Detail}}
	}
	return []FieldError{{Detail: err.Error()}}
}

// batchError completes the error of the command at a position of a batch: its
// pointers begin at the root of the batch. err is the caller's own.
func batchError(position int, err *Error) *Error {
	at := fmt.Sprintf("/%d", position)
	if len(err.Errors) > 0 {
		first := err.Errors[0].Pointer
		if rest, ok := strings.CutPrefix(err.Detail, cmp.Or(first, theBody)); ok {
			err.Detail = at + first + rest
		}
	}
	err.Position, err.Errors = &position, prefixed(err.Errors, at)
	return err
}

// caught turns a panic in the code of a domain or a guard into an error. Defer
// it.
func caught(what string, err **Error) {
	if r := recover(); r != nil {
		*err = Errorf(Internal, "%s failed", what)
		(*err).cause = &panicError{value: r, stack: debug.Stack()}
	}
}

// panicError carries what the code of a domain or a guard panicked with, and
// where.
type panicError struct {
	value any
	stack []byte
}

func (p *panicError) Error() string { return fmt.Sprintf("panic: %v", p.value) }

// asError returns err as an Error; an error that is none becomes one of kind k.
// It is a copy that the caller may complete: a domain may return one Error many
// times.
func asError(err error, k Kind) *Error {
	var e *Error
	if !errors.As(err, &e) {
		return Errorf(k, "%w", err)
	}
	own := *e
	own.cause = err
	return &own
}

// DamageError is a state that cannot be rebuilt as it was. Nothing has been
// thrown away; the text names the first entry that is wrong and the command
// that mends it.
type DamageError struct {
	Index  uint64 // the first entry that is wrong; 0 if it is not an entry
	Detail string
	Next   string // what to do
	Cause  Cause
}

// Cause says what a DamageError is about, and so what mends it.
type Cause uint8

// The causes.
const (
	CauseFiles   Cause = iota // files are damaged or missing
	CauseReducer              // the log is sound; these domains make another state of it
)

func (d *DamageError) Error() string {
	text := d.Detail
	if d.Index != 0 {
		text = fmt.Sprintf("entry %d: %s", d.Index, d.Detail)
	}
	if d.Next != "" {
		text += ": " + d.Next
	}
	return "swoosh: " + text
}

// newInstance returns a random name for an internal error.
func newInstance() string {
	var b [8]byte
	_, _ = rand.Read(b[:]) // It never fails (crypto/rand).
	return hex.EncodeToString(b[:])
}
