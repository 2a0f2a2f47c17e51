package client

import "maps"

// NextSteps returns a copy of nextSteps.
func NextSteps() map[string]string { return maps.Clone(nextSteps) }
