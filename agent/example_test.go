package agent_test

import (
	"context"
	"fmt"
	"log"
	"net/http/httptest"
	"os"

	"github.com/chorus-services/swoosh"
	"github.com/chorus-services/swoosh/agent"
	"github.com/chorus-services/swoosh/client"
	"github.com/chorus-services/swoosh/fleet"
)

// serveHub stands for swoosh serve. It returns the hub's address.
func serveHub() (address string, stop func()) {
	engine, err := swoosh.Open(context.Background(), swoosh.Options{Logger: silent}, fleet.Domain)
	if err != nil {
		log.Fatal(err)
	}
	api := swoosh.NewAPI(swoosh.APIOptions{Logger: silent})
	api.Attach(engine)
	server := httptest.NewServer(api)
	return server.URL, func() {
		api.Stop()
		server.Close()
		_ = engine.Close(context.Background())
	}
}

func Example() {
	hub, stop := serveHub()
	defer stop()
	dir, err := os.MkdirTemp("", "example-node-")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()

	o := agent.Options{Dir: dir, Logger: silent}
	joined, err := agent.Join(ctx, o, agent.Joining{Address: hub, Owner: "acme"})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("joined as", joined.Node)

	o.Work = func(ctx context.Context, n *agent.Node) error {
		create := map[string]string{"network": "build", "name": "Build", "owner": n.ID(), "join": "open"}
		result, err := n.Do(ctx, client.Command{Name: "network.create", Payload: create})
		fmt.Println("made a network, entry", result.Index)
		cancel() // An agent would go on.
		return err
	}
	fmt.Println(agent.Run(ctx, o))
	// Output:
	// joined as n1
	// made a network, entry 3
	// <nil>
}
