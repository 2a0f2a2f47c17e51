package swooshtest

import (
	"cmp"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"regexp"
	"strings"
	"testing"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"github.com/stretchr/testify/require"

	"github.com/chorus-services/swoosh"
)

// Key returns the key that tests use for a name, always the same one: its seed is the
// SHA-256 of the name.
func Key(name string) ed25519.PrivateKey {
	seed := sha256.Sum256([]byte(name))
	return ed25519.NewKeyFromSeed(seed[:])
}

// PublicKey returns the public part of Key, as 64 lower-case hex digits.
func PublicKey(name string) string {
	return hex.EncodeToString(Key(name).Public().(ed25519.PublicKey))
}

// Sign returns a request with the signature of a signer over what the request says, for
// the engine's log as it is now. It does not sign for batches.
func Sign(t testing.TB, e *swoosh.Engine, key ed25519.PrivateKey, signer string, r swoosh.Request) swoosh.Request {
	t.Helper()
	payload, err := json.Marshal(r.Payload)
	switch given := r.Payload.(type) {
	case []byte:
		payload, err = given, nil
	case jsontext.Value:
		payload, err = given, nil
	}
	require.NoError(t, err)
	canonical := jsontext.Value(cmp.Or(string(payload), "{}"))
	require.NoError(t, canonical.Canonicalize())
	x := swoosh.Entry{
		Command: r.Command, Payload: canonical, Signer: signer,
		IdempotencyKey: r.IdempotencyKey, KeySince: r.KeySince, WindowID: r.WindowID, InputsHash: r.InputsHash, Evidence: r.Evidence,
	}
	r.Signer = signer
	r.Signature = base64.StdEncoding.EncodeToString(ed25519.Sign(key, x.SignedContent(e.View().Hub(), nil)))
	return r
}

var testKey = regexp.MustCompile(`\$key\(([^)]+)\)`)

// expand replaces each $key(NAME) of a scenario by the public key.
func expand(text string) string {
	return testKey.ReplaceAllStringFunc(text, func(key string) string { return PublicKey(testKey.FindStringSubmatch(key)[1]) })
}

// sign returns a command of a scenario. by is SIGNER, SIGNER/KEY or /KEY.
func (s *scenario) sign(t *testing.T, by, command, payload string) swoosh.Request {
	signer, name, other := strings.Cut(by, "/")
	if !other {
		name = signer
	}
	s.signed++
	r := swoosh.Request{Command: command, Payload: jsontext.Value(payload), IdempotencyKey: fmt.Sprintf("signed-%d", s.signed)}
	if v := s.engine.View(); v.Index() > 0 {
		r.KeySince = v.At()
	}
	return Sign(t, s.engine, Key(name), cmp.Or(signer, PublicKey(name)), r)
}
