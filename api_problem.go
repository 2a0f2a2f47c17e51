package swoosh

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/chorus-services/swoosh/internal/canon"
)

// problem is a problem document (RFC 9457): an Error as clients see it.
type problem struct {
	Type     string         `json:"type"`
	Title    string         `json:"title"`
	Status   int            `json:"status"`
	Detail   string         `json:"detail"`
	Code     string         `json:"code"`
	Happened string         `json:"happened"` // "no" or "unknown", of this request alone
	Errors   []problemField `json:"errors,omitzero"`

	Index       *uint64   `json:"index,omitzero"`
	StateHash   *Hash     `json:"state_hash,omitzero"`
	Path        string    `json:"path,omitzero"`
	Hash        *string   `json:"hash,omitzero"`
	Position    *int      `json:"position,omitzero"`
	Line        int       `json:"line,omitzero"` // from 1
	Guards      []Verdict `json:"guards,omitzero"`
	Region      string    `json:"region,omitzero"`
	Phase       string    `json:"phase,omitzero"`
	AllowedFrom []string  `json:"allowed_from,omitzero"`
	BlockedBy   []string  `json:"blocked_by,omitzero"`
	Applied     *uint64   `json:"applied,omitzero"`
	Target      *uint64   `json:"target,omitzero"`
	HLC         *Stamp    `json:"hlc,omitzero"`
	Instance    string    `json:"instance,omitzero"`
}

// kindDocument says what a code means, under the path that type names.
type kindDocument struct {
	Code    string `json:"code"`
	Status  int    `json:"status"`
	Title   string `json:"title"`
	Meaning string `json:"meaning"`
	Next    string `json:"next"`
}

func newKindDocument(k Kind) kindDocument {
	return kindDocument{k.Code(), k.Status(), k.Title(), k.Meaning(), k.Next()}
}

type problemList struct {
	Problems []kindDocument `json:"problems"`
}

// getProblems lists every code, in the order of the statuses.
func (x *exchange) getProblems() error {
	var all problemList
	for k := range kinds {
		all.Problems = append(all.Problems, newKindDocument(Kind(k)))
	}
	slices.SortStableFunc(all.Problems, func(a, b kindDocument) int { return a.Status - b.Status })
	return x.json(http.StatusOK, all)
}

func (x *exchange) getProblemKind() error {
	code := x.variable("code")
	codes := make([]string, len(kinds))
	for k := range kinds {
		if codes[k] = kinds[k].code; codes[k] == code {
			return x.json(http.StatusOK, newKindDocument(Kind(k)))
		}
	}
	hint := "GET /problems lists them all"
	if near := canon.Nearest(code, codes); near != "" {
		hint = fmt.Sprintf("did you mean %s? %s", near, hint)
	}
	return Errorf(NotFound, "there is no code %s; %s", shown(code), hint)
}

// problemField is a FieldError with the names of its members.
type problemField struct {
	Pointer string `json:"pointer"`
	Detail  string `json:"detail"`
}

func newProblem(e *Error) *problem {
	p := &problem{
		Type: "/problems/" + e.Kind.Code(), Title: e.Kind.Title(), Status: e.Kind.Status(), Detail: e.Detail,
		Code: e.Kind.Code(), Happened: "no",
		Index: e.Index, StateHash: e.StateHash, Path: e.Path, Hash: e.PathHash, Position: e.Position, Guards: e.Guards,
		Region: e.Region, Phase: e.Phase, AllowedFrom: e.AllowedFrom, BlockedBy: e.BlockedBy, Instance: e.Instance,
	}
	if e.Unknown {
		p.Happened = "unknown"
	}
	for _, f := range e.Errors {
		p.Errors = append(p.Errors, problemField(f))
	}
	if e.Kind == Starting {
		p.Applied, p.Target = &e.Applied, &e.Target
	}
	if e.Kind == ClockSkew {
		p.HLC = &e.HLC
	}
	return p
}

// retryAfter is what Retry-After says, in seconds. For RateLimited it depends.
var retryAfter = map[Kind]string{Starting: "1", Overloaded: "1", ShuttingDown: "5", ReadOnly: "60"}

// refuse answers with the problem document of err. A client that has gone, or
// has at least closed its side, is cut off.
func (x *exchange) refuse(err error) {
	if x.isGone(err) {
		panic(http.ErrAbortHandler)
	}
	e := x.asError(err)
	h := x.w.Header()
	h.Set("Content-Type", "application/problem+json")
	if after, ok := retryAfter[e.Kind]; ok {
		h.Set("Retry-After", after)
	}
	if e.Kind == Unauthorized {
		h.Set("WWW-Authenticate", "Bearer")
	}
	x.leaveBody()
	x.w.WriteHeader(e.Kind.Status())
	if !x.isHead() {
		x.write(encode(x.problem(e)))
	}
}

// asError gives err as an Error that may be shown. What is a fault of ours is
// in the log, under the instance that the caller gets.
func (x *exchange) asError(err error) *Error {
	var e *Error
	if !errors.As(err, &e) {
		e = Errorf(Internal, "%w", err)
	}
	if e.Kind == Internal && e.Instance == "" {
		return x.concealed(e)
	}
	return e
}

// concealed logs a fault and gives what the caller sees of it.
func (x *exchange) concealed(e *Error, more ...any) *Error {
	instance := newInstance()
	shown := Errorf(Internal, "a fault of the server: its log names the cause under %s", instance)
	shown.Instance, shown.Unknown, shown.Position = instance, e.Unknown, e.Position
	x.api.o.Logger.Error("a request failed by a fault of the server", append([]any{
		"method", x.r.Method, "path", x.r.URL.Path, "instance", shown.Instance, "cause", e.Detail}, more...)...)
	return shown
}

// encode gives v's JSON. What a caller sent may be quoted in it, so it may
// hold any bytes; others become U+FFFD.
func encode(v any) []byte {
	b, err := json.Marshal(v, jsontext.AllowInvalidUTF8(true))
	if err != nil {
		panic(err) // Only our own types come here.
	}
	return append(b, '\n')
}

// json answers with v as JSON.
func (x *exchange) json(status int, v any) error {
	x.w.Header().Set("Content-Type", "application/json")
	x.w.WriteHeader(status)
	if !x.isHead() {
		x.write(encode(v))
	}
	return nil
}

// write sends bytes of the answer. That the client has gone is no error of
// anybody.
func (x *exchange) write(b []byte) { _, _ = x.w.Write(b) }

// leaveBody lets an answer go out before the body was read: at once, and the
// connection is closed after it. Without it the server would first wait for
// what the client may never send. HTTP/2 does all that by itself, a stream at a
// time, and anything more would take the answer from the client.
func (x *exchange) leaveBody() {
	if x.bodyRead || x.r.ProtoMajor > 1 {
		return
	}
	x.bodyRead = true
	if x.w.status == 0 {
		x.w.Header().Set("Connection", "close")
	}
	// Going over a limit is net/http's way to close a connection so gently
	// that the client still gets the answer.
	limit := http.MaxBytesReader(x.w.ResponseWriter, io.NopCloser(strings.NewReader("x")), 0)
	_, _ = limit.Read(make([]byte, 1))
	x.api.deadlines.cutRead(x.rc)
}
