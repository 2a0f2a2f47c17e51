package swoosh

import (
	"fmt"
	"reflect"
	"slices"
	"strings"

	"github.com/chorus-services/swoosh/internal/canon"
	"github.com/chorus-services/swoosh/noun"
)

// Timer declares that the engine posts a command of this domain when a deadline
// in the state has come. next returns the domain's earliest deadline, or false
// if there is none; doc is a sentence for the catalogue that says when it comes.
//
// The engine calls next once for each published group, so next must be cheap:
// keep the deadlines in a table whose key begins with the time, and return that
// of the first row. When the wall clock reaches the deadline, the engine posts
// the command with the payload {} and actor "timer". It is an entry like any
// other, and callers may post it too. Apply does what is due by the entry's
// stamp, at most a bounded number of rows, and takes them out of the table. If
// more is due, the engine posts the command again at once.
//
// The engine stores nothing about timers, so a restart loses none: a deadline
// that has passed meanwhile comes right after the start. If the command is
// refused or changes nothing, the engine tries again after 1 s, then after twice
// as long each time, up to 1 min, and at once if next returns another deadline.
//
// NewDomain panics if the domain does not declare the command or has another
// timer for it, if the command refuses the payload {}, or if doc is empty.
func Timer[S any](command string, next func(S) (at noun.MS, due bool), doc string) Rule[S] {
	return Rule[S]{func(d *Domain[S]) {
		d.def.timers = append(d.def.timers, timerRule{
			command: d.def.fullName(command), doc: doc,
			next: func(own *domainState) (noun.MS, bool) { return next(*own.state.(*S)) },
		})
	}}
}

// timerRule is a declared timer.
type timerRule struct {
	command string
	doc     string
	next    func(*domainState) (at noun.MS, due bool)
}

// fullName returns the name of a command with a region: the domain's own if it
// has none.
func (d *definition) fullName(command string) string {
	if strings.Contains(command, ".") {
		return command
	}
	return d.name + "." + command
}

// checkTimers panics if a timer cannot work, and marks the commands of timers.
func (d *definition) checkTimers() {
	for i, t := range d.timers {
		at := slices.IndexFunc(d.commands, func(c *command) bool { return c.Name == t.command })
		if at < 0 {
			panic(fmt.Sprintf("swoosh: domain %s has a timer for %s, but does not declare that command: declare it with On", d.name, t.command))
		}
		if slices.ContainsFunc(d.timers[:i], func(other timerRule) bool { return other.command == t.command }) {
			panic(fmt.Sprintf("swoosh: %s has two timers: let one return the earlier deadline", t.command))
		}
		if t.doc == "" {
			panic(fmt.Sprintf("swoosh: the timer of %s has no sentence that says when its deadline comes", t.command))
		}
		c := d.commands[at]
		if faults := c.faultsOfNothing(); faults != nil {
			panic(fmt.Sprintf("swoosh: a timer posts %s with the payload {}, but %s %s: tag the members omitzero", t.command, faults[0].Pointer, faults[0].Detail))
		}
		c.Timer = t.doc
	}
}

// faultsOfNothing returns what is wrong with the payload {}.
func (c *command) faultsOfNothing() []FieldError {
	p := reflect.New(c.payload).Elem()
	if faults := c.codec.Decode([]byte("{}"), p, canon.Full); faults != nil {
		return faults
	}
	if v, ok := p.Interface().(Validator); ok {
		return faultsOf(v.Validate())
	}
	return nil
}
