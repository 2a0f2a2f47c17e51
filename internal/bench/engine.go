package bench

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"math"
	"sync/atomic"
	"time"

	"github.com/chorus-services/swoosh"
)

// stateMost is how many bytes the state may have that a scenario makes.
const stateMost = 8 << 30

// open opens an engine in this process, with the settings that child servers have.
func (b *bench) open(dir string, published func(swoosh.View)) (*swoosh.Engine, error) {
	o := b.Engine
	o.MaxStateBytes = stateMost
	o.Dir, o.Published, o.Logger = dir, published, slog.New(slog.NewTextHandler(io.Discard, nil))
	return swoosh.Open(b.ctx, o, b.Parts...)
}

func closing(e *swoosh.Engine, err error) error {
	ctx, cancel := context.WithTimeout(context.Background(), stopWithin)
	defer cancel()
	return errors.Join(err, e.Close(ctx))
}

// batchMost is the most commands that a batch has.
const batchMost = 1000

// stateOf returns a directory with a state of about so many rows, in a snapshot.
func (b *bench) stateOf(rows int) (string, error) {
	dir := b.dir("state")
	e, err := b.open(dir, nil)
	if err != nil {
		return "", err
	}
	err = b.fill(e, rows/rowsEach)
	if err == nil {
		_, err = e.Snapshot(b.ctx)
	}
	return dir, closing(e, err)
}

// fill creates the projects from 1 to n.
func (b *bench) fill(e *swoosh.Engine, n int) error {
	for made := 0; made < n; {
		batch := make([]swoosh.Request, min(n-made, batchMost))
		for i := range batch {
			made++
			batch[i] = creationOf(int64(made))
			batch[i].IdempotencyKey = ""
		}
		if _, err := e.SubmitBatch(b.ctx, "", batch); err != nil {
			return err
		}
	}
	return nil
}

// logs are a log of Entries entries and the same entries in Badger alone, shared by
// the scenarios that read them.
type logs struct {
	dir, badger string
	bytes       float64
}

// logOf returns the shared logs, which it makes first.
func (b *bench) logOf() (*logs, error) {
	if b.shared != nil {
		return b.shared, nil
	}
	l := &logs{dir: b.dir("log"), badger: b.dir("badger")}
	e, err := b.open(l.dir, nil)
	if err != nil {
		return nil, err
	}
	var next atomic.Int64
	_, err = run(b.ctx, 512, math.MaxInt64, func(int) error {
		n := next.Add(1)
		if n > int64(b.Entries) {
			return errEnough
		}
		_, err := e.Submit(b.ctx, creationOf(n))
		return err
	})
	if errors.Is(err, errEnough) {
		err = l.copy(e)
	}
	if err = closing(e, err); err != nil {
		return nil, err
	}
	b.shared = l
	return l, nil
}

// copy fills Badger with the entries of a log.
func (l *logs) copy(e *swoosh.Engine) error {
	db, err := openBadger(l.badger)
	if err != nil {
		return err
	}
	var values [][]byte
	first, last := e.Bounds()
	for r, err := range e.Records(first, last) {
		if err != nil {
			return errors.Join(err, db.Close())
		}
		values, l.bytes = append(values, r.JSON), l.bytes+float64(len(r.JSON))
		if len(values) == batchMost || first+uint64(len(values)) > last {
			if err := appendBadger(db, first, values); err != nil {
				return errors.Join(err, db.Close())
			}
			first, values = first+uint64(len(values)), nil
		}
	}
	return db.Close()
}

var errEnough = errors.New("enough")

// inProcess measures commands of one row, of 300 bytes, beside the same groups
// written to a raw file and to Badger, each with a sync.
func inProcess(submitters int) func(*bench) error {
	return func(b *bench) error {
		var upTo []uint64 // the last index of each group
		e, err := b.open(b.dir("engine"), func(v swoosh.View) { upTo = append(upTo, v.Index()) })
		if err != nil {
			return err
		}
		const projects = 1000
		if err := b.fill(e, projects); err != nil {
			return closing(e, err)
		}
		var next atomic.Int64
		var swoosh, raw, badger []float64
		err = b.rounds(func() error {
			from := lastOf(e)
			upTo = nil
			l, err := run(b.ctx, submitters, b.Time, func(int) error {
				_, err := e.Submit(b.ctx, failureOf(next.Add(1), projects))
				return err
			})
			if err != nil {
				return err
			}
			groups, err := groupsOf(e, from, upTo)
			if err != nil {
				return err
			}
			onDisk, err := b.writeGroups(groups)
			if err != nil {
				return err
			}
			inBadger, err := b.appendGroups(groups)
			swoosh, raw, badger = append(swoosh, l.perSecond), append(raw, onDisk), append(badger, inBadger)
			return err
		})
		if err = closing(e, err); err != nil {
			return err
		}
		if err := b.report(Measure{What: "commands/s", Floor: "raw file", Goal: Goal{Least: 0.7}}, raw, swoosh); err != nil {
			return err
		}
		return b.report(Measure{What: "commands/s", Floor: "Badger alone"}, badger, swoosh)
	}
}

func lastOf(e *swoosh.Engine) uint64 {
	_, last := e.Bounds()
	return last
}

// groupsOf returns the records of each group after an index.
func groupsOf(e *swoosh.Engine, after uint64, upTo []uint64) (groups [][][]byte, err error) {
	var group [][]byte
	for r, err := range e.Records(after+1, lastOf(e)) {
		if err != nil {
			return nil, err
		}
		after++
		group = append(group, append(r.Chain[:], r.JSON...))
		if len(groups) < len(upTo) && after == upTo[len(groups)] {
			groups, group = append(groups, group), nil
		}
	}
	return groups, nil
}

// writeGroups returns how many records a second a raw file takes.
func (b *bench) writeGroups(groups [][][]byte) (float64, error) {
	f, err := createRaw(b.dir("raw"), 32<<20)
	if err != nil {
		return 0, err
	}
	defer f.close()
	return perSecondOf(groups, func(_ uint64, group [][]byte) error {
		n := 0
		for _, r := range group {
			n += len(r)
		}
		return f.write(n)
	})
}

// appendGroups returns how many records a second Badger takes.
func (b *bench) appendGroups(groups [][][]byte) (float64, error) {
	db, err := openBadger(b.dir("badger"))
	if err != nil {
		return 0, err
	}
	rate, err := perSecondOf(groups, func(first uint64, group [][]byte) error { return appendBadger(db, first, group) })
	return rate, errors.Join(err, db.Close())
}

func perSecondOf(groups [][][]byte, write func(first uint64, group [][]byte) error) (float64, error) {
	var count uint64
	start := time.Now()
	for _, g := range groups {
		if err := write(count+1, g); err != nil {
			return 0, err
		}
		count += uint64(len(g))
	}
	return float64(count) / time.Since(start).Seconds(), nil
}
