package repair

import (
	"fmt"
	"slices"

	"github.com/chorus-services/swoosh"
)

// broken is a snapshot or a key window that is damaged.
type broken struct {
	name  string
	index uint64 // of the snapshot
	keys  bool
	why   error
}

func brokenOf(p *swoosh.Replay, name string, why error) broken {
	b := broken{name: name, why: why}
	for _, i := range p.Snapshots() {
		if name == swoosh.SnapshotName(i) || name == swoosh.KeysName(i) {
			b.index, b.keys = i, name == swoosh.KeysName(i)
		}
	}
	return b
}

// comesUp reports whether a start reads it, and so sets it aside: it reads snapshots from
// the newest one back to a sound one, and the key window beside that.
func (b broken) comesUp(sound uint64) bool { return b.index > sound || b.keys && b.index == sound }

// isBase reports whether the log rests on it: then it cannot go.
func (b broken) isBase(base uint64) bool { return !b.keys && b.index == base }

// damage is the error of a verification that finds it.
func (s *site) damage(p *swoosh.Replay, b broken) error {
	base, err := p.Base()
	if err != nil {
		return err
	}
	d := &swoosh.DamageError{Detail: fmt.Sprintf("%s is damaged: %v", b.name, b.why)}
	switch sound := s.newestSound(p); {
	case b.isBase(base) && sound > base:
		d.Detail += ", and the log rests on it"
		d.Next = fmt.Sprintf("restore it from a backup; serve starts without it, from snapshot %d", sound)
	case b.isBase(base):
		d.Detail += ", and the log rests on it"
		d.Next = "restore it from a backup, or " + s.run("repair")
	case b.comesUp(sound):
		d.Next = "serve sets it aside and rebuilds what it held"
	default:
		d.Next = s.run("repair", "--accept-loss")
	}
	return d
}

// newestSound returns the newest snapshot that is sound; 0 if there is none.
func (s *site) newestSound(p *swoosh.Replay) uint64 {
	p = p.Over(s.log)
	p.HashOnly()
	p.OnDamage(func(string, error) error { return nil })
	for _, i := range slices.Backward(p.Snapshots()) {
		if _, err := p.Load(i); err == nil || byDomains(err) != nil {
			return i
		}
	}
	return 0
}

// explainBroken says what becomes of the damaged files that were found, and keeps those
// that --accept-loss moves away.
func (c *rescue) explainBroken(found []broken, base uint64, report *Report) {
	sound := uint64(0)
	for _, a := range c.anchors {
		if a.foreign == nil {
			sound = a.view.Index()
		}
	}
	for _, b := range found {
		next := "The server does not need it; --accept-loss moves it to lost/."
		switch {
		case b.isBase(base):
			next = "The log rests on it: restore it from a backup."
			if sound > base {
				next += fmt.Sprintf(" The server starts without it, from snapshot %d.", sound)
			}
		case b.comesUp(sound):
			next = "The server sets it aside when it starts, or --accept-loss moves it to lost/."
		}
		if !b.isBase(base) {
			c.broken = append(c.broken, b.name)
		}
		report.say("%s is damaged: %v. %s", b.name, b.why, next)
	}
}
