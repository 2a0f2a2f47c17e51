package bench

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/encoding/protowire"
)

func TestNumbers(t *testing.T) {
	for want, f := range map[string]float64{
		"0": 0, "0.123": 0.12345, "0.00123": 0.0012345, "1": 1, "9.88": 9.876, "98.8": 98.76, "988": 987.6, "1 000": 999.9,
		"9 880": 9876, "98 800": 98765, "1 230 000": 1234567,
	} {
		require.Equal(t, want, Number(f))
	}
}

func TestGoals(t *testing.T) {
	m := Measure{Swoosh: 50, Ratio: 0.5}
	for _, test := range []struct {
		goal      Goal
		text, met string
	}{
		{Goal{}, "", ""},
		{Goal{Least: 0.5}, "≥ 0.5 ×", "yes"},
		{Goal{Least: 0.6}, "≥ 0.6 ×", "no"},
		{Goal{Most: 0.5}, "≤ 0.5 ×", "yes"},
		{Goal{Most: 0.4}, "≤ 0.4 ×", "no"},
		{Goal{Least: 51, Value: true}, "≥ 51", "no"},
		{Goal{Most: 50, Value: true}, "≤ 50", "yes"},
	} {
		m.Goal = test.goal
		require.Equal(t, test.text, m.Goal.String())
		require.Equal(t, test.met, m.Met())
	}
}

// TestRatioIsOfTheRounds: a machine that drifts moves the figures, not the ratio.
func TestRatioIsOfTheRounds(t *testing.T) {
	var got Measure
	b := &bench{scenario: "s", found: func(m Measure) error { got = m; return nil }}
	require.NoError(t, b.report(Measure{What: "w"}, []float64{100, 10, 1000}, []float64{50, 5, 500}))
	require.Equal(t, Measure{Scenario: "s", What: "w", Of: 100, Swoosh: 50, Ratio: 0.5, Rounds: 3}, got)
	require.Equal(t, 2.5, median([]float64{9, 2, 3, 1}))
	require.Zero(t, median(nil))
}

// TestRunStops at its time, at an error, and with its context.
func TestRunStops(t *testing.T) {
	var calls atomic.Int64
	l, err := run(t.Context(), 2, 20*time.Millisecond, func(int) error {
		calls.Add(1)
		time.Sleep(time.Millisecond)
		return nil
	})
	require.NoError(t, err)
	require.InEpsilon(t, float64(calls.Load())/0.020, l.perSecond, 0.9)
	require.GreaterOrEqual(t, l.p50, 1.0)
	require.GreaterOrEqual(t, l.p99, l.p50)
	broken := errors.New("broken")
	_, err = run(t.Context(), 2, time.Hour, func(client int) error {
		if client == 1 {
			return broken
		}
		return nil
	})
	require.ErrorIs(t, err, broken)
	ctx, cancel := context.WithCancel(t.Context())
	_, err = run(ctx, 2, time.Hour, func(int) error { cancel(); return nil })
	require.ErrorIs(t, err, context.Canceled)
}

// TestCommandsHaveTheirSizes, and no two have the same key.
func TestCommandsHaveTheirSizes(t *testing.T) {
	keys := map[string]bool{}
	for n := range int64(1000) {
		n += projectsMost
		require.InDelta(t, 200, len(creation(n)), 15)
		for _, size := range []int{200, 300} {
			line := failure(200_000, size)(n)
			require.InDelta(t, size, len(line), 5)
			keys[string(line[bytes.LastIndex(line, []byte(`":"`)):])] = true
		}
	}
	require.Len(t, keys, 1000)
	seen := map[int64]bool{}
	for n := range int64(100) {
		seen[scatter(n, 1_000_000)] = true
		require.Equal(t, int64(1), scatter(n, 1))
	}
	require.Len(t, seen, 100)
}

// TestEtcdIsAskedAsItWants: a put is a unary call of gRPC, and a failed one fails.
func TestEtcdIsAskedAsItWants(t *testing.T) {
	status := "0"
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil || r.URL.Path != "/etcdserverpb.KV/Put" || r.ProtoMajor != 2 || len(body) < 5 || int(body[4]) != len(body)-5 {
			w.WriteHeader(http.StatusBadRequest)
			return
		}
		number, _, n := protowire.ConsumeField(body[5:])
		key, _ := protowire.ConsumeBytes(body[6:])
		if number != 1 || n < 0 || !strings.HasPrefix(string(key), "p0000000") {
			w.WriteHeader(http.StatusBadRequest)
			return
		}
		w.Header().Set("Trailer", "Grpc-Status, Grpc-Message")
		_, _ = w.Write([]byte{0, 0, 0, 0, 0})
		w.Header().Set("Grpc-Status", status)
		w.Header().Set("Grpc-Message", "no space")
	}))
	s.Config.Protocols = new(http.Protocols)
	s.Config.Protocols.SetUnencryptedHTTP2(true)
	s.Start()
	defer s.Close()
	e := newEtcd(s.URL, 9)
	defer e.close()
	require.Len(t, e.clients, 2)
	require.NoError(t, e.put(8))
	status = "8"
	require.EqualError(t, e.put(0), "etcd answered with gRPC status 8: no space")
}
