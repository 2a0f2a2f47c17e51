package journal

import (
	"context"
	"fmt"
	"iter"
	"os"

	"github.com/chorus-services/swoosh/internal/durable"
)

// nudge wakes tend.
func (j *Journal) nudge() {
	select {
	case j.poke <- struct{}{}:
	default:
	}
}

// tend makes spares, seals and recycles beside the writer. What fails is tried
// again the next time.
func (j *Journal) tend(ctx context.Context) {
	defer close(j.done)
	for {
		select {
		case <-ctx.Done():
			return
		case <-j.poke:
		}
		for what, do := range tasks(ctx, j) {
			if err := do(); err != nil && ctx.Err() == nil {
				j.log.Warn("the journal could not "+what, "err", err)
			}
		}
	}
}

// tasks are what there is to tend, in order.
func tasks(ctx context.Context, j *Journal) iter.Seq2[string, func() error] {
	return func(yield func(string, func() error) bool) {
		_ = yield("make a spare file", j.needSpare) &&
			yield("seal a file", func() error { return j.Seal(ctx) }) &&
			yield("use a file again", j.recycle)
	}
}

// Seal seals every raw file that takes no more groups, and returns when they are
// durable. Damaged ones wait for Heal.
func (j *Journal) Seal(ctx context.Context) error {
	j.work.Lock()
	defer j.work.Unlock()
	for _, f := range j.full() {
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := j.pack(j.groups(f)); err != nil {
			return fmt.Errorf("journal: seal %s: %w", f.name, err)
		}
		j.mu.Lock()
		f.sealed = f.bad == nil
		j.mu.Unlock()
	}
	return nil
}

// full returns the raw files that are to be sealed.
func (j *Journal) full() (all []*file) {
	j.mu.Lock()
	defer j.mu.Unlock()
	for _, f := range j.files {
		if f.raw && !f.sealed && f.bad == nil && f != j.writer.active && !j.tail {
			all = append(all, f)
		}
	}
	return all
}

// groups yields what a file holds. A piece that cannot be read is left out.
func (j *Journal) groups(f *file) iter.Seq2[Group, error] {
	return func(yield func(Group, error) bool) {
		j.mu.Lock()
		pieces := f.pieces
		j.mu.Unlock()
		if len(pieces) == 0 {
			return
		}
		in, err := j.fs.OpenFile(j.path(f.name), os.O_RDONLY, 0)
		if err != nil {
			yield(Group{}, err)
			return
		}
		defer in.Close() // It was only read.
		for _, p := range pieces {
			g, err := readPiece(in, p)
			if err != nil {
				j.condemn(f, p, err)
			} else if !yield(g, nil) {
				return
			}
		}
	}
}

// pack writes groups into sealed files, a new one where they do not continue each
// other, and lists the files.
func (j *Journal) pack(groups iter.Seq2[Group, error]) error {
	p := &pack{size: j.size}
	for g, err := range groups {
		if err != nil {
			return err
		}
		if !p.takes(g) {
			if err := j.write(p); err != nil {
				return err
			}
			p = &pack{size: j.size}
		}
		p.add(g)
	}
	if p.last == 0 {
		return nil
	}
	return j.write(p)
}

// write makes a sealed file durable and lists it.
func (j *Journal) write(p *pack) error {
	f, data := p.finish()
	err := durable.Replace(j.fs, j.path(f.name), func(out durable.File) error {
		_, err := out.Write(data)
		return err
	})
	if err != nil {
		return err
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	j.insert(f)
	return nil
}
