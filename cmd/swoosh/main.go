// Command swoosh is a small durable control plane: services post commands, a
// deterministic reducer turns them into state, and every command is on disk
// before it is answered. `swoosh serve` runs it, `swoosh help` lists the rest.
package main

import (
	"github.com/chorus-services/swoosh/approval"
	"github.com/chorus-services/swoosh/fleet"
	"github.com/chorus-services/swoosh/program"
	"github.com/chorus-services/swoosh/project"
	"github.com/chorus-services/swoosh/system"
)

func main() {
	// Gates are asked in this order: those of the system first, that of approvals last.
	program.Main(program.Info{Name: "swoosh", ReducerVersion: "1"}, append(system.Parts(), fleet.Domain, project.Domain, approval.Domain)...)
}
