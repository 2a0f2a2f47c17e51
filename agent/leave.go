package agent

import (
	"context"
	"crypto/ed25519"
	"fmt"

	"github.com/chorus-services/swoosh/client"
)

// Left is what became of Leave.
type Left struct {
	Node  string `json:"node"`
	Index uint64 `json:"index"` // of the entry
}

// Leave deregisters the node, which may run: it posts nothing more. Its key and its data stay,
// and Join brings it back.
func Leave(ctx context.Context, o Options) (Left, error) {
	s, err := signIn(ctx, o)
	if err != nil {
		return Left{}, err
	}
	defer s.api.Close()
	defer s.signs.Close()
	result, err := s.signs.Do(ctx, client.Command{Name: "fleet.deregister", Payload: map[string]string{"node": s.hub.Node}})
	return Left{s.hub.Node, result.Index}, err
}

// signedIn is a node that may post although it does not run.
type signedIn struct {
	dir       dir
	hub       hubFile
	key       ed25519.PrivateKey
	completed bool           // a rotation of the key was completed on the way
	api       *client.Client // for reading
	signs     *client.Client
}

// signIn finds out whom the node in a directory signs as, after it has made sure that the hub
// is the node's.
func signIn(ctx context.Context, o Options) (s *signedIn, err error) {
	if o, err = o.complete(); err != nil {
		return nil, err
	}
	s = &signedIn{dir: dir(o.Dir)}
	if s.hub, err = s.dir.readHub(); err != nil {
		return nil, err
	}
	k, err := s.dir.readKeys()
	if err != nil {
		return nil, fmt.Errorf("the key cannot be used: %w", err)
	}
	if s.api, err = s.hub.connect(o.Retry, nil); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			s.api.Close()
		}
	}()
	id, err := hubOf(ctx, s.api)
	if err != nil {
		return nil, err
	}
	if id != s.hub.Hub {
		return nil, fmt.Errorf("%s is another hub now, %.12s and not %.12s: join again if that is meant", s.hub.Address, id, s.hub.Hub)
	}
	had := k.next != nil
	if k, err = s.dir.complete(ctx, s.api, k); err != nil {
		return nil, err
	}
	s.key, s.completed = k.current, had && k.next == nil
	s.signs, err = s.hub.asNode(o.Retry, s.key)
	return s, err
}
