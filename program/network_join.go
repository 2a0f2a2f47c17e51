package program

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/base64"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"github.com/chorus-services/swoosh/client"
	"github.com/chorus-services/swoosh/fleet"
	"github.com/chorus-services/swoosh/noun"
)

// joinToken is the private half of a network's join_key: a prefix and the base64 of the
// seed of an Ed25519 key. Whoever has it can make a ticket for any node. The server never
// gets it.
type joinToken string

const joinTokenPrefix = "swoosh_join_"

func newJoinToken() (joinToken, fleet.PublicKey) {
	seed := make([]byte, ed25519.SeedSize)
	_, _ = rand.Read(seed) // It never fails (crypto/rand).
	return joinToken(joinTokenPrefix + base64.RawURLEncoding.EncodeToString(seed)), publicOf(ed25519.NewKeyFromSeed(seed))
}

func publicOf(key ed25519.PrivateKey) fleet.PublicKey { return fleet.PublicKey(client.PublicKey(key)) }

// key returns the key of a token; ok is false if it is not one.
func (t joinToken) key() (key ed25519.PrivateKey, ok bool) {
	text, ok := strings.CutPrefix(string(t), joinTokenPrefix)
	seed, err := base64.RawURLEncoding.Strict().DecodeString(text)
	if !ok || err != nil || len(seed) != ed25519.SeedSize {
		return nil, false
	}
	return ed25519.NewKeyFromSeed(seed), true
}

// ticket returns a network.join with the ticket of a token for a node.
func ticket(key ed25519.PrivateKey, network noun.ID, node fleet.NodeID) fleet.NetworkJoin {
	c := fleet.NetworkJoin{Network: network, Node: node, JoinKey: publicOf(key)}
	c.Ticket = fleet.Signature(base64.StdEncoding.EncodeToString(ed25519.Sign(key, []byte(fleet.JoinTicket(c.JoinKey, network, node)))))
	return c
}

func newNetworkJoin(a *app) *cobra.Command {
	var node, file string
	cmd, f := newFleetCommand(a, "join NETWORK", "Join a network",
		`Joins a network that is open, that has invited the node, or whose token you have. The
token is read from a file or, with -, from stdin: on a command line others could see it.
It is used here, to sign a ticket for this node alone, and is not sent. An admin lets any
node in.`,
		func(f *fleetCall) error {
			id, err := f.self("--node", node)
			if err != nil {
				return err
			}
			c := fleet.NetworkJoin{Network: f.network(0), Node: id}
			if file != "" {
				key, err := readJoinToken(f.ctx, a.in, file)
				if err != nil {
					return err
				}
				c = ticket(key, c.Network, id)
			}
			return f.send("network.join", c, done("%s is in network %s", id, c.Network))
		})
	cmd.Example = "  {program} network join build --node n2"
	cmd.Flags().StringVar(&file, "join-token", "", "`FILE` with the network's token, or - for stdin")
	cmd.Flags().StringVar(&node, "node", "", "the `NODE` that joins (default: that of --dir)")
	f.completeFlag(cmd, "node", "nodes")
	return cmd
}

func newNetworkLeave(a *app) *cobra.Command {
	var node string
	cmd, f := newFleetCommand(a, "leave NETWORK", "Leave a network, or decline its invitation", "Takes a node out of a network, or declines its invitation.",
		func(f *fleetCall) error {
			id, err := f.self("--node", node)
			if err != nil {
				return err
			}
			return f.send("network.leave", fleet.NetworkLeave{Network: f.network(0), Node: id}, done("%s is out of network %s", id, f.args[0]))
		})
	cmd.Flags().StringVar(&node, "node", "", "the `NODE` that leaves (default: that of --dir)")
	f.completeFlag(cmd, "node", "nodes")
	return cmd
}

// readJoinToken reads the key of a network's token from a file, or from stdin.
func readJoinToken(ctx context.Context, stdin io.Reader, file string) (ed25519.PrivateKey, error) {
	read := func() ([]byte, error) { return os.ReadFile(file) }
	if file == "-" {
		read = func() ([]byte, error) { return readStdin(ctx, stdin) }
	}
	content, err := read()
	if err != nil {
		return nil, exitf(codeUsage, "%w", unread("--join-token", err))
	}
	key, ok := joinToken(strings.TrimSpace(string(content))).key()
	if !ok {
		return nil, exitf(codeUsage, "--join-token %s is not the token of a network, which begins with %s: ask the network's owner for it", file, joinTokenPrefix)
	}
	return key, nil
}
