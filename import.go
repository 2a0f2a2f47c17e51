package swoosh

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"path"
	"reflect"
	"strconv"
	"strings"
	"sync"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/chorus-services/swoosh/internal/canon"
)

// importCommand is the entry that swaps an imported state in. The state itself
// is too large for an entry: it lies in a file that the entry names.
const importCommand = "state.import"

// importPayload is that entry's payload.
type importPayload struct {
	Bytes     uint64 `json:"bytes"`
	SHA256    Hash   `json:"sha256"` // of the file
	StateHash Hash   `json:"state_hash"`
}

var importCodec = sync.OnceValue(func() *canon.Codec { return canon.For(reflect.TypeFor[importPayload]()) })

func importName(sha Hash) string { return "imports/" + sha.String() + ".json" }

// importing is an import on its way to the writer.
type importing struct {
	state   *State
	payload importPayload
	ifMatch *Hash
}

// Import replaces the whole state by a document as View.WriteTo gives it. On
// an empty log it is the genesis; later ifMatch must be the state hash. The
// order of the refusals is API.md's: they cost no more than is needed.
func (e *Engine) Import(ctx context.Context, ifMatch *Hash, body io.Reader) (Result, error) {
	now := e.View()
	if err := e.writable(true); err != nil {
		return Result{}, err
	}
	if err := now.state.importable(ifMatch, now.at); err != nil {
		return Result{}, err
	}
	select {
	case e.imports <- struct{}{}:
		defer func() { <-e.imports }()
	case <-ctx.Done():
		return Result{}, withdrawn(ctx.Err())
	}
	document, err := io.ReadAll(io.LimitReader(body, e.o.MaxStateBytes+1))
	if err != nil {
		return Result{}, Errorf(MalformedRequest, "the body could not be read: %w", err)
	}
	if int64(len(document)) > e.o.MaxStateBytes {
		return Result{}, Errorf(TooLarge, "the state takes more than %d bytes: start the server with a larger --max-state-bytes", e.o.MaxStateBytes)
	}
	s, err := e.decodeImport(document)
	if err != nil {
		return Result{}, err
	}
	payload, err := e.saveImport(s)
	if err != nil {
		return Result{}, err
	}
	p := &pending{imported: &importing{s, payload, ifMatch}, bytes: 1, done: make(chan struct{})}
	if err := e.enqueue(ctx, p, false); err != nil {
		return Result{}, err
	}
	return p.one(e.wait(ctx, p))
}

// importable says whether a state may be replaced at all.
func (s *State) importable(ifMatch *Hash, at Stamp) *Error {
	if err := s.askGates(Command{importCommand, "state"}, at); err != nil {
		return err
	}
	if ifMatch == nil && s.index > 0 {
		return Errorf(PreconditionRequired, "the log is not empty: send If-Match: \"%s\" to replace the state of entry %d", s.hash, s.index)
	}
	if ifMatch != nil && *ifMatch != s.hash {
		return s.stale("If-Match does not hold: the state hash is %s, of entry %d", s.hash, s.index)
	}
	return nil
}

// decodeImport checks a document and builds its state.
func (e *Engine) decodeImport(document []byte) (*State, error) {
	canonical, err := canon.Canonicalize(document)
	if err != nil {
		return nil, Errorf(MalformedRequest, "the body is not strict JSON: %w", err)
	}
	s := newState(e.defs, e.o.Node)
	meta, errs, err := decodeDocument(jsontext.NewDecoder(bytes.NewReader(canonical)), s)
	if err != nil {
		return nil, Errorf(InvalidState, "the body is not a state: %w", err)
	}
	if err := checkMeta(meta, canonical); err != nil {
		return nil, err
	}
	if errs != nil {
		invalid := Errorf(InvalidState, "%s %s", errs[0].Pointer, errs[0].Detail)
		invalid.Errors = errs
		return nil, invalid
	}
	s.settle()
	s.journal().clear()
	return s, nil
}

// metaMembers are the members of meta that an import looks at.
type metaMembers struct {
	Version   jsontext.Value
	StateHash jsontext.Value
}

func readMeta(meta jsontext.Value) (m metaMembers, err error) {
	if meta.Kind() != '{' {
		return m, errors.New("/meta must be an object with version")
	}
	d := jsontext.NewDecoder(bytes.NewReader(meta))
	if _, err := d.ReadToken(); err != nil {
		return m, err
	}
	for d.PeekKind() == '"' {
		name, err := d.ReadToken()
		if err != nil {
			return m, err
		}
		member := name.String()
		value, err := d.ReadValue()
		if err != nil {
			return m, err
		}
		switch member {
		case "version":
			m.Version = value.Clone()
		case "state_hash":
			m.StateHash = value.Clone()
		}
	}
	return m, nil
}

func checkMeta(meta jsontext.Value, document []byte) *Error {
	m, err := readMeta(meta)
	if err != nil {
		return Errorf(InvalidState, "%w", err)
	}
	if v, err := strconv.Atoi(string(m.Version)); err != nil || v != documentFormat {
		e := Errorf(InvalidState, "/meta/version must be %d", documentFormat)
		e.Errors = []FieldError{{Pointer: "/meta/version", Detail: fmt.Sprintf("must be %d", documentFormat)}}
		return e
	}
	if m.StateHash == nil {
		return nil
	}
	got, err := ComputeStateHash(document)
	if err != nil {
		return Errorf(InvalidState, "%w", err)
	}
	if want := strings.Trim(string(m.StateHash), `"`); got.String() != want {
		e := Errorf(StateHashMismatch, "/meta/state_hash says %s, the document has %s: it was altered, or leave the member out", want, got)
		e.StateHash = &got
		return e
	}
	return nil
}

// saveImport writes the state to its file, as durably as a snapshot.
func (e *Engine) saveImport(s *State) (importPayload, error) {
	sum := sha256.New()
	n, err := viewOf(s).WriteTo(sum)
	if err != nil {
		return importPayload{}, err
	}
	p := importPayload{Bytes: uint64(n), SHA256: Hash(sum.Sum(nil)), StateHash: s.hash}
	err = e.store.Save(importName(p.SHA256), func(f SnapshotFile) error {
		_, err := viewOf(s).WriteTo(f)
		return err
	})
	if err != nil {
		return p, Errorf(Internal, "the state could not be saved: %w", err)
	}
	return p, nil
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
	in.state.index, in.state.stamp, in.state.chain = before.index, before.stamp, before.chain
	e.work = in.state
	rec, err := e.append(&Entry{
		HLC: at, Command: importCommand, Changed: changed,
		Payload: importCodec().Append(nil, reflect.ValueOf(&in.payload).Elem(), canon.Full),
	})
	p.results = []Result{{e.work.index, at, e.work.hash, changed, false}}
	return rec, err
}

// importState does on replay what reduceImport did.
func (p *replay) importState(x *Entry) error {
	damage := func(format string, args ...any) error {
		return &DamageError{Index: x.Index, Detail: fmt.Sprintf(format, args...), Next: "restore the file from a backup, or " + p.r.mend("")}
	}
	var in importPayload
	if errs := importCodec().Decode(x.Payload, reflect.ValueOf(&in).Elem(), canon.Full); errs != nil {
		return damage("its payload: %v", fieldsError(errs))
	}
	if err := p.state.askGates(Command{importCommand, "state"}, x.HLC); err != nil {
		return damage("%s: %v", differs, err)
	}
	name := importName(in.SHA256)
	f, _, err := p.r.store.Open(name)
	if err != nil {
		return damage("its state cannot be opened: %v", err)
	}
	defer f.Close()
	sum := sha256.New()
	body := io.TeeReader(f, sum)
	s := newState(p.r.defs, p.r.o.Node)
	_, errs, err := decodeDocument(jsontext.NewDecoder(body), s)
	if _, copyErr := io.Copy(io.Discard, body); copyErr != nil {
		return damage("%s cannot be read: %v", name, copyErr)
	}
	if Hash(sum.Sum(nil)) != in.SHA256 {
		return damage("%s is damaged: its SHA-256 does not match", name)
	}
	if err != nil || errs != nil {
		return damage("%s does not fit the domains: %v", name, errors.Join(err, fieldsError(errs)))
	}
	s.settle()
	s.journal().clear()
	s.index, s.stamp, s.chain = p.state.index, p.state.stamp, p.state.chain
	p.state = s
	return nil
}

// removeUnnamedImports lets go of imported states that no entry names: their
// imports were refused, or a crash came before the entry.
func (e *Engine) removeUnnamedImports() error {
	files, err := e.store.List("imports")
	if err != nil || len(files) == 0 {
		return err
	}
	named := map[string]bool{}
	for rec, err := range e.wal.Read(1, ^uint64(0)) {
		if err != nil {
			return err
		}
		if !bytes.Contains(rec.JSON, []byte(`"command":"`+importCommand+`"`)) {
			continue
		}
		x, err := DecodeEntry(rec)
		if err != nil {
			return err
		}
		var in importPayload
		if errs := importCodec().Decode(x.Payload, reflect.ValueOf(&in).Elem(), canon.Full); errs == nil {
			named[importName(in.SHA256)] = true
		}
	}
	for _, f := range files {
		if !named[f] && path.Ext(f) == ".json" {
			if err := e.store.Remove(f); err != nil {
				return err
			}
		}
	}
	return nil
}
