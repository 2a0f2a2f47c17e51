package swoosh

import (
	"cmp"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/chorus-services/swoosh/internal/canon"
	"github.com/chorus-services/swoosh/noun"
)

// Request is a command with its envelope. Only Command is required.
type Request struct {
	Command string
	// Payload is a value of the command's payload type, or its JSON as []byte,
	// json.RawMessage or jsontext.Value; nil means {}. Submit applies a copy,
	// never the caller's value.
	Payload any

	IdempotencyKey string // 1 to 255 characters from ! to ~ without " and \; empty: none
	KeySince       Stamp  // the newest stamp the caller knew when it made the key; zero: none
	Expect         Expect
	HLC            Stamp // the entry's stamp is later than it; zero: none

	Actor      string    // the authenticated caller; empty: unknown
	Signer     string    // same form as a key
	Signature  string    // base64
	WindowID   string    // same form as a key
	InputsHash Hash      // zero: none
	Evidence   noun.Refs // empty: none
}

// Expect lists what must hold of the state for a command to be applied. Nil or
// empty members are not checked.
type Expect struct {
	StateHash *Hash
	Chain     *Hash   // of the last entry: no other log has it
	Index     *uint64 // of the last entry
	Path      string  // JSON Pointer of a table's row
	Hash      string  // SHA-256 of the canonical JSON of the row at Path; empty: there must be no such row
}

func (x Expect) isZero() bool { return x == Expect{} }

// Result is the answer to an accepted command.
type Result struct {
	Index     uint64 `json:"index"` // of the command's entry
	HLC       Stamp  `json:"hlc"`
	StateHash Hash   `json:"state_hash"` // after the command
	Changed   bool   `json:"changed"`    // false: accepted, but the state is the same
	Duplicate bool   `json:"duplicate"`  // the key was known; this repeats the first answer

	// Result is what the command answered, canonical; nil if it is no Answerer.
	Result jsontext.Value `json:"result,omitzero"`
}

// Key is the form of an idempotency key: 1 to 255 characters from ! to ~
// without " and \.
type Key string

// Validate returns an error if k does not have this form. The error's text
// follows the name of the member.
func (k Key) Validate() error {
	if len(k) < 1 || len(k) > 255 {
		return fmt.Errorf("must have 1 to 255 characters, not %d", len(k))
	}
	for _, c := range k {
		if c < '!' || c > '~' || c == '"' || c == '\\' {
			return fmt.Errorf("must be characters from ! to ~ without \" and \\, not %q", c)
		}
	}
	return nil
}

type base64Text string

func (s base64Text) Validate() error {
	_, err := base64.StdEncoding.DecodeString(string(s))
	if err != nil || s == "" || strings.ContainsAny(string(s), "\r\n") { // Go's decoder ignores line ends.
		return errors.New("must be base64 (RFC 4648), padded and not empty")
	}
	return nil
}

// Guard is a predicate that may look at the world, such as a quota service. It is
// called on the caller's goroutine, before the writer, so it may do I/O and may be
// slow. The state that it reads may have changed by the time the command is reduced,
// so Check must read it again.
type Guard interface {
	// Name is 1 to 63 characters of a-z, 0-9 and dash.
	Name() string
	// Judge returns its verdicts, which the entry keeps; none where it has nothing to
	// say. The request's Payload is a value of the command's payload type. Its Signer may
	// be a claim; that of v.Command() is proven. ctx ends when the caller waits no longer,
	// or the engine stops.
	Judge(ctx context.Context, r Request, v View) []Verdict
}

// maxReason limits a guard's reason in an entry, in bytes.
const maxReason = 1024

// judged is called with what a guard said, and how long it took.
type judged func(guard string, said []Verdict, took time.Duration)

// askGuards has the guards judge the commands of a submission.
func askGuards(ctx context.Context, calls []*call, guards []Guard, v View, tell judged) (err *Error) {
	defer caught("a guard", &err)
	for _, c := range calls {
		if err := c.judge(ctx, guards, v, tell); err != nil {
			return err
		}
	}
	return nil
}

// judge calls all guards. The writer enforces their verdicts, after it has
// looked up the key.
func (c *call) judge(ctx context.Context, guards []Guard, v View, tell judged) *Error {
	c.verdicts = nil
	if len(guards) == 0 || c.forged != nil || c.cmd.Unguarded {
		return nil
	}
	r, by := c.req, c.by
	v.by = &by
	r.Payload = reflect.ValueOf(c.value).Elem().Interface()
	for _, g := range guards {
		start := time.Now()
		said := slices.Clone(g.Judge(ctx, r, v))
		for i := range said {
			said[i].Guard = cmp.Or(said[i].Guard, g.Name())
			if CheckNodeID(said[i].Guard) != nil {
				return Errorf(Internal, "the guard %s gives a verdict the name %s: a name is 1 to 63 characters of a-z, 0-9 and dash", g.Name(), canon.Quote(said[i].Guard))
			}
			reason := said[i].Reason
			said[i].Reason = strings.ToValidUTF8(reason[:min(len(reason), maxReason)], "�")
		}
		if len(said) > 0 {
			tell(g.Name(), said, time.Since(start))
		}
		c.verdicts = append(c.verdicts, said...)
	}
	return nil
}

// call is a request ready for the writer: its command is found, its payload
// decoded, its guards called.
type call struct {
	cmd      *command
	value    any            // a pointer to a cmd.payload
	payload  jsontext.Value // canonical
	req      Request
	by       Command // what rules see of it
	verdicts []Verdict
	size     int            // an upper bound of its entry's size, in bytes
	changed  bool           // written by run
	result   jsontext.Value // likewise; nil: none

	forged *Error        // what is wrong with its signature
	took   time.Duration // to check it; 0: there is none
	key    string        // of who signed it, as hex; empty: nobody did
	hub    Hash          // that it is signed for
}

// catalogue holds every command of the domains, by name.
type catalogue struct {
	byName map[string]*command
	names  []string // in the order of the parts
	tables []string // JSON Pointers
	kinds  []Kind   // the domains' own

	signers bool // whether a domain knows who may sign
}

func newCatalogue(defs []*definition) (*catalogue, error) {
	cat := &catalogue{byName: map[string]*command{}, tables: tablePointers(defs)}
	for _, d := range defs {
		var err error
		if cat.kinds, err = addOwn(cat.kinds, d.kinds); err != nil {
			return nil, fmt.Errorf("swoosh: domain %s and one before it: %w", d.name, err)
		}
		if d.signers != nil && cat.signers {
			return nil, fmt.Errorf("swoosh: domain %s and one before it both have a rule of Signers: an engine takes one", d.name)
		}
		cat.signers = cat.signers || d.signers != nil
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

// compile collects the definitions and the commands of the domains.
func compile(parts []Part) ([]*definition, *catalogue, error) {
	if len(parts) == 0 {
		return nil, nil, errors.New("swoosh: there is no domain: pass at least one")
	}
	var defs []*definition
	for i, p := range parts {
		for _, q := range parts[:i] {
			if p.Name() == q.Name() {
				return nil, nil, fmt.Errorf("swoosh: domain %s was passed twice", p.Name())
			}
		}
		defs = append(defs, p.definition())
	}
	cat, err := newCatalogue(defs)
	return defs, cat, err
}

// Describe returns the declared commands of domains, in order.
func Describe(parts ...Part) []CommandInfo {
	var all []CommandInfo
	for _, p := range parts {
		for _, c := range p.definition().commands {
			all = append(all, c.CommandInfo)
		}
	}
	return all
}

func (cat *catalogue) find(name string) (*command, error) {
	if c := cat.byName[name]; c != nil {
		return c, nil
	}
	hint := "GET /commands lists them all"
	if near := canon.Nearest(name, cat.names); near != "" {
		hint = fmt.Sprintf("did you mean %s? %s", near, hint)
	}
	return nil, Errorf(UnknownCommand, "there is no command %s: %s", canon.Quote(name), hint)
}

// permit returns an error if the caller may not send the command, given whether it has
// a signature that will be checked; nil permits everything. The engine knows no callers,
// so the API passes it in.
type permit func(c CommandInfo, signed bool) error

// prepareSafely is prepare, with panics in a domain's code turned into errors.
func (cat *catalogue) prepareSafely(r Request, may permit) (c *call, err *Error) {
	defer caught(r.Command, &err)
	c, refused := cat.prepare(r, may)
	if refused != nil {
		return nil, asError(refused, Internal)
	}
	return c, nil
}

// prepare looks up a request's command and decodes its payload. Pointers in its
// errors are relative to the root of the envelope.
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
		if err := may(cmd.CommandInfo, cat.signers && r.Signature != ""); err != nil {
			return nil, err
		}
	}
	if r.Signature != "" && cat.signers && cmd.Signed == "" {
		return nil, Errorf(Forbidden, "%s takes no signature: send it without, as a caller who may", r.Command)
	}
	payload, err := rawPayload(cmd, r.Payload)
	if err != nil {
		return nil, err
	}
	value, errs := cmd.decode(payload)
	if errs != nil {
		return nil, errs
	}
	r.Evidence, r.Expect = slices.Clone(r.Evidence), r.Expect.clone() // The caller still owns the originals.
	c := &call{cmd: cmd, value: value, payload: payload, req: r}
	c.by = Command{Name: cmd.Name, Domain: cmd.Domain, Window: r.WindowID, Key: r.IdempotencyKey, KeySince: r.KeySince, payload: payload}
	c.size = len(payload) + len(r.Command) + entryOverhead
	for _, ref := range r.Evidence {
		c.size += len(ref) + 3
	}
	if c.size += len(r.Signature); c.size > maxEntryBytes {
		return nil, entryTooLarge(r.Command, c.size)
	}
	return c, nil
}

func entryTooLarge(command string, size int) *Error {
	return Errorf(TooLarge, "%s takes %d bytes in the log, but at most %d fit: make it smaller or split it into several commands", command, size, maxEntryBytes)
}

// decode reads a payload, validates it, and returns a pointer to it.
func (c *command) decode(payload jsontext.Value) (any, *Error) {
	p := reflect.New(c.payload)
	if errs := c.codec.Decode(payload, p.Elem(), canon.Full); errs != nil {
		return nil, invalidPayload(errs)
	}
	value := p.Interface()
	if v, ok := value.(Validator); ok {
		if errs := faultsOf(v.Validate()); errs != nil {
			return nil, invalidPayload(errs)
		}
	}
	return value, nil
}

// decodeLogged is decode for an entry: other rules may have validated it.
func (c *command) decodeLogged(payload jsontext.Value) (any, *Error) {
	p := reflect.New(c.payload)
	if errs := c.codec.Decode(payload, p.Elem(), canon.Logged); errs != nil {
		return nil, invalidPayload(errs)
	}
	return p.Interface(), nil
}

func invalidPayload(errs []FieldError) *Error {
	errs = prefixed(errs, "/payload")
	e := Errorf(InvalidPayload, "%s %s", place(errs[0].Pointer), errs[0].Detail)
	if len(errs) > 1 {
		e.Detail += fmt.Sprintf(" (and %d more)", len(errs)-1)
	}
	e.Errors = errs
	return e
}

// rawPayload returns the canonical JSON of a request's payload.
func rawPayload(cmd *command, payload any) (jsontext.Value, error) {
	var raw []byte
	switch p := payload.(type) {
	case nil:
		raw = []byte("{}")
	case canonical:
		if len(p) > 0 {
			return jsontext.Value(p), nil
		}
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
	strict, err := canon.Canonicalize(raw)
	if err != nil {
		return nil, Errorf(MalformedRequest, "the payload is not strict JSON: %w", err)
	}
	return strict, nil
}

// sameContent compares what a key stands for: command, payload, signer,
// window_id, inputs_hash and evidence.
func (x *Entry) sameContent(c *call) bool {
	r := &c.req
	return x.Command == c.cmd.Name && string(x.Payload) == string(c.payload) &&
		x.Signer == r.Signer && x.WindowID == r.WindowID && x.InputsHash == r.InputsHash &&
		slices.Equal(x.Evidence, r.Evidence)
}
