package swoosh

import (
	"bufio"
	"context"
	"errors"
	"iter"
	"mime"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/chorus-services/swoosh/internal/canon"
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
	if err := kept(from, first, last); err != nil {
		return err
	}
	lines := x.accepts(typeNDJSON)
	if lines && !x.has("limit") {
		limit = int(last-from) + 1
	}
	kind := typeJSON
	if lines {
		kind = typeNDJSON
	}
	x.w.Header().Set("Content-Type", kind)
	if x.isHead() {
		x.w.WriteHeader(http.StatusOK)
		return nil
	}
	return x.sendLog(x.engine.Records(from, last), from, last, limit, lines)
}

// from returns the parameter from.
func (x *exchange) from(byDefault uint64) (uint64, error) {
	if !x.has("from") {
		return byDefault, nil
	}
	from, err := parseIndex(x.query["from"])
	if err != nil || from == 0 {
		return 0, Errorf(MalformedRequest, "from must be the index of an entry, an integer from 1, not %s", canon.Quote(x.query["from"]))
	}
	return from, nil
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

// sendLog writes entries as they are read. It reads the first entry before the
// answer begins, so that a log that cannot be read is still refused with a
// problem document.
func (x *exchange) sendLog(records iter.Seq2[Record, error], from, last uint64, limit int, lines bool) error {
	out := bufio.NewWriterSize(x.w, 32<<10)
	open, comma, end := `{"entries":[`, ",", ""
	if lines {
		open, comma = "", "\n"
	}
	next := from
	var b []byte
	for r, err := range records {
		if limit == 0 {
			break
		}
		if err != nil && next == from {
			return err
		}
		x.abortIf(err)
		if b = append(b[:0], comma...); next == from {
			b = append(b[:0], open...)
		}
		_, err = out.Write(r.AppendJSON(b))
		x.abortIf(err)
		next, limit, open = r.Index+1, limit-1, ""
	}
	switch {
	case lines && next > from:
		end = "\n"
	case lines:
		x.w.WriteHeader(http.StatusOK) // Nothing else does if the body is empty.
	case !lines:
		end = open + `],"next":` + strconv.FormatUint(next, 10)
		if next > last {
			end += `,"end":true`
		}
		end += "}\n"
	}
	_, err := out.WriteString(end)
	x.abortIf(errors.Join(err, out.Flush()))
	return nil
}

// accepts reports whether the client names a media type in Accept.
func (x *exchange) accepts(kind string) bool {
	for _, line := range x.r.Header.Values("Accept") {
		for one := range strings.SplitSeq(line, ",") {
			got, parameters, err := mime.ParseMediaType(one)
			if q, err2 := strconv.ParseFloat(parameters["q"], 64); err == nil && got == kind && (err2 != nil || q > 0) {
				return true
			}
		}
	}
	return false
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
// Living Standard, 9.2).
func (x *exchange) getWatch() error {
	first, last := x.engine.Bounds()
	next, err := x.watchFrom(last + 1)
	if err != nil {
		return err
	}
	if err := kept(next, first, last); err != nil {
		return err
	}
	defer x.deadlines.Write(x.rc, x.stopGrace)()
	x.engine.meters.Watchers.Inc()
	defer x.engine.meters.Watchers.Dec()
	x.w.Header().Set("Content-Type", typeEvents)
	ctx, end := context.WithCancelCause(x.r.Context())
	defer end(nil)
	defer x.askAgain(func(_ Caller, err error) {
		if err != nil {
			end(err)
		}
	})()
	if x.event([]byte("retry: 1000\n\n")) != nil {
		return nil
	}
	for {
		err := x.watch(ctx, &next)
		switch {
		case x.r.Context().Err() != nil && !x.isStopping():
			return nil
		case !errors.Is(err, context.DeadlineExceeded):
			var e *Error
			if errors.As(errors.Join(err, context.Cause(ctx)), &e) {
				_ = x.event(append(append([]byte("event: problem\ndata: "), encode(x.problem(x.asError(e)))...), '\n'))
			}
			return nil
		case x.event([]byte(":\n\n")) != nil:
			return nil
		}
	}
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
func (x *exchange) watch(ctx context.Context, next *uint64) error {
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
			for len(records) > 0 && len(*piece) < watchPiece {
				*piece = appendEvent(*piece, records[0])
				*next, records = records[0].Index+1, records[1:]
			}
			sent, err := len(*piece), x.event(*piece)
			if cap(*piece) <= 2*watchPiece {
				pieces.Put(piece)
			}
			if err != nil {
				return err
			}
			x.rest(due, sent)
		}
		if err != nil {
			return err
		}
	}
}

// watchPiece is the length, in bytes, at which a piece of a watch is sent.
const watchPiece = 64 << 10

// pieces holds buffers: watchers that wait have none.
var pieces = sync.Pool{New: func() any { return new(make([]byte, 0, 2*watchPiece)) }}

func appendEvent(b []byte, r Record) []byte {
	b = strconv.AppendUint(append(b, "id: "...), r.Index, 10)
	b = r.AppendJSON(append(b, "\nevent: entry\ndata: "...))
	return append(b, "\n\n"...)
}

// rest holds a watcher back after a piece, if commands are being written.
func (x *exchange) rest(ctx context.Context, bytes int) {
	if !x.engine.isWriting() {
		return
	}
	if wait := x.pace.Sent(bytes); wait > 0 {
		select {
		case <-time.After(wait):
		case <-ctx.Done():
		case <-x.stopping:
		}
	}
}

// event sends a piece of a watch at once.
func (x *exchange) event(b []byte) error {
	_, err := x.w.Write(b)
	return errors.Join(err, x.rc.Flush())
}
