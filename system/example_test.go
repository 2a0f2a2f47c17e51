package system_test

import (
	"context"
	"fmt"
	"log"

	"github.com/chorus-services/swoosh"
	"github.com/chorus-services/swoosh/system"
)

// While the system is paused the commands of other domains are refused.
func Example() {
	ctx := context.Background()
	e, err := swoosh.Open(ctx, swoosh.Options{}, append(system.Parts(), work)...) // no Dir: in memory
	if err != nil {
		log.Fatal(err)
	}
	defer e.Close(ctx)

	for _, r := range []swoosh.Request{
		{Command: "control.pause", Payload: system.ControlPause{Reason: "maintenance"}},
		{Command: "work.do"},
		{Command: "control.resume"},
		{Command: "work.do"},
	} {
		_, err := e.Submit(ctx, r)
		fmt.Println(r.Command, err)
	}
	// Output:
	// control.pause <nil>
	// work.do paused: work.do is refused while the system is PAUSED (maintenance): end the pause with control.resume
	// control.resume <nil>
	// work.do <nil>
}
