package pilot

import (
	"cmp"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"iter"
	"maps"
	"slices"

	"github.com/go-json-experiment/json"

	"github.com/chorus-services/swoosh/fleet"
)

// apply takes a record of the log. What the snapshot has counted already counts once.
func (b *builder) apply(at int, full open[record]) error {
	r := full.is
	change, known := changes[r.Type]
	if !known && b.SkipUnknown {
		b.note(skipped, "%.40s at byte %d", r.Type, at)
		return nil
	}
	if !known {
		return fmt.Errorf("the record at byte %d of the log is of the type %.40q, which this program does not know: --skip-unknown leaves such records out", at, r.Type)
	}
	var d open[recordData]
	if err := json.Unmarshal(r.Data, &d); err != nil {
		return fmt.Errorf("the %s at byte %d of the log is not as this program knows it: %w", r.Type, at, err)
	}
	b.unknown("records", full.unknown)
	b.unknown(r.Type, d.unknown)
	return change(b, d.is, r.At)
}

// changes are what the records of each type do.
var changes = map[string]func(b *builder, d recordData, at moment) error{
	isRegister: func(b *builder, d recordData, at moment) error { return b.addNode(d.Node, d.nodeRow, b.at(at)) },
	isDeregister: func(b *builder, d recordData, at moment) error {
		return b.change(d.Node, func(n *node) error { n.phase = fleet.Deregistered; return nil })
	},
	isHeartbeat: func(b *builder, d recordData, at moment) error {
		return b.change(d.Node, func(n *node) error { n.LastSeen = max(n.LastSeen, b.at(d.LastSeen, at)); return nil })
	},
	isHostname: func(b *builder, d recordData, at moment) error {
		return b.change(d.Node, func(n *node) error { n.Hostname = d.Hostname; return nil })
	},
	isTags: func(b *builder, d recordData, at moment) error {
		return b.change(d.Node, func(n *node) error { n.Tags = d.Tags; return nil })
	},
	isVisibility: func(b *builder, d recordData, at moment) error {
		return b.change(d.Node, func(n *node) error { n.Public = d.Public; return nil })
	},
	isTaskExec: func(b *builder, d recordData, at moment) error {
		return b.change(d.Node, func(n *node) error { n.TaskExec = d.TaskExec; return nil })
	},
	isRotateKey: func(b *builder, d recordData, at moment) error {
		return b.change(d.Node, func(n *node) error { return b.rotate(d.Node, n, d.NewKey, at) })
	},
	isTrust: func(b *builder, d recordData, at moment) error {
		if _, again := b.trust[pairOf(d.Node, d.Peer)]; !again && d.Node != d.Peer {
			b.trust[pairOf(d.Node, d.Peer)] = b.at(at)
		}
		return nil
	},
	isRevoke: func(b *builder, d recordData, at moment) error {
		delete(b.trust, pairOf(d.Node, d.Peer))
		delete(b.asks, pair{d.Node, d.Peer})
		delete(b.asks, pair{d.Peer, d.Node})
		return nil
	},
	isNetworkCreate: func(b *builder, d recordData, at moment) error {
		if b.networks[d.Network] == nil && d.Network != 0 {
			b.addNetwork(d.Network, networkRow{Name: d.Name, JoinRule: d.JoinRule, Token: d.Token, Created: b.at(at), Members: []uint32{d.Node}, Roles: map[uint32]string{d.Node: string(fleet.RoleOwner)}})
		}
		return nil
	},
	isNetworkDelete: func(b *builder, d recordData, at moment) error {
		return b.changeNetwork(d, func(n *network) { n.deleted = true })
	},
	isNetworkJoin: func(b *builder, d recordData, at moment) error {
		if d.Network == 0 {
			b.note(network0, "%s", nodeName(d.Node))
			return nil
		}
		return b.changeNetwork(d, func(n *network) {
			if n.members[d.Node] == nil {
				n.members[d.Node] = &member{role: d.Role, since: b.at(at)}
			}
		})
	},
	isNetworkLeave: func(b *builder, d recordData, at moment) error {
		return b.changeNetwork(d, func(n *network) { delete(n.members, d.Node) })
	},
}

// change changes a node; a record about one that is not there is noted.
func (b *builder) change(id uint32, change func(*node) error) error {
	if n := b.nodes[id]; n != nil {
		return change(n)
	}
	b.note(strangers, "%s in the log", nodeName(id))
	return nil
}

func (b *builder) changeNetwork(d recordData, change func(*network)) error {
	if n := b.networks[d.Network]; n != nil {
		change(n)
	} else if d.Network != 0 {
		b.note(strangers, "network %d in the log", d.Network)
	}
	return nil
}

// parseKey returns a key as the fleet writes it, from base64 or hex.
func parseKey(text string) (fleet.PublicKey, bool) {
	raw, err := hex.DecodeString(text)
	if err != nil {
		if raw, err = base64.StdEncoding.DecodeString(text); err != nil {
			return "", false
		}
	}
	key := fleet.PublicKey(hex.EncodeToString(raw))
	return key, key.Validate() == nil
}

// sorted yields what a map holds in the order of its keys.
func sorted[K cmp.Ordered, V any](m map[K]V) iter.Seq2[K, V] {
	return func(yield func(K, V) bool) {
		for _, k := range slices.Sorted(maps.Keys(m)) {
			if !yield(k, m[k]) {
				return
			}
		}
	}
}
