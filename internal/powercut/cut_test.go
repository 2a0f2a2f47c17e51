//go:build linux

package powercut

import (
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"sort"
)

// cut is a power cut in a life.
type cut struct {
	of       *life
	position int
	fate     fate
	image    image
}

func (c cut) String() string {
	return fmt.Sprintf("%s, cut after %d of %d events, unflushed writes %s", c.of.fs.name, c.position, len(c.of.record), c.fate.name)
}

// cuts yields n power cuts. The phases are cut equally often, since starts and
// stops are short.
func (l *life) cuts(n int, rng *rand.Rand) func(yield func(cut) bool) {
	positions := make([]int, n)
	for i := range positions {
		phase := rng.IntN(len(l.phases) - 1)
		positions[i] = l.position(l.phases[phase], l.phases[phase+1], rng)
	}
	slices.Sort(positions)
	return func(yield func(cut) bool) {
		p := player{record: l.record, durable: maps.Clone(l.before)}
		for _, n := range positions {
			f := fates[rng.IntN(len(fates))]
			if !yield(cut{l, n, f, p.cut(n, f, rng)}) {
				return
			}
		}
	}
}

// position returns a position from first to last: any, or one just before or after
// a flush, or one at which a client had an answer.
func (l *life) position(first, last int, rng *rand.Rand) int {
	n := first + rng.IntN(last-first+1)
	switch rng.IntN(4) {
	case 0:
		for n < last && !l.record[n].flush() {
			n++
		}
	case 1:
		for n > first && !l.record[n-1].flush() {
			n--
		}
	case 2:
		if i := l.acknowledged(n); i > 0 && l.acks[i-1].position >= first {
			n = l.acks[i-1].position
		}
	}
	return n
}

// acknowledged returns how many answers the clients had by a position.
func (l *life) acknowledged(position int) int {
	return sort.Search(len(l.acks), func(i int) bool { return l.acks[i].position > position })
}

// again lives on the disk that the cut left. The server must start by itself, and
// must take commands.
func (c cut) again(dir, name string) (*life, error) {
	return live(c.of.fs, dir, c.image, func(v *volume, l *life) error {
		s, err := l.serve(v, nil)
		if err != nil {
			return err
		}
		if err := c.check(s); err != nil {
			return fmt.Errorf("%w\nthe server's log:\n%s", err, &s.stderr)
		}
		if err := l.write(v, s, name, func(answered int) bool { return answered >= 2*writers }); err != nil {
			return fmt.Errorf("%w\nthe server's log:\n%s", err, &s.stderr)
		}
		l.mark(v)
		return l.end(v, s)
	})
}

// check checks that the log is the beginning of the one before, that it holds
// all that was acknowledged by the cut, that a batch is in it whole, and that its
// last entry made the state.
func (c cut) check(s *server) error {
	log, err := s.log()
	if err != nil {
		return err
	}
	if len(log) > len(c.of.log) || !slices.Equal(log, c.of.log[:len(log)]) {
		return errors.New("the log holds what the one before does not")
	}
	acks := c.of.acks[:c.of.acknowledged(c.position)]
	for _, a := range acks {
		if a.Index > uint64(len(log)) {
			return fmt.Errorf("entry %d was acknowledged and is not in the log of %d", a.Index, len(log))
		}
	}
	if len(log) > 0 {
		last, err := readEntry(log[len(log)-1])
		if err != nil {
			return err
		}
		if last.Batch.Count > 0 && last.Batch.First+last.Batch.Count-1 != last.Index {
			return fmt.Errorf("entry %d is the last, within a batch of %d", last.Index, last.Batch.Count)
		}
		if hash, err := s.stateHash(); err != nil || hash != last.StateHash {
			return fmt.Errorf("the state's hash is %s, the last entry's %s (%v)", hash, last.StateHash, err)
		}
	}
	if len(acks) > 0 {
		a := acks[len(acks)-1]
		if again, err := s.post(a.command); err != nil || again != a.answer {
			return fmt.Errorf("sent again, a command was answered with %+v, not with %+v (%v)", again, a.answer, err)
		}
	}
	return nil
}
