package swoosh

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"math"
	"reflect"
	"slices"
	"strings"
	"sync"
	"syscall"

	"github.com/chorus-services/swoosh/internal/canon"
	"github.com/chorus-services/swoosh/internal/durable"
)

// The entries that a repair writes.
const (
	lossCommand    = "log.loss"
	reducerCommand = "log.reducer"
)

// lossPayload names the entries whose effect was accepted as lost.
type lossPayload struct {
	Chain Hash   `json:"chain"` // of entry To, as the mark or a snapshot had it: the loss entry is chained to it
	From  uint64 `json:"from"`  // To+1 if a snapshot holds what all of them did
	To    uint64 `json:"to"`
}

// reducerPayload says which reducer goes on from here.
type reducerPayload struct {
	MadeBy Fingerprint `json:"made_by"`
}

var (
	lossCodec    = sync.OnceValue(func() *canon.Codec { return canon.For(reflect.TypeFor[lossPayload]()) })
	reducerCodec = sync.OnceValue(func() *canon.Codec { return canon.For(reflect.TypeFor[reducerPayload]()) })
)

func decodeLoss(x *Entry) (p lossPayload, err error) {
	return p, fieldsError(lossCodec().Decode(x.Payload, reflect.ValueOf(&p).Elem(), canon.Full))
}

// Accept is what the operator agrees to.
type Accept struct {
	Loss    bool // the entries that cannot be had back are lost
	Reducer bool // go on from the state as it is, with domains that would have made another
}

// RepairReport says what is wrong, in sentences, and what was done.
type RepairReport struct {
	Findings []string `json:"findings"`
	Next     string   `json:"next"`  // the command to run; empty if nothing is wrong or all was done
	Wrote    []string `json:"wrote"` // files and entries
}

// Repair explains what keeps the engine in o.Dir from starting, and mends what
// is accepted. What is taken out of the log is kept in the folder lost. A
// repair that was broken off is finished by the next one.
func Repair(ctx context.Context, o Options, a Accept, parts ...Part) (RepairReport, error) {
	e, err := visit(o, parts)
	if err != nil {
		return RepairReport{}, err
	}
	var report RepairReport
	err = e.repair(ctx, a, &report)
	return report, errors.Join(err, e.release())
}

func (r *RepairReport) say(format string, args ...any) {
	r.Findings = append(r.Findings, fmt.Sprintf(format, args...))
}

func (r *RepairReport) wrote(format string, args ...any) {
	r.Wrote = append(r.Wrote, fmt.Sprintf(format, args...))
}

func (e *Engine) repair(ctx context.Context, a Accept, report *RepairReport) error {
	if _, err := e.takeHome(); err != nil {
		return err
	}
	if err := e.finishReplacement(report); err != nil {
		return err
	}
	opened, err := e.openOldLog(report)
	if err != nil {
		return err
	}
	r := e.recovery()
	damaged := map[string]error{}
	r.damaged = func(name string, why error) error {
		if damaged[name] == nil {
			damaged[name] = why
			report.say("%s is damaged: %v. The server sets it aside when it starts.", name, why)
		}
		return nil
	}
	r.o.ForceReplay = true // What holds only with the newest snapshot is wrong already.
	r.first, r.last = e.wal.Bounds()
	if r.snapshots, err = listSnapshots(e.store); err != nil {
		return err
	}
	r.findBase()
	left, err := e.gather(r, damaged)
	if err != nil {
		return err
	}
	c, err := e.assess(ctx, r, left)
	if err != nil {
		return err
	}
	c.replace = !opened || c.trail.index < c.to || len(c.trail.found) > 0 || c.trail.index > r.last || c.log.first != r.first || c.log.last != r.last
	c.contradict(r)
	switch {
	case c.replace || len(c.wrong) > 0:
		return e.mendLog(c, a, report)
	case c.differs != nil:
		return e.mendReducer(r, c, a, report)
	}
	return nil
}

// openOldLog opens the log. One that is missing counts as an empty one; of one
// that is damaged the sound blocks of its tables are taken.
func (e *Engine) openOldLog(report *RepairReport) (opened bool, err error) {
	if !e.home.hasLog() {
		e.wal = NewMemWAL()
		if e.marked == nil || e.marked.Index == 0 {
			return true, nil
		}
		report.say("%s is missing.", e.home.path("log"))
		return false, nil
	}
	if e.marked == nil {
		report.say("The mark is missing or damaged, so that a loss at the end of the log could not be noticed. The server writes it anew when it starts.")
	}
	err = e.openWAL()
	var damage *DamageError
	if !errors.As(err, &damage) {
		return err == nil, err
	}
	report.say("%s.", damage.Detail)
	tables, err := salvageTables(e.home.path("log"))
	if err != nil {
		return false, err
	}
	if n := len(tables.broken); n > 0 {
		report.say("%d of its %d table files are damaged: %s. What is sound in them is kept.", n, len(tables.files), strings.Join(tables.broken, ", "))
	}
	e.wal = tables
	return false, nil
}

// contradict finds the snapshots that the mended log contradicts, or does not
// reach.
func (c *rescue) contradict(r *recovery) {
	mended := r.over(c.log)
	for _, i := range r.snapshots {
		if i > c.trail.index {
			c.wrong = append(c.wrong, i)
		}
	}
	for _, a := range c.anchors[1:] {
		if i := a.state.index; i > c.trail.state.index && i <= c.trail.index && mended.fits(a.state) != nil {
			c.wrong = append(c.wrong, i)
		}
	}
}

// explain says what is lost and what is not.
func (c *rescue) explain(report *RepairReport) {
	p := c.trail
	if c.replace {
		report.say("The log is sound up to entry %d; it once reached entry %d.", c.sound, c.to)
	}
	if at := p.state.index; at > c.sound {
		report.say("The state goes on from snapshot %d: what the entries up to it did is kept, the entries themselves are not.", at)
	}
	if c.tables != nil && p.state.index > 0 {
		report.say("Entries up to it that can still be read are written to a file.")
	}
	if n := len(p.found); n > 0 {
		report.say("Entries %d to %d were found behind the damage; their chain proves them. They come back.", p.found[0].Index, p.index)
	}
	if p.index < c.to {
		report.say("What entries %d to %d did is lost.", p.index+1, c.to)
	} else {
		report.say("Nothing that an entry did is lost.")
	}
	if lost := c.unproven(); len(lost) > 0 {
		report.say("%d entries behind that can still be read, the first is %d. They cannot be applied without those before them; they are written to a file, so that you can look at them and post their commands again.", len(lost), lost[0].Index)
	}
	for _, i := range c.wrong {
		report.say("%s contradicts the log; it is set aside.", snapshotName(i))
	}
}

// unproven are the entries that were found and cannot be applied.
func (c *rescue) unproven() []Record {
	var all []Record
	for _, rec := range c.loose {
		if rec.Index > c.trail.index {
			all = appendNew(all, rec)
		}
	}
	return all
}

// appendNew appends a record to others, which are sorted, if it is not there.
func appendNew(all []Record, rec Record) []Record {
	for _, r := range slices.Backward(all) {
		if r.Index != rec.Index {
			break
		}
		if bytes.Equal(r.JSON, rec.JSON) {
			return all
		}
	}
	return append(all, rec)
}

// passed are the entries up to the state that the mended log goes on from, if
// Badger cannot open the log any more in which they stay.
func (c *rescue) passed() iter.Seq[Record] {
	return func(yield func(Record) bool) {
		if c.tables == nil {
			return
		}
		to := c.trail.state.index
		for rec := range readable(c.tables, 1, min(c.sound, to)) {
			if !yield(rec) {
				return
			}
		}
		var behind []Record
		for _, rec := range c.loose {
			if c.sound < rec.Index && rec.Index <= to {
				behind = appendNew(behind, rec)
			}
		}
		slices.Values(behind)(yield)
	}
}

// mendLog writes a new log: the sound entries, those found, and the entry that
// names what is lost. The old one is kept.
func (e *Engine) mendLog(c *rescue, a Accept, report *RepairReport) error {
	c.explain(report)
	report.Next = fmt.Sprintf("%s repair %s --accept-loss", e.o.Program, e.o.Dir)
	if c.differs != nil {
		report.say("%v", c.differs)
		report.Next += fmt.Sprintf(", with the version of %s that wrote the log", e.o.Program)
		return nil
	}
	if !a.Loss {
		return nil
	}
	report.Next = ""
	if err := e.writeLost(c, report); err != nil {
		return err
	}
	if c.replace {
		if err := e.replaceLog(c, report); err != nil {
			return err
		}
	}
	for _, i := range c.wrong {
		to, err := e.store.SetAside(snapshotName(i))
		if err != nil {
			return err
		}
		report.wrote("%s", e.home.path(to))
	}
	return nil
}

// writeLost writes the entries that do not go into the new log to files, a line
// of JSON each.
func (e *Engine) writeLost(c *rescue, report *RepairReport) error {
	if err := e.home.makeLost(); err != nil {
		return err
	}
	for rec := range c.passed() {
		if err := e.writeEntries(rec.Index, c.trail.state.index, c.passed(), report); err != nil {
			return err
		}
		break
	}
	lost := c.unproven()
	if len(lost) == 0 {
		return nil
	}
	return e.writeEntries(lost[0].Index, lost[len(lost)-1].Index, slices.Values(lost), report)
}

func (e *Engine) writeEntries(from, to uint64, entries iter.Seq[Record], report *RepairReport) error {
	name := e.home.path(fmt.Sprintf("lost/entries-%d-%d.ndjson", from, to))
	err := durable.Replace(e.home.fs, name, func(f durable.File) error {
		w := bufio.NewWriter(f)
		for r := range entries {
			w.Write(append(r.AppendJSON(nil), '\n')) // Flush gives its error.
		}
		return w.Flush()
	})
	if err == nil {
		report.wrote("%s", name)
	}
	return err
}

// makeLost makes the folder lost.
func (h *home) makeLost() error {
	if err := h.fs.MkdirAll(h.path("lost"), 0o700); err != nil {
		return err
	}
	return h.fs.SyncDir(h.dir)
}

// replaceLog writes the mended log aside and puts it in the old one's place.
func (e *Engine) replaceLog(c *rescue, report *RepairReport) error {
	if err := e.nameNode(); err != nil {
		return err
	}
	temp := e.home.path("log.tmp")
	if err := e.home.fs.RemoveAll(temp); err != nil {
		return err
	}
	fresh, err := e.o.OpenWAL(temp)
	if err != nil {
		return err
	}
	err = errors.Join(e.writeMended(fresh, c), fresh.Close())
	if err == nil {
		err = e.closeWAL()
	}
	if err == nil {
		err = e.home.fs.Rename(temp, e.home.path("log.new"))
	}
	if err == nil {
		err = e.home.fs.SyncDir(e.home.dir)
	}
	if err != nil {
		return err
	}
	return e.finishReplacement(report)
}

// nameNode sees to it that the stamps of the repair's entries have a node.
func (e *Engine) nameNode() (err error) {
	if e.o.Node == "" {
		e.o.Node, err = e.home.makeNodeID()
	}
	return err
}

func (e *Engine) closeWAL() error {
	w := e.wal
	e.wal = nil
	return w.Close()
}

// writeMended fills a new log. It ends with a loss entry if entries are lost,
// and if it would be empty: its indexes go on behind the last that ever was.
func (e *Engine) writeMended(fresh WAL, c *rescue) error {
	if err := copyLog(fresh, c.log); err != nil {
		return err
	}
	if c.trail.index == c.to && c.log.last > 0 {
		return nil
	}
	p := lossPayload{Chain: c.chain, From: c.trail.index + 1, To: c.to}
	x := &Entry{
		Index: c.to + 1, HLC: e.nextStamp(c.state.stamp), Command: lossCommand, StateHash: c.state.hash,
		Payload: lossCodec().Append(nil, reflect.ValueOf(&p).Elem(), canon.Full),
	}
	rec := Record{Index: x.Index, JSON: x.appendTo(nil)}
	rec.Chain = link(p.Chain, rec.JSON)
	return fresh.Append([]Record{rec})
}

func (e *Engine) nextStamp(last Stamp) Stamp {
	return newClock(e.o.Now, e.o.Node, last).Next(Stamp{})
}

// copyGroupBytes is from where on a group is full; another entry fits into
// Badger's transaction.
const copyGroupBytes = groupMaxBytes - maxEntryBytes

// copyLog appends a log to an empty one, in groups whose indexes follow each
// other.
func copyLog(to, from WAL) error {
	var group []Record
	bytes := 0
	flush := func() error {
		if len(group) == 0 {
			return nil
		}
		err := to.Append(group)
		group, bytes = nil, 0
		return err
	}
	for r, err := range from.Read(0, math.MaxUint64) {
		if n := len(group); err == nil && n > 0 && (bytes >= copyGroupBytes || n == groupMaxEntries || group[n-1].Index+1 != r.Index) {
			err = flush()
		}
		if err != nil {
			return err
		}
		group, bytes = append(group, r), bytes+r.size()
	}
	return flush()
}

// finishReplacement puts a log that a repair has written in the place of the
// old one; the old one and the copy of its files move to lost. Each step can be
// the last before a crash: the server then refuses to start, and the next
// repair goes on here.
func (e *Engine) finishReplacement(report *RepairReport) error {
	h := e.home
	if there, err := h.has("log.new"); err != nil || !there {
		return err
	}
	last, err := e.markNewLog()
	if err != nil {
		return err
	}
	if err := h.makeLost(); err != nil {
		return err
	}
	kept, err := h.free("lost/log")
	if err != nil {
		return err
	}
	for _, from := range []string{"log", "unclean"} {
		to := h.path(kept + strings.TrimPrefix("-"+from, "-log"))
		if err := h.fs.Rename(h.path(from), to); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	if err := errors.Join(h.fs.SyncDir(h.path("lost")), h.fs.SyncDir(h.dir)); err != nil {
		return err
	}
	if err := h.fs.Rename(h.path("log.new"), h.path("log")); err != nil {
		return err
	}
	report.wrote("the log anew, up to entry %d; the old one is %s", last, h.path(kept))
	return h.fs.SyncDir(h.dir)
}

// markNewLog writes the mark of the log that is to replace the old one.
func (e *Engine) markNewLog() (last uint64, err error) {
	w, err := e.o.OpenWAL(e.home.path("log.new"))
	if err != nil {
		return 0, err
	}
	_, last = w.Bounds()
	x, rec, err := readEntry(w, last)
	if err = errors.Join(err, w.Close()); err != nil {
		return 0, err
	}
	e.marked = &markRecord{Index: last, Chain: rec.Chain, StateHash: x.StateHash}
	return last, e.writeMark(*e.marked)
}

func (e *Engine) writeMark(rec markRecord) error {
	m, err := createMark(e.home.fs, e.home.path("mark"), rec)
	if err != nil {
		return err
	}
	return m.Close(false)
}

// has tells whether there is something of that name.
func (h *home) has(name string) (bool, error) {
	_, err := h.fs.Stat(h.path(name))
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENOTDIR) {
		return false, nil
	}
	return err == nil, err
}

// free gives a name that is not taken: the given one with a number.
func (h *home) free(name string) (string, error) {
	for n := 1; ; n++ {
		numbered := fmt.Sprintf("%s-%d", name, n)
		if there, err := h.has(numbered); err != nil || !there {
			return numbered, err
		}
	}
}

// mendReducer goes on with domains that would have made another state: from
// the newest sound snapshot, whoever made it.
func (e *Engine) mendReducer(r *recovery, c *rescue, a Accept, report *RepairReport) error {
	report.say("%v", c.differs)
	if newest := c.anchors[len(c.anchors)-1]; newest.foreign != nil {
		report.say("What of snapshot %d does not fit the domains begins at zero.", newest.state.index)
	}
	if !a.Reducer {
		report.say("If its domains were not changed on purpose, this is not the program that wrote the log: use that one.")
		report.Next = fmt.Sprintf("%s repair %s --accept-reducer", e.o.Program, e.o.Dir)
		return nil
	}
	if err := e.nameNode(); err != nil {
		return err
	}
	s, err := e.reduceAnew(r, c.anchors, report)
	if err != nil {
		return err
	}
	p := reducerPayload{e.madeBy}
	x := &Entry{
		Index: s.index + 1, HLC: e.nextStamp(s.stamp), Command: reducerCommand, StateHash: s.hash, Changed: true,
		Payload: reducerCodec().Append(nil, reflect.ValueOf(&p).Elem(), canon.Full),
	}
	rec := Record{Index: x.Index, JSON: x.appendTo(nil)}
	rec.Chain = link(s.chain, rec.JSON)
	if err := e.wal.Append([]Record{rec}); err != nil {
		return err
	}
	s.index, s.stamp, s.chain = x.Index, x.HLC, rec.Chain
	err = e.store.Save(snapshotName(s.index), func(f SnapshotFile) error {
		_, err := writeSnapshot(f, s, e.madeBy)
		return err
	})
	if err != nil {
		return err
	}
	report.wrote("entry %d, %s, and a snapshot of it, which the log rests on from now on", s.index, reducerCommand)
	return e.writeMark(markRecord{Index: s.index, Chain: s.chain, StateHash: s.hash})
}

// reduceAnew takes the newest snapshot as it is and reduces the entries behind
// it with this reducer. A submission that it refuses has no effect, and is
// named.
func (e *Engine) reduceAnew(r *recovery, anchors []*anchor, report *RepairReport) (*state, error) {
	p := r.from(anchors[len(anchors)-1].state.thaw())
	if n := len(r.snapshots); n > 0 && r.snapshots[n-1] != p.state.index {
		report.say("Snapshot %d does not fit these domains; the state is made anew behind entry %d.", r.snapshots[n-1], p.state.index)
	}
	var refused uint64 // the last entry of a submission that was
	for rec, err := range r.wal.Read(p.state.index+1, r.last) {
		if err != nil {
			return nil, err
		}
		x, err := DecodeEntry(rec)
		if err != nil {
			return nil, err
		}
		if x.Index > refused {
			if err := p.reduce(x); err != nil {
				var d *DamageError
				if !errors.As(err, &d) || !d.reducer() {
					return nil, err
				}
				p.state.journal().undo()
				refused = x.batchEnd()
				report.say("Entry %d has no effect any more: %s", x.Index, d.Detail)
			}
		}
		if x.Index == x.batchEnd() {
			p.state.settle()
			p.state.journal().clear()
		}
		p.state.index, p.state.stamp, p.state.chain = x.Index, x.HLC, rec.Chain
	}
	return p.state, nil
}
