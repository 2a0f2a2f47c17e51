package main

import (
	"slices"

	"github.com/chorus-services/swoosh"
	"github.com/chorus-services/swoosh/project"
	"github.com/chorus-services/swoosh/system"
)

// reducerVersion names the meaning of the domains below. Change it when equal
// commands may give other states than before.
const reducerVersion = "1"

// parts are the program's domains, those with gates first, in the order in
// which they are asked: quarantine, pause, licence.
func parts() []swoosh.Part {
	return slices.Concat(system.Parts(), []swoosh.Part{project.Domain})
}
