package bench

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"time"
)

// boots measures starts that replay the log, beside Badger reading the same.
func boots(b *bench) error {
	return b.replays(Measure{What: "entries/s", Floor: "Badger read in order", Goal: Goal{Least: 200_000, Value: true}}, func(dir string) (time.Duration, float64, error) {
		start := time.Now()
		c, err := b.serve(dir, "--force-replay")
		if err != nil {
			return 0, 0, err
		}
		took := time.Since(start)
		peak, err := c.peak()
		b.stop(c)
		return took, peak, err
	})
}

// verifies measures verify, beside Badger reading the same.
func verifies(b *bench) error {
	return b.replays(Measure{What: "entries/s", Floor: "Badger read in order", Goal: Goal{Least: 100_000, Value: true}}, func(dir string) (time.Duration, float64, error) {
		return b.finish("verify", dir, "--json")
	})
}

// replays measures what reads the whole log, and its memory.
func (b *bench) replays(m Measure, replay func(dir string) (took time.Duration, peak float64, err error)) error {
	log, err := b.logOf()
	if err != nil {
		return err
	}
	db, err := openBadger(log.badger)
	if err != nil {
		return err
	}
	defer db.Close()
	var badger, swoosh, peaks, sizes []float64
	err = b.rounds(func() error {
		start := time.Now()
		n, err := readBadger(db)
		badger = append(badger, float64(n)/time.Since(start).Seconds())
		return err
	}, func() error {
		took, peak, err := replay(log.dir)
		swoosh = append(swoosh, float64(b.Entries)/took.Seconds())
		peaks, sizes = append(peaks, peak), append(sizes, log.bytes/(1<<20))
		return err
	})
	if err == nil {
		err = b.report(m, badger, swoosh)
	}
	if err == nil {
		err = b.report(Measure{What: "peak memory, MiB", Floor: "bytes of the log"}, sizes, peaks)
	}
	return err
}

// starts measures the time from the start of the process to the first read, beside
// the time to read and hash the snapshot's bytes.
func starts(b *bench) error {
	dir, err := b.stateOf(b.Rows)
	if err != nil {
		return err
	}
	snapshot, size, err := largestFile(filepath.Join(dir, "snapshots"))
	if err != nil {
		return err
	}
	var bytes, swoosh, sizes, peaks []float64
	err = b.rounds(func() error {
		start := time.Now()
		err := hashFile(snapshot)
		bytes = append(bytes, time.Since(start).Seconds())
		return err
	}, func() error {
		start := time.Now()
		c, err := b.serve(dir)
		if err != nil {
			return err
		}
		err = b.caller(c, 1).ask(http.MethodGet, projectPath(1, b.Rows), "", nil)
		swoosh = append(swoosh, time.Since(start).Seconds())
		peak, unread := c.peak()
		b.stop(c)
		sizes, peaks = append(sizes, float64(size)/(1<<20)), append(peaks, peak)
		return errors.Join(err, unread)
	})
	if err == nil {
		err = b.report(Measure{What: "time to first read, s", Floor: "snapshot read and hashed", Goal: Goal{Most: 2, Value: true}, Rows: b.Rows}, bytes, swoosh)
	}
	if err == nil {
		err = b.report(Measure{What: "peak memory, MiB", Floor: "bytes of the snapshot", Goal: Goal{Most: 2.5}, Rows: b.Rows}, sizes, peaks)
	}
	return err
}

// largestFile returns the largest file of a folder: of snapshots and what lies
// beside them, that is the state.
func largestFile(dir string) (path string, size int64, err error) {
	all, err := os.ReadDir(dir)
	for _, d := range all {
		if info, err := d.Info(); err == nil && info.Size() > size {
			path, size = filepath.Join(dir, d.Name()), info.Size()
		}
	}
	if err == nil && path == "" {
		err = fmt.Errorf("%s holds no snapshot", dir)
	}
	return path, size, err
}

func hashFile(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	_, err = io.Copy(sha256.New(), f)
	return err
}

// projectPath returns the path of a row that the n-th read asks for.
func projectPath(n int64, rows int) string {
	return fmt.Sprintf("/state?path=/project/projects/p%d", scatter(n, rows/rowsEach))
}

// readsOne measures reads of single rows, beside a round trip.
func readsOne(b *bench) error {
	h, err := b.handler()
	if err != nil {
		return err
	}
	dir, err := b.stateOf(b.Rows)
	if err != nil {
		return err
	}
	s, err := b.serve(dir)
	if err != nil {
		return err
	}
	toHandler, toSwoosh := b.caller(h, 1), b.caller(s, 1)
	path := func(n int64) string { return projectPath(n, b.Rows) }
	var handler, swoosh []load
	err = b.rounds(
		sampled(&handler, func() (load, error) { return toHandler.get(path) }),
		sampled(&swoosh, func() (load, error) { return toSwoosh.get(path) }),
	)
	if err != nil {
		return err
	}
	return b.reportAll([]figure[load]{
		{Measure{What: "a read, ms", Floor: "round trip", Goal: Goal{Most: 2}, Rows: b.Rows}, handler, swoosh, mean},
		{Measure{What: "p99, ms", Floor: "round trip", Rows: b.Rows}, handler, swoosh, p99},
	})
}

// againMost is how often a past state is read again.
const againMost = 5

// travels measures reads of past states, beside a round trip.
func travels(b *bench) error {
	h, err := b.handler()
	if err != nil {
		return err
	}
	log, err := b.logOf()
	if err != nil {
		return err
	}
	s, err := b.serve(log.dir)
	if err != nil {
		return err
	}
	toHandler, toSwoosh := b.caller(h, 1), b.caller(s, 1)
	timed := func(c *caller, path string, times int) (float64, error) {
		start := time.Now()
		for range times {
			if err := c.ask(http.MethodGet, path, "", nil); err != nil {
				return 0, err
			}
		}
		return time.Since(start).Seconds() / float64(times), nil
	}
	if _, err := timed(toHandler, projectPath(1, rowsEach), 1); err != nil { // It makes the connection.
		return err
	}
	chance := rand.New(rand.NewPCG(1, 2)) // The same places in each run.
	var handler, cold, again []float64
	err = b.rounds(func() error {
		at := 1 + chance.IntN(b.Entries)
		path := fmt.Sprintf("/state?at=%d&path=/project/projects/p1", at)
		bare, err1 := timed(toHandler, path, againMost)
		first, err2 := timed(toSwoosh, path, 1)
		next, err3 := timed(toSwoosh, path, againMost)
		handler, cold, again = append(handler, bare*1000), append(cold, first*1000), append(again, next*1000)
		return errors.Join(err1, err2, err3)
	})
	if err == nil {
		err = b.report(Measure{What: "a past state, cold, ms", Floor: "round trip", Goal: Goal{Most: 2000, Value: true}}, handler, cold)
	}
	if err == nil {
		err = b.report(Measure{What: "the same again, ms", Floor: "round trip", Goal: Goal{Most: 20, Value: true}}, handler, again)
	}
	return err
}

// writers are the clients of loads that something else disturbs.
const writers = 64

// snapshotsUnderLoad measures writers beside a server that saves snapshots.
func snapshotsUnderLoad(b *bench) error {
	return b.disturbed(b.Rows, func(c *caller, write func() error) error {
		ctx, cancel := context.WithCancel(b.ctx)
		var saved error
		var saving sync.WaitGroup
		saving.Go(func() {
			for ctx.Err() == nil && saved == nil {
				saved = c.ask(http.MethodPost, "/snapshot", typeJSON, nil)
			}
		})
		err := write()
		cancel()
		saving.Wait()
		return errors.Join(err, saved)
	}, []figure[load]{
		{Measure: Measure{What: "writers' p99, ms", Floor: "no snapshot", Goal: Goal{Most: 2}, Rows: b.Rows}, of: p99},
		{Measure: Measure{What: "commands/s", Floor: "no snapshot", Rows: b.Rows}, of: perSecond},
	})
}

// disturbed measures writers without and with a disturbance, which calls write.
func (b *bench) disturbed(rows int, disturb func(c *caller, write func() error) error, figures []figure[load]) error {
	dir, err := b.stateOf(rows)
	if err != nil {
		return err
	}
	s, err := b.serve(dir)
	if err != nil {
		return err
	}
	c, body := b.caller(s, writers), failure(rows/rowsEach, 200)
	if err := c.warm(body); err != nil {
		return err
	}
	var without, with []load
	post := func(into *[]load) func() error { return sampled(into, func() (load, error) { return c.post(body) }) }
	err = b.rounds(post(&without), func() error { return disturb(c, post(&with)) })
	if err != nil {
		return err
	}
	for i := range figures {
		figures[i].floor, figures[i].swoosh = without, with
	}
	return b.reportAll(figures)
}
