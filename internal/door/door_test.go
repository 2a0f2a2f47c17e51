package door

import (
	"bufio"
	"bytes"
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/time/rate"
)

// readLines reads the lines of a body through a small buffer. A line that is
// too long is nil.
func readLines(r io.Reader, max int) (lines [][]byte, err error) {
	l := NewLines(nil, max)
	l.r = bufio.NewReaderSize(r, 16)
	for {
		line, err := l.Next()
		switch err {
		case nil:
			lines = append(lines, append([]byte{}, line...))
		case ErrLineTooLong:
			lines = append(lines, nil)
		default:
			return lines, err
		}
	}
}

// FuzzLines compares the lines with a plain split.
func FuzzLines(f *testing.F) {
	for _, seed := range []string{"", "\n", "a", "a\nb", "a\r\n\n  b\n", strings.Repeat("x", 40) + "\n" + strings.Repeat("y", 20) + "\nz"} {
		f.Add([]byte(seed), 20)
	}
	f.Fuzz(func(t *testing.T, raw []byte, max int) {
		got, err := readLines(bytes.NewReader(raw), max)
		require.Equal(t, io.EOF, err)
		want := bytes.Split(raw, []byte("\n"))
		if len(want[len(want)-1]) == 0 {
			want = want[:len(want)-1]
		}
		require.Len(t, got, len(want))
		for i := range want {
			if len(want[i]) > max {
				want[i] = nil
			}
			require.Equal(t, want[i], got[i])
		}
	})
}

// TestLinesOfABodyThatIsCutShort drops the incomplete line.
func TestLinesOfABodyThatIsCutShort(t *testing.T) {
	got, err := readLines(io.MultiReader(strings.NewReader("a\nb"), cutShort{}), 9)
	require.Equal(t, io.ErrUnexpectedEOF, err)
	require.Equal(t, [][]byte{[]byte("a")}, got)
}

type cutShort struct{}

func (cutShort) Read([]byte) (int, error) { return 0, io.ErrUnexpectedEOF }

// TestOutboxIsBounded fills it: Put waits for the reader, and cut is called
// if that takes too long.
func TestOutboxIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var cuts atomic.Int32 // called by a timer
		o := NewOutbox(time.Minute, func() { cuts.Add(1) })
		answer := bytes.Repeat([]byte("x"), outboxMax)
		o.Put(answer)
		var second sync.WaitGroup
		second.Go(func() { o.Put([]byte("y")) })
		time.Sleep(59 * time.Second)
		require.Zero(t, cuts.Load())
		time.Sleep(2 * time.Second)
		require.EqualValues(t, 1, cuts.Load())
		read := 0
		for read < outboxMax {
			piece, ok := o.Next()
			require.True(t, ok)
			require.LessOrEqual(t, len(piece), outboxPiece)
			read += len(piece)
		}
		piece, ok := o.Next()
		require.True(t, ok)
		require.Equal(t, "y", string(piece))
		second.Wait()
		o.Put([]byte("z"))
		o.Close()
		piece, ok = o.Next()
		require.True(t, ok)
		require.Equal(t, "z", string(piece), "what was put in before Close is still read")
		_, ok = o.Next()
		require.False(t, ok)
	})
}

// TestOutboxAbandoned drops everything and blocks nothing.
func TestOutboxAbandoned(t *testing.T) {
	o := NewOutbox(time.Minute, nil)
	o.Put(make([]byte, outboxMax))
	var waiting sync.WaitGroup
	waiting.Go(func() { o.Put([]byte("y")) })
	o.Abandon()
	waiting.Wait()
	o.Put(make([]byte, 2*outboxMax))
	_, ok := o.Next()
	require.False(t, ok)
}

// connection records its deadlines.
type connection struct {
	http.ResponseWriter
	read, write time.Time
}

func (c *connection) SetReadDeadline(at time.Time) error  { c.read = at; return nil }
func (c *connection) SetWriteDeadline(at time.Time) error { c.write = at; return nil }

// TestDeadlinesAtAStop cuts reads off, now and later, and lets endless answers
// finish.
func TestDeadlinesAtAStop(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var d Deadlines
		var c [4]connection
		var rc [4]*http.ResponseController
		for i := range c {
			rc[i] = http.NewResponseController(&c[i])
		}
		d.Read(rc[0], time.Minute)
		require.Equal(t, time.Now().Add(time.Minute), c[0].read)
		d.Read(rc[1], 0)
		require.Zero(t, c[1].read, "it may take any time")
		d.Read(rc[2], time.Minute)
		d.ReadDone(rc[2])
		require.Zero(t, c[2].read)
		d.Write(rc[1], time.Second)
		ended := d.Write(rc[2], time.Second)
		ended()
		d.Stop(time.Second)
		require.Equal(t, longAgo, c[0].read)
		require.Equal(t, longAgo, c[1].read)
		require.Zero(t, c[2].read, "it was read to its end")
		require.Equal(t, time.Now().Add(time.Second), c[1].write)
		require.Zero(t, c[2].write)
		d.Read(rc[3], time.Minute)
		d.Write(rc[3], time.Second)
		require.Equal(t, longAgo, c[3].read)
		require.Equal(t, time.Now().Add(time.Second), c[3].write)
		d.CutRead(rc[2])
		require.Equal(t, longAgo, c[2].read)
		CutWrite(rc[2], 0)
		require.Equal(t, longAgo, c[2].write)
	})
}

// TestRepeat calls until either side ends it.
func TestRepeat(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		calls := 0
		stop := Repeat(time.Second, func() bool { calls++; return true })
		time.Sleep(3500 * time.Millisecond)
		stop()
		time.Sleep(time.Hour)
		require.Equal(t, 3, calls)
		stop = Repeat(time.Second, func() bool { calls++; return calls < 5 })
		time.Sleep(time.Hour)
		stop()
		require.Equal(t, 5, calls)
	})
}

func TestIsLoopback(t *testing.T) {
	for host, want := range map[string]bool{
		"localhost": true, "LocalHost:7": true, "127.0.0.1": true, "127.9.9.9:7": true, "[::1]": true, "[::1]:7": true, "::ffff:127.0.0.1": true,
		"": false, "example.com": false, "localhost.example.com:7": false, "10.0.0.1": false, "[::2]:7": false, "127.0.0.1.example.com": false,
	} {
		require.Equal(t, want, IsLoopback(host), host)
	}
}

// TestCallerOf returns a name, or the address of a request.
func TestCallerOf(t *testing.T) {
	r := httptest.NewRequest("GET", "/", nil)
	for from, want := range map[string]string{"10.0.0.1:7": "10.0.0.1", "[::1]:7": "::1", "[2001:db8::1:2:3:4]:7": "2001:db8::/64", "[fe80::1%eth0]:7": "fe80::/64", "[::ffff:10.0.0.1]:7": "::ffff:10.0.0.1", "@": "@"} {
		r.RemoteAddr = from
		require.Equal(t, Caller{Address: want}, CallerOf("", r))
		require.Equal(t, Caller{Name: "a"}, CallerOf("a", r))
	}
}

// TestPace: what watchers are sent beyond a burst takes its time, and pieces
// without bytes count too.
func TestPace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := NewPace()
		perSecond := paceBytes * runtime.GOMAXPROCS(0)
		require.Zero(t, p.Sent(paceBurst-pieceCost), "a burst")
		require.Equal(t, time.Second, p.Sent(1<<20-pieceCost)*time.Duration(perSecond>>20))
		time.Sleep(time.Minute)
		for range paceBurst / pieceCost {
			require.Zero(t, p.Sent(0))
		}
		require.Positive(t, p.Sent(0))
		require.NotEqual(t, rate.InfDuration, p.Sent(1<<30), "even what is too large")
	})
}

// TestTimeouts: a context ends in time, or a little later, with the values of
// another one but not when that one ends.
func TestTimeouts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		type key struct{}
		timeouts := Timeouts{After: time.Minute}
		for range 50 {
			request, end := context.WithCancel(context.WithValue(t.Context(), key{}, "its own"))
			ctx, start := timeouts.Context(request), time.Now()
			end()
			require.Equal(t, "its own", ctx.Value(key{}))
			child, cancel := context.WithCancel(ctx)
			defer cancel()
			time.Sleep(time.Second)
			require.NoError(t, ctx.Err())
			go func() {
				<-child.Done()
				require.ErrorIs(t, ctx.Err(), context.DeadlineExceeded)
				took := time.Since(start)
				require.GreaterOrEqual(t, took, time.Minute)
				require.LessOrEqual(t, took, time.Minute+time.Minute/16)
			}()
		}
		time.Sleep(2 * time.Minute)
	})
}
