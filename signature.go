package swoosh

import (
	"cmp"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/chorus-services/swoosh/internal/canon"
	"github.com/chorus-services/swoosh/internal/meter"
	"github.com/chorus-services/swoosh/internal/statehash"
	"github.com/chorus-services/swoosh/noun"
)

// signedContent is what a signature is over, after a line with its purpose.
type signedContent struct {
	Command        string         `json:"command"`
	Payload        jsontext.Value `json:"payload"`
	Signer         string         `json:"signer"`
	Hub            Hash           `json:"hub"`
	IdempotencyKey string         `json:"idempotency_key,omitzero"`
	KeySince       Stamp          `json:"key_since,omitzero"`
	Expect         jsontext.Value `json:"expect,omitzero"`
	WindowID       string         `json:"window_id,omitzero"`
	InputsHash     Hash           `json:"inputs_hash,omitzero"`
	Evidence       noun.Refs      `json:"evidence,omitzero"`
	Batch          batchPlace     `json:"batch,omitzero"`
}

// batchPlace is the place of a signed command in its batch.
type batchPlace struct {
	Count    uint64 `json:"count"`
	Position uint64 `json:"position"` // from 0
}

// SignedContent returns what the signature of an entry is over: "swoosh signed command
// 1", a line feed, and the canonical JSON of command, payload, signer, hub,
// idempotency_key, key_since and, where they are given, expect, window_id, inputs_hash,
// evidence and batch {count, position from 0}.
//
// hub is the log's identity, see Health; zero if the entry is of the submission that
// begins the log. first is the first entry of its batch, whose key stands for all; nil
// outside of batches.
func (x *Entry) SignedContent(hub Hash, first *Entry) []byte {
	c := signedContent{
		Command: x.Command, Payload: x.Payload, Signer: x.Signer, Hub: hub,
		IdempotencyKey: x.IdempotencyKey, KeySince: x.KeySince, Expect: x.Expect,
		WindowID: x.WindowID, InputsHash: x.InputsHash, Evidence: x.Evidence,
	}
	if first != nil {
		c.IdempotencyKey, c.KeySince = first.IdempotencyKey, first.KeySince
		c.Batch = batchPlace{x.Batch.Count, x.Index - x.Batch.First}
	}
	return canon.Of[signedContent]().Append([]byte("swoosh signed command 1\n"), &c, canon.Full)
}

// approvedContent is what those who approve a command say yes to, after a line with its
// purpose.
type approvedContent struct {
	Command        string         `json:"command"`
	Payload        jsontext.Value `json:"payload"`
	IdempotencyKey Key            `json:"idempotency_key,omitzero"`
	KeySince       Stamp          `json:"key_since,omitzero"`
}

func (c *approvedContent) text() []byte {
	return canon.Of[approvedContent]().Append(nil, c, canon.Full)
}

// Content returns the hash of what the command does, and does once: SHA-256 of "swoosh
// approval 1", a line feed, and the canonical JSON of command, payload, idempotency_key
// and key_since, the last two where they are given. Who approved that has approved this
// one command.
func (c Command) Content() Hash {
	content := approvedContent{c.Name, c.payload, Key(c.Key), c.KeySince}
	return sha256.Sum256(append([]byte("swoosh approval 1\n"), content.text()...))
}

// ParseContent returns the command that a text describes as Content does: the canonical
// JSON of an object with command, payload, idempotency_key and key_since, all of them
// there. Its Content is the hash of the text. What else a Command says is not known, see
// View.Resolve.
func ParseContent(text string) (Command, error) {
	var c approvedContent
	if errs := canon.Of[approvedContent]().Decode([]byte(text), &c, canon.Full); errs != nil {
		return Command{}, fmt.Errorf("must be the JSON of a command, but %s %s", cmp.Or(canon.Short(errs[0].Pointer, placeMost), "it"), errs[0].Detail)
	}
	switch {
	case !commandName.MatchString(c.Command):
		return Command{}, fmt.Errorf("must have the name of a command, not %s", canon.Quote(c.Command))
	case c.IdempotencyKey == "" || c.KeySince.IsZero():
		return Command{}, errors.New("must have idempotency_key and key_since: they make sure that what is approved happens once")
	case c.Payload.Kind() != '{':
		return Command{}, errors.New("must have a payload that is an object")
	case string(c.text()) != text:
		return Command{}, errors.New("must be canonical JSON (RFC 8785): members in order, no spaces, numbers and text in their shortest form")
	}
	return Command{Name: c.Command, Key: string(c.IdempotencyKey), KeySince: c.KeySince, payload: c.Payload}, nil
}

// Resolve returns a command of ParseContent with its domain, and with what its payload is
// about as its scopes. It fails with UnknownCommand if no domain of the state has the
// command, and with InvalidPayload if the payload is wrong.
func (v View) Resolve(c Command) (Command, error) {
	cmd := v.state.command(c.Name)
	if cmd == nil {
		return c, Errorf(UnknownCommand, "there is no command %s: GET /commands lists them all", canon.Quote(c.Name))
	}
	value, err := cmd.decode(c.payload)
	if err != nil {
		return c, err
	}
	c.Domain, c.Scopes = cmd.Domain, nil
	if about, ok := value.(Scoped); ok {
		c.Scopes = about.Scopes()
	}
	return c, nil
}

// HasCommand reports whether a domain of the state has a command.
func (v View) HasCommand(name string) bool { return v.state.command(name) != nil }

// IsAbout reports whether a command has a scope that begins with a prefix, such as
// "project:", whatever its payload is.
func (v View) IsAbout(name, prefix string) bool {
	c := v.state.command(name)
	if c == nil {
		return false
	}
	about, ok := reflect.New(c.payload).Interface().(Scoped)
	return ok && slices.ContainsFunc(about.Scopes(), func(scope string) bool { return strings.HasPrefix(scope, prefix) })
}

// command returns the command of a name; nil: the state's domains have none.
func (s *state) command(name string) *command {
	for _, p := range s.domains {
		for _, c := range p.def.commands {
			if c.Name == name {
				return c
			}
		}
	}
	return nil
}

// Receipt is a server's word on where its log stood at a time, signed with a key that
// only it has. Whoever keeps receipts can show that the log was set back or rewritten
// since: it does not go on from one.
type Receipt struct {
	Hub       Hash      `json:"hub"`   // zeros while the log is empty
	Index     uint64    `json:"index"` // of the last entry, like the next three
	Chain     Hash      `json:"chain"`
	HLC       Stamp     `json:"hlc"`
	StateHash Hash      `json:"state_hash"`
	Time      string    `json:"time"` // by the server's wall clock (RFC 3339, UTC)
	Key       PublicKey `json:"key"`
	Signature string    `json:"signature,omitzero"` // base64, over all the rest
}

// PublicKey is an Ed25519 public key: 64 lower-case hex digits as text.
type PublicKey = statehash.Hash

// receiptKey signs receipts.
type receiptKey struct{ ed25519.PrivateKey }

func (k receiptKey) public() PublicKey { return PublicKey(k.Public().(ed25519.PublicKey)) }

// content returns what the signature is over: "swoosh receipt 1", a line feed, and the
// canonical JSON of all other members.
func (r Receipt) content() []byte {
	r.Signature = ""
	return canon.Of[Receipt]().Append([]byte("swoosh receipt 1\n"), &r, canon.Full)
}

// ParseReceipt reads a receipt, as GET /receipt answers it, and checks its signature
// with the key that it names. Whose key that is must be known from elsewhere.
func ParseReceipt(doc []byte) (r Receipt, err error) {
	if errs := canon.Of[Receipt]().Decode(doc, &r, canon.Full); errs != nil {
		return r, fmt.Errorf("it is no receipt: %w", fieldsError(errs))
	}
	signature, err := base64.StdEncoding.DecodeString(r.Signature)
	if err != nil || !ed25519.Verify(r.Key[:], r.content(), signature) {
		return r, errors.New("its signature is not good: the receipt was altered, or not made with the key that it names")
	}
	return r, nil
}

// checkSignatures checks the signatures of the commands of a submission. The writer
// enforces the outcome, after it has looked up the key.
func checkSignatures(calls []*call, v View) (err *Error) {
	own := v.state.signers()
	if own == nil {
		return nil
	}
	defer caught("the rule of signers", &err)
	entries := make([]*Entry, len(calls))
	for i, c := range calls {
		r := &c.req
		entries[i] = &Entry{
			Index: uint64(i), Command: c.cmd.Name, Payload: c.payload, Signer: r.Signer,
			IdempotencyKey: r.IdempotencyKey, KeySince: r.KeySince, Expect: r.Expect.encode(),
			WindowID: r.WindowID, InputsHash: r.InputsHash, Evidence: r.Evidence,
		}
		first := (*Entry)(nil)
		if c.by.InBatch {
			first, entries[i].Batch.Count = entries[0], uint64(len(calls))
		}
		c.hub = v.state.hub
		if r.Signature != "" {
			start := time.Now()
			c.forged = c.checkSignature(own, entries[i].SignedContent(c.hub, first), &calls[0].req, v.Index() == 0)
			c.took = max(time.Since(start), 1)
		} else if c.cmd.Signed == "must" {
			c.forged = Errorf(BadSignature, "%s must be signed: sign it with the key of who it speaks for", c.cmd.Name)
		}
	}
	return nil
}

// countSignatures counts those that were checked.
func countSignatures(calls []*call, m *meter.Meter) {
	for _, c := range calls {
		if outcome := "bad"; c.took > 0 {
			if c.key != "" {
				outcome = "good"
			}
			m.Signatures.WithLabelValues(outcome).Inc()
			m.SignatureChecks.Observe(c.took.Seconds())
		}
	}
}

// checkSignature checks the signature of one command, and makes its signer known to
// the rules. first is the first request of its submission, and begins says that the
// log is empty.
func (c *call) checkSignature(own *domainState, content []byte, first *Request, begins bool) *Error {
	r := &c.req
	if r.Signer == "" {
		return Errorf(BadSignature, "the command has a signature, but no signer: add the member signer, and sign it too")
	}
	if !c.cmd.fenced && (first.IdempotencyKey == "" || first.KeySince == (Stamp{}) && !begins) {
		return Errorf(BadSignature, "a signed command needs idempotency_key and key_since, both signed: without them whoever sees it could send it again")
	}
	key, ok := own.def.signers.key(own, r.Signer)
	if !ok {
		return Errorf(BadSignature, "%s is no signer here: register it first", canon.Quote(r.Signer))
	}
	public, err := hex.DecodeString(key)
	if err != nil || len(public) != ed25519.PublicKeySize {
		return Errorf(Internal, "domain %s gives %s the key %q: Key must return 64 hex digits", own.def.name, r.Signer, key)
	}
	signature, err := base64.StdEncoding.DecodeString(r.Signature)
	if err != nil || !ed25519.Verify(public, content, signature) {
		return Errorf(BadSignature, "the signature is not one of %s over this command for the hub %s: ask GET /health for hub, and sign again with its current key", canon.Quote(r.Signer), c.hub)
	}
	c.by.Signer, c.key = r.Signer, key
	return nil
}

// signers returns the part of the domain that knows who may sign; nil: none does.
func (s *state) signers() *domainState {
	for _, p := range s.domains {
		if p.def.signers != nil {
			return p
		}
	}
	return nil
}

// admit returns why the signer of a command may not speak now; nil: it may, or there
// is none. The command gets the signer's scopes.
func (s *state) admit(c *call, at Stamp) *Error {
	if c.forged != nil {
		return c.forged
	}
	c.by.Scopes = nil // A command that found no room in its group is asked about again.
	if own := s.signers(); own != nil && c.by.Signer != "" {
		scopes, err := own.def.signers.admit(own, Signed{c.by, c.key}, at)
		if err != nil {
			return own.def.refusal(err)
		}
		c.by.Scopes = scopes
	}
	if about, ok := c.value.(Scoped); ok {
		c.by.Scopes = slices.Concat(c.by.Scopes, about.Scopes()) // The domain may keep its slice.
	}
	return nil
}

// isForOther reports whether a command was signed for another log than that of a hub:
// the log was empty then, for example.
func (c *call) isForOther(hub Hash) bool { return c.key != "" && c.hub != hub }

func errOtherHub(signed, hub Hash) *Error {
	return Errorf(BadSignature, "the command is signed for the hub %s, but this one is %s: sign it again", signed, hub)
}

// command returns what rules see of an entry's command.
func (x *Entry) command(cmd *command) Command {
	c := Command{
		Name: cmd.Name, Domain: cmd.Domain, Window: x.WindowID,
		Key: x.IdempotencyKey, KeySince: x.KeySince, InBatch: x.Batch.Count > 0,
		payload: x.Payload,
	}
	if x.SignerKey != "" {
		c.Signer = x.Signer
	}
	return c
}
