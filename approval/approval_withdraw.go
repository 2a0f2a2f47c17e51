package approval

import (
	"github.com/chorus-services/swoosh"
)

// Withdraw takes an ask away, with what nodes said to it. It may be asked anew.
//
// Refused with NotFound if nobody asked, and with Forbidden if it is signed by another node
// than the one that asked. Without a signature it is an admin's.
type Withdraw struct {
	Content Hash `json:"content"`
}

// Check refuses a node that did not ask.
func (c Withdraw) Check(v swoosh.View) error {
	asked, ok := Domain.Of(v).Asks.Get(c.Content)
	if !ok {
		return notAsked(c.Content)
	}
	by := v.Command().Signer
	switch {
	case by == "" || by == string(asked.By):
		return nil
	case asked.By == "":
		return swoosh.Errorf(swoosh.Forbidden, "%s signed this, but no node asked for %.12s…: only an admin may withdraw it", by, c.Content)
	}
	return swoosh.Errorf(swoosh.Forbidden, "%s signed this, but %s asked for %.12s…: only %[2]s or an admin may withdraw it", by, asked.By, c.Content)
}

// Apply removes the ask.
func (c Withdraw) Apply(s *State, _ swoosh.Stamp) { s.drop(c.Content) }
