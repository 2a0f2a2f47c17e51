// Deploy is a control plane for deployments: a new version waits for the
// approvals of two people, and goes back by itself if nobody confirms in time
// that it works. README.md shows it at work.
package main

import (
	"context"
	"fmt"

	"github.com/chorus-services/swoosh"
	"github.com/chorus-services/swoosh/noun"
	"github.com/chorus-services/swoosh/program"
)

// State has a row for each service. What deploys watches Run, and nothing else.
type State struct {
	Services swoosh.Table[noun.ID, Service] `json:"services"`
	Due      swoosh.Table[Place, Deadline]  `json:"due"` // of the services that are ON_TRIAL, the earliest first
}

// The phases of a service. One that was never deployed is in phase "".
const (
	Proposed   = "PROPOSED"    // Version waits for approvals
	OnTrial    = "ON_TRIAL"    // Version runs until it is confirmed, or its time is up
	Stable     = "STABLE"      // Version runs
	RolledBack = "ROLLED_BACK" // the version before it runs
)

// Service is a row.
type Service struct {
	Phase     string      `json:"phase"`
	Version   noun.Ref    `json:"version"`    // the newest that was proposed
	Run       noun.Ref    `json:"run"`        // the one that should run; empty: none
	Good      noun.Ref    `json:"good"`       // the last one that was confirmed
	Approvals []noun.Name `json:"approvals"`  // of Version: who approved it
	TrialMS   TrialMS     `json:"trial_ms"`   // how long Version may run unconfirmed
	ConfirmBy noun.MS     `json:"confirm_by"` // ON_TRIAL: the end of that time
}

// Deadline is a row of Due.
type Deadline struct {
	Service noun.ID `json:"service"`
	At      noun.MS `json:"at"`
}

// Place is a key of Due, 16 digits of milliseconds and the service, so that the
// order of the keys is that of the deadlines.
type Place string

// Validate refuses nothing more than a table does: State.Validate compares each key
// with its service.
func (Place) Validate() error { return nil }

func place(at noun.MS, service noun.ID) Place {
	return Place(fmt.Sprintf("%016d-%s", at, service))
}

// TrialMS is a time of 1 s to 24 h, in milliseconds.
type TrialMS uint32

func (t TrialMS) Validate() error {
	if t < 1000 || t > 86_400_000 {
		return fmt.Errorf("must be 1000 to 86400000 milliseconds, not %d", t)
	}
	return nil
}

// JSONSchema describes the form in the catalogue and in openapi.json.
func (TrialMS) JSONSchema() string { return `{"maximum":86400000,"minimum":1000,"type":"integer"}` }

// Validate refuses an imported state in which a trial would never end, or one that
// is not there would.
func (s State) Validate() error {
	trials := 0
	for id, service := range s.Services.All() {
		if service.Phase != OnTrial {
			continue
		}
		trials++
		if d, _ := s.Due.Get(place(service.ConfirmBy, id)); d != (Deadline{id, service.ConfirmBy}) {
			return swoosh.FieldError{Pointer: "/services/" + string(id), Detail: "is ON_TRIAL, but its deadline is not in due"}
		}
	}
	if trials != s.Due.Len() {
		return swoosh.FieldError{Pointer: "/due", Detail: fmt.Sprintf("has %d deadlines for %d trials", s.Due.Len(), trials)}
	}
	return nil
}

var domain = swoosh.NewDomain("deploy",
	swoosh.On[Propose]("propose", "Propose a version of a service, in place of an earlier proposal.",
		swoosh.From("", Proposed, Stable, RolledBack).To(Proposed)),
	swoosh.On[Approve]("approve", "Approve the proposed version. The second approval starts its trial.",
		swoosh.From(Proposed).To(Proposed, OnTrial), swoosh.Refuses(swoosh.Conflict)),
	swoosh.On[Confirm]("confirm", "Confirm that the version on trial works.",
		swoosh.From(OnTrial).To(Stable), swoosh.Refuses(swoosh.Conflict)),
	swoosh.On[Rollback]("rollback", "End the trial: go back to the last version that was confirmed.",
		swoosh.From(OnTrial).To(RolledBack), swoosh.Refuses(swoosh.Conflict)),
	swoosh.On[Expire]("expire", "Roll back the trials whose time is up, a hundred at a time."),
	swoosh.Timer("expire", func(s State) (noun.MS, bool) {
		for _, d := range s.Due.All() {
			return d.At, true
		}
		return 0, false
	}, "When a trial's time is up."),
)

// self is a guard. The domain counts names, and cannot see who sends a command:
// the guard can, and lets everyone approve in their own name only.
type self struct{}

func (self) Name() string { return "self" }

func (self) Judge(_ context.Context, r swoosh.Request, _ swoosh.View) []swoosh.Verdict {
	a, ok := r.Payload.(Approve)
	if !ok {
		return nil
	}
	if r.Actor == string(a.By) {
		return []swoosh.Verdict{{Allowed: true}}
	}
	reason := fmt.Sprintf("an approval by %s must be sent with the token of %s, not of %q", a.By, a.By, r.Actor)
	return []swoosh.Verdict{{Reason: reason}}
}

var info = program.Info{Name: "deploy", Version: "1.0.0", Guards: []swoosh.Guard{self{}}}

func main() {
	program.Main(info, domain)
}
