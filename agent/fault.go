package agent

import (
	"errors"
	"fmt"
	"strings"

	"github.com/chorus-services/swoosh/client"
)

// fault is why a node may not post although its hub answers. It looks again every 5 minutes,
// and when its key files change.
type fault struct{ reason string }

func (f *fault) Error() string { return f.reason }

func faultf(format string, args ...any) error { return &fault{fmt.Sprintf(format, args...)} }

// ErrElsewhere is the error of Run if another program has registered with the node's key
// since: the later one has it.
var ErrElsewhere = errors.New("another program has registered with the key of this node since, and has its place")

// isRefusal reports whether the hub refuses what the node signs, for what the node is now
// and not for what it asks.
func isRefusal(err error) bool {
	var e *client.Error
	if !errors.As(err, &e) {
		return false
	}
	switch e.Code {
	case client.BadSignature:
		return true
	case client.Quarantined: // That of a project is not about the node.
		return len(e.BlockedBy) == 0 || !strings.HasPrefix(e.BlockedBy[0], "project:")
	case client.InvalidPhase:
		return e.Region == "fleet" && len(e.AllowedFrom) == 1 && e.AllowedFrom[0] == active
	}
	return false
}

// isAway reports whether the same request may be answered later: the hub cannot be reached,
// does not let the node in, or cannot take commands now.
func isAway(err error) bool {
	var e *client.Error
	if !errors.As(err, &e) {
		return false
	}
	switch e.Code {
	case client.Unauthorized, client.Unreachable, client.NoAnswer, client.NotSwoosh, client.RateLimited, client.Paused, client.Unlicensed:
		return true
	}
	return e.Status >= 500 && e.Code != client.StateFull && e.Code != client.Internal
}
