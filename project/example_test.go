package project_test

import (
	"context"
	"fmt"
	"log"

	"github.com/chorus-services/swoosh"
	"github.com/chorus-services/swoosh/noun"
	"github.com/chorus-services/swoosh/project"
)

// A project begins with every region in its first phase. A command moves only
// its own region, and a refused command changes nothing.
func Example() {
	ctx := context.Background()
	e, err := swoosh.Open(ctx, swoosh.Options{}, project.Domain) // no Dir: in memory
	if err != nil {
		log.Fatal(err)
	}
	defer e.Close(ctx)

	for _, r := range []swoosh.Request{
		{Command: "project.create", Payload: project.Create{Project: "alpha", Name: "Alpha"}},
		{Command: "ingestion.resolve", Payload: project.IngestionResolve{Project: "alpha", Sources: noun.Refs{"oci://registry/app:v1"}}},
		{Command: "execution.start", Payload: project.ExecutionStart{Project: "alpha"}},
	} {
		if _, err := e.Submit(ctx, r); err != nil {
			fmt.Println(err)
		}
	}
	ingestion, _ := project.Domain.Of(e.View()).Ingestion.Get("alpha")
	fmt.Println(ingestion.Phase, ingestion.Sources)
	// Output:
	// conflict: execution of project alpha waits until its other regions are READY (blocked by ingestion: FETCH, council: PLAN_ROLES, environment: ALLOCATE)
	// FETCH [oci://registry/app:v1]
}
