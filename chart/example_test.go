package chart_test

import (
	"fmt"
	"os"

	"github.com/chorus-services/swoosh"
	"github.com/chorus-services/swoosh/chart"
)

func ExampleWrite() {
	door := swoosh.NewDomain("door",
		swoosh.On[chartMove]("build", "Build it.", swoosh.From().To("OPEN")),
		swoosh.On[chartMove]("shut", "Shut it.", swoosh.From("OPEN").To("SHUT")))
	if err := chart.Write(os.Stdout, door); err != nil {
		fmt.Println(err)
	}
	// Output:
	// ## door
	//
	// ```mermaid
	// stateDiagram-v2
	//     [*] --> OPEN : door.build
	//     OPEN --> SHUT : door.shut
	//     SHUT --> [*]
	// ```
}
