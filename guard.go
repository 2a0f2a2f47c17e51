package swoosh

import (
	"context"
	"fmt"
	"strings"
)

// Guard is a predicate over the world: a quota service, a signature check. It
// is asked on the caller's goroutine, before the writer, so it may do I/O and
// may be slow. What it reads of the state may have changed when the command is
// reduced: Check reads that again.
type Guard interface {
	// Name is 1 to 63 characters of a-z, 0-9 and dash.
	Name() string
	// Judge says whether the command may go on, and why not.
	Judge(ctx context.Context, r Request, v View) (allowed bool, reason string)
}

// Verdict is what a guard said of a command. It is kept in the entry, so that
// replay never asks the world again.
type Verdict struct {
	Guard   string `json:"guard"`
	Allowed bool   `json:"allowed"`
	Reason  string `json:"reason"`
}

// maxReason bounds what a guard's reason takes in an entry, in bytes.
const maxReason = 1024

// judge asks all guards; a no is enforced by the writer, after the key.
func judge(ctx context.Context, guards []Guard, r Request, v View) []Verdict {
	var all []Verdict
	for _, g := range guards {
		allowed, reason := g.Judge(ctx, r, v)
		if len(reason) > maxReason {
			reason = reason[:maxReason]
		}
		all = append(all, Verdict{g.Name(), allowed, strings.ToValidUTF8(reason, "�")})
	}
	return all
}

// refusedBy gives GuardRejected if a verdict is no.
func refusedBy(verdicts []Verdict) *Error {
	var reasons []string
	for _, v := range verdicts {
		if !v.Allowed {
			reasons = append(reasons, fmt.Sprintf("%s: %s", v.Guard, v.Reason))
		}
	}
	if reasons == nil {
		return nil
	}
	e := Errorf(GuardRejected, "refused by %s", strings.Join(reasons, "; "))
	e.Guards = verdicts
	return e
}
