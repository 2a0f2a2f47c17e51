package swoosh

import (
	"cmp"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"regexp"
	"runtime/debug"
	"slices"
	"strings"

	"github.com/chorus-services/swoosh/internal/canon"
	"github.com/chorus-services/swoosh/internal/statehash"
)

// Kind classifies an Error. Each kind has one code and one HTTP status. The
// zero Kind is Internal, so an error without a kind is the server's fault. A
// domain declares kinds of its own with Code.
type Kind struct{ is *kind }

// kind is what programs and people see of a Kind.
type kind struct {
	code    string
	status  int
	title   string
	meaning string // sentences: what happened
	next    string // sentences: what to do now
	own     bool   // of a domain
}

// kinds are the engine's, in the order of the contract, after Internal.
var kinds = []Kind{Internal}

func engineKind(code string, status int, title, meaning, next string) Kind {
	k := Kind{&kind{code, status, title, meaning, next, false}}
	kinds = append(kinds, k)
	return k
}

var internal = kind{"internal", http.StatusInternalServerError, "Internal error",
	"The server failed: the program or one of its domains is at fault, not the request.",
	"Look up the instance id in the server's log and report what it says there. A command with an idempotency key can safely be sent again.", false}

// The kinds, in the order of the contract. Meaning and Next explain each.
var (
	Internal Kind

	MalformedRequest = engineKind("malformed_request", http.StatusBadRequest, "Malformed request",
		"The request cannot be read: its JSON, a member of the envelope, a parameter or a header is malformed.",
		"Correct what detail and errors name, then send the request again.")
	Unauthorized = engineKind("unauthorized", http.StatusUnauthorized, "Unauthorized",
		"The request has no credentials, or the server does not know them.",
		"Send Authorization: Bearer with a valid token, or use a client certificate with a known name.")
	Forbidden = engineKind("forbidden", http.StatusForbidden, "Forbidden",
		"The caller's role is too small, or the Origin or the Host of the request is not allowed.",
		"Authenticate as a caller with the role that detail names. To allow a web page, start the server with its origin.")
	BadSignature = engineKind("bad_signature", http.StatusForbidden, "Bad signature",
		"The command must be signed and is not, or its signature is not good: it is another key's, over another content, or for another hub.",
		"Sign it anew, as detail says: with the signer's current key, an idempotency key and key_since, for the hub that GET /health shows.")
	GuardRejected = engineKind("guard_rejected", http.StatusForbidden, "Rejected by a guard",
		"A guard rejected the command. Guards may check the outside world.",
		"Read the reasons in guards, and send the command again when they no longer apply.")
	Unlicensed = engineKind("unlicensed", http.StatusForbidden, "Unlicensed",
		"There is no licence, or it had expired by the command's stamp.",
		"Ask an admin to renew the licence as detail says, then send the command again.")
	NotFound = engineKind("not_found", http.StatusNotFound, "Not found",
		"The route, the value, the entry or the command's object does not exist.",
		"Check the spelling: GET / lists the routes, GET /state shows the state.")
	MethodNotAllowed = engineKind("method_not_allowed", http.StatusMethodNotAllowed, "Method not allowed",
		"The path exists, but does not accept this method.",
		"Use one of the methods in the Allow header.")
	InvalidPhase = engineKind("invalid_phase", http.StatusConflict, "Invalid phase",
		"The command is not allowed in the current phase of its region.",
		"Bring the region into one of the phases in allowed_from, or choose another command: GET /commands lists the phases of each.")
	Conflict = engineKind("conflict", http.StatusConflict, "Conflict",
		"The command is well formed, but a rule of its domain refuses it in the current state.",
		"Read detail, blocked_by and the state, then decide again.")
	KeyExpired = engineKind("key_expired", http.StatusConflict, "Idempotency key expired",
		"The server does not remember the idempotency key, and the key is older than those it remembers, so the command may have been applied already.",
		"Check the state or the log. If the command was not applied, send it with a new key and a new key_since.")
	HistoryChanged = engineKind("history_changed", http.StatusConflict, "History has changed",
		"The log has another entry than the one that the client has read: a backup was restored, or this is another log.",
		"Drop what you made of the log, read GET /state, and go on after its Swoosh-Index and Swoosh-Chain.")
	Compacted = engineKind("compacted", http.StatusGone, "No longer kept",
		"The log no longer has these entries.",
		"Read GET /state, then continue the log after its Swoosh-Index.")
	StaleState = engineKind("stale_state", http.StatusPreconditionFailed, "State has changed",
		"A condition in expect or If-Match does not hold; the problem has the current values.",
		"Read the state again, decide again, and send the new values in expect or If-Match.")
	TooLarge = engineKind("too_large", http.StatusRequestEntityTooLarge, "Too large",
		"A command, a batch or a state is larger than the server accepts.",
		"Split it, or send the commands as a stream of application/x-ndjson; detail names the limit.")
	UnsupportedMediaType = engineKind("unsupported_media_type", http.StatusUnsupportedMediaType, "Unsupported media type",
		"The route does not accept the media type of the body, or the body is encoded.",
		"Send a Content-Type from the Accept-Post header and no Content-Encoding; detail has an example for curl.")
	UnknownCommand = engineKind("unknown_command", http.StatusUnprocessableEntity, "Unknown command",
		"No domain of this server has this command.",
		"Use the command that detail suggests, or one that GET /commands lists.")
	InvalidPayload = engineKind("invalid_payload", http.StatusUnprocessableEntity, "Invalid payload",
		"The payload does not match the command's schema: a member is unknown, missing, of the wrong type or out of range.",
		"Correct the members that errors lists; GET /commands/{name} has the schema.")
	IdempotencyKeyReused = engineKind("idempotency_key_reused", http.StatusUnprocessableEntity, "Idempotency key reused",
		"The idempotency key was already used for a command with different content.",
		"Use a new key for a new command; to retry a command, send exactly the same content.")
	StateHashMismatch = engineKind("state_hash_mismatch", http.StatusUnprocessableEntity, "State hash mismatch",
		"The content of the document does not match its meta.state_hash.",
		"Download the document again, or remove meta.state_hash if you changed the content on purpose.")
	InvalidState = engineKind("invalid_state", http.StatusUnprocessableEntity, "Invalid state",
		"The document is not a valid state of this server's domains.",
		"Correct what errors lists; GET /state shows the form.")
	ClockSkew = engineKind("clock_skew", http.StatusUnprocessableEntity, "Clock skew",
		"The caller's hlc or key_since is too far ahead of the server's clock.",
		"Check both clocks, then send the command again; hlc in the problem is the server's.")
	Quarantined = engineKind("quarantined", http.StatusLocked, "Quarantined",
		"The server is in quarantine and accepts only the command that ends it; or the signer, its owner, or the project of the command is.",
		"Find out why, and send the command again after the quarantine; detail says how to end it.")
	Paused = engineKind("paused", http.StatusLocked, "Paused",
		"The server is paused and does not accept this command.",
		"Send the command again after the pause; detail says how to end it.")
	PreconditionRequired = engineKind("precondition_required", http.StatusPreconditionRequired, "Precondition required",
		"The log is not empty, so an import would replace the state, and the request does not say which state it replaces.",
		"Send If-Match with the ETag of the state to replace, from GET /state.")
	RateLimited = engineKind("rate_limited", http.StatusTooManyRequests, "Rate limited",
		"The caller sends more requests than its limit allows.",
		"Wait the number of seconds in Retry-After, then send the request again.")
	OutcomeUnknown = engineKind("outcome_unknown", http.StatusInternalServerError, "Outcome unknown",
		"The disk failed while the command was being written, so the log may or may not have it.",
		"Restart the server, then send the command again with the same key; duplicate in the answer says whether it had been applied.")
	Starting = engineKind("starting", http.StatusServiceUnavailable, "Starting",
		"The server is loading its state and does not answer this request yet.",
		"Send the request again in a moment; GET /health reports the progress.")
	ShuttingDown = engineKind("shutting_down", http.StatusServiceUnavailable, "Shutting down",
		"The server is stopping and accepts nothing new.",
		"Send the request again after the restart.")
	ReadOnly = engineKind("read_only", http.StatusServiceUnavailable, "Read-only",
		"The disk failed, and the server accepts no commands until it is restarted; reads still work.",
		"Fix the disk, restart the server, then send the request again.")
	Overloaded = engineKind("overloaded", http.StatusServiceUnavailable, "Overloaded",
		"More is asked of the server at once than it can hold: commands that wait for the disk, bodies and answers on their way, or past states.",
		"Send the request again, waiting longer each time. A stream waits by itself.")
	Timeout = engineKind("timeout", http.StatusServiceUnavailable, "Timed out",
		"The request waited too long: for an entry, the rest of its body, or the disk.",
		"Send the request again. If happened is unknown, use the same key.")
	DiskFull = engineKind("disk_full", http.StatusInsufficientStorage, "Disk full",
		"The machine has no room for more: space on the disk, open files or memory. Nothing was written.",
		"Make the room that detail names, such as space on the disk or more open files, then send the request again; writes resume by themselves.")
	StateFull = engineKind("state_full", http.StatusInsufficientStorage, "State full",
		"The command would make the state larger than the server keeps in memory.",
		"Send commands that remove what is no longer needed, or restart the server with a larger --max-state-bytes.")
)

// ownCode is the form of a domain's code. The other words stand beside codes
// where the client and the metrics name an outcome.
var (
	ownCode   = regexp.MustCompile(`^[a-z][a-z_]{0,62}$`)
	ownStatus = []int{402, 403, 404, 409, 410, 422, 423}
	notCodes  = []string{"changed", "unchanged", "duplicate", "unreachable", "no_answer", "not_swoosh", "mistyped"}
)

// Code declares a Kind of a domain's own, as a package variable. Refuses or
// Gate lists it, and Errorf makes its errors. The code is 1 to 63 characters of
// a-z and _, beginning with a letter. The status is 402, 403, 404, 409, 410, 422
// or 423, which clients do not retry. The title is a few fixed words; meaning and
// next are sentences, as in GET /problems.
//
// Code panics if the code is the engine's or malformed, the status is another
// one, or a text is empty.
func Code(code string, status int, title, meaning, next string) Kind {
	isEngines := slices.ContainsFunc(kinds, func(k Kind) bool { return k.Code() == code }) || slices.Contains(notCodes, code)
	switch {
	case isEngines:
		panic(fmt.Sprintf("swoosh: the code %s is the engine's: choose another one", code))
	case !ownCode.MatchString(code):
		panic(fmt.Sprintf("swoosh: a code can't be %q: it is 1 to 63 characters of a-z and _, beginning with a letter", code))
	case !slices.Contains(ownStatus, status):
		panic(fmt.Sprintf("swoosh: the code %s can't have the status %d: use one of %v", code, status, ownStatus))
	case title == "" || meaning == "" || next == "":
		panic(fmt.Sprintf("swoosh: the code %s needs a title, its meaning and what to do next", code))
	}
	return Kind{&kind{code, status, title, meaning, next, true}}
}

// addOwn adds to all the kinds of more that are a domain's own. It fails if two
// have the same code.
func addOwn(all, more []Kind) ([]Kind, error) {
	for _, k := range more {
		if !k.def().own || slices.Contains(all, k) {
			continue
		}
		if slices.ContainsFunc(all, func(other Kind) bool { return other.Code() == k.Code() }) {
			return nil, fmt.Errorf("the code %s is declared twice: share one variable, or choose another code", k.Code())
		}
		all = append(all, k)
	}
	return all, nil
}

func (k Kind) def() *kind { return cmp.Or(k.is, &internal) }

// Code returns the stable word that programs can compare, such as
// "stale_state".
func (k Kind) Code() string { return k.def().code }

// Status returns the HTTP status of the kind.
func (k Kind) Status() int { return k.def().status }

// Title returns a few fixed words for people.
func (k Kind) Title() string { return k.def().title }

// Meaning returns sentences that explain a refusal of this kind.
func (k Kind) Meaning() string { return k.def().meaning }

// Next returns sentences that say what to do after a refusal of this kind.
func (k Kind) Next() string { return k.def().next }

// FieldError describes what is wrong with one member of a request. Its Pointer
// (RFC 6901) is relative to the root of the request.
type FieldError = canon.FieldError

// Verdict is a guard's answer about a command. The entry keeps it, so that
// replay never calls the guard again.
type Verdict struct {
	Guard   string `json:"guard"` // the rule: 1 to 63 of a-z, 0-9 and dash; in Judge, empty is the guard's name
	Allowed bool   `json:"allowed"`
	Reason  string `json:"reason"`
}

// Error is a refusal or failure as callers see it. Detail says what is wrong
// and what to do next.
type Error struct {
	Kind    Kind
	Detail  string
	Unknown bool         // the command may have been applied despite the error
	Errors  []FieldError // what is wrong with each member

	Domain      string // whose own kind this is; empty for the engine's
	Position    *int   // of the command in an atomic batch, from 0
	Region      string
	Phase       string
	AllowedFrom []string
	BlockedBy   []string
	Guards      []Verdict
	Path        string  // the row that Expect names
	PathHash    *string // current hash of the row at Path; empty if there is no row
	Index       *uint64 // the last entry's
	StateHash   *statehash.Hash
	Chain       *statehash.Hash // the last entry's
	HLC         Stamp           // the server's, for ClockSkew
	Applied     uint64          // entries replayed so far, of Target, while the server starts
	Target      uint64
	Instance    string // id of an internal error in the server's log

	cause error
}

// Errorf returns an Error. The format may wrap a cause with %w.
func Errorf(k Kind, format string, args ...any) *Error {
	err := fmt.Errorf(format, args...)
	return &Error{Kind: k, Detail: err.Error(), cause: errors.Unwrap(err)}
}

// Error returns the code and the detail.
func (e *Error) Error() string { return e.Kind.Code() + ": " + e.Detail }

// Unwrap returns the cause, or nil.
func (e *Error) Unwrap() error { return e.cause }

// Is reports whether err is an Error of kind k, or wraps one.
func (k Kind) Is(err error) bool {
	var e *Error
	return errors.As(err, &e) && e.Kind == k
}

// placeMost limits a pointer in a detail, in bytes.
const placeMost = 256

// place returns what a pointer is called in a detail.
func place(pointer string) string { return cmp.Or(canon.Short(pointer, placeMost), "the body") }

// malformed returns MalformedRequest for errs, whose pointers are relative to
// at.
func malformed(errs []FieldError, at string) *Error {
	e := Errorf(MalformedRequest, "%s %s", place(at+errs[0].Pointer), errs[0].Detail)
	e.Errors = prefixed(errs, at)
	return e
}

// prefixed returns a copy of errs with every pointer prefixed by at.
func prefixed(errs []FieldError, at string) []FieldError {
	errs = slices.Clone(errs)
	for i := range errs {
		errs[i].Pointer = at + errs[i].Pointer
	}
	return errs
}

// fieldsError returns the first of errs as an error, or nil.
func fieldsError(errs []FieldError) error {
	if errs == nil {
		return nil
	}
	return fmt.Errorf("%s %s", canon.Short(errs[0].Pointer, placeMost), errs[0].Detail)
}

// faultsOf returns the faults that a Validate reported, with pointers if it
// returned a FieldError or an Error with Errors.
func faultsOf(err error) []FieldError {
	var e *Error
	var f FieldError
	var p *FieldError
	switch {
	case err == nil:
		return nil
	case errors.As(err, &e) && e.Errors != nil:
		return e.Errors
	case errors.As(err, &p):
		f = *p
		fallthrough
	case errors.As(err, &f):
		if f.Pointer != "" && f.Pointer[0] != '/' {
			f.Pointer = "/" + f.Pointer // Without it the answer's pointer would not be one.
		}
		return []FieldError{f}
	case e != nil:
		return []FieldError{{Detail: e.Detail}}
	}
	return []FieldError{{Detail: err.Error()}}
}

// batchError adds to err its command's position in a batch, and makes its
// pointers relative to the root of the batch. It changes err itself.
func batchError(position int, err *Error) *Error {
	at := fmt.Sprintf("/%d", position)
	if len(err.Errors) > 0 {
		first := err.Errors[0].Pointer
		if rest, ok := strings.CutPrefix(err.Detail, place(first)); ok {
			err.Detail = place(at+first) + rest
		}
	}
	err.Position, err.Errors = &position, prefixed(err.Errors, at)
	return err
}

// caught turns a panic in the code of a domain or a guard into an error. It
// must be deferred.
func caught(what string, err **Error) {
	if r := recover(); r != nil {
		*err = Errorf(Internal, "%s failed", what)
		(*err).cause = &panicError{value: r, stack: debug.Stack()}
	}
}

// panicError is the value and the stack of a panic in the code of a domain or a
// guard.
type panicError struct {
	value any
	stack []byte
}

func (p *panicError) Error() string { return fmt.Sprintf("panic: %v", p.value) }

// asError returns err as an Error; an error of another type becomes an Error of
// kind k. It returns a copy that the caller may change, since a domain may
// return the same Error many times.
func asError(err error, k Kind) *Error {
	var e *Error
	if !errors.As(err, &e) {
		return Errorf(k, "%w", err)
	}
	own := *e
	own.cause = err
	return &own
}

// ErrDirectoryLost is the error of a stop after the data directory was emptied, moved
// or replaced under the engine. Entries that were acknowledged may be gone: they may
// be in files that no longer have a name.
var ErrDirectoryLost = errors.New("the data directory is not what it was")

// newInstance returns a random id of 16 hex digits for an internal error.
func newInstance() string {
	var b [8]byte
	_, _ = rand.Read(b[:]) // It never fails (crypto/rand).
	return hex.EncodeToString(b[:])
}
