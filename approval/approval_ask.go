package approval

import (
	"errors"

	"github.com/chorus-services/swoosh"
	"github.com/chorus-services/swoosh/fleet"
)

// Ask asks for approvals of a command. It holds for 24 hours. To ask for the same once
// more changes nothing, unless that is past: then it begins anew.
//
// Refused with InvalidPayload if the content is not the JSON of a command that there is,
// and with Conflict if no rule asks for approvals of it, if its key_since is later than the
// log, if the node that signs asks for 100 commands, or if there are 1000 asks. Up to 10
// asks that are past go with each.
type Ask struct {
	Content Content `json:"content"`
}

// Check refuses an ask that no rule calls for, one that can't be sent, and one too many.
func (c Ask) Check(v swoosh.View) error {
	command, err := resolve(v, c.Content)
	if err != nil {
		return err
	}
	s := Domain.Of(v)
	if s.needs(command) == nil {
		return swoosh.Errorf(swoosh.Conflict, "no rule asks for approvals of %s as it is: send it without", command.Name)
	}
	if command.KeySince.After(v.At()) {
		return swoosh.Errorf(swoosh.Conflict, "key_since is %s, which is later than this entry, %s: such a command can't be sent, so take key_since from the header Swoosh-HLC", command.KeySince, v.At())
	}
	asked, again := s.Asks.Get(c.Content.hash())
	if again && !asked.isPast(v.At()) {
		return nil
	}
	if by := v.Command().Signer; by != "" && s.askedBy(by, v.At()) >= asksEach {
		return swoosh.Errorf(swoosh.Conflict, "%s asks for %d commands, which is the most for one node: end one with approval.withdraw (approve withdraw)", by, asksEach)
	}
	if past := s.past(v.At()); !again && s.Asks.Len()-len(past) >= asksMax {
		return swoosh.Errorf(swoosh.Conflict, "there are %d asks, which is the most: each goes 24 hours after it was made, and an admin ends one with approval.withdraw (approve withdraw)", asksMax)
	}
	return nil
}

// resolve returns the command of a content. It fails with InvalidPayload if there is no
// such command, or if it could not be sent.
func resolve(v swoosh.View, content Content) (swoosh.Command, error) {
	command, err := swoosh.ParseContent(string(content))
	if err == nil {
		command, err = v.Resolve(command)
	}
	if err == nil {
		return command, nil
	}
	detail := err.Error()
	if e := (*swoosh.Error)(nil); errors.As(err, &e) {
		detail = e.Detail
	}
	fault := swoosh.FieldError{Pointer: "/payload/content", Detail: "must be a command that can be sent, but " + detail}
	refused := swoosh.Errorf(swoosh.InvalidPayload, "%s %s", fault.Pointer, fault.Detail)
	refused.Errors = []swoosh.FieldError{fault}
	return command, refused
}

// ApplyBy adds the ask, and removes those that are past.
func (c Ask) ApplyBy(s *State, by swoosh.Command, at swoosh.Stamp) {
	for _, key := range s.past(at) {
		s.drop(key)
	}
	key := c.Content.hash()
	asked, again := s.Asks.Get(key)
	if again && !asked.isPast(at) {
		return
	}
	if again { // It is past, but ten others were before it.
		s.drop(key)
	}
	s.Asks.Put(key, Asked{c.Content, fleet.NodeID(by.Signer), at})
}
