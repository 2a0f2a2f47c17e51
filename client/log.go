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
	"strings"
	"time"
)

// Entry is a command in the log. The members from IdempotencyKey on are set if
// the command had them.
type Entry struct {
	Index     uint64          `json:"index"`
	HLC       string          `json:"hlc"`
	Command   string          `json:"command"`
	Payload   json.RawMessage `json:"payload"` // as sent, canonical
	Changed   bool            `json:"changed"` // false: the state stayed the same
	StateHash string          `json:"state_hash"`
	Chain     string          `json:"chain"` // hash that includes all entries before it

	Raw json.RawMessage `json:"-"` // the whole entry as the server sent it: canonical JSON (RFC 8785)

	IdempotencyKey string          `json:"idempotency_key"`
	KeySince       string          `json:"key_since"`
	After          string          `json:"after"` // the caller's hlc
	Expect         json.RawMessage `json:"expect"`
	Actor          string          `json:"actor"` // the name of the caller's token
	Signer         string          `json:"signer"`
	Signature      string          `json:"signature"`
	SignerKey      string          `json:"signer_key"` // with which the signature was checked; empty: nobody did
	WindowID       string          `json:"window_id"`
	InputsHash     string          `json:"inputs_hash"`
	Evidence       []string        `json:"evidence"`
	Guards         []Verdict       `json:"guards"`
	Batch          Batch           `json:"batch"`
	Result         json.RawMessage `json:"result"` // what the command answered
}

// Batch says which atomic batch an entry belongs to; zero: none.
type Batch struct {
	First uint64 `json:"first"` // index of the batch's first entry
	Count uint64 `json:"count"` // entries in it
}

// LogOption selects the entries that Log and Watch yield. Of several, all must
// hold.
type LogOption struct{ parameter, value string }

// OnlyCommands yields the entries of some commands; a name may be region.* for all
// of a region.
func OnlyCommands(names ...string) LogOption { return LogOption{"commands", strings.Join(names, ",")} }

// OnlyKey yields the entries of the command, or of the atomic batch, that has an
// idempotency key.
func OnlyKey(key string) LogOption { return LogOption{"key", key} }

// AfterChain expects that the entry before the first one has a chain: that of
// Meta.Chain after a read of the state, or of the last entry that was processed.
// If it has another, the log is another one than before, as after a restore of a
// backup, and the sequence ends with HistoryChanged. Empty: nothing is expected.
func AfterChain(chain string) LogOption { return LogOption{afterChain, chain} }

const afterChain = "after" // the parameter

// Log yields the entries from an index on, in order and each once, up to the
// end of the log; 0 means the first entry that is kept. If the connection
// breaks, Log continues after the last entry. The sequence ends with the first
// error: Compacted if the log no longer has from, NotFound if from is more than
// one beyond the end, HistoryChanged if the log does not continue what was yielded; MalformedRequest if options have an unknown command.
func (c *Client) Log(ctx context.Context, from uint64, options ...LogOption) iter.Seq2[Entry, error] {
	return func(yield func(Entry, error) bool) {
		f := newFollower(c, from, options, yield)
		f.run(ctx, f.readLog)
	}
}

// Watch yields the entries from an index on, in order and each once, and then
// new ones as they become durable; 0 means the first entry after the call. It
// never misses or repeats an entry. If the connection breaks, or is silent for
// 45 s, Watch reconnects and continues after the last entry, for as long as ctx
// allows, even if the server is restarted or cannot be reached yet. A slow
// caller misses nothing.
//
// The sequence ends with the first error: ctx's error (errors.Is finds it),
// Compacted if the log no longer has the next entry, HistoryChanged if the log no
// longer has the last entry that was yielded, as after a restore of a backup, or
// another permanent refusal, such as Unauthorized, or NotFound if from is more than one beyond
// the end, or MalformedRequest if options have an unknown command.
func (c *Client) Watch(ctx context.Context, from uint64, options ...LogOption) iter.Seq2[Entry, error] {
	return func(yield func(Entry, error) bool) {
		f := newFollower(c, from, options, yield)
		f.backoff.endless = true
		f.run(ctx, f.watch)
	}
}

// follower passes entries to yield and knows which one is next.
type follower struct {
	c       *Client
	next    uint64 // index of the next entry; 0: not known yet
	had     bool   // an entry has been received, or its index
	last    uint64 // index of the last entry received, or of the one before the first
	chain   string // of that entry; empty: not known
	only    []LogOption
	yield   func(Entry, error) bool
	backoff *backoff
}

func newFollower(c *Client, from uint64, options []LogOption, yield func(Entry, error) bool) *follower {
	f := &follower{c: c, next: from, yield: yield, backoff: c.patience()}
	for _, o := range options {
		if o.parameter != afterChain {
			f.only = append(f.only, o)
		} else if from > 0 {
			f.last, f.chain = from-1, o.value
		}
	}
	return f
}

// run calls read for one connection after the other until the end.
func (f *follower) run(ctx context.Context, read func(context.Context) error) {
	if err := f.backoff.again(ctx, func() error { return read(ctx) }); err != nil {
		f.yield(Entry{}, err)
	}
}

// take passes an entry on. Entries may be missing only before a log.loss entry.
func (f *follower) take(r request, raw []byte) error {
	var e Entry
	if err := r.decode(f.c.address, raw, &e); err != nil {
		return err
	}
	e.Raw = bytes.Clone(raw)
	mayMiss := e.Command == "log.loss" || len(f.only) > 0
	if e.Index == 0 || f.next != 0 && e.Index != f.next && (e.Index < f.next || !mayMiss) {
		return failure(NotSwoosh, No, nil, "%s sent entry %d instead of %d, which a swoosh server does not do", f.c.address, e.Index, f.next)
	}
	f.next, f.had, f.last, f.chain = e.Index+1, true, e.Index, e.Chain
	f.backoff.reset()
	f.c.learn(e.HLC)
	if !f.yield(e, nil) {
		return errEnough
	}
	return nil
}

// readLog reads up to the end that the log has at the time of the request.
func (f *follower) readLog(ctx context.Context) error {
	r := request{method: http.MethodGet, path: "/log", query: url.Values{}, header: map[string]string{"Accept": "application/x-ndjson"}, quiet: quietMost}
	f.ask(r)
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

// ask adds the parameters: which entries, and what the server is to find in
// front of them.
func (f *follower) ask(r request) {
	from := f.next
	if f.chain != "" {
		from = f.last + 1 // Those since are not wanted; Last-Event-ID leaves them out.
		r.query.Set(afterChain, f.chain)
	}
	if from > 0 {
		r.query.Set("from", strconv.FormatUint(from, 10))
	}
	for _, o := range f.only {
		r.query.Set(o.parameter, o.value)
	}
}

// watchQuietMost is quietMost for a watch, in which the server sends something
// every 15 s.
const watchQuietMost = 45 * time.Second

// watch reads entries as they come. It always ends with an error.
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
	r := request{method: http.MethodGet, path: "/watch", query: url.Values{}, header: map[string]string{"Accept": "text/event-stream"}, quiet: watchQuietMost, probe: true}
	f.ask(r)
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
			return failure(NotSwoosh, No, err, "%s sent an event that is not a problem document: %v", f.c.address, err)
		}
		return problem
	case e.id != "":
		if last, err := strconv.ParseUint(e.id, 10, 64); err == nil && last >= f.next {
			f.next, f.had = last+1, true // Entries that are not wanted need not be read again.
		}
	}
	return nil
}
