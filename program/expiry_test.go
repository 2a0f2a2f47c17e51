package program

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// TestExpiryIsToldEveryDay lets weeks pass: it is quiet, warns once a day from
// 14 days before the end on, and says that it has come, until the certificate is
// exchanged.
func TestExpiryIsToldEveryDay(t *testing.T) {
	end := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	now := end.Add(-20*day - 7*time.Hour)
	var told bytes.Buffer
	var days []string
	looks := 0
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	e := &expiry{of: func() time.Time { return end }, log: slog.New(slog.NewTextHandler(&told, nil)), now: func() time.Time { return now }}
	e.after = func(wait time.Duration) <-chan time.Time {
		require.Positive(t, wait)
		require.LessOrEqual(t, wait, day)
		if line := told.String(); line != "" {
			_, line, _ = strings.Cut(line, "level=")
			days = append(days, fmt.Sprintf("%.2f %.5s", end.Sub(now).Hours()/24, line))
			told.Reset()
		}
		ready := make(chan time.Time, 1)
		if now = now.Add(wait); now.After(end.Add(3 * day)) {
			end = now.Add(15 * day)
		}
		if looks++; looks > 28 {
			cancel()
			return nil
		}
		ready <- now
		return ready
	}
	e.watch(ctx)
	want := []string{}
	for d := 14; d >= 0; d-- {
		want = append(want, fmt.Sprintf("%d.00 WARN ", d))
	}
	want = append(want, "-0.00 ERROR", "-1.00 ERROR", "-2.00 ERROR", "14.00 WARN ", "13.00 WARN ", "12.00 WARN ")
	require.Equal(t, want, days)
}
