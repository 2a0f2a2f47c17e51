package swoosh

import (
	"fmt"
	"math"
	"net"
	"strconv"
	"sync"
	"time"
)

// Role is what a caller may do. Each role includes those before it.
type Role uint8

// The roles. The zero Role may do nothing.
const (
	NoRole    Role = iota
	RoleRead       // every GET but those for debugging
	RoleWrite      // and POST /command
	RoleAdmin      // and the rest, commands of privileged domains included
)

var roleNames = [...]string{NoRole: "none", RoleRead: "read", RoleWrite: "write", RoleAdmin: "admin"}

// String is the role's name: read, write or admin.
func (r Role) String() string { return roleNames[r] }

// ParseRole reads a role's name.
func ParseRole(name string) (Role, error) {
	for r := RoleRead; r <= RoleAdmin; r++ {
		if roleNames[r] == name {
			return r, nil
		}
	}
	return NoRole, fmt.Errorf("the role %s is unknown: give read, write or admin", shown(name))
}

// Caller is who sent a request, as far as the server found out.
type Caller struct {
	Name string // the entry's actor; empty: nobody asked for a name
	Role Role
}

// may refuses what needs a greater role.
func (c Caller) may(what string, needed Role) error {
	if c.Role >= needed {
		return nil
	}
	who := "this caller"
	if c.Name != "" {
		who = shown(c.Name)
	}
	return Errorf(Forbidden, "%s needs the role %s, %s has %s: ask as somebody who has that role", what, needed, who, c.Role)
}

// Role returns the role that a caller of the API needs for the command.
func (c CommandInfo) Role() Role {
	if c.Privileged {
		return RoleAdmin
	}
	return RoleWrite
}

// admit finds out who asks, whether that caller may, and whether now.
func (x *exchange) admit() error {
	if x.route.role == NoRole {
		return nil
	}
	var err error
	if x.caller, err = x.identify(); err != nil {
		return err
	}
	wait := x.api.rates.take(x.bucket(x.caller))
	if wait == 0 {
		return nil
	}
	seconds := strconv.Itoa(int(math.Ceil(wait.Seconds())))
	x.w.Header().Set("Retry-After", seconds)
	return Errorf(RateLimited, "one caller may send %v requests a second: send it again in %s s", x.api.o.Rate, seconds)
}

// identify finds out who asks, and whether that caller may.
func (x *exchange) identify() (Caller, error) {
	c := Caller{Role: RoleAdmin}
	if ask := x.api.o.Authenticate; ask != nil {
		var err error
		if c, err = ask(x.r); err != nil {
			return c, asError(err, Unauthorized)
		}
	}
	return c, c.may(x.route.method+" "+x.route.path, x.route.role)
}

// askAgain asks again and again who sent a request whose answer has no end, so
// that a caller who may no longer ask is not served on: told gets the caller as
// it is now or, the last time, why it has to go; then the answer has grace to
// end by itself, as at a stop. done ends the asking.
func (x *exchange) askAgain(told func(Caller, error)) (done func()) {
	if x.api.o.Authenticate == nil {
		return func() {}
	}
	over := make(chan struct{})
	var asking sync.WaitGroup
	asking.Go(func() {
		tick := time.NewTicker(x.api.askEvery)
		defer tick.Stop()
		for {
			select {
			case <-over:
				return
			case <-tick.C:
			}
			c, err := x.identifyAgain()
			if err != nil {
				_ = x.rc.SetWriteDeadline(time.Now().Add(x.api.stopGrace)) // A connection without deadlines is not ours to cut.
			}
			if told(c, err); err != nil {
				return
			}
		}
	})
	return func() {
		close(over)
		asking.Wait() // Not a word to a connection that serves another request.
	}
}

// identifyAgain is identify outside of the request's own goroutine, where
// nobody else would catch a panic.
func (x *exchange) identifyAgain() (c Caller, err error) {
	defer func() {
		if p := recover(); p != nil {
			e := x.panicked(p)
			e.Unknown = false // Nothing was taken.
			err = e
		}
	}()
	return x.identify()
}

// bucket is what a caller's requests are counted by: its name, or where it
// asks from.
func (x *exchange) bucket(c Caller) bucketKey {
	if c.Name != "" {
		return bucketKey{name: c.Name}
	}
	address, _, err := net.SplitHostPort(x.r.RemoteAddr)
	if err != nil {
		address = x.r.RemoteAddr // of a socket that is no port
	}
	return bucketKey{address: address}
}

// sign says in a request who sends it.
func (c Caller) sign(r *Request) { r.Actor, r.role = c.Name, c.Role }
