package client

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"time"
)

// Options say how a Client asks. The zero value works.
type Options struct {
	Token string      // sent as bearer token; empty: none
	TLS   *tls.Config // for https, and for unix: where the server has TLS there; nil: the system's roots
	Retry Retry

	// Transport sends the requests, in place of one of the client's own. It
	// must not decompress answers. With it neither TLS nor a unix: address.
	Transport http.RoundTripper
}

// Client asks one server. It is for any number of goroutines.
type Client struct {
	address string // as it was given, for people
	base    string // of the URLs
	token   string
	retry   Retry
	http    *http.Client
	own     *http.Transport // nil: the caller's is used

	mu      sync.Mutex
	newest  string    // the greatest Swoosh-HLC
	learned time.Time // when an answer last said where the log stands
}

// New returns a client of the server at an address: http://HOST:PORT,
// https://HOST:PORT or unix:PATH. It does not ask the server yet. The error
// names what is wrong with the address or the options.
func New(address string, o Options) (*Client, error) {
	socket, isUnix := strings.CutPrefix(address, "unix:")
	base, err := address, error(nil)
	switch {
	case o.Transport != nil && (o.TLS != nil || isUnix):
		return nil, errors.New("a Transport connects by itself: give neither TLS nor a unix: address with it")
	case o.Retry.Attempts < 0 || o.Retry.For < 0:
		return nil, errors.New("Retry has a negative bound: 0 stands for the default")
	case strings.ContainsFunc(o.Token, func(r rune) bool { return r <= ' ' || r > '~' }):
		return nil, errors.New("the Token has a character that no token has, perhaps a line end: trim it")
	case isUnix && socket == "":
		return nil, errors.New("unix: names no socket: give unix:PATH")
	case isUnix && o.TLS != nil:
		base = "https://localhost"
	case isUnix:
		base = "http://localhost"
	default:
		base, err = parseAddress(address)
	}
	if err != nil {
		return nil, err
	}
	o.Retry.For = cmp.Or(o.Retry.For, time.Minute)
	c := &Client{address: address, base: base, token: o.Token, retry: o.Retry}
	transport := o.Transport
	if transport == nil {
		c.own = newTransport(o.TLS, socket, isUnix)
		transport = c.own
	}
	c.http = &http.Client{
		Transport:     transport,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	return c, nil
}

// Close lets go of connections that are idle. Calls under way are not touched.
func (c *Client) Close() {
	if c.own != nil {
		c.own.CloseIdleConnections()
	}
}

func parseAddress(address string) (string, error) {
	u, err := url.Parse(address)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Hostname() == "" || strings.Trim(u.Path, "/") != "" || u.RawQuery != "" || u.User != nil || u.Fragment != "" {
		return "", fmt.Errorf("%q is no address of a server: give http://HOST:PORT, https://HOST:PORT or unix:PATH", address)
	}
	return u.Scheme + "://" + u.Host, nil
}

// newTransport has no limit of time for answers: each request has its own.
func newTransport(config *tls.Config, socket string, isUnix bool) *http.Transport {
	dialer := &net.Dialer{Timeout: 5 * time.Second}
	t := &http.Transport{
		Proxy:                 http.ProxyFromEnvironment,
		DialContext:           dialer.DialContext,
		TLSClientConfig:       config,
		TLSHandshakeTimeout:   10 * time.Second,
		ForceAttemptHTTP2:     true,
		DisableCompression:    true,
		MaxIdleConnsPerHost:   64,
		IdleConnTimeout:       time.Minute, // less than the server's
		ExpectContinueTimeout: time.Second,
	}
	if isUnix {
		t.Proxy = nil
		t.DialContext = func(ctx context.Context, _, _ string) (net.Conn, error) {
			return dialer.DialContext(ctx, "unix", socket)
		}
	}
	return t
}

// request is one question to the server.
type request struct {
	method, path string
	query        url.Values
	header       map[string]string
	body         io.Reader
	kind         string // media type of the body

	quiet   time.Duration // for so long the server may say nothing; 0: for ever
	changes bool          // what gets no answer may have happened
	probe   bool          // its answer may come from a server that is replaying, and says nothing of where the log ends
	also    int           // a status beside 200 and 304 that is an answer, no refusal
}

// probeMost is how long a server may take for what costs it nothing.
const probeMost = 10 * time.Second

// send gives the server's answer if it is a good one; the caller closes it. Any
// error is an *Error, also that of reading the body.
func (c *Client) send(ctx context.Context, r request) (*http.Response, error) {
	if ctx.Err() != nil {
		return nil, failure(NoAnswer, No, context.Cause(ctx), "%s was not asked: %v", c.address, context.Cause(ctx))
	}
	ctx, cancel := context.WithCancelCause(ctx)
	answer, err := c.sendUntil(ctx, cancel, r)
	if err != nil {
		cancel(nil)
	}
	return answer, err
}

// sendUntil is send with a context that it cancels when the server says nothing
// for too long, and when the answer is closed.
func (c *Client) sendUntil(ctx context.Context, cancel context.CancelCauseFunc, r request) (*http.Response, error) {
	q, err := http.NewRequestWithContext(ctx, r.method, c.base+r.path, r.body)
	if err != nil {
		return nil, r.noAnswer(c.address, err)
	}
	q.URL.RawQuery = r.query.Encode()
	if c.token != "" {
		q.Header.Set("Authorization", "Bearer "+c.token)
	}
	if r.kind != "" {
		q.Header.Set("Content-Type", r.kind)
	}
	for name, value := range r.header {
		q.Header.Set(name, value)
	}
	silence := newSilence(r.quiet, cancel)
	silence.begin()
	answer, err := c.http.Do(q)
	silence.end()
	if err != nil {
		return nil, r.noAnswer(c.address, err)
	}
	answer.Body = &answerBody{answer.Body, silence, cancel, r, c.address}
	isGood := answer.StatusCode == http.StatusOK || answer.StatusCode == http.StatusNotModified || answer.StatusCode == r.also
	if _, err := position(answer); err != nil || !isGood {
		defer answer.Body.Close()
		return nil, r.refusal(c.address, answer)
	}
	if !r.probe {
		c.learn(answer.Header.Get("Swoosh-HLC"))
	}
	return answer, nil
}

// position gives the index at which the log stood. Every answer of a swoosh
// server has it, and no other program's.
func position(answer *http.Response) (uint64, error) {
	return strconv.ParseUint(answer.Header.Get("Swoosh-Index"), 10, 64)
}

// answerBody gives errors that say whether the request may have happened.
type answerBody struct {
	io.ReadCloser
	silence *silence
	cancel  context.CancelCauseFunc
	r       request
	address string
}

func (b *answerBody) Close() error {
	b.cancel(nil) // What the caller does not want need not come.
	return b.ReadCloser.Close()
}

func (b *answerBody) Read(p []byte) (int, error) {
	b.silence.begin()
	n, err := b.ReadCloser.Read(p)
	b.silence.end()
	if err != nil && err != io.EOF {
		err = b.r.noAnswer(b.address, err)
	}
	return n, err
}

// answerMaxBytes bounds answers that are held whole, but for values of the
// state.
const answerMaxBytes = 16 << 20

// ask sends a request and reads the answer, which is JSON, into v.
func (c *Client) ask(ctx context.Context, r request, v any) error {
	answer, err := c.send(ctx, r)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	raw, err := io.ReadAll(io.LimitReader(answer.Body, answerMaxBytes))
	if err != nil {
		return err
	}
	return r.decode(c.address, raw, v)
}

// learn keeps the greatest stamp that an answer had.
func (c *Client) learn(hlc string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if hlc >= c.newest { // An entry of long ago does not say that newest is new.
		c.newest, c.learned = hlc, time.Now()
	}
}

// sinceMostAge is how old the stamp in a key_since may be. One that is older
// than the server's key window would get a new key refused as expired.
const sinceMostAge = time.Minute

// since gives the newest stamp of the log, for a key_since. It asks the server
// where no answer told it lately.
func (c *Client) since(ctx context.Context) (string, error) {
	c.mu.Lock()
	newest, age := c.newest, time.Since(c.learned)
	c.mu.Unlock()
	if newest != "" && age < sinceMostAge {
		return newest, nil
	}
	if _, err := c.last(ctx); err != nil {
		return "", err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.newest, nil
}

// last asks for the index of the log's last entry. A server that replays its
// log does not know it yet, and is asked again.
func (c *Client) last(ctx context.Context) (last uint64, err error) {
	err = c.again(ctx, func() error {
		r := newRead("/meta/version", nil) // The smallest answer there is.
		r.quiet = probeMost
		answer, err := c.send(ctx, r)
		if err != nil {
			return err
		}
		defer answer.Body.Close()
		last = newMeta(answer).Index
		_, err = io.Copy(io.Discard, answer.Body)
		return err
	})
	return last, err
}
