// Package ahead spreads work over the processors and keeps its order.
package ahead

import (
	"iter"
	"runtime"
	"sync"
)

// Map yields what f makes of in, in order. It reads ahead and calls f on several
// goroutines, with as many elements at a time as weigh size together, or one, and the
// one before them; first stands before all. An error of in ends it. f must not keep
// the batch.
func Map[A, B any](in iter.Seq2[A, error], first A, size int, weigh func(A) int, f func(before A, batch []A) []B) iter.Seq2[B, error] {
	return func(yield func(B, error) bool) {
		workers := runtime.GOMAXPROCS(0)
		p := pipe[A, B]{
			size: size, weigh: weigh, f: f, work: make(chan *job[A, B]), stop: make(chan struct{}),
			order: make(chan *job[A, B], 2*workers),
		}
		p.group.Go(func() { p.read(in, first) })
		for range workers {
			p.group.Go(p.do)
		}
		defer p.group.Wait()
		defer close(p.stop)
		for j := range p.order {
			<-j.done
			for _, b := range j.out {
				if !yield(b, nil) {
					return
				}
			}
			if j.err != nil {
				var none B
				yield(none, j.err)
				return
			}
		}
	}
}

// job is a batch on its way.
type job[A, B any] struct {
	before A
	in     []A
	out    []B
	err    error // of the sequence, after the batch
	done   chan struct{}
}

type pipe[A, B any] struct {
	size        int
	weigh       func(A) int
	f           func(before A, batch []A) []B
	work, order chan *job[A, B]
	stop        chan struct{}
	group       sync.WaitGroup
}

// read cuts the sequence into batches.
func (p *pipe[A, B]) read(in iter.Seq2[A, error], before A) {
	defer close(p.work)
	defer close(p.order)
	var batch []A
	weight := 0
	for a, err := range in {
		if err != nil {
			p.send(&job[A, B]{before: before, in: batch, err: err})
			return
		}
		batch = append(batch, a)
		if weight += p.weigh(a); weight >= p.size {
			if !p.send(&job[A, B]{before: before, in: batch}) {
				return
			}
			before, batch, weight = a, make([]A, 0, len(batch)), 0
		}
	}
	p.send(&job[A, B]{before: before, in: batch})
}

// send hands a batch to the workers, unless the reader of the result has ended.
func (p *pipe[A, B]) send(j *job[A, B]) bool {
	j.done = make(chan struct{})
	for _, to := range []chan *job[A, B]{p.order, p.work} {
		select {
		case to <- j:
		case <-p.stop:
			return false
		}
	}
	return true
}

func (p *pipe[A, B]) do() {
	for j := range p.work {
		j.out = p.f(j.before, j.in)
		close(j.done)
	}
}
