package client

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"iter"
	"net/http"
	"net/url"
	"strconv"
	"time"
)

// Entry is a command in the log. The members from IdempotencyKey on are there
// if they were given.
type Entry struct {
	Index     uint64          `json:"index"`
	HLC       string          `json:"hlc"`
	Command   string          `json:"command"`
	Payload   json.RawMessage `json:"payload"` // as sent, canonical
	Changed   bool            `json:"changed"` // false: it altered nothing
	StateHash string          `json:"state_hash"`
	Chain     string          `json:"chain"` // links it to all entries before it

	Raw json.RawMessage `json:"-"` // the whole entry as the server gave it: canonical JSON (RFC 8785)

	IdempotencyKey string          `json:"idempotency_key"`
	KeySince       string          `json:"key_since"`
	After          string          `json:"after"` // the caller's hlc
	Expect         json.RawMessage `json:"expect"`
	Actor          string          `json:"actor"` // the name of the caller's token
	Signer         string          `json:"signer"`
	Signature      string          `json:"signature"`
	WindowID       string          `json:"window_id"`
	InputsHash     string          `json:"inputs_hash"`
	Evidence       []string        `json:"evidence"`
	Guards         []Verdict       `json:"guards"`
	Batch          Batch           `json:"batch"`
}

// Batch says which atomic batch an entry belongs to; zero: to none.
type Batch struct {
	First uint64 `json:"first"` // index of the batch's first entry
	Count uint64 `json:"count"` // entries in it
}

// Log gives the entries from an index on, in order, each once, and ends at the
// end of the log; 0 stands for the first that is kept. A connection that breaks
// is taken up again after the entry that came last. The sequence ends with the
// first error: Compacted if the log no longer has from, NotFound if it is more
// than one beyond the end.
func (c *Client) Log(ctx context.Context, from uint64) iter.Seq2[Entry, error] {
	return func(yield func(Entry, error) bool) {
		f := &follower{c: c, next: from, yield: yield, backoff: c.patience()}
		f.run(ctx, f.readLog)
	}
}

// Watch gives the entries from an index on, in order, each once, and then those
// to come, as they become durable; 0 stands for the first that comes after the
// call. It never misses and never repeats an entry: a connection that breaks, or
// says nothing for 45 s, is taken up again after the entry that came last, for as
// long as ctx allows, also where the server cannot be reached yet or is
// restarted. However slow its caller is, nothing is lost.
//
// The sequence ends with the first error: that of ctx (errors.Is finds it),
// Compacted if the log no longer has what is due, any other refusal that will
// stay so, such as Unauthorized or NotFound for a from that is more than one
// beyond the end.
func (c *Client) Watch(ctx context.Context, from uint64) iter.Seq2[Entry, error] {
	return func(yield func(Entry, error) bool) {
		f := &follower{c: c, next: from, yield: yield, backoff: c.patience()}
		f.backoff.endless = true
		f.run(ctx, f.watch)
	}
}

// follower gives entries to yield and knows which is due.
type follower struct {
	c       *Client
	next    uint64 // index of the entry that is due; 0: not known yet
	had     bool   // an entry has come
	yield   func(Entry, error) bool
	backoff *backoff
}

// run reads with one connection after the other until the end.
func (f *follower) run(ctx context.Context, read func(context.Context) error) {
	if err := f.backoff.again(ctx, func() error { return read(ctx) }); err != nil {
		f.yield(Entry{}, err)
	}
}

// take gives an entry on. Entries may be missing only where log.loss says so.
func (f *follower) take(r request, raw []byte) error {
	var e Entry
	if err := r.decode(f.c.address, raw, &e); err != nil {
		return err
	}
	e.Raw = bytes.Clone(raw)
	if e.Index == 0 || f.next != 0 && e.Index != f.next && (e.Index < f.next || e.Command != "log.loss") {
		return failure(NotSwoosh, No, nil, "%s gave entry %d where %d is due, which no swoosh server does", f.c.address, e.Index, f.next)
	}
	f.next, f.had = e.Index+1, true
	f.backoff.reset()
	f.c.learn(e.HLC)
	if !f.yield(e, nil) {
		return errEnough
	}
	return nil
}

// readLog reads to the end of the log, as of the request.
func (f *follower) readLog(ctx context.Context) error {
	r := request{method: http.MethodGet, path: "/log", query: url.Values{}, header: map[string]string{"Accept": "application/x-ndjson"}, quiet: quietMost}
	if f.next > 0 {
		r.query.Set("from", strconv.FormatUint(f.next, 10))
	}
	answer, err := f.c.send(ctx, r)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	lines := newLineReader(answer.Body)
	for {
		raw, err := lines.next()
		if err == io.EOF {
			return nil
		}
		if err == nil {
			err = f.take(r, raw)
		}
		if err != nil {
			return r.cut(f.c.address, err)
		}
	}
}

// watchQuietMost is quietMost for a watch: the server says something every 15 s.
const watchQuietMost = 45 * time.Second

// watch reads entries as they come. It never ends without an error.
func (f *follower) watch(ctx context.Context) error {
	if f.next == 0 {
		last, err := f.c.last(ctx)
		if err != nil {
			return err
		}
		f.next = last + 1
	}
	r := f.watchRequest()
	answer, err := f.c.send(ctx, r)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	events := eventReader{lines: newLineReader(answer.Body)}
	for {
		e, err := events.next()
		if err == nil {
			err = f.takeEvent(r, e)
		}
		if err != nil {
			return r.cut(f.c.address, err)
		}
	}
}

func (f *follower) watchRequest() request {
	r := request{method: http.MethodGet, path: "/watch", query: url.Values{}, header: map[string]string{"Accept": "text/event-stream"}, quiet: watchQuietMost}
	r.query.Set("from", strconv.FormatUint(f.next, 10))
	if f.had {
		r.header["Last-Event-ID"] = strconv.FormatUint(f.next-1, 10)
	}
	return r
}

func (f *follower) takeEvent(r request, e event) error {
	switch {
	case e.isComment:
		f.backoff.reset()
	case e.name == "entry":
		return f.take(r, e.data)
	case e.name == "problem":
		problem, err := parseProblem(e.data)
		if err != nil {
			return failure(NotSwoosh, No, err, "%s sent an event that is no problem document: %v", f.c.address, err)
		}
		return problem
	}
	return nil
}
