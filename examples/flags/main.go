// Flags is a server of feature flags with a history: the log says who changed what
// and when, and any state of the past can be read. README.md shows it at work.
package main

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"

	"github.com/chorus-services/swoosh"
	"github.com/chorus-services/swoosh/noun"
	"github.com/chorus-services/swoosh/program"
)

// State has a row for each flag.
type State struct {
	Flags swoosh.Table[noun.ID, Flag] `json:"flags"`
}

// Flag is a row. Who changed it and when is not in it: the log has that.
type Flag struct {
	Percent Percent   `json:"percent"` // of the users, for whom the flag is on
	About   noun.Text `json:"about"`
}

// Percent is 0 to 100.
type Percent uint8

func (p Percent) Validate() error {
	if p > 100 {
		return fmt.Errorf("must be 0 to 100, not %d", p)
	}
	return nil
}

// JSONSchema describes the form in the catalogue and in openapi.json.
func (Percent) JSONSchema() string { return `{"maximum":100,"minimum":0,"type":"integer"}` }

var domain = swoosh.NewDomain("flags",
	swoosh.On[Set]("set", "Set for how many of the users a flag is on."),
	swoosh.On[Delete]("delete", "Delete a flag.", swoosh.Refuses(swoosh.NotFound)),
	swoosh.On[Ask]("ask", "Say whether a flag is on for a user. It changes nothing, so ask as a dry run.", swoosh.Refuses(swoosh.NotFound)),
)

// Set is a command.
type Set struct {
	Flag    noun.ID   `json:"flag"`
	Percent Percent   `json:"percent"`        // 0: on for nobody; 100: for everybody
	About   noun.Text `json:"about,omitzero"` // left out: as before
}

func (c Set) Check(swoosh.View) error { return nil }
func (c Set) Apply(s *State, _ swoosh.Stamp) {
	f, _ := s.Flags.Get(c.Flag)
	f.Percent = c.Percent
	if c.About != "" {
		f.About = c.About
	}
	s.Flags.Put(c.Flag, f)
}

// Delete is a command.
type Delete struct {
	Flag noun.ID `json:"flag"`
}

func (c Delete) Check(v swoosh.View) error      { return isThere(v, c.Flag) }
func (c Delete) Apply(s *State, _ swoosh.Stamp) { s.Flags.Delete(c.Flag) }

// Ask is a command that only answers. Sent as a dry run it leaves no entry; sent
// otherwise, its entry proves what a user was told.
type Ask struct {
	Flag noun.ID   `json:"flag"`
	User noun.Name `json:"user"`
}

// Told is what Ask answers.
type Told struct {
	On bool `json:"on"`
}

// Check refuses a flag that is not there, so that a typing error is not an off.
func (c Ask) Check(v swoosh.View) error  { return isThere(v, c.Flag) }
func (c Ask) Apply(*State, swoosh.Stamp) {}
func (c Ask) Answer(v swoosh.View) Told {
	f, _ := domain.Of(v).Flags.Get(c.Flag)
	return Told{f.Percent.has(c.Flag, c.User)}
}

// has reports whether a user is among the percent of a flag. Each flag has an order
// of its own, in which every user has a place: who is in at 10 percent is still in
// at 20, and other users come first with another flag. A hash makes the order, so
// nothing is stored, and every server and every replay says the same.
func (p Percent) has(flag noun.ID, user noun.Name) bool {
	sum := sha256.Sum256([]byte(string(flag) + "/" + string(user))) // An ID has no slash.
	return binary.BigEndian.Uint64(sum[:])%100 < uint64(p)
}

func isThere(v swoosh.View, flag noun.ID) error {
	if _, ok := domain.Of(v).Flags.Get(flag); !ok {
		return swoosh.Errorf(swoosh.NotFound, "there is no flag %s: create it with flags.set", flag)
	}
	return nil
}

func main() {
	program.Main(program.Info{Name: "flags", Version: "1.0.0"}, domain)
}
