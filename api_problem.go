package swoosh

import (
	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"github.com/prometheus/client_golang/prometheus"
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

// kindDocument explains a code, at the path that a problem's type names.
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

// retryAfter is the header Retry-After, in seconds. That of RateLimited depends
// on the caller.
var retryAfter = map[Kind]string{Starting: "1", Overloaded: "1", ShuttingDown: "5", ReadOnly: "60"}

// newRefusals counts problem documents by code, those in streams and at the
// ends of watches included. Every code is there from the start: Prometheus does
// not see a counter grow that begins at 1.
func newRefusals() *prometheus.CounterVec {
	all := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "swoosh_refusals_total", Help: "Problem documents by code.",
	}, []string{"code"})
	for _, k := range kinds {
		all.WithLabelValues(k.code)
	}
	return all
}

// encode returns v as JSON, with a newline. A message may quote any bytes of a
// request: those that are not UTF-8 become U+FFFD.
func encode(v any) []byte {
	b, err := json.Marshal(v, jsontext.AllowInvalidUTF8(true))
	if err != nil {
		panic(err) // Only our own types come here.
	}
	return append(b, '\n')
}
