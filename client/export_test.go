package client

import "maps"

// NextSteps is a copy of the sentences that say what to do about a code.
func NextSteps() map[string]string { return maps.Clone(nextSteps) }
