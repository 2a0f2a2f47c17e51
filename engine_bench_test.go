package swoosh_test

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/chorus-services/swoosh"
)

// recorded keeps the groups that were appended.
type recorded struct {
	swoosh.WAL
	groups [][]swoosh.Record
}

func (r *recorded) Append(group []swoosh.Record) error {
	r.groups = append(r.groups, group)
	return r.WAL.Append(group)
}

// BenchmarkSubmit measures durable commands a second in process, each with a
// key, and what the machine gives by itself in the same run: the same groups
// appended to Badger without an engine, and the same bytes appended to a file
// with a sync after each group. The ratios are the engine's share of those.
func BenchmarkSubmit(b *testing.B) {
	for _, clients := range []int{1, 64, 256} {
		b.Run(fmt.Sprint(clients), func(b *testing.B) { benchmarkSubmit(b, clients) })
	}
}

func benchmarkSubmit(b *testing.B, clients int) {
	log := slog.New(slog.DiscardHandler)
	wal := new(recorded)
	e, err := swoosh.Open(context.Background(), swoosh.Options{Dir: b.TempDir(), Logger: log, OpenWAL: func(dir string) (swoosh.WAL, error) {
		var err error
		wal.WAL, err = swoosh.OpenBadgerWAL(dir, log)
		return wal, err
	}}, ledger)
	require.NoError(b, err)
	submit(b, e, "ledger.open", openAccount{"a"})
	wal.groups = nil
	var next atomic.Int64
	var wg sync.WaitGroup
	b.ResetTimer()
	start := time.Now()
	for range clients { // RunParallel would make a multiple of the processors.
		wg.Go(func() {
			for n := next.Add(1); n <= int64(b.N); n = next.Add(1) {
				_, err := e.Submit(context.Background(), keyed(fmt.Sprint("k", n), paying("a", 0)))
				if err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
	took := time.Since(start)
	b.StopTimer()
	require.NoError(b, e.Close(context.Background()))
	inBadger, onDisk := appendGroups(b, wal.groups), writeGroups(b, wal.groups)
	perSecond := func(d time.Duration) float64 { return float64(b.N) / d.Seconds() }
	b.ReportMetric(perSecond(took), "commands/s")
	b.ReportMetric(float64(b.N)/float64(len(wal.groups)), "commands/group")
	b.ReportMetric(perSecond(inBadger), "badger/s")
	b.ReportMetric(perSecond(onDisk), "disk/s")
	b.ReportMetric(inBadger.Seconds()/took.Seconds(), "of-badger")
	b.ReportMetric(onDisk.Seconds()/took.Seconds(), "of-disk")
}

// appendGroups gives the time that Badger alone takes for the groups.
func appendGroups(b *testing.B, groups [][]swoosh.Record) time.Duration {
	w, err := swoosh.OpenBadgerWAL(b.TempDir(), slog.New(slog.DiscardHandler))
	require.NoError(b, err)
	defer func() { require.NoError(b, w.Close()) }()
	start := time.Now()
	for _, g := range groups {
		require.NoError(b, w.Append(g))
	}
	return time.Since(start)
}

// writeGroups gives the time that a file alone takes for their bytes.
func writeGroups(b *testing.B, groups [][]swoosh.Record) time.Duration {
	f, err := os.Create(filepath.Join(b.TempDir(), "log"))
	require.NoError(b, err)
	defer f.Close()
	start := time.Now()
	for _, g := range groups {
		var all []byte
		for _, r := range g {
			all = append(append(all, r.Chain[:]...), r.JSON...)
		}
		_, err := f.Write(all)
		require.NoError(b, err)
		require.NoError(b, unix.Fdatasync(int(f.Fd())))
	}
	return time.Since(start)
}
