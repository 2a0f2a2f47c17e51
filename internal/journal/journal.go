package journal

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"math"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/chorus-services/swoosh/internal/durable"
)

// Journal is an open journal. One goroutine appends; any may call the other
// methods beside it.
type Journal struct {
	dir string
	fs  durable.FS
	log *slog.Logger

	size int  // of a raw file; decides the other sizes too
	tail bool // see OpenTail

	mu    sync.Mutex
	files []*file // sorted by compare; copied before it changes
	last  uint64  // that the journal has, or should have
	begin uint64  // what is before it is not read any more; 0: the files alone say where the journal begins

	trimming bool     // whether a trim to begin has not ended
	outlived []string // files before begin that Open has found

	writer struct {
		sync.Mutex
		active *file // nil: the next group begins a file; changes under both locks
		file   durable.File
		at     int64  // of the next record in it
		head   []byte // of the record before, as it was written; empty: none was since the start
		headAt int64
		buf    []byte
		failed error
	}
	spares struct {
		sync.Mutex
		names []string
		made  int // number of the last one
	}

	work     sync.Mutex // held by what makes or removes sealed files, or removes raw ones
	released atomic.Uint64
	poke     chan struct{} // there may be something to tend
	stop     context.CancelFunc
	done     chan struct{}
}

// Open opens the journal in dir, and creates dir if it is missing; the folder that
// holds dir is durable already. It reads the
// tables of sealed files, and all of the raw files that are not sealed. Damaged
// files are no error: Damage returns them. Nothing is written before the first
// call of a method that writes, but incomplete files are removed.
//
// The error is ErrNewer if a file is of a later format.
func Open(dir string, fsys durable.FS, log *slog.Logger) (*Journal, error) {
	return openSized(dir, fsys, log, rawBytes)
}

// OpenTail opens a journal that only repeats the newest entries of another one. It
// syncs nothing, so a power cut may take any of it. It seals nothing, and uses a
// raw file again once all in it is released.
func OpenTail(dir string, fsys durable.FS, log *slog.Logger) (*Journal, error) {
	return start(&Journal{dir: dir, fs: fsys, log: log, size: rawBytes, tail: true})
}

func openSized(dir string, fsys durable.FS, log *slog.Logger, size int) (*Journal, error) {
	return start(&Journal{dir: dir, fs: fsys, log: log, size: size})
}

func start(j *Journal) (*Journal, error) {
	j.poke, j.done = make(chan struct{}, 1), make(chan struct{})
	if err := j.open(); err != nil {
		return nil, fmt.Errorf("journal: %w", err)
	}
	ctx, stop := context.WithCancel(context.Background())
	j.stop = stop
	go j.tend(ctx)
	return j, nil
}

func (j *Journal) open() error {
	if err := durable.MkdirAll(j.fs, j.dir); err != nil {
		return err
	}
	list, err := j.fs.ReadDir(j.dir)
	if err != nil {
		return err
	}
	for _, entry := range list {
		name := entry.Name()
		if strings.HasSuffix(name, durable.TempSuffix) {
			if err := j.fs.Remove(j.path(name)); err != nil {
				return err
			}
		} else if n, ok := spareNumber(name); ok {
			if err := j.adoptSpare(name, n); err != nil {
				return err
			}
		} else if f := parseName(name); f != nil {
			j.files = append(j.files, f)
		} else if first, ok := trimFirst(name); ok {
			j.begin, j.trimming = max(j.begin, first), true
		}
	}
	if err := j.fs.SyncDir(j.dir); err != nil { // The names that were found count from now on.
		return err
	}
	slices.SortFunc(j.files, compare)
	j.outlive()
	for _, f := range j.files {
		if !f.raw {
			if err := j.load(f); err != nil {
				return err
			}
		}
	}
	if err := j.loadRaws(); err != nil {
		return err
	}
	j.judge()
	for _, f := range j.files {
		j.last = max(j.last, f.last)
	}
	return j.resume()
}

// loadRaws loads the raw files of which sealed ones do not hold all.
func (j *Journal) loadRaws() error {
	var raws []*file
	for _, f := range j.files {
		if f.raw {
			raws = append(raws, f)
		}
	}
	for i, f := range raws {
		if i+1 < len(raws) {
			if end := raws[i+1].first - 1; j.holds(f.first, end) {
				f.last, f.sealed = end, true
				continue
			}
		}
		if err := j.load(f); err != nil {
			return err
		}
		f.sealed = f.bad == nil && len(f.pieces) > 0 && j.holds(f.first, f.last)
	}
	return nil
}

// judge finds the damage that only a look at the neighbours shows: a raw file
// whose end is missing, and files that do not continue each other.
func (j *Journal) judge() {
	for i, f := range j.files {
		if f.raw && !f.sealed && f.bad == nil && i+1 < len(j.files) {
			if next := j.files[i+1].first; next > f.last+1 && !j.holds(f.last+1, f.last+1) {
				f.bad = errors.New("its last entries are missing")
			}
		}
	}
	for _, f := range j.files {
		if f.bad != nil || f.raw && f.sealed || len(f.pieces) == 0 {
			continue
		}
		if next, _, ok := j.cover(f.last + 1); ok && next.first == f.last+1 && next.bad == nil && next.before != f.after {
			f.forsake(errChain)
			next.forsake(errChain)
		}
	}
}

var errChain = errors.New("its chain and its neighbour's do not meet")

// forsake gives up all of a file.
func (f *file) forsake(err error) { f.bad, f.pieces = err, nil }

// resume opens the last raw file for appending, if it is sound.
func (j *Journal) resume() error {
	w := &j.writer
	for _, f := range slices.Backward(j.files) {
		if !f.raw {
			continue
		}
		if f.bad != nil || f.sealed || f.last != j.last {
			return nil
		}
		file, err := j.openRaw(f.name)
		if err != nil {
			return err
		}
		w.active, w.file = f, file
		for _, p := range f.pieces {
			w.at = max(w.at, p.at+int64(roundUp(p.size, blockBytes)))
		}
		return nil
	}
	return nil
}

func (j *Journal) bodyMax() int { return j.size / 2 }

func (j *Journal) path(name string) string { return filepath.Join(j.dir, name) }

// Bounds returns the first and the last index that the journal holds, or should
// hold: Damage returns the holes between. They are 0 if it is empty.
func (j *Journal) Bounds() (first, last uint64) {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.bounds()
}

func (j *Journal) bounds() (first, last uint64) {
	if len(j.files) == 0 || j.last == 0 {
		return 0, 0
	}
	return max(min(j.files[0].first, j.last), j.begin), j.last // The only file may be raw and empty.
}

// Append appends a group, which is durable once Append has returned nil. Readers
// see it then. A group that does not begin after the last one leaves a hole.
//
// If the disk has no room for the file that the group needs, the error is ErrNoRoom:
// nothing is written, and Append may be called again. After any other error of the
// disk it is unknown whether the group is durable, and each later call returns the
// same error, unless no file could be made.
func (j *Journal) Append(g Group) error {
	w := &j.writer
	w.Lock()
	defer w.Unlock()
	if w.failed != nil {
		return w.failed
	}
	if err := j.follows(g); err != nil {
		return err
	}
	size := roundUp(headerBytes+len(g.Body), blockBytes)
	if w.active == nil || g.First != w.active.last+1 || w.at+int64(size) > int64(j.size) {
		if err := j.rotate(g.First); err != nil {
			if w.failed == nil && durable.NoRoom(err) {
				err = fmt.Errorf("%w: %w", ErrNoRoom, err)
			}
			return fmt.Errorf("journal: %w", err)
		}
	}
	h := header{plain, g.First, g.Last, 0, len(g.Body), g.Before, g.After}
	w.buf = appendRecord(w.buf[:0], h, g.Body)
	w.buf = append(w.buf, zeros[:size-len(w.buf)]...)
	_, err := w.file.WriteAt(w.buf, w.at)
	if err == nil && !j.tail {
		err = w.file.Datasync()
	}
	if err != nil {
		w.failed = fmt.Errorf("journal: %w", err)
		return w.failed
	}
	j.publish(g, piece{g.First, g.Last, w.at, headerBytes + len(g.Body)})
	w.head, w.headAt = append(w.head[:0], w.buf[:headerBytes]...), w.at
	w.at += int64(size)
	return nil
}

// ErrNoRoom is the error of a group that was not written, since the disk is full.
var ErrNoRoom = errors.New("there is no room for another file")

// follows checks the group against what was appended last.
func (j *Journal) follows(g Group) error {
	j.mu.Lock()
	defer j.mu.Unlock()
	active := j.writer.active
	switch {
	case g.First == 0 || g.Last < g.First || g.Last-g.First >= math.MaxUint32 || len(g.Body) > j.bodyMax():
		return fmt.Errorf("journal: entries %d to %d of %d bytes cannot be a group", g.First, g.Last, len(g.Body))
	case g.First <= j.last:
		return fmt.Errorf("journal: entry %d is not after the last one, %d", g.First, j.last)
	case active != nil && len(active.pieces) > 0 && g.First == active.last+1 && g.Before != active.after:
		return fmt.Errorf("journal: entry %d: %w", g.First, errChain)
	}
	return nil
}

// publish shows readers the group.
func (j *Journal) publish(g Group, p piece) {
	j.mu.Lock()
	defer j.mu.Unlock()
	f := j.writer.active
	if len(f.pieces) == 0 {
		f.before = g.Before
	}
	f.pieces = append(f.pieces, p)
	f.last, f.after, j.last = g.Last, g.After, g.Last
}

// Close ends the work beside the writer. It seals nothing.
func (j *Journal) Close() error {
	j.stop()
	<-j.done
	w := &j.writer
	w.Lock()
	defer w.Unlock()
	if w.failed == nil {
		w.failed = fmt.Errorf("journal: %w", fs.ErrClosed)
	}
	j.mu.Lock()
	w.active = nil
	j.mu.Unlock()
	if w.file == nil {
		return nil
	}
	err := w.file.Close()
	w.file = nil
	return err
}
