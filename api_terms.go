package swoosh

import (
	"net/http"

	"github.com/go-json-experiment/json/jsontext"
)

// terms are what a route takes and gives. The door holds queries and media
// types to them, and GET /openapi.json is made from them.
type terms struct {
	parameters []string  // of the query; parameters says what each is
	headers    []string  // of the request that mean something here; likewise
	takes      []content // bodies; nil: none is read
	gives      []content // answers that are no problem documents
	refuses    []Kind    // beside those that its role, its phase and a body bring
}

// content is a body of one media type.
type content struct {
	media  string
	form   form
	status int    // of an answer; 0 means 200
	sample string // of a text without a form
	items  bool   // a text of many of the form, one after another
}

// gives is the terms of a route that only answers, in JSON.
func gives(f form) terms { return terms{gives: []content{{media: typeJSON, form: f}}} }

// jsonObject is an object that has no form of its own here.
func jsonObject(*components) any { return object{"type": "object"} }

// Refusals of everything that writes.
var writing = []Kind{Quarantined, Paused, StaleState, OutcomeUnknown, ReadOnly, Overloaded, DiskFull}

var (
	stateTerms = terms{
		parameters: []string{"path", "at", "min_index", "timeout", "after", "limit"},
		headers:    []string{"If-None-Match"},
		gives:      []content{{media: typeJSON, form: anyOf(stateForm, of[rowsPage](), anyValue)}},
		refuses:    []Kind{NotFound, Compacted, Timeout, ShuttingDown},
	}
	importTerms = terms{
		headers: []string{"If-Match"},
		takes:   []content{{media: typeJSON, form: stateForm}},
		gives:   []content{{media: typeJSON, form: of[Result]()}},
		refuses: append([]Kind{PreconditionRequired, StateHashMismatch, InvalidState}, writing...),
	}
	commandTerms = terms{
		headers: []string{"Idempotency-Key"},
		takes: []content{
			{media: typeJSON, form: oneOf(commandForm, batchForm)},
			{media: typeNDJSON, form: commandForm, items: true},
		},
		gives: []content{
			{media: typeJSON, form: oneOf(of[Result](), of[results]())},
			{media: typeNDJSON, form: oneOf(of[Result](), of[problem]()), items: true},
		},
		refuses: append([]Kind{
			GuardRejected, Unlicensed, NotFound, InvalidPhase, Conflict, KeyExpired,
			UnknownCommand, InvalidPayload, IdempotencyKeyReused, ClockSkew,
		}, writing...),
	}
	logTerms = terms{
		parameters: []string{"from", "limit"},
		gives:      []content{{media: typeJSON, form: of[logPage]()}, {media: typeNDJSON, form: of[entryDocument](), items: true}},
		refuses:    []Kind{NotFound, Compacted},
	}
	watchTerms = terms{
		parameters: []string{"from"},
		headers:    []string{"Last-Event-ID"},
		gives:      []content{{media: typeEvents, form: oneOf(of[entryDocument](), of[problem]()), items: true}},
		refuses:    []Kind{NotFound, Compacted},
	}
	snapshotTerms = terms{gives: gives(of[SnapshotInfo]()).gives, refuses: []Kind{DiskFull, ShuttingDown, Timeout}}
	readyTerms    = terms{gives: []content{
		{media: typeJSON, form: of[readiness]()},
		{media: typeJSON, form: of[readiness](), status: http.StatusServiceUnavailable},
	}}
	metricsTerms = terms{gives: []content{{media: "text/plain", sample: "swoosh_refusals_total{code=\"conflict\"} 1\n"}}}
)

// lookup is the terms of a route whose path names one of many.
func lookup(f form, refuses ...Kind) terms {
	return terms{gives: gives(f).gives, refuses: append(refuses, NotFound)}
}

// kinds are those of the problem documents that the route can answer.
func (r *route) kinds() []Kind {
	all := append([]Kind{MalformedRequest, Forbidden, Internal}, r.refuses...)
	if r.role != NoRole {
		all = append(all, Unauthorized, RateLimited)
	}
	if r.while == started {
		all = append(all, Starting)
	}
	if r.takes != nil {
		all = append(all, TooLarge, UnsupportedMediaType, ShuttingDown, Timeout)
	}
	return all
}

// media are the types of the bodies that the route takes.
func (r *route) media() []string {
	var all []string
	for _, c := range r.takes {
		all = append(all, c.media)
	}
	return all
}

// The documents below have a writer of their own, for speed; here is only
// their form.
type (
	results struct {
		Results []Result `json:"results"`
	}
	rowsPage struct {
		Rows jsontext.Value `json:"rows"`
		Next string         `json:"next,omitzero"`
	}
	logPage struct {
		Entries []entryDocument `json:"entries"`
		Next    uint64          `json:"next"`
		End     bool            `json:"end,omitzero"`
	}
	entryDocument struct {
		Entry
		Chain Hash `json:"chain"`
	}
)

// parameter is a part of a request's path, query or header.
type parameter struct {
	in, description string
	form            form
}

// integer is the form of a whole number in a range, both ends included.
func integer(low, high uint64) form {
	return func(*components) any {
		return object{"type": "integer", "minimum": low, "maximum": high}
	}
}

// parameters are those of all routes, by name: one name means the same
// everywhere.
var parameters = map[string]parameter{
	"path":      {"query", "JSON Pointer (RFC 6901) of the value to give, such as /project/projects/alpha; left out: the whole state", like(`^(/([^~]|~[01])*)?$`, "")},
	"at":        {"query", "the state as it was after the entry of this index, or after the newest entry not after this hlc; not with min_index", like(`^((0|[1-9][0-9]{0,15})|`+hlcPattern+`)$`, "0")},
	"min_index": {"query", "wait until the entry of this index is applied", integer(0, indexMax)},
	"timeout":   {"query", "how long to wait for min_index: a duration from 1ms to 60s, by default 5s", like("", "5s")},
	"after":     {"query", "a page of the table at path: the rows after this key", like("", "alpha")},
	"limit":     {"query", "how many rows or entries at most, by default 100; lines of the log go to its end by default", integer(1, pageMax)},
	"from":      {"query", "the index of the first entry; by default the log gives the first kept, the watch the next one", integer(1, indexMax)},

	"name":  {"path", "a command's name", like("", "")},
	"index": {"path", "an entry's index", integer(1, indexMax)},
	"code":  {"path", "a problem's code", oneWord(problemCodes)},

	"If-None-Match":   {"header", "ETags; 304 if one is that of what is asked for", like("", `"`+sampleHash+`"`)},
	"If-Match":        {"header", "the state hash of what is to be replaced, in quotes; required once the log is not empty", like(`^"[0-9a-f]{64}"$`, `"`+sampleHash+`"`)},
	"Idempotency-Key": {"header", "the key of a command, or of an atomic batch, quoted or not; not with a stream, whose keys stand in its lines", of[Key]()},
	"Last-Event-ID":   {"header", "the index of the entry that was read last; wins over from", integer(0, indexMax)},
}
