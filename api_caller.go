package swoosh

import (
	"fmt"
	"math"
	"net"
	"strconv"
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

// admit finds out who asks, whether that caller may, and whether now.
func (x *exchange) admit() error {
	if x.route.role == NoRole {
		return nil
	}
	x.caller = Caller{Role: RoleAdmin}
	if ask := x.api.o.Authenticate; ask != nil {
		var err error
		if x.caller, err = ask(x.r); err != nil {
			return asError(err, Unauthorized)
		}
	}
	if err := x.caller.may(x.route.method+" "+x.route.path, x.route.role); err != nil {
		return err
	}
	wait := x.api.rates.take(x.bucket())
	if wait == 0 {
		return nil
	}
	seconds := strconv.Itoa(int(math.Ceil(wait.Seconds())))
	x.w.Header().Set("Retry-After", seconds)
	return Errorf(RateLimited, "one caller may send %v requests a second: send it again in %s s", x.api.o.Rate, seconds)
}

// bucket is what the caller's requests are counted by: its name, or where it
// asks from.
func (x *exchange) bucket() bucketKey {
	if x.caller.Name != "" {
		return bucketKey{name: x.caller.Name}
	}
	address, _, err := net.SplitHostPort(x.r.RemoteAddr)
	if err != nil {
		address = x.r.RemoteAddr // of a socket that is no port
	}
	return bucketKey{address: address}
}

// sign says in a request who sends it.
func (c Caller) sign(r *Request) { r.Actor, r.role = c.Name, c.Role }
