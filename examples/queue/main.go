// Queue is a job queue. A worker claims a job and holds it for a time; what fails,
// or is not finished in that time, is tried again later, and set aside after its
// last try. README.md shows it at work.
package main

import (
	"fmt"

	"github.com/chorus-services/swoosh"
	"github.com/chorus-services/swoosh/noun"
	"github.com/chorus-services/swoosh/program"
)

// State is the queue. Each job stands in one of the three lists, so that no command
// looks at more jobs than it changes.
type State struct {
	Jobs   swoosh.Table[noun.ID, Job] `json:"jobs"`
	Ready  swoosh.Table[Place, Slot]  `json:"ready"`  // the next to be claimed first
	Due    swoosh.Table[Place, Slot]  `json:"due"`    // leased and waiting jobs, the earliest deadline first
	Dead   swoosh.Table[Place, Slot]  `json:"dead"`   // the oldest first
	Leases swoosh.Table[Token, Slot]  `json:"leases"` // those that hold
}

// The phases of a job. A job that is done or dropped is gone.
const (
	Ready   = "READY"   // since At
	Leased  = "LEASED"  // a worker has it until At
	Waiting = "WAITING" // for another try, until At
	Dead    = "DEAD"    // its last try failed, at At
)

// Job is a row.
type Job struct {
	Payload  noun.JSON `json:"payload"`
	Priority Priority  `json:"priority"`
	Tries    uint32    `json:"tries"`   // how many attempts it has
	Attempt  uint32    `json:"attempt"` // how many it had, with the present one
	Phase    string    `json:"phase"`
	At       noun.MS   `json:"at"`
	Place    Place     `json:"place"`  // its key in the list of its phase
	Token    Token     `json:"token"`  // of its lease, if it is LEASED
	Worker   noun.ID   `json:"worker"` // the last one that claimed it
	Why      noun.Text `json:"why"`    // how the last attempt failed
}

// Slot is a row of the lists and of Leases.
type Slot struct {
	Job noun.ID `json:"job"`
	At  noun.MS `json:"at"`
}

// Place is a key whose order is that of a list.
type Place string

// Validate refuses nothing more than a table does.
func (Place) Validate() error { return nil }

// Token names a lease. It is the stamp of the claim, which no other command has:
// a worker that lost its lease cannot touch the job, even if it claims it again.
type Token string

func (t Token) Validate() error {
	_, err := swoosh.ParseStamp(string(t))
	return err
}

// JSONSchema describes the form in the catalogue and in openapi.json.
func (Token) JSONSchema() string {
	return `{"pattern":"^[0-9a-f]{12}-[0-9a-f]{4}-[a-z0-9-]{1,63}$","type":"string"}`
}

// Priority is 0 to 9. Jobs of 9 go first.
type Priority uint8

func (p Priority) Validate() error {
	if p > 9 {
		return fmt.Errorf("must be 0 to 9, not %d", p)
	}
	return nil
}

// JSONSchema describes the form in the catalogue and in openapi.json.
func (Priority) JSONSchema() string { return `{"maximum":9,"minimum":0,"type":"integer"}` }

// Refusals that a worker must tell from others.
var (
	queueEmpty = swoosh.Code("queue_empty", 409, "No job is ready",
		"Every job is done, leased, waiting for another try, or dead.",
		"Claim again later, or when the watch has an entry of the queue.")
	leaseLost = swoosh.Code("lease_lost", 409, "The lease is over",
		"Its time was up, or the job was dropped. Another worker may have the job.",
		"Stop working on it, and claim another one.")
)

var domain = swoosh.NewDomain("queue",
	swoosh.On[Add]("add", "Add a job.", swoosh.Refuses(swoosh.Conflict)),
	swoosh.On[Claim]("claim", "Take the first job that is ready, for some time.", swoosh.Refuses(queueEmpty)),
	swoosh.On[Extend]("extend", "Hold a job for longer.", swoosh.Refuses(leaseLost)),
	swoosh.On[Complete]("complete", "Report that a job is done.", swoosh.Refuses(leaseLost)),
	swoosh.On[Fail]("fail", "Report that an attempt failed.", swoosh.Refuses(leaseLost)),
	swoosh.On[Revive]("revive", "Give a dead job all its tries again.", swoosh.Refuses(swoosh.NotFound, swoosh.Conflict)),
	swoosh.On[Drop]("drop", "Remove a job, whoever has it.", swoosh.Refuses(swoosh.NotFound)),
	swoosh.On[Expire]("expire", "End the leases and waits whose time is up, a hundred at a time."),
	swoosh.Timer("expire", func(s State) (noun.MS, bool) {
		for _, slot := range s.Due.All() {
			return slot.At, true
		}
		return 0, false
	}, "When a lease or the wait for another try is over."),
)

func main() {
	program.Main(program.Info{Name: "queue", Version: "1.0.0"}, domain)
}
