package client

import "cmp"

// The codes of the server's refusals. GET /problems/{code} says what one means.
const (
	MalformedRequest     = "malformed_request"
	Unauthorized         = "unauthorized"
	Forbidden            = "forbidden"
	GuardRejected        = "guard_rejected"
	Unlicensed           = "unlicensed"
	NotFound             = "not_found"
	MethodNotAllowed     = "method_not_allowed"
	InvalidPhase         = "invalid_phase"
	Conflict             = "conflict"
	KeyExpired           = "key_expired"
	Compacted            = "compacted"
	StaleState           = "stale_state"
	TooLarge             = "too_large"
	UnsupportedMediaType = "unsupported_media_type"
	UnknownCommand       = "unknown_command"
	InvalidPayload       = "invalid_payload"
	IdempotencyKeyReused = "idempotency_key_reused"
	StateHashMismatch    = "state_hash_mismatch"
	InvalidState         = "invalid_state"
	ClockSkew            = "clock_skew"
	Quarantined          = "quarantined"
	Paused               = "paused"
	PreconditionRequired = "precondition_required"
	RateLimited          = "rate_limited"
	OutcomeUnknown       = "outcome_unknown"
	Starting             = "starting"
	ShuttingDown         = "shutting_down"
	ReadOnly             = "read_only"
	Overloaded           = "overloaded"
	Timeout              = "timeout"
	DiskFull             = "disk_full"
	Internal             = "internal"
)

// The codes of failures that are not the server's word.
const (
	Unreachable = "unreachable" // no connection came about; nothing was sent
	NoAnswer    = "no_answer"   // the request was sent, or a part of it, and no whole answer came; or the context ended
	NotSwoosh   = "not_swoosh"  // another program answered, or one between here and the server
	Mistyped    = "mistyped"    // a value does not fit the Go type that it is to be read into
)

// nextSteps are sentences that say what to do about a code.
var nextSteps = map[string]string{
	MalformedRequest:     "Mend what detail and errors name, then send it again.",
	Unauthorized:         "Send Authorization: Bearer with a token that the server knows, or a client certificate whose name it knows.",
	Forbidden:            "Ask as somebody who has the role that detail names; have the origin of a page named when the server is started.",
	GuardRejected:        "Read the reasons in guards, and send the command again when they no longer hold.",
	Unlicensed:           "Have an admin renew the licence in the way that detail names, then send the command again.",
	NotFound:             "Check the spelling: GET / lists the routes, GET /state shows what is there.",
	MethodNotAllowed:     "Use a method that the header Allow lists.",
	InvalidPhase:         "Bring the region into a phase of allowed_from, or decide anew; GET /commands lists the phases of every command.",
	Conflict:             "Read detail and blocked_by, read the state, then decide anew.",
	KeyExpired:           "Look in the state or the log whether it has; if it has not, send it with a new key and a fresh key_since.",
	Compacted:            "Read GET /state, and go on in the log after its Swoosh-Index.",
	StaleState:           "Read the state again, decide anew, and expect what was read.",
	TooLarge:             "Split it, or send commands as a stream of application/x-ndjson; detail names the limit.",
	UnsupportedMediaType: "Send a Content-Type that the header Accept-Post lists, and no Content-Encoding; detail has a curl line.",
	UnknownCommand:       "Take the name that detail offers, or one of GET /commands.",
	InvalidPayload:       "Mend the members that errors lists; GET /commands/{name} has the schema.",
	IdempotencyKeyReused: "Make a new key for a new command; a retry sends exactly what was sent at first.",
	StateHashMismatch:    "Get the document anew, or leave the member out if it was altered on purpose.",
	InvalidState:         "Mend what errors lists; GET /state shows the form.",
	ClockSkew:            "Set both clocks right, then send the command again; the problem's hlc is the server's.",
	Quarantined:          "Find out why, and send the command again when the quarantine is over; detail names the way out.",
	Paused:               "Send the command again when the pause is over; detail names the way out.",
	PreconditionRequired: "Send If-Match with the ETag of the GET /state that is to be replaced.",
	RateLimited:          "Wait for as many seconds as Retry-After says, then send the same again.",
	OutcomeUnknown:       "Restart the server, then send the same again with the same key: duplicate says whether it had landed.",
	Starting:             "Send the same again in a moment; GET /health tells how far the server is.",
	ShuttingDown:         "Send the same again after its restart.",
	ReadOnly:             "See to the disk, restart the server, then send the same again.",
	Overloaded:           "Send the same again, and wait longer each time; a stream waits by itself.",
	Timeout:              "Send the same again; where happened is unknown, with the same key.",
	DiskFull:             "Free some space; writes resume by themselves, then send the same again.",
	Internal:             "Look in the server's log for the id in instance and report what stands there; with the same idempotency key a command may be sent again.",

	Unreachable: "Start the server, or give the address of another.",
	NoAnswer:    "Ask again when the server can be reached; where happened is unknown, send Again once more.",
	NotSwoosh:   "Give the address of a swoosh server; where happened is unknown, send Again there once more.",
	Mistyped:    "Read into a type that fits what GET /state shows.",
}

// next is what to do about a code; one that is not known here has detail.
func next(code, detail string) string { return cmp.Or(nextSteps[code], detail) }
