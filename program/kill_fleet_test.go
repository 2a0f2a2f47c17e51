package program

import (
	"context"
	"crypto/ed25519"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/chorus-services/swoosh/client"
	"github.com/chorus-services/swoosh/fleet"
)

// TestD1KillNineFleet kills a hub while the nodes of several owners register, rotate keys,
// and give and revoke trust. What was not answered is sent again. No answer may be undone:
// no revoked trust, no replaced key and no id of another node comes back.
func TestD1KillNineFleet(t *testing.T) {
	rounds := 1 + envNumber(t, "SWOOSH_KILL_ROUNDS", 3)/4
	seed := envNumber(t, "SWOOSH_KILL_SEED", rand.Uint64())
	t.Logf("SWOOSH_KILL_SEED=%d repeats this run's choices", seed)
	dir := filepath.Join(t.TempDir(), "data")
	rng := rand.New(rand.NewPCG(seed, 0))
	owners := make([]*owner, 4)
	for i := range owners {
		owners[i] = &owner{ctx: t.Context(), rng: rand.New(rand.NewPCG(seed, uint64(i)+1)), name: fmt.Sprint("owner-", i), said: map[[2]*member]bool{}}
	}
	for range rounds {
		p := launch(t, dir, "--max-recovery", "1ms")
		address := p.address(t)
		eachOwner(owners, func(o *owner) { o.sendAgain(address) })
		checkFleet(t, address, owners)
		left := atomic.Int64{}
		left.Store(int64(rng.IntN(100)) + 1)
		pause := time.Duration(rng.IntN(3000)) * time.Microsecond
		var once sync.Once
		eachOwner(owners, func(o *owner) {
			for o.wrong == nil && o.open == nil {
				if o.say(address); left.Add(-1) == 0 {
					once.Do(func() { time.Sleep(pause); p.kill() })
				}
			}
		})
		for _, o := range owners {
			require.NoError(t, o.wrong)
		}
	}
	p := launch(t, dir)
	address := p.address(t)
	eachOwner(owners, func(o *owner) { o.sendAgain(address) })
	checkFleet(t, address, owners)
	require.Equal(t, codeGood, p.stop(t, syscall.SIGTERM), p.stderr.String())
	verified := swooshRun(t, "", "verify", "--signatures", dir)
	require.Equal(t, codeGood, verified.code, verified.err)
	t.Log(verified.out)
}

func eachOwner(owners []*owner, f func(*owner)) {
	var all sync.WaitGroup
	for _, o := range owners {
		all.Go(func() { f(o) })
	}
	all.Wait()
}

// owner speaks for its nodes, one word after the other, and knows what was answered.
type owner struct {
	ctx   context.Context
	rng   *rand.Rand
	name  string
	nodes []*member
	said  map[[2]*member]bool // who gave trust to whom; both ways: a pair
	open  *said               // not answered yet
	wrong error
}

// member is a node of an owner.
type member struct {
	id   string
	keys []ed25519.PrivateKey // of all times, the present one last
}

func (m *member) key() ed25519.PrivateKey { return m.keys[len(m.keys)-1] }

// said is a command, who signs it, and what its answer means.
type said struct {
	command client.Command
	signer  *client.Signer
	then    func(index uint64, api *client.Client) error
}

func public(key ed25519.PrivateKey) string {
	return hex.EncodeToString(key.Public().(ed25519.PublicKey))
}

// say sends the next word.
func (o *owner) say(address string) {
	choice := o.rng.IntN(10)
	if len(o.nodes) < 2 {
		choice = 0
	}
	pick := func() *member { return o.nodes[o.rng.IntN(len(o.nodes))] }
	switch {
	case choice < 2 && len(o.nodes) < 3:
		o.open = o.register(&member{keys: []ed25519.PrivateKey{o.newKey()}})
	case choice < 3:
		o.open = o.register(pick())
	case choice < 5:
		o.open = o.rotate(pick())
	default:
		node, peer := pick(), pick()
		if node != peer {
			o.open = o.trust(node, peer, choice < 8)
		}
	}
	o.sendAgain(address)
}

// newKey returns a key that a seed repeats.
func (o *owner) newKey() ed25519.PrivateKey {
	seed := make([]byte, ed25519.SeedSize)
	for i := range seed {
		seed[i] = byte(o.rng.Uint32())
	}
	return ed25519.NewKeyFromSeed(seed)
}

func (o *owner) register(m *member) *said {
	own := public(m.key())
	return &said{
		client.Command{Name: "fleet.register", Payload: map[string]any{"public_key": own, "owner": o.name, "session": fmt.Sprintf("session-%d", o.rng.Uint32())}},
		client.NewSigner(m.key(), own),
		func(index uint64, api *client.Client) error {
			row, _, err := client.Get[keyOf](o.ctx, api, "/fleet/keys/"+own, client.MinIndex(index))
			switch {
			case err != nil:
				return err
			case m.id == "":
				m.id = row.Node
				o.nodes = append(o.nodes, m)
			case m.id != row.Node:
				return fmt.Errorf("%s is %s after it registered again", m.id, row.Node)
			}
			return nil
		},
	}
}

func (o *owner) rotate(m *member) *said {
	key := o.newKey()
	proof := ed25519.Sign(key, []byte(fleet.KeyProof(fleet.NodeID(m.id), fleet.PublicKey(public(m.key())), fleet.PublicKey(public(key)))))
	return &said{
		client.Command{Name: "fleet.rotate_key", Payload: map[string]any{
			"node": m.id, "old_key": public(m.key()), "public_key": public(key), "proof": base64.StdEncoding.EncodeToString(proof)}},
		client.NewSigner(m.key(), m.id),
		func(uint64, *client.Client) error { m.keys = append(m.keys, key); return nil },
	}
}

func (o *owner) trust(node, peer *member, give bool) *said {
	name := "trust.revoke"
	if give {
		name = "trust.give"
	}
	return &said{
		client.Command{Name: name, Payload: map[string]any{"node": node.id, "peer": peer.id}},
		client.NewSigner(node.key(), node.id),
		func(uint64, *client.Client) error {
			if give {
				o.said[[2]*member{node, peer}] = true
			} else {
				delete(o.said, [2]*member{node, peer})
				delete(o.said, [2]*member{peer, node})
			}
			return nil
		},
	}
}

// sendAgain sends what is open. It stays open if no answer comes, with the key and the
// signature that it was sent with.
func (o *owner) sendAgain(address string) {
	if o.open == nil {
		return
	}
	api, err := client.New(address, client.Options{Signer: o.open.signer, Retry: client.Retry{Attempts: 1}})
	if err != nil {
		o.wrong = err
		return
	}
	defer api.Close()
	result, err := api.Do(o.ctx, o.open.command)
	var e *client.Error
	switch {
	case err == nil:
		if err = o.open.then(result.Index, api); isKilled(err) {
			return // It is registered; its id is asked for again.
		}
		o.open, o.wrong = nil, err
	case isKilled(err):
		if errors.As(err, &e); len(e.Again) == 1 {
			o.open.command = e.Again[0]
		}
	default:
		o.wrong = fmt.Errorf("%s: %w", o.open.command.Name, err)
	}
}

// isKilled reports whether an error says that no answer came, or that of a server which
// stops or starts.
func isKilled(err error) bool {
	var e *client.Error
	return errors.As(err, &e) && (e.Status == 0 || e.Status >= 500)
}

type keyOf struct {
	Node   string `json:"node"`
	Until  string `json:"until"`
	Number int    `json:"number"`
}

// checkFleet holds the hub's state against all that was answered. Nothing is open.
func checkFleet(t *testing.T, address string, owners []*owner) {
	api, err := client.New(address, client.Options{})
	require.NoError(t, err)
	defer api.Close()
	state, _, err := client.Get[struct {
		Last  int `json:"last"`
		Nodes map[string]struct {
			Key   string `json:"key"`
			Owner string `json:"owner"`
		} `json:"nodes"`
		Keys  map[string]keyOf    `json:"keys"`
		Trust map[string]struct{} `json:"trust"`
		Asks  map[string]struct{} `json:"asks"`
	}](t.Context(), api, "/fleet")
	require.NoError(t, err)
	var nodes, keys, pairs, asks int
	for _, o := range owners {
		require.NoError(t, o.wrong)
		require.Nil(t, o.open, "not answered by a hub that takes commands")
		for _, m := range o.nodes {
			nodes, keys = nodes+1, keys+len(m.keys)
			require.Equal(t, o.name, state.Nodes[m.id].Owner, m.id)
			require.Equal(t, public(m.key()), state.Nodes[m.id].Key, "%s has a key that was replaced", m.id)
			for i, key := range m.keys {
				row := state.Keys[public(key)]
				require.Equal(t, m.id, row.Node)
				require.Equal(t, i+1, row.Number)
				require.Equal(t, i == len(m.keys)-1, row.Until == "", "%s, key %d", m.id, i+1)
			}
			for _, peer := range o.nodes {
				gives, gets := o.said[[2]*member{m, peer}], o.said[[2]*member{peer, m}]
				_, pair := state.Trust[m.id+"."+peer.id]
				_, other := state.Trust[peer.id+"."+m.id]
				require.Equal(t, gives && gets, pair || other, "trust between %s and %s", m.id, peer.id)
				_, ask := state.Asks[peer.id+"."+m.id]
				require.Equal(t, gives && !gets, ask, "%s asks %s", m.id, peer.id)
				if ask {
					asks++
				}
				if pair {
					pairs++
				}
			}
			if len(m.keys) > 1 {
				old, err := client.New(address, client.Options{Signer: client.NewSigner(m.keys[0], m.id)})
				require.NoError(t, err)
				_, err = old.Do(t.Context(), client.Command{Name: "fleet.set_tags", Payload: map[string]any{"node": m.id, "tags": []string{"stolen"}}})
				require.True(t, client.IsCode(err, client.BadSignature), "a key that was replaced: %v", err)
				old.Close()
			}
		}
	}
	require.Len(t, state.Nodes, nodes)
	require.Equal(t, nodes, state.Last)
	require.Len(t, state.Keys, keys)
	require.Len(t, state.Trust, pairs)
	require.Len(t, state.Asks, asks)
}
