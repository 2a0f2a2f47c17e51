package journal

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"os"
	"slices"

	"github.com/chorus-services/swoosh/internal/durable"
)

// Damage says what of the journal is not as it was written. It is an error.
type Damage struct {
	File        string // in the journal's directory; empty if no file is known to have held the entries
	First, Last uint64 // the entries that it costs; 0 if it costs none
	Err         error  // why; wraps the error of the disk if there was one
}

func (d *Damage) Error() string {
	what := "journal"
	if d.File != "" {
		what += ": " + d.File
	}
	if d.First == 0 {
		return fmt.Sprintf("%s: %v", what, d.Err)
	}
	return fmt.Sprintf("%s: entries %d to %d: %v", what, d.First, d.Last, d.Err)
}

func (d *Damage) Unwrap() error { return d.Err }

var errMissing = errors.New("no file holds them")

// Read yields the groups that hold the entries from one index to another, in
// order. The first may begin before from and the last end after to; what the
// journal does not reach is left out. At a hole, Read yields a *Damage and ends:
// the entries after it can be read from its Last + 1. Any other error says nothing
// about the files.
//
// Read never waits for Append. Each group's Body is the caller's.
func (j *Journal) Read(from, to uint64) iter.Seq2[Group, error] {
	return func(yield func(Group, error) bool) {
		first, last := j.Bounds()
		r := reader{j: j, next: max(from, first), to: min(to, last)}
		defer r.close()
		for r.to > 0 && r.next <= r.to {
			g, err := r.group()
			if !yield(g, err) || err != nil {
				return
			}
		}
	}
}

// reader reads groups in order.
type reader struct {
	j        *Journal
	next, to uint64

	file   *file // the one being read; nil if none is
	in     durable.File
	pieces []piece // of it, not read yet

	last  *file // that held the last group
	after [32]byte
}

// group returns the group that holds the next entry.
func (r *reader) group() (Group, error) {
	for {
		if len(r.pieces) == 0 || r.pieces[0].first > r.next {
			if err := r.open(); err != nil {
				return Group{}, err
			}
			if r.file == nil {
				continue // It is gone, or was found damaged.
			}
		}
		p := r.pieces[0]
		g, err := readPiece(r.in, p)
		if err == nil && r.last != nil && g.First == r.next && g.Before != r.after {
			r.j.forsake(r.last, r.file)
			r.close()
			continue
		}
		if errors.Is(err, ErrNewer) || durable.Refused(err) {
			return Group{}, fmt.Errorf("journal: %s: %w", r.file.name, err)
		} else if err != nil {
			r.j.condemn(r.file, p, err)
			r.close()
			continue
		}
		r.pieces, r.next, r.last, r.after = r.pieces[1:], g.Last+1, r.file, g.After
		return g, nil
	}
}

// open opens the file that holds the next entry. Without an error and a file, it
// is to be called again.
func (r *reader) open() error {
	r.close()
	r.j.mu.Lock()
	f, i, ok := r.j.cover(r.next)
	if !ok {
		defer r.j.mu.Unlock()
		return r.j.hole(r.next)
	}
	pieces := f.pieces[i:len(f.pieces):len(f.pieces)]
	r.j.mu.Unlock()
	in, err := r.j.fs.OpenFile(r.j.path(f.name), os.O_RDONLY, 0)
	if durable.Refused(err) {
		return fmt.Errorf("journal: %w", err)
	} else if err != nil {
		r.j.condemnAll(f, err)
		return nil
	}
	r.file, r.in, r.pieces = f, in, pieces
	return nil
}

func (r *reader) close() {
	if r.in != nil {
		_ = r.in.Close() // It was only read.
	}
	r.file, r.in, r.pieces = nil, nil, nil
}

// cover returns the file that holds an entry, and the number of the piece. A
// sealed file comes before a raw one. The caller holds the lock.
func (j *Journal) cover(index uint64) (*file, int, bool) {
	for _, f := range slices.Backward(j.upTo(index)) {
		if index <= f.last {
			if i, ok := find(f.pieces, index); ok {
				return f, i, true
			}
		}
	}
	return nil, 0, false
}

// upTo returns the files that begin at an index or before.
func (j *Journal) upTo(index uint64) []*file {
	n, _ := slices.BinarySearchFunc(j.files, index, func(f *file, index uint64) int {
		if f.first <= index {
			return -1
		}
		return 1
	})
	return j.files[:n]
}

// holds reports whether sound sealed files hold all entries of a range that are still
// read.
func (j *Journal) holds(from, to uint64) bool {
	next := max(from, j.begin)
	for _, f := range j.files {
		if !f.raw && f.bad == nil && f.first <= next && next <= f.last {
			next = f.last + 1
		}
	}
	return next > to
}

// hole returns the damage that costs an entry, with the entries after it. The
// caller holds the lock.
func (j *Journal) hole(index uint64) *Damage {
	d := &Damage{First: index, Last: j.last, Err: errMissing}
	for _, f := range j.files {
		i, _ := find(f.pieces, index)
		if i < len(f.pieces) && f.pieces[i].first > index {
			d.Last = min(d.Last, f.pieces[i].first-1)
		}
	}
	for _, f := range slices.Backward(j.upTo(index)) {
		if f.bad != nil && (f.raw || index <= f.last) {
			d.File, d.Err = f.name, f.bad
			break
		}
	}
	return d
}

// condemn takes out a piece that cannot be read, unless the file was made a spare
// meanwhile.
func (j *Journal) condemn(f *file, p piece, err error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if i, ok := find(f.pieces, p.first); ok && !f.gone {
		f.pieces = slices.Concat(f.pieces[:i], f.pieces[i+1:])
		j.warn(f, err)
	}
}

// condemnAll is condemn for all of a file.
func (j *Journal) condemnAll(f *file, err error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if !f.gone {
		f.pieces = nil
		j.warn(f, err)
	}
}

// forsake gives up two files that do not continue each other.
func (j *Journal) forsake(a, b *file) {
	j.condemnAll(a, errChain)
	j.condemnAll(b, errChain)
}

func (j *Journal) warn(f *file, err error) {
	f.bad = err
	j.log.Warn("a file of the journal is damaged", "file", f.name, "err", err)
}

// Damage returns the holes, and the damaged files that cost no entries, as Open
// and later reads found them.
func (j *Journal) Damage() (all []Damage) {
	j.mu.Lock()
	defer j.mu.Unlock()
	named := map[string]bool{}
	next, last := j.bounds()
	for next <= last && last > 0 {
		if f, i, ok := j.cover(next); !ok {
			d := j.hole(next)
			all, named[d.File] = append(all, *d), true
			next = d.Last + 1
		} else if f.bad == nil && len(f.pieces) > 0 {
			next = f.last + 1
		} else {
			next = f.pieces[i].last + 1
		}
	}
	for _, f := range j.files {
		if f.bad != nil && !named[f.name] {
			all = append(all, Damage{File: f.name, Err: f.bad})
		}
	}
	return all
}

// Check reads and checks everything once, and returns what Damage returns then.
// It calls pace after each group with the bytes of its body.
func (j *Journal) Check(ctx context.Context, pace func(bytes int)) ([]Damage, error) {
	if err := j.checkTables(); err != nil {
		return nil, err
	}
	next, last := j.Bounds()
	for next <= last && last > 0 {
		for g, err := range j.Read(next, last) {
			var d *Damage
			if errors.As(err, &d) {
				next = d.Last + 1
				break
			} else if err != nil {
				return nil, err
			}
			next = g.Last + 1
			pace(len(g.Body))
			if err := ctx.Err(); err != nil {
				return nil, err
			}
		}
	}
	return j.Damage(), nil
}

// checkTables reads the tables of the sealed files again.
func (j *Journal) checkTables() error {
	j.mu.Lock()
	files := j.files
	j.mu.Unlock()
	for _, f := range files {
		if f.raw {
			continue
		}
		again := &file{name: f.name, first: f.first, last: f.last}
		if err := j.load(again); err != nil {
			return fmt.Errorf("journal: %w", err)
		}
		j.mu.Lock()
		if again.bad != nil && f.bad == nil && !f.gone {
			f.pieces = again.pieces
			j.warn(f, again.bad)
		}
		j.mu.Unlock()
	}
	return nil
}
