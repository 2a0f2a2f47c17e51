package swoosh

import (
	"context"
	"math"
	"sync/atomic"
	"time"

	"go.opentelemetry.io/otel/attribute"

	"github.com/chorus-services/swoosh/noun"
)

// Timer declares that the engine posts a command of this domain when a deadline
// in the state has come. next returns the domain's earliest deadline, or false
// if there is none; doc is a sentence for the catalogue that says when it comes.
//
// The engine calls next once for each published group, so next must be cheap:
// keep the deadlines in a table whose key begins with the time, and return that
// of the first row. When the wall clock reaches the deadline, the engine posts
// the command with the payload {} and actor "timer". It is an entry like any
// other, and callers may post it too. Apply does what is due by the entry's
// stamp, at most a bounded number of rows, and takes them out of the table. If
// more is due, the engine posts the command again at once.
//
// The engine stores nothing about timers, so a restart loses none: a deadline
// that has passed meanwhile comes right after the start. If the command is
// refused or changes nothing, the engine tries again after 1 s, then after twice
// as long each time, up to 1 min, and at once if next returns another deadline.
//
// NewDomain panics if the domain does not declare the command or has another
// timer for it, if the command refuses the payload {}, or if doc is empty.
func Timer[S any](command string, next func(S) (at noun.MS, due bool), doc string) Rule[S] {
	return Rule[S]{func(d *Domain[S]) {
		d.def.timers = append(d.def.timers, timerRule{
			command: d.def.fullName(command), doc: doc,
			next: func(own *domainState) (noun.MS, bool) { return next(*own.state.(*S)) },
		})
	}}
}

// timerActor is the actor of the entries that timers make. Package access gives
// no caller this name.
const timerActor = "timer"

// A timer whose command was refused, or changed nothing, is tried again after
// retryMin, then after twice as long each time, up to retryMax.
const (
	retryMin = time.Second
	retryMax = time.Minute
)

// lookEvery is how often the wall clock is read while a deadline is pending, in
// ms, since the machine's clock may be set.
const lookEvery = 1000

// never is a deadline that does not come, in Unix ms.
const never = math.MaxInt64

// timekeeper posts the commands of the timers when their deadlines come. What it
// does follows from the published state and the wall clock, so there is nothing
// to store. Its goroutine, run, submits as callers do and never makes the writer
// wait.
type timekeeper struct {
	engine *Engine
	timers []*timer
	asked  chan chan struct{} // see WaitTimers
}

// timer is a declared timer at work. The timekeeper's goroutine owns it, but for
// what others read.
type timer struct {
	rule   *timerRule
	domain int    // its place in a state
	plan   plan   // as of the newest state
	broken string // why there is no plan; empty: there is one

	// Of the last tries, if they failed.
	failures int
	tried    plan   // that the last one was for
	at       int64  // when it was, in Unix ms
	why      string // it failed

	// Read by anyone.
	deadline atomic.Int64                // of plan
	held     atomic.Pointer[TimerHealth] // nil: it is not
}

// plan is what a state says about a timer.
type plan struct {
	at     int64 // the deadline, in Unix ms, or never
	barred bool  // whether a gate refuses the command
}

// TimerHealth is a timer that is due, and whose command was refused or changed
// nothing.
type TimerHealth struct {
	Command string `json:"command"`
	Since   string `json:"since"` // when that began (RFC 3339)
	Error   string `json:"error"` // of the last try
}

func newTimekeeper(e *Engine) *timekeeper {
	k := &timekeeper{engine: e, asked: make(chan chan struct{})}
	for i, d := range e.defs {
		for n := range d.timers {
			t := &timer{rule: &d.timers[n], domain: i}
			t.deadline.Store(never)
			k.timers = append(k.timers, t)
			e.meters.TimersFired.WithLabelValues(t.rule.command)
			e.meters.TimersRefused.WithLabelValues(t.rule.command)
		}
	}
	return k
}

// run posts what is due until the intake ends, then waits for what it has
// posted.
func (k *timekeeper) run() {
	e := k.engine
	alarm := time.NewTimer(0)
	defer alarm.Stop()
	var seen *state
	var asked chan struct{}
	for e.intake.ended.Err() == nil {
		advanced := *e.advanced.Load()
		if v := e.View(); v.state != seen {
			k.look(v)
			seen = v.state
		}
		now := e.o.Now()
		due, next := k.due(now)
		if due != nil {
			k.post(due, now)
			continue
		}
		if asked != nil {
			close(asked)
			asked = nil
		}
		alarm.Stop()
		if next != never {
			alarm.Reset(time.Duration(min(lookEvery, next-now)) * time.Millisecond)
		}
		select {
		case <-advanced:
		case <-alarm.C:
		case asked = <-k.asked:
		case <-e.intake.ended.Done():
		}
	}
}

// look asks every timer about a state.
func (k *timekeeper) look(v View) {
	for _, t := range k.timers {
		p, err := t.planFor(v)
		switch {
		case err == nil:
			t.broken = ""
		case t.broken == "":
			k.engine.reportPanic("the timer of "+t.rule.command, err)
			t.broken = err.Error()
		}
		t.plan = p
		t.deadline.Store(p.at)
	}
}

// planFor calls code of the domain. It returns an error if that panics.
func (t *timer) planFor(v View) (p plan, err *Error) {
	defer caught("the timer of "+t.rule.command, &err)
	own := v.state.domains[t.domain]
	p.at = never
	if at, due := t.rule.next(own); due {
		p = plan{
			at:     int64(min(uint64(at), maxWallMS)),
			barred: v.state.askGates(v, Command{Name: t.rule.command, Domain: own.def.name}) != nil,
		}
	}
	return p, nil
}

// due returns the timers to post now and, if there are none, when to look again.
// A read-only engine has none.
func (k *timekeeper) due(now int64) (due []*timer, next int64) {
	next = never
	if k.engine.fault.Load() != nil {
		return nil, next
	}
	for _, t := range k.timers {
		at := t.next(now)
		if at <= now {
			due = append(due, t)
			continue
		}
		next = min(next, at)
		k.show(t, now)
	}
	return due, next
}

// next returns when to post the timer's command.
func (t *timer) next(now int64) int64 {
	switch {
	case t.broken != "":
		return never
	case t.plan.at > now:
		t.failures = 0
		return t.plan.at
	case t.failures == 0 || t.plan != t.tried || now < t.at: // The wall clock may have gone back.
		return now
	}
	pause := min(retryMin<<min(t.failures-1, 6), retryMax)
	return t.at + pause.Milliseconds()
}

// show tells /health whether a timer that is not posted now is held up.
func (k *timekeeper) show(t *timer, now int64) {
	why := t.broken
	if why == "" && t.failures > 0 {
		why = t.why
	}
	was := t.held.Load()
	switch {
	case why == "":
		t.held.Store(nil)
	case was == nil:
		k.engine.log.Warn("a timer is due, but its command does nothing: it is tried again", "command", t.rule.command, "why", why)
		t.held.Store(&TimerHealth{t.rule.command, time.UnixMilli(now).UTC().Format(time.RFC3339), why})
	case was.Error != why:
		t.held.Store(&TimerHealth{t.rule.command, was.Since, why})
	}
}

// post submits the commands of timers and waits for the answers. Each timer has
// one in the queue at a time, so callers come between.
func (k *timekeeper) post(due []*timer, now int64) {
	waits := make([]func() (Result, error), len(due))
	for i, t := range due {
		t.tried, t.at = t.plan, now
		waits[i] = k.submit(t.rule.command)
	}
	for i, t := range due {
		result, err := waits[i]()
		k.note(t, result, err)
	}
}

// submit puts a command into the queue, and returns what waits for the answer.
// Guards are not asked: they judge callers.
func (k *timekeeper) submit(command string) (wait func() (Result, error)) {
	e := k.engine
	ctx, span := e.span(context.Background(), "swoosh.timer", attribute.String("swoosh.command", command))
	p, err := e.prepare(Request{Command: command, Actor: timerActor}, nil)
	if err == nil {
		err = e.intake.enqueue(ctx, p, true)
	}
	if err != nil {
		e.count(command, Result{}, err)
		span.end(0, err)
		return func() (Result, error) { return Result{}, err }
	}
	return func() (Result, error) { return ticket{e, p, span}.wait(ctx) }
}

// note keeps the outcome of a try.
func (k *timekeeper) note(t *timer, result Result, err error) {
	m := k.engine.meters
	switch {
	case ShuttingDown.Is(err): // Nothing happened, and nothing more will.
		return
	case err != nil:
		m.TimersRefused.WithLabelValues(t.rule.command).Inc()
		t.failures++
		t.why = err.Error()
		return
	}
	m.TimersFired.WithLabelValues(t.rule.command).Inc()
	if !result.Changed {
		t.failures++
		t.why = "the command changed nothing, although the deadline has come"
		return
	}
	t.failures = 0
	t.held.Store(nil)
}

// health lists the timers that are held up, in the order of their declarations.
func (k *timekeeper) health() []TimerHealth {
	all := []TimerHealth{}
	for _, t := range k.timers {
		if h := t.held.Load(); h != nil {
			all = append(all, *h)
		}
	}
	return all
}

// lag returns by how much the oldest deadline that has come is overdue, in
// seconds.
func (k *timekeeper) lag() float64 {
	now := k.engine.o.Now()
	oldest := now
	for _, t := range k.timers {
		oldest = min(oldest, t.deadline.Load())
	}
	return float64(now-oldest) / 1000
}

// WaitTimers makes the timers read the wall clock at once, and returns when none
// of them is due, or those that are due have failed and wait to be tried again.
// Tests call it after they moved the clock; see swooshtest.Clock.Advance. It
// fails with ShuttingDown when the engine stops, or with ctx's error.
func (e *Engine) WaitTimers(ctx context.Context) error {
	if len(e.timers.timers) == 0 {
		return nil
	}
	settled := make(chan struct{})
	for to := e.timers.asked; ; to = nil {
		select {
		case to <- settled:
		case <-settled:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		case <-e.intake.ended.Done():
			return errShuttingDown()
		}
	}
}
