package agent

import "time"

// SetTime makes a node read the time from a test.
func SetTime(o *Options, now func() time.Time, after func(time.Duration) <-chan time.Time) {
	o.now, o.after = now, after
}

// RekeyOf is what an admin's tools do with keys.
var RekeyOf = rekey

// Settle is what a node does when it knows the present key.
func Settle(d, present string) error {
	_, err := dir(d).settle(present)
	return err
}
