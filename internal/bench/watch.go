package bench

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"sync"
	"sync/atomic"
)

// watchers measures writers beside a server that many watch.
func watchers(b *bench) error {
	const projects = 1000
	return b.disturbed(projects*rowsEach, func(c *caller, write func() error) error {
		ctx, cancel := context.WithCancel(b.ctx)
		w, err := c.watch(ctx, b.Watchers)
		if err == nil {
			err = write()
		}
		cancel()
		w.Wait()
		return err
	}, []figure[load]{
		{Measure: Measure{What: fmt.Sprintf("commands/s with %d watchers", b.Watchers), Floor: "no watcher", Goal: Goal{Least: 0.8}}, of: perSecond},
		{Measure: Measure{What: fmt.Sprintf("p99 with %d watchers, ms", b.Watchers), Floor: "no watcher"}, of: p99},
	})
}

// watch opens n watches and returns once all are open. They end with ctx.
func (c *caller) watch(ctx context.Context, n int) (*sync.WaitGroup, error) {
	client := &http.Client{Transport: &http.Transport{DisableCompression: true}}
	var running, opening sync.WaitGroup
	var failed atomic.Pointer[error]
	for range n {
		opening.Add(1)
		running.Go(func() {
			answer, err := c.openWatch(ctx, client)
			if err != nil {
				failed.Store(&err)
			}
			opening.Done()
			if err == nil {
				_, _ = io.Copy(io.Discard, answer.Body) // It ends with ctx.
				_ = answer.Body.Close()
			}
		})
	}
	opening.Wait()
	if err := failed.Load(); err != nil {
		return &running, *err
	}
	return &running, nil
}

func (c *caller) openWatch(ctx context.Context, client *http.Client) (*http.Response, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, c.to.address+"/watch", nil)
	if err != nil {
		return nil, err
	}
	answer, err := client.Do(r)
	if err != nil {
		return nil, err
	}
	if answer.StatusCode != http.StatusOK {
		return nil, errors.Join(refused(answer), answer.Body.Close())
	}
	return answer, nil
}
