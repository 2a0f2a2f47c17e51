package approval_test

import (
	"context"
	"fmt"
	"log"

	"github.com/chorus-services/swoosh"
	"github.com/chorus-services/swoosh/approval"
	"github.com/chorus-services/swoosh/fleet"
	"github.com/chorus-services/swoosh/project"
)

// A command that needs approvals is refused until enough nodes have approved exactly that
// one. Who wants to send it asks with its content.
func Example() {
	ctx := context.Background()
	e, err := swoosh.Open(ctx, swoosh.Options{}, fleet.Domain, project.Domain, approval.Domain) // no Dir: in memory
	if err != nil {
		log.Fatal(err)
	}
	defer e.Close(ctx)
	_, err = e.Submit(ctx, swoosh.Request{Command: "approval.require", Payload: approval.Require{Command: "project.create", Count: 2, Nodes: approval.Nodes{"n1", "n2", "n3"}}})
	if err != nil {
		log.Fatal(err)
	}

	create := swoosh.Request{Command: "project.create", Payload: project.Create{Project: "alpha", Name: "Alpha"}, IdempotencyKey: "release-7", KeySince: e.View().At()}
	content := fmt.Sprintf(`{"command":"project.create","idempotency_key":"release-7","key_since":"%s","payload":{"name":"Alpha","project":"alpha"}}`, create.KeySince)
	if _, err := e.Submit(ctx, swoosh.Request{Command: "approval.ask", Payload: approval.Ask{Content: approval.Content(content)}}); err != nil {
		log.Fatal(err)
	}
	_, err = e.Submit(ctx, create)
	fmt.Println(approval.Needed.Is(err), err.(*swoosh.Error).BlockedBy)
	// Output: true [approvals: 0 of 2]
}
