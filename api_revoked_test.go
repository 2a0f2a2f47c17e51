package swoosh_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/chorus-services/swoosh"
	"github.com/chorus-services/swoosh/system"
)

// gatekeeper authenticates everyone as the same caller, which a test can
// change.
type gatekeeper struct {
	answer atomic.Pointer[func() (swoosh.Caller, error)]
	asked  chan struct{} // receives a value for each call, if a test receives
}

func (g *gatekeeper) say(c swoosh.Caller, err error) {
	g.set(func() (swoosh.Caller, error) { return c, err })
}

func (g *gatekeeper) set(answer func() (swoosh.Caller, error)) { g.answer.Store(&answer) }

// again waits until the server has called authenticate twice, so that it has
// acted on the present answer.
func (g *gatekeeper) again(t *testing.T) {
	t.Helper()
	for range 2 {
		select {
		case <-g.asked:
		case <-within(t).Done():
			require.FailNow(t, "nobody is asked again")
		}
	}
}

func (g *gatekeeper) authenticate(*http.Request) (swoosh.Caller, error) {
	select {
	case g.asked <- struct{}{}:
	default:
	}
	return (*g.answer.Load())()
}

// kept serves an engine behind a gatekeeper that is called all the time.
func kept(t *testing.T, role swoosh.Role) (*site, *gatekeeper) {
	g := &gatekeeper{asked: make(chan struct{})}
	g.say(swoosh.Caller{Name: "guest", Role: role}, nil)
	s := openAPI(t, swoosh.APIOptions{Authenticate: g.authenticate}, system.Parts()...)
	s.api.SetAskEvery(time.Millisecond)
	return s, g
}

// revocations are the ways to lose access, with the resulting problem.
var revocations = map[string]struct {
	to   func() (swoosh.Caller, error)
	code string
	says string
}{
	"taken away": {func() (swoosh.Caller, error) { return swoosh.Caller{}, errors.New("the token is unknown: ask for one") }, "unauthorized", "the token is unknown"},
	"no role":    {func() (swoosh.Caller, error) { return swoosh.Caller{Name: "guest"}, nil }, "forbidden", `, \"guest\" has none`},
	"of its own kind": {func() (swoosh.Caller, error) {
		return swoosh.Caller{}, swoosh.Errorf(swoosh.Overloaded, "the directory of callers is busy: ask again")
	}, "overloaded", "the directory of callers"},
	"a panic": {func() (swoosh.Caller, error) { panic("gone mad") }, "internal", "internal error: "},
}

// TestRevokedWatchEnds with a problem, even if no entry comes.
func TestRevokedWatchEnds(t *testing.T) {
	for name, r := range revocations {
		t.Run(name, func(t *testing.T) {
			s, g := kept(t, swoosh.RoleWrite)
			w := s.watch("")
			w.event()
			g.again(t)
			s.must(startA)
			require.Contains(t, w.event(), "id: 1\n", "it goes on while the caller may watch")
			g.set(r.to)
			kind, data, _ := strings.Cut(w.event(), "\n")
			require.Equal(t, "event: problem", kind)
			require.Contains(t, data, `"code":"`+r.code+`"`)
			require.Contains(t, data, r.says)
			require.Empty(t, w.event(), "it is closed")
		})
	}
}

// TestRevokedStreamEnds with a problem that names the first line not taken,
// even if no line comes.
func TestRevokedStreamEnds(t *testing.T) {
	for name, r := range revocations {
		t.Run(name, func(t *testing.T) {
			site, g := kept(t, swoosh.RoleWrite)
			s := site.stream()
			s.send(startA + "\n\n")
			s.index(1)
			g.again(t)
			s.send(addA + "\n")
			s.index(2)
			g.set(r.to)
			problem := s.refused(r.code, 4)
			require.Contains(t, fmt.Sprintf("%q", problem["detail"]), r.says)
			require.Equal(t, "no", problem["happened"])
			require.Nil(t, s.answer())
			require.EqualValues(t, 2, site.e.View().Index())
		})
	}
}

// TestStreamOfACallerWithAnotherRole: each line is sent by the caller as it is
// at that time. If the role is too small for a command, only that line is
// refused; if it is too small for the route, the stream ends.
func TestStreamOfACallerWithAnotherRole(t *testing.T) {
	const pause = `{"command":"control.pause","payload":{"reason":"lunch"}}` + "\n"
	site, g := kept(t, swoosh.RoleAdmin)
	s := site.stream()
	s.send(startA + "\n")
	s.index(1)
	g.say(swoosh.Caller{Name: "other", Role: swoosh.RoleWrite}, nil)
	g.again(t)
	s.send(pause + addA + "\n")
	require.Contains(t, s.refused("forbidden", 2)["detail"], `"other" has write`)
	s.index(2)
	g.say(swoosh.Caller{Name: "other", Role: swoosh.RoleAdmin}, nil)
	g.again(t)
	s.send(pause)
	s.index(3)
	g.say(swoosh.Caller{Name: "guest", Role: swoosh.RoleRead}, nil)
	require.Contains(t, s.refused("forbidden", 5)["detail"], "POST /command needs the role node")
	require.Nil(t, s.answer())

	for i, actor := range []string{"guest", "other", "other"} {
		require.Equal(t, actor, site.get(fmt.Sprint("/log/", i+1)).object()["actor"])
	}
}

// TestRevokedWhileItWaits: a line that waits for the rate is not taken.
func TestRevokedWhileItWaits(t *testing.T) {
	g := &gatekeeper{}
	g.say(swoosh.Caller{Name: "guest", Role: swoosh.RoleWrite}, nil)
	site := openAPI(t, swoosh.APIOptions{Authenticate: g.authenticate, Rate: 1})
	site.api.SetAskEvery(time.Millisecond)
	waiting := make(chan struct{})
	site.api.SetRates(func() int64 { return 0 }, func(time.Duration) <-chan time.Time {
		close(waiting)
		return nil
	})
	s := site.stream()
	s.send(startA + "\n")
	<-waiting
	g.say(swoosh.Caller{}, errors.New("gone"))
	s.refused("unauthorized", 1)
	require.Nil(t, s.answer())
}

// TestRevokedReaderWhoDoesNotRead is cut off, as at a stop.
func TestRevokedReaderWhoDoesNotRead(t *testing.T) {
	s, g := kept(t, swoosh.RoleWrite)
	s.api.SetStopGrace(50 * time.Millisecond)
	for range 12 {
		s.must(blobOf(900_000))
	}
	conn, err := net.Dial("tcp", s.addr)
	require.NoError(t, err)
	defer conn.Close()
	require.NoError(t, conn.(*net.TCPConn).SetReadBuffer(4096))
	fmt.Fprint(conn, "GET /watch?from=1 HTTP/1.1\r\nHost: localhost\r\n\r\n")
	g.again(t)
	g.say(swoosh.Caller{}, errors.New("gone"))
	require.NoError(t, s.server.Shutdown(within(t)), "the watch is over")
}

// TestAskingEnds when its stream or watch ends.
func TestAskingEnds(t *testing.T) {
	before := goleak.IgnoreCurrent()
	s, g := kept(t, swoosh.RoleWrite)
	stream := s.stream()
	g.again(t)
	require.NoError(t, stream.to.Close())
	require.Nil(t, stream.answer())
	ctx, leave := context.WithCancel(t.Context())
	watch, err := noRedirects.Do(s.request("GET", "/watch", http.NoBody).WithContext(ctx))
	require.NoError(t, err)
	g.again(t)
	leave()
	require.NoError(t, watch.Body.Close())
	require.NoError(t, s.server.Shutdown(within(t)))
	s.api.Stop()
	require.NoError(t, s.e.Close(within(t)))
	noRedirects.CloseIdleConnections()
	goleak.VerifyNone(t, before)
}
