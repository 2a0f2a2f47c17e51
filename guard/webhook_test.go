package guard_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/chorus-services/swoosh"
	"github.com/chorus-services/swoosh/guard"
	"github.com/chorus-services/swoosh/noun"
	"github.com/chorus-services/swoosh/repair"
	"github.com/chorus-services/swoosh/swooshtest"
)

// serve returns the URL of a web service that lives as long as the test.
func serve(t *testing.T, f http.HandlerFunc) string {
	s := httptest.NewServer(f)
	t.Cleanup(s.Close)
	return s.URL
}

// answering returns the URL of a service that says always the same.
func answering(t *testing.T, status int, text string) string {
	return serve(t, func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(status)
		_, _ = io.WriteString(w, text)
	})
}

// TestWhoseReason: that of the answer comes before that of the rule, which stands for an
// answer without one.
func TestWhoseReason(t *testing.T) {
	for answer, want := range map[string]string{
		`{"result":{"allow":false,"reasons":["too late"]}}`: "too late",
		`{"result":{"allow":false}}`:                        "ask Ann first",
		`{"result":false}`:                                  "ask Ann first",
	} {
		g := openLibraryWith(t, `"name":"web","on":"*","reason":"ask Ann first","url":"`+answering(t, 200, answer)+`"`)
		require.Equal(t, []swoosh.Verdict{{Guard: "web", Reason: want}}, g.send(adding(duneOfAnn)), answer)
	}
}

// TestAnswersOfAWebService: what allows, what refuses, and what is a failure, which
// refuses if the rule does not say otherwise.
func TestAnswersOfAWebService(t *testing.T) {
	for _, c := range []struct {
		status        int
		text          string
		allowed       bool
		reason, fails string
	}{
		{200, `{"result":true}`, true, "", ""},
		{200, `{"result":false}`, false, "the web service does not allow it", ""},
		{200, `{"result":{"allow":true}}`, true, "", ""},
		{200, `{"result":{"allow":true,"reasons":["as agreed"]}}`, true, "as agreed", ""},
		{200, `{"result":{"allow":false,"reasons":["too late","too much"]}}`, false, "too late; too much", ""},
		{200, `{"result":{"allow":false,"reasons":[],"more":1},"decision_id":"1","metrics":{}}`, false, "the web service does not allow it", ""},
		{200, ` {"result":{"allow":true,"reasons":["` + strings.Repeat("x", 60<<10) + `"]}} `, true, strings.Repeat("x", 1024), ""},
		{200, `{}`, false, "", "has no result: the path of the URL names no rule, or one that is undefined"},
		{200, `{"result":null}`, false, "", "its result is neither true, nor false"},
		{200, `{"result":"true"}`, false, "", "its result is neither true, nor false"},
		{200, `{"result":1}`, false, "", "its result is neither true, nor false"},
		{200, `{"result":[true]}`, false, "", "its result is neither true, nor false"},
		{200, `{"result":{}}`, false, "", "its result has no allow"},
		{200, `{"result":{"allow":"true"}}`, false, "", "its result has no allow"},
		{200, `{"result":{"allow":null}}`, false, "", "its result has no allow"},
		{200, `{"result":{"Allow":true}}`, false, "", "its result has no allow"},
		{200, `{"result":{"allow":true,"reasons":"none"}}`, false, "", "reasons that are not texts"},
		{200, `{"result":true,"result":false}`, false, "", "no JSON object"},
		{200, `{"result":true} x`, false, "", "no JSON object"},
		{200, `{"result":tru`, false, "", "no JSON object"},
		{200, `true`, false, "", "no JSON object"},
		{200, ``, false, "", "no JSON object"},
		{200, `{"result":true,"x":"` + strings.Repeat("x", 64<<10) + `"}`, false, "", "more than 65536 bytes"},
		{201, `{"result":true}`, false, "", "the status 201, and not 200"},
		{204, ``, false, "", "the status 204"},
		{307, `{"result":true}`, false, "", "the status 307"},
		{404, `{"result":true}`, false, "", "the status 404"},
		{500, `{"result":true}`, false, "", "the status 500"},
	} {
		for _, onFailure := range []string{"", `,"on_failure":"refuse"`, `,"on_failure":"allow"`} {
			g := openLibraryWith(t, `"name":"web","on":"*","url":"`+answering(t, c.status, c.text)+`"`+onFailure)
			said := g.send(adding(duneOfAnn))
			require.Len(t, said, 1)
			about := fmt.Sprintf("%d %.80s %s: %.200s", c.status, c.text, onFailure, said[0].Reason)
			allows := strings.Contains(onFailure, "allow")
			require.Equal(t, c.allowed || c.fails != "" && allows, said[0].Allowed, about)
			if c.fails == "" {
				require.Equal(t, c.reason, said[0].Reason, about)
				require.Zero(t, g.failures("web"), about)
				continue
			}
			require.Contains(t, said[0].Reason, "the web service fails", about)
			require.Contains(t, said[0].Reason, c.fails, about)
			require.Equal(t, allows, strings.Contains(said[0].Reason, "on_failure is allow"), about)
			require.Equal(t, 1.0, g.failures("web"), about)
		}
	}
}

// TestQuestion: the service gets what expressions see, as a POST.
func TestQuestion(t *testing.T) {
	asked := make(chan string, 1)
	url := serve(t, func(w http.ResponseWriter, r *http.Request) {
		b, err := io.ReadAll(r.Body)
		asked <- fmt.Sprint(r.Method, " ", r.URL.RequestURI(), " ", r.Header.Get("Content-Type"), " ", r.Header.Get("X-Idempotency-Key"), string(b), err)
		_, _ = io.WriteString(w, `{"result":true}`)
	})
	g := openLibraryWith(t, `"name":"web","on":"*","rows":{"now":"'/library/books/' + payload.book","none":"'/library/books/none'"},"url":"`+url+`/v1/data/swoosh?strict"`)
	r := adding(`{"pages":3,"owner":"ann","book":"dune"}`)
	g.send(r)
	require.Equal(t, `POST /v1/data/swoosh?strict application/json {"input":{"actor":"","command":"book.add","evidence":[],"inputs_hash":"",`+
		`"payload":{"book":"dune","owner":"ann","pages":3},"rows":{"none":null,"now":null},"signer":"","window_id":""}}<nil>`, <-asked)
	r.Actor, r.WindowID, r.InputsHash, r.Evidence = "ann", "w-1", swoosh.Hash{1}, noun.Refs{"log:1"}
	g.send(r)
	require.Equal(t, `POST /v1/data/swoosh?strict application/json {"input":{"actor":"ann","command":"book.add","evidence":["log:1"],"inputs_hash":"01`+strings.Repeat("0", 62)+`",`+
		`"payload":{"book":"dune","owner":"ann","pages":3},"rows":{"none":null,"now":{"owner":"ann","pages":3}},"signer":"","window_id":"w-1"}}<nil>`, <-asked)
}

// TestRedirectIsNotFollowed: who may judge is in the file, and in no answer.
func TestRedirectIsNotFollowed(t *testing.T) {
	var followed atomic.Bool
	other := serve(t, func(w http.ResponseWriter, _ *http.Request) {
		followed.Store(true)
		_, _ = io.WriteString(w, `{"result":true}`)
	})
	for _, status := range []int{301, 302, 303, 307, 308} {
		url := serve(t, func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, other, status) })
		g := openLibraryWith(t, `"name":"web","on":"*","url":"`+url+`"`)
		require.Equal(t, []swoosh.Verdict{{Guard: "web", Reason: "the web service fails: its answer has the status " + strconv.Itoa(status) + ", and not 200"}}, g.send(adding(duneOfAnn)))
	}
	require.False(t, followed.Load())
}

// TestNoProxyIsAsked: what the environment says must not decide who judges.
func TestNoProxyIsAsked(t *testing.T) {
	require.Nil(t, guard.NewClient().Transport.(*http.Transport).Proxy) // Go asks none for this machine's own services.
}

// TestServiceThatIsAway: it is a failure, and the log says when it begins and ends.
func TestServiceThatIsAway(t *testing.T) {
	away := httptest.NewServer(nil)
	away.Close()
	g := openLibraryWith(t, `"name":"web","on":"*","url":"`+away.URL+`"`)
	for range 3 {
		require.Equal(t, []swoosh.Verdict{{Guard: "web", Reason: "the web service fails: it cannot be reached, the server's log says why"}}, g.send(adding(duneOfAnn)), "callers learn no addresses")
	}
	require.Contains(t, g.log.String(), "connection refused")
	require.Equal(t, 1, strings.Count(g.log.String(), `msg="a guard fails" rule=web`), g.log.String())
	require.Equal(t, 3.0, g.failures("web"))
	write(t, g.file, `{"rules":[{"name":"web","on":"*","url":"`+answering(t, 200, `{"result":true}`)+`"}]}`)
	require.NoError(t, g.rules.Reload())
	require.True(t, g.send(adding(duneOfAnn))[0].Allowed)
	require.Equal(t, 1, strings.Count(g.log.String(), `msg="a guard decides again" rule=web`), g.log.String())
}

// TestUnknownAuthority: a service that cannot show who it is does not judge.
func TestUnknownAuthority(t *testing.T) {
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, `{"result":true}`)
	}))
	s.Config.ErrorLog = log.New(io.Discard, "", 0)
	s.StartTLS()
	defer s.Close()
	g := openLibraryWith(t, `"name":"web","on":"*","timeout":"10s","url":"`+s.URL+`"`)
	said := g.send(adding(duneOfAnn))
	require.False(t, said[0].Allowed)
	require.Contains(t, said[0].Reason, "it cannot be reached")
	require.Contains(t, g.log.String(), "certificate signed by unknown authority")
}

// hanging returns the URL of a service that does not answer, and what it has been
// asked.
func hanging(t *testing.T) (url string, asked chan context.Context) {
	asked = make(chan context.Context, 100)
	return serve(t, func(_ http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body) // Otherwise the end of the connection is not seen.
		asked <- r.Context()
		<-r.Context().Done()
	}), asked
}

// TestServiceThatHangs is given its time, and no more, also if it began to answer.
func TestServiceThatHangs(t *testing.T) {
	url, _ := hanging(t)
	half := serve(t, func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		_, _ = io.WriteString(w, `{"result":`)
		_ = http.NewResponseController(w).Flush()
		<-r.Context().Done()
	})
	for _, url := range []string{url, half} {
		g := openLibraryWith(t, `"name":"web","on":"*","timeout":"20ms","url":"`+url+`"`)
		require.Equal(t, []swoosh.Verdict{{Guard: "web", Reason: "the web service fails: it does not answer within 20ms"}}, g.send(adding(duneOfAnn)))
	}
}

// TestServiceThatDoesNotEnd its answer is left when that is too long.
func TestServiceThatDoesNotEnd(t *testing.T) {
	url := serve(t, func(w http.ResponseWriter, _ *http.Request) {
		for err := error(nil); err == nil; {
			_, err = io.WriteString(w, strings.Repeat(" ", 1000))
		}
	})
	g := openLibraryWith(t, `"name":"web","on":"*","timeout":"10s","url":"`+url+`"`)
	require.Equal(t, []swoosh.Verdict{{Guard: "web", Reason: "the web service fails: its answer has more than 65536 bytes"}}, g.send(adding(duneOfAnn)))
}

// TestSlowServiceHoldsNobodyUp: while a hundred questions hang, commands that it is not
// asked about go on. A stop ends the questions, and none of them is a verdict, whatever
// the rule makes of failures.
func TestSlowServiceHoldsNobodyUp(t *testing.T) {
	for _, onFailure := range []string{"allow", "refuse"} {
		url, asked := hanging(t)
		g := openLibraryWith(t, `"name":"web","on":"book.*","timeout":"10s","on_failure":"`+onFailure+`","url":"`+url+`"`)
		answers := make(chan error, 100)
		for range cap(answers) {
			go func() {
				_, err := g.Submit(context.Background(), adding(duneOfAnn))
				answers <- err
			}()
		}
		var questions []context.Context
		for range 64 { // The connections that one service gets.
			questions = append(questions, <-asked)
		}
		for i := range uint64(100) {
			result, err := g.Submit(t.Context(), swoosh.Request{Command: "door.turn"})
			require.NoError(t, err)
			require.Equal(t, i+1, result.Index)
		}
		require.Empty(t, asked, "the others wait for a connection")
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		require.NoError(t, g.Close(ctx))
		for range cap(answers) {
			err := <-answers
			require.True(t, swoosh.ShuttingDown.Is(err), "%v", err)
		}
		for _, q := range questions {
			<-q.Done()
		}
		require.Equal(t, uint64(100), g.View().Index())
		require.NotContains(t, g.log.String(), "a guard fails")
	}
}

// TestConnectionsAreKept: questions one after the other share one. A service that
// restarts meanwhile is asked once more, on another.
func TestConnectionsAreKept(t *testing.T) {
	var from []string
	url := serve(t, func(w http.ResponseWriter, r *http.Request) {
		if from = append(from, r.RemoteAddr); len(from) == 4 {
			panic(http.ErrAbortHandler)
		}
		_, _ = io.WriteString(w, `{"result":true}`)
	})
	g := openLibraryWith(t, `"name":"web","on":"*","url":"`+url+`"`)
	for range 4 {
		require.Equal(t, []swoosh.Verdict{{Guard: "web", Allowed: true}}, g.send(adding(duneOfAnn)))
	}
	require.Equal(t, []string{from[0], from[0], from[0], from[0]}, from[:4])
	require.Len(t, from, 5)
	require.NotEqual(t, from[0], from[4])
}

// TestReplayAsksNobody: the verdicts are in the entries, and no service has to be there.
func TestReplayAsksNobody(t *testing.T) {
	dir := t.TempDir()
	var asked atomic.Int64
	url := serve(t, func(w http.ResponseWriter, _ *http.Request) {
		asked.Add(1)
		_, _ = io.WriteString(w, `{"result":{"allow":true,"reasons":["as agreed"]}}`)
	})
	g := open(t, `{"rules":[{"name":"web","on":"*","url":"`+url+`"},{"name":"cel","on":"*","allow":"true"}]}`, swoosh.Options{Dir: dir}, parts...)
	want := []swoosh.Verdict{{Guard: "web", Allowed: true, Reason: "as agreed"}, {Guard: "cel", Allowed: true}}
	require.Equal(t, want, g.send(adding(duneOfAnn)))
	hash := g.View().StateHash()
	require.NoError(t, g.Close(context.Background()))
	for _, o := range []swoosh.Options{
		{Dir: dir, ForceReplay: true},
		{Dir: dir, ForceReplay: true, Rules: func() []swoosh.Guard { panic("asked") }},
	} {
		e := swooshtest.Open(t, o, parts...)
		require.Equal(t, hash, e.View().StateHash())
		require.Equal(t, want, (&guarded{Engine: e, t: t}).entry(1).Guards)
		require.NoError(t, e.Close(context.Background()))
	}
	report, err := repair.Verify(t.Context(), swoosh.Options{Dir: dir, Rules: func() []swoosh.Guard { panic("asked") }}, parts...)
	require.NoError(t, err)
	require.Equal(t, uint64(1), report.Entries)
	require.Nil(t, report.Refused)
	require.Equal(t, int64(1), asked.Load())
}

// TestOneSetOfRulesForABatch: a file that changes while a batch is judged is another
// one's.
func TestOneSetOfRulesForABatch(t *testing.T) {
	var g *guarded
	url := serve(t, func(w http.ResponseWriter, r *http.Request) {
		var q struct{ Input struct{ Payload addBook } }
		_ = json.NewDecoder(r.Body).Decode(&q)
		if q.Input.Payload.Book == "one" {
			write(t, g.file, `{"rules":[]}`)
			_ = g.rules.Reload()
		}
		_, _ = io.WriteString(w, `{"result":true}`)
	})
	g = openLibraryWith(t, `"name":"web","on":"*","url":"`+url+`"`)
	_, err := g.SubmitBatch(t.Context(), "", []swoosh.Request{adding(`{"book":"one","owner":"ann"}`), adding(`{"book":"two","owner":"ann"}`)})
	require.NoError(t, err)
	require.Len(t, g.entry(1).Guards, 1)
	require.Len(t, g.entry(2).Guards, 1)
	require.Empty(t, g.send(adding(duneOfAnn)))
}
