package swoosh

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
)

// indexMax is the greatest index that every JSON reader holds exactly.
const indexMax = 1<<53 - 1

// getState gives the state, a value in it, a page of a table; as it is, or as
// it was.
func (x *exchange) getState() error {
	if _, err := parsePointer(x.query["path"]); err != nil {
		return err // Before anything is waited for.
	}
	page, err := x.page()
	if err != nil {
		return err
	}
	v, err := x.view()
	if err != nil {
		return err
	}
	n, err := v.Find(x.query["path"])
	if err != nil {
		return err
	}
	h := x.w.Header()
	etag := `"` + n.Hash().String() + `"`
	h.Set("ETag", etag)
	if x.has304(etag) {
		x.w.WriteHeader(http.StatusNotModified)
		return nil
	}
	h.Set("Content-Type", typeJSON)
	x.w.WriteHeader(http.StatusOK)
	switch {
	case x.isHead():
	case page != nil:
		x.sent(n.Page(x.w, page.after, page.limit))
	default:
		_, err := n.WriteTo(x.w)
		x.sent(err)
	}
	return nil
}

// sent cuts an answer off that could not be sent whole, so that nobody takes
// it for whole.
func (x *exchange) sent(err error) {
	if err != nil {
		panic(http.ErrAbortHandler)
	}
}

// page is what the parameters after and limit ask for.
type page struct {
	after string
	limit int
}

// page gives nil if the parameters do not ask for a page.
func (x *exchange) page() (*page, error) {
	if !x.has("after") && !x.has("limit") {
		return nil, nil
	}
	if !x.has("path") {
		return nil, Errorf(MalformedRequest, "after and limit page through a table: name it by path")
	}
	if path := x.query["path"]; !slices.Contains(x.engine.cat.tables, path) {
		return nil, Errorf(MalformedRequest, "%s is not a table: after and limit page through a table, GET /state?path=/meta/tables lists them", shown(path))
	}
	limit, err := x.limit()
	return &page{x.query["after"], limit}, err
}

// limit reads the parameter of that name: 1 to 10 000, by default 100.
func (x *exchange) limit() (int, error) {
	if !x.has("limit") {
		return 100, nil
	}
	n, err := parseIndex(x.query["limit"])
	if err != nil || n < 1 || n > 10_000 {
		return 0, Errorf(MalformedRequest, "limit is an integer from 1 to 10000, not %s", shown(x.query["limit"]))
	}
	return int(n), nil
}

// parseIndex reads an index in its only form.
func parseIndex(s string) (uint64, error) {
	n, err := strconv.ParseUint(s, 10, 64)
	if err != nil || n > indexMax || strconv.FormatUint(n, 10) != s {
		return 0, fmt.Errorf("an index is an integer from 0 below 2^53, not %s", shown(s))
	}
	return n, nil
}

// view gives the state that the parameters ask for. The answer says where the
// log stands: at that state, if it is the newest.
func (x *exchange) view() (View, error) {
	if x.has("at") {
		if x.has("min_index") || x.has("timeout") {
			return View{}, Errorf(MalformedRequest, "at asks for the past, min_index and timeout for what is to come: give one of them")
		}
		return x.viewAt()
	}
	if err := x.waitMinIndex(); err != nil {
		return View{}, err
	}
	v := x.engine.View()
	x.w.position(v.Index(), v.At())
	return v, nil
}

func (x *exchange) viewAt() (View, error) {
	ctx, cancel := x.readContext()
	defer cancel()
	at := x.query["at"]
	index, err := parseIndex(at)
	if strings.Contains(at, "-") {
		var stamp Stamp
		if stamp, err = ParseStamp(at); err == nil {
			if index, err = x.engine.IndexAt(ctx, stamp); err != nil {
				return View{}, stopped(ctx, err)
			}
		}
	}
	if err != nil {
		return View{}, Errorf(MalformedRequest, "at: %w", err)
	}
	v, err := x.engine.ViewAt(ctx, index)
	return v, stopped(ctx, err)
}

// readContext ends when the client goes away or the server stops.
func (x *exchange) readContext() (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancelCause(x.r.Context())
	done := context.AfterFunc(x.engine.stopped, func() { cancel(errStopping()) })
	return ctx, func() { done(); cancel(nil) }
}

// stopped gives the cause instead of err if ctx was ended by the stop.
func stopped(ctx context.Context, err error) error {
	if cause := context.Cause(ctx); err != nil && ShuttingDown.Is(cause) {
		return cause
	}
	return err
}

func errStopping() *Error {
	return Errorf(ShuttingDown, "the server is stopping: ask again after its restart")
}

// waitMinIndex waits until the entry that the caller wants to read is there.
func (x *exchange) waitMinIndex() error {
	if !x.has("min_index") {
		if x.has("timeout") {
			return Errorf(MalformedRequest, "timeout says how long to wait for min_index: give that too")
		}
		return nil
	}
	n, err := parseIndex(x.query["min_index"])
	if err != nil {
		return Errorf(MalformedRequest, "min_index: %w", err)
	}
	timeout := 5 * time.Second
	if x.has("timeout") {
		timeout, err = time.ParseDuration(x.query["timeout"])
		if err != nil || timeout < time.Millisecond || timeout > time.Minute {
			return Errorf(MalformedRequest, "timeout is a duration from 1ms to 60s, such as 5s, not %s", shown(x.query["timeout"]))
		}
	}
	ctx, cancel := context.WithTimeout(x.r.Context(), timeout)
	defer cancel()
	err = x.engine.WaitIndex(ctx, n)
	if err != nil && ctx.Err() == context.DeadlineExceeded && x.r.Context().Err() == nil {
		return Errorf(Timeout, "entry %d was not there within %s, the log ends at %d: ask again", n, timeout, x.engine.View().Index())
	}
	return err
}

// has304 tells whether the client has what it asks for (RFC 9110, 13.1.2: the
// comparison is weak).
func (x *exchange) has304(etag string) bool {
	for _, line := range x.r.Header.Values("If-None-Match") {
		for tag := range strings.SplitSeq(line, ",") {
			if tag = strings.TrimSpace(tag); tag == "*" || strings.TrimPrefix(tag, "W/") == etag {
				return true
			}
		}
	}
	return false
}

// postState imports a state.
func (x *exchange) postState() error {
	if _, err := x.mediaType(); err != nil {
		return err
	}
	if most := x.engine.o.MaxStateBytes; x.r.ContentLength > most {
		return Errorf(TooLarge, "the state takes %d bytes, at most %d are taken: start the server with a larger --max-state-bytes", x.r.ContentLength, most)
	}
	if _, err := x.parseQuery(); err != nil {
		return err
	}
	if err := x.refuseHeader("Idempotency-Key", "after a lost answer compare the state hash, GET /state gives it as its ETag"); err != nil {
		return err
	}
	ifMatch, err := x.ifMatch()
	if err != nil {
		if refused := x.engine.importsRefused(); refused != nil {
			return refused // What holds for every import comes first.
		}
		return err
	}
	ctx, cancel := context.WithCancel(context.WithoutCancel(x.r.Context()))
	defer cancel()
	in := &importBody{body{x: x}, time.AfterFunc(x.api.o.RequestTimeout, cancel)}
	defer in.patience.Stop()
	result, err := x.engine.importFor(ctx, x.caller.Name, ifMatch, in)
	if in.err != nil {
		return in.err
	}
	if err != nil {
		return err
	}
	x.accepted(append(appendResult(nil, result), '\n'))
	return nil
}

// importBody is a body that gives its reader a fresh while to go on, whenever
// some of it has come.
type importBody struct {
	body
	patience *time.Timer
}

func (b *importBody) Read(p []byte) (int, error) {
	n, err := b.body.Read(p)
	b.patience.Reset(b.x.api.o.RequestTimeout)
	return n, err
}

// ifMatch gives the state hash of the header; nil without one.
func (x *exchange) ifMatch() (*Hash, error) {
	values := x.r.Header.Values("If-Match")
	if len(values) == 0 {
		return nil, nil
	}
	tag, quoted := strings.CutPrefix(values[0], `"`)
	tag, closed := strings.CutSuffix(tag, `"`)
	h, err := ParseHash(tag)
	if len(values) > 1 || !quoted || !closed || err != nil {
		return nil, Errorf(MalformedRequest, `If-Match is one state hash in quotes, If-Match: "%s", not %s`, x.engine.View().StateHash(), shown(strings.Join(values, ", ")))
	}
	return &h, nil
}

// postSnapshot saves a snapshot.
func (x *exchange) postSnapshot() error {
	if _, err := x.parseQuery(); err != nil {
		return err
	}
	x.leaveBody()
	info, err := x.engine.Snapshot(x.r.Context())
	if err != nil {
		return err
	}
	return x.json(http.StatusOK, info)
}
