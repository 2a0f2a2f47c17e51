package guard

import "github.com/chorus-services/swoosh"

// Parse is what Open does with the content of a file.
func Parse(doc []byte, commands []swoosh.CommandInfo) ([]*rule, error) { return parse(doc, commands) }

// NewClient is what asks web services.
var NewClient = newClient
