package swoosh_test

import (
	"context"
	"fmt"
	"log"
	"net"
	"net/http"
	"strings"

	"github.com/chorus-services/swoosh"
	"github.com/chorus-services/swoosh/noun"
)

// Lamps is the state of a domain.
type Lamps struct {
	Lamps swoosh.Table[noun.ID, Lamp] `json:"lamps"`
}

// Lamp is a row.
type Lamp struct {
	On bool `json:"on"`
}

// Switch is a command: its fields are the payload.
type Switch struct {
	Lamp noun.ID `json:"lamp"`
	On   bool    `json:"on"`
}

// Check may refuse, and can read all domains.
func (c Switch) Check(v swoosh.View) error {
	if lamp, _ := lamps.Of(v).Lamps.Get(c.Lamp); lamp.On == c.On {
		return swoosh.Errorf(swoosh.Conflict, "lamp %s is so already", c.Lamp)
	}
	return nil
}

// Apply cannot fail, and can reach only its own domain.
func (c Switch) Apply(s *Lamps, at swoosh.Stamp) { s.Lamps.Put(c.Lamp, Lamp{On: c.On}) }

var lamps = swoosh.NewDomain("lamps",
	swoosh.On[Switch]("switch", "Switch a lamp on or off."),
)

// An engine in memory with its own domain. With Options.Dir the same engine
// keeps everything on disk.
func Example() {
	ctx := context.Background()
	engine, err := swoosh.Open(ctx, swoosh.Options{}, lamps)
	if err != nil {
		log.Fatal(err)
	}
	command := swoosh.Request{Command: "lamps.switch", Payload: Switch{Lamp: "desk", On: true}, IdempotencyKey: "k1"}
	first, err := engine.Submit(ctx, command)
	fmt.Println(first.Index, first.Duplicate, err)

	again, err := engine.Submit(ctx, command)
	fmt.Println(again.Index, again.Duplicate, err)

	command.IdempotencyKey = "k2"
	_, err = engine.Submit(ctx, command)
	fmt.Println(err)

	desk, _ := lamps.Of(engine.View()).Lamps.Get("desk")
	fmt.Println(desk.On, engine.Close(ctx))
	// Output:
	// 1 false <nil>
	// 1 true <nil>
	// conflict: lamp desk is so already
	// true <nil>
}

// The HTTP API for an engine with its own domain.
func ExampleNewAPI() {
	ctx := context.Background()
	engine, err := swoosh.Open(ctx, swoosh.Options{}, lamps)
	if err != nil {
		log.Fatal(err)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	api := swoosh.NewAPI(swoosh.APIOptions{Loopback: true})
	api.Attach(engine)
	server := api.Server()
	go server.Serve(api.Listener(listener))

	body := strings.NewReader(`{"command":"lamps.switch","payload":{"lamp":"desk","on":true}}`)
	answer, err := http.Post("http://"+listener.Addr().String()+"/command", "application/json", body)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(answer.Status, answer.Body.Close())

	api.Stop() // Streams and watches end, nothing new begins.
	fmt.Println(server.Shutdown(ctx), engine.Close(ctx))
	// Output:
	// 200 OK <nil>
	// <nil> <nil>
}
