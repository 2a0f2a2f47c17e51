package program

import (
	"context"
	"encoding/json"
	"slices"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/chorus-services/swoosh"
)

const quarantineCommand = "policy.quarantine"

// canQuarantine reports whether a program has the domain of the quarantine.
func canQuarantine(parts []swoosh.Part) bool {
	return slices.ContainsFunc(swoosh.Describe(parts...), func(c swoosh.CommandInfo) bool { return c.Name == quarantineCommand })
}

// reasonMost is how many characters of a reason a quarantine keeps.
const reasonMost = 1024

// quarantine has the system refuse everything until an approver releases it, for a
// reason that the program found itself. One that is in quarantine already stays so.
func quarantine(ctx context.Context, e *swoosh.Engine, why string) error {
	reason := []rune(why)
	payload, err := json.Marshal(map[string]string{"reason": string(reason[:min(len(reason), reasonMost)])})
	if err != nil {
		return err
	}
	_, err = e.Submit(ctx, swoosh.Request{
		Command: quarantineCommand, Actor: "hub",
		Payload: jsontext.Value(payload),
	})
	if swoosh.Quarantined.Is(err) { // By the gate, before its phase is asked.
		return nil
	}
	return err
}
