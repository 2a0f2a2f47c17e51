package swoosh

import (
	"errors"
	"fmt"
	"net/http"

	"github.com/chorus-services/swoosh/internal/canon"
)

// Kind classifies an Error. Each has one code and one HTTP status; the zero
// Kind is Internal, so what nobody classified is a fault of ours.
type Kind uint8

// The kinds, in the order of API.md's table. kinds says what each means.
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
	code   string
	status int
	title  string
}{
	Internal:             {"internal", http.StatusInternalServerError, "Internal error"},
	MalformedRequest:     {"malformed_request", http.StatusBadRequest, "Malformed request"},
	Unauthorized:         {"unauthorized", http.StatusUnauthorized, "Unauthorized"},
	Forbidden:            {"forbidden", http.StatusForbidden, "Forbidden"},
	GuardRejected:        {"guard_rejected", http.StatusForbidden, "Rejected by a guard"},
	Unlicensed:           {"unlicensed", http.StatusForbidden, "Unlicensed"},
	NotFound:             {"not_found", http.StatusNotFound, "Not found"},
	MethodNotAllowed:     {"method_not_allowed", http.StatusMethodNotAllowed, "Method not allowed"},
	InvalidPhase:         {"invalid_phase", http.StatusConflict, "Not in this phase"},
	Conflict:             {"conflict", http.StatusConflict, "Conflict"},
	KeyExpired:           {"key_expired", http.StatusConflict, "Idempotency key expired"},
	Compacted:            {"compacted", http.StatusGone, "No longer kept"},
	StaleState:           {"stale_state", http.StatusPreconditionFailed, "State has moved on"},
	TooLarge:             {"too_large", http.StatusRequestEntityTooLarge, "Too large"},
	UnsupportedMediaType: {"unsupported_media_type", http.StatusUnsupportedMediaType, "Unsupported media type"},
	UnknownCommand:       {"unknown_command", http.StatusUnprocessableEntity, "Unknown command"},
	InvalidPayload:       {"invalid_payload", http.StatusUnprocessableEntity, "Invalid payload"},
	IdempotencyKeyReused: {"idempotency_key_reused", http.StatusUnprocessableEntity, "Idempotency key reused"},
	StateHashMismatch:    {"state_hash_mismatch", http.StatusUnprocessableEntity, "State hash does not match"},
	InvalidState:         {"invalid_state", http.StatusUnprocessableEntity, "Invalid state"},
	ClockSkew:            {"clock_skew", http.StatusUnprocessableEntity, "Clock skew"},
	Quarantined:          {"quarantined", http.StatusLocked, "Quarantined"},
	Paused:               {"paused", http.StatusLocked, "Paused"},
	PreconditionRequired: {"precondition_required", http.StatusPreconditionRequired, "Precondition required"},
	RateLimited:          {"rate_limited", http.StatusTooManyRequests, "Rate limited"},
	OutcomeUnknown:       {"outcome_unknown", http.StatusInternalServerError, "Outcome unknown"},
	Starting:             {"starting", http.StatusServiceUnavailable, "Starting"},
	ShuttingDown:         {"shutting_down", http.StatusServiceUnavailable, "Shutting down"},
	ReadOnly:             {"read_only", http.StatusServiceUnavailable, "Read-only"},
	Overloaded:           {"overloaded", http.StatusServiceUnavailable, "Overloaded"},
	Timeout:              {"timeout", http.StatusServiceUnavailable, "Timed out"},
	DiskFull:             {"disk_full", http.StatusInsufficientStorage, "Disk full"},
}

// Code is the stable word that programs branch on, such as "stale_state".
func (k Kind) Code() string { return kinds[k].code }

// Status is the HTTP status of the kind.
func (k Kind) Status() int { return kinds[k].status }

// Title is a few fixed words for people.
func (k Kind) Title() string { return kinds[k].title }

// FieldError is what is wrong with one member of a request. Its Pointer
// (RFC 6901) begins at the root of what was sent.
type FieldError = canon.FieldError

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
	StateHash   *Hash
	HLC         Stamp  // the server's, for ClockSkew
	Applied     uint64 // with Target: how far a replay has come
	Target      uint64
	Instance    string // names an internal error in the server's log

	cause error
}

// Errorf makes an Error. The format may wrap a cause with %w.
func Errorf(k Kind, format string, args ...any) *Error {
	err := fmt.Errorf(format, args...)
	return &Error{Kind: k, Detail: err.Error(), cause: errors.Unwrap(err)}
}

// Error gives the code and the detail.
func (e *Error) Error() string { return e.Kind.Code() + ": " + e.Detail }

// Unwrap gives the cause, if there is one.
func (e *Error) Unwrap() error { return e.cause }

// Is tells whether err is an Error of kind k, or wraps one.
func (k Kind) Is(err error) bool {
	var e *Error
	return errors.As(err, &e) && e.Kind == k
}

// asError gives err as an Error; what is none becomes one of kind k. It is a
// copy, for its caller to complete: a domain may give one Error to many.
func asError(err error, k Kind) *Error {
	var e *Error
	if !errors.As(err, &e) {
		return Errorf(k, "%w", err)
	}
	own := *e
	own.cause = err
	return &own
}
