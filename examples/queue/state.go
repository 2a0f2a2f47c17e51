package main

import (
	"fmt"

	"github.com/chorus-services/swoosh"
	"github.com/chorus-services/swoosh/noun"
)

const (
	firstWaitMS = 1000      // after the first attempt, then twice as long each time
	waitMostMS  = 3_600_000 // 1 h
)

// list returns the list of a phase; nil if there is no such phase.
func (s *State) list(phase string) *swoosh.Table[Place, Slot] {
	switch phase {
	case Ready:
		return &s.Ready
	case Leased, Waiting:
		return &s.Due
	case Dead:
		return &s.Dead
	}
	return nil
}

// put replaces a job's row and moves it to the list of its phase. Nothing else
// writes to the lists, so they cannot disagree with the jobs.
func (s *State) put(id noun.ID, j Job) {
	s.remove(id)
	s.Jobs.Put(id, j)
	s.list(j.Phase).Put(j.Place, Slot{id, j.At})
	if j.Phase == Leased {
		s.Leases.Put(j.Token, Slot{id, j.At})
	}
}

// remove takes a job out of all tables, if it is there.
func (s *State) remove(id noun.ID) {
	if j, ok := s.Jobs.Get(id); ok {
		s.list(j.Phase).Delete(j.Place)
		s.Leases.Delete(j.Token)
		s.Jobs.Delete(id)
	}
}

// ready puts a job behind the ready ones of its priority.
func (s *State) ready(id noun.ID, j Job, at swoosh.Stamp) {
	j.Phase, j.At, j.Token = Ready, noun.MS(at.WallMS), ""
	j.Place = Place(fmt.Sprintf("%d-%s-%s", 9-j.Priority, at, id))
	s.put(id, j)
}

// hold lets a worker have a job until a time.
func (s *State) hold(id noun.ID, j Job, token Token, until noun.MS) {
	j.Phase, j.At, j.Token, j.Place = Leased, until, token, dueAt(until, id)
	s.put(id, j)
}

// failed lets a job wait for its next attempt, or sets it aside after the last.
func (s *State) failed(id noun.ID, j Job, why noun.Text, at swoosh.Stamp) {
	j.Phase, j.At, j.Token, j.Why = Waiting, noun.MS(at.WallMS+wait(j.Attempt)), "", why
	if j.Attempt >= j.Tries {
		j.Phase, j.At = Dead, noun.MS(at.WallMS)
	}
	j.Place = dueAt(j.At, id)
	s.put(id, j)
}

// wait returns how long a job waits after an attempt, in milliseconds.
func wait(attempt uint32) uint64 {
	return min(uint64(firstWaitMS)<<min(attempt-1, 20), waitMostMS)
}

// dueAt is the key of a deadline: 16 digits, so that the order of the keys is that
// of time.
func dueAt(at noun.MS, id noun.ID) Place { return Place(fmt.Sprintf("%016d-%s", at, id)) }

// Validate refuses an imported state whose lists disagree with its jobs.
func (s State) Validate() error {
	leased := 0
	for id, j := range s.Jobs.All() {
		wrong := func(detail string) error {
			return swoosh.FieldError{Pointer: "/jobs/" + string(id), Detail: detail}
		}
		list := s.list(j.Phase)
		if list == nil {
			return wrong(fmt.Sprintf("has the phase %q, which is none", j.Phase))
		}
		if slot, _ := list.Get(j.Place); slot != (Slot{id, j.At}) || j.Phase != Ready && j.Place != dueAt(j.At, id) {
			return wrong("is not in its place in the list of its phase")
		}
		if j.Phase == Leased {
			leased++
			if slot, _ := s.Leases.Get(j.Token); slot != (Slot{id, j.At}) {
				return wrong("is LEASED, but its token is not in leases")
			}
		}
	}
	if s.Ready.Len()+s.Due.Len()+s.Dead.Len() != s.Jobs.Len() || s.Leases.Len() != leased {
		return swoosh.FieldError{Detail: "has jobs in its lists or leases that are not in jobs"}
	}
	return nil
}
