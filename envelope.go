package swoosh

import (
	"bytes"
	"cmp"
	"fmt"
	"iter"
	"slices"
	"strconv"
	"sync"
	"unicode/utf8"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/chorus-services/swoosh/internal/canon"
	"github.com/chorus-services/swoosh/noun"
)

// Limits on what a caller may send.
const (
	commandMaxBytes  = 1_000_000 // a command's JSON, alone or as a line of a stream
	batchMaxCommands = 1000      // in an atomic batch
)

// envelope is the JSON form of a command.
type envelope struct {
	Command        string         `json:"command"`
	Payload        jsontext.Value `json:"payload,omitzero"`
	IdempotencyKey Key            `json:"idempotency_key,omitzero"`
	KeySince       Stamp          `json:"key_since,omitzero"`
	Expect         jsontext.Value `json:"expect,omitzero"`
	HLC            Stamp          `json:"hlc,omitzero"`
	Signer         Key            `json:"signer,omitzero"`
	Signature      base64Text     `json:"signature,omitzero"`
	WindowID       Key            `json:"window_id,omitzero"`
	InputsHash     Hash           `json:"inputs_hash,omitzero"`
	Evidence       noun.Refs      `json:"evidence,omitzero"`
}

// expectEnvelope is the JSON form of Expect. It keeps apart members that are
// absent and members that are zero: index 0, an empty hash and a hash of zeros
// are valid, an empty path is not.
type expectEnvelope struct {
	StateHash jsontext.Value `json:"state_hash,omitzero"`
	Chain     jsontext.Value `json:"chain,omitzero"`
	Index     jsontext.Value `json:"index,omitzero"`
	Path      jsontext.Value `json:"path,omitzero"`
	Hash      jsontext.Value `json:"hash,omitzero"`
}

// DecodeRequest decodes the JSON form of a command, strictly. It fails with
// MalformedRequest, whose pointers are relative to the root of raw. The payload
// becomes canonical, but is not yet checked against the command.
func DecodeRequest(raw []byte) (Request, error) {
	r, err := decodeCommand(raw)
	r.forCaller()
	return r, err
}

// canonical is a payload that is canonical already.
type canonical jsontext.Value

// forCaller gives a payload that is canonical the type that callers know.
func (r *Request) forCaller() {
	if p, ok := r.Payload.(canonical); ok {
		r.Payload = jsontext.Value(p)
	}
}

// decodeCommand is DecodeRequest, but marks the payload as canonical.
func decodeCommand(raw []byte) (Request, error) {
	if isShallow(raw) {
		if r, err := decodeEnvelope(raw); err == nil {
			return r, nil
		}
	}
	// Bad syntax is refused before bad members, wherever it is.
	canonical, err := canon.Canonicalize(raw)
	if err != nil {
		return Request{}, Errorf(MalformedRequest, "the body is not strict JSON: %w", err)
	}
	return decodeEnvelope(canonical)
}

// isShallow reports whether raw has so few brackets that it is not too deep.
func isShallow(raw []byte) bool {
	return bytes.Count(raw, []byte("{"))+bytes.Count(raw, []byte("[")) <= canon.MaxDepth
}

// DecodeBatch decodes the JSON array of an atomic batch, each element like
// DecodeRequest. It fails with TooLarge if there are more than 1000 commands,
// or if one has more than 1 000 000 bytes.
func DecodeBatch(raw []byte) ([]Request, error) {
	rs, err := decodeBatch(raw)
	for i := range rs {
		rs[i].forCaller()
	}
	return rs, err
}

// decodeBatch is DecodeBatch, but marks the payloads as canonical.
func decodeBatch(raw []byte) ([]Request, error) {
	canonical, err := canon.Canonicalize(raw)
	if err != nil {
		return nil, Errorf(MalformedRequest, "the body is not strict JSON: %w", err)
	}
	if canonical[0] != '[' {
		return nil, Errorf(MalformedRequest, "a batch is a JSON array of commands")
	}
	if err := checkSizes(raw); err != nil {
		return nil, err
	}
	var rs []Request
	for i, v := range elements(canonical) {
		r, err := decodeEnvelope(bytes.Clone(v))
		if err != nil {
			return nil, batchError(i, asError(err, MalformedRequest))
		}
		rs = append(rs, r)
	}
	return rs, nil
}

// checkSizes refuses a batch that has too many commands, or one that is too
// large as it was sent.
func checkSizes(raw []byte) error {
	n := 0
	for i, v := range elements(raw) {
		if n = i + 1; len(v) > commandMaxBytes {
			return batchError(i, commandTooLarge())
		}
	}
	if n > batchMaxCommands {
		return batchTooLong(n)
	}
	return nil
}

func commandTooLarge() *Error {
	return Errorf(TooLarge, "a command may have at most %d bytes: make it smaller, or split it into several", commandMaxBytes)
}

func batchTooLong(n int) *Error {
	return Errorf(TooLarge, "a batch may have 1 to %d commands, this one has %d: split it", batchMaxCommands, n)
}

// elements yields the elements of a JSON array. Each is valid until the next.
func elements(array []byte) iter.Seq2[int, jsontext.Value] {
	return func(yield func(int, jsontext.Value) bool) {
		d := jsontext.NewDecoder(bytes.NewBuffer(array))
		_, err := d.ReadToken()
		for i := 0; err == nil && d.PeekKind() != ']'; i++ {
			var v jsontext.Value
			if v, err = d.ReadValue(); err != nil || !yield(i, v) {
				return
			}
		}
	}
}

// envelopes holds zero envelopes: a decoder gets one by a pointer, so each would be
// an allocation.
var envelopes = sync.Pool{New: func() any { return new(envelope) }}

func decodeEnvelope(raw []byte) (Request, error) {
	e := envelopes.Get().(*envelope)
	defer func() {
		*e = envelope{}
		envelopes.Put(e)
	}()
	if errs := canon.Of[envelope]().Decode(raw, e, canon.Full); errs != nil {
		return Request{}, malformed(errs, "")
	}
	r := Request{
		Command: e.Command, Payload: canonical(e.Payload),
		IdempotencyKey: string(e.IdempotencyKey), KeySince: e.KeySince, HLC: e.HLC,
		Signer: string(e.Signer), Signature: string(e.Signature), WindowID: string(e.WindowID),
		InputsHash: e.InputsHash, Evidence: e.Evidence,
	}
	if e.Expect != nil {
		var err error
		if r.Expect, err = decodeExpect(e.Expect, "/expect"); err != nil {
			return Request{}, err
		}
	}
	return r, nil
}

func decodeExpect(raw jsontext.Value, at string) (Expect, error) {
	var e expectEnvelope
	if errs := canon.Of[expectEnvelope]().Decode(raw, &e, canon.Full); errs != nil {
		return Expect{}, malformed(errs, at)
	}
	wrong := func(pointer, detail string) (Expect, error) {
		return Expect{}, malformed([]FieldError{{Pointer: pointer, Detail: detail}}, at)
	}
	var x Expect
	for _, h := range []struct {
		pointer string
		raw     jsontext.Value
		to      **Hash
	}{{"/state_hash", e.StateHash, &x.StateHash}, {"/chain", e.Chain, &x.Chain}} {
		if h.raw == nil {
			continue
		}
		hash, err := unquoteHash(h.raw)
		if err != nil {
			return wrong(h.pointer, "must be 64 lower-case hex digits")
		}
		*h.to = &hash
	}
	if e.Index != nil {
		n, err := strconv.ParseUint(string(e.Index), 10, 53)
		if err != nil {
			return wrong("/index", "must be an index: an integer from 0")
		}
		x.Index = &n
	}
	if (e.Path != nil) != (e.Hash != nil) {
		return wrong("", "must have path and hash together")
	}
	if e.Path != nil {
		path, err := jsontext.AppendUnquote(nil, e.Path)
		if err != nil || len(path) == 0 {
			return wrong("/path", "must be the JSON Pointer of a row, as /domain/table/key")
		}
		x.Path = string(path)
	}
	if e.Hash != nil {
		var ok bool
		if x.Hash, ok = hashOrEmpty(e.Hash); !ok {
			return wrong("/hash", "must be 64 lower-case hex digits, or empty if the row must not exist")
		}
	}
	if x.isZero() {
		return wrong("", "must have state_hash, chain, index, or path with hash")
	}
	return x, nil
}

func (x Expect) clone() Expect {
	x.StateHash, x.Chain, x.Index = cloned(x.StateHash), cloned(x.Chain), cloned(x.Index)
	return x
}

func cloned[T any](p *T) *T {
	if p == nil {
		return nil
	}
	return new(*p)
}

func hashOrEmpty(raw jsontext.Value) (string, bool) {
	if string(raw) == `""` {
		return "", true
	}
	hash, err := unquoteHash(raw)
	return hash.String(), err == nil
}

func unquoteHash(raw jsontext.Value) (Hash, error) {
	s, err := jsontext.AppendUnquote(nil, raw)
	if err != nil {
		return Hash{}, err
	}
	return ParseHash(string(s))
}

// encode returns the JSON form, or nil for a zero Expect.
func (x Expect) encode() jsontext.Value {
	if x.isZero() {
		return nil
	}
	var e expectEnvelope
	if x.StateHash != nil {
		e.StateHash = canon.AppendString(nil, x.StateHash.String())
	}
	if x.Chain != nil {
		e.Chain = canon.AppendString(nil, x.Chain.String())
	}
	if x.Index != nil {
		e.Index = jsontext.Value(strconv.FormatUint(*x.Index, 10))
	}
	if x.Path != "" {
		e.Path = canon.AppendString(nil, x.Path)
		e.Hash = canon.AppendString(nil, x.Hash)
	}
	return canon.Of[expectEnvelope]().Append(nil, &e, canon.Full)
}

// checkForms checks the members of a request that was made in Go, as decoding
// checks those of JSON.
func (r Request) checkForms() error {
	if err := cmp.Or(
		checkForm("idempotency_key", r.IdempotencyKey != "", Key(r.IdempotencyKey)),
		checkForm("signer", r.Signer != "", Key(r.Signer)),
		checkForm("signature", r.Signature != "", base64Text(r.Signature)),
		checkForm("window_id", r.WindowID != "", Key(r.WindowID)),
		checkForm("evidence", len(r.Evidence) > 0, r.Evidence),
	); err != nil {
		return err
	}
	for i, ref := range r.Evidence {
		if err := ref.Validate(); err != nil {
			return malformed([]FieldError{{Pointer: fmt.Sprintf("/evidence/%d", i), Detail: err.Error()}}, "")
		}
	}
	if !utf8.ValidString(r.Actor) {
		return malformed([]FieldError{{Pointer: "/actor", Detail: "must be UTF-8"}}, "")
	}
	for _, t := range []struct {
		name  string
		stamp Stamp
	}{{"hlc", r.HLC}, {"key_since", r.KeySince}} {
		if t.stamp != (Stamp{}) {
			if _, err := ParseStamp(t.stamp.String()); err != nil || t.stamp.WallMS > maxWallMS {
				return malformed([]FieldError{{Pointer: "/" + t.name, Detail: "must be an hlc"}}, "")
			}
		}
	}
	return nil
}

func checkForm[N Validator](name string, given bool, noun N) error {
	if given {
		if err := noun.Validate(); err != nil {
			return malformed([]FieldError{{Pointer: "/" + name, Detail: err.Error()}}, "")
		}
	}
	return nil
}

// checkExpect returns an error if x cannot be met: its path is not a row's, or
// its hash is not a hash.
func (cat *catalogue) checkExpect(x Expect) error {
	if x.Path == "" && x.Hash == "" {
		return nil
	}
	if x.Hash != "" {
		if _, err := ParseHash(x.Hash); err != nil {
			return malformed([]FieldError{{Pointer: "/expect/hash", Detail: err.Error()}}, "")
		}
	}
	domain, table, _, err := parseRowPath(x.Path)
	if err == nil && !slices.Contains(cat.tables, "/"+domain+"/"+table) {
		err = fmt.Errorf("must be the path of a row: there is no table /%s/%s", domain, table)
	}
	if err != nil {
		return malformed([]FieldError{{Pointer: "/expect/path", Detail: err.Error()}}, "")
	}
	return nil
}
