package client_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"net/http/httptest"
	"slices"

	"github.com/chorus-services/swoosh"
	"github.com/chorus-services/swoosh/client"
	"github.com/chorus-services/swoosh/project"
)

// serve stands for swoosh serve. It returns the server's address.
func serve() (address string, stop func()) {
	engine, err := swoosh.Open(context.Background(), swoosh.Options{}, project.Domain)
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

// Create is the payload of project.create.
type Create struct {
	Project string `json:"project"`
	Name    string `json:"name"`
}

// Project is the part of a row that an example reads.
type Project struct {
	Name  string `json:"name"`
	Phase string `json:"phase"`
}

func ExampleClient_Do() {
	address, stop := serve()
	defer stop()
	c, err := client.New(address, client.Options{})
	if err != nil {
		log.Fatal(err)
	}
	defer c.Close()
	ctx := context.Background()

	create := client.Command{Name: "project.create", Payload: Create{"alpha", "Alpha"}}
	result, err := c.Do(ctx, create)
	fmt.Println(result.Index, result.Changed, err)

	_, err = c.Do(ctx, create) // A new key, so a new command: alpha is there.
	var e *client.Error
	if errors.As(err, &e) {
		fmt.Println(e.Code, e.Happened)
	}

	alpha, _, err := client.Get[Project](ctx, c, "/project/projects/alpha", client.MinIndex(result.Index))
	fmt.Println(alpha.Name, alpha.Phase, err)
	// Output:
	// 1 true <nil>
	// conflict no
	// Alpha ACTIVE <nil>
}

func ExampleClient_Stream() {
	address, stop := serve()
	defer stop()
	c, err := client.New(address, client.Options{})
	if err != nil {
		log.Fatal(err)
	}
	defer c.Close()

	commands := slices.Values([]client.Command{
		{Name: "project.create", Payload: Create{"alpha", "Alpha"}},
		{Name: "project.create", Payload: Create{"NO ID", "?"}},
		{Name: "project.create", Payload: Create{"beta", "Beta"}},
	})
	for answer, err := range c.Stream(context.Background(), commands) {
		switch {
		case err != nil:
			log.Fatal(err) // An *Error: its Again has what is not answered.
		case answer.Refused != nil:
			fmt.Println(answer.Line, answer.Refused.Code)
		default:
			fmt.Println(answer.Line, "is entry", answer.Result.Index)
		}
	}
	// Output:
	// 1 is entry 1
	// 2 invalid_payload
	// 3 is entry 2
}

func ExampleClient_Watch() {
	address, stop := serve()
	defer stop()
	c, err := client.New(address, client.Options{})
	if err != nil {
		log.Fatal(err)
	}
	defer c.Close()
	ctx := context.Background()
	for _, name := range []string{"alpha", "beta"} {
		if _, err := c.Do(ctx, client.Command{Name: "project.create", Payload: Create{name, name}}); err != nil {
			log.Fatal(err)
		}
	}

	for entry, err := range c.Watch(ctx, 1) {
		if err != nil {
			log.Fatal(err)
		}
		fmt.Println(entry.Index, entry.Command, string(entry.Payload))
		if entry.Index == 2 {
			break // Else it waits for what is to come.
		}
	}
	// Output:
	// 1 project.create {"name":"alpha","project":"alpha"}
	// 2 project.create {"name":"beta","project":"beta"}
}
