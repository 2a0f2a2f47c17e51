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

// Options configure a Client. The zero value works.
type Options struct {
	Token string      // sent as a bearer token; empty: none
	TLS   *tls.Config // for https, and for unix: if the server uses TLS there; nil: the system's roots
	Retry Retry

	// Signer signs every command that has no signer: where the server takes no
	// signature, it is Forbidden. Nil: none is signed.
	Signer *Signer

	// Transport sends the requests instead of the client's own transport. It
	// must not decompress answers. It cannot be combined with TLS or a unix:
	// address.
	Transport http.RoundTripper
}

// Client sends requests to one server. It is safe for concurrent use.
type Client struct {
	address string // as passed to New, for messages
	base    string // the URLs' scheme and host
	token   string
	retry   Retry
	signer  *Signer
	http    *http.Client
	own     *http.Transport // nil: Options.Transport is used

	mu      sync.Mutex
	newest  string    // the greatest Swoosh-HLC
	learned time.Time // when newest was last confirmed
	hub     string    // the log's identity, to sign for; empty: not known
}

// New returns a client for the server at an address: http://HOST:PORT,
// https://HOST:PORT or unix:PATH. It does not contact the server. It fails if
// the address or the options are not valid.
func New(address string, o Options) (*Client, error) {
	socket, isUnix := strings.CutPrefix(address, "unix:")
	base, err := address, error(nil)
	switch {
	case o.Transport != nil && (o.TLS != nil || isUnix):
		return nil, errors.New("Transport makes its own connections: it cannot be combined with TLS or a unix: address")
	case o.Retry.Attempts < 0 || o.Retry.For < 0:
		return nil, errors.New("Retry has a negative limit: use 0 for the default")
	case strings.ContainsFunc(o.Token, func(r rune) bool { return r <= ' ' || r > '~' }):
		return nil, errors.New("the Token has a character that tokens cannot have, perhaps a newline: trim it")
	case isUnix && socket == "":
		return nil, errors.New("the address unix: has no socket path: use unix:PATH")
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
	c := &Client{address: address, base: base, token: o.Token, retry: o.Retry, signer: o.Signer}
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

// Close closes idle connections. Calls in progress continue.
func (c *Client) Close() {
	if c.own != nil {
		c.own.CloseIdleConnections()
	}
}

func parseAddress(address string) (string, error) {
	u, err := url.Parse(address)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Hostname() == "" || strings.Trim(u.Path, "/") != "" || u.RawQuery != "" || u.User != nil || u.Fragment != "" {
		return "", fmt.Errorf("%q is not a server's address: use http://HOST:PORT, https://HOST:PORT or unix:PATH", address)
	}
	return u.Scheme + "://" + u.Host, nil
}

// newTransport returns a transport without a time limit for answers, since each
// request has its own.
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
		IdleConnTimeout:       time.Minute, // shorter than the server's
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

// request is one request to the server.
type request struct {
	method, path string
	query        url.Values
	header       map[string]string
	body         io.Reader
	kind         string // media type of the body

	quiet   time.Duration // the longest silence of the server; 0: no limit
	changes bool          // without an answer, it may have happened
	probe   bool          // also answered during a replay, so Swoosh-HLC may not be the log's end
	also    int           // a further status that is not a refusal, besides 200 and 304
}

// probeMost is how long a server may take to answer requests that cost it
// nothing.
const probeMost = 10 * time.Second

// send returns the server's answer unless it is a refusal; the caller closes
// it. All errors are of type *Error, including those from reading the body.
func (c *Client) send(ctx context.Context, r request) (*http.Response, error) {
	if ctx.Err() != nil {
		return nil, failure(NoAnswer, No, context.Cause(ctx), "no request was sent to %s: %v", c.address, context.Cause(ctx))
	}
	ctx, cancel := context.WithCancelCause(ctx)
	answer, err := c.sendUntil(ctx, cancel, r)
	if err != nil {
		cancel(nil)
	}
	return answer, err
}

// sendUntil is send with a cancel function for ctx. It is called when the
// server is silent for too long, and when the answer is closed.
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

// position returns the index of the log's last entry at the time of the answer.
// Every answer of a swoosh server has it, and other programs' answers do not.
func position(answer *http.Response) (uint64, error) {
	return strconv.ParseUint(answer.Header.Get("Swoosh-Index"), 10, 64)
}

// answerBody returns errors that say whether the request may have happened.
type answerBody struct {
	io.ReadCloser
	silence *silence
	cancel  context.CancelCauseFunc
	r       request
	address string
}

func (b *answerBody) Close() error {
	b.cancel(nil) // The caller may not want the rest of the answer.
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

// answerMaxBytes limits answers that are read whole, except values of the
// state.
const answerMaxBytes = 16 << 20

// ask sends a request and decodes the JSON answer into v.
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

// learn keeps the greatest stamp of all answers.
func (c *Client) learn(hlc string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if hlc >= c.newest { // An old entry does not confirm newest.
		c.newest, c.learned = hlc, time.Now()
	}
}

// sinceMostAge is the greatest age of the stamp used as key_since. A stamp
// older than the server's key window would get a new key refused as expired.
const sinceMostAge = time.Minute

// since returns the newest stamp of the log, for key_since. It asks the server
// if no recent answer had it.
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

// last returns the index of the log's last entry. A server that is replaying
// its log does not know it yet, so last retries.
func (c *Client) last(ctx context.Context) (last uint64, err error) {
	err = c.again(ctx, func() error {
		r := newRead("/meta/version", nil) // This has the smallest answer.
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
