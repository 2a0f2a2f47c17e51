package agent

import (
	"context"
	"crypto/ed25519"
	"encoding/base64"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"strings"
	"time"

	"github.com/go-json-experiment/json"

	"github.com/chorus-services/swoosh/client"
	"github.com/chorus-services/swoosh/internal/durable"
)

// Joining is what Join needs to know. Address and Owner are required.
type Joining struct {
	Address   string // of the hub, as client.New takes it
	TokenFile string // with the token alone; empty: none
	CAFile    string // with the authorities (PEM) of the hub's certificate; empty: the machine's
	Owner     string
	Hostname  string    // empty: none, or the one that the node has
	Expires   time.Time // when the key expires; zero: never, or as it was

	// As is the node that this one is to be: one whose key was lost. Ask is called with what
	// an admin's fleet.rotate_key needs then, and Join waits until that was posted. Empty: the
	// node that has the key, or else a new one.
	As  string
	Ask func(Rekey)
}

// Rekey is what an admin needs to give a node another key.
type Rekey struct {
	Node      string `json:"node"`
	OldKey    string `json:"old_key"`
	PublicKey string `json:"public_key"`
	Proof     string `json:"proof"` // by the new key over the three others
}

// Joined is what became of Join.
type Joined struct {
	Node      string `json:"node"`
	Hub       string `json:"hub"`
	PublicKey string `json:"public_key"`
	KeyFile   string `json:"key_file"`
	Made      bool   `json:"made"`  // whether the key was made
	Index     uint64 `json:"index"` // of the registration
}

// Join makes a node known to a hub and writes hub.json. A key has one id for ever, so Join can
// be repeated, also after it was killed: the node is the same. It makes a key if there is
// none.
func Join(ctx context.Context, o Options, j Joining) (Joined, error) {
	o, err := o.complete()
	if err != nil {
		return Joined{}, err
	}
	d := dir(o.Dir)
	if err := durable.MkdirAll(durable.OS(), o.Dir); err != nil {
		return Joined{}, err
	}
	h, err := j.hub()
	if err != nil {
		return Joined{}, err
	}
	unlock, running := d.lock()
	if running == nil {
		defer unlock()
	} else if !errors.Is(running, durable.ErrLocked) {
		return Joined{}, running
	}
	k, made, err := d.haveKey(running)
	if err != nil {
		return Joined{}, fmt.Errorf("the key cannot be used: %w", err)
	}
	joined := Joined{KeyFile: d.keyFile(), Made: made, PublicKey: client.PublicKey(k.current)}
	api, err := h.connect(o.Retry, nil)
	if err != nil {
		return joined, err
	}
	defer api.Close()
	if _, err = hubOf(ctx, api); err != nil {
		return joined, err
	}
	if k, err = d.complete(ctx, api, k); err != nil {
		return joined, err
	}
	if running != nil {
		if err := mayJoin(ctx, api, k.current, running); err != nil {
			return joined, err
		}
	}
	if j.As != "" {
		if err := j.wait(ctx, api, k.current); err != nil {
			return joined, err
		}
	}
	if joined.Index, err = j.register(ctx, o, h, k.current); err != nil {
		return joined, err
	}
	joined.PublicKey = client.PublicKey(k.current)
	row, _, known, err := findKey(ctx, api, joined.PublicKey, client.MinIndex(joined.Index))
	if err == nil && !known {
		err = errors.New("the hub has registered the node and does not know its key: join again")
	}
	if err != nil {
		return joined, err
	}
	n, _, err := getNode(ctx, api, row.Node, client.MinIndex(joined.Index))
	if err != nil {
		return joined, err
	}
	if h.Hub, err = hubOf(ctx, api); err != nil { // Not before: the log may have begun with this.
		return joined, err
	}
	h.Node, h.Owner, h.Hostname = row.Node, n.Owner, n.Hostname
	joined.Node, joined.Hub = h.Node, h.Hub
	return joined, d.writeHub(h)
}

// hub returns what hub.json is to say, with names that hold in each working directory.
func (j Joining) hub() (h Home, err error) {
	h = Home{Address: j.Address}
	names := []*string{&h.TokenFile, &h.CAFile}
	for i, name := range []string{j.TokenFile, j.CAFile} {
		if name != "" && err == nil {
			*names[i], err = filepath.Abs(name)
		}
	}
	if path, isUnix := strings.CutPrefix(j.Address, "unix:"); isUnix && path != "" && err == nil {
		path, err = filepath.Abs(path)
		h.Address = "unix:" + path
	}
	return h, err
}

// haveKey returns the keys, and makes one if there is none, unless a node runs: that one has
// lost its key.
func (d dir) haveKey(running error) (k keys, made bool, err error) {
	k, err = d.readKeys()
	if !errors.Is(err, fs.ErrNotExist) {
		return k, false, err
	}
	if running != nil {
		return k, false, errors.Join(err, running)
	}
	k.current, err = client.MakeKey(d.keyFile())
	return k, true, err
}

// hubOf returns the identity of a hub's log.
func hubOf(ctx context.Context, api *client.Client) (string, error) {
	h, err := api.Health(ctx)
	if err == nil && h.Hub == "" {
		err = errors.New("the hub is starting: join again in a moment")
	}
	return h.Hub, err
}

// complete completes a rotation of the key that was broken off, if the hub has it.
func (d dir) complete(ctx context.Context, api *client.Client, k keys) (keys, error) {
	if k.next == nil {
		return k, nil
	}
	row, _, known, err := findKey(ctx, api, client.PublicKey(k.next))
	if err != nil || !known || row.Until != "" {
		return k, err
	}
	return d.settle(client.PublicKey(k.next))
}

// mayJoin returns the error running unless the node that runs waits for this: it is
// deregistered.
func mayJoin(ctx context.Context, api *client.Client, key ed25519.PrivateKey, running error) error {
	row, _, known, err := findKey(ctx, api, client.PublicKey(key))
	if err != nil || !known {
		return errors.Join(running, err)
	}
	if n, _, err := getNode(ctx, api, row.Node); err != nil || n.Phase != deregistered {
		return errors.Join(running, err)
	}
	return nil
}

// wait asks for the key to become that of the node As, and waits until it is.
func (j Joining) wait(ctx context.Context, api *client.Client, key ed25519.PrivateKey) error {
	own, before := client.PublicKey(key), ""
	for {
		row, m, known, err := findKey(ctx, api, own)
		switch {
		case err != nil:
			return err
		case known && row.Node == j.As:
			return nil
		case known:
			return fmt.Errorf("the key in use is that of %s: move it away, so that %s gets a new one", row.Node, j.As)
		}
		n, _, err := getNode(ctx, api, j.As, client.MinIndex(m.Index))
		switch {
		case client.IsCode(err, client.NotFound):
			return fmt.Errorf("there is no node %s: swoosh nodes lists those that there are: %w", j.As, err)
		case err != nil:
			return err
		case n.Owner != j.Owner:
			return fmt.Errorf("%s belongs to %s, and a node does not change its owner: join as %[1]s with the owner %[2]s", j.As, n.Owner)
		}
		if n.Key != before && j.Ask != nil {
			j.Ask(rekey(j.As, n.Key, key))
		}
		before = n.Key
		for _, err := range api.Watch(ctx, m.Index+1, client.AfterChain(m.Chain), client.OnlyCommands("fleet.rotate_key")) {
			if err != nil && !isOf(err, client.Compacted, client.HistoryChanged, client.NotFound) {
				return err
			}
			break // The rows say what it was about.
		}
	}
}

// rekey returns the change of a node's key, with its proof.
func rekey(node, old string, key ed25519.PrivateKey) Rekey {
	r := Rekey{Node: node, OldKey: old, PublicKey: client.PublicKey(key)}
	content := fmt.Sprintf("swoosh key 1\n"+`{"node":"%s","old_key":"%s","public_key":"%s"}`, r.Node, r.OldKey, r.PublicKey)
	r.Proof = base64.StdEncoding.EncodeToString(ed25519.Sign(key, []byte(content)))
	return r
}

// register registers the key with a session of its own, and returns the index of the entry.
func (j Joining) register(ctx context.Context, o Options, h Home, key ed25519.PrivateKey) (uint64, error) {
	signs, err := h.asKey(o.Retry, key)
	if err != nil {
		return 0, err
	}
	defer signs.Close()
	r := register{PublicKey: client.PublicKey(key), Owner: j.Owner, Session: newSession(), Hostname: j.Hostname, About: o.About}
	if !j.Expires.IsZero() {
		r.KeyExpires = j.Expires.UnixMilli()
	}
	payload, err := json.Marshal(r)
	if err != nil {
		return 0, err
	}
	result, err := signs.Do(ctx, client.Command{Name: "fleet.register", Payload: payload})
	return result.Index, err
}
