package swoosh

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"iter"
	"mime"
	"net/http"
	"slices"
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
	only, err := x.only()
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
	p := logPage{from: from, last: last, limit: limit, lines: lines, only: only}
	return x.sendLog(x.engine.Records(from, last), p)
}

// logPage is what is asked of the log.
type logPage struct {
	from, last uint64
	limit      int
	lines      bool // an entry per line, in place of one document
	only       *filter
}

// pageMostRead is the most entries that are read for one page, however few of
// them are wanted.
const pageMostRead = 50_000

// filter says which entries are wanted; nil wants all.
type filter struct {
	names   []string // of commands; empty: any
	regions []string // with their dot
	key     string   // idempotency key; empty: any
}

// only returns the filter that the parameters commands and key describe.
func (x *exchange) only() (*filter, error) {
	f := &filter{key: x.query["key"]}
	if x.has("key") {
		if err := Key(f.key).Validate(); err != nil {
			return nil, Errorf(MalformedRequest, "the parameter key %w", err)
		}
	}
	if x.has("commands") {
		known := slices.Concat(x.engine.cat.names, []string{ImportCommand, LossCommand, ReducerCommand})
		for name := range strings.SplitSeq(x.query["commands"], ",") {
			region, all := strings.CutSuffix(name, "*")
			isRegion := all && strings.HasSuffix(region, ".") && slices.ContainsFunc(known, func(c string) bool { return strings.HasPrefix(c, region) })
			switch {
			case isRegion:
				f.regions = append(f.regions, region)
			case slices.Contains(known, name):
				f.names = append(f.names, name)
			default:
				return nil, unknownInFilter(name, known)
			}
		}
	}
	if f.key == "" && len(f.names)+len(f.regions) == 0 {
		return nil, nil
	}
	return f, nil
}

func unknownInFilter(name string, known []string) error {
	for _, c := range known {
		region, _, _ := strings.Cut(c, ".")
		known = append(known, region+".*")
	}
	hint := "name commands with commas between them, or all of a region as region.*; GET /commands lists them"
	if near := canon.Nearest(name, known); near != "" {
		hint = fmt.Sprintf("did you mean %s? GET /commands lists them all", near)
	}
	return Errorf(MalformedRequest, "the parameter commands has %s, which is no command: %s", canon.Quote(name), hint)
}

// wants reports whether an entry passes. It reads no more than it must: an
// entry's members are in the order of their names, and in front of command and
// hlc no value has a member of these names.
func (f *filter) wants(r Record) bool {
	if f == nil {
		return true
	}
	_, rest, _ := bytes.Cut(r.JSON, []byte(`"command":"`))
	command, rest, _ := bytes.Cut(rest, []byte(`"`))
	named := func(name string) bool { return string(command) == name }
	begins := func(region string) bool { return strings.HasPrefix(string(command), region) }
	if len(f.names)+len(f.regions) > 0 && !slices.ContainsFunc(f.names, named) && !slices.ContainsFunc(f.regions, begins) {
		return false
	}
	if f.key == "" {
		return true
	}
	_, rest, _ = bytes.Cut(rest, []byte(`"hlc":"`))
	_, rest, _ = bytes.Cut(rest, []byte(`",`))
	return bytes.HasPrefix(rest, []byte(`"idempotency_key":"`+f.key+`"`))
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
func (x *exchange) sendLog(records iter.Seq2[Record, error], p logPage) error {
	out := bufio.NewWriterSize(x.w, 32<<10)
	open, comma, end := `{"entries":[`, ",", ""
	if p.lines {
		open, comma = "", "\n"
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
		if next = r.Index + 1; !p.only.wants(r) {
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
	only, err := x.only()
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
		err := x.watch(ctx, &next, only)
		switch {
		case x.r.Context().Err() != nil && !x.isStopping():
			return nil
		case !errors.Is(err, context.DeadlineExceeded):
			var e *Error
			if errors.As(errors.Join(err, context.Cause(ctx)), &e) {
				_ = x.event(append(append([]byte("event: problem\ndata: "), encode(x.problem(x.asError(e)))...), '\n'))
			}
			return nil
		case x.event(heartbeat(next, only)) != nil:
			return nil
		}
	}
}

// heartbeat returns a comment. With a filter it has the id of the last entry
// read, so that a client that reconnects does not begin with the last one sent.
func heartbeat(next uint64, only *filter) []byte {
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
func (x *exchange) watch(ctx context.Context, next *uint64, only *filter) error {
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
				if only.wants(records[0]) {
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
