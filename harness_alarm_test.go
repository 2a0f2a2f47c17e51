package swoosh_test

import (
	"fmt"

	"github.com/chorus-services/swoosh"
	"github.com/chorus-services/swoosh/noun"
)

// alarmState is the state of a small domain with a timer: alarms that are set,
// in the order of their deadlines, and those that rang.
type alarmState struct {
	Set    swoosh.Table[noun.ID, setAlarm]  `json:"set"` // key: the deadline's 16 digits, a dash, the alarm's name
	Rung   swoosh.Table[noun.ID, rungAlarm] `json:"rung"`
	Jammed string                           `json:"jammed"` // what alarm.ring does wrong; empty: nothing
}

type setAlarm struct {
	Alarm noun.ID `json:"alarm"`
	At    noun.MS `json:"at"`
}

type rungAlarm struct {
	Times uint32       `json:"times"`
	At    swoosh.Stamp `json:"at"` // the last time
}

// ringMost is how many alarms one alarm.ring serves.
const ringMost = 2

var alarm = newAlarm(swoosh.Timer("ring", nextAlarm, "When an alarm is due."))

// newAlarm returns the domain with more rules.
func newAlarm(more ...swoosh.Rule[alarmState]) *swoosh.Domain[alarmState] {
	return swoosh.NewDomain("alarm", append([]swoosh.Rule[alarmState]{
		swoosh.On[alarmSet]("set", "Set an alarm."),
		swoosh.On[alarmCancel]("cancel", "Take an alarm away."),
		swoosh.On[alarmJam]("jam", "Make ring do something wrong."),
		swoosh.On[alarmRing]("ring", "Ring the alarms that are due, some at a time."),
	}, more...)...)
}

func nextAlarm(s alarmState) (noun.MS, bool) {
	if s.Jammed == "deadline" {
		panic("the deadline is jammed")
	}
	for _, a := range s.Set.All() {
		return a.At, true
	}
	return 0, false
}

type alarmSet struct {
	Alarm noun.ID `json:"alarm"`
	At    noun.MS `json:"at"`
}

func (c alarmSet) key() noun.ID { return noun.ID(fmt.Sprintf("%016d-%s", c.At, c.Alarm)) }

func (c alarmSet) Check(swoosh.View) error { return nil }
func (c alarmSet) Apply(s *alarmState, _ swoosh.Stamp) {
	s.Set.Put(c.key(), setAlarm(c))
}

type alarmCancel alarmSet

func (c alarmCancel) Check(swoosh.View) error { return nil }
func (c alarmCancel) Apply(s *alarmState, _ swoosh.Stamp) {
	s.Set.Delete(alarmSet(c).key())
}

type alarmJam struct {
	How string `json:"how"` // refuse, ignore, deadline; empty: nothing is wrong
}

func (c alarmJam) Check(swoosh.View) error             { return nil }
func (c alarmJam) Apply(s *alarmState, _ swoosh.Stamp) { s.Jammed = c.How }

type alarmRing struct{}

func (alarmRing) Check(v swoosh.View) error {
	if alarm.Of(v).Jammed == "refuse" {
		return swoosh.Errorf(swoosh.Conflict, "the bell is jammed")
	}
	return nil
}

func (alarmRing) Apply(s *alarmState, at swoosh.Stamp) {
	if s.Jammed == "ignore" {
		return
	}
	left := ringMost
	for key, a := range s.Set.All() {
		if uint64(a.At) > at.WallMS || left == 0 {
			return
		}
		left--
		rung, _ := s.Rung.Get(a.Alarm)
		s.Rung.Put(a.Alarm, rungAlarm{rung.Times + 1, at})
		s.Set.Delete(key)
	}
}

// at returns the time some seconds after swooshtest's clocks begin.
func at(seconds int) noun.MS { return noun.MS(1_767_225_600_000 + 1000*seconds) }

func setting(name noun.ID, seconds int) swoosh.Request {
	return swoosh.Request{Command: "alarm.set", Payload: alarmSet{name, at(seconds)}}
}

func jamming(how string) swoosh.Request {
	return swoosh.Request{Command: "alarm.jam", Payload: alarmJam{how}}
}
