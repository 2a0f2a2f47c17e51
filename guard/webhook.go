package guard

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// webhook is a web service that judges commands.
type webhook struct {
	url     string
	timeout time.Duration
	allows  bool // what its failure means
}

// What an answer, and its headers, may have in bytes, and how many connections one
// service gets. A question that finds none waits, within its timeout.
const (
	answerMost      = 64 << 10
	connectionsMost = 64
	idleTime        = 90 * time.Second
)

// newClient returns a client that keeps connections, follows no redirects, and knows
// no proxy: what the environment of a server says must not decide who judges.
func newClient() *http.Client {
	return &http.Client{
		Transport: &http.Transport{
			MaxConnsPerHost: connectionsMost, MaxIdleConnsPerHost: connectionsMost, IdleConnTimeout: idleTime,
			MaxResponseHeaderBytes: answerMost, DisableCompression: true, ForceAttemptHTTP2: true,
		},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// ask posts a question. The error is the service's failure: it says neither yes nor no.
func (w *webhook) ask(ctx context.Context, client *http.Client, question any) (allowed bool, reason string, err error) {
	body, err := json.Marshal(question, json.Deterministic(true))
	if err != nil {
		return false, "", err
	}
	ctx, cancel := context.WithTimeout(ctx, w.timeout)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, w.url, bytes.NewReader(body))
	if err != nil {
		return false, "", err
	}
	r.Header.Set("Content-Type", "application/json")
	r.Header["X-Idempotency-Key"] = nil // It is not sent, and says that a question may be asked again on another connection.
	answer, err := client.Do(r)
	if err != nil {
		return false, "", w.failure(ctx, err)
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		return false, "", fmt.Errorf("its answer has the status %d, and not 200", answer.StatusCode)
	}
	text, err := io.ReadAll(io.LimitReader(answer.Body, answerMost+1))
	if err != nil {
		return false, "", w.failure(ctx, err)
	}
	return readAnswer(text)
}

// failure returns what is to be said of an error of the network.
func (w *webhook) failure(ctx context.Context, err error) error {
	if errors.Is(ctx.Err(), context.DeadlineExceeded) {
		return fmt.Errorf("it does not answer within %s", w.timeout)
	}
	var about *url.Error
	if errors.As(err, &about) {
		err = about.Err
	}
	return unreachable{err}
}

// unreachable is an error of the network. Callers are not told it: it names the machines
// behind the server.
type unreachable struct{ why error }

func (unreachable) Error() string   { return "it cannot be reached, the server's log says why" }
func (u unreachable) Unwrap() error { return u.why }

// readAnswer reads an answer: {"result":true}, or {"result":{"allow":true,
// "reasons":["…"]}}. Members besides these are another's.
func readAnswer(text []byte) (allowed bool, reason string, err error) {
	if len(text) > answerMost {
		return false, "", fmt.Errorf("its answer has more than %d bytes", answerMost)
	}
	var answer struct {
		Result jsontext.Value `json:"result"`
	}
	if err := json.Unmarshal(text, &answer); err != nil {
		return false, "", errors.New(`its answer is no JSON object such as {"result":true}`)
	}
	switch answer.Result.Kind() {
	case 't', 'f':
		return answer.Result.Kind() == 't', "", nil
	case '{':
		var result struct {
			Allow   *bool    `json:"allow"`
			Reasons []string `json:"reasons"`
		}
		if json.Unmarshal(answer.Result, &result) == nil && result.Allow != nil {
			return *result.Allow, strings.Join(result.Reasons, "; "), nil
		}
		return false, "", errors.New(`its result has no allow that is true or false, or reasons that are not texts`)
	case 0:
		return false, "", errors.New("its answer has no result: the path of the URL names no rule, or one that is undefined")
	}
	return false, "", errors.New("its result is neither true, nor false, nor an object with allow")
}
