package swoosh

import (
	"bytes"
	"context"
	"slices"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/chorus-services/swoosh/internal/canon"
)

// Trial is what DryRun found.
type Trial struct {
	Results []TrialResult  // of each command
	Patch   jsontext.Value // a JSON Patch (RFC 6902): makes the state's document that of the state after
}

// TrialResult is what a command would do.
type TrialResult struct {
	Changed bool           `json:"changed"`
	Result  jsontext.Value `json:"result,omitzero"` // what it would answer
}

// DryRun reports what a command would do to the durable state, or several as an
// atomic batch, and does nothing. The error is the refusal that would come.
// Idempotency keys are not looked up: the commands are taken as new.
//
// It works on a copy of its own, on the caller's goroutine, so it neither waits
// for the writer nor holds it up. By the time that the command is submitted the
// state may be another; Expect finds that out.
func (e *Engine) DryRun(ctx context.Context, rs ...Request) (Trial, error) {
	return e.dryRun(ctx, "", rs, len(rs) != 1, nil)
}

// dryRun is DryRun; key is that of a batch, since signatures are over it.
func (e *Engine) dryRun(ctx context.Context, key string, rs []Request, batch bool, may permit) (t Trial, err error) {
	var p *pending
	if batch {
		p, err = e.prepareBatch(key, rs, may)
	} else {
		p, err = e.prepare(rs[0], may)
	}
	if err == nil {
		err = e.watchEnd(ctx)
	}
	if err != nil {
		return Trial{}, err
	}
	if err := e.writable(true); err != nil {
		return Trial{}, err
	}
	if err := e.judge(ctx, p); err != nil {
		return Trial{}, err
	}
	now := e.published.Load().state
	alone := &Engine{o: e.o, log: e.log, work: now.thaw(), clock: newClock(e.o.Now, e.o.Node, now.stamp)} // It only reduces.
	if _, err := alone.reduceAll(p, new(group)); err != nil {
		return Trial{}, err
	}
	for _, r := range p.results {
		t.Results = append(t.Results, TrialResult{r.Changed, r.Result})
	}
	t.Patch = alone.work.patch(now)
	return t, nil
}

// patch returns as a JSON Patch what the changes in the undo log made of an
// earlier state. A row is replaced as a whole.
func (s *state) patch(before *state) jsontext.Value {
	touched := map[undoable][]string{}
	for _, n := range s.undo().notes {
		touched[n.thing] = append(touched[n.thing], n.key)
	}
	return s.patchOf(before, func(now, _ table) []string {
		keys := touched[now]
		slices.Sort(keys)
		return slices.Compact(keys)
	})
}

// Patch returns a JSON Patch (RFC 6902) that makes the document of an earlier view of
// the same engine or replay that of this one. A row is replaced as a whole. Its cost
// grows with the tables.
func (v View) Patch(since View) jsontext.Value {
	return v.state.patchOf(since.state, func(now, was table) []string { return now.changed(was) })
}

// patchOf is Patch, told the keys of the rows that may differ, sorted.
func (s *state) patchOf(before *state, keysOf func(now, was table) []string) jsontext.Value {
	p := &patchWriter{}
	p.member("/meta/state_hash", hashText(before.hash), hashText(s.hash))
	for i, now := range s.domains {
		was, at := before.domains[i], "/"+now.def.name
		for k := range now.def.fields {
			p.member(canon.AppendPointer(at, now.def.fields[k].name), was.plain[k], now.plain[k])
		}
		for k, t := range now.tables {
			if keys := keysOf(t, was.tables[k]); len(keys) > 0 {
				p.table(canon.AppendPointer(at, now.def.tables[k].name), was.tables[k], t, keys)
			}
		}
	}
	return append(append([]byte{'['}, p.b...), ']')
}

func hashText(h Hash) string { return string(canon.AppendString(nil, h.String())) }

// patchWriter collects the operations of a JSON Patch.
type patchWriter struct{ b []byte }

// table adds what became of the rows with these keys. The document leaves out an
// empty table, so its first row comes, and its last row goes, with the member.
func (p *patchWriter) table(at string, was, now table, keys []string) {
	if was.length() == 0 || now.length() == 0 {
		p.member(at, membersText(was), membersText(now))
		return
	}
	for _, key := range keys {
		before, _ := was.get(key)
		after, _ := now.get(key)
		p.member(canon.AppendPointer(at, key), before, after)
	}
}

// membersText returns the JSON of a table, "" if it is empty.
func membersText(t table) string {
	if t.length() == 0 {
		return ""
	}
	var b bytes.Buffer
	d := &documentWriter{w: &b}
	d.table(t)
	d.flush(0)
	return b.String()
}

// member adds what became of a member's JSON; "" is a member that is not there.
func (p *patchWriter) member(at, was, now string) {
	op := "replace"
	switch {
	case was == now:
		return
	case was == "":
		op = "add"
	case now == "":
		op = "remove"
	}
	if len(p.b) > 0 {
		p.b = append(p.b, ',')
	}
	p.b = append(append(append(p.b, `{"op":"`...), op...), `","path":`...)
	p.b = canon.AppendString(p.b, at)
	if now != "" {
		p.b = append(append(p.b, `,"value":`...), now...)
	}
	p.b = append(p.b, '}')
}

// Outcome returns what became of the command with an idempotency key: the first
// answer, or one for each command of a batch. It asks the writer, behind what is in
// the queue, and waits until what it finds is durable; it changes nothing. The error
// is NotFound if no entry in the key window has the key: then an attempt that is
// still on its way may land later. It is Timeout if ctx ends before it is decided,
// and OutcomeUnknown if the disk failed under the command.
func (e *Engine) Outcome(ctx context.Context, key string) ([]Result, error) {
	if err := Key(key).Validate(); err != nil {
		return nil, Errorf(MalformedRequest, "the key %w", err)
	}
	p := &pending{key: key, done: make(chan struct{})}
	if err := e.intake.enqueue(ctx, p, true); err != nil {
		return nil, err
	}
	return e.wait(ctx, p)
}
