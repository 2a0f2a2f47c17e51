// Embedded is a complete program with its own domain: doors that open and
// close.
//
//	go build -o doors . && ./doors serve
//	./doors command doors.open '{"door":"front"}'
//	./doors state
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
	Phase  string       `json:"phase"`
	Opened uint32       `json:"opened"` // times
	Since  swoosh.Stamp `json:"since"`
}

var domain = swoosh.NewDomain("doors",
	swoosh.On[Open]("open", "Open a door.", swoosh.From("", "CLOSED").To("OPEN")),
	swoosh.On[Close]("close", "Close a door.", swoosh.From("OPEN").To("CLOSED")),
)

// Open is a command; so is Close.
type Open struct {
	Door noun.ID `json:"door"`
}

func (c Open) Phase(v swoosh.View) (string, error) { return phase(v, c.Door) }
func (c Open) Check(swoosh.View) error             { return nil }
func (c Open) Apply(s *Doors, at swoosh.Stamp) {
	d, _ := s.Doors.Get(c.Door)
	s.Doors.Put(c.Door, Door{Phase: "OPEN", Opened: d.Opened + 1, Since: at})
}

// Close closes a door.
type Close Open

func (c Close) Phase(v swoosh.View) (string, error) { return phase(v, c.Door) }
func (c Close) Check(swoosh.View) error             { return nil }
func (c Close) Apply(s *Doors, at swoosh.Stamp) {
	d, _ := s.Doors.Get(c.Door)
	s.Doors.Put(c.Door, Door{Phase: "CLOSED", Opened: d.Opened, Since: at})
}

func phase(v swoosh.View, door noun.ID) (string, error) {
	d, _ := domain.Of(v).Doors.Get(door)
	return d.Phase, nil
}

func main() {
	program.Main(program.Info{Name: "doors", Version: "1.0.0"}, domain)
}
