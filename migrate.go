package swoosh

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/chorus-services/swoosh/internal/canon"
)

// Migration is what a start does, or did, to the data of a domain; see Migrate.
type Migration struct {
	Domain string   `json:"domain"`
	From   uint32   `json:"from"`  // the version of the data
	To     uint32   `json:"to"`    // the version that it is brought to
	Steps  []string `json:"steps"` // as they are declared, in order
	Rows   int      `json:"rows"`  // rows and plain fields that are not as they were, those that are gone included

	// Path is the JSON Pointer of one of them, Before and After its JSON; empty if it
	// is not there. Path is empty if Rows is 0.
	Path   string `json:"path"`
	Before string `json:"before"`
	After  string `json:"after"`
}

// migrated is the payload of log.migrate: the data of a domain was brought to another
// version.
type migrated struct {
	Domain    string      `json:"domain"`
	From      uint32      `json:"from"`
	MadeBy    fingerprint `json:"made_by"`    // who wrote the data as it was, and can rebuild the states before
	StateHash Hash        `json:"state_hash"` // of the state after it
	To        uint32      `json:"to"`
}

func decodeMigrated(x *Entry) (p migrated, err error) {
	return p, fieldsError(canon.Of[migrated]().Decode(x.Payload, &p, canon.Full))
}

// migrate brings the state that a start begins with to the versions of the data that
// the domains have, and makes it the base. A start that was broken off may have written
// the entries that say so, and not the new base: then what is made again is compared.
func (r *recovery) migrate(ctx context.Context, start *Replay) error {
	if start.state.past == 0 {
		return nil
	}
	x, _, err := readEntryFrom(r.log, start.state.index+1, r.last)
	var entries []Record
	switch {
	case errors.Is(err, errNoEntry):
		entries, err = start.migrate()
	case err == nil && x.Command == MigrateCommand:
		err = start.run(ctx, x.BatchEnd(), 1)
	case err == nil:
		err = start.due(x)
	}
	if err != nil {
		return err
	}
	r.base, start.saved, r.last = start.state.index, start.state.index, max(r.last, start.state.index)
	start.by, start.says, start.proved = r.madeBy, start.state.hash, true // What is before it is not this program's to prove.
	return r.rebase(start, entries)
}

// migrate brings every domain to its version, and makes an entry log.migrate for each
// that had another: an atomic batch, if there are several.
func (p *Replay) migrate() (entries []Record, err error) {
	var due []*definition
	for i, def := range p.r.defs {
		if p.state.domains[i].def.past {
			due = append(due, def)
		}
	}
	batch := Batch{}
	if len(due) > 1 {
		batch = Batch{First: p.state.index + 1, Count: uint64(len(due))}
	}
	for _, def := range due {
		before := p.state.hash
		did, err := p.bring(def)
		if err != nil {
			return nil, err
		}
		payload := migrated{did.Domain, did.From, p.by, p.state.hash, did.To}
		x := p.state.ownEntry(p.r.o.Now, p.r.o.Node, p.state.index+1, MigrateCommand, canon.Of[migrated]().Append(nil, &payload, canon.Full))
		x.Changed, x.Batch = x.StateHash != before, batch
		rec := seal(p.state.chain, x)
		entries = append(entries, rec)
		p.at(logged{Record: rec, x: x})
	}
	return entries, nil
}

// bring brings a domain to its version.
func (p *Replay) bring(def *definition) (Migration, error) {
	was := p.state.domain(def.name)
	if err := p.state.bring(def); err != nil {
		d := &DamageError{Detail: err.Detail, Next: "correct the step, or use " + p.r.writerName(), Cause: CauseReducer}
		if why := errors.Unwrap(err); why != nil {
			d.Detail += ": " + why.Error()
		}
		return Migration{}, d
	}
	did := Migration{Domain: def.name, From: was.def.version, To: def.version, Steps: def.steps(was.def.version)}
	did.compare(was, p.state.domain(def.name))
	p.did = append(p.did, did)
	return did, nil
}

// repeatMigration does what an entry log.migrate did, if the state is one of before it.
func (p *Replay) repeatMigration(x *Entry) error {
	in, err := decodeMigrated(x)
	if err != nil {
		return &DamageError{Index: x.Index, Detail: "its payload: " + err.Error(), Next: p.r.mend("")}
	}
	i := slices.IndexFunc(p.r.defs, func(d *definition) bool { return d.name == in.Domain })
	if i < 0 {
		return p.r.foreign(x.Index, "the log has data of "+nameAll("domain", []string{in.Domain}))
	}
	def, now := p.r.defs[i], p.state.domains[i].def
	switch {
	case in.To != def.version:
		return &DamageError{Index: x.Index, Detail: fmt.Sprintf("it brings the data of %s to version %d, and this program's is %d", in.Domain, in.To, def.version), Next: "use a program whose data has that version", Cause: CauseForeign}
	case now.version == in.To:
		return nil // These domains made the state from the first entry on, or a repair brought it there.
	case now.version != in.From:
		return &DamageError{Index: x.Index, Detail: fmt.Sprintf("it brings the data of %s from version %d to %d, and the data before it has version %d", in.Domain, in.From, in.To, now.version), Next: p.r.mend("")}
	}
	if _, err := p.bring(def); err != nil {
		return err
	}
	if p.state.hash != in.StateHash {
		return p.r.other(x.Index, "%s says state_hash %s, the steps of %s give %s: one was changed, or depends on more than its argument", x.Command, in.StateHash, in.Domain, p.state.hash)
	}
	return nil
}

// misses reports whether a snapshot has data of another version that these domains
// cannot read, given why it could not be read.
func (s *state) misses(err error) bool {
	return errors.As(err, &versionError{}) || s.past > 0 && errors.As(err, &misfitError{})
}

// cannotMigrate is the refusal of a snapshot whose data no step can read.
func (r *recovery) cannotMigrate(f *foreignSnapshot) *DamageError {
	d := &DamageError{Detail: f.Error(), Next: "correct the type that the step leads on from, or use " + r.writerName(), Cause: CauseReducer}
	var version versionError
	if errors.As(f.why, &version) {
		d.Detail, d.Next = fmt.Sprintf("snapshot %d: %v", f.index, version), version.next(r.writerName())
	}
	return d
}

// misfit is the refusal of a foreign snapshot that the log rests on.
func (r *recovery) misfit(f *foreignSnapshot) *DamageError {
	if f.past {
		return r.cannotMigrate(f)
	}
	if len(f.lacks) > 0 {
		return r.foreign(0, fmt.Sprintf("snapshot %d has a state of %s", f.index, nameAll("domain", f.lacks)))
	}
	return &DamageError{
		Detail: fmt.Sprintf("the state differs: snapshot %d, which the log rests on, does not fit the domains: %v", f.index, f.why),
		Next:   r.acceptReducer() + " to go on with what fits",
		Cause:  CauseReducer,
	}
}

// misfit is the error of a snapshot that does not fit the domains. No repair can help
// if no step can read its data.
func (p *Replay) misfit(f *foreignSnapshot) error {
	if f.past && !p.r.hashes {
		return errors.New(p.r.misfit(f).Error())
	}
	return p.r.misfit(f)
}

// due is the refusal of an entry that comes before a migration is done.
func (p *Replay) due(x *Entry) *DamageError {
	var due []string
	for _, q := range p.state.domains {
		if q.def.past {
			due = append(due, q.def.name)
		}
	}
	return &DamageError{
		Index: x.Index, Cause: CauseReducer,
		Detail: fmt.Sprintf("%s came after the last snapshot, whose data of %s is still to be migrated: only the program that wrote both may apply it", x.Command, strings.Join(due, ", ")),
		Next:   fmt.Sprintf("start %s once and stop it, then start this program; or %s, which applies this program's rules to it and first shows what changes", p.r.writerName(), p.r.mend("--accept-reducer")),
	}
}

// writerName names the program that wrote the directory.
func (r *recovery) writerName() string {
	return cmp.Or(r.o.nameOf(r.writer()), "the program that wrote it")
}

// beforeBase is the refusal of a state before a migration; nil if the base is another.
func (r *recovery) beforeBase() *Error {
	x, _, err := readEntry(r.log, r.base)
	if err != nil || x.Command != MigrateCommand {
		return nil
	}
	in, _ := decodeMigrated(x) // It was decoded when the log was.
	return Errorf(Compacted, "entry %d brought the data of %s to version %d: states before it are those of %s, which can show them on a copy of the directory from before",
		r.base, in.Domain, in.To, cmp.Or(r.o.nameOf(in.MadeBy), "the program that wrote them"))
}

// bringAll brings every domain to its version, without an entry that says so. A replay
// that only looks at hashes leaves the data as it is.
func (p *Replay) bringAll() error {
	if p.r.hashes {
		return nil
	}
	for i, def := range p.r.defs {
		if p.state.domains[i].def.past {
			if _, err := p.bring(def); err != nil {
				return err
			}
		}
	}
	return nil
}

// Migrations returns what a start would migrate. The error says why it would not
// start: an entry after the newest snapshot, or a step that makes what its domain
// refuses.
func (p *Replay) Migrations(ctx context.Context) ([]Migration, error) {
	r, start, err := p.newest()
	if err != nil {
		return nil, err
	}
	err = r.migrate(ctx, start)
	return start.did, err
}

// Past returns the index of the newest snapshot if a start would migrate its data, else
// 0. The entries up to it are for the program that wrote it to replay.
func (p *Replay) Past() uint64 {
	_, start, err := p.newest()
	if err != nil || start.state.past == 0 {
		return 0 // What is wrong with a snapshot, its loading says.
	}
	return start.state.index
}

// newest returns a replay from where a start would begin.
func (p *Replay) newest() (*recovery, *Replay, error) {
	r, o := *p.r, *p.r.o
	o.ForceReplay, r.o = false, &o
	start, err := r.newestGood()
	return &r, start, err
}

// compare counts what is not as it was, and takes an example.
func (m *Migration) compare(was, now *domainState) {
	differs := func(name, key, before, after string) {
		if before == after {
			return
		}
		m.Rows++
		if m.Path == "" || m.Before == "" && before != "" && after != "" { // Best is one that changed.
			m.Path, m.Before, m.After = canon.AppendPointer("/"+m.Domain, name), before, after
			if key != "" {
				m.Path = canon.AppendPointer(m.Path, key)
			}
		}
	}
	before := map[string]table{}
	for i, t := range was.tables {
		before[was.def.tables[i].name] = t
	}
	for i, t := range now.tables {
		name := now.def.tables[i].name
		old := before[name]
		t.ascend("", func(key, json string) bool {
			text := ""
			if old != nil {
				text, _ = old.get(key)
			}
			differs(name, key, text, json)
			return true
		})
	}
	for i, t := range was.tables {
		name := was.def.tables[i].name
		at := slices.IndexFunc(now.def.tables, func(f field) bool { return f.name == name })
		t.ascend("", func(key, json string) bool {
			if at >= 0 {
				if _, there := now.tables[at].get(key); there {
					return true
				}
			}
			differs(name, key, json, "")
			return true
		})
	}
	plain := map[string]string{}
	for i := range was.def.fields {
		f := &was.def.fields[i]
		plain[f.name] = was.encode(f)
	}
	for i := range now.def.fields {
		f := &now.def.fields[i]
		differs(f.name, "", plain[f.name], now.encode(f))
		delete(plain, f.name)
	}
	for i := range was.def.fields {
		name := was.def.fields[i].name
		differs(name, "", plain[name], "")
	}
}
