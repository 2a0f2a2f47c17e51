// Command ogen calls a server with the client that ogen made.
package main

import (
	"context"
	"fmt"
	"log"
	"os"

	"github.com/chorus-services/swoosh/internal/contract/client"
)

// none is the token of a server without tokens.
type none struct{}

func (none) Token(context.Context, client.OperationName) (client.Token, error) {
	return client.Token{Token: "none"}, nil
}

func main() {
	ctx := context.Background()
	c, err := client.NewClient(os.Args[1], none{})
	check(err)

	created := post(ctx, c, client.NewCommandSubmission(create("alpha")))
	result := created.(*client.AnswerHeaders).Response.Result
	fmt.Println("command", result.Index, result.Changed, result.Duplicate)

	batch := post(ctx, c, client.NewBatchSubmission(client.Batch{create("beta"), create("gamma")}))
	results := batch.(*client.AnswerHeaders).Response.Results.Results
	fmt.Println("batch", len(results), results[1].Index)

	refused := post(ctx, c, client.NewCommandSubmission(create("alpha")))
	problem := refused.(*client.InvalidPhaseConflictKeyExpiredHeaders).Response
	fmt.Println("refusal", problem.Status, problem.Code == client.ProblemCodeConflict, problem.Happened)

	read, err := c.GetState(ctx, client.GetStateParams{})
	check(err)
	var state client.State
	check(state.UnmarshalJSON(read.(*client.GetStateOKHeaders).Response))
	fmt.Println("state", len(state.Project.Value.Projects.Value), state.Project.Value.Projects.Value["beta"].Name.Value)

	page, err := c.GetLog(ctx, client.GetLogParams{})
	check(err)
	entries := page.(*client.GetLogOKApplicationJSONHeaders).Response
	fmt.Println("log", len(entries.Entries), entries.Entries[2].Command, entries.Next)
}

func create(project string) client.Command {
	return client.NewCommandProjectCreateCommand(client.CommandProjectCreate{
		Payload: client.CommandProjectCreatePayload{Project: project, Name: "Project " + project},
	})
}

func post(ctx context.Context, c *client.Client, body client.Submission) client.PostCommandRes {
	answer, err := c.PostCommand(ctx, &body, client.PostCommandParams{})
	check(err)
	return answer
}

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}
