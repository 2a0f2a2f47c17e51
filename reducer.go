package swoosh

import (
	"cmp"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/chorus-services/swoosh/internal/canon"
	"github.com/chorus-services/swoosh/internal/statehash"
)

// reduce applies one command at a stamp: it asks, then performs. If it returns
// an error, nothing has changed, unless a panic caused the error; then the caller
// must undo the changes. The caller must also update the digests, see
// state.settle.
func (s *state) reduce(c *call, at Stamp, assert bool) (err *Error) {
	defer caught(c.cmd.Name, &err)
	v := View{s, at, &c.by}
	from, err := s.ask(c, v)
	if err != nil {
		return err
	}
	s.perform(c, v)
	if assert {
		c.cmd.assertPhase(c.value, v, from)
	}
	return nil
}

// repeat performs a command of the log at its stamp. It was accepted, and nothing
// is asked again: rules that refuse more than they did leave history as it is.
func (s *state) repeat(c *call, at Stamp) (err *Error) {
	defer caught(c.cmd.Name, &err)
	s.perform(c, View{s, at, &c.by})
	return nil
}

// askAgain returns why a command of the log would be refused now.
func (s *state) askAgain(c *call, at Stamp) (err *Error) {
	defer caught(c.cmd.Name, &err)
	again := *c
	if again.value, err = c.cmd.decode(c.payload); err == nil {
		_, err = s.ask(&again, View{s, at, &again.by})
	}
	return err
}

// ask returns why a command is refused, by who knows its signer, gates, guards' verdicts, phase or
// Check, in this order; from is the phase of its object.
func (s *state) ask(c *call, v View) (from string, err *Error) {
	if err := s.admit(c, v.at); err != nil {
		return "", err
	}
	if err := s.askGates(v, c.by); err != nil {
		return "", err
	}
	if err := refusedBy(c.verdicts); err != nil {
		return "", err
	}
	from, err = c.cmd.checkPhase(c.value, v)
	if err != nil {
		return "", err
	}
	if err := c.cmd.check(c.value, v); err != nil {
		return "", s.domain(c.cmd.Domain).def.refusal(err)
	}
	return from, nil
}

// askGates returns why a gate refuses a command; nil: none does.
func (s *state) askGates(v View, c Command) *Error {
	for _, p := range s.domains {
		for _, refuse := range p.def.gates {
			if err := refuse(p, v, c); err != nil {
				return p.def.refusal(err)
			}
		}
	}
	return nil
}

func (s *state) askImportGates(at Stamp) (err *Error) {
	defer caught(ImportCommand, &err)
	c := Command{Name: ImportCommand, Domain: "state"}
	return s.askGates(View{s, at, &c}, c)
}

// refusedBy returns GuardRejected if a guard said no.
func refusedBy(verdicts []Verdict) *Error {
	var reasons []string
	for _, v := range verdicts {
		if !v.Allowed {
			reasons = append(reasons, fmt.Sprintf("%s: %s", v.Guard, v.Reason))
		}
	}
	if reasons == nil {
		return nil
	}
	e := Errorf(GuardRejected, "refused by %s", strings.Join(reasons, "; "))
	e.Guards = verdicts
	return e
}

// refusal returns an error of the domain's code as an Error. A kind of its own
// that no rule lists is a fault of the domain: nothing would explain it.
func (d *definition) refusal(err error) *Error {
	e := asError(err, Internal)
	if e.Domain = ""; e.Kind.def().own {
		e.Domain = d.name
		if !slices.Contains(d.kinds, e.Kind) {
			return Errorf(Internal, "%w", Errorf(Internal, "domain %s does not list the code %s: list it in Refuses or Gate: %w", d.name, e.Kind.Code(), err))
		}
	}
	return e
}

// checkPhase returns the phase of the command's object, or an error if the
// command is not allowed in that phase.
func (c *command) checkPhase(value any, v View) (string, *Error) {
	if c.phase == nil || c.Creates {
		return "", nil
	}
	phase, err := c.phase(value, v)
	if err != nil {
		return "", v.state.domain(c.Domain).def.refusal(err)
	}
	if !slices.Contains(c.From, phase) {
		e := Errorf(InvalidPhase, "%s is %s; %s is allowed from %s", c.subject(value), list(phase), c.Name, list(c.From...))
		e.Region, e.Phase, e.AllowedFrom = c.Region, phase, c.From
		return "", e
	}
	return phase, nil
}

// subject returns a readable name for the owner of the phase: "boot", "job
// j-7", or "project alpha: ingestion" for a region that neither domain nor object name.
func (c *command) subject(value any) string {
	if c.object < 0 {
		return c.Region
	}
	id := reflect.ValueOf(value).Elem().Field(c.object).String()
	if id == "" {
		return c.Region
	}
	name, _, _ := strings.Cut(c.payload.Field(c.object).Tag.Get("json"), ",")
	if c.Region == c.Domain || c.Region == name {
		return name + " " + id
	}
	return name + " " + id + ": " + c.Region
}

// list joins phases into readable text: "A", "A or B", "A, B or C". An empty
// phase is "".
func list(phases ...string) string {
	text := ""
	for i, p := range phases {
		switch {
		case i == 0:
		case i == len(phases)-1:
			text += " or "
		default:
			text += ", "
		}
		text += cmp.Or(p, `""`)
	}
	return text
}

// perform does what an accepted command does: Apply, then the reactions. It is the
// only code that changes a state: live traffic, boot, verification and ViewAt all
// come to it.
func (s *state) perform(c *call, v View) {
	own := s.domain(c.cmd.Domain)
	by := c.by
	by.Scopes = nil // Replay has none.
	own.write(func() { c.cmd.apply(own, c.value, by, v.at) })
	s.react(c, v)
}

// react runs the reactions of other domains, in the order given to Open.
func (s *state) react(c *call, v View) {
	for _, p := range s.domains {
		for _, r := range p.def.reactions {
			if r.payload == c.cmd.payload {
				p.write(func() { r.react(p, v, c.value, v.at) })
			}
		}
	}
}

// finish settles the state after a command that was reduced, and asks for its
// answer. The error is that a faulty domain made a row that cannot be encoded, or
// that of the answer.
func (s *state) finish(c *call, at Stamp) (err *Error) {
	defer caught(c.cmd.Name, &err)
	before := s.sum
	s.settle()
	c.changed = s.sum != before
	c.result, err = c.cmd.ask(c.value, View{s, at, nil})
	return err
}

// checkExpect returns StaleState if the state is not as expected. The error has
// the current value of every expected member.
func (s *state) checkExpect(x Expect) *Error {
	if x.isZero() {
		return nil
	}
	now := &Error{Kind: StaleState}
	var stale []string
	if x.StateHash != nil {
		hash := s.hash
		if now.StateHash = &hash; hash != *x.StateHash {
			stale = append(stale, fmt.Sprintf("the state hash is %s, not the expected %s", hash, *x.StateHash))
		}
	}
	if x.Chain != nil {
		chain := s.chain
		if now.Chain = &chain; chain != *x.Chain {
			stale = append(stale, fmt.Sprintf("the last entry's chain is %s, not the expected %s", chain, *x.Chain))
		}
	}
	if x.Index != nil {
		index := s.index
		if now.Index = &index; index != *x.Index {
			stale = append(stale, fmt.Sprintf("the last entry is %d, not the expected %d", index, *x.Index))
		}
	}
	if x.Path != "" {
		domain, table, key, _ := parseRowPath(x.Path) // Its form was checked before the queue.
		hash, _ := viewOf(s).rowHash(domain, table, key)
		if now.Path, now.PathHash = x.Path, &hash; hash != x.Hash {
			stale = append(stale, fmt.Sprintf("%s has changed: its hash is %q, not the expected %q", canon.Short(x.Path, placeMost), hash, x.Hash))
		}
	}
	if stale == nil {
		return nil
	}
	now.Detail = strings.Join(stale, "; ") + ": read the state again"
	return now
}

// checkpoint holds what a rollback restores besides the rows and plain fields,
// which the undo log restores.
type checkpoint struct {
	state *state
	position
	hash Hash
	sum  statehash.Sum
}

func (s *state) checkpoint() checkpoint {
	return checkpoint{s, s.position, s.hash, s.sum}
}

// restore undoes everything reduced since the checkpoint, and returns the
// state.
func (c checkpoint) restore() *state {
	s := c.state
	s.undo().revert()
	s.position, s.hash, s.sum = c.position, c.hash, c.sum
	return s
}

// assertPhase panics if a command ended in a phase that it does not declare.
// Tests use it to find faults in a domain.
func (c *command) assertPhase(value any, v View, from string) {
	if c.phase == nil {
		return
	}
	now, err := c.phase(value, v)
	if err != nil {
		refusal := asError(err, Internal)
		if refusal.Kind == NotFound && slices.Contains(c.To, Gone) {
			return
		}
		if !c.Creates && slices.Contains(c.To, refusal.Phase) {
			return // A final phase, which Phase refuses by name.
		}
		panic(fmt.Sprintf("%s: Phase, called again after Apply, fails with %v: declare To(swoosh.Gone) if the command removes its object", c.Name, err))
	}
	ends := c.To
	if c.Stay && !slices.Contains(ends, from) {
		ends = append(slices.Clip(ends), from)
	}
	if !slices.Contains(ends, now) {
		panic(fmt.Sprintf("%s: Phase, called again after Apply, returns %s, but the command is declared to end in %s: correct its Move or its Apply", c.Name, list(now), list(ends...)))
	}
}

// logged is a record of the log, decoded and ready to be reduced again.
type logged struct {
	Record
	x       *Entry // nil if err is set
	err     error  // why it cannot be read, or cannot follow the record before it
	call    *call  // nil for the engine's own commands, and if foreign or misfit is set
	foreign bool   // whether no domain has the command
	misfit  *Error // why the payload cannot be read as the command's
}

// knows reports whether a domain, or the engine itself, has a command.
func (c *catalogue) knows(command string) bool {
	return c.byName[command] != nil || (&Entry{Command: command}).isEngines()
}

// aheadBytes is how many bytes of records are decoded at a time, ahead of the reducer.
const aheadBytes = 256 << 10

// weightOf is about what a record and its entry take in memory.
func weightOf(r Record) int { return r.size() + 1<<10 }

// ready decodes records of the log. before is the record before them.
func (c *catalogue) ready(before Record, batch []Record) []logged {
	all := make([]logged, len(batch))
	for i, rec := range batch {
		all[i] = c.readyOne(before, rec)
		before = rec
	}
	return all
}

func (c *catalogue) readyOne(before, rec Record) logged {
	l := logged{Record: rec}
	if l.x, l.err = Follow(before.Index, before.Chain, rec); l.err != nil || l.x.isEngines() {
		return l
	}
	cmd, err := c.find(l.x.Command)
	if l.foreign = err != nil; l.foreign {
		return l
	}
	value, misfit := cmd.decodeLogged(l.x.Payload)
	if l.misfit = misfit; misfit == nil {
		l.call = &call{cmd: cmd, value: value, payload: l.x.Payload, verdicts: l.x.Guards, by: l.x.command(cmd), key: l.x.SignerKey}
	}
	return l
}

// checkEvery is how often, in entries, boot holds the state hash against the
// entry's; links of the chain it checks at every one.
const checkEvery = 4096

// checkResult holds the result of an entry against what its command answers on
// the state that it left. before is the state's position before the entry.
func (c *catalogue) checkResult(s *state, before position, x *Entry) error {
	cmd := c.byName[x.Command]
	if cmd == nil {
		return nil // the engine's own
	}
	then := *s
	then.position = before
	value, err := cmd.decode(x.Payload)
	var result jsontext.Value
	if err == nil {
		result, err = cmd.ask(value, View{&then, x.HLC, nil})
	}
	gives := quoteResult(result)
	if err != nil {
		gives = "no answer: " + cmp.Or(errors.Unwrap(err), error(err)).Error()
	} else if string(result) == string(x.Result) {
		return nil
	}
	return &DamageError{
		Index:  x.Index,
		Detail: fmt.Sprintf("the answer differs: %s has the result %s, replay gives %s", x.Command, quoteResult(x.Result), gives),
		Next:   "the state is right; if Answer was changed on purpose, give the program another ReducerVersion, otherwise look for a clock, chance or the order of a map in Answer",
		Cause:  CauseReducer,
	}
}

// quoteResult returns a result for a message.
func quoteResult(result jsontext.Value) string {
	const most = 200
	switch {
	case result == nil:
		return "none"
	case len(result) > most:
		return fmt.Sprintf("%s… (%d bytes)", strings.ToValidUTF8(string(result[:most]), ""), len(result))
	}
	return string(result)
}

// ownEntry returns an entry of the engine's own that leaves the state as it is.
func (s *state) ownEntry(now func() int64, node string, index uint64, command string, payload []byte) *Entry {
	s.flush()
	at := newClock(now, node, s.stamp).Next(Stamp{})
	return &Entry{Index: index, HLC: at, Command: command, Payload: payload, StateHash: s.hash}
}
