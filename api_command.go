package swoosh

import (
	"context"
	"net/http"
	"strconv"
	"strings"
)

// The media types of bodies.
const (
	typeJSON   = "application/json"
	typeNDJSON = "application/x-ndjson"
	typeEvents = "text/event-stream"
)

// postCommand applies a command, an atomic batch or a stream of commands.
func (x *exchange) postCommand() error {
	kind, err := x.mediaType()
	if err != nil {
		return err
	}
	if kind == typeNDJSON {
		return x.stream()
	}
	raw, isBatch, err := x.readCommand()
	if err != nil {
		return err
	}
	if _, err := x.parseQuery(); err != nil {
		return err
	}
	if err := x.refuseHeader("If-Match", "the member expect is the way"); err != nil {
		return err
	}
	key, err := x.headerKey()
	if err != nil {
		return err
	}
	ctx, cancel := x.commandContext()
	defer cancel()
	if isBatch {
		return x.batch(ctx, key, raw)
	}
	return x.command(ctx, key, raw)
}

// commandContext bounds how long a command is waited for. A client that goes
// away does not withdraw it.
func (x *exchange) commandContext() (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.WithoutCancel(x.r.Context()), x.api.o.RequestTimeout)
}

func (x *exchange) command(ctx context.Context, key string, raw []byte) error {
	r, err := DecodeRequest(raw)
	if err != nil {
		return err
	}
	if key != "" && r.IdempotencyKey != "" && key != r.IdempotencyKey {
		return malformed([]FieldError{{Pointer: "/idempotency_key", Detail: "differs from the header Idempotency-Key: give the key once"}}, "")
	}
	if key != "" {
		r.IdempotencyKey = key
	}
	x.caller.sign(&r)
	result, err := x.engine.Submit(ctx, r)
	if err != nil {
		return err
	}
	x.accepted(append(appendResult(nil, result), '\n'))
	return nil
}

func (x *exchange) batch(ctx context.Context, key string, raw []byte) error {
	rs, err := DecodeBatch(raw)
	if err != nil {
		return err
	}
	for i, r := range rs {
		x.caller.sign(&rs[i])
		if r.IdempotencyKey != "" {
			return batchError(i, malformed([]FieldError{{Pointer: "/idempotency_key", Detail: "does not belong inside a batch: the header Idempotency-Key stands for the whole"}}, ""))
		}
		if i > 0 && r.KeySince != (Stamp{}) {
			return batchError(i, malformed([]FieldError{{Pointer: "/key_since", Detail: "belongs into the first command of a batch: it goes with the key, which is one for the whole"}}, ""))
		}
	}
	results, err := x.engine.SubmitBatch(ctx, key, rs)
	if err != nil {
		return err
	}
	b := []byte(`{"results":[`)
	for i, r := range results {
		if i > 0 {
			b = append(b, ',')
		}
		b = appendResult(b, r)
	}
	x.accepted(append(b, "]}\n"...))
	return nil
}

func (x *exchange) accepted(b []byte) {
	x.w.Header().Set("Content-Type", typeJSON)
	x.w.WriteHeader(http.StatusOK)
	x.write(b)
}

// headerKey gives the idempotency key of the header, quoted or not; empty if
// there is none.
func (x *exchange) headerKey() (string, error) {
	values := x.r.Header.Values("Idempotency-Key")
	for i, v := range values {
		if len(v) > 1 && strings.HasPrefix(v, `"`) && strings.HasSuffix(v, `"`) {
			values[i] = v[1 : len(v)-1]
		}
		if err := Key(values[i]).Validate(); err != nil {
			return "", Errorf(MalformedRequest, "the header Idempotency-Key %w", err)
		}
		if values[i] != values[0] {
			return "", Errorf(MalformedRequest, "there are two different headers Idempotency-Key: give the key once")
		}
	}
	if len(values) == 0 {
		return "", nil
	}
	return values[0], nil
}

// appendResult adds the JSON of the answer to a command.
func appendResult(b []byte, r Result) []byte {
	b = strconv.AppendUint(append(b, `{"index":`...), r.Index, 10)
	b = r.HLC.append(append(b, `,"hlc":"`...))
	b = append(append(b, `","state_hash":"`...), r.StateHash.String()...)
	b = strconv.AppendBool(append(b, `","changed":`...), r.Changed)
	b = strconv.AppendBool(append(b, `,"duplicate":`...), r.Duplicate)
	return append(b, '}')
}
