package agent

import (
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"time"

	"github.com/chorus-services/swoosh/client"
)

// expiryNotice is how long before its key expires a node warns.
const expiryNotice = 14 * 24 * time.Hour

// look reads the hub's rows about the node and brings the node into order: it takes the key
// that the hub has as the present one, and registers if it must. It returns where the log was
// when the rows were read; the node may post then. The error is a fault if the node may not
// post although the hub answers.
func (n *Node) look(ctx context.Context) (at position, err error) {
	refused := n.refused
	n.refused, n.files = nil, n.dir.changed()
	select {
	case <-n.trouble: // This is the look that it asks for.
	default:
	}
	api, err := n.hub.connect(once, nil)
	if err != nil {
		return at, err
	}
	defer api.Close()
	h, err := api.Health(ctx)
	switch {
	case err != nil:
		return at, err
	case h.Hub == "":
		return at, fmt.Errorf("the hub is starting")
	case h.Hub != n.hub.Hub:
		return at, faultf("%s is another hub now, %.12s and not %.12s: the node signs nothing for it; join again if that is meant", n.hub.Address, h.Hub, n.hub.Hub)
	}
	n.heard(h.Index, h.HLC)
	before := n.State().Key.PublicKey
	key, at, err := n.identify(ctx, api)
	if err != nil {
		return at, err
	}
	row, err := n.readRow(ctx, api, at.index)
	if err != nil {
		return at, err
	}
	switch {
	case row.Phase == deregistered:
		n.registered = position{}
		return at, faultf("%s was deregistered in %s%s: it posts nothing more until it joins again", n.hub.Node, n.entry(ctx, api, row.Since), because(row.Reason))
	case row.Key != client.PublicKey(key):
		return at, errors.New("the key is being replaced")
	case row.KeyExpires != 0 && !n.o.now().Before(row.expires()):
		return at, faultf("the key in %s expired on %s: put another one in its place (%s)", n.dir.keyFile(), row.expires().Format(time.RFC3339), n.remedy())
	case n.registered.index != 0 && row.Session != n.session:
		if err := n.checkSession(ctx, api); err != nil {
			return at, err
		}
	}
	if n.registered.index == 0 || row.Phase != active {
		if row, err = n.register(ctx, api, key, row); err != nil {
			return at, err
		}
	} else if isOf(refused, client.Quarantined) || isOf(refused, client.BadSignature) && client.PublicKey(key) == before {
		return at, &fault{refused.Error()}
	}
	signs, err := n.hub.asNode(once, key)
	if err != nil {
		return at, err
	}
	n.stand(signs)
	return at, n.note(row)
}

// identify returns the key that the node signs with: the one in its file, or that of a
// rotation which the hub has completed.
func (n *Node) identify(ctx context.Context, api *client.Client) (ed25519.PrivateKey, position, error) {
	k, err := n.dir.readKeys()
	if err != nil {
		return nil, position{}, faultf("the key cannot be used: %v", err)
	}
	n.change(func(s *State) { s.Key.PublicKey = client.PublicKey(k.current) })
	own, m, known, err := findKey(ctx, api, client.PublicKey(k.current))
	if err == nil && (!known || own.Until != "") && k.next != nil {
		var next keyRow
		var there bool
		if next, _, there, err = findKey(ctx, api, client.PublicKey(k.next), client.MinIndex(m.Index)); there && next.Until == "" {
			own, known = next, true
			k, err = n.dir.settle(client.PublicKey(k.next))
			n.o.Logger.Info("the rotation of the key is complete", "public_key", client.PublicKey(k.current))
		}
	}
	at := position{m.Index, m.Chain, m.HLC}
	switch {
	case err != nil:
		return nil, at, err
	case !known:
		return nil, at, faultf("the hub does not know the key in %s: put the key of %s there, or join again (%s)", n.dir.keyFile(), n.hub.Node, n.remedy())
	case own.Until != "":
		return nil, at, faultf("the key in %s was replaced in %s: put the new one in its place (%s)", n.dir.keyFile(), n.entry(ctx, api, own.Until), n.remedy())
	}
	n.change(func(s *State) { s.Key.PublicKey = client.PublicKey(k.current) })
	if own.Node != n.hub.Node {
		n.o.Logger.Warn("the key is that of another node, which this one is now", "node", own.Node, "before", n.hub.Node)
		n.row, n.etag, n.registered = nodeRow{}, "", position{}
		err = n.rewrite(func(h *Home) { h.Node, h.Hostname = own.Node, "" })
	}
	return k.current, at, err
}

// remedy says how the node gets a key if its own is lost.
func (n *Node) remedy() string {
	return fmt.Sprintf("without it: move %s away and join as %[2]s, so that an admin gives %[2]s the new key", n.dir.keyFile(), n.hub.Node)
}

func because(reason string) string {
	if reason == "" {
		return ""
	}
	return ", because: " + reason
}

// entry names the entry of a stamp.
func (n *Node) entry(ctx context.Context, api *client.Client, stamp string) string {
	if n.named.hlc != stamp {
		index, _, err := entryAt(ctx, api, stamp)
		if err != nil || index == 0 {
			return "the entry of " + stamp
		}
		n.named = position{index: index, hlc: stamp}
	}
	return fmt.Sprintf("entry %d", n.named.index)
}

// readRow reads the node's row if it has changed.
func (n *Node) readRow(ctx context.Context, api *client.Client, index uint64) (nodeRow, error) {
	options := []client.ReadOption{client.MinIndex(index)}
	if n.etag != "" {
		options = append(options, client.IfNoneMatch(n.etag))
	}
	row, m, err := getNode(ctx, api, n.hub.Node, options...)
	if err != nil {
		return row, err
	}
	n.heard(m.Index, m.HLC)
	if !m.NotModified {
		n.row, n.etag = row, m.ETag
		n.change(func(s *State) {
			s.Node, s.Hostname, s.Phase, s.Key.Expires = n.hub.Node, row.Hostname, row.Phase, row.expires()
		})
	}
	return n.row, nil
}

// checkSession returns ErrElsewhere if this run's registration is in the log still, or is so
// old that the log has let it go. If not, the hub came back from a backup, and knows an
// earlier run.
func (n *Node) checkSession(ctx context.Context, api *client.Client) error {
	index, first, err := entryAt(ctx, api, n.registered.hlc)
	switch {
	case err != nil:
		return err
	case index != 0 || first > n.registered.index:
		return ErrElsewhere
	}
	n.registered = position{}
	return nil
}

// register makes the node ACTIVE, with the session of this run. The key's file says who it
// is, the hub all else.
func (n *Node) register(ctx context.Context, api *client.Client, key ed25519.PrivateKey, row nodeRow) (nodeRow, error) {
	signs, err := n.hub.asKey(once, key)
	if err != nil {
		return row, err
	}
	defer signs.Close()
	r := register{PublicKey: client.PublicKey(key), Owner: row.Owner, Session: n.session, About: n.o.About}
	if row.Hostname == "" {
		r.Hostname = n.hub.Hostname
	}
	result, err := n.post(ctx, signs, &client.Command{Name: "fleet.register", Payload: r})
	if client.IsCode(err, client.Conflict) && r.Hostname != "" {
		r.Hostname = ""
		taken := err
		if result, err = n.post(ctx, signs, &client.Command{Name: "fleet.register", Payload: r}); err == nil {
			n.say(hostname, fmt.Sprintf("it has no hostname, since it cannot have %s again: %v", n.hub.Hostname, taken))
		}
	}
	if isRefusal(err) {
		return row, &fault{err.Error()}
	}
	if err != nil {
		return row, err
	}
	n.heard(result.Index, result.HLC)
	n.alive()
	n.registered = position{index: result.Index, hlc: result.HLC}
	n.o.Logger.Info("registered", "node", n.hub.Node, "hub", n.hub.Address, "index", result.Index)
	return n.readRow(ctx, api, result.Index)
}

// note notes what the hub says of the node. That the node may post comes last: who sees
// that sees no reason that has passed.
func (n *Node) note(row nodeRow) error {
	n.warn()
	renamed := row.Phase == active && row.Hostname != n.hub.Hostname && (row.Hostname != "" || n.said(hostname) == "")
	if renamed {
		n.say(hostname, "")
	}
	n.say(trouble, "")
	if !renamed {
		return nil
	}
	return n.rewrite(func(h *Home) { h.Hostname = row.Hostname })
}

// warn says that the key expires soon.
func (n *Node) warn() {
	text, expires := "", n.row.expires()
	if n.row.KeyExpires != 0 && expires.Sub(n.o.now()) < expiryNotice {
		text = fmt.Sprintf("the key expires on %s: rotate it before", expires.Format(time.RFC3339))
	}
	n.say(expiry, text)
}

// rewrite changes hub.json.
func (n *Node) rewrite(change func(*Home)) error {
	hub := n.hub
	change(&hub)
	n.mu.Lock()
	n.hub = hub
	n.mu.Unlock()
	if err := n.dir.writeHub(hub); err != nil {
		return errors.Join(errors.New("hub.json cannot be written"), err)
	}
	return nil
}
