package client

import (
	"context"
	"crypto/ed25519"
	"encoding/base64"
	"encoding/hex"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// Signer signs the commands of a Client.
type Signer struct {
	key  ed25519.PrivateKey
	name string
	hub  string // see For; empty: that of the server
}

// NewSigner returns a signer with a key and the name by which the server knows it, such as
// "n17". It panics if the key has a wrong length.
func NewSigner(key ed25519.PrivateKey, name string) *Signer {
	if len(key) != ed25519.PrivateKeySize {
		panic("client: NewSigner was given something else than an Ed25519 private key")
	}
	return &Signer{key: key, name: name}
}

// PublicKey returns the public half of a key as the hub knows it, 64 lower-case hex digits.
func PublicKey(key ed25519.PrivateKey) string {
	return hex.EncodeToString(key.Public().(ed25519.PublicKey))
}

// For returns a signer that signs for one hub alone, by its identity in Health.Hub. For
// another one at the same address a signature is worth nothing: it refuses commands with
// BadSignature.
func (s *Signer) For(hub string) *Signer { return &Signer{s.key, s.name, hub} }

// signedContent is what a signature is over, after a line with its purpose.
type signedContent struct {
	Command    string          `json:"command"`
	Payload    jsontext.Value  `json:"payload"`
	Signer     string          `json:"signer"`
	Hub        string          `json:"hub"`
	Key        string          `json:"idempotency_key,omitzero"`
	KeySince   string          `json:"key_since,omitzero"`
	Expect     *expectEnvelope `json:"expect,omitzero"`
	WindowID   string          `json:"window_id,omitzero"`
	InputsHash string          `json:"inputs_hash,omitzero"`
	Evidence   []string        `json:"evidence,omitempty"`
	Batch      *batchPlace     `json:"batch,omitzero"`
}

// batchPlace is the place of a command in its batch.
type batchPlace struct {
	Count    int `json:"count"`
	Position int `json:"position"` // from 0
}

// signed returns the command with its signature for a hub. first is the command whose key
// counts, and place nil outside of batches. A command that has a signer or a signature
// stays as it is.
func (s *Signer) signed(command, first Command, hub string, place *batchPlace) (Command, error) {
	if s == nil || command.Signer != "" || command.Signature != "" {
		return command, nil
	}
	e, err := command.envelope()
	if err != nil {
		return command, err
	}
	if e.Payload == nil {
		e.Payload = jsontext.Value("{}")
	}
	content, err := json.Marshal(signedContent{
		Command: e.Command, Payload: e.Payload, Signer: s.name, Hub: hub, Key: first.Key, KeySince: first.KeySince,
		Expect: e.Expect, WindowID: e.WindowID, InputsHash: e.InputsHash, Evidence: e.Evidence, Batch: place,
	})
	canonical := jsontext.Value(content)
	if err == nil {
		err = canonical.Canonicalize()
	}
	if err != nil {
		return command, failure(MalformedRequest, No, err, "the command %q cannot be signed: %v", command.Name, err)
	}
	command.Signer = s.name
	command.Signature = base64.StdEncoding.EncodeToString(ed25519.Sign(s.key, append([]byte("swoosh signed command 1\n"), canonical...)))
	return command, nil
}

// signing calls send with the hub to sign for, and once more if the server has another
// one than the client thought: it began its log meanwhile, or another server has taken its
// place. Without a signer, hub is empty.
func (c *Client) signing(ctx context.Context, send func(hub string) error) error {
	if c.signer == nil {
		return send("")
	}
	if c.signer.hub != "" {
		return send(c.signer.hub)
	}
	c.mu.Lock()
	hub := c.hub
	c.mu.Unlock()
	if hub == "" {
		var err error
		if hub, err = c.askHub(ctx); err != nil {
			return err
		}
	}
	err := send(hub)
	if !IsCode(err, BadSignature) {
		return err
	}
	now, asking := c.askHub(ctx)
	if asking != nil || now == hub {
		return err
	}
	return send(now)
}

// askHub asks the server for its log's identity, and keeps it unless the log is empty.
func (c *Client) askHub(ctx context.Context) (hub string, err error) {
	err = c.again(ctx, func() error {
		h, err := c.Health(ctx)
		if hub = h.Hub; err == nil && hub == "" {
			return failure(Starting, No, nil, "the server is starting, so it does not say yet for which hub to sign")
		}
		return err
	})
	if err == nil && hub != noHub {
		c.mu.Lock()
		c.hub = hub
		c.mu.Unlock()
	}
	return hub, err
}

// noHub is the identity of an empty log.
const noHub = "0000000000000000000000000000000000000000000000000000000000000000"
