package swoosh_test

import (
	"bytes"
	"fmt"
	"runtime"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/chorus-services/swoosh"
	"github.com/chorus-services/swoosh/noun"
	"github.com/chorus-services/swoosh/project"
	"github.com/chorus-services/swoosh/system"
)

// rowsOf returns a state of n rows, as project.create makes them.
func rowsOf(n int) *swoosh.Rows {
	rows := emptyRows()
	for i := range n / 5 {
		createProject(rows, i)
		if i%1000 == 0 {
			rows.Settle()
		}
	}
	rows.Settle()
	return rows
}

func emptyRows() *swoosh.Rows {
	return swoosh.NewRows(system.Boot, system.Policy, system.Control, project.Domain)
}

func createProject(rows *swoosh.Rows, i int) {
	swoosh.Apply(rows, "project", project.Create{
		Project: noun.ID(fmt.Sprintf("project-%07d", i)), Name: noun.Name(fmt.Sprintf("Project number %d", i)),
	}, swoosh.Stamp{WallMS: 1767225600000 + uint64(i), Node: "node-1"})
}

// memFile is a snapshot's file in memory.
type memFile struct{ bytes.Buffer }

func (m *memFile) WriteAt(b []byte, at int64) (int, error) { return copy(m.Bytes()[at:], b), nil }

var rowCounts = []int{100_000, 1_000_000}

// BenchmarkLoadSnapshot also reports what a loaded row keeps in memory, and how
// much that is beside the snapshot's bytes.
func BenchmarkLoadSnapshot(b *testing.B) {
	for _, n := range rowCounts {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			var f memFile
			require.NoError(b, rowsOf(n).Save(&f))
			b.SetBytes(int64(f.Len()))
			b.ReportAllocs()
			before, rows := heap(), (*swoosh.Rows)(nil)
			for b.Loop() {
				rows = nil
				loaded := emptyRows()
				require.NoError(b, loaded.Load(bytes.NewReader(f.Bytes())))
				rows = loaded
			}
			kept := float64(heap() - before)
			b.ReportMetric(kept/float64(n), "B/row")
			b.ReportMetric(kept/float64(f.Len()), "×snapshot")
			runtime.KeepAlive(rows)
		})
	}
}

// sink is a snapshot's file that keeps nothing.
type sink struct{ bytes int64 }

func (s *sink) Write(b []byte) (int, error)            { s.bytes += int64(len(b)); return len(b), nil }
func (s *sink) WriteAt(b []byte, _ int64) (int, error) { return len(b), nil }

// BenchmarkWriteSnapshot is the copying and the checksum, without the disk.
func BenchmarkWriteSnapshot(b *testing.B) {
	for _, n := range rowCounts {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			rows := rowsOf(n)
			var f sink
			b.ReportAllocs()
			for b.Loop() {
				f.bytes = 0
				require.NoError(b, rows.Save(&f))
			}
			b.SetBytes(f.bytes)
		})
	}
}

// BenchmarkSettle is what the five rows of a project.create cost among n others if
// they replace five: the tables, the encoding, the digests and the sum. Each command
// has a group, and so a fork, of its own, or shares it with 63 others.
func BenchmarkSettle(b *testing.B) {
	for _, n := range append([]int{10}, rowCounts...) {
		before := heap()
		rows := rowsOf(n)
		kept := float64(heap()-before) / float64(n)
		for _, group := range []int{1, 64} {
			b.Run(fmt.Sprintf("%d/%d", n, group), func(b *testing.B) {
				b.ReportAllocs()
				for i := 0; b.Loop(); i++ {
					createProject(rows, i*7919%(n/5))
					rows.Settle()
					if i%group == 0 {
						rows.View()
					}
				}
				b.ReportMetric(kept, "B/row")
			})
		}
	}
}

// heap returns the bytes in use, after a collection.
func heap() int64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}
