// Fleet is an agent of a team. It joins its hub, becomes a member of the network "team",
// and trusts every other member. All it says, it signs. Usage: fleet HUB DIR
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"log"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/chorus-services/swoosh/agent"
	"github.com/chorus-services/swoosh/client"
)

func main() {
	if len(os.Args) != 3 {
		log.Fatal("usage: fleet HUB DIR")
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	hub, o := os.Args[1], agent.Options{Dir: os.Args[2]}
	// Who has joined before is the same node again, so this may be done at each start.
	_, err := agent.Join(ctx, o, agent.Joining{Address: hub, Owner: "acme"})
	check(err)
	reads, err := client.New(hub, client.Options{})
	check(err)
	o.Work = func(ctx context.Context, n *agent.Node) error { return work(ctx, n, reads) }
	check(agent.Run(ctx, o))
}

const network = "team"

// work brings the agent into the network, and then trusts whoever becomes a member.
func work(ctx context.Context, n *agent.Node, reads *client.Client) error {
	// The first one makes the network. For the others it is there, and they join it.
	_, err := n.Do(ctx, client.Command{Name: "network.create", Payload: map[string]any{
		"network": network, "name": "The team", "owner": n.ID(), "join": "open"}})
	if client.IsCode(err, client.Conflict) {
		_, err = n.Do(ctx, client.Command{Name: "network.join", Payload: map[string]any{"network": network, "node": n.ID()}})
	}
	if err != nil {
		return err
	}
	fmt.Println(n.ID(), "is in the network")

	// The rows and the entries after them miss nobody, and there is no position to lose.
	members, read, err := client.Get[map[string]struct{}](ctx, reads, "/fleet/members")
	if err != nil {
		return err
	}
	for key := range members {
		if node, ok := strings.CutPrefix(key, network+"."); ok {
			if err := trust(ctx, n, node); err != nil {
				return err
			}
		}
	}
	for entry, err := range reads.Watch(ctx, read.Index+1, client.OnlyCommands("network.join")) {
		if err != nil {
			return err
		}
		var joined struct{ Network, Node string }
		if err := json.Unmarshal(entry.Payload, &joined); err != nil {
			return err
		}
		if joined.Network == network {
			if err := trust(ctx, n, joined.Node); err != nil {
				return err
			}
		}
	}
	return nil
}

// trust may say the same again: it has no effect then.
func trust(ctx context.Context, n *agent.Node, peer string) error {
	if peer == n.ID() {
		return nil
	}
	_, err := n.Do(ctx, client.Command{Name: "trust.give", Payload: map[string]any{"node": n.ID(), "peer": peer}})
	if err == nil {
		fmt.Println(n.ID(), "trusts", peer)
	}
	return err
}

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}
