package fleet

import (
	"crypto/ed25519"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"

	"filippo.io/edwards25519"

	"github.com/chorus-services/swoosh/noun"
)

// NodeID is n and the node's number, from n1 to n4294967295.
type NodeID string

func nodeID(number uint32) NodeID { return NodeID("n" + strconv.FormatUint(uint64(number), 10)) }

// number returns the node's number; 0 if the form is wrong.
func (n NodeID) number() uint32 {
	digits, ok := strings.CutPrefix(string(n), "n")
	number, err := strconv.ParseUint(digits, 10, 32)
	if !ok || err != nil || nodeID(uint32(number)) != n {
		return 0
	}
	return uint32(number)
}

// Validate returns an error if the form is wrong.
func (n NodeID) Validate() error {
	if n.number() == 0 {
		return fmt.Errorf("must be n and a number from 1 to %d without leading zeros, not %.20q", uint32(math.MaxUint32), string(n))
	}
	return nil
}

// Key returns the id itself: a list must not contain it twice.
func (n NodeID) Key() string { return string(n) }

// NodePattern is the regular expression of a NodeID, for the schemas of keys that begin with one.
const NodePattern = `n([1-9][0-9]{0,8}|[1-3][0-9]{9}|4[01][0-9]{8}|42[0-8][0-9]{7}|429[0-3][0-9]{6}|4294[0-8][0-9]{5}|42949[0-5][0-9]{4}|429496[0-6][0-9]{3}|4294967[01][0-9]{2}|42949672[0-8][0-9]|429496729[0-5])`

// JSONSchema returns the form as JSON Schema 2020-12.
func (NodeID) JSONSchema() string {
	return `{"examples":["n1","n2"],"pattern":"^` + NodePattern + `$","type":"string"}`
}

// PublicKey is an Ed25519 public key (RFC 8032), as 64 lower-case hex digits. It is in
// the canonical encoding, and not of small order: with such a key there are signatures
// that are good for every message.
type PublicKey string

// Validate returns an error if the form is wrong.
func (k PublicKey) Validate() error {
	b, err := hex.DecodeString(string(k))
	if err != nil || len(b) != ed25519.PublicKeySize || strings.ToLower(string(k)) != string(k) {
		return errors.New("must be an Ed25519 public key as 64 lower-case hex digits")
	}
	p, err := new(edwards25519.Point).SetBytes(b)
	if err != nil || string(p.Bytes()) != string(b) {
		return errors.New("is not the encoding of an Ed25519 public key")
	}
	if new(edwards25519.Point).MultByCofactor(p).Equal(edwards25519.NewIdentityPoint()) == 1 {
		return errors.New("is an Ed25519 key of small order, for which anybody can make signatures: make another one")
	}
	return nil
}

// JSONSchema returns the form as JSON Schema 2020-12, which cannot say that the key is
// on the curve. Its example is a key that RFC 8032 shows.
func (PublicKey) JSONSchema() string {
	return `{"examples":["d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a"],"pattern":"^[0-9a-f]{64}$","type":"string"}`
}

// verify reports whether a signature is the key's over text.
func (k PublicKey) verify(text string, s Signature) bool {
	key, err := hex.DecodeString(string(k))
	signature, badBase64 := base64.StdEncoding.DecodeString(string(s))
	return err == nil && badBase64 == nil && len(key) == ed25519.PublicKeySize && ed25519.Verify(key, []byte(text), signature)
}

// Signature is an Ed25519 signature (RFC 8032): base64 (RFC 4648) of its 64 bytes.
type Signature string

// Validate returns an error if the form is wrong.
func (s Signature) Validate() error {
	b, err := base64.StdEncoding.Strict().DecodeString(string(s))
	if err != nil || len(b) != ed25519.SignatureSize || strings.ContainsAny(string(s), "\r\n") {
		return errors.New("must be the base64 of the 64 bytes of an Ed25519 signature")
	}
	return nil
}

// JSONSchema returns the form as JSON Schema 2020-12. The last digit before the padding
// has four bits that are zero. Its example is the KeyProof of the examples of NodeID and
// PublicKey, so that that of fleet.rotate_key is good.
func (Signature) JSONSchema() string {
	return `{"examples":["YcZEHFKj87y2J7xOg0kENtaRflCLpCqdkbNs91f+MjVLugxMYMkVjs1EyPyIBpVD7T5s72+hFQrnZkdPwcp6DQ=="],"pattern":"^[A-Za-z0-9+/]{85}[AQgw]==$","type":"string"}`
}

// Hostname is the readable name of a node: an ID that is not localhost, backbone or
// broadcast, and does not look like a NodeID.
type Hostname string

// Validate returns an error if the form is wrong, or the name reserved.
func (h Hostname) Validate() error {
	switch {
	case h == "localhost" || h == "backbone" || h == "broadcast":
		return fmt.Errorf("must not be %s, which is reserved", h)
	case len(h) > 1 && h[0] == 'n' && strings.Trim(string(h[1:]), "0123456789") == "":
		return fmt.Errorf("must not be %.70q, which looks like the id of a node", string(h))
	}
	return noun.ID(h).Validate()
}

// JSONSchema returns the form as JSON Schema 2020-12.
func (Hostname) JSONSchema() string {
	return strings.Replace(noun.ID("").JSONSchema(), "{", `{"not":{"pattern":"^(localhost|backbone|broadcast|n[0-9]+)$"},`, 1)
}

// Session identifies one run of a node's program: an ID of at least 8 characters, new at
// each start.
type Session string

// Validate returns an error if the form is wrong.
func (s Session) Validate() error {
	if len(s) < 8 {
		return fmt.Errorf("must have 8 to 63 characters, not %d", len(s))
	}
	return noun.ID(s).Validate()
}

// JSONSchema returns the form as JSON Schema 2020-12.
func (Session) JSONSchema() string {
	return `{"maxLength":63,"minLength":8,"pattern":"^[a-z0-9]([a-z0-9-]*[a-z0-9])?$","type":"string"}`
}

// Tag is a word about a node: 1 to 32 characters of a-z, 0-9, dash and underscore.
type Tag string

// Validate returns an error if the form is wrong.
func (t Tag) Validate() error {
	if len(t) < 1 || len(t) > 32 || strings.Trim(string(t), "abcdefghijklmnopqrstuvwxyz0123456789-_") != "" {
		return errors.New("must be 1 to 32 characters of a-z, 0-9, dash and underscore")
	}
	return nil
}

// Key returns the tag itself: a list must not contain it twice.
func (t Tag) Key() string { return string(t) }

// JSONSchema returns the form as JSON Schema 2020-12.
func (Tag) JSONSchema() string { return `{"pattern":"^[a-z0-9_-]{1,32}$","type":"string"}` }

// Tags is a list of 1 to 10 tags, without duplicates.
type Tags []Tag

const tagsMax = 10

// Validate returns an error if the list as a whole is wrong.
func (t Tags) Validate() error { return noun.CheckList(t, tagsMax) }

// JSONSchema returns the form as JSON Schema 2020-12.
func (Tags) JSONSchema() string { return noun.ListSchema[Tag](tagsMax) }

// Address is where a node can be reached, such as 10.0.0.7:4000: 1 to 256 characters
// from ! to ~. The fleet keeps it, and does not read it.
type Address string

// Validate returns an error if the form is wrong.
func (a Address) Validate() error { return checkRef(string(a), 256) }

// Key returns the address itself: a list must not contain it twice.
func (a Address) Key() string { return string(a) }

// JSONSchema returns the form as JSON Schema 2020-12.
func (Address) JSONSchema() string { return refSchema(256) }

// Addresses is a list of 1 to 16 addresses, without duplicates.
type Addresses []Address

const addressesMax = 16

// Validate returns an error if the list as a whole is wrong.
func (a Addresses) Validate() error { return noun.CheckList(a, addressesMax) }

// JSONSchema returns the form as JSON Schema 2020-12.
func (Addresses) JSONSchema() string { return noun.ListSchema[Address](addressesMax) }

// Version is that of the program that a node runs: 1 to 64 characters from ! to ~.
type Version string

// Validate returns an error if the form is wrong.
func (v Version) Validate() error { return checkRef(string(v), 64) }

// JSONSchema returns the form as JSON Schema 2020-12.
func (Version) JSONSchema() string { return refSchema(64) }

// ExternalID is what others call a node: 1 to 255 characters from ! to ~.
type ExternalID string

// Validate returns an error if the form is wrong.
func (x ExternalID) Validate() error { return checkRef(string(x), 255) }

// JSONSchema returns the form as JSON Schema 2020-12.
func (ExternalID) JSONSchema() string { return refSchema(255) }

func checkRef(s string, longest int) error {
	if len(s) > longest {
		return fmt.Errorf("must have 1 to %d characters, not %d", longest, len(s))
	}
	return noun.Ref(s).Validate()
}

func refSchema(longest int) string {
	return fmt.Sprintf(`{"maxLength":%d,"minLength":1,"pattern":"^[!-~]*$","type":"string"}`, longest)
}
