package swoosh

import (
	"bytes"
	"cmp"
	"encoding/base64"
	"fmt"
	"iter"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/chorus-services/swoosh/internal/canon"
)

// Request is a command as a caller asks for it. Only Command is required.
type Request struct {
	Command string
	// Payload is the command's payload type, or its JSON as []byte,
	// json.RawMessage or jsontext.Value; nil is {}. It is encoded and decoded
	// again: Submit never applies the caller's value.
	Payload any

	IdempotencyKey string // 1 to 255 characters from ! to ~ without " and \; empty: none
	KeySince       Stamp  // the newest stamp that the caller knew when it made the key; zero: none
	Expect         Expect
	HLC            Stamp // the entry's stamp will be after it; zero: none

	Actor      string // who asks, as the server found out
	Signer     string // has the form of a key
	Signature  string // base64
	WindowID   string // has the form of a key
	InputsHash Hash   // zero: none
	Evidence   Refs   // empty: none
}

// Expect is what must hold of the state for a command to be applied. What is
// nil or empty is not asked.
type Expect struct {
	StateHash *Hash
	Index     *uint64 // of the last entry
	Path      string  // JSON Pointer of a table's row
	Hash      string  // of the canonical JSON of the row at Path; empty: it is not there
}

func (x Expect) isZero() bool { return x == Expect{} }

func (x Expect) clone() Expect {
	if x.StateHash != nil {
		x.StateHash = new(*x.StateHash)
	}
	if x.Index != nil {
		x.Index = new(*x.Index)
	}
	return x
}

// Result is the answer to an accepted command.
type Result struct {
	Index     uint64 `json:"index"` // of its entry
	HLC       Stamp  `json:"hlc"`
	StateHash Hash   `json:"state_hash"` // after it
	Changed   bool   `json:"changed"`    // false: lawful, and altered nothing
	Duplicate bool   `json:"duplicate"`  // the key was known: the first answer
}

// Key is the form of an idempotency key: 1 to 255 characters from ! to ~
// without " and \.
type Key string

// Validate says what is wrong with the form.
func (k Key) Validate() error {
	if len(k) < 1 || len(k) > 255 {
		return fmt.Errorf("must have 1 to 255 characters, not %d", len(k))
	}
	for i := range len(k) {
		if c := k[i]; c < '!' || c > '~' || c == '"' || c == '\\' {
			return fmt.Errorf("must be characters from ! to ~ without \" and \\, not %q", c)
		}
	}
	return nil
}

type base64Text string

func (s base64Text) Validate() error {
	_, err := base64.StdEncoding.DecodeString(string(s))
	if err != nil || s == "" || strings.ContainsAny(string(s), "\r\n") { // Go's decoder passes over line ends.
		return fmt.Errorf("must be base64 (RFC 4648), padded and not empty")
	}
	return nil
}

// envelope is a command's JSON form.
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
	Evidence       Refs           `json:"evidence,omitzero"`
}

// expectEnvelope is Expect's JSON form; index 0, an empty hash and a hash of
// zeros are lawful, so presence is kept.
type expectEnvelope struct {
	StateHash jsontext.Value `json:"state_hash,omitzero"`
	Index     jsontext.Value `json:"index,omitzero"`
	Path      string         `json:"path,omitzero"`
	Hash      jsontext.Value `json:"hash,omitzero"`
}

var (
	envelopeCodec = canon.For(reflect.TypeFor[envelope]())
	expectCodec   = canon.For(reflect.TypeFor[expectEnvelope]())
)

// DecodeRequest reads a command's JSON envelope, strictly: the refusals are
// MalformedRequest, with pointers from the envelope's root. The payload is
// canonical and not yet checked against the command.
func DecodeRequest(raw []byte) (Request, error) {
	canonical, err := canon.Canonicalize(raw)
	if err != nil {
		return Request{}, Errorf(MalformedRequest, "the body is not strict JSON: %w", err)
	}
	return decodeEnvelope(canonical)
}

// DecodeBatch reads the JSON array of an atomic batch, as DecodeRequest does.
// TooLarge are more than 1000 commands, and one of more than 1 000 000 bytes.
func DecodeBatch(raw []byte) ([]Request, error) {
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

// commandMaxBytes bounds a command's JSON.
const commandMaxBytes = 1_000_000

func commandTooLarge() *Error {
	return Errorf(TooLarge, "a command may have at most %d bytes: make it smaller, or split it into several", commandMaxBytes)
}

// checkSizes refuses a batch of too many commands, and one that is too large,
// as it was sent.
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

func batchTooLong(n int) *Error {
	return Errorf(TooLarge, "a batch has 1 to %d commands, this one has %d: split it", batchMaxCommands, n)
}

// elements gives the elements of a JSON array, which is known to be one. Each
// is good until the next.
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

func decodeEnvelope(canonical []byte) (Request, error) {
	var e envelope
	if errs := envelopeCodec.Decode(canonical, reflect.ValueOf(&e).Elem(), canon.Full); errs != nil {
		return Request{}, malformed(errs, "")
	}
	r := Request{
		Command: e.Command, Payload: e.Payload,
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

// theBody is what a detail calls the root of what was sent.
const theBody = "the body"

func malformed(errs []FieldError, at string) *Error {
	e := Errorf(MalformedRequest, "%s %s", cmp.Or(at+errs[0].Pointer, theBody), errs[0].Detail)
	e.Errors = prefixed(errs, at)
	return e
}

// prefixed puts at before every pointer.
func prefixed(errs []FieldError, at string) []FieldError {
	errs = slices.Clone(errs)
	for i := range errs {
		errs[i].Pointer = at + errs[i].Pointer
	}
	return errs
}

func decodeExpect(raw jsontext.Value, at string) (Expect, error) {
	var e expectEnvelope
	if errs := expectCodec.Decode(raw, reflect.ValueOf(&e).Elem(), canon.Full); errs != nil {
		return Expect{}, malformed(errs, at)
	}
	x := Expect{Path: e.Path}
	if e.StateHash != nil {
		hash, err := unquoteHash(e.StateHash)
		if err != nil {
			return Expect{}, malformed([]FieldError{{Pointer: "/state_hash", Detail: "must be 64 lower-case hex digits"}}, at)
		}
		x.StateHash = &hash
	}
	if e.Index != nil {
		n, err := strconv.ParseUint(string(e.Index), 10, 53)
		if err != nil {
			return Expect{}, malformed([]FieldError{{Pointer: "/index", Detail: "must be an index: an integer from 0"}}, at)
		}
		x.Index = &n
	}
	if (e.Path != "") != (e.Hash != nil) {
		return Expect{}, malformed([]FieldError{{Pointer: "", Detail: "must have path and hash together"}}, at)
	}
	if e.Hash != nil {
		var ok bool
		if x.Hash, ok = hashOrEmpty(e.Hash); !ok {
			return Expect{}, malformed([]FieldError{{Pointer: "/hash", Detail: "must be 64 lower-case hex digits, or empty for a row that is not there"}}, at)
		}
	}
	if x.isZero() {
		return Expect{}, malformed([]FieldError{{Pointer: "", Detail: "must have state_hash, index, or path with hash"}}, at)
	}
	return x, nil
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

// encode gives the JSON form, nil for a zero Expect.
func (x Expect) encode() jsontext.Value {
	if x.isZero() {
		return nil
	}
	e := expectEnvelope{Path: x.Path}
	if x.StateHash != nil {
		e.StateHash = canon.AppendString(nil, x.StateHash.String())
	}
	if x.Index != nil {
		e.Index = jsontext.Value(strconv.FormatUint(*x.Index, 10))
	}
	if x.Path != "" {
		e.Hash = canon.AppendString(nil, x.Hash)
	}
	return expectCodec.Append(nil, reflect.ValueOf(&e).Elem(), canon.Full)
}

// call is a request made ready for the writer: looked up, decoded, judged.
type call struct {
	cmd      *command
	value    any            // of cmd.payload
	payload  jsontext.Value // canonical
	req      Request
	verdicts []Verdict
	size     int  // an upper bound of its entry's, in bytes
	changed  bool // written by run
}

// catalogue holds every command of the domains, by name.
type catalogue struct {
	byName map[string]*command
	names  []string // in the order of the parts
	tables []string // JSON Pointers
}

func newCatalogue(defs []*definition) (*catalogue, error) {
	cat := &catalogue{byName: map[string]*command{}, tables: tablePointers(defs)}
	for _, d := range defs {
		for _, c := range d.commands {
			if other := cat.byName[c.Name]; other != nil {
				return nil, fmt.Errorf("swoosh: domains %s and %s both declare %s", other.Domain, d.name, c.Name)
			}
			cat.byName[c.Name] = c
			cat.names = append(cat.names, c.Name)
		}
	}
	return cat, nil
}

func (cat *catalogue) find(name string) (*command, error) {
	if c := cat.byName[name]; c != nil {
		return c, nil
	}
	hint := "GET /commands lists them all"
	if near := canon.Nearest(name, cat.names); near != "" {
		hint = fmt.Sprintf("did you mean %s? %s", near, hint)
	}
	return nil, Errorf(UnknownCommand, "there is no command %s: %s", quote(name), hint)
}

// permit returns an error if a caller may not send a command; nil permits all.
// The engine knows no callers: the API passes it in.
type permit func(CommandInfo) error

// prepare looks a request's command up and decodes its payload. Pointers
// begin at the envelope's root.
func (cat *catalogue) prepare(r Request, may permit) (*call, error) {
	if err := r.checkForms(); err != nil {
		return nil, err
	}
	if err := cat.checkExpect(r.Expect); err != nil {
		return nil, err
	}
	cmd, err := cat.find(r.Command)
	if err != nil {
		return nil, err
	}
	if may != nil {
		if err := may(cmd.CommandInfo); err != nil {
			return nil, err
		}
	}
	payload, err := rawPayload(cmd, r.Payload)
	if err != nil {
		return nil, err
	}
	value, errs := cmd.decode(payload)
	if errs != nil {
		return nil, errs
	}
	r.Evidence, r.Expect = slices.Clone(r.Evidence), r.Expect.clone() // The caller may go on changing what they point to.
	c := &call{cmd: cmd, value: value, payload: payload, req: r}
	c.size = len(payload) + len(r.Command) + entryOverhead
	for _, ref := range r.Evidence {
		c.size += len(ref) + 3
	}
	if c.size += len(r.Signature); c.size > maxEntryBytes {
		return nil, Errorf(TooLarge, "%s takes %d bytes in the log, at most %d fit: make it smaller, or several commands", r.Command, c.size, maxEntryBytes)
	}
	return c, nil
}

// decode reads a payload, and lets it refuse by itself.
func (c *command) decode(payload jsontext.Value) (any, *Error) {
	p := reflect.New(c.payload).Elem()
	if errs := c.codec.Decode(payload, p, canon.Full); errs != nil {
		return nil, invalidPayload(errs)
	}
	value := p.Interface()
	if v, ok := value.(Validator); ok {
		if err := v.Validate(); err != nil {
			if e := asError(err, InvalidPayload); e.Errors != nil {
				return nil, invalidPayload(e.Errors)
			}
			return nil, invalidPayload([]FieldError{{Detail: err.Error()}})
		}
	}
	return value, nil
}

func invalidPayload(errs []FieldError) *Error {
	errs = prefixed(errs, "/payload")
	e := Errorf(InvalidPayload, "%s %s", errs[0].Pointer, errs[0].Detail)
	if len(errs) > 1 {
		e.Detail += fmt.Sprintf(" (and %d more)", len(errs)-1)
	}
	e.Errors = errs
	return e
}

// rawPayload gives the canonical JSON of a request's payload.
func rawPayload(cmd *command, payload any) (jsontext.Value, error) {
	var raw []byte
	switch p := payload.(type) {
	case nil:
		raw = []byte("{}")
	case jsontext.Value:
		raw = p
	case []byte:
		raw = p
	default:
		v := reflect.ValueOf(payload)
		if v.Kind() == reflect.Slice && v.Type().Elem().Kind() == reflect.Uint8 {
			raw = v.Bytes()
			break
		}
		if v.Type() != cmd.payload {
			return nil, Errorf(InvalidPayload, "the payload of %s is %s or JSON, not %T", cmd.Name, cmd.payload, payload)
		}
		return cmd.codec.Append(nil, v, canon.Full), nil
	}
	if len(raw) == 0 {
		raw = []byte("{}")
	}
	canonical, err := canon.Canonicalize(raw)
	if err != nil {
		return nil, Errorf(MalformedRequest, "the payload is not strict JSON: %w", err)
	}
	return canonical, nil
}

// checkForms holds requests made in Go to the forms of the envelope.
func (r Request) checkForms() error {
	e := envelope{
		IdempotencyKey: Key(r.IdempotencyKey), Signer: Key(r.Signer), WindowID: Key(r.WindowID),
		Signature: base64Text(r.Signature), Evidence: r.Evidence,
	}
	for _, f := range []struct {
		name  string
		given bool
		noun  Validator
	}{
		{"idempotency_key", r.IdempotencyKey != "", e.IdempotencyKey},
		{"signer", r.Signer != "", e.Signer},
		{"signature", r.Signature != "", e.Signature},
		{"window_id", r.WindowID != "", e.WindowID},
		{"evidence", len(r.Evidence) > 0, e.Evidence},
	} {
		if f.given {
			if err := f.noun.Validate(); err != nil {
				return malformed([]FieldError{{Pointer: "/" + f.name, Detail: err.Error()}}, "")
			}
		}
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

// checkExpect refuses an Expect whose path cannot be a row's.
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
		err = fmt.Errorf("is not a row's: there is no table /%s/%s", domain, table)
	}
	if err != nil {
		return malformed([]FieldError{{Pointer: "/expect/path", Detail: err.Error()}}, "")
	}
	return nil
}
