package bench

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

const (
	typeJSON   = "application/json"
	typeNDJSON = "application/x-ndjson"
)

// load is what clients measured in a round. Latencies are in ms.
type load struct {
	perSecond float64
	mean, p50 float64
	p99       float64
	cpu       float64 // of the server, µs a request; 0: not read
}

func perSecond(l load) float64 { return l.perSecond }
func mean(l load) float64      { return l.mean }
func p50(l load) float64       { return l.p50 }
func p99(l load) float64       { return l.p99 }
func cpu(l load) float64       { return l.cpu }

// costs returns the µs that each request took of the whole.
func costs(l load) float64 { return 1e6 / l.perSecond }

// run calls do on as many goroutines as there are clients, again and again until
// time is up, and once at least. do gets the number of its client, and stops all by an error.
func run(ctx context.Context, clients int, lasting time.Duration, do func(client int) error) (load, error) {
	var stop atomic.Bool
	defer context.AfterFunc(ctx, func() { stop.Store(true) })()
	took, errs := make([][]time.Duration, clients), make([]error, clients)
	var all sync.WaitGroup
	start := time.Now()
	for i := range clients {
		all.Go(func() {
			for began := time.Now(); !stop.Load(); {
				if errs[i] = do(i); errs[i] != nil {
					stop.Store(true)
					return
				}
				now := time.Now()
				took[i], began = append(took[i], now.Sub(began)), now
				if now.Sub(start) >= lasting {
					return
				}
			}
		})
	}
	all.Wait()
	elapsed := time.Since(start)
	failed := slices.IndexFunc(errs, func(err error) bool { return err != nil })
	switch {
	case ctx.Err() != nil:
		return load{}, ctx.Err()
	case failed >= 0: // The others say the same.
		return load{}, errs[failed]
	}
	each := slices.Concat(took...)
	slices.Sort(each)
	var sum time.Duration
	for _, t := range each {
		sum += t
	}
	return load{
		perSecond: float64(len(each)) / elapsed.Seconds(), mean: ms(sum) / float64(len(each)),
		p50: ms(each[len(each)/2]), p99: ms(each[len(each)*99/100]),
	}, nil
}

// caller sends requests to a child over kept-alive connections.
type caller struct {
	b       *bench
	to      *child
	clients int
	http    *http.Client
}

func (b *bench) caller(to *child, clients int) *caller {
	t := &http.Transport{MaxIdleConns: clients, MaxIdleConnsPerHost: clients, DisableCompression: true}
	return &caller{b, to, clients, &http.Client{Transport: t}}
}

// post measures commands over HTTP, one a request. body returns the n-th command.
func (c *caller) post(body func(n int64) []byte) (load, error) {
	return c.measured(func(int) error {
		return c.ask(http.MethodPost, "/command", typeJSON, bytes.NewReader(body(c.to.next.Add(1))))
	})
}

// get measures reads. path returns the n-th path and query.
func (c *caller) get(path func(n int64) string) (load, error) {
	return c.measured(func(int) error { return c.ask(http.MethodGet, path(c.to.next.Add(1)), "", nil) })
}

// warm makes the connections and fills what is filled by use.
func (c *caller) warm(body func(n int64) []byte) error {
	_, err := run(c.b.ctx, c.clients, c.b.Time/4, func(int) error {
		return c.ask(http.MethodPost, "/command", typeJSON, bytes.NewReader(body(c.to.next.Add(1))))
	})
	return err
}

// measured adds the server's CPU to a load.
func (c *caller) measured(do func(int) error) (load, error) {
	before, err := c.to.cpu()
	if err != nil {
		return load{}, err
	}
	start := time.Now()
	l, err := run(c.b.ctx, c.clients, c.b.Time, do)
	if err != nil {
		return load{}, err
	}
	requests := l.perSecond * time.Since(start).Seconds()
	after, err := c.to.cpu()
	l.cpu = float64((after - before).Microseconds()) / requests
	return l, err
}

// ask sends a request and reads the answer. An answer other than 200 is an error.
func (c *caller) ask(method, path, contentType string, body io.Reader) error {
	r, err := http.NewRequestWithContext(c.b.ctx, method, c.to.address+path, body)
	if err != nil {
		return err
	}
	if contentType != "" {
		r.Header.Set("Content-Type", contentType)
	}
	answer, err := c.http.Do(r)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		return refused(answer)
	}
	_, err = io.Copy(io.Discard, answer.Body)
	return err
}

func refused(answer *http.Response) error {
	said, _ := io.ReadAll(io.LimitReader(answer.Body, 1000)) // Half an answer says as much as can be had.
	return fmt.Errorf("%s %s was answered with %s: %s", answer.Request.Method, answer.Request.URL.Path, answer.Status, bytes.TrimSpace(said))
}

// stream measures commands that follow each other over one connection. The
// answers are read as they come.
func (c *caller) stream(body func(n int64) []byte) (load, error) {
	lines := &source{until: time.Now().Add(c.b.Time), body: body, next: &c.to.next}
	r, err := http.NewRequestWithContext(c.b.ctx, http.MethodPost, c.to.address+"/command", lines)
	if err != nil {
		return load{}, err
	}
	r.Header.Set("Content-Type", typeNDJSON)
	before, err := c.to.cpu()
	if err != nil {
		return load{}, err
	}
	start := time.Now()
	answer, err := c.http.Do(r)
	if err != nil {
		return load{}, err
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		return load{}, refused(answer)
	}
	answered := 0
	for in := bufio.NewReaderSize(answer.Body, 64<<10); ; answered++ {
		line, err := in.ReadSlice('\n')
		if err == io.EOF {
			break
		}
		if err == nil && bytes.Contains(line, []byte(`"code":`)) {
			err = fmt.Errorf("a command of a stream was refused: %s", bytes.TrimSpace(line))
		}
		if err != nil {
			return load{}, err
		}
	}
	l := load{perSecond: float64(answered) / time.Since(start).Seconds()}
	after, err := c.to.cpu()
	l.cpu = float64((after - before).Microseconds()) / float64(max(answered, 1))
	return l, err
}

// source is the body of a stream: lines until time is up.
type source struct {
	until time.Time
	body  func(n int64) []byte
	next  *atomic.Int64
	left  []byte
}

func (s *source) Read(p []byte) (n int, err error) {
	for n < len(p) {
		if len(s.left) == 0 {
			if n > 0 && n > len(p)/2 || !time.Now().Before(s.until) {
				break
			}
			s.left = append(s.body(s.next.Add(1)), '\n')
		}
		k := copy(p[n:], s.left)
		n, s.left = n+k, s.left[k:]
	}
	if n == 0 {
		return 0, io.EOF
	}
	return n, nil
}
