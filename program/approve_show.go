package program

import (
	"fmt"
	"time"
)

// showAsked prints all that is known of what is asked: who approves it signs every
// character of it.
func (f *fleetCall) showAsked() error {
	r, err := f.find(f.args[0])
	if err != nil {
		return err
	}
	stands, open, err := f.stands(r)
	if err != nil {
		return f.app.failed(err)
	}
	switch {
	case r.isPast(time.Now()):
		stands = "past: ask anew"
	case !open:
		stands = "sent"
	}
	if f.out.json {
		return f.out.printJSON(withKey(r.raw, fmt.Sprintf(`"hash":%s,"command":%s,"stands":%s`, quoted(r.hash), quoted(r.command.Name), quoted(stands))))
	}
	by := "somebody who signed nothing"
	if r.By != "" {
		by = string(r.By)
	}
	until := r.At.Time().Add(holdsFor).UTC().Format("2006-01-02 15:04Z")
	_, err = fmt.Fprintf(f.out, "hash     %s\ncommand  %s\nkey      %s, since %s\nasked    by %s, holds until %s\nstands   %s\npayload  %s\n",
		r.hash, printable(r.command.Name), printable(r.command.Key), r.command.KeySince, by, until, printable(stands), printable(string(r.payload)))
	return err
}
