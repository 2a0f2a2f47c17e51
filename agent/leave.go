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
	hub       Home
	key       ed25519.PrivateKey
	completed bool           // a rotation of the key was completed on the way
	api       *client.Client // for reading
	signs     *client.Client
}

// signIn finds out whom the node in a directory signs as, after it has made sure that the hub
// is the node's.
func signIn(ctx context.Context, o Options) (_ *signedIn, err error) {
	if o, err = o.complete(); err != nil {
		return nil, err
	}
	in := &signedIn{dir: dir(o.Dir)}
	if in.hub, err = in.dir.readHub(); err != nil {
		return nil, err
	}
	k, err := in.dir.readKeys()
	if err != nil {
		return nil, fmt.Errorf("the key cannot be used: %w", err)
	}
	if in.api, err = in.hub.connect(o.Retry, nil); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			in.api.Close()
		}
	}()
	id, err := hubOf(ctx, in.api)
	if err != nil {
		return nil, err
	}
	if id != in.hub.Hub {
		return nil, fmt.Errorf("%s is another hub now, %.12s and not %.12s: join again if that is meant", in.hub.Address, id, in.hub.Hub)
	}
	had := k.next != nil
	if k, err = in.dir.complete(ctx, in.api, k); err != nil {
		return nil, err
	}
	in.key, in.completed = k.current, had && k.next == nil
	in.signs, err = in.hub.asNode(o.Retry, in.key)
	return in, err
}
