// Embedded shows swoosh inside a program, with a domain of the program's own:
// doors that open and close. Run it twice, it remembers: embedded DIR
package main

import (
	"context"
	"fmt"
	"log"
	"os"

	"github.com/chorus-services/swoosh"
	"github.com/chorus-services/swoosh/noun"
)

// Doors is the domain's part of the state.
type Doors struct {
	Doors swoosh.Table[noun.ID, Door] `json:"doors"`
}

// Door is a row. A door that nobody opened yet is in phase "".
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

// Close shuts a door.
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
	if len(os.Args) != 2 {
		log.Fatal("usage: embedded DIR")
	}
	ctx := context.Background()
	engine, err := swoosh.Open(ctx, swoosh.Options{Dir: os.Args[1]}, domain)
	if err != nil {
		log.Fatal(err)
	}
	for _, name := range []string{"doors.open", "doors.close"} {
		request := swoosh.Request{Command: name, Payload: []byte(`{"door":"front"}`)}
		if _, err := engine.Submit(ctx, request); err != nil {
			log.Print(err)
		}
	}
	front, _ := domain.Of(engine.View()).Doors.Get("front")
	fmt.Printf("the front door was opened %d times; entry %d\n", front.Opened, engine.View().Index())
	if err := engine.Close(ctx); err != nil {
		log.Fatal(err)
	}
}
