package access

import "time"

// SetNow gives the tokens another clock.
func (t *Tokens) SetNow(now time.Time) { t.roll.now = func() time.Time { return now } }
