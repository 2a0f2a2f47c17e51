package access

import "time"

// SetNow sets the tokens' clock.
func (t *Tokens) SetNow(now time.Time) { t.roll.Now = func() time.Time { return now } }
