package client_test

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/chorus-services/swoosh/client"
)

// script is a server with prepared answers, one after the other; the last one
// is repeated forever.
type script struct {
	answers []reply
	asked   []time.Time
	bodies  []string
	headers []http.Header
}

type reply func(*http.Request) (*http.Response, error)

func (s *script) RoundTrip(r *http.Request) (*http.Response, error) {
	s.asked = append(s.asked, time.Now())
	body := ""
	if r.Body != nil && r.Header.Get("Content-Type") != "application/x-ndjson" {
		raw, _ := io.ReadAll(r.Body)
		body = string(raw)
	}
	s.bodies = append(s.bodies, r.Method+" "+r.URL.RequestURI()+" "+body)
	s.headers = append(s.headers, r.Header)
	next := s.answers[0]
	if len(s.answers) > 1 {
		s.answers = s.answers[1:]
	}
	return next(r)
}

// waits are the times between the attempts.
func (s *script) waits() (all []time.Duration) {
	for i := 1; i < len(s.asked); i++ {
		all = append(all, s.asked[i].Sub(s.asked[i-1]))
	}
	return all
}

const hlc = "0197a2b4c6d8-0003-n1"

func answers(status int, kind, body string, headers ...string) reply {
	return func(r *http.Request) (*http.Response, error) {
		h := http.Header{"Content-Type": {kind}, "Swoosh-Index": {"7"}, "Swoosh-Hlc": {hlc}}
		for _, header := range headers {
			name, value, _ := strings.Cut(header, ": ")
			if h.Set(name, value); value == "" {
				h.Del(name)
			}
		}
		return &http.Response{StatusCode: status, Status: fmt.Sprint(status), Header: h, Body: io.NopCloser(strings.NewReader(body)), Request: r}, nil
	}
}

func refuses(code string, status int, headers ...string) reply {
	return answers(status, "application/problem+json", fmt.Sprintf(`{"type":"/problems/%s","title":"T","status":%d,"code":%q,"happened":"no","detail":"d"}`, code, status, code), headers...)
}

func fails(err error) reply {
	return func(*http.Request) (*http.Response, error) { return nil, err }
}

var (
	accepts    = answers(200, "application/json", `{"index":7,"hlc":"`+hlc+`","state_hash":"s","changed":true,"duplicate":true}`)
	loses      = fails(io.ErrUnexpectedEOF)
	isNotThere = fails(&net.OpError{Op: "dial", Err: errors.New("connection refused")})
	isProxy    = answers(502, "text/html", "<h1>Bad Gateway</h1>", "Swoosh-Index: ")
	isCutOff   = answers(200, "application/json", `{"index":7,"hlc":`)
)

// scripted returns a client that gets prepared answers.
func scripted(t *testing.T, retry client.Retry, answers ...reply) (*client.Client, *script) {
	s := &script{answers: answers}
	return newClient(t, "http://swoosh.test", client.Options{Transport: s, Retry: retry}), s
}

// keyed is a command with a key_since, so that the client need not ask for one.
var keyed = client.Command{Name: "tally.add", Key: "k", KeySince: hlc}

func TestWhatIsAskedAgain(t *testing.T) {
	for name, passing := range map[string]reply{
		"no connection": isNotThere, "a lost answer": loses, "a proxy's answer": isProxy,
		"429": refuses("rate_limited", 429), "starting": refuses("starting", 503), "shutting down": refuses("shutting_down", 503),
		"overloaded": refuses("overloaded", 503), "disk full": refuses("disk_full", 507), "unheard of": refuses("new_one", 599),
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c, s := scripted(t, client.Retry{}, passing, passing, passing, accepts)
				result, err := c.Do(t.Context(), keyed)
				require.NoError(t, err)
				require.Equal(t, client.Result{Index: 7, HLC: hlc, StateHash: "s", Changed: true, Duplicate: true}, result)
				require.Len(t, s.asked, 4)
				for _, body := range s.bodies {
					require.Equal(t, s.bodies[0], body, "the same is sent each time")
				}
			})
		})
	}
}

func TestWhatIsNotAskedAgain(t *testing.T) {
	untrusted := fails(&tls.CertificateVerificationError{Err: errors.New("unknown authority")})
	for name, test := range map[string]struct {
		reply
		code, happened string
	}{
		"malformed":           {refuses("malformed_request", 400), client.MalformedRequest, client.No},
		"unauthorized":        {refuses("unauthorized", 401), client.Unauthorized, client.No},
		"conflict":            {refuses("conflict", 409), client.Conflict, client.No},
		"a domain's own":      {refuses("queue_empty", 409), "queue_empty", client.No},
		"key expired":         {refuses("key_expired", 409), client.KeyExpired, client.No},
		"stale":               {refuses("stale_state", 412), client.StaleState, client.No},
		"paused":              {refuses("paused", 423), client.Paused, client.No},
		"a fault of its own":  {refuses("internal", 500), client.Internal, client.No},
		"not trusted":         {untrusted, client.Unreachable, client.No},
		"another program":     {answers(200, "text/html", "<h1>Hello</h1>", "Swoosh-Index: "), client.NotSwoosh, client.Unknown},
		"another's yes":       {answers(200, "application/json", `{"index":7}`, "Swoosh-Index: "), client.NotSwoosh, client.Unknown},
		"another's no":        {refuses("conflict", 409, "Swoosh-Index: "), client.NotSwoosh, client.Unknown},
		"a redirect":          {answers(302, "text/html", "", "Swoosh-Index: ", "Location: http://elsewhere.test/"), client.NotSwoosh, client.Unknown},
		"no problem document": {answers(409, "application/json", `{"code":"conflict"}`), client.NotSwoosh, client.Unknown},
		"broken JSON":         {isCutOff, client.NotSwoosh, client.Unknown},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c, s := scripted(t, client.Retry{}, test.reply)
				_, err := c.Do(t.Context(), keyed)
				var e *client.Error
				require.ErrorAs(t, err, &e)
				require.Equal(t, test.code, e.Code)
				require.Equal(t, test.happened, e.Happened)
				require.NotEmpty(t, e.Next)
				require.Len(t, s.asked, 1)
			})
		})
	}
}

// TestBackoff: pauses are random, grow up to 5 s, and end with the budget.
func TestBackoff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, s := scripted(t, client.Retry{For: 10 * time.Minute}, loses)
		_, err := c.Do(t.Context(), keyed)
		require.True(t, client.IsCode(err, client.NoAnswer), err)
		longest, greatest := 100*time.Millisecond, time.Duration(0)
		for _, wait := range s.waits() {
			require.Less(t, wait, longest)
			longest, greatest = min(2*longest, 5*time.Second), max(greatest, wait)
		}
		require.Greater(t, greatest, 4*time.Second)
		require.InDelta(t, 10*time.Minute, s.asked[len(s.asked)-1].Sub(s.asked[0]), float64(5*time.Second))
	})
}

func TestBudgetOfAttempts(t *testing.T) {
	for _, attempts := range []int{1, 3} {
		synctest.Test(t, func(t *testing.T) {
			c, s := scripted(t, client.Retry{Attempts: attempts}, loses)
			_, err := c.Do(t.Context(), keyed)
			require.ErrorIs(t, err, io.ErrUnexpectedEOF)
			require.Len(t, s.asked, attempts)
		})
	}
}

func TestRetryAfter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, s := scripted(t, client.Retry{}, refuses("rate_limited", 429, "Retry-After: 7"), accepts)
		_, err := c.Do(t.Context(), keyed)
		require.NoError(t, err)
		require.GreaterOrEqual(t, s.waits()[0], 7*time.Second)

		c, s = scripted(t, client.Retry{}, refuses("read_only", 503, "Retry-After: 60"))
		_, err = c.Do(t.Context(), keyed)
		require.True(t, client.IsCode(err, client.ReadOnly), err)
		require.Len(t, s.asked, 1, "what would come after the budget is not waited for")
	})
}

func TestTheContextEndsTheWaiting(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, _ := scripted(t, client.Retry{}, isNotThere)
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
		defer cancel()
		began := time.Now()
		_, err := c.Do(ctx, keyed)
		require.ErrorIs(t, err, context.DeadlineExceeded)
		require.True(t, client.IsCode(err, client.Unreachable), err)
		require.Equal(t, 2*time.Second, time.Since(began))
	})
}

// TestSilenceEnds uses a server that takes a command and never answers.
func TestSilenceEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hangs := func(r *http.Request) (*http.Response, error) {
			<-r.Context().Done()
			return nil, r.Context().Err()
		}
		c, s := scripted(t, client.Retry{For: 2 * time.Minute}, hangs, accepts)
		_, err := c.Do(t.Context(), keyed)
		require.NoError(t, err)
		require.GreaterOrEqual(t, s.waits()[0], 65*time.Second)
	})
}

// TestWhetherItHappened checks that Happened is about all attempts, not only
// the last.
func TestWhetherItHappened(t *testing.T) {
	for name, test := range map[string]struct {
		answers  []reply
		happened string
	}{
		"never sent":                       {[]reply{isNotThere}, client.No},
		"refused each time":                {[]reply{refuses("overloaded", 503)}, client.No},
		"lost":                             {[]reply{loses}, client.Unknown},
		"lost, then no connection":         {[]reply{loses, isNotThere}, client.Unknown},
		"lost, then refused at the door":   {[]reply{loses, refuses("unauthorized", 401)}, client.Unknown},
		"lost, then refused by the state":  {[]reply{loses, refuses("stale_state", 412)}, client.No},
		"lost, then no connection, by key": {[]reply{loses, isNotThere, refuses("conflict", 409)}, client.No},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c, _ := scripted(t, client.Retry{Attempts: 3}, test.answers...)
				_, err := c.Do(t.Context(), client.Command{Name: "tally.add", KeySince: hlc})
				var e *client.Error
				require.ErrorAs(t, err, &e)
				require.Equal(t, test.happened, e.Happened)
				require.Equal(t, test.happened == client.Unknown, len(e.Again) == 1)
				if e.Again != nil {
					require.Len(t, e.Again[0].Key, 32)
					require.Equal(t, hlc, e.Again[0].KeySince)
				}
			})
		})
	}
}

// TestKeySince asks for the newest stamp once, and again when what it knows is
// old. Answers of a starting server do not count.
func TestKeySince(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		stands := answers(200, "application/json", "1")
		health := answers(200, "application/json", `{"mode":"starting"}`, "Swoosh-HLC: 0000000000ff-0000-n1")
		c, s := scripted(t, client.Retry{}, health, refuses("starting", 503, "Swoosh-HLC: 0000000000ff-0000-n1"), stands, accepts)
		_, err := c.Health(t.Context())
		require.NoError(t, err)
		for range 3 {
			_, err := c.Do(t.Context(), client.Command{Name: "x"})
			require.NoError(t, err)
		}
		require.Len(t, s.asked, 6)
		for i, body := range s.bodies {
			require.Equal(t, i > 2, strings.Contains(body, `"key_since":"`+hlc+`"`), body)
		}
		time.Sleep(61 * time.Second)
		s.answers = []reply{stands, accepts}
		_, err = c.Do(t.Context(), client.Command{Name: "x"})
		require.NoError(t, err)
		require.Len(t, s.asked, 8)
	})
}

func TestImportIsSentOnce(t *testing.T) {
	c, s := scripted(t, client.Retry{}, loses)
	_, err := c.Import(t.Context(), strings.NewReader("{}"), "")
	var e *client.Error
	require.ErrorAs(t, err, &e)
	require.Equal(t, client.Unknown, e.Happened)
	require.Contains(t, e.Next, "Compare the state hash")
	require.Len(t, s.asked, 1)
}
