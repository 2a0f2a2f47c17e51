package swoosh

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"math"
	"strconv"
	"time"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/chorus-services/swoosh/internal/canon"
	"github.com/chorus-services/swoosh/internal/statehash"
)

// Import replaces the whole state by a document as View.WriteTo gives it. On
// an empty log it is the genesis; later ifMatch must be the state hash. The
// order of the refusals is the contract's: they cost no more than is needed.
func (e *Engine) Import(ctx context.Context, ifMatch *Hash, body io.Reader) (Result, error) {
	return e.importFor(ctx, "", ifMatch, body)
}

// importFor is Import, with who asks for it.
func (e *Engine) importFor(ctx context.Context, actor string, ifMatch *Hash, body io.Reader) (result Result, err error) {
	ctx, span := e.span(ctx, "swoosh.import")
	defer func() {
		e.count(ImportCommand, result, err)
		span.end(result.Index, err)
	}()
	if err := e.writable(true); err != nil {
		return Result{}, err
	}
	now := e.View()
	if err := now.state.importable(ifMatch, now.at); err != nil {
		return Result{}, err
	}
	select {
	case e.imports <- struct{}{}:
	case <-ctx.Done():
		return Result{}, withdrawn(ctx.Err())
	case <-e.intake.ended.Done():
		return Result{}, errShuttingDown()
	}
	leave := func() { <-e.imports }
	defer func() { leave() }()
	p, err := e.prepareImport(actor, ifMatch, body)
	if err != nil {
		return Result{}, err
	}
	if err := e.enqueue(ctx, p, false); err != nil {
		e.forgetImport(p.imported, err)
		return Result{}, err
	}
	result, err = one(e.wait(ctx, p))
	e.forgetImport(p.imported, err)
	if isUnknown(err) {
		leave = func() { // Its entry may still come.
			go func() {
				<-p.done
				if p.err != nil {
					e.forgetImport(p.imported, p.err)
				}
				<-e.imports
			}()
		}
	}
	return result, err
}

// forgetImport removes the file of an import that was refused, unless an entry may
// name it: this one's, or an earlier one's of the same state.
func (e *Engine) forgetImport(in *importing, err error) {
	if err == nil || isUnknown(err) || !in.fresh {
		return
	}
	if err := e.store.Remove(importName(in.payload.SHA256)); err != nil {
		e.log.Warn("the state of a refused import could not be removed; repair does", "why", err)
	}
}

func isUnknown(err error) bool {
	var e *Error
	return errors.As(err, &e) && e.Unknown
}

// importing is an import on its way to the writer.
type importing struct {
	state   *state
	payload importPayload
	fresh   bool // its file was not there before
	ifMatch *Hash
	actor   string
	cost    time.Duration // of decoding it, as a replay must
}

// prepareImport reads, decodes and saves the state. It needs the slot of
// imports, since a state takes memory.
func (e *Engine) prepareImport(actor string, ifMatch *Hash, body io.Reader) (*pending, error) {
	most := e.documentMost()
	document, err := io.ReadAll(io.LimitReader(body, most+1))
	if err != nil {
		return nil, Errorf(MalformedRequest, "the body could not be read: %w", err)
	}
	if int64(len(document)) > most {
		return nil, documentTooLarge(most)
	}
	start := time.Now()
	s, refused := e.decodeImport(document)
	if refused != nil {
		e.reportPanic(ImportCommand, refused)
		return nil, refused
	}
	cost := time.Since(start)
	in := &importing{state: s, ifMatch: ifMatch, actor: actor, cost: cost}
	if err := e.saveImport(in); err != nil {
		return nil, err
	}
	return &pending{imported: in, bytes: 1, done: make(chan struct{})}, nil
}

// documentMost returns how large a document an import reads: whatever View.WriteTo
// writes. A row takes less in a document than it counts in the state, and the rest is
// names.
func (e *Engine) documentMost() int64 {
	const names = 1 << 20
	return max(e.o.MaxStateBytes, e.View().Bytes()) + min(names, math.MaxInt64-1-e.o.MaxStateBytes)
}

func documentTooLarge(most int64) *Error {
	return Errorf(TooLarge, "the document has more than %d bytes: start the server with a larger --max-state-bytes", most)
}

// decodeImport checks a document and builds its state.
func (e *Engine) decodeImport(document []byte) (s *state, err *Error) {
	defer caught(ImportCommand, &err)
	canonical, broken := canon.Canonicalize(document)
	if broken != nil {
		return nil, Errorf(MalformedRequest, "the body is not strict JSON: %w", broken)
	}
	if canonical[0] != '{' {
		return nil, invalidState([]FieldError{{Detail: "must be an object"}})
	}
	s = newState(e.defs, e.o.Node)
	meta, errs, broken := decodeDocument(jsontext.NewDecoder(bytes.NewReader(canonical)), s)
	if broken != nil {
		return nil, Errorf(InvalidState, "the body is not a state: %w", broken)
	}
	want, err := checkMeta(meta)
	if err != nil {
		return nil, err
	}
	if errs == nil {
		s.flush()
	}
	if err := checkHash(want, s, errs, canonical); err != nil {
		return nil, err
	}
	if errs != nil {
		return nil, invalidState(errs)
	}
	return s, nil
}

func invalidState(errs []FieldError) *Error {
	e := Errorf(InvalidState, "%s %s", place(errs[0].Pointer), errs[0].Detail)
	e.Errors = errs
	return e
}

// metaMembers are the members of meta that an import looks at.
type metaMembers struct {
	Version   jsontext.Value
	StateHash jsontext.Value
}

func readMeta(meta jsontext.Value) (m metaMembers, err error) {
	if meta.Kind() != '{' {
		return m, FieldError{Pointer: "/meta", Detail: "must be an object with version"}
	}
	d := jsontext.NewDecoder(bytes.NewReader(meta))
	_, err = canon.ReadMembers(d, func(name string) error {
		value, err := d.ReadValue()
		switch name {
		case "version":
			m.Version = value.Clone()
		case "state_hash":
			m.StateHash = value.Clone()
		}
		return err
	})
	return m, err
}

// checkMeta checks the members of meta and returns the state hash, if there is one.
func checkMeta(meta jsontext.Value) (want *Hash, _ *Error) {
	m, err := readMeta(meta)
	if err != nil {
		return nil, invalidState(faultAt(err))
	}
	if m.StateHash != nil {
		hash, err := unquoteHash(m.StateHash)
		if err != nil {
			return nil, malformed([]FieldError{{Pointer: "/meta/state_hash", Detail: "must be 64 lower-case hex digits"}}, "")
		}
		want = &hash
	}
	if v, err := strconv.Atoi(string(m.Version)); err != nil || v != documentFormat {
		return nil, invalidState([]FieldError{{Pointer: "/meta/version", Detail: fmt.Sprintf("must be %d", documentFormat)}})
	}
	return want, nil
}

// checkHash checks the state hash that a document names, if any. It must be that of
// the document as it stands, or of the state, which counts no zero members though the
// document may have some. With faults there is no state.
func checkHash(want *Hash, s *state, faults []FieldError, document []byte) *Error {
	if want == nil {
		return nil
	}
	got, err := statehash.OfDocument(document)
	if err != nil {
		return invalidState(faultAt(err))
	}
	if got != *want && (faults != nil || s.hash != *want) {
		e := Errorf(StateHashMismatch, "/meta/state_hash says %s, the document has %s: it was altered, or leave the member out", *want, got)
		e.StateHash = &got
		return e
	}
	return nil
}

// faultAt gives an error as the fault of a member, if it names one.
func faultAt(err error) []FieldError {
	var f FieldError
	if !errors.As(err, &f) {
		f.Detail = err.Error()
	}
	return []FieldError{f}
}

// saveImport writes the state to its file, as durably as a snapshot.
func (e *Engine) saveImport(in *importing) error {
	s, sum := in.state, sha256.New()
	n, err := viewOf(s).WriteTo(sum)
	if err != nil {
		return err
	}
	in.payload = importPayload{Bytes: uint64(n), SHA256: Hash(sum.Sum(nil)), StateHash: s.hash}
	name := importName(in.payload.SHA256)
	in.fresh = !has(e.store, name)
	err = e.store.Save(name, func(f SnapshotFile) error {
		_, err := viewOf(s).WriteTo(f)
		return err
	})
	if err != nil {
		return Errorf(Internal, "the state could not be saved: %w", err)
	}
	return nil
}

// importable says whether a state may be replaced at all.
func (s *state) importable(ifMatch *Hash, at Stamp) *Error {
	if err := s.askImportGates(at); err != nil {
		return err
	}
	if ifMatch == nil && s.index > 0 {
		return Errorf(PreconditionRequired, "the log is not empty: send If-Match: \"%s\" to replace the state of entry %d", s.hash, s.index)
	}
	return s.checkExpect(Expect{StateHash: ifMatch})
}

// importsRefused says why no state can be imported now, whichever it is.
func (e *Engine) importsRefused() *Error {
	if err := e.writable(true); err != nil {
		return err
	}
	now := e.View()
	return now.state.askImportGates(now.at)
}

// reduceImport swaps the imported state in, if it still may.
func (e *Engine) reduceImport(p *pending) (Record, *Error) {
	in := p.imported
	at := e.clock.Next(Stamp{})
	if err := e.work.importable(in.ifMatch, at); err != nil {
		return Record{}, err
	}
	before := e.work
	changed := before.hash != in.state.hash
	in.state.position = before.position
	e.work = in.state
	rec, err := e.append(&Entry{
		HLC: at, Command: ImportCommand, Changed: changed, Actor: in.actor,
		Payload: canon.Of[importPayload]().Append(nil, &in.payload, canon.Full),
	})
	p.results = []Result{{e.work.index, at, e.work.hash, changed, false, nil}}
	return rec, err
}
