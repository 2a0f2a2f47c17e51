package swoosh

import (
	"bufio"
	"cmp"
	"context"
	"errors"
	"fmt"
	"iter"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/chorus-services/swoosh/internal/canon"
	"github.com/chorus-services/swoosh/internal/door"
)

// getLog answers with entries, as one JSON document or one entry per line.
func (x *exchange) getLog() error {
	first, last := x.engine.Bounds()
	from, err := x.from(first)
	if err != nil {
		return err
	}
	limit, err := x.limit()
	if err != nil {
		return err
	}
	only, err := x.only()
	if err != nil {
		return err
	}
	if err := x.sameHistory(last); err != nil {
		return err
	}
	if err := cmp.Or(kept(from, first, last), x.insideBatch(from, only)); err != nil {
		return err
	}
	kind := door.Preferred(x.r.Header, typeJSON, typeNDJSON)
	lines := kind == typeNDJSON
	if lines && !x.has("limit") {
		limit = int(last-from) + 1
	}
	x.w.Header().Set("Content-Type", kind)
	if x.isHead() {
		x.w.WriteHeader(http.StatusOK)
		return nil
	}
	if err := x.hold(logHolds); err != nil {
		return err
	}
	p := logPage{from: from, last: last, limit: limit, lines: lines, only: only}
	return x.sendLog(x.engine.Records(from, last), p)
}

// logPage is what is asked of the log.
type logPage struct {
	from, last uint64
	limit      int
	lines      bool // an entry per line, in place of one document
	only       *door.Filter
}

// pageMostRead is the most entries that are read for one page, however few of
// them are wanted.
const pageMostRead = 50_000

// only returns the filter that the parameters commands and key describe.
func (x *exchange) only() (*door.Filter, error) {
	f := &door.Filter{Key: x.query["key"]}
	if x.has("key") {
		if err := Key(f.Key).Validate(); err != nil {
			return nil, Errorf(MalformedRequest, "the parameter key %w", err)
		}
	}
	if x.has("commands") {
		known := slices.Concat(x.engine.cat.names, []string{ImportCommand, LossCommand, ReducerCommand, MigrateCommand})
		if err := f.AddCommands(x.query["commands"], known); err != nil {
			return nil, Errorf(MalformedRequest, "the parameter commands has %w", err)
		}
	}
	if !x.has("key") && !x.has("commands") {
		return nil, nil
	}
	return f, nil
}

// insideBatch tells a filter about the batch that an index is inside of: its key is
// in its first entry alone.
func (x *exchange) insideBatch(index uint64, only *door.Filter) error {
	if only == nil || only.Key == "" {
		return nil
	}
	e, _, err := readEntry(x.engine.wal, index)
	if err == nil && e.Batch.First < index && e.Batch.Count > 0 {
		var first *Entry
		if first, _, err = readEntry(x.engine.wal, e.Batch.First); err == nil && first.IdempotencyKey == only.Key {
			only.KeyEnd = e.BatchEnd()
		}
	}
	if errors.Is(err, errNoEntry) {
		return nil
	}
	return err
}

// kept returns an error if from is before the log's first entry, or after the
// next one.
func kept(from, first, last uint64) error {
	if from < first {
		return Errorf(Compacted, "entry %d is no longer kept: the log begins at %d", from, first)
	}
	if from > last+1 {
		return Errorf(NotFound, "entry %d does not exist yet: the log ends at %d, so begin at %d or earlier", from, last, last+1)
	}
	return nil
}

// sameHistory returns HistoryChanged if the entry before from is not the one whose
// chain the parameter after has: the client has read another log.
func (x *exchange) sameHistory(last uint64) error {
	if !x.has("after") {
		return nil
	}
	after, err := ParseHash(x.query["after"])
	if err != nil {
		return Errorf(MalformedRequest, "after must be an entry's chain, 64 lower-case hex digits, not %s", canon.Quote(x.query["after"]))
	}
	if !x.has("from") {
		return Errorf(MalformedRequest, "after needs from: it is the chain of the entry before that one")
	}
	from, err := x.from(0)
	switch {
	case err != nil:
		return err
	case from > last+1:
		return Errorf(HistoryChanged, "the log ends at entry %d, but you have entry %d: the log was set back, or is another one", last, from-1)
	}
	if same, err := x.follows(after, from); err != nil || same {
		return err
	}
	return Errorf(HistoryChanged, "entry %d has another chain than %s: the log was set back, or is another one", from-1, after)
}

// follows reports whether an entry, or the next one to come, follows the entry with
// a chain, as far as the log still has what that needs.
func (x *exchange) follows(after Hash, index uint64) (bool, error) {
	if v := x.engine.View(); v.Index() == index-1 {
		return v.Chain() == after, nil
	}
	for r, err := range x.engine.Records(index-1, index) {
		if err != nil {
			return false, err
		}
		if r.Index < index {
			return r.Chain == after, nil
		}
		_, err := Follow(index-1, after, r) // The entry before is not kept, or lost.
		return err == nil, nil
	}
	return true, nil
}

// sendLog writes entries as they are read. It reads the first entry before the
// answer begins, so that a log that cannot be read is still refused with a
// problem document.
func (x *exchange) sendLog(records iter.Seq2[Record, error], p logPage) error {
	out := bufio.NewWriterSize(x.w, 32<<10)
	open, comma, end := `{"entries":[`, ",", ""
	if p.lines {
		open, comma = "", "\n"
		x.w.Header().Set("Trailer", "Swoosh-Next")
	}
	next, sent, unsent := p.from, 0, 0
	var b []byte
	for r, err := range records {
		if sent == p.limit || !p.lines && p.only != nil && next-p.from >= pageMostRead {
			break
		}
		if err != nil && next == p.from {
			return err
		}
		x.abortIf(err)
		if next = r.Index + 1; !p.only.Wants(r.Index, r.JSON) {
			if unsent += len(r.JSON); unsent > watchPiece {
				x.abortIf(x.r.Context().Err())
				x.rest(x.r.Context(), unsent)
				unsent = 0
			}
			continue
		}
		if b = append(b[:0], comma...); sent == 0 {
			b = append(b[:0], open...)
		}
		_, err = out.Write(r.AppendJSON(b))
		x.abortIf(err)
		sent++
	}
	switch {
	case p.lines && sent > 0:
		end = "\n"
	case p.lines:
		x.w.WriteHeader(http.StatusOK) // Nothing else does if the body is empty.
	default:
		if sent > 0 {
			open = ""
		}
		end = open + `],"next":` + strconv.FormatUint(next, 10)
		if next > p.last {
			end += `,"end":true`
		}
		end += "}\n"
	}
	_, err := out.WriteString(end)
	x.abortIf(errors.Join(err, out.Flush()))
	if p.lines {
		x.w.Header().Set("Swoosh-Next", strconv.FormatUint(next, 10))
	}
	return nil
}

// getEntry answers with one entry.
func (x *exchange) getEntry() error {
	index, err := parseIndex(x.variable("index"))
	if err != nil || index == 0 {
		return Errorf(MalformedRequest, "an entry's index must be an integer from 1, not %s", canon.Quote(x.variable("index")))
	}
	first, last := x.engine.Bounds()
	if index > last {
		return Errorf(NotFound, "entry %d does not exist yet: the log ends at %d", index, last)
	}
	if err := kept(index, first, last); err != nil {
		return err
	}
	for r, err := range x.engine.Records(index, index) {
		if err != nil {
			return err
		}
		x.w.Header().Set("Content-Type", typeJSON)
		x.w.WriteHeader(http.StatusOK)
		if !x.isHead() {
			x.write(append(r.AppendJSON(nil), '\n'))
		}
		return nil
	}
	return Errorf(Compacted, "entry %d was lost: a later entry, log.loss, lists every lost entry", index)
}

// getWatch sends entries as they become durable, as server-sent events (HTML
// Living Standard, 9.2). What ends it once it has begun is an event too.
func (x *exchange) getWatch() error {
	who := door.CallerOf(x.caller.Name, x.r)
	if !x.watches.Take(who, 1) {
		return Errorf(Overloaded, "%d watches are open, and more are not served at once: try again later, or ask GET /log or GET /state from time to time", x.o.Watchers)
	}
	defer x.watches.Give(who, 1)
	defer x.deadlines.Write(x.rc, x.stopGrace)()
	defer x.deadlines.Extend(x.rc, 0) // The connection's next answer has its own.
	ctx, end := context.WithCancelCause(x.r.Context())
	defer end(nil)
	defer x.askAgain(func(_ Caller, err error) {
		if err != nil {
			end(err)
		}
	})()
	err := x.follow(ctx)
	if x.w.status == 0 {
		return err
	}
	var e *Error
	if gone := x.r.Context().Err() != nil && !x.isStopping(); !gone && errors.As(errors.Join(err, context.Cause(ctx)), &e) {
		_ = x.event(append(append([]byte("event: problem\ndata: "), encode(x.problem(x.asError(e)))...), '\n'))
	}
	return nil
}

// follow sends entries until the watch ends, and returns why.
func (x *exchange) follow(ctx context.Context) error {
	if err := x.awaitTurn(ctx); err != nil {
		return err
	}
	first, last := x.engine.Bounds()
	next, err := x.watchFrom(last + 1)
	if err != nil {
		return err
	}
	only, err := x.only()
	if err != nil {
		return err
	}
	if err := x.sameHistory(last); err != nil {
		return err
	}
	if err := cmp.Or(kept(next, first, last), x.insideBatch(next, only)); err != nil {
		return err
	}
	x.engine.meters.Watchers.Inc()
	defer x.engine.meters.Watchers.Dec()
	for err = x.beginEvents(); err == nil; err = x.event(heartbeat(next, only)) {
		if err = x.watch(ctx, &next, only); ctx.Err() != nil || !errors.Is(err, context.DeadlineExceeded) {
			return err
		}
	}
	return err
}

// heartbeat returns a comment. With a filter it has the id of the last entry
// read, so that a client that reconnects does not begin with the last one sent.
func heartbeat(next uint64, only *door.Filter) []byte {
	if only == nil {
		return []byte(":\n\n")
	}
	return fmt.Appendf(nil, ":\nid: %d\n\n", next-1)
}

// watchFrom returns the index of the first entry to send. A client that
// reconnects names the last entry it received.
func (x *exchange) watchFrom(byDefault uint64) (uint64, error) {
	from, err := x.from(byDefault)
	if err != nil {
		return 0, err
	}
	values := x.r.Header.Values("Last-Event-ID")
	if len(values) == 0 {
		return from, nil
	}
	had, err := parseIndex(values[0])
	if err != nil || len(values) > 1 {
		return 0, Errorf(MalformedRequest, "Last-Event-ID must be the index of the last entry received, not %s", canon.Quote(strings.Join(values, ", ")))
	}
	return had + 1, nil
}

// watch sends entries from *next until a heartbeat is due, the client is gone,
// or the watch ends.
func (x *exchange) watch(ctx context.Context, next *uint64, only *door.Filter) error {
	due, cancel := context.WithTimeout(ctx, x.heartbeat)
	defer cancel()
	for {
		records, err := x.engine.nextRecords(due, *next)
		for len(records) > 0 {
			if err := x.engine.watchEnd(due); err != nil {
				return err
			}
			piece := pieces.Get().(*[]byte)
			*piece = (*piece)[:0]
			read := 0
			for len(records) > 0 && max(read, len(*piece)) < watchPiece {
				read += len(records[0].JSON)
				if only.Wants(records[0].Index, records[0].JSON) {
					*piece = appendEvent(*piece, records[0])
				}
				*next, records = records[0].Index+1, records[1:]
			}
			var err error
			sent := len(*piece)
			if sent > 0 {
				err = x.event(*piece)
			}
			if cap(*piece) <= 2*watchPiece {
				pieces.Put(piece)
			}
			if err != nil {
				return err
			}
			x.rest(due, max(read, sent))
		}
		if err != nil {
			return err
		}
	}
}

// watchPiece is the length of entries read, in bytes, at which a piece of a watch
// is sent.
const watchPiece = 64 << 10

// pieces holds buffers: watchers that wait have none.
var pieces = sync.Pool{New: func() any { return new(make([]byte, 0, 2*watchPiece)) }}

func appendEvent(b []byte, r Record) []byte {
	b = strconv.AppendUint(append(b, "id: "...), r.Index, 10)
	b = r.AppendJSON(append(b, "\nevent: entry\ndata: "...))
	return append(b, "\n\n"...)
}
