package client

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strconv"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// envelope is a command's JSON form.
type envelope struct {
	Command    string          `json:"command"`
	Payload    jsontext.Value  `json:"payload,omitzero"`
	Key        string          `json:"idempotency_key,omitzero"`
	KeySince   string          `json:"key_since,omitzero"`
	Expect     *expectEnvelope `json:"expect,omitzero"`
	After      string          `json:"hlc,omitzero"`
	Signer     string          `json:"signer,omitzero"`
	Signature  string          `json:"signature,omitzero"`
	WindowID   string          `json:"window_id,omitzero"`
	InputsHash string          `json:"inputs_hash,omitzero"`
	Evidence   []string        `json:"evidence,omitempty"`
}

// expectEnvelope is Expect's JSON form. An empty hash is encoded if there is a
// path.
type expectEnvelope struct {
	StateHash string  `json:"state_hash,omitzero"`
	Chain     string  `json:"chain,omitzero"`
	Index     *index  `json:"index,omitzero"`
	Path      string  `json:"path,omitzero"`
	Hash      *string `json:"hash,omitzero"`
}

// index is an integer in any form that JSON allows, such as 7.0.
type index uint64

// UnmarshalJSON fails unless raw is an integer.
func (i *index) UnmarshalJSON(raw []byte) error {
	number := jsontext.Value(raw).Clone()
	if err := number.Canonicalize(); err != nil {
		return err
	}
	n, err := strconv.ParseUint(string(number), 10, 53)
	*i = index(n)
	return err
}

// MarshalJSON returns the form that POST /command accepts, on one line. It
// fails with an *Error: InvalidPayload or MalformedRequest.
func (command Command) MarshalJSON() ([]byte, error) {
	e, err := command.envelope()
	if err != nil {
		return nil, err
	}
	raw, err := json.Marshal(e)
	if err != nil {
		return nil, failure(MalformedRequest, No, err, "the command %q cannot be encoded: %v", command.Name, err)
	}
	return raw, nil
}

// envelope returns what MarshalJSON encodes.
func (command Command) envelope() (e envelope, err error) {
	e = envelope{
		Command: command.Name, Key: command.Key, KeySince: command.KeySince, After: command.After,
		Signer: command.Signer, Signature: command.Signature, WindowID: command.WindowID, InputsHash: command.InputsHash, Evidence: command.Evidence,
	}
	if x := command.Expect; x != nil {
		e.Expect = &expectEnvelope{StateHash: x.StateHash, Chain: x.Chain, Index: (*index)(x.Index), Path: x.Path}
		if x.Path != "" || x.Hash != "" {
			e.Expect.Hash = &x.Hash
		}
	}
	if e.Payload, err = encodePayload(command.Payload); err != nil {
		err = failure(InvalidPayload, No, err, "the payload of %s cannot be encoded: %v", command.Name, err)
	}
	return e, err
}

// encodePayload returns a payload as one line of JSON. Existing JSON is copied
// without white space; the server checks it.
func encodePayload(payload any) (jsontext.Value, error) {
	var raw jsontext.Value
	switch p := payload.(type) {
	case nil:
		return nil, nil
	case []byte:
		raw = bytes.Clone(p)
	default:
		var err error
		if raw, err = json.Marshal(payload); err != nil {
			return nil, err
		}
	}
	return raw, raw.Compact()
}

// UnmarshalJSON decodes the form that POST /command accepts, as strictly as the
// server: unknown, null, empty or duplicate members are errors. Payload becomes
// a jsontext.Value.
func (command *Command) UnmarshalJSON(raw []byte) error {
	var e envelope
	if err := refuseEmpty(raw, ""); err != nil {
		return err
	}
	if err := json.Unmarshal(raw, &e, json.RejectUnknownMembers(true)); err != nil {
		return err
	}
	*command = Command{
		Name: e.Command, Key: e.Key, KeySince: e.KeySince, After: e.After,
		Signer: e.Signer, Signature: e.Signature, WindowID: e.WindowID, InputsHash: e.InputsHash, Evidence: e.Evidence,
	}
	if e.Payload != nil {
		command.Payload = e.Payload.Clone()
	}
	if x := e.Expect; x != nil {
		if (x.Path == "") != (x.Hash == nil) {
			return errors.New("/expect must have path and hash together")
		}
		command.Expect = &Expect{StateHash: x.StateHash, Chain: x.Chain, Index: (*uint64)(x.Index), Path: x.Path}
		if x.Hash != nil {
			command.Expect.Hash = *x.Hash
		}
	}
	return nil
}

// mayBeEmpty lists the members for which empty has a meaning, or means the same
// as absent to the server.
var mayBeEmpty = []string{"/command", "/expect/hash"}

// refuseEmpty returns an error if members of an object, or of its expect, are
// null or empty. Encoding the command would drop them, and with them their
// meaning.
func refuseEmpty(raw jsontext.Value, at string) error {
	var members map[string]jsontext.Value
	if err := json.Unmarshal(raw, &members); err != nil {
		return err
	}
	if _, isNamed := members["command"]; !isNamed && at == "" {
		return errors.New("/command is required")
	}
	for name, value := range members {
		pointer := at + "/" + name
		switch {
		case pointer == "/payload": // The server checks it.
		case value.Kind() == 'n':
			return fmt.Errorf("%s is null: leave it out", pointer)
		case isEmpty(value) && !slices.Contains(mayBeEmpty, pointer):
			return fmt.Errorf("%s is empty: leave it out", pointer)
		case pointer == "/expect" && value.Kind() == '{':
			if err := refuseEmpty(value, pointer); err != nil {
				return err
			}
		}
	}
	return nil
}

// isEmpty reports whether value is an empty string or array.
func isEmpty(value jsontext.Value) bool {
	return string(value) == `""` || value.Kind() == '[' && len(bytes.TrimSpace(value[1:len(value)-1])) == 0
}
