// Command oapi calls a server with the client that oapi-codegen made.
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"log"
	"os"

	"github.com/chorus-services/swoosh/internal/contract/client"
)

func main() {
	ctx := context.Background()
	c, err := client.NewClientWithResponses(os.Args[1])
	check(err)

	created, err := c.PostCommandWithResponse(ctx, &client.PostCommandParams{}, one(create("alpha")))
	check(err)
	result, err := created.JSON200.AsResult()
	check(err)
	fmt.Println("command", result.Index, result.Changed, result.Duplicate)

	batch, err := c.PostCommandWithResponse(ctx, &client.PostCommandParams{}, many(create("beta"), create("gamma")))
	check(err)
	results, err := batch.JSON200.AsResults()
	check(err)
	fmt.Println("batch", len(results.Results), results.Results[1].Index)

	refused, err := c.PostCommandWithResponse(ctx, &client.PostCommandParams{}, one(create("alpha")))
	check(err)
	problem := refused.ApplicationproblemJSON409
	fmt.Println("refusal", problem.Status, problem.Code == client.ProblemCodeConflict, problem.Happened)

	read, err := c.GetStateWithResponse(ctx, &client.GetStateParams{})
	check(err)
	var state client.State
	check(json.Unmarshal(read.Body, &state))
	fmt.Println("state", len(*state.Project.Projects), *(*state.Project.Projects)["beta"].Name)

	page, err := c.GetLogWithResponse(ctx, &client.GetLogParams{})
	check(err)
	fmt.Println("log", len(page.JSON200.Entries), page.JSON200.Entries[2].Command, page.JSON200.Next)
}

func create(project string) (c client.Command) {
	check(c.FromCommandProjectCreate(client.CommandProjectCreate{
		Payload: client.ProjectCreate{Project: project, Name: "Project " + project},
	}))
	return c
}

func one(c client.Command) (body client.Submission) {
	check(body.FromCommand(c))
	return body
}

func many(all ...client.Command) (body client.Submission) {
	check(body.FromBatch(all))
	return body
}

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}
