package client

import "cmp"

// The codes of the server's refusals. GET /problems/{code} explains each.
const (
	MalformedRequest     = "malformed_request"
	Unauthorized         = "unauthorized"
	Forbidden            = "forbidden"
	BadSignature         = "bad_signature"
	GuardRejected        = "guard_rejected"
	Unlicensed           = "unlicensed"
	NotFound             = "not_found"
	MethodNotAllowed     = "method_not_allowed"
	InvalidPhase         = "invalid_phase"
	Conflict             = "conflict"
	KeyExpired           = "key_expired"
	HistoryChanged       = "history_changed"
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
	StateFull            = "state_full"
	Internal             = "internal"
)

// The codes of failures that the client reports itself.
const (
	Unreachable = "unreachable" // no connection could be made; nothing was sent
	NoAnswer    = "no_answer"   // the request was sent at least in part, but no complete answer came; or the context ended
	NotSwoosh   = "not_swoosh"  // another program answered, such as a proxy
	Mistyped    = "mistyped"    // a value does not fit the Go type to read it into
)

// nextSteps says, for each code, what to do.
var nextSteps = map[string]string{
	MalformedRequest:     "Correct what detail and errors name, then send the request again.",
	Unauthorized:         "Send Authorization: Bearer with a valid token, or use a client certificate with a known name.",
	Forbidden:            "Authenticate as a caller with the role that detail names. To allow a web page, start the server with its origin.",
	BadSignature:         "Sign it anew, as detail says: with the signer's current key, an idempotency key and key_since, for the hub that GET /health shows.",
	GuardRejected:        "Read the reasons in guards, and send the command again when they no longer apply.",
	Unlicensed:           "Ask an admin to renew the licence as detail says, then send the command again.",
	NotFound:             "Check the spelling: GET / lists the routes, GET /state shows the state.",
	MethodNotAllowed:     "Use one of the methods in the Allow header.",
	InvalidPhase:         "Bring the region into one of the phases in allowed_from, or choose another command: GET /commands lists the phases of each.",
	Conflict:             "Read detail, blocked_by and the state, then decide again.",
	KeyExpired:           "Check the state or the log. If the command was not applied, send it with a new key and a new key_since.",
	HistoryChanged:       "Drop what you made of the log, read GET /state, and go on after its Swoosh-Index and Swoosh-Chain.",
	Compacted:            "Read GET /state, then continue the log after its Swoosh-Index.",
	StaleState:           "Read the state again, decide again, and send the new values in expect or If-Match.",
	TooLarge:             "Split it, or send the commands as a stream of application/x-ndjson; detail names the limit.",
	UnsupportedMediaType: "Send a Content-Type from the Accept-Post header and no Content-Encoding; detail has an example for curl.",
	UnknownCommand:       "Use the command that detail suggests, or one that GET /commands lists.",
	InvalidPayload:       "Correct the members that errors lists; GET /commands/{name} has the schema.",
	IdempotencyKeyReused: "Use a new key for a new command; to retry a command, send exactly the same content.",
	StateHashMismatch:    "Download the document again, or remove meta.state_hash if you changed the content on purpose.",
	InvalidState:         "Correct what errors lists; GET /state shows the form.",
	ClockSkew:            "Check both clocks, then send the command again; hlc in the problem is the server's.",
	Quarantined:          "Find out why, and send the command again after the quarantine; detail says how to end it.",
	Paused:               "Send the command again after the pause; detail says how to end it.",
	PreconditionRequired: "Send If-Match with the ETag of the state to replace, from GET /state.",
	RateLimited:          "Wait the number of seconds in Retry-After, then send the request again.",
	OutcomeUnknown:       "Restart the server, then send the command again with the same key; duplicate in the answer says whether it had been applied.",
	Starting:             "Send the request again in a moment; GET /health reports the progress.",
	ShuttingDown:         "Send the request again after the restart.",
	ReadOnly:             "Fix the disk, restart the server, then send the request again.",
	Overloaded:           "Send the request again, waiting longer each time. A stream waits by itself.",
	Timeout:              "Send the request again. If happened is unknown, use the same key.",
	DiskFull:             "Make the room that detail names, such as space on the disk or more open files, then send the request again; writes resume by themselves.",
	StateFull:            "Send commands that remove what is no longer needed, or restart the server with a larger --max-state-bytes.",
	Internal:             "Look up the instance id in the server's log and report what it says there. A command with an idempotency key can safely be sent again.",

	Unreachable: "Start the server, or use the address of another one.",
	NoAnswer:    "Try again when the server can be reached. If Happened is unknown, send the commands in Again once more.",
	NotSwoosh:   "Use the address of a swoosh server. If Happened is unknown, send the commands in Again to it once more.",
	Mistyped:    "Use a type that fits what GET /state shows.",
}

// next returns what to do about a code, or detail if the code is unknown.
func next(code, detail string) string { return cmp.Or(nextSteps[code], detail) }
