package swoosh

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/chorus-services/swoosh/internal/canon"
	"github.com/chorus-services/swoosh/internal/door"
)

// indexMax is the greatest integer that every JSON decoder holds exactly.
const indexMax = 1<<53 - 1

// getState answers with the state, a value in it, or a page of a table, now or
// at an earlier entry.
func (x *exchange) getState() error {
	if _, err := parsePointer(x.query["path"]); err != nil {
		return err // Refuse it before waiting for anything.
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
		x.abortIf(n.Page(x.w, page.after, page.limit))
	default:
		_, err := n.WriteTo(x.w)
		x.abortIf(err)
	}
	return nil
}

// page holds the parameters after and limit: up to limit rows, after a key.
type page struct {
	after string
	limit int
}

// page returns nil if the parameters do not ask for a page.
func (x *exchange) page() (*page, error) {
	if !x.has("after") && !x.has("limit") {
		return nil, nil
	}
	if !x.has("path") {
		return nil, Errorf(MalformedRequest, "after and limit need path: they page through the table that path names")
	}
	if path := x.query["path"]; !slices.Contains(x.engine.cat.tables, path) {
		return nil, Errorf(MalformedRequest, "%s is not a table: after and limit page through a table; GET /state?path=/meta/tables lists the tables", canon.Quote(path))
	}
	limit, err := x.limit()
	return &page{x.query["after"], limit}, err
}

// limit returns the parameter limit, 1 to 10 000; the default is 100.
func (x *exchange) limit() (int, error) {
	if !x.has("limit") {
		return 100, nil
	}
	n, err := parseIndex(x.query["limit"])
	if err != nil || n < 1 || n > pageMax {
		return 0, Errorf(MalformedRequest, "limit must be an integer from 1 to %d, not %s", pageMax, canon.Quote(x.query["limit"]))
	}
	return int(n), nil
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

// parseIndex parses an index in its shortest decimal form.
func parseIndex(s string) (uint64, error) {
	n, err := strconv.ParseUint(s, 10, 64)
	if err != nil || n > indexMax || strconv.FormatUint(n, 10) != s {
		return 0, fmt.Errorf("must be an integer from 0 to 2^53-1, not %s", canon.Quote(s))
	}
	return n, nil
}

// view returns the state that the parameters ask for. If it is the newest
// state, the answer's headers get its position.
func (x *exchange) view() (View, error) {
	if x.has("at") {
		if x.has("min_index") || x.has("timeout") {
			return View{}, Errorf(MalformedRequest, "at cannot be combined with min_index or timeout: at reads a past state, min_index waits for a later one")
		}
		return x.viewAt()
	}
	if err := x.waitMinIndex(); err != nil {
		return View{}, err
	}
	v := x.engine.View()
	x.w.position(v.Index(), v.At())
	x.w.Header().Set("Swoosh-Chain", v.Chain().String())
	return v, nil
}

// A state of the past takes memory and time, so they are made one at a time, for few
// callers that wait and fewer requests of each.
const (
	travelsMost   = 8
	travelsOfEach = 2
)

func (x *exchange) viewAt() (View, error) {
	who := door.CallerOf(x.caller.Name, x.r)
	if !x.travels.Take(who, 1) {
		return View{}, Errorf(Overloaded, "%d requests for past states are waiting, of one caller %d at most: send it again in a moment", travelsMost, travelsOfEach)
	}
	defer x.travels.Give(who, 1)
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
		return View{}, Errorf(MalformedRequest, "at %w", err)
	}
	v, err := x.engine.ViewAt(ctx, index)
	return v, stopped(ctx, err)
}

// readContext ends when the client disconnects, the server stops, or the request
// has taken RequestTimeout.
func (x *exchange) readContext() (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancelCause(x.r.Context())
	done := context.AfterFunc(x.engine.intake.ended, func() { cancel(errShuttingDown()) })
	late := time.AfterFunc(x.o.RequestTimeout, func() {
		cancel(Errorf(Timeout, "the past state was not made within %s: ask for one after a snapshot, or try again", x.o.RequestTimeout))
	})
	return ctx, func() { done(); late.Stop(); cancel(nil) }
}

// stopped returns the cause instead of err if the shutdown or the timeout ended ctx.
func stopped(ctx context.Context, err error) error {
	if cause := context.Cause(ctx); err != nil && (ShuttingDown.Is(cause) || Timeout.Is(cause)) {
		return cause
	}
	return err
}

// waitMinIndex waits until the entry that min_index names is applied.
func (x *exchange) waitMinIndex() error {
	if !x.has("min_index") {
		if x.has("timeout") {
			return Errorf(MalformedRequest, "timeout needs min_index: it limits the wait for that entry")
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
			return Errorf(MalformedRequest, "timeout must be a duration from 1ms to 60s, such as 5s, not %s", canon.Quote(x.query["timeout"]))
		}
	}
	ctx, cancel := context.WithTimeout(x.r.Context(), timeout)
	defer cancel()
	err = x.engine.WaitIndex(ctx, n)
	if err != nil && ctx.Err() == context.DeadlineExceeded && x.r.Context().Err() == nil {
		return Errorf(Timeout, "entry %d was not applied within %s, the log ends at %d: try again", n, timeout, x.engine.View().Index())
	}
	return err
}

// has304 reports whether the client already has the value, by weak comparison
// (RFC 9110, 13.1.2).
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
	if most := x.engine.documentMost(); x.r.ContentLength > most {
		return documentTooLarge(most)
	}
	if _, err := x.parseQuery(); err != nil {
		return err
	}
	if err := x.refuseHeader("Idempotency-Key", "if the answer is lost, compare the state hash in the ETag of GET /state"); err != nil {
		return err
	}
	if err := x.refuseConditions(); err != nil {
		return err
	}
	ifMatch, err := x.ifMatch()
	if err != nil {
		if refused := x.engine.importsRefused(); refused != nil {
			return refused // Reasons that refuse every import come first.
		}
		return err
	}
	ctx, cancel := context.WithCancel(context.WithoutCancel(x.r.Context()))
	defer cancel()
	in := &importBody{body{x: x}, time.AfterFunc(x.o.RequestTimeout, cancel)}
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

// importBody is a body that extends the import's deadline whenever a part of it
// arrives.
type importBody struct {
	body
	patience *time.Timer
}

func (b *importBody) Read(p []byte) (int, error) {
	n, err := b.body.Read(p)
	b.patience.Reset(b.x.o.RequestTimeout)
	return n, err
}

// refuseConditions refuses the preconditions that the route does not know: it would
// answer as if they held (RFC 9110, 13.1).
func (x *exchange) refuseConditions() error {
	ifMatch, ifNoneMatch := "only POST /state replaces a state", "only GET /state has an ETag"
	switch x.route.name() {
	case "GET /state":
		ifNoneMatch = ""
	case "POST /state":
		ifMatch, ifNoneMatch = "", "send If-Match with the hash of the state to replace, or neither if the log is empty"
	case "POST /command":
		ifMatch, ifNoneMatch = "use the member expect", "use the member expect"
	}
	var err error
	if ifMatch != "" {
		err = x.refuseHeader("If-Match", ifMatch)
	}
	if err == nil && ifNoneMatch != "" {
		err = x.refuseHeader("If-None-Match", ifNoneMatch)
	}
	return err
}

// ifMatch returns the state hash in the If-Match header, or nil if there is
// none.
func (x *exchange) ifMatch() (*Hash, error) {
	values := x.r.Header.Values("If-Match")
	if len(values) == 0 {
		return nil, nil
	}
	tag, opened := strings.CutPrefix(values[0], `"`)
	tag, closed := strings.CutSuffix(tag, `"`)
	h, err := ParseHash(tag)
	if len(values) > 1 || !opened || !closed || err != nil {
		return nil, Errorf(MalformedRequest, `If-Match must be one state hash in quotes, such as If-Match: "%s", not %s`, x.engine.View().StateHash(), canon.Quote(strings.Join(values, ", ")))
	}
	return &h, nil
}

// postSnapshot saves a snapshot.
func (x *exchange) postSnapshot() error {
	if err := x.refuseConditions(); err != nil {
		return err
	}
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
