package main

import (
	"cmp"
	"fmt"

	"github.com/chorus-services/swoosh"
	"github.com/chorus-services/swoosh/noun"
)

const (
	payloadMax   = 60 << 10 // bytes; a claim's answer has the payload, and an answer has at most 64 KiB
	triesDefault = 5
	leaseDefault = 30_000 // ms
	expireMost   = 100    // jobs of one command, so that none takes long
)

// Add is a command.
type Add struct {
	Job      noun.ID   `json:"job"`
	Payload  noun.JSON `json:"payload,omitzero"`
	Priority Priority  `json:"priority,omitzero"`
	Tries    uint32    `json:"tries,omitzero"` // left out: 5
}

// Validate refuses a payload that no claim could answer: the queue would be stuck.
func (c Add) Validate() error {
	if n := len(c.Payload.String()); n > payloadMax {
		return swoosh.FieldError{Pointer: "/payload", Detail: fmt.Sprintf("must have at most %d bytes, not %d: say where the rest is", payloadMax, n)}
	}
	return nil
}

func (c Add) Check(v swoosh.View) error {
	if _, ok := domain.Of(v).Jobs.Get(c.Job); ok {
		return swoosh.Errorf(swoosh.Conflict, "there is a job %s already: choose another id", c.Job)
	}
	return nil
}

func (c Add) Apply(s *State, at swoosh.Stamp) {
	s.ready(c.Job, Job{Payload: c.Payload, Priority: c.Priority, Tries: cmp.Or(c.Tries, triesDefault)}, at)
}

// Claim is a command. Its answer is in its entry, so a worker that sends it again
// with the same key gets the same job.
type Claim struct {
	Worker  noun.ID `json:"worker"`
	LeaseMS LeaseMS `json:"lease_ms,omitzero"` // left out: 30 s
}

// LeaseMS is a time of 1 s to 1 h, in milliseconds.
type LeaseMS uint32

func (l LeaseMS) Validate() error {
	if l < 1000 || l > 3_600_000 {
		return fmt.Errorf("must be 1000 to 3600000 milliseconds, not %d", l)
	}
	return nil
}

// JSONSchema describes the form in the catalogue and in openapi.json.
func (LeaseMS) JSONSchema() string { return `{"maximum":3600000,"minimum":1000,"type":"integer"}` }

func (l LeaseMS) from(at swoosh.Stamp) noun.MS {
	return noun.MS(at.WallMS + uint64(cmp.Or(l, leaseDefault)))
}

func (c Claim) Check(v swoosh.View) error {
	if s := domain.Of(v); s.Ready.Len() == 0 {
		return swoosh.Errorf(queueEmpty, "no job is ready; %d are leased or wait for another try", s.Due.Len())
	}
	return nil
}

func (c Claim) Apply(s *State, at swoosh.Stamp) {
	for _, slot := range s.Ready.All() {
		j, _ := s.Jobs.Get(slot.Job)
		j.Worker, j.Attempt = c.Worker, j.Attempt+1
		s.hold(slot.Job, j, Token(at.String()), c.LeaseMS.from(at))
		return
	}
}

// Claimed is what a worker learns.
type Claimed struct {
	Job     noun.ID   `json:"job"`
	Payload noun.JSON `json:"payload"`
	Attempt uint32    `json:"attempt"` // from 1
	Token   Token     `json:"token"`   // for complete, fail and extend
	Until   noun.MS   `json:"until"`   // the end of the lease
}

func (c Claim) Answer(v swoosh.View) Claimed {
	token := Token(v.At().String())
	lease, _ := domain.Of(v).Leases.Get(token)
	j, _ := domain.Of(v).Jobs.Get(lease.Job)
	return Claimed{lease.Job, j.Payload, j.Attempt, token, j.At}
}

// held refuses a token whose lease is over. A lease whose time is up is over once
// the timer's command says so, not before.
func held(v swoosh.View, token Token) error {
	if _, ok := domain.Of(v).Leases.Get(token); !ok {
		return swoosh.Errorf(leaseLost, "no job is leased by the token %s", token)
	}
	return nil
}

// job returns the job that a token holds.
func (s *State) job(token Token) (noun.ID, Job) {
	lease, _ := s.Leases.Get(token)
	j, _ := s.Jobs.Get(lease.Job)
	return lease.Job, j
}

// Extend is a command.
type Extend struct {
	Token   Token   `json:"token"`
	LeaseMS LeaseMS `json:"lease_ms,omitzero"` // from now on; left out: 30 s
}

func (c Extend) Check(v swoosh.View) error { return held(v, c.Token) }
func (c Extend) Apply(s *State, at swoosh.Stamp) {
	id, j := s.job(c.Token)
	s.hold(id, j, c.Token, c.LeaseMS.from(at))
}

// Complete is a command.
type Complete struct {
	Token Token `json:"token"`
}

func (c Complete) Check(v swoosh.View) error { return held(v, c.Token) }
func (c Complete) Apply(s *State, _ swoosh.Stamp) {
	id, _ := s.job(c.Token)
	s.remove(id)
}

// Fail is a command.
type Fail struct {
	Token Token     `json:"token"`
	Why   noun.Text `json:"why,omitzero"`
}

func (c Fail) Check(v swoosh.View) error { return held(v, c.Token) }
func (c Fail) Apply(s *State, at swoosh.Stamp) {
	id, j := s.job(c.Token)
	s.failed(id, j, c.Why, at)
}

// Revive is a command.
type Revive struct {
	Job noun.ID `json:"job"`
}

func (c Revive) Check(v swoosh.View) error {
	if err := isThere(v, c.Job); err != nil {
		return err
	}
	if j, _ := domain.Of(v).Jobs.Get(c.Job); j.Phase != Dead {
		return swoosh.Errorf(swoosh.Conflict, "job %s is %s: only dead jobs are revived", c.Job, j.Phase)
	}
	return nil
}

func (c Revive) Apply(s *State, at swoosh.Stamp) {
	j, _ := s.Jobs.Get(c.Job)
	j.Attempt = 0
	s.ready(c.Job, j, at)
}

// Drop is a command. A worker that has the job learns of it by lease_lost.
type Drop Revive

func (c Drop) Check(v swoosh.View) error      { return isThere(v, c.Job) }
func (c Drop) Apply(s *State, _ swoosh.Stamp) { s.remove(c.Job) }

func isThere(v swoosh.View, job noun.ID) error {
	if _, ok := domain.Of(v).Jobs.Get(job); !ok {
		return swoosh.Errorf(swoosh.NotFound, "there is no job %s: it is done, was dropped, or was never added", job)
	}
	return nil
}

// Expire is the timer's command.
type Expire struct{}

func (Expire) Check(swoosh.View) error { return nil }
func (Expire) Apply(s *State, at swoosh.Stamp) {
	left := expireMost
	for _, slot := range s.Due.All() {
		if uint64(slot.At) > at.WallMS || left == 0 {
			return
		}
		left--
		if j, _ := s.Jobs.Get(slot.Job); j.Phase == Leased {
			s.failed(slot.Job, j, "the lease ended", at)
		} else {
			s.ready(slot.Job, j, at)
		}
	}
}
