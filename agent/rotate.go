package agent

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"time"

	"github.com/chorus-services/swoosh/client"
)

// Rotated is what became of RotateKey.
type Rotated struct {
	Node      string `json:"node"`
	PublicKey string `json:"public_key"`
	Number    int    `json:"number"`         // of the key, among those that the node has had
	Index     uint64 `json:"index,omitzero"` // of the entry from which on the old key is refused; 0: an earlier call posted it
}

// rotateKey is the payload of fleet.rotate_key.
type rotateKey struct {
	Rekey      `json:",inline"`
	KeyExpires int64 `json:"key_expires,omitzero"`
}

// RotateKey gives the node another key, which expires at a time, or never if that is zero.
// The node may run: it takes the key by itself. The new key is on disk before the hub knows
// it, as key.next. If RotateKey is killed, the node or another call completes it.
func RotateKey(ctx context.Context, o Options, expires time.Time) (Rotated, error) {
	s, err := signIn(ctx, o)
	if err != nil {
		return Rotated{}, err
	}
	defer s.api.Close()
	defer s.signs.Close()
	r := Rotated{Node: s.hub.Node}
	if r.Index, err = s.rotate(ctx, expires); err != nil {
		return r, err
	}
	k, err := s.dir.readKeys()
	if err != nil {
		return r, err
	}
	r.PublicKey = client.PublicKey(k.current)
	row, _, _, err := findKey(ctx, s.api, r.PublicKey, client.MinIndex(r.Index))
	r.Number = row.Number
	return r, err
}

// rotate makes key.next the node's key, at the hub and then here. It returns the index of the
// entry; 0 if the hub had it before.
func (s *signedIn) rotate(ctx context.Context, expires time.Time) (uint64, error) {
	if s.completed && !expires.IsZero() {
		return 0, errors.New("a rotation that was broken off is complete now, and says itself when its key expires: rotate the key again")
	}
	if s.completed {
		return 0, nil
	}
	next, err := client.MakeKey(s.dir.nextFile())
	if errors.Is(err, fs.ErrExist) { // It was broken off before the hub knew of it.
		next, err = client.LoadKey(s.dir.nextFile())
	}
	if err != nil {
		return 0, fmt.Errorf("the next key cannot be used: %w", err)
	}
	payload := rotateKey{Rekey: rekey(s.hub.Node, client.PublicKey(s.key), next)}
	if !expires.IsZero() {
		payload.KeyExpires = expires.UnixMilli()
	}
	result, err := s.signs.Do(ctx, client.Command{Name: "fleet.rotate_key", Payload: payload})
	if err != nil {
		row, _, known, asking := findKey(ctx, s.api, client.PublicKey(next))
		if asking != nil || !known || row.Until != "" {
			return 0, err
		}
	}
	_, err = s.dir.settle(client.PublicKey(next))
	return result.Index, err
}
