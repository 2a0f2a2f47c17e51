// Upgrade is the next version of the program in examples/embedded: its doors count how
// often they were used, and know whether they are busy.
package main

import (
	"github.com/chorus-services/swoosh"
	"github.com/chorus-services/swoosh/noun"
	"github.com/chorus-services/swoosh/program"
)

// Doors is the domain's part of the state.
type Doors struct {
	Doors swoosh.Table[noun.ID, Door] `json:"doors"`
}

// Door is a row. A door that was never opened is in phase "".
type Door struct {
	Phase string       `json:"phase"`
	Uses  uint32       `json:"uses" swoosh:"was=opened"`
	Busy  bool         `json:"busy"` // used ten times
	Since swoosh.Stamp `json:"since"`
}

var domain = swoosh.NewDomain("doors",
	swoosh.On[Open]("open", "Open a door.", swoosh.From("", "CLOSED").To("OPEN")),
	swoosh.On[Close]("close", "Close a door.", swoosh.From("OPEN").To("CLOSED")),
	swoosh.Migrate("2: openings are uses, and doors are busy", busy),
)

// busy says which doors are busy. The type that it leads on from is the present one:
// the tag says what had another name, and what is new is zero.
func busy(old Doors) Doors {
	var s Doors
	for id, d := range old.Doors.All() {
		d.Busy = d.Uses >= 10
		s.Doors.Put(id, d)
	}
	return s
}

// Open is a command; so is Close.
type Open struct {
	Door noun.ID `json:"door"`
}

func (c Open) Phase(v swoosh.View) (string, error) { return phase(v, c.Door) }
func (c Open) Check(swoosh.View) error             { return nil }
func (c Open) Apply(s *Doors, at swoosh.Stamp) {
	d, _ := s.Doors.Get(c.Door)
	s.Doors.Put(c.Door, Door{Phase: "OPEN", Uses: d.Uses + 1, Busy: d.Uses >= 9, Since: at})
}

// Close closes a door.
type Close Open

func (c Close) Phase(v swoosh.View) (string, error) { return phase(v, c.Door) }
func (c Close) Check(swoosh.View) error             { return nil }
func (c Close) Apply(s *Doors, at swoosh.Stamp) {
	d, _ := s.Doors.Get(c.Door)
	d.Phase, d.Since = "CLOSED", at
	s.Doors.Put(c.Door, d)
}

func phase(v swoosh.View, door noun.ID) (string, error) {
	d, _ := domain.Of(v).Doors.Get(door)
	return d.Phase, nil
}

func main() {
	program.Main(program.Info{Name: "doors", Version: "2.0.0"}, domain)
}
