package swoosh

import "fmt"

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
